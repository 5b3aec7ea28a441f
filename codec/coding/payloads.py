"""Latents <-> symbols <-> payload of one tile (FORMAT §8, steps 1 to 3), with torch, on any device.

On a GPU, the symbols and indexes stay in its memory, and only the finished payload is copied.
"""

import torch
from torch import Tensor

from . import rans, rans_cuda
from .segment_walk import Walk
from .threads import available


def quantise(walk: Walk, y: Tensor, z: Tensor, dead_zones: Tensor) -> tuple[Tensor, Tensor, list[int], Tensor]:
    """Choose the symbols of one tile. All tensors are on the walk's device.

    Args:
        walk: a new walk for the tile's quality and size.
        y: latents, float32 [M, h, w].
        z: hyperlatents, float32 [Z, ceil(h/4), ceil(w/4)]; they are rounded to the nearest symbols.
        dead_zones: for the latents, int16 [64], as in `ModelFile.dead_zones`; zeros for the nearest symbols.

    Returns:
        (symbols int16 [N], indexes uint8 [N], lengths of the segments, the decoder's latents float32 [M, h, w]).
    """
    symbols, indexes, none = [], [], torch.zeros_like(dead_zones)
    for k in range(walk.segments):
        indexes.append(walk.predict(k))
        symbols.append(walk.choose(k, y, dead_zones) if k else walk.choose(k, z, none))
    return torch.cat(symbols), torch.cat(indexes), [len(s) for s in symbols], walk.latents()


def encode(symbols: Tensor, indexes: Tensor, segments: list[int], tables: rans.Tables) -> bytes:
    """Entropy-code the results of `quantise`, as `rans.encode` does, on the device where they are."""
    if rans_cuda.serves(symbols.device):
        return rans_cuda.encode(symbols, indexes, segments, tables)
    return rans.encode(symbols.cpu().numpy(), indexes.cpu().numpy(), segments, tables, threads=available())


def encode_parts(symbols: Tensor, indexes: Tensor, segments: list[int], tables: rans.Tables) -> list[bytes]:
    """Do the same, but return the payload in parts, one for each segment. It is always coded on the CPU."""
    return rans.encode_parts(symbols.cpu().numpy(), indexes.cpu().numpy(), segments, tables, threads=available())


def read(walk: Walk, tables: rans.Tables, payload: bytes | memoryview, is_prefix: bool = False) -> Tensor:
    """Decode one tile's payload to its latents, float32 [M, h, w], on the walk's device.

    Args:
        walk: a new walk for the tile's quality and size.
        tables: of the same model.
        payload: as in FORMAT §3.
        is_prefix: the payload may end early, as in `rans.Decoder`; then the CPU decodes it.

    Raises:
        CorruptError: no encoder with this model writes such a payload.
    """
    decoder = _OnCpu(tables, payload, True) if is_prefix else decoder_for(tables, payload, walk.device)
    for k in range(walk.segments):
        walk.accept(k, decoder.decode(walk.predict(k)))
    if not is_prefix:
        decoder.finish()
    return walk.latents()


class _OnCpu:
    """A `rans.Decoder` that takes and returns tensors of any device. It decodes on the CPU."""

    def __init__(self, tables: rans.Tables, payload: bytes | memoryview, is_prefix: bool = False):
        self._decoder = rans.Decoder(tables, payload, is_prefix)

    def decode(self, indexes: Tensor) -> Tensor:
        symbols = self._decoder.decode(indexes.cpu().numpy(), available())
        return torch.from_numpy(symbols).to(indexes.device)

    def finish(self) -> None:
        self._decoder.finish()


def decoder_for(tables: rans.Tables, payload: bytes | memoryview, device: torch.device) -> _OnCpu | rans_cuda.Decoder:
    """Return a decoder for a payload that takes indexes and returns symbols, segment by segment, on `device`."""
    if rans_cuda.serves(device):
        return rans_cuda.Decoder(tables, payload, device)
    return _OnCpu(tables, payload)

"""One tile's latents <-> its symbols <-> its payload: FORMAT §8, steps 1 to 3, wherever the walk is.

On a CUDA device symbols and indexes stay there; the finished payload is all that crosses the bus.
"""

import torch
from torch import Tensor

from . import rans, rans_cuda
from .segment_walk import Walk
from .threads import available


def quantise(walk: Walk, y: Tensor, z: Tensor, dead_zones: Tensor) -> tuple[Tensor, Tensor, list[int], Tensor]:
    """Choose one tile's symbols.

    Args:
        walk: at its start; of the tile's quality and size.
        y: latents, float32 [M, h, w], on the walk's device.
        z: hyperlatents, float32 [Z, ceil(h/4), ceil(w/4)], there too. Their symbols are the nearest.
        dead_zones: of the latents, int16 [64], there too; `cdf_tables.dead_zones`, or zeros for the nearest symbols.

    Returns:
        (symbols int16 [N], indexes uint8 [N], segment lengths, the decoder's latents float32 [M, h, w]), there too.
    """
    symbols, indexes, none = [], [], torch.zeros_like(dead_zones)
    for k in range(walk.segments):
        indexes.append(walk.predict(k))
        symbols.append(walk.choose(k, y, dead_zones) if k else walk.choose(k, z, none))
    return torch.cat(symbols), torch.cat(indexes), [len(s) for s in symbols], walk.latents()


def encode(symbols: Tensor, indexes: Tensor, segments: list[int], tables: rans.Tables) -> bytes:
    """`rans.encode` of what `quantise` gives, where it lies."""
    if rans_cuda.serves(symbols.device):
        return rans_cuda.encode(symbols, indexes, segments, tables)
    return rans.encode(symbols.cpu().numpy(), indexes.cpu().numpy(), segments, tables, threads=available())


def read(walk: Walk, tables: rans.Tables, payload: bytes | memoryview) -> Tensor:
    """Decode one tile's payload to its latents, float32 [M, h, w].

    Args:
        walk: at its start; of the tile's quality and size.
        tables: of the same model.
        payload: FORMAT §3.

    Raises:
        CorruptError: the payload is not one that an encoder with this model writes.
    """
    decoder = decoder_for(tables, payload, walk.device)
    for k in range(walk.segments):
        walk.accept(k, decoder.decode(walk.predict(k)))
    decoder.finish()
    return walk.latents()


class _OnCpu:
    """`rans.Decoder` for tensors of any device."""

    def __init__(self, tables: rans.Tables, payload: bytes | memoryview):
        self._decoder = rans.Decoder(tables, payload)

    def decode(self, indexes: Tensor) -> Tensor:
        symbols = self._decoder.decode(indexes.cpu().numpy(), available())
        return torch.from_numpy(symbols).to(indexes.device)

    def finish(self) -> None:
        self._decoder.finish()


def decoder_for(tables: rans.Tables, payload: bytes | memoryview, device: torch.device) -> _OnCpu | rans_cuda.Decoder:
    """What decodes a payload given indexes on `device`, segment by segment, to symbols there."""
    if rans_cuda.serves(device):
        return rans_cuda.Decoder(tables, payload, device)
    return _OnCpu(tables, payload)

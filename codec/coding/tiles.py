"""Pixels -> tiles -> latents -> payloads. The analysis sees a tile's neighbours, so no seam shows.

Nothing here is as large as the picture but the picture: the networks see one tile and its surroundings at a time, or a
few, one in each thread.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ..container.format import Header, Tile
from ..picture.pixels import Pixels
from .decoder import Decoder
from .efforts import iterations
from .model_file import ModelFile
from .threads import team


class Encoder(Protocol):
    """A model that writes files: `engine.Encoder` on the CPU, `nets.torch_encoder.TorchEncoder` where torch is needed.

    Latents y are int16 [h, w, M] and hyperlatents z int16 [ceil(h/4), ceil(w/4), Z], in units of 2^-12.
    """

    file: ModelFile
    one_at_a_time: bool  # tiles: a GPU is filled by one

    @property
    def decoder(self) -> Decoder:
        """What reads its files."""

    def with_dead_zones(self, dead_zones: np.ndarray) -> "Encoder":
        """The same, with others than the model's: int16 [64], `cdf_tables.dead_zones`; zeros for none."""

    def analyse(
        self, pixels: Pixels, tile: Tile, quality: int, effort: int, progress: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """y and z of one tile; `progress` is called after each of the effort's iterations."""

    def code(self, quality: int, y: np.ndarray, z: np.ndarray) -> bytes:
        """A tile's payload."""


def encoder_for(path: Path, device: str, effort: int) -> Encoder:
    """A model, ready to encode at an effort.

    Args:
        path: of its file.
        device: "cpu" or "cuda:N"; torch is imported for the latter, and for efforts that choose symbols anew.

    Raises:
        ModelError: as `model_file.load`.
    """
    from . import model_file

    if device == "cpu" and not iterations(model_file.load(path).tune, effort):
        from . import engine

        return engine.encoder(path)
    import torch

    from ..nets import torch_codec

    return torch_codec.load(path, torch.device(device)).encoder


def encode(
    encoder: Encoder,
    pixels: Pixels,
    header: Header,
    effort: int,
    progress: Callable[[float], None] = lambda share: None,
) -> list[bytes]:
    """The colours' payloads, one for each tile. The arguments are checked by api.encode, which says what they are.

    `progress` is called from the threads that do the work, one at a time, with rising shares.
    """
    if effort == 1:
        encoder = encoder.with_dead_zones(np.zeros_like(encoder.file.dead_zones))
    tiles, n = header.tiles, iterations(encoder.file.tune, effort)
    lock, done = threading.Lock(), 0

    def tell() -> None:
        nonlocal done
        with lock:
            done += 1
            progress(done / (max(1, n) * len(tiles)))

    def payload(tile: Tile) -> bytes:
        data = encoder.code(header.quality, *encoder.analyse(pixels, tile, header.quality, effort, tell))
        if not n:
            tell()
        return data

    with team(len(tiles), encoder.one_at_a_time) as ordered:
        return list(ordered(payload, tiles))

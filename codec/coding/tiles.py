"""Encoding: pixels -> tiles -> latents -> payloads.

The analysis transform reads a margin of pixels around each tile, so that no seams are visible between tiles. Memory
does not grow with the picture, except for the picture itself: each thread works on one tile and its margin at a time.
"""

import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ..container import format
from ..container.format import Header, Tile
from ..picture.samples import Pixels
from . import quality_map, rans
from .decoder import Decoder, first_channels
from .model_file import ModelFile
from .quality_map import Quality
from .refinement import Symbols, iterations
from .threads import team


@dataclass(frozen=True)
class TileTask:
    """A tile that is to be encoded, and how.

    Args:
        pixels: of the whole picture.
        tile: the area of the tile, in pixels.
        quality: of the whole picture.
        effort: 1..9; whether latents are refined, and how often, as `refinement.iterations` says.
        progress: called after each iteration of the refinement.
    """

    pixels: Pixels
    tile: Tile
    quality: Quality
    effort: int
    progress: Callable[[], None] = lambda: None


class Encoder(Protocol):
    """A model that encodes: `engine.Encoder` on the CPU, `nets.torch_encoder.TorchEncoder` on a GPU.

    Latents y are int16 [h, w, M], and hyperlatents z are int16 [ceil(h/4), ceil(w/4), Z], both in units of 2^-12.
    """

    @property
    def file(self) -> ModelFile: ...

    @property
    def one_at_a_time(self) -> bool:
        """Whether tiles must be coded one after the other. True on a GPU, which one tile keeps busy."""

    @property
    def decoder(self) -> Decoder:
        """The decoder of the same model."""

    def with_dead_zones(self, dead_zones: np.ndarray) -> "Encoder":
        """Return a copy that uses other dead zones: int16 [64], as `ModelFile.dead_zones`; zeros for none."""

    def with_first(self, first: Sequence[bool]) -> "Encoder":
        """Return a copy that codes each tile in two passes, as `decoder.first_channels` says; empty: in one."""

    def analyse(self, task: TileTask) -> tuple[np.ndarray, np.ndarray]:
        """Compute the latents and hyperlatents (y, z) of one tile, refined if the effort asks for it."""

    def quantise(self, quality: Quality, y: np.ndarray, z: np.ndarray) -> Symbols:
        """Choose the symbols of one tile."""

    def pack(self, chosen: Symbols) -> list[bytes]:
        """Entropy-code the symbols of one tile, and return the parts of its payload."""

    def encode(self, task: TileTask) -> list[bytes]:
        """Encode one tile, and return the parts of its payload."""


def encoder_for(path: Path, device: str) -> Encoder:
    """Load a model for encoding.

    Args:
        path: of the model file.
        device: "cpu" or "cuda:N"; torch is imported for the latter.

    Raises:
        ModelError: as in `model_file.load`.
    """
    if device == "cpu":
        from . import engine

        return engine.encoder(path)
    import torch

    from ..nets import torch_codec

    return torch_codec.load(path, torch.device(device)).encoder


# With a mean payload of at least so many bytes a tile, files have their payloads in parts. The four more entries that
# each tile then has in the table take at most 28 bytes, 0.23 % of it. Smaller files arrive as a whole anyway: the first
# packets of a connection hold 14 KB.
PARTS_FROM = 12 * 1024
# By level: how many of the channels the first of two passes codes, such that it has about half of the bytes.
FIRST_SHARE = ((45.0, 1 / 32), (75.0, 1 / 16), (math.inf, 1 / 8))


def first_of(file: ModelFile, quality: int) -> int:
    """Return the number of channels that the first of two passes codes, for `Header.first`."""
    level = file.levels[quality - 1]
    return int(next(share for most, share in FIRST_SHARE if level < most) * file.config.latents)


def file(
    encoder: Encoder,
    header: Header,
    coded: Sequence[Sequence[bytes]],
    quality: Quality | None = None,
    alphas: Sequence[bytes] = (),
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """Assemble the .aec file of a picture whose tiles are encoded.

    Args:
        encoder: that has encoded them.
        header: of the picture; whether there is a map, and the number of parts, are ignored. With two passes there
            are always parts.
        coded: the parts of each tile's payload, as `encode` returns them.
        quality: of the whole picture; None: the header's everywhere.
        alphas, metadata: as of `format.write`.
    """
    blocks = quality if isinstance(quality, np.ndarray) else None
    if not header.first and sum(map(len, itertools.chain(*coded))) < PARTS_FROM * len(coded):
        header, payloads = replace(header, parts=1), list(map(rans.join, coded))
    else:
        header, payloads = replace(header, parts=len(coded[0])), list(itertools.chain(*zip(*coded, strict=True)))
    coded_map = None if blocks is None else quality_map.encode(blocks, header.quality, encoder.file.tables)
    return format.write(replace(header, mapped=blocks is not None), payloads, alphas, metadata, coded_map)


def encode(
    encoder: Encoder,
    pixels: Pixels,
    header: Header,
    effort: int,
    progress: Callable[[float], None] = lambda share: None,
    quality: Quality | None = None,
) -> list[list[bytes]]:
    """Encode the colours of a picture, and return the parts of each tile's payload (`rans.encode_parts`).

    The arguments are checked and described by `api.encode`. `progress` is called from the threads that do the work, one
    at a time, with rising shares. `quality` is the whole picture's; None: the header's everywhere.
    """
    whole = header.quality if quality is None else quality
    encoder = encoder.with_first(first_channels(encoder.decoder.steps, header))
    if effort == 1:
        encoder = encoder.with_dead_zones(np.zeros_like(encoder.file.dead_zones))
    tiles, n = header.tiles, iterations(encoder.file.tune, effort)
    lock, done = threading.Lock(), 0

    def tell() -> None:
        nonlocal done
        with lock:
            done += 1
            progress(done / (max(1, n) * len(tiles)))

    def parts(tile: Tile) -> list[bytes]:
        coded = encoder.encode(TileTask(pixels, tile, whole, effort, tell))
        if not n:
            tell()
        return coded

    with team(len(tiles), encoder.one_at_a_time) as ordered:
        return list(ordered(parts, tiles))

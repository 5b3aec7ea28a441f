"""Encoding and decoding with a model on the CPU, by the C++ extension `_C` and numpy arrays, without torch.

Payloads -> latents -> samples (FORMAT §3 to §8), and back.
"""

import copy
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from .. import _C
from ..container.format import Tile
from ..errors import CorruptError
from ..picture.samples import Pixels
from . import model_file, rans
from .decoder import CodedTile, Place
from .model_config import QUALITIES, Config, has_branch
from .model_file import ModelFile
from .quality_map import Quality, highest
from .refinement import Symbols
from .threads import available, lock_across_forks
from .tile_input import box
from .tiles import TileTask

Result = TypeVar("Result")
_LOADING = lock_across_forks()


class Levels:
    """Decides whether the synthesis needs its nonlinear branch at a quality, or its linear shortcut is enough.

    Args:
        config: the model's.
        levels: the level of each quality, float [100].
    """

    def __init__(self, config: Config, levels: np.ndarray):
        self.config, self.levels = config, levels

    def has_branch(self, quality: Quality, shrink: int) -> bool:
        return has_branch(float(self.levels[highest(quality) - 1]), shrink)

    def halo(self, quality: Quality, shrink: int) -> int:
        return self.config.halo if self.has_branch(quality, shrink) else 0


class Synthesis(Levels):
    """The implementation of `decoder.Synthesis` by csrc/engine/synthesis.h."""

    def __init__(self, config: Config, levels: np.ndarray, handle: _C.Synthesis):
        super().__init__(config, levels)
        self.handle = handle

    def run(self, latents: np.ndarray, place: Place, shrink: int, origin: tuple[int, int], out: np.ndarray) -> None:
        self.handle.run(
            latents,
            at=place.at,
            picture=place.picture,
            quality=place.quality,
            shrink=shrink,
            branch=self.has_branch(place.quality, shrink),
            origin=origin,
            out=out,
            threads=available(),
        )


class Engine:
    """The implementation of `decoder.Decoder` on the CPU."""

    one_at_a_time = False

    def __init__(self, file: ModelFile):
        self.config, self.tables, self.nets = file.config, file.tables, file.loaded.nets
        self.steps = np.frombuffer(file.loaded.steps, np.int16).reshape(QUALITIES, file.config.latents)
        self.synthesis = Synthesis(file.config, file.levels, file.loaded.synthesis)

    def walk(self, quality: Quality, rows: int, columns: int, first: Sequence[bool] = ()) -> _C.Walk:
        """Start a run of the entropy nets (FORMAT §8) for a tile of rows x columns latents, as `segment_walk.Start`."""
        return _C.Walk(self.nets, quality, rows, columns, available(), first)

    def read(self, coded: CodedTile) -> np.ndarray:
        of_tile = coded.payload, coded.quality, *coded.size
        try:
            return _C.decode_tile(self.nets, self.tables.handle, *of_tile, available(), coded.is_prefix, coded.first)
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None

    def empty(self, rows: int, columns: int) -> np.ndarray:
        return np.empty((rows, columns, self.config.latents), np.int16)

    def samples(self, channels: int, rows: int, columns: int, kind: str) -> None:
        return None


class Encoder:
    """The implementation of `tiles.Encoder` on the CPU, by csrc/tile/encode_tile.h."""

    one_at_a_time = False

    def __init__(self, file: ModelFile):
        self.config, self.file, self.dead_zones, self._first = file.config, file, file.dead_zones, list[bool]()
        half = file.encoder()
        self.projection, self._model = half.projection, half.parts(file.tune)

    @property
    def decoder(self) -> Engine:
        return of_model(self.file)

    def with_dead_zones(self, dead_zones: np.ndarray) -> "Encoder":
        other = copy.copy(self)
        other.dead_zones = dead_zones
        return other

    def with_first(self, first: Sequence[bool]) -> "Encoder":
        other = copy.copy(self)
        other._first = list(first)
        return other

    def latents(self, pixels: Pixels, area: Tile, quality: Quality) -> np.ndarray:
        """Compute the latents of an area whose left and top are multiples of 16: int16 [h, w, M]."""
        return self._model.latents(pixels.data, pixels.alpha, area=box(area), quality=quality, threads=available())

    def hyperlatents(self, y: np.ndarray, quality: Quality) -> np.ndarray:
        """Compute the hyperlatents of a tile from its latents: int16 [ceil(h/4), ceil(w/4), Z]."""
        return self._model.hyperlatents(y, quality=quality, threads=available())

    def analyse(self, task: TileTask) -> tuple[np.ndarray, np.ndarray]:
        return self._run(self._model.analyse, task)

    def quantise(self, quality: Quality, y: np.ndarray, z: np.ndarray) -> Symbols:
        chosen = self._model.choose(
            y, z, quality=quality, dead_zones=self.dead_zones, first=self._first, threads=available()
        )
        return Symbols(*chosen)

    def pack(self, chosen: Symbols) -> list[bytes]:
        return rans.encode_parts(chosen.symbols, chosen.indexes, chosen.segments, self.file.tables, threads=available())

    def encode(self, task: TileTask) -> list[bytes]:
        return self._run(self._model.encode, task)

    def _run(self, function: Callable[..., Result], task: TileTask) -> Result:
        return function(
            task.pixels.data,
            task.pixels.alpha,
            tile=box(task.tile),
            quality=task.quality,
            effort=task.effort,
            dead_zones=self.dead_zones,
            first=self._first,
            threads=available(),
            progress=task.progress,
        )


def projection_of(file: ModelFile) -> _C.Projection:
    """Return the projection of pixel errors on latents, which refinement needs. Raises ModelError as `encoder` does."""
    return _encoder_of(file).projection


def encoder(path: Path) -> Encoder:
    """Load a model for encoding; cached like `model_file.load`.

    Raises:
        ModelError: as in `model_file.load`, or the encoder's half is damaged, or its transforms cannot be run.
    """
    return _encoder_of(model_file.load(path))


def _encoder_of(file: ModelFile) -> Encoder:
    with _LOADING:
        return _encoder(file)


@lru_cache(maxsize=4)
def _encoder(file: ModelFile) -> Encoder:
    return Encoder(file)


def load(path: Path) -> Engine:
    """Load a model for decoding; cached like `model_file.load`. Raises ModelError as that does."""
    return of_model(model_file.load(path))


def load_for(model_id: bytes, model: str | os.PathLike | None) -> Engine:
    """Load the model that wrote a file for decoding. Arguments and errors are as in `model_file.load_for`."""
    return of_model(model_file.load_for(model_id, model))


def of_model(file: ModelFile) -> Engine:
    """Return the decoder of a loaded model; cached for a few models."""
    with _LOADING:  # so that threads that start together create it only once
        return _made(file)


@lru_cache(maxsize=4)
def _made(file: ModelFile) -> Engine:
    return Engine(file)

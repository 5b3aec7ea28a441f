"""Encoding and decoding with a model on the CPU, by the C++ extension `_C` and numpy arrays, without torch.

Payloads -> latents -> samples (FORMAT §3 to §8), and back.
"""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from .. import _C
from ..container.format import Tile
from ..errors import ModelError
from ..picture.pixels import Pixels
from . import model_file, rans
from .model_config import Config, has_branch
from .model_file import ModelFile
from .quality_map import Quality, highest
from .refinement import Symbols, iterations
from .threads import available, lock_across_forks
from .tile_input import box

_LOADING = lock_across_forks()


def _widths(config: Config) -> dict[str, int]:
    """Return the numbers of the configuration that describe the transforms, as arguments for `_C`."""
    return {name: getattr(config, name) for name in ("latents", "wide8", "blocks8", "wide16", "blocks16")}


def _integers(tensors: Mapping[str, np.ndarray], net: str) -> dict[str, np.ndarray]:
    """Return the tensors of one net as `_C` takes them.

    The net's name is removed from the keys. The `.fraction` tensors are left out, because they do not affect results.
    """
    named = {k.removeprefix(f"{net}."): v for k, v in tensors.items() if k.startswith(f"{net}.")}
    kept = {k: v for k, v in named.items() if not k.endswith(".fraction")}
    return {k: v.astype(np.int16) if v.dtype == np.int8 else v for k, v in kept.items()}


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

    def __init__(self, config: Config, levels: np.ndarray, tensors: Mapping[str, np.ndarray]):
        super().__init__(config, levels)
        self.handle = _C.Synthesis(_integers(tensors, "synthesis"), **_widths(config))

    def run(
        self,
        latents: np.ndarray,
        at: tuple[int, int],
        size: tuple[int, int],
        quality: Quality,
        shrink: int,
        origin: tuple[int, int],
        out: np.ndarray,
    ) -> None:
        self.handle.run(
            latents,
            at=at,
            picture=size,
            quality=quality,
            shrink=shrink,
            branch=self.has_branch(quality, shrink),
            origin=origin,
            out=out,
            threads=available(),
        )


class Engine:
    """The implementation of `decoder.Decoder` on the CPU."""

    one_at_a_time = False

    def __init__(self, file: ModelFile):
        c = self.config = file.config
        self.tables = file.tables
        self.nets = _C.Nets(
            _integers(file.tensors, "entropy"), latents=c.latents, hyper=c.hyper, context=c.context, steps=c.steps
        )
        self.steps = file.tensors["entropy.step"]
        self._file = file

    @property
    def synthesis(self) -> Synthesis:
        """The synthesis transform. It is created on first use, because encoding mostly does not need it."""
        with _LOADING:
            return self._synthesis

    @cached_property
    def _synthesis(self) -> Synthesis:
        """The same for those who hold _LOADING."""
        return Synthesis(self.config, self._file.levels, self._file.tensors)

    def walk(self, quality: Quality, rows: int, columns: int, first: Sequence[bool] = ()) -> _C.Walk:
        """Start a run of the entropy nets (FORMAT §8) for a tile of rows x columns latents, as `segment_walk.Start`."""
        return _C.Walk(self.nets, quality, rows, columns, available(), first)

    def read(
        self,
        quality: Quality,
        rows: int,
        columns: int,
        payload: bytes | memoryview,
        is_prefix: bool = False,
        first: Sequence[bool] = (),
    ) -> np.ndarray:
        size = rows, columns
        return rans.decode_tile(self.nets, self.tables, payload, quality, size, available(), is_prefix, first)

    def empty(self, rows: int, columns: int) -> np.ndarray:
        return np.empty((rows, columns, self.config.latents), np.int16)

    def samples(self, channels: int, rows: int, columns: int, kind: str) -> None:
        return None


class Encoder:
    """The implementation of `tiles.Encoder` on the CPU, by csrc/tile/encode_tile.h."""

    one_at_a_time = False

    def __init__(self, file: ModelFile):
        c = self.config = file.config
        self.file, self.dead_zones, self._first = file, file.dead_zones, list[bool]()
        # By whether they refine; without that they need less of the model. The copies of an encoder share them.
        self._models: dict[bool, _C.EncoderModel] = {}
        try:
            self.analysis = _C.Analysis(_integers(file.tensors, "analysis"), **_widths(c))
            self.hyper_analysis = _C.HyperAnalysis(
                _integers(file.tensors, "hyper_analysis"), latents=c.latents, context=c.context, hyper=c.hyper
            )
        except ValueError as e:
            raise ModelError(f"{file.path}: not a model this aec can run: {e}") from None

    @property
    def decoder(self) -> Engine:
        return of_model(self.file)

    @property
    def _plain(self) -> _C.EncoderModel:
        return self._joined(refines=False)

    def _model(self, effort: int) -> _C.EncoderModel:
        return self._joined(refines=iterations(self.file.tune, effort) > 0)

    def _joined(self, refines: bool) -> _C.EncoderModel:
        with _LOADING:  # tiles are encoded by several threads, and the first of them may come together
            if refines not in self._models:
                decoder = _made(self.file)
                self._models[refines] = _C.EncoderModel(
                    analysis=self.analysis,
                    hyper_analysis=self.hyper_analysis,
                    nets=decoder.nets,
                    tables=self.file.tables.handle,
                    levels=self.file.levels,
                    tune=self.file.tune,
                    synthesis=decoder._synthesis.handle if refines else None,
                    projection=_projection(self.file) if refines else None,
                )
            return self._models[refines]

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
        return self._plain.latents(pixels.data, pixels.alpha, area=box(area), quality=quality, threads=available())

    def hyperlatents(self, y: np.ndarray, quality: Quality) -> np.ndarray:
        """Compute the hyperlatents of a tile from its latents: int16 [ceil(h/4), ceil(w/4), Z]."""
        return self._plain.hyperlatents(y, quality=quality, threads=available())

    def analyse(
        self,
        pixels: Pixels,
        tile: Tile,
        quality: Quality,
        effort: int,
        progress: Callable[[], None] = lambda: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._model(effort).analyse(
            pixels.data,
            pixels.alpha,
            tile=box(tile),
            quality=quality,
            effort=effort,
            dead_zones=self.dead_zones,
            first=self._first,
            threads=available(),
            progress=progress,
        )

    def quantise(self, quality: Quality, y: np.ndarray, z: np.ndarray) -> Symbols:
        chosen = self._plain.choose(
            y, z, quality=quality, dead_zones=self.dead_zones, first=self._first, threads=available()
        )
        return Symbols(*chosen)

    def pack(self, chosen: Symbols) -> list[bytes]:
        return rans.encode_parts(chosen.symbols, chosen.indexes, chosen.segments, self.file.tables, threads=available())

    def encode(
        self, pixels: Pixels, tile: Tile, quality: Quality, effort: int, progress: Callable[[], None]
    ) -> list[bytes]:
        return self._model(effort).encode(
            pixels.data,
            pixels.alpha,
            tile=box(tile),
            quality=quality,
            effort=effort,
            dead_zones=self.dead_zones,
            first=self._first,
            threads=available(),
            progress=progress,
        )


def projection_of(file: ModelFile) -> _C.Projection:
    """Return the projection of pixel errors on latents, which refinement needs. It is cached for a few models."""
    with _LOADING:
        return _projection(file)


@lru_cache(maxsize=4)
def _projection(file: ModelFile) -> _C.Projection:
    return _C.Projection(_integers(file.tensors, "synthesis"), latents=file.config.latents)


def encoder(path: Path) -> Encoder:
    """Load a model for encoding; cached like `model_file.load`.

    Raises:
        ModelError: as in `model_file.load`, or the transforms of its encoder cannot be run.
    """
    file = model_file.load(path)
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

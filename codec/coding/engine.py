"""A model's decoder in csrc: payloads -> latents -> samples (FORMAT §3 to §8), on arrays. It needs no torch."""

import os
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from .. import _C
from . import model_file, rans
from .model_config import Config, has_branch
from .model_file import ModelFile
from .threads import available

_LOADING = threading.Lock()


class Levels:
    """Whether the branch of a synthesis is heard, which hangs on the level of a quality."""

    def __init__(self, config: Config, levels: np.ndarray):
        self.config, self.levels = config, levels

    def has_branch(self, quality: int, shrink: int) -> bool:
        return has_branch(float(self.levels[quality - 1]), shrink)

    def halo(self, quality: int, shrink: int) -> int:
        return self.config.halo if self.has_branch(quality, shrink) else 0


class Synthesis(Levels):
    """`decoder.Synthesis` in csrc/engine/synthesis.h."""

    def __init__(self, config: Config, levels: np.ndarray, tensors: Mapping[str, np.ndarray]):
        super().__init__(config, levels)
        integers = {k.removeprefix("synthesis."): v for k, v in tensors.items() if k.startswith("synthesis.")}
        self._handle = _C.Synthesis(
            {k: v for k, v in integers.items() if not k.endswith(".fraction")},  # which say nothing of samples
            latents=config.latents,
            wide8=config.wide8,
            blocks8=config.blocks8,
            wide16=config.wide16,
            blocks16=config.blocks16,
        )

    def run(self, latents, at, size, quality, shrink, origin, out) -> None:
        self._handle.run(
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
    """`decoder.Decoder` on the CPU."""

    one_at_a_time = False

    def __init__(self, file: ModelFile):
        c = self.config = file.config
        self._tables = file.tables
        integers = {k.removeprefix("entropy."): v for k, v in file.tensors.items() if k.startswith("entropy.")}
        self._nets = _C.Nets(integers, latents=c.latents, hyper=c.hyper, context=c.context, steps=c.steps)
        self.synthesis = Synthesis(c, file.levels, file.tensors)

    def read(self, quality: int, rows: int, columns: int, payload: bytes | memoryview) -> np.ndarray:
        threads = available()
        walk, decoder = _C.Walk(self._nets, quality, rows, columns, threads), rans.Decoder(self._tables, payload)
        for k in range(walk.segments):
            indexes = np.empty(walk.segment_size(k), np.uint8)
            walk.predict(k, indexes)
            walk.accept(k, decoder.decode(indexes, threads))
        decoder.finish()
        return walk.latents()

    def empty(self, rows: int, columns: int) -> np.ndarray:
        return np.empty((rows, columns, self.config.latents), np.int16)

    def samples(self, channels: int, rows: int, columns: int, kind: str) -> None:
        return None


def load(path: Path) -> Engine:
    """Ready to decode; cached as `model_file.load`. Raises ModelError as that does."""
    return _engine_of(model_file.load(path))


def load_for(model_id: bytes, model: str | os.PathLike | None) -> Engine:
    """`model_file.load_for`, ready to decode. Raises ModelError as that does."""
    return _engine_of(model_file.load_for(model_id, model))


def _engine_of(file: ModelFile) -> Engine:
    with _LOADING:  # threads that begin together are to make it once
        return _made(file)


@lru_cache(maxsize=4)
def _made(file: ModelFile) -> Engine:
    return Engine(file)

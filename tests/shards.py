"""Tar shards for the tests, and conversions that behave badly."""

import io
import json
import os
import signal
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from codec.bulk import shard
from codec.bulk.names import Shard
from codec.bulk.task import Task, one_by_one
from codec.conversion import Compression, Decompression, Made
from codec.plugins.ray import AecCompressor

EXACT = Task(Compression({"lossless": True}))
BACK = Task(Decompression())


@cache
def png(seed: int, side: int = 12, kind: str = "PNG") -> bytes:
    import photos

    file = io.BytesIO()
    Image.fromarray(photos.photo(side, side + 1, seed=seed)).save(file, kind)
    return file.getvalue()


def write(path: Path, files: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    """Member i was last changed in second i + 0.5 of the year 2001."""
    with tarfile.open(path, mode) as tar:
        for i, (name, data) in enumerate(files):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 978307200.5 + i
            tar.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]


def times(path: Path) -> list[float]:
    with tarfile.open(path) as tar:
        return [info.mtime for info in tar]


def samples(n: int, first: int = 0, side: int = 12) -> list[tuple[str, bytes]]:
    """So many samples of a picture and two files beside it."""
    found = []
    for i in range(first, first + n):
        found += [(f"{i:04}.png", png(i, side)), (f"{i:04}.json", b'{"i": %d}' % i), (f"{i:04}.cls", b"%d" % (i % 3))]
    return found


@dataclass(frozen=True)
class Deadly(Compression):
    """Ends its process at each picture that is this text, as a lack of memory would."""

    def make(self, data: bytes, *rest) -> Made:
        if data == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        if data == b"bug":
            raise KeyError("a bug")
        return Made(data.upper(), {"bytes_in": len(data), "bytes_out": len(data)})


@dataclass(frozen=True)
class Slow(Compression):
    """Takes so long for each picture that there is time to kill it."""

    def make(self, data: bytes, *rest) -> Made:
        time.sleep(0.05)
        return super().make(data, *rest)


class SlowCompressor(AecCompressor):
    """The same for each batch."""

    def __call__(self, batch):
        time.sleep(0.3)
        return super().__call__(batch)


def convert(source, target, task=EXACT) -> dict:
    """In this process."""
    return shard.convert(Shard(str(source), str(target)), task, one_by_one(task.conversion))


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))

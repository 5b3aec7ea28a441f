"""Decodes in another process, which gets the path of the encoded file and nothing else.

So a codec cannot return pixels that its encoder kept in memory, and a decoder that crashes does not end the benchmark.
The process writes the decoded pixels to a file in the same folder.
"""

from __future__ import annotations

import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from .clock import timed
from .codecs import Resident


@dataclass(frozen=True)
class Decoded:
    pixels: np.ndarray  # as the codec returned it: the caller must check shape and dtype
    seconds: float
    peak_bytes: int | None
    resident_seconds: float | None  # time to decode to pixels on the GPU; None: the codec does not run on a GPU


class DecodeError(Exception):
    """The codec failed in the other process. The message contains the error."""


class Decoder:
    """The decoding process of a codec. It is started by the first call of `decode`."""

    def __init__(self, decode: Callable[[bytes], np.ndarray], resident: Callable[[], Resident | None], folder: Path):
        """decode, resident: as in `codecs.Codec`; both must be picklable. folder: for the file with the pixels."""
        self._arguments = (decode, resident)
        self._pixels = folder / "pixels.npy"
        self._process = self._pipe = None

    def decode(self, path: Path, runs: int) -> Decoded:
        """Decode a file at least twice, and time it as `clock.timed` does.

        Raises:
            DecodeError: the codec raised an exception, returned something that is not an array, returned other pixels
                the second time, or its process ended.
        """
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send((path, self._pixels, runs))
            error, *figures = self._pipe.recv()
        except (EOFError, OSError):
            process = self._process
            process.join(1)  # else its exit code may not be known yet
            self.close()
            raise DecodeError(f"its decoder died with exit code {process.exitcode}") from None
        if error:
            raise DecodeError(error)
        return Decoded(np.load(self._pixels, allow_pickle=False), *figures)

    def close(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.terminate()
            self._process.join()
            self._process = self._pipe = None


def _serve(pipe: Connection, decode: Callable[[bytes], np.ndarray], resident: Callable[[], Resident | None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C goes to all processes: die without a traceback
    while True:
        try:
            path, pixels, runs = pipe.recv()
        except EOFError:
            return
        try:
            answer = (None, *_decode(path, pixels, runs, decode, resident))
        except Exception as error:  # a codec may raise anything
            answer = (f"{type(error).__name__}: {error}",)
        pipe.send(answer)


def _decode(
    path: Path, pixels: Path, runs: int, decode: Callable[[bytes], np.ndarray], resident: Callable[[], Resident | None]
) -> tuple[float, int | None, float | None]:
    data = path.read_bytes()
    result, seconds, peak = timed(lambda: decode(data), runs, _same)
    np.save(pixels, result, allow_pickle=False)
    return seconds, peak, _resident_seconds(resident(), data, runs)


def _resident_seconds(on_gpu: Resident | None, data: bytes, runs: int) -> float | None:
    return on_gpu and seconds_on_gpu(on_gpu, lambda: on_gpu.decode(data), runs)


def seconds_on_gpu(on_gpu: Resident, call: Callable[[], object], runs: int) -> float:
    """Median wall-clock seconds from the call until the GPU has finished. The caller must have warmed up the call."""
    seconds = []
    for _ in range(runs):
        on_gpu.wait()
        start = time.perf_counter()
        call()
        on_gpu.wait()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _same(first: object, again: object) -> None:
    if not isinstance(first, np.ndarray):
        raise TypeError(f"decoded to {type(first).__name__}, not to an array")
    if not np.array_equal(first, again):
        raise ValueError("the same file decoded to other pixels the second time")

"""Threads, forked and spawned processes, and the end of the interpreter."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import codec

from .check import Check, Extent, Measured, python, tests
from .pictures import photo

SIZES = ((40, 56), (64, 64), (130, 70), (1, 90))


def digest(i: int) -> str:
    """Of the file of picture i, and of what it decodes to."""
    data = codec.encode(photo(*SIZES[i % len(SIZES)], seed=i % 8), 20 + i % 8 * 10, "cpu")
    return hashlib.sha256(data + codec.decode(data, "cpu", output="numpy").tobytes()).hexdigest()


def _compared(found: Iterable[str], n: int) -> int:
    return sum(one != digest(i) for i, one in zip(range(n), found, strict=True))


def in_threads(extent: Extent) -> Measured:
    n = extent.of(160, 10_000)
    with ThreadPoolExecutor(16) as pool:
        wrong = _compared(pool.map(digest, range(n)), n)
    return Measured(f"{n} pictures there and back in 16 threads: {wrong} differ", wrong == 0)


def in_processes(extent: Extent) -> Measured:
    said, n, bad = [], extent.of(16, 1000), 0
    for how in multiprocessing.get_all_start_methods():
        digest(0)  # the parent has used everything before
        with ProcessPoolExecutor(2, multiprocessing.get_context(how)) as pool:
            wrong = _compared(pool.map(digest, range(n)), n)
        said.append(f"{how}: {wrong} of {n} differ")
        bad += wrong
    return Measured(f"workers of 2, {', '.join(said)}", bad == 0)


EXIT = """
import threading, numpy as np, codec
image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
data = codec.encode(image, 50, "cpu")
def forever():
    while True:
        codec.decode(data, "cpu", output="numpy")
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
opened, walk = codec.open(data), codec.decode(data)
import time; time.sleep({seconds})
"""


def at_exit(extent: Extent) -> Measured:
    """The interpreter ends while threads decode, and while objects of the extension are still there."""
    n, codes, slowest = extent.of(4, 100), [], 0.0
    for i in range(n):
        seconds = 0.05 * (i % 8)
        start = time.monotonic()
        codes.append(python("-c", EXIT.replace("{seconds}", str(seconds)), timeout=120).returncode)
        slowest = max(slowest, time.monotonic() - start - seconds)
    bad = sum(code != 0 for code in codes)
    return Measured(
        f"{n} exits with 4 threads decoding: {bad} not clean, the slowest run took {slowest:.1f} s", bad == 0
    )


CHECKS = [
    Check(21, "the same bytes and pixels in 16 threads", in_threads),
    Check(21, "forked and spawned workers", in_processes),
    Check(21, "forks of a process with threads and torch", tests("test_fork.py")),
    Check(21, "the end of the interpreter", at_exit),
]

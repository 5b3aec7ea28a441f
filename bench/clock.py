"""Measures how long a call takes, and by how much it raises the memory use of the process at its peak."""

from __future__ import annotations

import ctypes
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SLOW_S = 1.0  # seconds; a call that takes longer is timed only once, without a warm-up
T = TypeVar("T")


def timed(call: Callable[[], T], runs: int, check: Callable[[T, T], None] | None = None) -> tuple[T, float, int | None]:
    """Measure the memory of a first call, which also warms up, and the time of further calls.

    Args:
        call: it is called runs + 1 times; if the first call takes longer than SLOW_S, once (with `check`, twice).
        runs: at least 1.
        check: called with the first result and each later one, so that it can compare them.

    Returns:
        (the first result; wall-clock seconds: the median of the `runs` later calls, or the time of the first if that is
        above SLOW_S; bytes as in `peak_bytes`).
    """
    (result, first_s), peak = peak_bytes(lambda: _clocked(call))
    if first_s > SLOW_S:
        if check:
            check(result, call())
        return result, first_s, peak
    seconds = []
    for _ in range(runs):
        again, once_s = _clocked(call)
        seconds.append(once_s)
        if check:
            check(result, again)
    return result, statistics.median(seconds), peak


def _clocked(call: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def peak_bytes(call: Callable[[], T]) -> tuple[T, int | None]:
    """(the call's result, the largest increase of the process's resident memory during the call, in bytes).

    The memory includes that of Python, of all libraries and of the result. It is None on systems other than Linux.
    """
    try:
        if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)  # else the call could reuse freed memory of earlier calls, which would not be counted
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, the peak, to the current memory use
        before = _status("VmRSS")
    except OSError:
        return call(), None
    result = call()
    return result, max(0, _status("VmHWM") - before)


def _status(field: str) -> int:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}")

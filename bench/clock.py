"""How long a call takes, and how much memory it takes at most beyond what the process already had."""

from __future__ import annotations

import ctypes
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SLOW_S = 1.0  # what takes longer is timed once, and its first call counts
T = TypeVar("T")


def timed(call: Callable[[], T], runs: int, check: Callable[[T, T], None] | None = None) -> tuple[T, float, int | None]:
    """Call it, first for its memory and to warm up, then for its time.

    Args:
        runs: >= 1; of a call of up to SLOW_S seconds the median of that many after the first; otherwise the first.
        check: is called with the first result and each later one, of which there is then one at least.

    Returns:
        (the first result, wall-clock seconds, bytes as `peak_bytes`).
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
    """(its result, the most that it added to the process's resident memory; None but on Linux).

    Of the CPU's memory, Python's and the libraries' together; what the result itself takes counts.
    """
    try:
        if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)  # or the call would take what earlier ones left, for nothing
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark comes down to what there is now
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

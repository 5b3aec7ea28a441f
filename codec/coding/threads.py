"""Tiles or files at once, over threads that share the cores with those that each of them starts; and what a fork does.

The child of a fork has one thread, a copy of the one that forked. It misses none of csrc's and none of the pools' here,
which live for one call. It would wait for OpenMP's, which torch has: on the processor nothing here uses them.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Protocol, TypeVar

# The networks take up to 250 MB for a tile and its surroundings: this bounds the memory on machines of many cores.
MOST_AT_ONCE = 4
Item = TypeVar("Item")
Result = TypeVar("Result")
_own = threading.local()  # share: threads that this thread may use


class OrderedMap(Protocol):
    """map(function, items): lazily, in the items' order; a function's error is raised in its place.

    What yields the items may itself be such a map of the same team: functions never wait for each other.
    """

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]: ...


def lock_across_forks() -> threading.Lock:
    """A lock that a fork waits for: else the child may find it held by a thread that it does not have."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available() -> int:
    """How many threads the calling one may use: torch's number where torch is in use, else one for each core.

    OMP_NUM_THREADS, which is torch's limit, is ours too.
    """
    if (share := getattr(_own, "share", None)) is not None:
        return share
    if (torch := sys.modules.get("torch")) is not None:
        return torch.get_num_threads()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(limit)) if limit.isdecimal() else cores()


def _one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    return map(function, items)


@contextmanager
def team(tiles: int, one_at_a_time: bool = False) -> Iterator[OrderedMap]:
    """An ordered map that does as many of the tiles at once as pays off. The results come in order, a few at a time.

    Args:
        one_at_a_time: as on a GPU, which a tile of the usual size fills.
    """
    workers = 1 if one_at_a_time else min(tiles, available(), MOST_AT_ONCE)
    if workers <= 1:
        yield _one_by_one
        return

    def ordered(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    with pool_of(workers) as pool:
        yield ordered


@contextmanager
def pool_of(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads with equal shares of what is available; what has not begun by the end never does."""
    threads = available()
    share = max(1, threads // workers)
    torch = sys.modules.get("torch")

    def begin() -> None:
        _own.share = share
        if torch is not None:
            torch.set_num_threads(share)
            torch.get_num_threads()  # which would set it anew if it came first

    pool, started = ThreadPoolExecutor(workers, "aec", initializer=begin), Barrier(workers + 1)
    try:
        # torch's number of threads is each thread's own, but a thread starts with the last that any other has set.
        # Once ours have started, that is what it was.
        for _ in range(workers):
            pool.submit(started.wait)
        started.wait()
        if torch is not None:
            torch.set_num_threads(threads)
        yield pool
    finally:
        started.abort()  # of use only if a thread could not be started: the others would wait for it
        pool.shutdown(cancel_futures=True)
        if torch is not None:
            torch.set_num_threads(threads)  # for threads that others start later

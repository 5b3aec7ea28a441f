"""Thread pools for tiles and files.

Each worker thread gets a share of the cores, and limits the threads that C++ and torch start for it to that share.

About forks: a forked child process has only the thread that called fork. This is harmless for the threads of csrc and
of the pools here, which live only during one call. What csrc makes once and keeps is made when the extension is loaded
or, for encoders on the CPU, under `lock_across_forks`, so that no fork comes in the middle. torch's OpenMP threads
would be missing, and the child would wait for them forever; nothing here uses them on the CPU.
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

# Largest number of tiles at once. The networks need up to 250 MB for a tile and its margin, so this bounds the memory
# on machines with many cores.
MOST_AT_ONCE = 4
Item = TypeVar("Item")
Result = TypeVar("Result")
_own = threading.local()  # its attribute `share` is the number of threads that the current thread may use


class OrderedMap(Protocol):
    """A lazy map(function, items) that yields the results in the order of the items.

    If a function raises an error, the error is raised where its result would be. The iterator of the items may itself
    be such a map of the same team; this cannot deadlock, because the functions never wait for each other.
    """

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]: ...


def lock_across_forks() -> threading.Lock:
    """Create a lock that fork acquires first, so that a child never inherits it locked by a thread that it lacks."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available() -> int:
    """Return how many threads the calling thread may use.

    Within a pool of this module this is the thread's share. Otherwise it is torch's number of threads if torch was
    imported, or OMP_NUM_THREADS (which torch obeys too), or the number of cores.
    """
    if (share := getattr(_own, "share", None)) is not None:
        return share
    if (torch := sys.modules.get("torch")) is not None:
        return torch.get_num_threads()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(limit)) if limit.isdecimal() else cores()


def use(threads: int) -> None:
    """Limit how many threads the calling thread may use from now on."""
    _own.share = threads


def _one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    return map(function, items)


@contextmanager
def team(tiles: int, one_at_a_time: bool = False) -> Iterator[OrderedMap]:
    """Context manager: gives an ordered map that runs a few tiles at once, in as many threads as pays off.

    Args:
        tiles: the number of tiles.
        one_at_a_time: run everything in the calling thread, as for a GPU, which one tile keeps busy.
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
    """Context manager: gives a pool whose threads have equal shares of the available threads.

    At the end, the functions that have not started yet are cancelled. After an error or Ctrl-C, what the others compute
    in csrc is ended early: they raise `_C.Stopped`.
    """
    from .. import _C

    threads, stop = available(), _C.StopFlag()
    share = max(1, threads // workers)
    torch = sys.modules.get("torch")

    def begin() -> None:
        stop.obey()
        use(share)
        if torch is not None:
            torch.set_num_threads(share)
            torch.get_num_threads()  # the first such call in a thread may reset the number, so it is made now

    pool, started = ThreadPoolExecutor(workers, "aec", initializer=begin), Barrier(workers + 1)
    try:
        # torch keeps the number of threads for each thread separately, but a new thread starts with the number that any
        # thread has set last. So all workers are started here, and then that number is set back.
        for _ in range(workers):
            pool.submit(started.wait)
        started.wait()
        if torch is not None:
            torch.set_num_threads(threads)
        yield pool
    except BaseException:
        stop.set()
        raise
    finally:
        started.abort()  # if a thread could not be started, this ends the others' wait for it
        pool.shutdown(cancel_futures=True)
        if torch is not None:
            torch.set_num_threads(threads)  # the number that threads of the caller will start with

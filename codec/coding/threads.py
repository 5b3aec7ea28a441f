"""Tiles or files at once, over threads that share the cores with torch's own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Protocol, TypeVar

import torch

# The networks take up to 250 MB for a tile and its surroundings: this bounds the memory on machines of many cores.
MOST_AT_ONCE = 4
Item, Result = TypeVar("Item"), TypeVar("Result")


class OrderedMap(Protocol):
    """map(function, items): lazily, in the items' order; a function's error is raised in its place.

    What yields the items may itself be such a map of the same team: functions never wait for each other.
    """

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]: ...


@contextmanager
def team(tiles: int, device: torch.device) -> Iterator[OrderedMap]:
    """An ordered map that does as many of the tiles at once as pays off. The results come in order, a few at a time.

    One at a time on a GPU, which a tile of the usual size fills, and where there is one tile or one thread.
    """
    threads = torch.get_num_threads()
    workers = min(tiles, threads, MOST_AT_ONCE) if device.type == "cpu" else 1
    if workers <= 1:
        yield map
        return

    def ordered(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        pending = deque()
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
    """Threads with equal shares of torch's; what has not begun by the end never does."""
    threads = torch.get_num_threads()

    def begin() -> None:
        torch.set_num_threads(max(1, threads // workers))
        torch.get_num_threads()  # which would set it anew if it came first

    pool, started = ThreadPoolExecutor(workers, "aec", initializer=begin), Barrier(workers + 1)
    try:
        # torch's number of threads is each thread's own, but a thread starts with the last that any other has set.
        # Once ours have started, that is what it was.
        for _ in range(workers):
            pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(threads)
        yield pool
    finally:
        started.abort()  # of use only if a thread could not be started: the others would wait for it
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # for threads that others start later

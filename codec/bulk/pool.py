"""Local worker processes, which convert pictures while their parent reads and writes shards.

A picture that kills the process that works on it, as one that needs more memory than there is, costs only itself: the
pictures that were under way are tried again in a process of their own.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

from ..coding import threads
from ..conversion import Conversion
from . import task as tasks
from .task import Item, Result

# So many pictures, or so many bytes of them, are sent to a process at once: to send one alone takes as long as to
# convert a very small one.
CHUNK_PICTURES, CHUNK_BYTES = 16, 1 << 17
# How far a shard is read ahead of what is written: so many chunks for each process, and at most so many bytes.
CHUNKS_AHEAD, BYTES_AHEAD = 2, 1 << 26
TRIES = 2  # of a picture alone, before it is to blame for the end of its process

_conversion: Conversion  # of this worker process


class Stopped(Exception):
    """The work was abandoned, because of Ctrl-C."""


def _begin(conversion: Conversion) -> None:
    global _conversion
    _conversion = conversion
    threads.use(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C too, and ends the work
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)  # a parent that was killed does not end its children

    threading.Thread(target=follow, daemon=True).start()


def _convert(pictures: list[bytes]) -> list[Result]:
    return [tasks.convert(_conversion, data) for data in pictures]


class Processes:
    """A pool of processes, which several threads may use at once, each for a shard of its own.

    Args:
        conversion: of each picture.
        workers: the number of processes.
    """

    def __init__(self, conversion: Conversion, workers: int):
        self.workers, self._conversion = workers, conversion
        # A fork of this process would lack its threads. The server is a fresh process, of which the workers are forks
        # that have the modules already.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "codec.picture.pixels", "codec.coding.engine"])
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._pool = self._new(workers)

    def _new(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, self._context, _begin, (self._conversion,))

    def ordered(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result | None]]:
        """As `task.Ordered`. Raises Stopped after `stop`."""
        pending: deque[_Chunk] = deque()
        n_bytes = 0
        for chunk in _chunks(items):
            self._submit(chunk)
            pending.append(chunk)
            n_bytes += chunk.n_bytes
            while len(pending) > CHUNKS_AHEAD * self.workers or n_bytes > BYTES_AHEAD and len(pending) > 1:
                n_bytes -= pending[0].n_bytes
                yield from self._results(pending.popleft())
        while pending:
            yield from self._results(pending.popleft())

    def _submit(self, chunk: "_Chunk") -> None:
        if self._stop.is_set():
            raise Stopped
        if not (pictures := chunk.pictures):
            return
        with self._lock:
            try:
                chunk.pool, chunk.future = self._pool, self._pool.submit(_convert, pictures)
            except BrokenProcessPool:
                self._renew(self._pool)
                chunk.pool, chunk.future = self._pool, self._pool.submit(_convert, pictures)

    def _renew(self, broken: ProcessPoolExecutor | None) -> None:
        """Replace a pool whose process has died, unless that was done already. The lock must be held."""
        if broken is self._pool:
            self._pool = self._new(self.workers)

    def _results(self, chunk: "_Chunk") -> Iterator[tuple[Item, Result | None]]:
        results: Iterator[Result] = iter(())
        if chunk.future is not None:
            try:
                results = iter(self._wait(chunk.future))
            except BrokenProcessPool:
                with self._lock:
                    self._renew(chunk.pool)
                results = iter(self._apart(chunk.pictures))
        for item in chunk.items:
            yield item, (next(results) if item.picture else None)

    def _wait(self, future: "Future[list[Result]]") -> list[Result]:
        while not self._stop.is_set():
            try:
                return future.result(timeout=0.5)
            except TimeoutError:
                if future.done():
                    raise
        raise Stopped

    def _apart(self, pictures: list[bytes]) -> list[Result]:
        """Convert pictures in a process of their own. If that ends, each half of them gets one, until a single picture
        is left, which is the one that ends processes."""
        for _ in range(TRIES if len(pictures) == 1 else 1):
            with self._new(1) as pool:
                try:
                    return self._wait(pool.submit(_convert, pictures))
                except BrokenProcessPool:
                    continue
        if len(pictures) > 1:
            half = len(pictures) // 2
            return self._apart(pictures[:half]) + self._apart(pictures[half:])
        why = "the process that worked on it ended without a word, as it does where memory runs out"
        return [Result(None, "failed", {"bytes_in": len(pictures[0])}, why)]

    def stop(self) -> None:
        """Make the threads that use the pool raise Stopped."""
        self._stop.set()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Chunk:
    """A few items that follow each other, whose pictures are sent to a process together."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.n_bytes = 0
        self.pool: ProcessPoolExecutor | None = None
        self.future: Future[list[Result]] | None = None

    @property
    def pictures(self) -> list[bytes]:
        return [item.data for item in self.items if item.picture]


def _chunks(items: Iterable[Item]) -> Iterator[_Chunk]:
    chunk = _Chunk()
    for item in items:
        chunk.items.append(item)
        chunk.n_bytes += len(item.data)
        if len(chunk.pictures) >= CHUNK_PICTURES or chunk.n_bytes >= CHUNK_BYTES:
            yield chunk
            chunk = _Chunk()
    yield chunk

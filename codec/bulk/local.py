"""The engine of one machine: processes for the pictures, and threads that read and write a few shards at a time."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from ..failures import FAILURES
from . import shard as shards
from .names import Shard
from .pool import Processes
from .shard import Stats
from .task import Task


@dataclass(frozen=True)
class Outcome:
    """What became of a shard: its statistics, or the error that it failed with."""

    shard: Shard
    stats: Stats | None = None
    error: Exception | None = None


def run(
    todo: Sequence[Shard], task: Task, workers: int, tell: Callable[[int], None] = lambda n: None
) -> Generator[Outcome, None, None]:
    """Convert shards, and yield what became of each as soon as it is finished, in any order.

    Args:
        workers: the number of processes. Each uses one core.
        tell: called by several threads, with the number of pictures that were done since the last call.

    While one shard is written to its end, the processes have the pictures of the next one.
    """

    def attempt(shard: Shard) -> Outcome:
        try:
            return Outcome(shard, shards.convert(shard, task, processes.ordered, tell))
        except FAILURES as e:
            return Outcome(shard, error=e)

    at_once = min(len(todo), 2 + workers // 8)
    with Processes(task.conversion, workers) as processes, ThreadPoolExecutor(max(1, at_once), "aec") as threads:
        waiting, under_way = iter(todo), set[Future[Outcome]]()
        try:
            while True:
                under_way |= {threads.submit(attempt, shard) for shard in islice(waiting, at_once - len(under_way))}
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            processes.stop()

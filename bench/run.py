"""Measures all pictures, in this process or in several, and shows the progress."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from pathlib import Path

from codec.cli.streams import complain, on_terminal

from .measure import Bench, Conditions, Failure, Picture, Point, describe


def run(pictures: Sequence[Picture], conditions: Conditions, results: list[Point | Failure]) -> None:
    """Measure everything with a progress bar, and print failures on stderr when they happen.

    Args:
        results: each result is appended to this list as soon as it is known, so that after a KeyboardInterrupt it holds
            all results until then. At the end it is sorted by picture, codec and quality, in the order in which these
            were given.
    """
    from tqdm import tqdm

    per_picture = sum(len(entrant.qualities) for entrant in conditions.entrants)
    told = _Lines(per_picture, len(pictures))
    with (
        tempfile.TemporaryDirectory(prefix="aec-bench-", ignore_cleanup_errors=True) as folder,
        tqdm(total=per_picture * len(pictures), unit="point", file=sys.stderr, dynamic_ncols=True, disable=None) as bar,
    ):
        measure = _here if conditions.jobs == 1 else _in_processes
        for result in measure(pictures, conditions, Path(folder)):
            results.append(result)
            told.add(result)
            if isinstance(result, Failure):
                bar.update(result.n_points)
                tqdm.write(f"aec: bench: {result.message}", file=sys.stderr)
            else:
                bar.update(result.fresh)
                bar.total -= not result.fresh  # results from the cache must not count in the estimate of the time left
                bar.set_postfix_str(f"{result.row['image']} {result.row['codec']}", refresh=False)
    if conditions.jobs > 1:
        order = {(p.image_set, p.name): i for i, p in enumerate(pictures)}
        results.sort(key=lambda r: order[r.row["set"], r.row["image"]] if isinstance(r, Point) else -1)


class _Lines:
    """If stderr is no terminal, and so shows no progress bar: prints a line for each picture that is finished."""

    def __init__(self, per_picture: int, n_pictures: int):
        self.silent = on_terminal()
        self.per_picture, self.n_pictures, self.n_points, self.last = per_picture, n_pictures, 0, ""

    def add(self, result: Point | Failure) -> None:
        """The results of a picture come together, in one process as in many."""
        before = self.n_points // self.per_picture
        self.n_points += result.n_points if isinstance(result, Failure) else 1
        self.last = result.row["image"] if isinstance(result, Point) else self.last
        if not self.silent and (n_done := self.n_points // self.per_picture) > before:
            complain(f"aec: bench: {n_done} of {self.n_pictures} images, the last {self.last}")


def _here(pictures: Sequence[Picture], conditions: Conditions, folder: Path) -> Iterator[Point | Failure]:
    bench = Bench(conditions, folder)
    try:
        for picture in pictures:
            yield from bench.measure(picture)
    finally:
        bench.close()


def _in_processes(pictures: Sequence[Picture], conditions: Conditions, folder: Path) -> Iterator[Point | Failure]:
    """Measure in several processes, each of which handles one picture at a time."""
    context = multiprocessing.get_context("spawn")
    per_picture = sum(len(entrant.qualities) for entrant in conditions.entrants)
    with ProcessPoolExecutor(conditions.jobs, context, _begin, (conditions, folder)) as pool:
        pictures_of = {pool.submit(_all_points, picture): picture for picture in pictures}
        try:
            for future in as_completed(pictures_of):
                try:
                    yield from future.result()
                except BrokenExecutor as error:  # a codec ended its process, which makes the pool unusable
                    yield Failure(f"{pictures_of[future].path}: {describe(error)}", per_picture)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_bench: Bench | None = None  # in a process of the pool: used for all pictures that the process measures


def _begin(conditions: Conditions, folder: Path) -> None:
    global _bench
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C goes to all processes: die without a traceback
    _bench = Bench(conditions, Path(tempfile.mkdtemp(dir=folder)))


def _all_points(picture: Picture) -> list[Point | Failure]:
    return list(_bench.measure(picture))

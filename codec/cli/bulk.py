"""`aec compress` and `aec decompress` with --from and --to: tar shards of pictures."""

import json
import sys
import threading
import time
import traceback
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import replace
from pathlib import Path

from ..api import AIMS
from ..bulk import local, names
from ..bulk.local import Outcome
from ..bulk.names import Shard
from ..bulk.shard import COUNTS
from ..bulk.task import Task
from ..coding import model_search
from ..conversion import Compression, Conversion, Decompression
from ..failures import message
from . import streams
from .jobs import UsageError, refuse_options
from .runner import EXIT_INTERRUPTED, EXIT_SOME_FAILED, exit_code, size_text

# The options of the ordinary commands that mean something for shards too, by the names of argparse.
OPTIONS = {"shards", "to", "rows", "engine", "address", "force", "dry_run", "jobs", "json", "model", "device"}
OPTIONS |= {"verbose", "quiet", "progress", "debug", "metadata"}
COMPRESS_OPTIONS = OPTIONS | {"quality", *AIMS, "effort", "alpha_quality", "bits", "progressive", "if_larger"}
DECOMPRESS_OPTIONS = OPTIONS | {"crop", "scale", "fit", "depth", "format", "out_quality", "max_pixels"}


def run(args: Namespace, conversion: Conversion, workers: Callable[[], int]) -> int:
    """Convert the shards that --from names, and report each.

    Args:
        workers: gives the number of processes; it checks the model and the device.
    """
    compresses = isinstance(conversion, Compression)
    refuse_options(args, COMPRESS_OPTIONS if compresses else DECOMPRESS_OPTIONS, "tar shards (--from)")
    todo = _planned(args)
    if args.dry_run:
        for shard in todo:
            streams.say(streams.shown(f"{shard.source} -> {shard.target}"))
        return 0
    n = workers()
    if not compresses:  # every option of the other command has been checked by now
        conversion.check()
    if args.model is not None and Path(args.model).is_file():  # the processes may run in other folders
        assert isinstance(conversion, (Compression, Decompression))
        conversion = replace(conversion, model=str(Path(args.model).resolve()))
    model_id = None
    if compresses and not args.lossless and args.max_error is None:
        model_id = model_search.id_in(model_search.header_of(model_search.find(args.model))).hex()
    task = Task(conversion, args.rows, args.force, model_id)
    report = _Report(args, len(todo))
    try:
        with closing(_outcomes(args, todo, task, n, report)) as outcomes:
            for outcome in outcomes:
                report.add(outcome)
    except KeyboardInterrupt:
        report.close()
        streams.complain(
            f"aec: interrupted: {report.shards_done} of {_counted(len(todo), 'shard')} done; the same command goes on"
        )
        return EXIT_INTERRUPTED
    finally:
        report.close()
    return report.code()


def _planned(args: Namespace) -> list[Shard]:
    if args.inputs:
        raise UsageError(f"--from names tar shards, and {args.inputs[0]} is another input: give one or the other")
    if args.to is None:
        raise UsageError("--from needs --to: a name such as 'out-{:05d}.tar', or a folder, out/")
    if args.address is not None and args.engine != "ray":
        raise UsageError("--address is of a cluster, and needs --engine ray")
    try:
        sources = [name for pattern in args.shards for name in names.expand(pattern)]
        if not sources:
            raise UsageError(f"no file matches {' '.join(args.shards)}")
        return names.plan(sources, args.to)
    except ValueError as e:
        raise UsageError(str(e)) from e


def _outcomes(
    args: Namespace, todo: Sequence[Shard], task: Task, workers: int, report: "_Report"
) -> Generator[Outcome, None, None]:
    if args.engine == "local":
        return local.run(todo, task, workers, report.tell)
    from ..plugins import ray

    at_once = args.jobs if isinstance(args.jobs, int) else None
    return _without_prints(ray.run(todo, task, report.tell, args.address, at_once))


def _without_prints(outcomes: Generator[Outcome, None, None]) -> Generator[Outcome, None, None]:
    """Send what is printed by others meanwhile to standard error: Ray tells of workers that died on standard output,
    where --json has nothing but its rows."""
    with closing(outcomes):
        while True:
            with redirect_stdout(sys.stderr):
                outcome = next(outcomes, None)
            if outcome is None:
                return
            yield outcome


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _pictures(n: int) -> str:
    return _counted(n, "picture")


class _Report:
    """Counts and prints what became of the shards, and shows a bar that counts pictures."""

    def __init__(self, args: Namespace, n_shards: int):
        self._args, self._n_shards, self._start = args, n_shards, time.perf_counter()
        self._counts: Counter[str] = Counter()
        self._codes: list[int] = []
        self._lock = threading.Lock()
        self.shards_done, self._before = 0, 0
        self._bar = None
        if args.progress if args.progress is not None else streams.on_terminal() and not args.quiet:
            from tqdm import tqdm

            self._bar = tqdm(file=streams.Unfailing(), unit=" pictures", dynamic_ncols=True, smoothing=0.05)
            self._describe()

    def _describe(self) -> None:
        if self._bar is not None:
            self._bar.set_description(f"{self.shards_done} of {self._n_shards} shards")

    def tell(self, n: int) -> None:
        """Count pictures that are done. Several threads call it."""
        with self._lock:
            if self._bar is not None:
                self._bar.update(n)

    def add(self, outcome: Outcome) -> None:
        shard, stats, error = outcome.shard, outcome.stats, outcome.error
        names = {"in": shard.source, "out": shard.target}
        if stats is None:
            assert error is not None  # an outcome has one or the other
            if self._args.debug:
                for line in "".join(traceback.format_exception(error)).splitlines():
                    self._say(streams.complain, line)
            why = message(error, shard.source)
            self._say(streams.complain, f"aec: {shard.source}: {why}")
            self._codes.append(exit_code(error))
            row = names | {"status": "failed", "error": why}
        else:
            before = bool(stats.get("before"))
            self.shards_done += 1
            self._before += before
            self._counts.update({name: stats[name] for name in COUNTS} if not before else {})
            if stats["failed"]:
                some = f"{stats['failed']} of {_pictures(stats['pictures'])} failed; their rows say why"
                self._say(streams.complain, f"aec: {shard.source}: {some}")
                self._codes.append(EXIT_SOME_FAILED)
            if self._args.verbose:
                what = "done before" if before else f"{_pictures(stats['done'])} in {stats['seconds']:.1f} s"
                self._say(streams.complain, f"{shard.source}: {what} -> {shard.target}")
            figures = {name: stats[name] for name in (*COUNTS, "seconds")}
            row = names | figures | {"status": "skipped" if before else "done", "error": None}
        if self._args.json:
            self._say(streams.say, json.dumps(row))
        self._describe()

    def _say(self, how: Callable[[str], None], text: str) -> None:
        if self._bar is None:
            how(text)
        else:
            with self._bar.external_write_mode(self._bar.fp):
                how(text)

    def close(self) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def code(self) -> int:
        """Print the totals, and return the exit code."""
        self.close()
        c, seconds = self._counts, time.perf_counter() - self._start
        words = [f"{c[name]} {name}" for name in ("done", "failed", "skipped") if c[name]]
        text = f"{self.shards_done} of {_counted(self._n_shards, 'shard')}"
        text += f", {self._before} of them before" if self._before else ""
        if words:
            text += f"; {_pictures(c['pictures'])}: {', '.join(words)}"
        if c["left_out"]:
            text += f"; {_counted(c['left_out'], 'member')} left out, as only plain files are taken"
        if c["bytes_in"]:
            share = c["bytes_out"] / c["bytes_in"]
            text += f"; {size_text(c['bytes_in'])} -> {size_text(c['bytes_out'])} ({share:.1%})"
        if not self._args.quiet:
            streams.complain(f"aec: {text}, {seconds:.1f} s, {c['pictures'] / seconds:.1f} pictures/s")
        return (self._codes[0] if self._n_shards == 1 else EXIT_SOME_FAILED) if self._codes else 0

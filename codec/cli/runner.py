"""Runs jobs, in parallel if wanted, and reports each with a line or a JSON object, a progress bar, and an exit code.

If one job fails, the others go on. Each job is reported as soon as it is finished, so that the output of a killed run
tells exactly what was done.
"""

import json
import os
import signal
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from .. import errors
from ..coding.threads import pool_of
from ..failures import FAILURES, message
from ..io import OutputError
from . import streams
from .jobs import Job

EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INPUT, EXIT_CORRUPT, EXIT_LIMIT, EXIT_MODEL, EXIT_OUTPUT = range(1, 8)
EXIT_INTERRUPTED = 130
_TICK = 0.4  # seconds until the progress bar appears, and between its updates
FACTS = ("bytes_in", "bytes_out", "width", "height", "bpp", "quality")
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Row:
    """The result of a job, for the report.

    Args:
        status: "done", "planned", "skipped" or "failed".
        line: the message for --verbose, which is printed after the job's name.
        text: printed on standard output; None: nothing.
        why: the reason if the job was skipped or failed.
        facts: values for --json, with keys from `FACTS`, and perhaps `missing`.
    """

    status: str = "done"
    line: str = ""
    text: str | None = None
    why: str | None = None
    facts: dict = field(default_factory=dict)


Work = Callable[[Job, Progress], Row]


class _Stopped(Exception):
    """The job was abandoned because another one failed, or because of Ctrl-C."""


def size_text(n_bytes: int) -> str:
    """Format a size for people: 999 bytes, 62.0 kB, 34.5 MB."""
    value, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{n_bytes} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def exit_code(error: Exception) -> int:
    for kinds, code in (
        (errors.LimitError, EXIT_LIMIT),
        (errors.NotAecError, EXIT_INPUT),
        (errors.FormatError, EXIT_CORRUPT),
        (errors.ModelError, EXIT_MODEL),
        (errors.BackendError, EXIT_USAGE),
        (OutputError, EXIT_OUTPUT),
    ):
        if isinstance(error, kinds):
            return code
    return EXIT_INPUT


def failed(error: Exception, name: str, debug: bool) -> int:
    """Print why a command could not read the one file that it was given, and return the exit code.

    With `debug` the error is raised again instead.
    """
    if debug:
        raise error
    streams.complain(f"aec: {name}: {message(error, name)}")
    return exit_code(error)


class _Bar:
    """A progress bar on standard error. A thread keeps its clock running, because one tile may take long."""

    def __init__(self, jobs: list[Job]):
        from tqdm import tqdm

        self._single = len(jobs) == 1
        one = {"bar_format": "{desc}: {percentage:3.0f}% {bar} {elapsed}<{remaining}"}
        layout: dict[str, Any] = {"desc": streams.shown(jobs[0].name), **one} if self._single else {"unit": "file"}
        self._bar = tqdm(
            total=len(jobs),
            file=streams.Unfailing(),
            dynamic_ncols=True,
            leave=not self._single,
            delay=_TICK if self._single else 0,  # a file that is done sooner needs no bar
            smoothing=0,  # estimates the remaining time by the mean of all files so far, not by the last ones
            **layout,
        )
        self._shown, self._closed = False, threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def _tick(self) -> None:
        while not self._closed.wait(_TICK):
            self._bar.refresh()
            self._shown = True

    def update(self, share: float) -> None:
        """Set the share of the work that is done, for a single job."""
        self._bar.update(share - self._bar.n)

    def one_more(self) -> None:
        """Count one more job as done, for many jobs."""
        self._bar.update()

    def paused(self) -> AbstractContextManager:
        """Context manager that hides the bar while a line is printed."""
        return self._bar.external_write_mode(self._bar.fp)

    def close(self) -> None:
        self._closed.set()
        self._ticker.join()
        if self._single and self._shown:
            self._bar.clear()  # tqdm's close() would only clear a bar that was drawn by its update()
        self._bar.close()


class _Report:
    """Counts and prints the results of the jobs. Only the main thread uses it, except for the method `share`."""

    def __init__(self, args: Namespace, jobs: list[Job], done: str | None):
        self.args, self.jobs, self.done = args, jobs, done
        self.start, self.bytes_in, self.bytes_out = time.perf_counter(), 0, 0
        self.codes: list[int] = []
        self.statuses: Counter[str] = Counter()
        show = args.progress if args.progress is not None else streams.on_terminal() and not args.quiet
        self.bar = _Bar(jobs) if show and jobs else None
        # The result of a single file is printed on a terminal; elsewhere only with --verbose.
        self.lines = args.verbose or bool(done) and len(jobs) == 1 and streams.on_terminal() and not args.quiet

    def share(self, share: float) -> None:
        """Set the share of the work that is done, if there is a single job."""
        if self.bar is not None and len(self.jobs) == 1:
            self.bar.update(share)

    def tell(self, how: Callable[[str], None], text: str) -> None:
        """Print text with `streams.say` or `streams.complain`, while the bar is hidden."""
        with nullcontext() if self.bar is None else self.bar.paused():
            how(text)

    def add(self, job: Job, result: Row | Exception, seconds: float) -> None:
        if len(self.jobs) == 1:
            self._close_bar()
        if isinstance(result, Exception):
            error = message(result, job.name)
            self.tell(streams.complain, f"aec: {job.name}: {error}")
            self.codes.append(exit_code(result))
            result = Row("failed", why=error)
        elif self.lines and (text := result.line or result.why):
            self.tell(streams.complain, f"{job.name}: {text}")
        self._count(result)
        if self.args.json:
            names = {"in": job.name if job.source else "-", "out": job.target and str(job.target)}
            facts = {key: result.facts.get(key) for key in FACTS}
            if "missing" in result.facts:  # only with --allow-partial
                facts["missing"] = result.facts["missing"]
            last = {"seconds": round(seconds, 4), "status": result.status, "error": result.why}
            self.tell(streams.say, json.dumps(names | facts | last))
        elif result.status == "planned":
            self.tell(streams.say, streams.shown(f"{job.name} -> {job.target or 'standard output'}"))
        elif result.text is not None:
            self.tell(streams.say, result.text)
        if self.bar is not None and len(self.jobs) > 1:
            self.bar.one_more()

    def _count(self, row: Row) -> None:
        self.statuses[row.status] += 1
        if row.status == "done":
            self.bytes_in += row.facts.get("bytes_in") or 0
            self.bytes_out += row.facts.get("bytes_out") or 0

    def _totals(self) -> str:
        """Return the summary of many files: 12 files: 10 done, 2 failed; 34.5 MB -> 3.1 MB (9.0%), 12.3 s."""
        words = {"done": self.done, "planned": "planned", "skipped": "skipped", "failed": "failed"}
        counts = ", ".join(f"{self.statuses[status]} {word}" for status, word in words.items() if self.statuses[status])
        if left := len(self.jobs) - sum(self.statuses.values()):  # after --no-keep-going
            counts += f", {left} not begun"
        sizes = ""
        if self.bytes_in:
            sizes = f"; {size_text(self.bytes_in)}"
        if self.bytes_out:
            sizes += f" -> {size_text(self.bytes_out)} ({self.bytes_out / self.bytes_in:.1%})"
        return f"{len(self.jobs)} files: {counts}{sizes}, {time.perf_counter() - self.start:.1f} s"

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def code(self, interrupted: bool) -> int:
        self._close_bar()
        if interrupted:
            streams.complain(f"aec: interrupted: {self.statuses['done']} of {len(self.jobs)} files done")
            return EXIT_INTERRUPTED
        if self.done and len(self.jobs) > 1 and not self.args.quiet:
            streams.complain(f"aec: {self._totals()}")
        return 0 if not self.codes else self.codes[0] if len(self.jobs) == 1 else EXIT_SOME_FAILED


def run(
    args: Namespace,
    jobs: list[Job],
    work: Work,
    workers: int = 1,
    networks: bool = False,
    done: str | None = "done",
) -> int:
    """Run all jobs and report their results.

    Args:
        args: the options json, verbose, quiet, progress, debug and keep_going of the command line.
        work: does one job; it is called by up to `workers` threads at once. It must call the progress function that it
            is given now and then, with the share of the work that is done, up to 1, and finally before it writes its
            output. That function raises an exception if the job is to be abandoned.
        networks: whether the work runs networks. Each worker then gets a share of the available threads.
        done: the word for files that succeeded, in the summary of many files. With a word, the result of a single file
            is also printed on a terminal. None: neither is printed. `args.quiet` suppresses both.

    Returns:
        The exit code. For one job it is the code of its error, and for several it says whether any failed.
    """
    report, stop = _Report(args, jobs, done), threading.Event()

    def progress(share: float) -> None:
        if stop.is_set():
            raise _Stopped
        report.share(share)

    def attempt(job: Job) -> tuple[Row | Exception, float]:
        start = time.perf_counter()
        try:
            progress(0)
            if job.problem:
                raise job.problem
            result: Row | Exception = work(job, progress)
        except FAILURES as e:
            if args.debug:
                raise
            result = e
        if isinstance(result, Exception) and not args.keep_going:
            stop.set()
        return result, time.perf_counter() - start

    if workers == 1:
        return _one_by_one(report, attempt, stop)
    return _side_by_side(report, attempt, stop, workers, networks)


def _one_by_one(report: _Report, attempt: Callable, stop: threading.Event) -> int:
    try:
        for job in report.jobs:
            report.add(job, *attempt(job))
            if stop.is_set():
                break
    except KeyboardInterrupt:
        return report.code(interrupted=True)
    return report.code(interrupted=False)


def _side_by_side(report: _Report, attempt: Callable, stop: threading.Event, workers: int, networks: bool) -> int:
    from .. import _C

    interrupted, flag = False, _C.StopFlag()

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        if interrupted:  # a second Ctrl-C exits at once; files are never left half-written
            os._exit(EXIT_INTERRUPTED)
        interrupted = True
        stop.set()
        flag.set()

    def obedient(job: Job) -> tuple[Row | Exception, float]:
        flag.obey()
        return attempt(job)

    with _on_interrupt(interrupt), _pool(workers, networks) as pool:
        futures = {pool.submit(obedient, job): job for job in report.jobs}
        try:
            for future in as_completed(futures):
                try:
                    result, seconds = future.result()
                except (_Stopped, _C.Stopped):
                    continue
                report.add(futures[future], result, seconds)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            stop.set()  # the remaining jobs end when they next report progress, or within csrc
            flag.set()
    return report.code(interrupted)


def _pool(workers: int, networks: bool) -> AbstractContextManager[ThreadPoolExecutor]:
    if not networks:
        return ThreadPoolExecutor(workers, "aec")
    return pool_of(workers)


@contextmanager
def _on_interrupt(handler: Callable) -> Iterator[None]:
    """Make Ctrl-C call `handler` instead of raising KeyboardInterrupt, so that no row is lost while it is reported."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

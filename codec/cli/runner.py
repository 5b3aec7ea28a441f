"""Jobs -> rows: files side by side, a bar, a line or a JSON object for each, and the exit code of it all.

A failure costs one row. Rows come as the files finish, so that what a killed run has printed is what it has done.
"""

import json
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from .. import errors
from ..coding.threads import pool_of
from ..container.format import Header
from ..io import InputError, OutputError
from . import streams
from .jobs import Job

EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INPUT, EXIT_CORRUPT, EXIT_LIMIT, EXIT_MODEL, EXIT_OUTPUT = range(1, 8)
EXIT_INTERRUPTED = 130
# What a file or a machine can bring about. The rest is a bug of ours. Where memory is short, torch says RuntimeError,
# and what is imported only then ImportError or SystemError.
UNLOADED = (ImportError, SystemError)
FAILURES = (errors.AecError, OutputError, InputError, OSError, ValueError, MemoryError, RuntimeError, *UNLOADED)


@dataclass(frozen=True)
class Row:
    """What became of a job.

    Args:
        status: "done", "planned", or "skipped" with the reason in `why`.
        line: what -v prints, after the job's name.
        text: what is to be on standard output.
        facts: what --json adds; the keys of `FACTS`.
    """

    status: str = "done"
    line: str = ""
    text: str | None = None
    why: str | None = None
    facts: dict = field(default_factory=dict)


FACTS = ("bytes_in", "bytes_out", "width", "height", "bpp", "quality")
Progress = Callable[[float], None]


def facts_of(header: Header, n_bytes: int) -> dict:
    """What a row says of an .aec file of so many bytes."""
    bpp = round(8 * n_bytes / (header.width * header.height), 4)
    quality = header.quality or None  # none if the picture is stored
    return {"width": header.width, "height": header.height, "bpp": bpp, "quality": quality}


Work = Callable[[Job, Progress], Row]


class _Stopped(Exception):
    """The job was given up because another one failed, or on Ctrl-C."""


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


def message(error: Exception, name: str | None = None) -> str:
    """What an error says to someone who has read `name` already."""
    if isinstance(error, OSError) and error.strerror:  # str() has its number, and the name that it happened to
        about = error.filename if error.filename is not None and str(error.filename) != name else None
        return error.strerror if about is None else f"{os.fsdecode(about)}: {error.strerror}"
    if isinstance(error, UNLOADED):  # numpy's has a page of advice before its reason
        return f"what this needs cannot be loaded: {str(error).rstrip().rpartition(chr(10))[2]}"
    return str(error) or type(error).__name__


class _Report:
    """Counts and prints what became of the jobs; used from the main thread only, but for `share`."""

    def __init__(self, args: Namespace, jobs: list[Job]):
        self.args, self.jobs, self.codes, self.done, self.bar = args, jobs, [], 0, None
        show = args.progress if args.progress is not None else sys.stderr.isatty() and not args.quiet
        if show and jobs:
            from tqdm import tqdm

            one = {"bar_format": "{desc}: {percentage:3.0f}% {bar} {elapsed}<{remaining}", "delay": 0.5}
            layout = {"unit": "file"} if len(jobs) > 1 else {"desc": streams.shown(jobs[0].name), **one}
            file = streams.Unfailing()
            self.bar = tqdm(total=len(jobs), file=file, dynamic_ncols=True, leave=len(jobs) > 1, **layout)

    def share(self, share: float) -> None:
        """Of a single job's work."""
        if self.bar is not None and len(self.jobs) == 1:
            self.bar.update(share - self.bar.n)

    def tell(self, how: Callable[[str], None], text: str) -> None:
        """By `streams.say` or `complain`, and not torn by the bar."""
        with nullcontext() if self.bar is None else self.bar.external_write_mode(self.bar.fp):
            how(text)

    def add(self, job: Job, result: Row | Exception, seconds: float) -> None:
        if isinstance(result, Exception):
            error = message(result, job.name)
            self.tell(streams.complain, f"aec: {job.name}: {error}")
            self.codes.append(exit_code(result))
            result = Row("failed", why=error)
        elif self.args.verbose:
            self.tell(streams.complain, f"{job.name}: {result.line or result.why}")
        self.done += result.status == "done"
        if self.args.json:
            names = {"in": job.name if job.source else "-", "out": job.target and str(job.target)}
            facts = {key: result.facts.get(key) for key in FACTS}
            last = {"seconds": round(seconds, 4), "status": result.status, "error": result.why}
            self.tell(streams.say, json.dumps(names | facts | last))
        elif result.status == "planned":
            self.tell(streams.say, streams.shown(f"{job.name} -> {job.target or 'standard output'}"))
        elif result.text is not None:
            self.tell(streams.say, result.text)
        if self.bar is not None and len(self.jobs) > 1:
            self.bar.update()

    def code(self, interrupted: bool) -> int:
        if self.bar is not None:
            self.bar.close()
        if interrupted:
            streams.complain(f"aec: interrupted: {self.done} of {len(self.jobs)} files done")
            return EXIT_INTERRUPTED
        return 0 if not self.codes else self.codes[0] if len(self.jobs) == 1 else EXIT_SOME_FAILED


def run(args: Namespace, jobs: list[Job], work: Work, workers: int = 1, networks: bool = False) -> int:
    """Do all jobs.

    Args:
        args: json, verbose, quiet, progress, debug, keep_going: as on the command line.
        work: does one; called in `workers` threads at once. What it is given as progress it calls now and then with the
            share that is done, up to 1, and last before it writes: there a job that is not wanted any more ends.
        networks: the work runs some; each worker then gets its share of their threads.

    Returns:
        The exit code: of one job its own, of several whether some failed.
    """
    report, stop = _Report(args, jobs), threading.Event()

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
            result = work(job, progress)
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
    interrupted = False

    def interrupt(*_) -> None:
        nonlocal interrupted
        if interrupted:  # asked for twice: by now nothing is being written, so nothing is torn
            os._exit(EXIT_INTERRUPTED)
        interrupted = True
        stop.set()

    with _on_interrupt(interrupt), _pool(workers, networks) as pool:
        futures = {pool.submit(attempt, job): job for job in report.jobs}
        try:
            for future in as_completed(futures):
                try:
                    result, seconds = future.result()
                except _Stopped:
                    continue
                report.add(futures[future], result, seconds)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            stop.set()  # what is left ends at its next progress
    return report.code(interrupted)


def _pool(workers: int, networks: bool) -> AbstractContextManager[ThreadPoolExecutor]:
    if not networks:
        return ThreadPoolExecutor(workers, "aec")
    return pool_of(workers)


@contextmanager
def _on_interrupt(handler: Callable) -> Iterator[None]:
    """Ctrl-C calls this in the main thread and raises nothing, so that no row is lost half way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

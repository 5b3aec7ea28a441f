"""Jobs -> rows: files side by side, a bar, a line or a JSON object for each, and the exit code of it all.

A failure costs one row. Rows come as the files finish, so that what a killed run has printed is what it has done.
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
from ..io import InputError, OutputError
from ..opened import AecFile
from . import streams
from .jobs import Job

EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INPUT, EXIT_CORRUPT, EXIT_LIMIT, EXIT_MODEL, EXIT_OUTPUT = range(1, 8)
EXIT_INTERRUPTED = 130
# What a file or a machine can bring about. The rest is a bug of ours. Where memory is short, torch says RuntimeError,
# and what is imported only then ImportError or SystemError.
UNLOADED = (ImportError, SystemError)
FAILURES = (errors.AecError, OutputError, InputError, OSError, ValueError, MemoryError, RuntimeError, *UNLOADED)
_TICK = 0.4  # seconds until a bar is seen, and from one picture of it to the next
FACTS = ("bytes_in", "bytes_out", "width", "height", "bpp", "quality")
Progress = Callable[[float], None]


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


Work = Callable[[Job, Progress], Row]


def facts_of(file: AecFile) -> dict:
    """What a row says of an .aec file."""
    h = file.header
    bpp = round(8 * file.n_bytes / (h.width * h.height), 4)
    return {"width": h.width, "height": h.height, "bpp": bpp, "quality": h.quality or None}  # none if stored


class _Stopped(Exception):
    """The job was given up because another one failed, or on Ctrl-C."""


def size_text(n_bytes: int) -> str:
    """For people: 999 bytes, 62.0 kB, 34.5 MB."""
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


def message(error: Exception, name: str | None = None) -> str:
    """What an error says to someone who has read `name` already."""
    if isinstance(error, OSError) and error.strerror:  # str() has its number, and the name that it happened to
        about = error.filename if error.filename is not None and str(error.filename) != name else None
        return error.strerror if about is None else f"{os.fsdecode(about)}: {error.strerror}"
    if isinstance(error, UNLOADED):  # numpy's has a page of advice before its reason
        return f"what this needs cannot be loaded: {str(error).rstrip().rpartition(chr(10))[2]}"
    return str(error) or type(error).__name__


class _Bar:
    """A progress bar on standard error, which moves on by itself: a picture of one tile has no steps to tell of."""

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
            smoothing=0,  # the time left by the mean so far: the last file alone says little of those to come
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
        """Of a single job, the share that is done."""
        self._bar.update(share - self._bar.n)

    def one_more(self) -> None:
        """Of many jobs."""
        self._bar.update()

    def paused(self) -> AbstractContextManager:
        """While a line is printed."""
        return self._bar.external_write_mode(self._bar.fp)

    def close(self) -> None:
        self._closed.set()
        self._ticker.join()
        if self._single and self._shown:
            self._bar.clear()  # tqdm wipes only what `update` has drawn
        self._bar.close()


class _Report:
    """Counts and prints what became of the jobs; used from the main thread only, but for `share`."""

    def __init__(self, args: Namespace, jobs: list[Job], done: str | None):
        self.args, self.jobs, self.done = args, jobs, done
        self.start, self.bytes_in, self.bytes_out = time.perf_counter(), 0, 0
        self.codes: list[int] = []
        self.statuses: Counter[str] = Counter()
        show = args.progress if args.progress is not None else streams.on_terminal() and not args.quiet
        self.bar = _Bar(jobs) if show and jobs else None
        # What one file became is told to who sits before a terminal, and to others only if they ask.
        self.lines = args.verbose or bool(done) and len(jobs) == 1 and streams.on_terminal() and not args.quiet

    def share(self, share: float) -> None:
        """Of a single job's work."""
        if self.bar is not None and len(self.jobs) == 1:
            self.bar.update(share)

    def tell(self, how: Callable[[str], None], text: str) -> None:
        """By `streams.say` or `complain`, and not torn by the bar."""
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
        """Of many files: 12 files: 10 done, 2 failed; 34.5 MB -> 3.1 MB (9.0%), 12.3 s."""
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
    """Do all jobs.

    Args:
        args: json, verbose, quiet, progress, debug, keep_going: as on the command line.
        work: does one; called in `workers` threads at once. What it is given as progress it calls now and then with the
            share that is done, up to 1, and last before it writes: there a job that is not wanted any more ends.
        networks: the work runs some; each worker then gets its share of their threads.
        done: what files are that went well, for the line that says what many came to, and on a terminal what one did,
            unless `args.quiet`; None: no such line.

    Returns:
        The exit code: of one job its own, of several whether some failed.
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
    interrupted = False

    def interrupt(*_: object) -> None:
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

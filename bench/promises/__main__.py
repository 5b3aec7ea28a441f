"""Measures whether aec's promises are kept: `python -m bench.promises [--only 4,6] [--long] [-o FILE]`.

Each check runs in a process of its own, so that one that crashes or hangs is a promise not kept and no more. The table
is Markdown. The exit code is 1 if a promise is not kept, and 0 otherwise. What cannot be run here is named with the
reason, and says nothing about the promise. docs/promises.md tells more.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import codec
from codec.io import write_bytes

from ..machine import machine_line, source_commit
from .check import Extent, NotHere, environment
from .listed import CHECKS, PROMISES

KEPT, NOT_KEPT, NOT_HERE = "kept", "**not kept**", "not run here"
LONGEST = 24 * 3600  # seconds of one check of a long run


def worker(number: int, extent: Extent, out: Path) -> None:
    """The main function of a check's process: writes its verdict and its figure to a file."""
    try:
        found = CHECKS[number].run(extent)
        verdict, figure = KEPT if found.kept else NOT_KEPT, found.figure
    except NotHere as reason:
        verdict, figure = NOT_HERE, str(reason)
    except Exception as error:
        traceback.print_exc()
        verdict, figure = NOT_KEPT, f"the check failed with {type(error).__name__}: {error}"
    out.write_text(f"{verdict}\n{figure}")


def run(number: int, extent: Extent) -> tuple[str, str]:
    """(verdict, figure) of a check."""
    check = CHECKS[number]
    package = __package__
    limit = LONGEST if extent.long else check.seconds
    with tempfile.TemporaryDirectory(prefix="aec-promises-") as name:
        out = Path(name) / "verdict"
        words = [sys.executable, "-m", package, "--worker", str(number), str(out), str(extent.minutes)]
        words += ["--long"] if extent.long else []
        # In a folder of its own, since the tree holds sources that need not be those of the package under test; and
        # with a group of its own, so that its children end with it.
        environ = environment(TMPDIR=name)
        root = str(Path(__file__).resolve().parents[package.count(".") + 1])
        environ["PYTHONPATH"] = os.pathsep.join((root, environ["PYTHONPATH"]))
        process = subprocess.Popen(
            words,
            env=environ,
            cwd=name,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            said = process.communicate(timeout=limit)[1]
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                return NOT_KEPT, f"it did not end within {limit:.0f} s"
            raise
        if out.exists():
            if "the check failed" in (text := out.read_text()):
                print(said, file=sys.stderr)
            verdict, _, figure = text.partition("\n")
            return verdict, figure
        return NOT_KEPT, f"its process ended with exit code {process.returncode}: {said.strip()[-300:]}"


def rows(numbers: Sequence[int], extent: Extent) -> Iterator[tuple[int, str, str, str]]:
    """(number of the check, verdict, figure, seconds) of the checks of these promises."""
    for number, check in enumerate(CHECKS):
        if check.promise in numbers:
            start = time.monotonic()
            verdict, figure = run(number, extent)
            seconds = f"{time.monotonic() - start:.0f}"
            print(f"{check.promise}: {verdict.strip('*')} ({seconds} s): {check.test}: {figure}", file=sys.stderr)
            yield number, verdict, figure, seconds


def table(found: Sequence[tuple[int, str, str, str]]) -> str:
    lines = ["| # | promise | how it is tested | figure | verdict | s |", "|---:|---|---|---|---|---:|"]
    before = None
    for number, verdict, figure, seconds in found:
        check = CHECKS[number]
        n, promise = (check.promise, PROMISES[check.promise]) if check.promise != before else ("", "")
        before = check.promise
        cells = [str(n), promise, check.test, "" if verdict == NOT_HERE else figure]
        cells += [f"{verdict}: {figure}" if verdict == NOT_HERE else verdict, seconds]
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must be numbers of promises with commas between, as 4,6") from None
    if unknown := [n for n in numbers if n not in PROMISES]:
        raise argparse.ArgumentTypeError(f"there is no promise {unknown[0]}: allowed are 1..{max(PROMISES)}")
    return numbers


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--worker"]:
        worker(int(words[1]), Extent("--long" in words, float(words[3])), Path(words[2]))
        return 0
    parser = argparse.ArgumentParser("python -m bench.promises", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", type=_numbers, metavar="N,..", help="numbers of promises (default: all)")
    parser.add_argument("--long", action="store_true", help="the full figures, for hours, not samples")
    parser.add_argument("--minutes", type=float, default=240, help="of fuzzing with --long, in all (default: 240)")
    parser.add_argument("--list", action="store_true", help="print the promises and their tests, and run nothing")
    parser.add_argument("-o", dest="out", type=Path, metavar="FILE", help="write the table there too; replaces it")
    args = parser.parse_args(words)
    numbers = args.only or list(PROMISES)
    if args.list:
        for check in CHECKS:
            if check.promise in numbers:
                print(f"{check.promise:2} {PROMISES[check.promise]}: {check.test}")
        return 0
    start, found = time.monotonic(), []
    try:
        for row in rows(numbers, Extent(args.long, args.minutes)):
            found.append(row)
    except KeyboardInterrupt:
        print("interrupted: the table holds what was measured", file=sys.stderr)
    counts = {verdict: sum(row[1] == verdict for row in found) for verdict in (KEPT, NOT_KEPT, NOT_HERE)}
    minutes = (time.monotonic() - start) / 60
    said = ", ".join(f"{n} {verdict.strip('*')}" for verdict, n in counts.items())
    here = f"aec {codec.__version__}, commit {source_commit() or 'unknown'}, {date.today()}; {machine_line(False)}"
    text = (
        f"`{shlex.join(['python', '-m', 'bench.promises', *words])}`, {here}\n\n"
        f"{table(found)}\n\n{len(found)} checks in {minutes:.1f} minutes: {said}\n"
    )
    print(text)
    if args.out:
        write_bytes(args.out, text.encode(), force=True)
    return 1 if counts[NOT_KEPT] else 0


if __name__ == "__main__":
    sys.exit(main())

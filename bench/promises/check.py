"""What a check of a promise is, and the means that the checks share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import codec

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
GOLDEN = TESTS / "golden"
T = TypeVar("T")


class NotHere(Exception):
    """The check needs something that this machine or this installation does not have; the message says what."""


@dataclass(frozen=True)
class Extent:
    """How much a run measures.

    Args:
        long: whether it takes the full figures, for hours, instead of samples.
        minutes: of fuzzing, in all.
    """

    long: bool = False
    minutes: float = 240

    def of(self, short: T, long: T) -> T:
        return long if self.long else short


@dataclass(frozen=True)
class Measured:
    """What a check found.

    Args:
        figure: what was measured, in words and numbers.
        kept: whether the promise is kept.
    """

    figure: str
    kept: bool


@dataclass(frozen=True)
class Check:
    """One way in which a promise is tested.

    Args:
        promise: the number of the promise.
        test: how it is tested, in a few words.
        run: measures; raises NotHere if it cannot be run here.
        seconds: after so many seconds without an end, a short run counts as hanging.
    """

    promise: int
    test: str
    run: Callable[[Extent], Measured]
    seconds: float = 240


def need_tests() -> Path:
    """The folder of the tests. Raises NotHere in an installed package, which has none."""
    if not (TESTS / "conftest.py").is_file():
        raise NotHere("the tests are in a clone of the repository, and this is an installed package")
    return TESTS


def environment(**more: str) -> dict[str, str]:
    """Environment variables with which child processes import the package that this process uses."""
    paths = [str(Path(codec.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | more


def python(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, and capture what it prints. `options` are those of subprocess.run."""
    given: dict = {"capture_output": True, "text": True, "env": environment()} | options
    return subprocess.run([sys.executable, *map(str, words)], **given)


def aec(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command `aec` with these arguments, and capture what it prints."""
    return python("-m", "codec.cli", *words, **options)


def tests(*names: str, also: tuple[str, ...] = ()) -> Callable[[Extent], Measured]:
    """A check that runs tests by pytest.

    Args:
        names: files of tests/ and tests in them, as pytest names them; in a long run `also` is run as well.
    """

    def run(extent: Extent) -> Measured:
        return run_tests([*names, *(also if extent.long else ())])

    return run


def run_tests(names: list[str], *options: str) -> Measured:
    """Run tests by pytest. Raises NotHere, with pytest's reasons, if all of them are skipped."""
    words = [name if "/" in name else str(need_tests() / name) for name in names]
    done = python("-m", "pytest", "-rsfE", "-p", "no:cacheprovider", *options, *words, cwd=ROOT)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", last)}
    if not counts:
        raise RuntimeError(f"pytest {' '.join(words)} ran no test: {done.stdout[-300:]}{done.stderr[-300:]}")
    skipped = "; ".join(dict.fromkeys(re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", done.stdout, re.MULTILINE)))
    if counts.keys() == {"skipped"}:
        raise NotHere(skipped)
    bad = re.findall(r"^(?:FAILED|ERROR) \S*?([\w.]+::\S+)", done.stdout, re.MULTILINE)
    figure = ", ".join(f"{n} tests {word}" for word, n in counts.items())
    figure += f" ({skipped})" * bool(skipped) + f": {', '.join(bad)}" * bool(bad)
    return Measured(figure, done.returncode == 0)

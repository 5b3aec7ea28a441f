"""Fuzzing: the tests run every fuzzer for seconds; a long run gives them the minutes that it is told."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from pathlib import Path

from .check import TESTS, Check, Extent, Measured, NotHere, need_tests, python, tests

COMPILED = ("decode", "tables")
READERS = ("container", "stored", "metadata", "pillow", "collection")
SHORT = tuple(
    f"test_fuzz.py::test_{name}"
    for name in (
        "target_survives_its_corpus_and_some_mutations",
        "readers_raise_only_what_they_promise",
        "a_finding_is_kept",
    )
)
LONG = ("test_fuzz.py::test_a_buffer_one_byte_short_is_found_and_its_input_kept",)
# Shares of the minutes of a long run.
SHARE = 1 / (len(COMPILED) + len(READERS))


def compiled(extent: Extent) -> Measured:
    """The entropy coder and the tables, by libFuzzer under sanitizers."""
    import subprocess

    need_tests()
    if not extent.long:
        raise NotHere("--long runs it for hours (tests/fuzz/README.md)")
    if shutil.which("clang++") is None:
        raise NotHere("clang++ with libFuzzer is not installed (Debian: clang libclang-rt-14-dev)")
    said, kept = [], True
    with tempfile.TemporaryDirectory() as name:
        words = [TESTS / "fuzz" / "build.py", *COMPILED, "--cxx", "clang++", "--engine", "libfuzzer", "-o", name]
        built = python(*words, cwd=name)
        if built.returncode:
            raise NotHere(f"the fuzzers cannot be built: {built.stderr.strip()[-200:]}")
        for target in COMPILED:
            found = Path(name) / f"found-{target}"
            found.mkdir()
            command = [f"{name}/fuzz-{target}", f"-max_total_time={round(60 * extent.minutes * SHARE)}"]
            command += ["-max_len=9000", "-print_final_stats=1", str(found), str(TESTS / "fuzz" / "corpus" / target)]
            done = subprocess.run(command, cwd=name, capture_output=True, text=True)
            runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
            said.append(f"{target}: {runs[1] if runs else '?'} inputs")
            kept &= done.returncode == 0
    minutes = len(COMPILED) * extent.minutes * SHARE
    return Measured(f"{minutes:.0f} minutes, {', '.join(said)}, {'0 findings' if kept else 'A FINDING'}", kept)


def readers(extent: Extent) -> Measured:
    """Whole files, by atheris where it is installed, and blindly elsewhere."""
    need_tests()
    if not extent.long:
        raise NotHere("--long runs it for hours (tests/fuzz/README.md)")
    followed = importlib.util.find_spec("atheris") is not None
    said, kept, minutes = [], True, extent.minutes * SHARE
    blindly = (
        "import os, sys; from pathlib import Path; from fuzz import readers, targets; "
        "name, folder = sys.argv[1:3]; os.environ['AEC_MODELS'] = str(targets.GOLDEN); "
        "print(readers.blindly(targets.TARGETS[name], readers.CORPUS / name, float(sys.argv[3]), 1, "
        "Path(folder) / 'finding').total())"
    )
    with tempfile.TemporaryDirectory() as name:
        for target in READERS:
            if followed:
                done = python(TESTS / "fuzz" / "readers.py", target, "--minutes", minutes, cwd=name)
                runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
            else:
                words = ["-W", "ignore", "-c", f"import sys; sys.path.append({str(TESTS)!r}); {blindly}"]
                done = python(*words, target, name, 60 * minutes, cwd=name)
                runs = re.search(r"(\d+)", done.stdout)
            said.append(f"{target}: {runs[1] if runs else '?'} inputs")
            kept &= done.returncode == 0
    how = "following coverage" if followed else "blindly (atheris is not installed)"
    total = len(READERS) * minutes
    return Measured(f"{total:.0f} minutes {how}, {', '.join(said)}, {'0 findings' if kept else 'A FINDING'}", kept)


CHECKS = [
    Check(
        11,
        "every fuzzer for seconds, its corpus, and in a long run planted faults",
        tests(*SHORT, also=LONG),
        seconds=600,
    ),
    Check(11, "coder and tables by libFuzzer, with sanitizers", compiled),
    Check(11, "container, collections, stored pictures, metadata and the Pillow plugin", readers),
]

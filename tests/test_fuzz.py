"""The fuzzers of tests/fuzz/ for a second each: they build, replay their corpus, and would find something."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz import build, readers, targets

from codec.errors import FormatError, ModelError

FUZZ = Path(__file__).resolve().parent / "fuzz"
pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged files and old formats
OUTCOMES = {
    "container": {"decoded", *(error.__name__ for error in (*FormatError.__subclasses__(), ModelError))},
    "collection": {"decoded", *(error.__name__ for error in (*FormatError.__subclasses__(), ModelError))},
    "stored": {"kept", "read", "ValueError", "LimitError", "UnidentifiedImageError"},
    "metadata": {*targets.DOORS, "ValueError"},
    "pillow": {"loaded", "OSError", "UnidentifiedImageError", "DecompressionBombError", "DecompressionBombWarning"},
}


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """Skips where the compiler, or its sanitizers' runtime, is missing; and says which."""
    folder = tmp_path_factory.mktemp("fuzz")
    source = folder / "empty.cpp"
    source.write_text("int main() { delete new int; }\n")
    command = [*build.default_cxx(), *build.SANITIZERS, str(source), "-o", str(folder / "empty")]
    for step in (command, [str(folder / "empty")]):
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=120)
        except OSError as error:
            pytest.skip(f"no C++ compiler: {error}")
        if done.returncode != 0:
            pytest.skip(f"no sanitizers: {step[0]}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return build.Builder(folder, level="-O0")


def corpus(target):
    """The files that a target begins with: those of the C library are .aec files, as the golden ones are.

    Those that let each allocation fail in turn are left to longer runs, for they take minutes.
    """
    files = (FUZZ.parent / "golden").glob("*tiny2*.aec") if target == "file" else (FUZZ / "corpus" / target).iterdir()
    return sorted(path for path in files if not path.name.endswith("-each"))


# How many inputs there are at least to begin with, and what the targets beside the coder's need.
AT_LEAST = {"decode": 30, "tables": 30, "file": 15, "model": 8, "embedded": 12, "memory": 7}
HEADERS = {
    "file": ["zlib.h"],
    "model": ["zlib.h"],
    "memory": ["zlib.h"],
    "embedded": ["zlib.h", "png.h", "webp/decode.h", "jpeglib.h"],
}


def built(builder, target, **options):
    for header in HEADERS.get(target, []):
        if not any(Path(folder, header).exists() for folder in ("/usr/include", "/usr/local/include")):
            pytest.skip(f"{header} is not installed")
    return builder.build(target, **options)


def run(program, *arguments):
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("target", build.TARGETS)
def test_target_survives_its_corpus_and_some_mutations(target, builder, tmp_path):
    program, files = built(builder, target), corpus(target)
    done = run(program, "--runs", 100, "--seconds", 1, "--last", tmp_path / "last", *files)
    assert done.returncode == 0, done.stderr
    replayed, mutated = map(int, re.fullmatch(r"(\d+) corpus inputs\n(\d+) mutated inputs, .*\n", done.stdout).groups())
    assert replayed == len(files) >= AT_LEAST[target]
    assert mutated >= 100


@pytest.mark.parametrize("target", build.TARGETS)
def test_a_buffer_one_byte_short_is_found_and_its_input_kept(target, builder, tmp_path):
    program, last = built(builder, target, defines=("AEC_FUZZ_SELF_TEST",)), tmp_path / "last"
    done = run(program, "--last", last, *corpus(target))
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert last.read_bytes() in [path.read_bytes() for path in corpus(target)]


def test_corpus_stays_small():
    for target in (FUZZ / "corpus").iterdir():
        assert sum(path.is_file() for path in target.rglob("*")) <= 120, target.name
    assert sum(path.stat().st_size for path in (FUZZ / "corpus").rglob("*") if path.is_file()) <= 100_000


@pytest.mark.parametrize("name", readers.NAMES)
def test_readers_raise_only_what_they_promise(name, tmp_path, monkeypatch):
    monkeypatch.setenv("AEC_MODELS", str(targets.GOLDEN))
    finding = tmp_path / "finding"
    outcomes = readers.blindly(targets.TARGETS[name], readers.CORPUS / name, seconds=1, seed=1, finding=finding)
    assert set(outcomes) <= OUTCOMES[name] and not finding.exists()
    assert len(outcomes) > 2 and outcomes.total() > len(targets.TARGETS[name].seeds())


def test_a_finding_is_kept(tmp_path):
    def broken(data):
        raise IndexError("planted")

    target, finding = replace(targets.TARGETS["container"], check=broken), tmp_path / "finding"
    with pytest.raises(IndexError, match="planted"):
        readers.blindly(target, tmp_path / "none", seconds=1, seed=1, finding=finding)
    assert finding.read_bytes().startswith(b"\xd7AEC")


def test_atheris_runs_a_target(tmp_path):
    pytest.importorskip("atheris", reason="atheris, which follows coverage, is not installed")
    command = [sys.executable, FUZZ / "readers.py", "container", "--minutes", "0.02"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "number_of_executed_units" in done.stderr
    assert any(path.name.startswith("seed-") for path in (tmp_path / "found-container").iterdir())

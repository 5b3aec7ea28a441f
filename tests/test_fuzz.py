"""The fuzzers of tests/fuzz/ for a few seconds each: they build, replay their corpus, and would find something."""

import re
import subprocess
from pathlib import Path

import pytest
from fuzz import build, files

FUZZ = Path(__file__).resolve().parent / "fuzz"
FILE_OUTCOMES = {
    *("decoded", "CorruptError", "TruncatedError", "NotAecError", "UnsupportedVersionError", "ModelError", "LimitError")
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
    return build.Builder(folder)


def run(program, *arguments):
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("target", build.TARGETS)
def test_target_survives_its_corpus_and_some_mutations(target, builder, tmp_path):
    program, corpus = builder.build(target), FUZZ / "corpus" / target
    done = run(program, "--seconds", 4, "--last", tmp_path / "last", corpus)
    assert done.returncode == 0, done.stderr
    replayed, mutated = map(int, re.fullmatch(r"(\d+) corpus inputs\n(\d+) mutated inputs, .*\n", done.stdout).groups())
    assert replayed == len(list(corpus.iterdir())) >= 30
    assert mutated >= 100


@pytest.mark.parametrize("target", build.TARGETS)
def test_a_buffer_one_byte_short_is_found_and_its_input_kept(target, builder, tmp_path):
    program, last = builder.build(target, defines=("AEC_FUZZ_SELF_TEST",)), tmp_path / "last"
    done = run(program, "--last", last, FUZZ / "corpus" / target)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert last.read_bytes() in [path.read_bytes() for path in (FUZZ / "corpus" / target).iterdir()]


def test_corpus_stays_small():
    found = [path for path in (FUZZ / "corpus").rglob("*") if path.is_file()]
    assert len(found) <= 200 and sum(path.stat().st_size for path in found) <= 200_000


def test_whole_files_decode_or_raise_what_they_should(tmp_path):
    outcomes = files.run(seconds=3, seed=1, finding=tmp_path / "finding.aec")
    assert outcomes["decoded"] >= 4 and outcomes["CorruptError"] >= 1
    assert set(outcomes) <= FILE_OUTCOMES


def test_a_finding_in_a_whole_file_is_kept(tmp_path, monkeypatch):
    def broken(data, **options):
        raise IndexError("planted")

    monkeypatch.setattr(files.codec, "decode", broken)
    with pytest.raises(IndexError, match="planted"):
        files.run(seconds=1, seed=1, finding=tmp_path / "finding.aec")
    assert (tmp_path / "finding.aec").read_bytes().startswith(b"\xd7AEC")

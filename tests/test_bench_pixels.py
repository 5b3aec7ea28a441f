"""`python -m bench.pixels`: the pixels of a file are the same in all ways to decode it, and a difference is told."""

import json
from dataclasses import replace

import bench_package
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from codec import _C

command, files, machines = (bench_package.module(f"pixels.{name}") for name in ("__main__", "files", "machines"))


@pytest.fixture
def few_files(monkeypatch):
    """Of the small ones: just over the border between tiles, and a crop with 16 bits a sample."""
    by_name = {file.name: file for file in files.small_files([bench_package.picture(40, 70)])}
    chosen = [by_name["65x129-64-q50"], by_name["1x1-64-q5"], by_name["crop00-eye-q5"]]
    monkeypatch.setattr(command, "files", lambda photographs: chosen)
    return chosen


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(bench_package.picture(8, 8)).save(path)
    return path


def test_instruction_sets_threads_and_orders_have_one_hash_each_depth(few_files, photograph, tmp_path, capsys):
    isas = [isa for isa in _C.isas() if isa != "scalar"] + ["scalar"]
    words = [str(photograph), "--work", str(tmp_path / "work"), "--only", *isas[-3:]]
    assert command.main(words) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("| 0 |")]
    assert [row.split(" | ")[2:] for row in rows] == [["3", "18", "3", "0 |"]] * len(isas[-3:])


def test_a_run_goes_on_where_it_was_stopped_and_tells_what_differs(few_files, photograph, tmp_path, capsys):
    words = [str(photograph), "--work", str(tmp_path / "work"), "--only", "scalar"]
    assert command.main(words) == 0
    (kept,) = (tmp_path / "work").glob("scalar*.jsonl")
    lines = kept.read_text().splitlines(keepends=True)
    name, _ = json.loads(lines[0])
    kept.write_text(json.dumps([name, "0" * 64]) + "\n" + "".join(lines[1:-1]) + lines[-1][:9])
    capsys.readouterr()
    assert command.main([*words, "--known"]) == 1  # the two others of its depth differ from it
    assert "| scalar | 0 | 3 | 18 | 2 | 2 |" in capsys.readouterr().out
    assert command.main(words) == 1
    said = capsys.readouterr()
    assert "20 of 21 are known" in said.err and "- differs: scalar: " in said.out
    assert kept.read_text().splitlines(keepends=True)[1:] == lines[1:]


def test_what_is_not_here_is_named(few_files, photograph, tmp_path, monkeypatch, capsys):
    def absent(folder):
        raise machines.NotHere("em++ is not installed")

    monkeypatch.setitem(command.KINDS, "webassembly", absent)
    words = [str(photograph), "--work", str(tmp_path / "work"), "--only", "webassembly"]
    assert command.main(words) == 0
    assert "webassembly: not run here, for em++ is not installed" in capsys.readouterr().out


def test_a_worker_that_fails_is_an_error_with_its_message(tmp_path):
    machine = machines.here("scalar")
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        list(machine.run([{"decode": str(tmp_path / "none.aec"), "depth": 8, "areas": [[0, 0, 1, 1]]}]))
    with pytest.raises(RuntimeError, match="called abacus"):
        list(replace(machine, isa="abacus").run([]))


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([64, 128]), st.sampled_from(files.WAYS))
def test_areas_cover_each_pixel_once(width, height, side, way):
    covered = np.zeros((height, width), int)
    for x, y, w, h in way.areas(width, height, side):
        covered[y : y + h, x : x + w] += 1
    assert (covered == 1).all()

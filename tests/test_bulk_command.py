"""What `aec compress --from` says and refuses, and which faults are those of a picture or of the machine."""

import pickle
from argparse import Namespace
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import photos
import pytest
import shards
from shell import here, of_another_model

import codec
from codec.bulk import names, pool, shard
from codec.bulk.local import Outcome
from codec.bulk.names import Shard
from codec.bulk.task import Task, convert, one_by_one
from codec.cli import bulk
from codec.conversion import Compression, Decompression
from codec.errors import BackendError, MissingPackageError, ModelError
from codec.io import OutputError

AEC = codec.encode(np.zeros((8, 8, 3), np.uint8), lossless=True)


@dataclass(frozen=True)
class Raising(Compression):
    """Raises an error for each picture."""

    error: Exception | None = None

    def make(self, data: bytes, *rest):
        raise self.error


# ------------------------------------------------------------------ faults of a picture, and of the machine


@pytest.mark.parametrize(
    "error", [BackendError("no GPU"), MissingPackageError("no torch"), ImportError("libX.so is missing")]
)
def test_a_fault_of_the_machine_fails_the_shard_which_is_made_when_it_is_mended(tmp_path, error):
    source, target = shards.write(tmp_path / "in.tar", shards.samples(2)), tmp_path / "out.tar"
    task = Task(Compression({"lossless": True}))
    with pytest.raises(type(error), match=str(error)):
        shard.convert(
            Shard(str(source), str(target)), task, one_by_one(Raising({"lossless": True}, "cpu", error=error))
        )
    assert not target.exists() and not (tmp_path / "out_stats.json").exists()
    assert shard.convert(Shard(str(source), str(target)), task, one_by_one(task.conversion))["done"] == 2
    again = pickle.loads(pickle.dumps(error))  # as it comes from another process
    assert type(again) is type(error) and str(again) == str(error)


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), MemoryError("x"), KeyError("x"), TypeError("x")])
def test_any_other_fault_is_that_of_the_picture(error):
    result = convert(Raising(error=error), b"picture")
    assert result.status == "failed" and "x" in result.error and result.facts == {"bytes_in": 7}


def test_a_model_that_is_asked_for_must_be_there_and_one_that_a_file_names_need_not(tmp_path):
    missing = str(tmp_path / "missing.safetensors")
    lossy = codec.encode(photos.photo(64, 64), 60)
    with pytest.raises(ModelError, match="does not exist"):
        convert(Compression({"quality": 60}, "cpu", missing), shards.png(1))
    with pytest.raises(ModelError, match="does not exist"):
        convert(Decompression(model=missing), lossy)
    assert "deadbeef" in convert(Decompression(), of_another_model(lossy)).error
    assert "written with model" in convert(Decompression(model="psnr"), lossy).error
    assert convert(Compression({"lossless": True}, "cpu", missing), shards.png(1)).status == "done"


def test_a_picture_that_is_not_there_fails_and_its_bytes_may_be_of_any_kind():
    assert convert(Decompression(), None).error == "there is no picture"
    assert convert(Decompression(), bytearray(AEC)).status == "done"


@pytest.mark.parametrize(
    "conversion, error",
    [
        (Compression({"qualty": 60}), TypeError),
        (Compression({"quality": 101}), ValueError),
        (Compression({"quality": 60, "device": "cpu"}), TypeError),
        (Compression(model="missing"), ModelError),
        (Compression(device="tpu"), ValueError),
        (Decompression(".pngg"), OutputError),
        (Decompression(".png", quality=50), OutputError),
        (Decompression(scale=0.3), ValueError),
        (Decompression(fit=(0, 3)), ValueError),
        (Decompression(model="missing"), ModelError),
    ],
)
def test_options_that_fail_every_picture_are_found_before_the_first_one(conversion, error):
    with pytest.raises(error):
        conversion.check()


@pytest.mark.parametrize(
    "conversion",
    [
        *(Compression(options) for options in ({}, {"lossless": True}, {"target_size": 20}, {"target_bpp": 0.1})),
        *(Compression(options) for options in ({"target_ssimulacra2": 90}, {"quality": 60, "bits": 12})),
        *(Decompression(suffix) for suffix in (".png", ".jpg", ".webp", ".npy", ".tif")),
        Decompression(region=(100, 100, 50, 50), scale=1 / 8),
        Decompression(".jpg", fit=(400, 300), quality=80, model="psnr"),
    ],
)
def test_options_that_only_small_pictures_cannot_meet_are_not_refused(conversion):
    conversion.check()


# ------------------------------------------------------------------ a picture that ends its process


class Fake:
    """A pool that breaks at a chunk with b"die"."""

    def __init__(self, made: list[list[bytes]]):
        self.made = made

    def submit(self, function, pictures: list[bytes]) -> Future:
        self.made.append(pictures)
        future: Future = Future()
        if b"die" in pictures:
            future.set_exception(BrokenProcessPool("died"))
        else:
            future.set_result([convert(shards.Deadly(), picture) for picture in pictures])
        return future

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    shutdown = __exit__


@pytest.mark.parametrize("deadly", [{0}, {15}, {7}, {3, 12}, set(), set(range(16))])
def test_a_deadly_picture_is_found_by_halves_and_others_that_were_under_way_cost_one_process_a_chunk(
    monkeypatch, deadly
):
    made: list[list[bytes]] = []
    monkeypatch.setattr(pool.Processes, "_new", lambda self, workers: Fake(made))
    processes = pool.Processes(shards.Deadly(), 4)
    pictures = [b"die" if i in deadly else b"ok %d" % i for i in range(16)]
    results = processes._apart(pictures)
    assert [result.status for result in results] == ["failed" if i in deadly else "done" for i in range(16)]
    assert [result.data for i, result in enumerate(results) if i not in deadly] == [
        b"OK %d" % i for i in range(16) if i not in deadly
    ]
    assert all("ended without a word" in results[i].error for i in deadly)
    depth, once_more = 4, pool.TRIES - 1
    assert len(made) <= 1 + len(deadly) * (2 * depth + once_more)


# ------------------------------------------------------------------ the command


@pytest.fixture
def one(tmp_path, monkeypatch):
    """A folder with a shard of a good picture and a bad one, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    shards.write(tmp_path / "in-0.tar", [("a.png", shards.png(1)), ("b.png", b"no picture")])
    return tmp_path


@pytest.mark.parametrize("command", ["compress", "decompress"])
@pytest.mark.parametrize(
    "option", [("--to", "x.tar"), ("--rows", "parquet"), ("--engine", "ray"), ("--address", "auto")]
)
def test_options_for_shards_without_shards_are_refused(one, capsys, command, option):
    assert here(command, "a.png", *option) == 2
    assert f"{option[0]} is for tar shards: name them with --from" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["x-{}.tar.gz", "x-{}.tgz", "{name}.tar.xz", "s3://b/x.tar.bz2", "x.TAR"])
def test_compressed_targets_are_refused(to):
    with pytest.raises(ValueError, match="shards are written as plain .tar"):
        names.plan(["a.tar"], to)


def test_options_that_fail_every_picture_are_an_error_of_the_command(one, capsys):
    (one / "in-0.tar").write_bytes(shards.write(one / "aec.tar", [("a.aec", AEC)]).read_bytes())
    assert here("decompress", "--from", "in-0.tar", "--to", "out/", "--out-q", 50) == 7
    assert "PNG has no quality" in capsys.readouterr().err
    assert not (one / "out").exists()


def report(debug: bool = False) -> bulk._Report:
    return bulk._Report(Namespace(progress=False, quiet=False, verbose=False, json=False, debug=debug), 1)


def test_failures_of_a_shard_that_was_done_before_are_told_again(one, capsys):
    task, job = Task(Compression({"lossless": True})), Shard("in-0.tar", "out-0.tar")
    for before in (False, True):
        found = report()
        stats = shard.convert(job, task, one_by_one(task.conversion))
        assert bool(stats.get("before")) is before
        found.add(Outcome(job, stats))
        assert found.code() == 1
        err = capsys.readouterr().err
        assert "aec: in-0.tar: 1 of 2 pictures failed; their rows say why" in err
        assert ("1 of 1 shard, 1 of them before" if before else "1 of 1 shard; 2 pictures: 1 done, 1 failed") in err


@pytest.mark.parametrize("n, words", [(0, ""), (1, "; 1 member left out"), (3, "; 3 members left out")])
def test_members_that_are_left_out_are_counted_in_the_last_line(capsys, n, words):
    stats = dict.fromkeys(bulk.COUNTS, 0) | {"left_out": n, "pictures": 1, "done": 1, "seconds": 1.0}
    found = report()
    found.add(Outcome(Shard("in-0.tar", "out-0.tar"), stats))
    assert found.code() == 0
    err = capsys.readouterr().err
    assert f"1 of 1 shard; 1 picture: 1 done{words}" in err and ("left out" in err) is (n > 0)


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_where_the_error_of_a_shard_came_from(capsys, debug):
    found = report(debug)
    try:
        raise OutputError("somewhere")
    except OutputError as e:
        found.add(Outcome(Shard("in-0.tar", "out-0.tar"), error=e))
    err = capsys.readouterr().err
    lines = err.splitlines()
    assert lines[-1] == "aec: in-0.tar: somewhere" and (lines[0] == "Traceback (most recent call last):") is debug
    assert any("in test_debug_shows" in line for line in lines) is debug
    assert found.code() == 7

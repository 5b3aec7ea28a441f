"""What `aec compress --from` says and refuses, and which faults are those of a picture or of the machine."""

import json
import pickle
import signal
import subprocess
import sys
import time
from argparse import Namespace
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import photos
import pytest
import shards
from PIL import Image
from shards import BACK, EXACT, pixels, rows_of
from shards import convert as convert_shard
from shell import AEC as COMMAND
from shell import aec, files, here, of_another_model

import codec
from codec.bulk import files as places
from codec.bulk import names, pool, shard
from codec.bulk.local import Outcome
from codec.bulk.names import Shard
from codec.bulk.task import Task, convert, one_by_one
from codec.cli import bulk
from codec.coding import model_search
from codec.conversion import Compression, Decompression
from codec.errors import BackendError, MissingPackageError, ModelError
from codec.given import open_picture
from codec.io import ExistsError, OutputError

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
    for options in ({"quality": 60}, {"lossless": True}):  # which uses none
        with pytest.raises(ModelError, match="does not exist"):
            convert(Compression(options, "cpu", missing), shards.png(1))
    with pytest.raises(ModelError, match="does not exist"):
        convert(Decompression(model=missing), lossy)
    assert "deadbeef" in convert(Decompression(), of_another_model(lossy)).error
    assert "written with model" in convert(Decompression(model="psnr"), lossy).error


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


# ------------------------------------------------------------------ the command


@pytest.fixture
def two(tmp_path, monkeypatch):
    """A folder with two shards, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        shards.write(tmp_path / f"in-{i:05}.tar", shards.samples(5, 5 * i, side=32))
    return tmp_path


FROM = ("--from", "in-{00000..00001}.tar")


def test_the_command_makes_what_encode_makes(two, capsys):
    assert here("compress", *FROM, "--to", "out-{:05d}.tar", "-q", 60, "--json") == 0
    found = dict(shards.read(two / "out-00000.tar")) | dict(shards.read(two / "out-00001.tar"))
    assert len(found) == 30
    for i in range(10):
        data = shards.png(i, 32)
        assert found[f"{i:04}.aec"] == codec.encode(open_picture(data), 60, source=data)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["out"]: line["done"] for line in lines} == {"out-00000.tar": 5, "out-00001.tar": 5}
    assert "2 of 2 shards; 10 pictures: 10 done" in err
    stats = json.loads((two / "out-00001_stats.json").read_text())
    assert (
        stats["identity"]["quality"] == 60 and stats["version"] == codec.__version__ and stats["start"] < stats["end"]
    )
    assert stats["identity"]["model"] == codec.inspect(found["0000.aec"]).model_id.hex()
    assert here("decompress", "--from", "out-*.tar", "--to", "back/", "--format", "jpg", "--scale", "1/2") == 0
    assert len(files(two / "back" / "out-00000")) == 15
    assert Image.open(two / "back/out-00001/0009.jpg").size == (17, 16)


def test_the_command_says_what_failed_by_its_exit_code(two, capsys):
    shards.write(two / "in-00000.tar", [("a.png", b"no picture"), ("b.png", shards.png(1))])
    assert here("compress", *FROM, "--to", "out-{:05d}.tar", "--lossless") == 1
    assert "1 of 2 pictures failed" in capsys.readouterr().err
    (two / "in-00001.tar").write_bytes(b"cut")
    assert here("compress", *FROM, "--to", "two-{:05d}.tar", "--lossless") == 1
    assert here("compress", "--from", "none.tar", "--to", "x.tar", "--lossless") == 3
    assert here("compress", "--from", "in-00000.tar", "--to", "out-{:05d}.tar", "--lossless", "-e", 1) == 7
    err = capsys.readouterr().err
    assert "in-00001.tar: the shard cannot be read" in err and "none.tar: No such file" in err
    assert "made with effort 2, not 1: -f makes it again" in err


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((*FROM,), "--from needs --to"),
        (("a.png", "--to", "x.tar"), "name them with --from"),
        (("a.png", *FROM, "--to", "out/"), "one or the other"),
        ((*FROM, "--to", "out.tar"), "both become"),
        ((*FROM, "--to", "out/", "-o", "x"), "--output means nothing for tar shards"),
        ((*FROM, "--to", "out/", "--skip-existing"), "--skip-existing means nothing"),
        ((*FROM, "--to", "out/", "--address", "auto"), "needs --engine ray"),
        (("--from", "none-*.tar", "--to", "out/"), "no file matches none-*.tar"),
        (("--from", "{9..1}.tar", "--to", "out/"), "must not be above"),
    ],
)
def test_options_that_make_no_sense_are_refused(two, capsys, arguments, words):
    assert here("compress", *arguments) == 2
    assert words in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_made(two, capsys):
    assert here("compress", *FROM, "--to", "out/{name}.tar", "--dry-run") == 0
    assert capsys.readouterr().out == "in-00000.tar -> out/in-00000.tar\nin-00001.tar -> out/in-00001.tar\n"
    assert not (two / "out").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_killed_goes_on(tmp_path, how):
    """Its workers end with it, and what is made at last is what one run makes."""
    for i in range(2):
        shards.write(tmp_path / f"in-{i}.tar", shards.samples(48, 48 * i, side=32))
    words = [*COMMAND, "compress", "--from", "in-{0..1}.tar", "-j", "2", "--to"]
    run = subprocess.Popen([*words, "out-{}.tar"], cwd=tmp_path, stderr=subprocess.PIPE)
    while run.poll() is None and not list(tmp_path.glob("out-*.part")):
        time.sleep(0.005)
    run.send_signal(how)
    run.communicate(timeout=60)
    assert run.returncode and list(tmp_path.glob("out-*.part"))
    for name in ("out", "whole"):
        done = subprocess.run([*words, f"{name}-{{}}.tar"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for i in range(2):
        for suffix in (".tar", ".jsonl"):
            assert (tmp_path / f"out-{i}{suffix}").read_bytes() == (tmp_path / f"whole-{i}{suffix}").read_bytes()
    assert not [name for name in files(tmp_path) if name.endswith((".part", ".journal"))]


# ------------------------------------------------------------------ object stores and Parquet


def test_shards_on_an_object_store(tmp_path):
    """Nothing but whole files with their last names is ever there, and a shard that is claimed goes on."""
    fsspec = pytest.importorskip("fsspec")
    source, fs = shards.write(tmp_path / "in-0.tar", shards.samples(2)), fsspec.filesystem("memory")
    fs.put_file(str(source), "/bulk/in-0.tar")
    assert names.expand("memory://bulk/in-*.tar") == ["memory:///bulk/in-0.tar"]
    (job,) = names.plan(names.expand("memory://bulk/in-{0..0}.tar"), "memory://bulk/out-{}.tar")
    shard.convert(job, EXACT, one_by_one(EXACT.conversion))
    convert_shard(source, tmp_path / "out.tar")
    assert fs.cat_file("/bulk/out-0.tar") == (tmp_path / "out.tar").read_bytes()
    assert {Path(p).name for p in fs.ls("/bulk", detail=False)} == {
        *("in-0.tar", "out-0.tar", "out-0.jsonl", "out-0_stats.json")
    }
    assert shard.convert(job, EXACT, one_by_one(EXACT.conversion))["before"]
    (folder,) = names.plan(["memory://bulk/out-0.tar"], "memory://bulk/back/")
    shard.convert(folder, BACK, one_by_one(BACK.conversion))
    assert np.array_equal(pixels(fs.cat_file("/bulk/back/out-0/0001.png")), pixels(shards.png(1)))
    # A run that was killed after it had put the shard there, and before its statistics.
    fs.rm("/bulk/out-0_stats.json")
    with pytest.raises(ExistsError):
        shard.convert(job, EXACT, one_by_one(EXACT.conversion))
    wanted = {"identity": EXACT.identity(), "source": places.fingerprint(job.source), "version": codec.__version__}
    wanted["as"] = "tar"
    places.write_json("memory://bulk/out-0.journal", wanted)
    assert shard.convert(job, EXACT, one_by_one(EXACT.conversion))["done"] == 2
    assert not fs.exists("/bulk/out-0.journal")
    # What another command has claimed is taken over with -f, and what something else has written never.
    (job,) = names.plan(["memory://bulk/in-0.tar"], "memory://bulk/new.tar")
    forced = replace(EXACT, force=True)
    for claim, tasks in ((wanted | {"version": "0"}, [EXACT]), ({"mine": 1}, [EXACT, forced])):
        places.write_json("memory://bulk/new.journal", claim)
        for task in tasks:
            with pytest.raises(ExistsError, match="new.journal exists already"):
                shard.convert(job, task, one_by_one(task.conversion))
            assert places.read_json("memory://bulk/new.journal") == claim
    places.write_json("memory://bulk/new.journal", wanted | {"version": "0"})
    assert shard.convert(job, forced, one_by_one(EXACT.conversion))["done"] == 2


def test_rows_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    source = shards.write(tmp_path / "in.tar", [*shards.samples(2), ("bad.png", b"bad")])
    convert_shard(source, tmp_path / "out.tar", replace(EXACT, rows="parquet"))
    convert_shard(source, tmp_path / "other.tar")
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == rows_of(tmp_path / "other.jsonl")
    assert files(tmp_path) == {"in.tar", "out.tar", "out.parquet", "out_stats.json"} | {
        f"other{end}" for end in (".tar", ".jsonl", "_stats.json")
    }


def test_rows_in_parquet_hold_names_that_are_not_utf8(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    source = shards.write(tmp_path / "in.tar", [("\udcff.png", shards.png(1))])
    assert convert_shard(source, tmp_path / "out.tar", replace(EXACT, rows="parquet"))["done"] == 1
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]["name"] == "?.png"


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingPackageError, match=r"s3:// needs fsspec.*aec-codec\[bulk\]"):
        names.expand("s3://bucket/in-*.tar")
    assert here("compress", "--from", "s3://bucket/a.tar", "--to", "out/") == 2
    assert "fsspec" in capsys.readouterr().err


def test_local_shards_need_no_optional_package(two):
    done = aec("compress", *FROM, "--to", "out/", "--lossless", cwd=two)
    assert done.returncode == 0, done.stderr
    script = (
        "import sys\nfrom codec.cli import main\n"
        "if __name__ == '__main__':\n"
        "    assert main(sys.argv[1:]) == 0\n"
        "    assert not {'torch', 'fsspec', 'pyarrow', 'ray', 'webdataset'} & sys.modules.keys()"
    )
    (two / "run.py").write_text(script)
    words = [sys.executable, "run.py", "compress", *FROM, "--to", "file://" + str(two / "new-{}.tar")]
    done = subprocess.run(words, cwd=two, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_model_file_is_found_from_any_folder(two):
    """The processes run in the folder in which this program began."""
    path = model_search.find("psnr")
    (two / "mine.safetensors").write_bytes(path.read_bytes())
    assert here("compress", *FROM, "--to", "out-{}.tar", "--model", "mine.safetensors", "-e", 1) == 0
    model_id = model_search.id_in(model_search.header_of(path)).hex()
    assert json.loads((two / "out-0_stats.json").read_text())["identity"]["model"] == model_id
    assert here("decompress", "--from", "out-*.tar", "--to", "back/", "--model", "mine.safetensors") == 0

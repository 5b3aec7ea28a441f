"""Shards that are done, under way, killed and taken up again."""

import hashlib
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shards
from shards import EXACT, convert, pixels, rows_of
from shell import files

import codec
from codec.bulk import files as places
from codec.bulk import journal, pool, shard, tars
from codec.bulk.names import Shard
from codec.bulk.task import Task
from codec.conversion import Compression
from codec.io import ExistsError, OutputError

# ------------------------------------------------------------------ what is done already


def test_a_shard_that_is_done_is_not_made_again_and_another_is_refused(tmp_path):
    source, target = shards.write(tmp_path / "in.tar", shards.samples(1)), tmp_path / "out.tar"
    first = convert(source, target)
    made = target.stat().st_ino
    assert convert(source, target) == first | {"before": True} and target.stat().st_ino == made
    with pytest.raises(ExistsError, match="lossless True, not None"):
        convert(source, target, Task(Compression({"quality": 50})))
    shards.write(source, shards.samples(2))
    with pytest.raises(ExistsError, match="another version of"):
        convert(source, target)
    assert convert(source, target, replace(EXACT, force=True))["done"] == 2
    assert len(shards.read(target)) == 6
    target.unlink()
    with pytest.raises(ExistsError, match="is there, but not"):
        convert(source, target)


def test_what_this_command_has_not_made_is_not_overwritten(tmp_path):
    source = shards.write(tmp_path / "in.tar", shards.samples(1))
    (tmp_path / "out.tar").write_bytes(b"mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"mine")
    for target in ("out.tar", "photos"):
        with pytest.raises(ExistsError, match="exists already"):
            convert(source, tmp_path / target)
    forced = replace(EXACT, force=True)
    with pytest.raises(ExistsError, match="has not made"):
        convert(source, tmp_path / "photos", forced)
    assert convert(source, tmp_path / "out.tar", forced)["done"] == 1
    assert (tmp_path / "photos" / "mine.jpg").exists()
    (tmp_path / "a.jsonl").write_text("mine")
    with pytest.raises(ExistsError, match="a.jsonl exists already"):
        convert(source, tmp_path / "a.tar")
    (tmp_path / "b_stats.json").write_text('{"count": 1}')  # as of img2dataset
    with pytest.raises(ExistsError, match="b_stats.json exists already, and is not of aec"):
        convert(source, tmp_path / "b.tar")


def test_force_goes_on_with_a_shard_that_is_made_of_the_same(tmp_path):
    """It replaces what was made of something else, so that a command with -f that was stopped can be repeated."""
    source, forced = shards.write(tmp_path / "in.tar", shards.samples(1)), replace(EXACT, force=True)
    for target in ("out.tar", "out"):
        first = convert(source, tmp_path / target.replace("out", f"{target}-made"), forced)
        again = convert(source, tmp_path / target.replace("out", f"{target}-made"), forced)
        assert again == first | {"before": True}
    made = tmp_path / "out.tar-made.tar"
    made.unlink()
    assert "before" not in convert(source, made, forced) and made.exists()


def test_folders_that_this_command_has_not_made_are_never_removed(tmp_path):
    source, forced = shards.write(tmp_path / "in.tar", shards.samples(1)), replace(EXACT, force=True)
    mine = {"photos/a.jpg", "x.tar/a.jpg", "y.part/a.jpg", "z.tar.part/a.jpg", "r.jsonl/a.jpg", "s_stats.json/a.jpg"}
    for name in mine:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "photos_stats.json").write_text('{"count": 1}')  # as of img2dataset
    mine |= {"photos_stats.json", "in.tar"}
    for target in ("photos", "x.tar", "y", "z.tar"):
        for task in (EXACT, forced):
            with pytest.raises(ExistsError):
                convert(source, tmp_path / target, task)
            assert files(tmp_path) == mine, target
    for target in ("r.tar", "s.tar"):
        for task in (EXACT, forced):
            with pytest.raises((ExistsError, OSError)):
                convert(source, tmp_path / target, task)
            assert files(tmp_path) >= mine, target


@pytest.mark.parametrize("name", ["out.journal", "out.tar.part", "out.jsonl.part"])
def test_files_of_others_with_the_names_of_unfinished_ones_are_not_overwritten(tmp_path, name):
    source, forced = shards.write(tmp_path / "in.tar", shards.samples(1)), replace(EXACT, force=True)
    for mine in (b"mine", b'{"mine": 1}\n'):
        (tmp_path / name).write_bytes(mine)
        with pytest.raises(ExistsError, match=f"{name} exists already"):
            convert(source, tmp_path / "out.tar")
        assert files(tmp_path) == {"in.tar", name} and (tmp_path / name).read_bytes() == mine
    if name == "out.journal":
        with pytest.raises(ExistsError, match="not of aec"):
            convert(source, tmp_path / "out.tar", forced)
    else:
        assert convert(source, tmp_path / "out.tar", forced)["done"] == 1


@pytest.mark.parametrize("target", ["out.tar", "out"])
def test_force_with_other_options_goes_on_from_a_stopped_force(tmp_path, target):
    source = shards.write(tmp_path / "in.tar", shards.samples(1))
    tasks = [Task(Compression({"lossless": True, "effort": e}), force=True) for e in (1, 2, 3)]
    for moment in range(1, 40, 5):
        convert(source, tmp_path / target, tasks[0])
        for task in tasks[1:]:
            run_until(moment, source, tmp_path / target, task, 0.0)
        assert convert(source, tmp_path / target, tasks[0])["identity"]["effort"] == 1


def test_what_appears_at_the_place_of_the_target_meanwhile_stays(tmp_path):
    source = shards.write(tmp_path / "in.tar", shards.samples(1))
    for target in ("out.tar", "folder"):
        assert not run_until(20, source, tmp_path / target, EXACT, 0.0)
        (tmp_path / target).mkdir() if target == "folder" else (tmp_path / target).write_bytes(b"mine")
        with pytest.raises(ExistsError, match="exists already"):
            convert(source, tmp_path / target)
        assert (tmp_path / target).is_dir() or (tmp_path / target).read_bytes() == b"mine"
        (tmp_path / target).rmdir() if target == "folder" else (tmp_path / target).unlink()
        assert convert(source, tmp_path / target)["done"] == 1


@pytest.mark.parametrize("target, suffix", [("out.tar", ".tar.part"), ("out", ".part"), ("out.tar", ".jsonl.part")])
@pytest.mark.parametrize("change", ["gone", "shorter"])
def test_a_run_whose_unfinished_files_were_removed_begins_again(tmp_path, target, suffix, change):
    """At whatever moment it was stopped, also when nothing was left but to give the files their names."""
    source = shards.write(tmp_path / "in.tar", shards.samples(2))
    convert(source, tmp_path / "expected" / target)
    changed = 0
    for moment in range(8, 60, 5):
        folder = tmp_path / str(moment)
        run_until(moment, source, folder / target, EXACT, 0.0)
        part = folder / f"out{suffix}"
        if not part.exists():
            continue
        changed += 1
        if part.is_dir():
            shutil.rmtree(part) if change == "gone" else [p.unlink() for p in list(part.iterdir())[:1]]
        else:
            part.unlink() if change == "gone" else os.truncate(part, part.stat().st_size // 2)
        try:
            stats = convert(source, folder / target)
        except ExistsError:  # the target is there already, and nothing says any more that this command has made it
            assert (folder / target).exists()
            stats = convert(source, folder / target, replace(EXACT, force=True))
        except OutputError as e:
            assert "were removed" in str(e)
            stats = convert(source, folder / target)
        assert stats["done"] == 2
        assert files(folder) == files(tmp_path / "expected")
        for name in files(folder) - {"out_stats.json"}:
            assert (folder / name).read_bytes() == (tmp_path / "expected" / name).read_bytes(), (moment, name)
    assert changed > 2


def test_a_tar_file_and_a_folder_of_one_name_do_not_pass_for_each_other(tmp_path):
    source = shards.write(tmp_path / "in.tar", shards.samples(1))
    for first, second in (("out.tar", "out"), ("two", "two.tar")):
        assert convert(source, tmp_path / first)["done"] == 1
        for task in (EXACT, replace(EXACT, force=True)):
            with pytest.raises(ExistsError, match="_stats.json is of a (tar, not of a folder|folder, not of a tar)"):
                convert(source, tmp_path / second, task)
        assert (tmp_path / first).exists() and not (tmp_path / second).exists()
    assert not run_until(20, source, tmp_path / "three.tar", EXACT, 0.0)
    with pytest.raises(ExistsError, match="three.journal is of an unfinished tar"):
        convert(source, tmp_path / "three")


def test_a_journal_goes_on_behind_its_last_whole_line(tmp_path):
    path = tmp_path / "out.journal"
    with journal.Journal(path) as one:
        one.begin({"identity": {}})
        one.append({"members": 1})
    whole = path.read_bytes()
    for torn in (b'{"memb', b'{"memb\n', b'{"members": 2}'):
        path.write_bytes(whole + torn)
        with journal.Journal(path) as one:
            assert one.last == {"members": 1}
            one.append({"members": 3})
        with journal.Journal(path) as one:
            assert one.last == {"members": 3}
    path.write_bytes(whole[:7])  # of the first line
    with journal.Journal(path) as one:
        assert one.first is None


def test_two_processes_do_not_make_one_shard(tmp_path):
    source = shards.write(tmp_path / "in.tar", shards.samples(1))
    with journal.Journal(tmp_path / "out.journal"):
        with pytest.raises(OutputError, match="another process"):
            convert(source, tmp_path / "out.tar")


class Killed:
    """Ends the process at the n-th call of a few functions, before the call or after it."""

    def __init__(self, n: int):
        self.left = n

    def patched(self, function):
        def call(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                os._exit(9)
            result = function(*arguments, **options)
            self.left -= 1
            if self.left == 0:
                os._exit(9)
            return result

        return call


def run_until(n: int, source: Path, target: Path, task: Task, every: float) -> bool:
    """Convert a shard in a child that is killed at the n-th moment. Returns whether it came to its end before."""
    child = os.fork()
    if child == 0:
        killed = Killed(n)
        shard.SAVE_EVERY = every
        for owner, name in (
            *((places, name) for name in ("publish", "write_json", "remove")),
            *((journal.Journal, name) for name in ("begin", "append")),
            *((kind, name) for kind in (tars.TarOutput, tars.FolderOutput) for name in ("add", "finish")),
            *((os, name) for name in ("replace", "rmdir")),
        ):
            setattr(owner, name, killed.patched(getattr(owner, name)))
        try:
            convert(source, target, task)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 0


@pytest.mark.parametrize("target, every, n", [("out.tar", 0.0, 2), ("out", 0.0, 1), ("out.tar", 100.0, 1)])
def test_a_run_that_is_killed_at_any_moment_goes_on_and_makes_the_same(tmp_path, target, every, n):
    source = shards.write(tmp_path / "in.tar", shards.samples(n))
    expected = tmp_path / "expected" / target
    convert(source, expected)
    contents = {name: (expected.parent / name).read_bytes() for name in files(expected.parent)}
    moments = 0
    while True:
        moments += 1
        folder = tmp_path / str(moments)
        whole = run_until(moments, source, folder / target, EXACT, every)
        stats = convert(source, folder / target)
        assert (stats["pictures"], stats["done"], stats["copied"]) == (n, n, 2 * n)
        found = {name: (folder / name).read_bytes() for name in files(folder)}
        assert found.keys() == contents.keys(), moments
        assert all(found[name] == contents[name] for name in found if not name.endswith("_stats.json")), moments
        if whole:
            break
    assert moments > 20


def test_a_run_that_is_killed_again_and_again_comes_to_its_end(tmp_path):
    """As every member is safe when it is written, each run gets further."""
    source = shards.write(tmp_path / "in.tar", shards.samples(8))
    convert(source, tmp_path / "expected.tar")
    runs = 1
    while not run_until(20, source, tmp_path / "out.tar", EXACT, 0.0):
        runs += 1
        assert runs < 40
    assert runs > 3
    assert (tmp_path / "out.tar").read_bytes() == (tmp_path / "expected.tar").read_bytes()
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "expected.jsonl").read_bytes()


def test_a_shard_that_is_made_again_is_not_done_until_it_is(tmp_path):
    """With -f, whenever that is killed: what is there then is of the old options, or it goes on."""
    source, target = shards.write(tmp_path / "in.tar", shards.samples(1)), tmp_path / "out.tar"
    other = Task(Compression({"lossless": True, "bits": 4}))
    for moment in range(1, 30, 3):
        convert(source, target, replace(EXACT, force=True))
        run_until(moment, source, target, replace(other, force=True), 0.0)
        try:
            stats = convert(source, target, EXACT)
        except ExistsError:
            stats = convert(source, target, replace(EXACT, force=True))
        row = rows_of(tmp_path / "out.jsonl")[0]
        assert stats["done"] == 1
        made = dict(shards.read(target))["0000.aec"]
        assert hashlib.sha256(made).hexdigest() == row["sha256"] and np.array_equal(
            codec.decode(made, output="numpy"), pixels(shards.png(0))
        )


def test_an_unfinished_shard_of_other_options_is_begun_again(tmp_path):
    source = shards.write(tmp_path / "in.tar", shards.samples(2))
    assert not run_until(20, source, tmp_path / "out.tar", Task(Compression({"lossless": True, "effort": 1})), 0.0)
    convert(source, tmp_path / "out.tar")
    convert(source, tmp_path / "expected.tar")
    assert (tmp_path / "out.tar").read_bytes() == (tmp_path / "expected.tar").read_bytes()


# ------------------------------------------------------------------ processes


def test_a_picture_that_ends_its_process_or_meets_a_bug_costs_only_itself(tmp_path):
    given = [(f"{i}.png", b"ok %d" % i) for i in range(40)]
    given[7] = ("7.png", b"die")
    given[9] = ("9.png", b"bug")
    source, task = shards.write(tmp_path / "in.tar", given), Task(shards.Deadly())
    with pool.Processes(task.conversion, 2) as processes:
        stats = shard.convert(Shard(str(source), str(tmp_path / "out.tar")), task, processes.ordered)
    assert (stats["done"], stats["failed"]) == (38, 2)
    rows = rows_of(tmp_path / "out.jsonl")
    assert [row["name"] for row in rows] == [name for name, _ in given]
    assert "ended without a word" in rows[7]["error"] and "a bug" in rows[9]["error"]
    assert dict(shards.read(tmp_path / "out.tar")) == {f"{i}.aec": b"OK %d" % i for i in range(40) if i not in (7, 9)}


def test_processes_read_only_so_far_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "BYTES_AHEAD", 1000)
    read, written = 0, 0

    def items():
        nonlocal read
        for i in range(60):
            read += 1
            assert read - written <= 4 * pool.CHUNK_PICTURES
            yield shard.Item(i, tarfile.TarInfo("a"), b"x" * 100, "a", True)

    with pool.Processes(shards.Deadly(), 1) as processes:
        for item, result in processes.ordered(items()):
            assert item.index == written and result.data == b"X" * 100
            written += 1
    assert written == 60

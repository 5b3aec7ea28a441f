"""Tar shards of pictures: names, members, rows, what goes on after a kill, and what is refused."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shards
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shell import AEC, aec, files, here

import codec
from codec.bulk import files as places
from codec.bulk import journal, names, pool, shard, tars
from codec.bulk.names import Shard
from codec.bulk.task import Task, one_by_one
from codec.coding import model_search
from codec.conversion import Compression, Decompression
from codec.errors import MissingPackageError
from codec.given import open_picture
from codec.io import ExistsError, InputError, OutputError

EXACT = Task(Compression({"lossless": True}))
BACK = Task(Decompression())


def convert(source, target, task=EXACT) -> dict:
    """In this process."""
    return shard.convert(Shard(str(source), str(target)), task, one_by_one(task.conversion))


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


# ------------------------------------------------------------------ names


@given(st.integers(0, 300), st.integers(0, 40), st.integers(1, 6), st.sampled_from(["", "a/", "s3://b/"]))
def test_a_range_stands_for_all_its_numbers_in_as_many_digits(first, more, digits, folder):
    found = names.expand(f"{folder}in-{{{first:0{digits}}..{first + more:0{digits}}}}.tar")
    assert found == [f"{folder}in-{n:0{digits}}.tar" for n in range(first, first + more + 1)]


def test_words_products_and_joined_patterns():
    assert names.expand("{a,b}-{0..1}.tar") == ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]
    assert names.expand("x.tar::y-{1..2}.tar") == ["x.tar", "y-1.tar", "y-2.tar"]
    assert names.expand("plain.tar") == ["plain.tar"] and names.expand("{odd}.tar") == ["{odd}.tar"]


def test_stars_stand_for_files_and_a_name_that_is_there_for_itself(tmp_path):
    for name in ("b.tar", "a.tar", "{0..9}.tar", "c.txt"):
        (tmp_path / name).touch()
    assert names.expand(f"{tmp_path}/[ab].tar") == [f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"]
    assert names.expand(f"{tmp_path}/{{0..9}}.tar") == [f"{tmp_path}/{{0..9}}.tar"]
    assert names.expand(f"file://{tmp_path}/a.tar") == [f"file://{tmp_path}/a.tar"]


@pytest.mark.parametrize("pattern", ["{9..0}.tar", "{0..9999999}.tar", "{0..9999}{0..9999}.tar", "", "a.tar::"])
def test_patterns_that_make_no_sense_are_refused(pattern):
    with pytest.raises(ValueError):
        names.expand(pattern)


@given(st.lists(st.text("abc", min_size=1), min_size=1, unique=True))
def test_each_shard_has_a_place_of_its_own(sources):
    sources = [f"in/{source}.tar" for source in sources]
    by_number = [s.target for s in names.plan(sources, "out/{:05d}.tar")]
    assert by_number == [f"out/{i:05d}.tar" for i in range(len(sources))]
    assert [s.target for s in names.plan(sources, "out/{name}.tar")] == [s.replace("in", "out") for s in sources]
    folders = names.plan(sources, "out/")
    assert [s.target for s in folders] == [s.replace("in", "out").removesuffix(".tar") for s in sources]
    assert not any(s.is_tar for s in folders)


@pytest.mark.parametrize(
    "sources, to, words",
    [
        (["a.tar", "b.tar"], "out.tar", "both become out.tar"),
        (["x/a.tar", "y/a.tar"], "out/", "both become out/a"),
        (["a.tar"], "a.tar", "onto itself"),
        (["w-1.tar", "w-0.tar"], "w-{}.tar", "w-1.tar would be overwritten by w-1.tar, which w-0.tar becomes"),
        (["in-0.tar", "in-new-0.tar"], "in-new-{}.tar", "what an earlier run has made"),
        (["a/b/c.tar", "x/b.tar"], "a/{name}", "overwritten by a/b,"),
        (["s3://b/w-1.tar", "s3://b/w-0.tar"], "s3://b/w-{}.tar", "would be overwritten"),
        (["a.tar"], "{:05d", "allowed in braces"),
        (["a.tar"], "{other}.tar", "allowed in braces"),
        (["a.tar"], "{name:d}.tar", "allowed in braces"),
        (["a.tar"], "", "empty"),
    ],
)
def test_places_that_make_no_sense_are_refused(sources, to, words):
    with pytest.raises(ValueError, match=words):
        names.plan(sources, to)


def test_keys_are_those_of_webdataset():
    for name in ("a/b.c/d.seg.png", "x.jpg", "none", "a.b/none", ".hidden"):
        assert names.key_of(name) == {"a/b.c/d.seg.png": "a/b.c/d", "x.jpg": "x"}.get(
            name, name.removesuffix(".hidden")
        )


# ------------------------------------------------------------------ members


WORDS = st.text("ab.", min_size=1, max_size=3).map(lambda text: f"n{text}")
MEMBERS = st.lists(
    st.tuples(st.one_of(WORDS, st.tuples(WORDS, WORDS).map("/".join)), st.sampled_from(["png", "txt", "json", "cls"])),
    max_size=8,
)


@settings(max_examples=40)
@given(MEMBERS, st.sampled_from(["w", "w:gz", "w:xz"]))
def test_shards_there_and_back_have_the_same_members(tmp_path_factory, members, mode):
    """In the same order, of the same times; pictures with the same pixels, other files with the same bytes."""
    folder = tmp_path_factory.mktemp("there")
    given = [
        (f"{stem}.{kind}", shards.png(i) if kind == "png" else b"%d" % i) for i, (stem, kind) in enumerate(members)
    ]
    shards.write(folder / "in.tar", given, mode)
    stats = convert(folder / "in.tar", folder / "out.tar")
    back = convert(folder / "out.tar", folder / "back.tar", BACK)
    rows = rows_of(folder / "out.jsonl")
    made, found = dict(shards.read(folder / "out.tar")), shards.read(folder / "back.tar")
    pictures = [name for name, _ in given if name.endswith(".png")]
    assert [row["name"] for row in rows] == pictures
    assert stats["pictures"] == len(pictures) and stats["copied"] == len(given) - len(pictures)
    assert stats["done"] + stats["failed"] == back["done"] + stats["failed"] == len(pictures)
    assert all(hashlib.sha256(made[row["out"]]).hexdigest() == row["sha256"] for row in rows if row["status"] == "done")
    failed = {i for i, row in enumerate(rows) if row["status"] == "failed"}
    kept = [(i, name, data) for i, (name, data) in enumerate(given)]
    lost = [entry for n, entry in enumerate(e for e in kept if e[1].endswith(".png")) if n in failed]
    kept = [entry for entry in kept if entry not in lost]
    assert len(failed) == len(pictures) - len({row["out"] for row in rows if row["out"]})
    assert shards.times(folder / "back.tar") == [978307200.5 + i for i, _, _ in kept]
    for (_, name, data), (new, result) in zip(kept, found, strict=True):
        if name.endswith(".png"):
            assert np.array_equal(pixels(result), pixels(data)) and new.startswith(name.removesuffix(".png"))
        else:
            assert (new, result) == (name, data)


def test_a_shard_is_made_of_the_same_bytes_each_time(tmp_path):
    shards.write(tmp_path / "in.tar", shards.samples(5))
    for name in ("one", "two"):
        convert(tmp_path / "in.tar", tmp_path / f"{name}.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_pictures_that_would_become_one_file_keep_their_suffixes(tmp_path):
    given = [("a.png", shards.png(1)), ("a.jpg", shards.png(2, kind="JPEG")), ("a.png", shards.png(3))]
    given += [("a.png", shards.png(4)), ("b.aec", b"mine"), ("b.png", shards.png(5))]
    shards.write(tmp_path / "in.tar", given)
    stats = convert(tmp_path / "in.tar", tmp_path / "out.tar")
    found = [name for name, _ in shards.read(tmp_path / "out.tar")]
    assert found == ["a.aec", "a.jpg.aec", "a.png.aec", "b.aec", "b.png.aec"]
    assert stats["failed"] == 1 and "has the name that" in rows_of(tmp_path / "out.jsonl")[3]["error"]


def test_a_file_that_is_copied_never_gets_the_name_of_a_picture(tmp_path):
    convert(shards.write(tmp_path / "in.tar", [("1.png", shards.png(1))]), tmp_path / "one.tar")
    aec = shards.read(tmp_path / "one.tar")[0][1]
    given = [
        ("1.aec", aec),
        ("1.png", b"copied"),
        ("2.png", b"copied"),
        ("2.aec", aec),
        ("c.txt", b"1"),
        ("c.txt", b"2"),
    ]
    shards.write(tmp_path / "both.tar", given)
    for target, names_made, failed in (
        ("back.tar", ["1.png", "2.png", "2.aec.png", "c.txt", "c.txt"], ["1.png"]),
        ("folder", ["1.png", "2.png", "2.aec.png", "c.txt"], ["1.png", "c.txt"]),
    ):
        convert(tmp_path / "both.tar", tmp_path / target, BACK)
        found = shards.read(tmp_path / target) if target.endswith(".tar") else []
        assert ([name for name, _ in found] or sorted(files(tmp_path / target))) in (names_made, sorted(names_made))
        rows = rows_of(tmp_path / f"{target.removesuffix('.tar')}.jsonl")
        assert [row["name"] for row in rows if row["status"] == "failed"] == failed
        assert all("another file of this shard" in row["error"] for row in rows if row["status"] == "failed")


def pax(path: Path, given: list[tuple[str, bytes, dict]]) -> Path:
    """A tar file with these members, and these headers in the format PAX."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, headers in given:
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), headers
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("target", ["out.tar", "out"])
@pytest.mark.parametrize("mtime", ["inf", "nan", "1e30", "-1e30", "8589934592"])
def test_times_that_no_file_can_have_are_left_out(tmp_path, target, mtime):
    source = pax(tmp_path / "in.tar", [("a.txt", b"1", {"mtime": mtime}), ("b.txt", b"2", {"mtime": "-1.5"})])
    assert convert(source, tmp_path / target)["copied"] == 2
    if target == "out.tar":
        assert shards.times(tmp_path / target) == [0, -1.5]
    else:
        assert [(tmp_path / "out" / name).stat().st_mtime for name in ("a.txt", "b.txt")] == [0, -1.5]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2047), st.binary(min_size=1, max_size=12))
def test_damage_anywhere_in_the_headers_of_a_shard_is_at_most_an_input_error(tmp_path_factory, at, damage):
    folder = tmp_path_factory.mktemp("damage")
    data = bytearray(pax(folder / "in.tar", [("a.txt", b"1", {"mtime": "5.5", "size": "1"})]).read_bytes())
    data[at : at + len(damage)] = damage
    block = at // 512 * 512
    if not any(data[block + 148 : block + 156]):
        block = 0
    data[block + 148 : block + 156] = b" " * 8  # so that the damage is not found by the checksum of its header
    data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
    (folder / "in.tar").write_bytes(data)
    for target in ("out.tar", "out-folder"):
        try:
            convert(folder / "in.tar", folder / target)
        except InputError:
            pass


@pytest.mark.parametrize("kind", [b"0", b"S", b"?", b"x", b"L"])
@pytest.mark.parametrize("bits", [40, 50, 62, 63, 86])
def test_a_size_that_no_file_can_have_is_damage_and_takes_no_time(tmp_path, kind, bits):
    data = bytearray(shards.write(tmp_path / "in.tar", [("a.txt", b"1"), ("b.txt", b"2")]).read_bytes())
    at = data.index(b"a.txt")
    data[at + 124 : at + 136] = b"\x80" + (2**bits + 512).to_bytes(11, "big")
    data[at + 156 : at + 157] = kind
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    (tmp_path / "in.tar").write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        convert(tmp_path / "in.tar", tmp_path / "out.tar")


def test_a_name_that_is_too_long_for_a_file_costs_a_row(tmp_path):
    source = shards.write(tmp_path / "in.tar", [("n" * 300 + ".png", shards.png(1)), ("b.png", shards.png(2))])
    stats = convert(source, tmp_path / "out")
    assert (stats["done"], stats["failed"]) == (1, 1) and files(tmp_path / "out") == {"b.aec"}
    assert "too long" in rows_of(tmp_path / "out.jsonl")[0]["error"]
    assert convert(source, tmp_path / "tar.tar")["done"] == 2


def test_sparse_files_are_left_out(tmp_path):
    """A few bytes of them may stand for more than the memory holds."""
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "a.png"}
    headers |= {"GNU.sparse.size": str(2**45), "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,1"}
    source = pax(tmp_path / "in.tar", [("a.png", b"1", headers), ("b.txt", b"2", {})])
    stats = convert(source, tmp_path / "out.tar")
    assert (stats["left_out"], stats["copied"], stats["pictures"]) == (1, 1, 0)


COMPRESSIONS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_compressed_shards_of_several_streams_are_read_and_damage_is_found(tmp_path, kind):
    plain = shards.write(tmp_path / "in.tar", shards.samples(2)).read_bytes()
    packed = b"".join(COMPRESSIONS[kind](plain[i : i + 700]) for i in range(0, len(plain), 700))
    (tmp_path / "many.tar").write_bytes(packed)
    convert(tmp_path / "in.tar", tmp_path / "out.tar")
    convert(tmp_path / "many.tar", tmp_path / "out-many.tar")
    assert (tmp_path / "out.tar").read_bytes() == (tmp_path / "out-many.tar").read_bytes()
    whole = COMPRESSIONS[kind](plain)
    for at in (len(whole) // 2, len(whole) - 6):  # the last bytes are a checksum
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        (tmp_path / "damaged.tar").write_bytes(damaged)
        with pytest.raises(InputError, match="shard cannot be read"):
            convert(tmp_path / "damaged.tar", tmp_path / "never.tar")


def test_bad_pictures_cost_a_row_each(tmp_path):
    given = shards.samples(3)
    given[3:3] = [("bad.png", b"no picture"), ("bad.txt", b"but this stays"), ("cut.png", shards.png(0)[:60])]
    shards.write(tmp_path / "in.tar", given)
    stats = convert(tmp_path / "in.tar", tmp_path / "out.tar")
    assert [stats[k] for k in ("pictures", "done", "failed", "copied")] == [5, 3, 2, 7]
    found = [name for name, _ in shards.read(tmp_path / "out.tar")]
    assert "bad.aec" not in found and "bad.txt" in found and len(found) == 10
    rows = {row["key"]: row for row in rows_of(tmp_path / "out.jsonl")}
    assert rows["bad"]["status"] == "failed" and "not a picture" in rows["bad"]["error"] and rows["bad"]["out"] is None
    assert rows["0001"] | {"sha256": 0, "bytes_out": 0, "bpp": 0} == {
        **{"key": "0001", "name": "0001.png", "out": "0001.aec", "status": "done", "error": None, "quality": None},
        **{"bytes_in": len(shards.png(1)), "bytes_out": 0, "width": 13, "height": 12, "bpp": 0, "sha256": 0},
    }


def test_links_folders_and_devices_are_left_out(tmp_path):
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("l.png", tarfile.SYMTYPE), ("n", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("d/a.png")
        info.size = len(shards.png(1))
        tar.addfile(info, io.BytesIO(shards.png(1)))
    stats = convert(tmp_path / "in.tar", tmp_path / "out.tar")
    assert (stats["left_out"], stats["done"]) == (3, 1)
    assert [name for name, _ in shards.read(tmp_path / "out.tar")] == ["d/a.aec"]


def test_no_member_leaves_the_folder_that_it_is_unpacked_into(tmp_path):
    given = [("/tmp/abs.png", shards.png(1)), ("../up.txt", b"up"), ("in/../../up.png", shards.png(2))]
    given += [("fine/a.png", shards.png(3)), ("fine", b"a folder already"), ("b.txt", b"1"), ("./b.txt", b"2")]
    shards.write(tmp_path / "in.tar", given)
    stats = convert(tmp_path / "in.tar", tmp_path / "out" / "in")
    assert files(tmp_path) == {"in.tar", "out/in/fine/a.aec", "out/in/b.txt", "out/in.jsonl", "out/in_stats.json"}
    assert (stats["done"], stats["failed"], stats["copied"]) == (1, 5, 1)
    assert (tmp_path / "out/in/b.txt").read_bytes() == b"1"
    # In a tar file names stay as they are: who unpacks it decides.
    assert convert(tmp_path / "in.tar", tmp_path / "kept.tar")["failed"] == 0
    assert [n for n, _ in shards.read(tmp_path / "kept.tar")][:2] == ["/tmp/abs.aec", "../up.txt"]


def test_files_of_a_folder_have_the_times_of_the_members(tmp_path):
    shards.write(tmp_path / "in.tar", shards.samples(1))
    convert(tmp_path / "in.tar", tmp_path / "in")
    assert files(tmp_path / "in") == {"0000.aec", "0000.json", "0000.cls"}
    assert (tmp_path / "in/0000.json").stat().st_mtime == 978307201.5


@pytest.mark.parametrize("kind", ["plain", "gz"])
def test_no_shard_that_is_cut_off_anywhere_passes_for_a_whole_one(tmp_path, kind):
    whole = shards.write(tmp_path / "in.tar", shards.samples(3), "w:gz" if kind == "gz" else "w").read_bytes()
    cuts = [0, 1, 511, 512, 513, 700, 1024, 1536, len(whole) // 2, 512 * (len(whole) // 1024), len(whole) // 2 + 777]
    for cut in cuts:
        if cut > len(whole) - 3 * 512 * (kind == "plain") - 1:
            continue
        (tmp_path / "cut.tar").write_bytes(whole[:cut])
        with pytest.raises(InputError, match="shard cannot be read"):
            convert(tmp_path / "cut.tar", tmp_path / "out.tar")
        assert not (tmp_path / "out.tar").exists() and not (tmp_path / "out_stats.json").exists()
    convert(tmp_path / "in.tar", tmp_path / "out.tar")  # once it is there as a whole, it is made
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.journal"))


def test_damage_between_members_and_files_that_are_no_tar_are_errors(tmp_path):
    data = bytearray(shards.write(tmp_path / "in.tar", [("a.txt", b"1"), ("b.txt", b"2")]).read_bytes())
    at = bytes(data).index(b"b.txt")
    data[at + 150] ^= 0x55  # in the header's checksum
    (tmp_path / "in.tar").write_bytes(data)
    (tmp_path / "text.tar").write_text("no tar file " * 100)
    for name in ("in.tar", "text.tar"):
        with pytest.raises(InputError, match="cannot be read"):
            convert(tmp_path / name, tmp_path / "out.tar")


def test_an_empty_shard_is_done_with_no_pictures(tmp_path):
    stats = convert(shards.write(tmp_path / "in.tar", []), tmp_path / "out.tar")
    assert stats["pictures"] == 0 and shards.read(tmp_path / "out.tar") == [] == rows_of(tmp_path / "out.jsonl")
    convert(tmp_path / "in.tar", tmp_path / "folder")
    assert (tmp_path / "folder").is_dir()


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


def test_a_command_that_is_killed_goes_on(tmp_path):
    """Its workers end with it, and what is made at last is what one run makes."""
    for i in range(2):
        shards.write(tmp_path / f"in-{i}.tar", shards.samples(48, 48 * i, side=32))
    words = [*AEC, "compress", "--from", "in-{0..1}.tar", "-j", "2", "--to"]
    rng, kills = random.Random(0), 0
    for _ in range(2):
        run = subprocess.Popen([*words, "out-{}.tar"], cwd=tmp_path, stderr=subprocess.PIPE)
        time.sleep(rng.uniform(0.6, 1.2))
        kills += run.poll() is None
        run.send_signal(rng.choice([signal.SIGKILL, signal.SIGINT]))
        run.communicate(timeout=60)
    assert kills
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
    convert(source, tmp_path / "out.tar")
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
    convert(source, tmp_path / "out.tar", replace(EXACT, rows="parquet"))
    convert(source, tmp_path / "other.tar")
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == rows_of(tmp_path / "other.jsonl")
    assert files(tmp_path) == {"in.tar", "out.tar", "out.parquet", "out_stats.json"} | {
        f"other{end}" for end in (".tar", ".jsonl", "_stats.json")
    }


def test_rows_in_parquet_hold_names_that_are_not_utf8(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    source = shards.write(tmp_path / "in.tar", [("\udcff.png", shards.png(1))])
    assert convert(source, tmp_path / "out.tar", replace(EXACT, rows="parquet"))["done"] == 1
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

"""The members of shards: what becomes of each, and of shards that are damaged or odd."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
import shards
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import BACK, convert, pixels, rows_of
from shell import files

from codec.io import InputError

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

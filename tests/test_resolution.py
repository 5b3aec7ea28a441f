"""Dots per inch survive, and what an .aec file has no place for is told."""

import math
import struct

import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from shell import here

import codec
from codec.container.metadata import Metadata, exif_of_resolution, resolution


def saved(path, **options):
    Image.fromarray(photos.photo(24, 32)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["scan.png", "scan.jpg", "scan.tif", "scan.bmp"])
@pytest.mark.parametrize("lossless", [False, True])
def test_a_scans_dots_per_inch_come_back_in_every_kind_of_file(tmp_path, name, lossless):
    source = saved(tmp_path / name, dpi=(300, 600))
    assert here("compress", source, "-o", tmp_path / "x.aec", *(["--lossless"] if lossless else [])) == 0
    assert tuple(map(round, codec.decode(tmp_path / "x.aec").info["dpi"])) == (300, 600)
    assert tuple(map(round, Image.open(tmp_path / "x.aec").info["dpi"])) == (300, 600)
    for out in ("out.png", "out.jpg", "out.tif"):
        assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / out, "-f") == 0
        assert tuple(map(round, Image.open(tmp_path / out).info["dpi"])) == (300, 600), out


def test_dots_per_inch_of_deep_colour_come_back(tmp_path):
    data = codec.encode(
        photos.photo(24, 32).astype(np.uint16) * 257, metadata=Metadata(exif=exif_of_resolution((240, 240)))
    )
    (tmp_path / "x.aec").write_bytes(data)
    assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / "x.png") == 0
    assert tuple(map(round, Image.open(tmp_path / "x.png").info["dpi"])) == (240, 240)


@pytest.mark.parametrize("dpi", [(72, 72), (96, 96)])
def test_what_programs_write_where_they_know_of_no_resolution_costs_no_byte(tmp_path, dpi):
    with_it, without = saved(tmp_path / "a.png", dpi=dpi), saved(tmp_path / "b.png")
    assert codec.encode(Image.open(with_it)) == codec.encode(Image.open(without))


def test_exif_that_is_there_stays_as_it_is(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a scan"
    source = saved(tmp_path / "a.jpg", dpi=(300, 300), exif=exif)
    inside = codec.read_metadata(codec.encode(Image.open(source))).exif
    assert b"Exif\0\0" + inside == Image.open(source).info["exif"]


@given(st.floats(1, 65535), st.floats(1, 65535))
def test_a_block_says_the_resolution_it_was_made_of(across, down):
    block = exif_of_resolution((across, down))
    if block is None:
        assert round(across) == round(down) and round(across) in (72, 96)
        return
    assert resolution(Metadata(exif=block)) == pytest.approx((across, down), abs=0.006)
    tags = Image.Exif()
    tags.load(block)
    assert float(tags[0x011A]) == pytest.approx(across, abs=0.006) and tags[0x0128] == 2


WRONG = [None, 5, (), (1,), (0, 0), (-1, 5), (math.nan, 5), (math.inf, 5), ("x", 1), (1, 2, 3), "72", b"ab", (1e6, 1)]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_resolution_makes_no_block(wrong):
    assert exif_of_resolution(wrong) is None


@given(st.binary(max_size=80))
def test_damaged_exif_has_no_resolution_or_a_sound_one(tail):
    for start in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        found = resolution(Metadata(exif=start + tail))
        assert found is None or 1 <= min(found) <= max(found) <= 65535


def block_of(across: tuple[int, int], down: tuple[int, int]) -> bytes:
    values = struct.pack("<4I", *across, *down)
    return exif_of_resolution((300, 300))[: -len(values)] + values


@pytest.mark.parametrize("across", [(2**32 - 1, 1), (70000, 1), (1, 2**32 - 1), (300, 0), (0, 0), (65535, 1), (1, 1)])
@pytest.mark.parametrize("depth", [8, 16])
def test_odd_resolutions_cost_no_picture_in_any_kind_of_file(across, depth, tmp_path):
    image = photos.photo(16, 16) if depth == 8 else photos.photo(16, 16).astype(np.uint16) * 257
    block = block_of(across, across)
    (tmp_path / "x.aec").write_bytes(codec.encode(image, metadata=Metadata(exif=block)))
    sound = across in ((65535, 1), (1, 1))
    for name in ("x.png", "x.jpg", "x.tif") if depth == 8 else ("x.png",):
        assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / name) == 0
        out = Image.open(tmp_path / name)
        assert out.size == (16, 16)
        if sound:
            assert round(out.info["dpi"][0]) == across[0]


def test_centimetres_become_inches():
    block = bytearray(exif_of_resolution((100, 100)))
    at = block.index(b"\x28\x01\x03\0\x01\0\0\0") + 8
    block[at] = 3
    assert resolution(Metadata(exif=bytes(block))) == pytest.approx((254, 254))


# ------------------------------------------------------------------ what is left behind


def test_comments_iptc_and_text_are_left_behind_and_told_with_v(tmp_path, capsys):
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a photo")
    text.add_text("Author", "someone", zip=True)
    text.add_text("Raw profile type iptc", "\niptc\n 1\n41\n")
    saved(tmp_path / "a.png", pnginfo=text)
    saved(tmp_path / "b.jpg", comment="a comment", quality=100)
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x06\x1c\x02\x05\0\x01A"
    jpeg = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(jpeg[:2] + b"\xff\xed" + (len(iptc) + 2).to_bytes(2, "big") + iptc + jpeg[2:])
    Image.fromarray(photos.photo(24, 32)).save(tmp_path / "c.gif", comment=b"made by hand")
    for name, words in (
        ("a.png", "text (Title, Author, Raw profile type iptc)"),
        ("b.jpg", "IPTC, comment"),
        ("c.gif", "comment"),
    ):
        assert here("compress", "-v", "-q", 30, tmp_path / name, "-o", tmp_path / "x.aec", "-f") == 0
        assert f"; without its {words}" in capsys.readouterr().err


def test_a_file_that_is_kept_whole_loses_nothing(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=5, comment="a comment")
    assert here("compress", "-v", "-q", 95, tmp_path / "a.jpg") == 0
    assert codec.open(tmp_path / "a.aec").stored_file == (tmp_path / "a.jpg").read_bytes()
    assert "without its" not in capsys.readouterr().err


# ------------------------------------------------------------------ what Pillow shows


def test_pillow_shows_quality_and_model(tmp_path):
    (tmp_path / "a.aec").write_bytes(codec.encode(photos.photo(24, 32), quality=33, model="psnr"))
    info = Image.open(tmp_path / "a.aec").info
    assert (info["quality"], info["model"]) == (33, "psnr")
    (tmp_path / "b.aec").write_bytes(codec.encode(photos.photo(24, 32), lossless=True))
    assert not {"quality", "model"} & Image.open(tmp_path / "b.aec").info.keys()


def test_info_names_the_model(tmp_path, capsys):
    (tmp_path / "a.aec").write_bytes(codec.encode(photos.photo(24, 32)))
    assert here("info", tmp_path / "a.aec") == 0
    assert f"model           eye ({codec.inspect(tmp_path / 'a.aec').model_id.hex()})" in capsys.readouterr().out

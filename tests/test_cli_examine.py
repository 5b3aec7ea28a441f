"""`aec info`, `verify`, `doctor` and `view`: what they say of files and of the machine."""

import base64
import io
import json
import os
import sys
import tempfile
import webbrowser
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import numpy as np
import photos
import pytest
from PIL import Image
from shell import damage, here, of_another_model

import codec
from codec.cli import view
from codec.container import format, metadata
from codec.picture.samples16 import write_png


def test_info_says_what_the_file_says(packed, capsys):
    assert here("info", packed) == 0
    text = dict(
        line.split(maxsplit=1)
        for line in capsys.readouterr().out.splitlines()
        if line.split()[0] in ("width", "mode", "model")
    )
    assert text == {"width": "56", "mode": "RGB", "model": f"eye ({codec.inspect(packed).model_id.hex()})"}


def test_info_of_several_files_is_one_paragraph_each(packed, capsys):
    assert here("info", packed, packed) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first + "\n" == second and first.startswith("file ")


def test_info_json_is_one_object_for_each_file(packed, capsys):
    data = packed.read_bytes()
    assert here("info", "--json", packed, packed) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    layout = format.read(data)
    assert json.loads(lines[0]) == {
        "file": str(packed),
        "bytes": len(data),
        "width": 56,
        "height": 40,
        "mode": "RGB",
        "alpha": False,
        "depth": 8,
        "stored": None,
        "significant_bits": None,
        "cicp": None,
        "max_error": None,
        "metadata": {},
        "quality": 60,
        "bits_per_pixel": round(8 * len(data) / (56 * 40), 4),
        "tiles": 1,
        "parts": 1,
        "progressive": False,
        "quality_map": False,
        "tile_side": layout.header.tile,
        "overhead_bytes": layout.overhead_bytes,
        "model": layout.header.model_id.hex(),
        "model_name": "eye",
        "format_version": format.VERSION,
    }


def test_info_reads_files_of_models_that_are_not_at_hand_and_names_damage(packed, capsys):
    good = packed.read_bytes()
    packed.write_bytes(of_another_model(good))
    assert here("info", "--json", packed) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "deadbeef"
    packed.write_bytes(damage(good))
    assert here("info", packed) == 4
    assert "checksum of tile 0" in capsys.readouterr().err


def test_info_tells_alpha_depth_metadata_and_what_is_stored(tmp_path, capsys):
    image = Image.fromarray(photos.photo(64, 64))
    image.putalpha(77)
    block = metadata.Metadata(icc=b"profile" * 9)
    (tmp_path / "alpha.aec").write_bytes(codec.encode(image, 50, metadata=block))
    (tmp_path / "deep.aec").write_bytes(codec.encode(photos.photo(64, 64).astype("uint16") << 8, 50))
    (tmp_path / "stored.aec").write_bytes(codec.encode(image, lossless=True, effort=1))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.jpg", quality=40)
    source = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "jpeg.aec").write_bytes(codec.encode(Image.open(tmp_path / "x.jpg"), 100, source=source))
    assert here("info", "--json", tmp_path) == 0
    facts = {Path(row["file"]).stem: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (facts["alpha"]["alpha"], facts["alpha"]["metadata"], facts["alpha"]["stored"]) == (True, {"icc": 63}, None)
    assert (facts["deep"]["depth"], facts["deep"]["alpha"], facts["deep"]["quality"]) == (16, False, 50)
    stored = facts["stored"]
    assert (stored["stored"], stored["quality"], stored["model"], stored["alpha"]) == ("WebP", None, None, True)
    assert facts["jpeg"]["stored"] == "JPEG"
    assert here("info", tmp_path / "alpha.aec", tmp_path / "stored.aec") == 0
    text = capsys.readouterr().out
    assert "alpha           yes" in text and "icc 63 bytes" in text and "stored          WebP" in text


@pytest.mark.parametrize("jobs", [1, 3])
def test_verify_finds_each_damaged_file_among_whole_ones(tmp_path, packed, jobs, capsys):
    good = packed.read_bytes()
    for name, data in (("a", good), ("b", damage(good)), ("c", good[:-1]), ("d", of_another_model(good))):
        (tmp_path / f"{name}.aec").write_bytes(data)
    packed.unlink()
    assert here("verify", tmp_path, "-j", jobs, "-v") == 1
    *lines, totals = capsys.readouterr().err.splitlines()
    assert totals.startswith("aec: 4 files: 2 whole, 2 failed; ")
    lines.sort()
    assert [line.partition(f"{tmp_path}/")[2][0] for line in lines] == ["a", "d", "b", "c"]
    assert (
        lines[0].endswith("a.aec: whole: checksums of its tile are right")
        and lines[2].startswith("aec: ")
        and "checksum" in lines[2]
    )
    assert here("verify", tmp_path, "-j", jobs, "--deep", "--json") == 1
    found = {Path(row["in"]).stem: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert [found[n]["status"] for n in "abcd"] == ["done", "failed", "failed", "failed"]
    assert "deadbeef" in found["d"]["error"] and found["a"]["bytes_in"] == len(good)
    assert here("verify", tmp_path / "a.aec") == 0 and capsys.readouterr() == ("", "")
    assert here("verify", tmp_path / "b.aec") == 4


def test_verify_deep_finds_what_right_checksums_hide(tmp_path, packed, capsys):
    layout = format.read(packed.read_bytes())
    forged = bytearray(layout.payloads[0])
    forged[-1] ^= 1
    (tmp_path / "forged.aec").write_bytes(format.write(layout.header, [bytes(forged)]))
    picture = Image.fromarray(photos.photo(32, 32))
    picture.putalpha(Image.fromarray(photos.photo(32, 32)[..., 0].copy()))
    layout = format.read(codec.encode(picture, 50))
    assert layout.header.alpha and not layout.header.stored
    cut = [bytes(layout.alphas[0][:-9])]
    (tmp_path / "alpha.aec").write_bytes(format.write(layout.header, [bytes(layout.payloads[0])], cut))
    layout = format.read(codec.encode(picture, lossless=True, effort=1))
    (tmp_path / "stored.aec").write_bytes(format.write(layout.header, [bytes(layout.payloads[0][:-99])]))
    for name in ("forged", "alpha", "stored"):
        assert here("verify", tmp_path / f"{name}.aec") == 0
        assert here("verify", "--deep", tmp_path / f"{name}.aec") == 4, name
    assert here("verify", "--deep", packed) == 0


def test_doctor_prints_a_row_for_each_check_and_fails_if_one_does(monkeypatch, capsys):
    Check = namedtuple("Check", "name ok detail")
    found = [Check("build", True, "fine"), Check("CUDA", None, "none here"), Check("bits", True, "equal")]
    monkeypatch.setitem(sys.modules, "codec.cli.doctor", SimpleNamespace(checks=lambda: iter(found)))
    assert here("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", "build"], ["-", "CUDA"], ["ok", "bits"]]
    found[2] = Check("bits", False, "differ")
    assert here("doctor") == 1
    assert capsys.readouterr().out.splitlines()[2].split() == ["FAILED", "bits", "differ"]


def shown(page: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(page.partition("base64,")[2].partition('"')[0])))


def test_view_makes_a_page_of_any_picture(tmp_path, packed, picture, monkeypatch, capfd):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or len(opened) == 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert here("view", packed) == 0 and capfd.readouterr() == ("", "")
    page = Path(unquote(urlparse(opened[0]).path)).read_text()
    assert "packed.aec: 56x40" in page and "quality 60" in page
    assert np.array_equal(np.array(shown(page)), codec.decode(packed.read_bytes(), output="numpy"))
    odd = tmp_path / "<b>&.jpg"
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(picture).convert("CMYK").save(odd, "JPEG", exif=turned)
    assert here("view", odd) == 0  # there is no browser
    path = Path(unquote(urlparse(opened[1]).path))
    assert str(path) in capfd.readouterr().err and "&lt;b&gt;&amp;.jpg: 40x56" in path.read_text()
    assert shown(path.read_text()).size == (40, 56)
    assert here("view", picture, "-o", tmp_path / "page.html") == 0 and len(opened) == 2
    for source in (picture, __file__):  # which is no picture: the output is looked at first
        assert here("view", source, "-o", tmp_path / "page.html") == 7
    deep = tmp_path / "deep.png"
    deep.write_bytes(deep_png := write_png(np.full((3, 5, 4), 0x80FF, np.uint16)))
    assert here("view", deep, "-o", "-") == 0
    assert f"5x3, {len(deep_png)} bytes" in capfd.readouterr().out
    assert here("view", tmp_path / "page.html") == 3
    assert capfd.readouterr().err == f"aec: {tmp_path / 'page.html'}: a web page, and no picture\n"


def test_view_leaves_no_page_for_longer_than_a_day(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda uri: True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert here("view", packed) == 0
    (first,) = (tmp_path / "temporary").iterdir()
    assert here("view", packed) == 0
    assert first.exists()
    os.utime(first, (0, 0))
    (tmp_path / "temporary" / "another").mkdir()
    os.utime(tmp_path / "temporary" / "another", (0, 0))
    assert here("view", packed) == 0
    left = {path.name for path in (tmp_path / "temporary").iterdir()}
    assert first.name not in left and "another" in left and len(left) == 3


def test_view_shows_less_of_what_is_too_large(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(view, "MAX_PIXELS", 56 * 40 // 3)
    assert here("view", packed, "-o", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "shown at 1/2" in page and shown(page).size == (28, 20)


def test_verify_deep_by_another_model_than_the_file_s_is_told_as_such(packed, capsys):
    another = Path(__file__).parent / "golden" / "tiny2.safetensors"
    assert here("verify", "--deep", "--model", another, packed) == 6
    assert "the file was written with model" in capsys.readouterr().err

"""The options of `aec` for regions, and for files that are cut off, damaged or still on their way."""

import json
import os
import subprocess
import time

import numpy as np
import photos
import pytest
from PIL import Image
from shell import AEC, aec, here

import codec
from codec.container import format


@pytest.fixture(scope="module")
def image():
    return photos.astronaut()[:256, 100:356].copy()


@pytest.fixture(scope="module")
def progressive(image):
    return codec.encode(image, 80, progressive=True)


# ------------------------------------------------------------------ regions


def test_rectangles_and_masks_do_what_roi_does(tmp_path, image):
    Image.fromarray(image).save(tmp_path / "a.png")
    mask = np.zeros((256, 256), np.uint8)
    mask[128:, 64:128] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    regions = ["--roi", "0,0,64,64:+20", "--roi", "10,200,5,5:3", "--roi-mask", f"{tmp_path / 'mask.png'}:-15"]
    assert here("compress", tmp_path / "a.png", "-q", 50, *regions) == 0
    wanted = codec.encode(image, 50, roi=[((0, 0, 64, 64), 20), ((10, 200, 5, 5), 3), (mask, -15)])
    assert (tmp_path / "a.aec").read_bytes() == wanted and codec.inspect(wanted).mapped


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--roi", "0,0,64,64", "X,Y,W,H:+N"),
        ("--roi", "0,0,64:+5", "X,Y,W,H:+N"),
        ("--roi", "0,0,64,64:+0", "N is 1..99"),
        ("--roi", "0,0,64,64:100", "N is 1..99"),
        ("--roi-mask", "mask.png", "FILE:+N"),
        ("--roi-mask", "nothing-here.png:+5", "No such file"),
        ("--roi-mask", f"{__file__}:+5", ".py: not a picture that Pillow can read"),
    ],
)
def test_regions_that_are_not_understood_are_usage_errors(tmp_path, capsys, image, option, value, words):
    Image.fromarray(image).save(tmp_path / "a.png")
    assert here("compress", tmp_path / "a.png", option, value) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "a.aec").exists()


def test_a_region_outside_the_picture_fails_that_picture(tmp_path, capsys, image):
    Image.fromarray(image).save(tmp_path / "a.png")
    assert here("compress", tmp_path / "a.png", "--roi", "200,0,57,9:+5") != 0
    assert "must be within the picture of 256x256" in capsys.readouterr().err
    assert not (tmp_path / "a.aec").exists()


def test_info_says_what_a_file_has(tmp_path, capsys, image, progressive):
    (tmp_path / "p.aec").write_bytes(progressive)
    (tmp_path / "m.aec").write_bytes(codec.encode(image, 30, roi=[((0, 0, 9, 9), 9)]))
    assert here("info", "--json", tmp_path / "p.aec", tmp_path / "m.aec") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["parts"], row["progressive"], row["quality_map"]) for row in rows] == [
        (9, True, False),
        (1, False, True),
    ]


# ------------------------------------------------------------------ parts of files


def test_a_cut_file_is_refused_or_written_as_far_as_it_goes(tmp_path, capsys, progressive):
    (tmp_path / "a.aec").write_bytes(progressive[: len(progressive) // 2])
    assert here("decompress", tmp_path / "a.aec") == 4
    assert not (tmp_path / "a.png").exists()
    capsys.readouterr()
    assert here("decompress", tmp_path / "a.aec", "--allow-partial") == 0
    assert "the picture is not as it was in and near 256x256 at 0,0" in capsys.readouterr().err
    with Image.open(tmp_path / "a.png") as shown:
        wanted = codec.decode(progressive[: len(progressive) // 2], output="numpy", allow_partial=True)
        assert np.array_equal(np.asarray(shown), wanted)


def test_json_names_the_areas_that_are_missing(tmp_path, capsys, progressive):
    (tmp_path / "a.aec").write_bytes(progressive[:-9])
    (tmp_path / "b.aec").write_bytes(progressive)
    assert here("decompress", tmp_path / "a.aec", tmp_path / "b.aec", "--allow-partial", "--json") == 0
    rows = {row["in"].rpartition("/")[2]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    area = {"area": [0, 0, 256, 256], "what": "colours", "parts": 8, "of": 9}
    assert rows["a.aec"]["missing"] == [area] and rows["b.aec"]["missing"] == []


def test_a_picture_grows_while_its_file_arrives(tmp_path, image, progressive):
    target = tmp_path / "out.png"
    command = [*AEC, "decompress", "--arriving", "-", "-o", str(target)]
    errors = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        sizes = format.stages(progressive)
        for size, before in ((sizes[4], 0), (len(progressive), sizes[4])):
            os.write(process.stdin.fileno(), progressive[before:size])
            if size < len(progressive):
                deadline = time.monotonic() + 120
                while not target.exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
                with Image.open(target) as shown:
                    errors.append(np.abs(np.asarray(shown).astype(int) - image).mean())
        process.stdin.close()
        assert process.wait(120) == 0 and "bytes have arrived" in process.stderr.read().decode()
    with Image.open(target) as shown:
        assert np.array_equal(np.asarray(shown), codec.decode(progressive, output="numpy"))
        assert np.abs(np.asarray(shown).astype(int) - image).mean() < 0.7 * errors[0]


def test_what_never_arrives_is_an_error_and_the_last_picture_stays(tmp_path, progressive):
    target = tmp_path / "out.png"
    done = aec("decompress", "--arriving", "-", "-o", target, stdin=progressive[: len(progressive) - 50])
    assert done.returncode == 4  # a picture was only written if the rest did not come at once
    done = aec("decompress", "--arriving", "-", "-o", tmp_path / "no.png", stdin=b"not a file of ours")
    assert done.returncode == 3 and not (tmp_path / "no.png").exists()
    target.write_bytes(b"precious")
    assert aec("decompress", "--arriving", "-", "-o", target, stdin=progressive).returncode == 7
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.aec", "-o", "b.png"],
        ["-"],
        ["-", "-o", "b.png", "--json"],
        ["-", "-o", "b.png", "--dry-run"],
        ["-", "-o", "b.png", "--skip-existing"],
        ["-", "-o", "b.png", "--allow-partial"],
    ],
)
def test_arriving_needs_a_pipe_and_a_file(arguments, capsys):
    assert here("decompress", "--arriving", *arguments) == 2
    assert "--arriving" in capsys.readouterr().err


def test_arriving_is_quiet_and_takes_a_format(tmp_path, progressive):
    done = aec(
        "decompress", "--arriving", "--quiet", "-", "--format", "webp", "-o", tmp_path / "out", stdin=progressive
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "out") as shown:
        assert shown.format == "WEBP"


def test_lost_metadata_is_named(tmp_path, capsys, image):
    Image.fromarray(image).save(tmp_path / "a.png", icc_profile=b"not a profile" * 9)
    assert here("compress", tmp_path / "a.png", "-q", 30) == 0
    data = bytearray((tmp_path / "a.aec").read_bytes())
    data[format.read(data).overhead_bytes + 3] ^= 1
    (tmp_path / "a.aec").write_bytes(data)
    capsys.readouterr()
    assert here("decompress", tmp_path / "a.aec", "-f", "--allow-partial") == 0
    assert "there is no icc metadata" in capsys.readouterr().err


def test_lossless_files_are_not_progressive(tmp_path, capsys, image):
    Image.fromarray(image).save(tmp_path / "a.png")
    assert here("compress", tmp_path / "a.png", "--lossless", "-p") != 0
    assert "only pictures that the networks code can be progressive" in capsys.readouterr().err


def test_the_page_of_a_file_in_parts_has_a_slider(tmp_path, image, progressive):
    for data, stages in ((progressive, 8), (codec.encode(image, 20), 0)):
        (tmp_path / "a.aec").write_bytes(data)
        assert here("view", tmp_path / "a.aec", "-f", "-o", tmp_path / "page.html") == 0
        page = (tmp_path / "page.html").read_text()
        assert page.count("data:image/webp;base64,") == stages and ('type="range"' in page) == (stages > 0)


def test_a_page_of_a_picture_wider_than_webp_allows_has_its_slider_too(tmp_path):
    wide = np.tile(photos.astronaut()[:64, :256], (1, 70, 1))
    (tmp_path / "a.aec").write_bytes(codec.encode(wide, 30, effort=1, progressive=True))
    assert here("view", tmp_path / "a.aec", "-o", tmp_path / "page.html") == 0
    assert 'type="range"' in (tmp_path / "page.html").read_text()

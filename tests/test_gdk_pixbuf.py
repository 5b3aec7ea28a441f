"""The loader of gdk-pixbuf: programs of GTK get the pixels that Python gets."""

import base64
import hashlib
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import capi
import numpy as np
import photos
import pytest
from PIL import Image
from shell import damage, of_another_model
from test_desktop import WIDE

import codec

SYSTEM_PYTHON = "/usr/bin/python3"


def run(*command, **environment) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=os.environ | environment)


@pytest.fixture(scope="module")
def loader(c_build, tmp_path_factory):
    """loader(command): runs it where gdk-pixbuf has the loader."""
    for program in ("pkg-config", "gdk-pixbuf-pixdata", "gdk-pixbuf-thumbnailer", "update-mime-database"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: pkgconf libgdk-pixbuf2.0-bin shared-mime-info)")
    asked = run("pkg-config", "--variable=gdk_pixbuf_query_loaders", "gdk-pixbuf-2.0")
    if asked.returncode:
        pytest.skip("gdk-pixbuf's headers are not installed (Debian: libgdk-pixbuf-2.0-dev)")
    folder = tmp_path_factory.mktemp("loader")
    with capi.locked(c_build.parent / "libaecodec.lock"):
        capi.build(c_build, "-DAEC_GDK_PIXBUF=ON", f"-DAEC_GDK_PIXBUF_MODULE_DIR={folder}/loaders")
        installed = run("cmake", "--install", c_build, "--prefix", folder)
    assert installed.returncode == 0, installed.stderr
    assert run("update-mime-database", folder / "share/mime").returncode == 0
    cache = folder / "loaders.cache"
    cache.write_text(run(asked.stdout.strip(), GDK_PIXBUF_MODULEDIR=str(folder / "loaders")).stdout)
    assert '"aec" 4 "gdk-pixbuf" "aec picture" "Apache-2.0"' in cache.read_text()
    environment = {
        "GDK_PIXBUF_MODULE_FILE": str(cache),
        "XDG_DATA_HOME": str(folder / "share"),
        "AEC_MODELS": str(Path(codec.__file__).parent / "models"),
    }
    return lambda *command, **more: run(*command, **environment | more)


def pixels(loader, path: Path) -> np.ndarray:
    """[H, W, 3|4], by a program that writes them behind 24 bytes."""
    made = path.with_suffix(".pixdata")
    done = loader("gdk-pixbuf-pixdata", path, made)
    assert (done.returncode, done.stderr) == (0, "")
    data = made.read_bytes()
    magic, _, kind, stride, width, height = struct.unpack(">4s5I", data[:24])
    assert magic == b"GdkP"
    channels = kind & 0xFF  # 1: RGB, 2: RGBA
    rows = np.frombuffer(data[24:].ljust(stride * height, b"\0"), np.uint8).reshape(height, stride)
    return rows[:, : width * (channels + 2)].reshape(height, width, channels + 2)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("options", [{"quality": 60}, {"lossless": True}, {"lossless": True, "effort": 1}], ids=str)
def test_a_program_gets_the_pixels_that_python_gets(mode, options, loader, tmp_path):
    gray = Image.fromarray(photos.photo(37, 51)[..., 0])
    image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(photos.photo(37, 51)[..., 1]))
    path = tmp_path / "x.aec"
    path.write_bytes(codec.encode(image, **options))
    expected = codec.decode(path.read_bytes(), depth=8).convert("RGBA" if mode.endswith("A") else "RGB")
    np.testing.assert_array_equal(pixels(loader, path), np.asarray(expected))


def test_a_program_may_give_the_file_in_pieces_ask_for_a_size_and_use_threads(loader, tmp_path):
    if run(SYSTEM_PYTHON, "-c", "import gi; gi.require_version('GdkPixbuf', '2.0')").returncode:
        pytest.skip("gi is not installed (Debian: python3-gi gir1.2-gdkpixbuf-2.0)")
    image = Image.fromarray(photos.photo(64, 96))
    image.info["icc_profile"] = WIDE.replace(b"cicp", b"cicq")  # no code points: then the file keeps the profile
    path = tmp_path / "x.aec"
    path.write_bytes(codec.encode(image))
    done = loader(SYSTEM_PYTHON, Path(__file__).with_name("gdk_pixbuf_program.py"), path, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = hashlib.sha256(codec.decode(path.read_bytes(), output="numpy").tobytes()).hexdigest()
    assert found["whole"] == found["by one byte"] == expected and found["in threads"] == [expected]
    assert found["info"] == ["aec", ["image/x-aec"], 96, 64]
    assert base64.b64decode(found["icc"]) == codec.read_metadata(path).icc
    assert (found["smaller"], found["larger"]) == ([31, 17], [300, 200])
    assert "exceed" in found["cut"] and isinstance(found["head"], str) and isinstance(found["foreign"], str)


def test_a_thumbnail_is_made_of_the_decoders_smaller_picture(loader, tmp_path):
    path = tmp_path / "x.aec"
    path.write_bytes(codec.encode(photos.photo(200, 304)))
    done = loader("gdk-pixbuf-thumbnailer", "-s", 76, path, tmp_path / "t.png")
    assert (done.returncode, done.stderr) == (0, "")
    made = np.asarray(Image.open(tmp_path / "t.png").convert("RGB"))
    assert np.array_equal(made, codec.decode(path.read_bytes(), scale=1 / 4, output="numpy"))


def test_what_is_wrong_with_a_file_is_said_and_nothing_crashes(loader, packed, tmp_path):
    whole, bad = packed.read_bytes(), tmp_path / "bad.aec"
    said = ((whole[:-1], "exceed"), (damage(whole), "checksum"), (of_another_model(whole), "deadbeef"))
    for data, words in said:
        bad.write_bytes(data)
        done = loader("gdk-pixbuf-pixdata", bad, tmp_path / "out")
        assert done.returncode == 1 and words in done.stderr and not (tmp_path / "out").exists()
    rng = np.random.default_rng(0)
    for i in range(60):
        data = bytearray(whole)
        data[rng.integers(4, 48)] ^= 1 << int(rng.integers(8))
        bad.write_bytes(bytes(data) if i % 2 else whole[: rng.integers(4, len(whole))])
        done = loader("gdk-pixbuf-pixdata", bad, tmp_path / "out")
        assert done.returncode == 1 and "failed to load" in done.stderr

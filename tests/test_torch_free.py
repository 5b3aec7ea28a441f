"""What runs no network, decodes on a processor, or chooses symbols once there, imports no torch: the engine is csrc."""

import subprocess
import sys

import numpy as np
import photos
import pytest
from PIL import Image

import codec

HEAD = "import io, sys, numpy as np, codec\nfrom PIL import Image\n"


def run(script: str, *arguments, without: str = "torch safetensors") -> str:
    """What a process of its own prints; it must end well, and without these packages: safetensors reads models."""
    start = "without = sys.argv.pop()\n"
    end = "\nloaded = set(without.split()) & sys.modules.keys()\nassert not loaded, loaded"
    command = [sys.executable, "-c", HEAD + start + script + end, *map(str, arguments), without]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def command(*arguments, code: int = 0, without: str = "torch safetensors") -> str:
    """The same of the `aec` command, which must end with that exit code."""
    return run(f"from codec import cli\nassert cli.main(sys.argv[1:]) == {code}", *arguments, without=without)


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "stored.aec"
    path.write_bytes(codec.encode(photos.photo(40, 56), lossless=True, effort=1))
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_stored_pictures_of_all_kinds_are_made_and_read(channels, dtype):
    run(
        "array = np.random.default_rng(0).integers(0, 256, (33, 40, int(sys.argv[1]))).astype(sys.argv[2])\n"
        "data = codec.encode(array, lossless=True)\n"
        "assert not codec.inspect(data).by_network and codec.read_metadata(data) == codec.Metadata()\n"
        "assert np.array_equal(codec.decode(data, output='numpy').reshape(array.shape), array)\n"
        "assert codec.decode(data, scale=1 / 4, region=(3, 5, 20, 9), depth=8).size == (6, 3)",
        channels,
        dtype,
    )


def test_pillow_saves_and_loads_them():
    run(
        "file = io.BytesIO()\n"
        "Image.new('RGBA', (9, 7), (1, 2, 3, 4)).save(file, 'AEC', lossless=True)\n"
        "assert Image.open(file).getpixel((8, 6)) == (1, 2, 3, 4)"
    )


def test_a_file_that_is_smaller_than_the_target_is_stored_as_it_is():
    run(
        "file = io.BytesIO()\n"
        "Image.effect_noise((64, 64), 50).save(file, 'JPEG', quality=1)\n"
        "data = codec.encode(Image.open(file), source=file.getvalue(), target_size=len(file.getvalue()) + 30)\n"
        "assert not codec.inspect(data).by_network"
    )


def test_commands_convert_stored_files(tmp_path, picture, stored):
    command("compress", picture, "--lossless", "-o", tmp_path / "new.aec")
    assert not codec.inspect((tmp_path / "new.aec").read_bytes()).by_network
    for suffix in ("png", "npy", "jpg"):
        command("decompress", stored, "-o", tmp_path / f"back.{suffix}")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back.png")), photos.photo(40, 56))
    assert np.array_equal(np.load(tmp_path / "back.npy"), photos.photo(40, 56))


def test_commands_that_only_look_take_files_of_networks_too(stored, packed):
    assert "WebP" in command("info", stored, packed)
    command("verify", stored, packed)
    command("verify", "--deep", stored)


def test_many_pictures_are_kept_exactly(album):
    command("compress", album, "-r", "--lossless", "-j", 2)
    assert len(list(album.rglob("*.aec"))) == 3


def test_what_cannot_be_done_is_refused(tmp_path, picture, packed):
    (tmp_path / "there.png").write_bytes(b"mine")
    (tmp_path / "text.png").write_text("no picture")
    assert "exists already" in command("decompress", packed, "-o", tmp_path / "there.png", code=7)
    (tmp_path / "there.aec").write_bytes(b"mine")
    assert "exists already" in command("compress", picture, "-o", tmp_path / "there.aec", code=7)
    assert "No such file" in command("compress", tmp_path / "none.png", code=3)
    assert "cannot be written" in command("decompress", packed, "-o", tmp_path / "x.odd", code=7)
    assert "not a picture" in command("compress", tmp_path / "text.png", code=3)
    assert "not an .aec file" in command("decompress", picture, "-o", tmp_path / "new.png", code=3)


@pytest.mark.parametrize("call", ["codec.encode(np.zeros((8, 8), 'u1'), lossless=True, device='tpu')", "decode"])
def test_a_word_that_is_no_device_is_refused_even_so(stored, call):
    call = "codec.decode(open(sys.argv[1], 'rb').read(), 'tpu')" if call == "decode" else call
    said = run(
        f"try: {call}\nexcept ValueError as e: print(e)\nelse: raise SystemExit('taken')",
        stored,
    )
    assert said == "device 'tpu': allowed are auto, cpu, cuda and cuda:N\n"


# ------------------------------------------------------------------ decoding what a network coded


def test_files_of_networks_are_decoded(tmp_path, packed):
    """By the command, one or several at a time, and all symbols looked at; to the pixels that torch's process has."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.aec").write_bytes(packed.read_bytes())
    command("decompress", packed, "-o", tmp_path / "back.png")
    command("decompress", *tmp_path.glob("*.aec"), "-o", tmp_path, "-f", "-j", "2")
    command("verify", "--deep", packed)
    expected = codec.decode(packed.read_bytes(), output="numpy")
    for name in ("back", "one", "two"):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"{name}.png")), expected)


def test_the_api_and_pillow_decode_files_of_networks(packed):
    run(
        "data = open(sys.argv[1], 'rb').read()\n"
        "whole = codec.decode(data, output='numpy')\n"
        "assert np.array_equal(whole[3:9, 2:13], codec.decode(data, region=(2, 3, 11, 6), output='numpy'))\n"
        "assert np.array_equal(whole, np.asarray(Image.open(sys.argv[1])))\n"
        "assert codec.decode(data, scale=1 / 8).size == tuple(-(-n // 8) for n in whole.shape[1::-1])",
        packed,
    )


# ------------------------------------------------------------------ encoding with a network


@pytest.mark.parametrize(
    "options",
    [
        dict(quality=60),
        dict(quality=60, effort=1),
        dict(quality=60, device="cpu"),
        dict(target_size=900),
        dict(target_size=900, effort=1),
        dict(target_psnr=32.0),
        dict(target_ssimulacra2=60.0),
    ],
)
def test_the_api_encodes_where_symbols_are_chosen_once(tmp_path, picture, options):
    """To the bytes that torch's process writes."""
    run(
        "data = codec.encode(Image.open(sys.argv[1]), **eval(sys.argv[3]))\nopen(sys.argv[2], 'wb').write(data)",
        picture,
        tmp_path / "here.aec",
        repr(options),
    )
    data = (tmp_path / "here.aec").read_bytes()
    assert not codec.inspect(data).stored
    assert data == codec.encode(Image.open(picture), **options)


@pytest.mark.parametrize("kind", ["gray", "alpha", "16 bits"])
def test_pictures_of_all_kinds_are_encoded(tmp_path, kind):
    array = photos.photo(70, 90)
    if kind == "gray":
        array = array[..., 0]
    elif kind == "alpha":
        array = np.dstack([array, np.where(np.arange(90) < 40, 0, 255 * np.ones((70, 1))).astype(np.uint8)])
    else:
        array = array.astype(np.uint16) * 257
    np.save(tmp_path / "array.npy", array)
    run(
        "data = codec.encode(np.load(sys.argv[1]))\nopen(sys.argv[2], 'wb').write(data)",
        tmp_path / "array.npy",
        tmp_path / "here.aec",
    )
    assert (tmp_path / "here.aec").read_bytes() == codec.encode(array)


@pytest.mark.parametrize(
    "options",
    [(), ("-e", "1"), ("-q", "30", "-e", "2"), ("--target-size", "900"), ("--target-ssimulacra2", "60")],
)
def test_the_command_compresses_where_symbols_are_chosen_once(tmp_path, picture, options):
    command("compress", picture, "-o", tmp_path / "new.aec", *options)
    info = codec.inspect((tmp_path / "new.aec").read_bytes())
    assert (info.width, info.height, info.stored) == (56, 40, False)


def test_pillow_saves_with_a_network():
    run(
        "file = io.BytesIO()\n"
        "Image.effect_noise((64, 64), 50).convert('RGB').save(file, 'AEC', quality=50)\n"
        "assert not codec.inspect(file.getvalue()).stored and Image.open(file).size == (64, 64)",
    )


# ------------------------------------------------------------------ features


def test_features_are_made_and_compared(tmp_path, picture, packed):
    """By the API, and by the command, of files and of pictures."""
    run(
        "of_file, of_picture = codec.features(sys.argv[1]), codec.features(Image.open(sys.argv[2]))\n"
        "assert of_file @ of_picture > 0.9",
        packed,
        picture,
        without="torch",
    )
    assert "2 pictures are nearly the same" in command("similar", packed, picture, without="torch")

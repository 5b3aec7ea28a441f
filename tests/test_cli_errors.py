"""What `aec` refuses: one line that says what was found, the exit codes of the help, and nothing left behind."""

import io
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image
from shell import AEC, aec, damage, files, here, of_another_model

import codec
from codec import api
from codec.given import open_picture
from codec.io import InputError


def test_existing_output_is_refused_and_kept_unless_forced(tmp_path, picture, capsys):
    target = tmp_path / "photo.aec"
    target.write_bytes(b"precious")
    assert here("compress", picture) == 7
    out, err = capsys.readouterr()
    assert out == "" and "exists already: -f overwrites it" in err and err.count("\n") == 1
    assert target.read_bytes() == b"precious"
    assert here("compress", "-f", picture) == 0
    assert codec.inspect(target.read_bytes()).width == 56


def test_a_device_is_no_output_to_be_lost(picture):
    assert here("compress", picture, "-o", os.devnull) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress", "-q", "0", "x.png"],
        ["compress", "-q", "101", "x.png"],
        ["compress", "-q", "7.5", "x.png"],
        ["compress", "-q", "best", "x.png"],
        ["compress", "-e", "0", "x.png"],
        ["compress", "-e", str(api.EFFORTS[-1] + 1), "x.png"],
        ["compress", "--effort", "high", "x.png"],
        ["compress"],
        ["compress", "x.png", "--no-such-option"],
        ["compress", "x.png", "y.png", "-o", "one.aec"],
        ["compress", "x.png", "y.png", "-o", "-"],
        ["compress", "x.aec"],
        ["decompress", "x.png", "-o", "x.png"],
        ["compress", "/dev/stdin"],
        ["decompress", "/dev/fd/63"],
        ["info", "--quality", "3", "x.aec"],
        ["train", "data", "-o", "m.safetensors", "--minutes", "0"],
        ["train", "data", "-o", "m.safetensors"],
        ["train", "data", "-o", "m.safetensors", "--minutes", "1", "--config", "huge"],
        ["train", "data", "-o", "m.safetensors", "--minutes", "1", "--batch", "0"],
        ["compress", "x.png", "--device", "tpu"],
        ["decompress", "x.aec", "--device", "cuda:x"],
        ["nonsense"],
        [],
    ],
)
def test_contradictory_or_unknown_arguments_are_usage_errors(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert here(*arguments) == 2
    assert "usage: aec" in capsys.readouterr().err
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("command", "option", "value", "words"),
    [
        ("compress", "-q", "best", "'best': allowed are 1..100"),
        ("compress", "-q", "7.5", "'7.5': allowed are 1..100"),
        ("compress", "-j", "many", "'many': must be a whole number, at least 1, or all"),
        ("compress", "--target-psnr", "high", "'high': must be a finite number above 0"),
        ("compress", "--target-bpp", "inf", "inf: must be a finite number above 0"),
        ("decompress", "--max-pixels", "-1", "-1: must be a whole number, at least 0"),
        ("similar", "--threshold", "nan", "nan: must be a number of at least -1, at most 1"),
    ],
)
def test_a_value_that_is_not_allowed_is_told_with_those_that_are(command, option, value, words, capsys):
    assert here(command, option, value, "x") == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option", "value", "words"),
    [
        (
            "decompress",
            "--crop",
            "-1,2,3,4",
            "'-1,2,3,4': X,Y,W,H in pixels, as in 0,0,640,480; X and Y are at least 0",
        ),
        ("decompress", "--fit", "-3x4", "'-3x4': WIDTHxHEIGHT in pixels"),
        ("decompress", "--scale", "-1/2", "'-1/2': allowed are 1, 1/2, 1/4 and 1/8"),
        ("compress", "--roi", "-1,0,8,8:+5", "'-1,0,8,8:+5': X,Y,W,H:+N"),
        ("compress", "--roi-mask", "-5.png:+3", "--roi-mask -5.png: No such file"),
        ("compress", "--target-size", "-80k", "'-80k': bytes, as in 80000, 80k"),
        ("compress", "--target-psnr", "-.5", "-.5: must be a finite number above 0"),
        ("compress", "-q", "-5", "-5: allowed are 1..100"),
    ],
)
def test_a_value_that_begins_with_a_minus_sign_is_read_as_a_value(command, option, value, words, capsys):
    assert here(command, option, value, "x") == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["-o", "-f", "x.aec"],
            "argument -o/--output: a value must follow, and not -f; one that begins with a minus sign",
        ),
        (
            ["--crop", "-x", "x.aec"],
            "argument --crop: a value must follow, and not -x; one that begins with a minus sign",
        ),
        (["x.aec", "--crop"], "argument --crop: a value must follow\n"),
    ],
)
def test_what_stands_in_the_place_of_a_value_is_named(arguments, words, capsys):
    assert here("decompress", *arguments) == 2
    assert words in capsys.readouterr().err


def test_a_file_whose_name_begins_with_a_minus_sign_and_a_digit_is_an_input(picture, tmp_path, monkeypatch):
    picture.rename(tmp_path / "-5.png")
    monkeypatch.chdir(tmp_path)
    assert here("compress", "-5.png", "--output=-6.aec") == 0
    assert files(tmp_path) == {"-5.png", "-6.aec"}


def test_the_name_of_a_file_that_looks_like_an_option_is_told_how_to_be_given(picture, tmp_path, monkeypatch, capsys):
    picture.rename(tmp_path / "-dash.png")
    monkeypatch.chdir(tmp_path)
    assert here("compress", "-dash.png") == 2
    assert "a file whose name begins with a minus sign is given as ./-dash.png" in capsys.readouterr().err
    assert here("compress", "./-dash.png") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress", ""],
        ["compress", "photo.png", "-o", ""],
        ["compress", "photo.png", "--output-dir-mirror", ""],
        ["compress", "--filelist", ""],
        ["decompress", ""],
        ["info", ""],
        ["verify", ""],
        ["similar", ""],
        ["similar", "photo.png", "--query", ""],
        ["view", ""],
        ["compare", "photo.png", ""],
    ],
)
def test_an_empty_name_is_not_the_folder_one_is_in(arguments, picture, monkeypatch, capsys):
    monkeypatch.chdir(picture.parent)
    assert here(*arguments) == 2
    assert "an empty name; the folder that you are in is called ." in capsys.readouterr().err
    assert files(picture.parent) == {"photo.png"}


def test_a_file_in_the_place_of_a_folder_is_named(picture, capsys):
    (folder := picture.parent / "there").write_text("a file")
    assert here("compress", picture, "-o", folder / "below" / "x.aec") == 7
    assert here("compress", picture, "-o", folder / "x.aec") == 7
    err = capsys.readouterr().err
    assert "there is not a folder" in err and "exists already" not in err


@pytest.mark.parametrize("command", [["view", "-f", "-o"], ["thumbnail"]], ids=lambda command: command[0])
@pytest.mark.parametrize("linked", [False, True])
def test_an_input_is_never_replaced_by_what_shows_it(command, linked, packed, capsys):
    before, output = packed.read_bytes(), packed
    if linked:
        output = packed.with_name("link")
        output.symlink_to(packed)
    first, *rest = command
    assert here(first, packed, *rest, output) == 2
    assert f"{packed} would be replaced by the output: name another one" in capsys.readouterr().err
    assert packed.read_bytes() == before


def oversized(_: bytes) -> bytes:
    head = b"\xd7AEC\x02" + bytes(4) + bytes([50, 0x60]) + b"\xff\xff\x03" + b"\xff\xff\x03"  # 65535 x 65535
    return head + bytes(100)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (damage, 4, "checksum"),
        (lambda d: d[:-1], 4, "payloads of"),
        (lambda d: d[:9], 4, "inside the header"),
        (lambda d: d + b"x", 4, "after the last payload"),
        (lambda d: d[:4] + b"\x09" + d[5:], 4, "version 9"),
        (oversized, 5, "65535x65535"),
        (of_another_model, 6, "deadbeef"),
        (lambda d: b"\x89PNG\r\n\x1a\n", 3, "not an .aec file"),
        (lambda d: b"", 3, "not an .aec file"),
    ],
)
def test_decompress_says_what_is_wrong_and_leaves_nothing_behind(packed, change, code, words, capsys):
    packed.write_bytes(change(packed.read_bytes()))
    assert here("decompress", packed) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"aec: {packed}: ") and words in err and err.count("\n") == 1
    assert files(packed.parent) == {"packed.aec"}


def test_max_pixels_is_a_limit_that_can_be_set_and_lifted(packed):
    assert here("decompress", packed, "--max-pixels", 56 * 40 - 1) == 5
    assert here("decompress", packed, "--max-pixels", 56 * 40) == 0
    assert here("decompress", packed, "--max-pixels", 0, "-f") == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["compress", "absent.png"], 3),
        (["decompress", "absent.aec"], 3),
        (["info", "absent.aec"], 3),
        (["compress", "text.png"], 3),
        (["compress", "float.tif"], 3),
        (["compress", "moving.gif"], 3),
        (["compress", "cut.png"], 3),
        (["compress", "wide.ppm"], 5),
        (["compress", "photo.png", "--model", "nosuch"], 6),
        (["compress", "photo.png", "--model", "text.png"], 6),
        (["decompress", "packed.aec", "--model", "nowhere/x.safetensors"], 6),
        (["decompress", "packed.aec", "-o", "x.strange"], 7),
        (["compress", "photo.png", "-o", "text.png/x.aec"], 7),
    ],
)
def test_exit_codes_are_those_of_the_help(arguments, code, tmp_path, picture, packed, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("hello")
    Image.new("F", (9, 9), 0.5).save("float.tif")
    Image.new("L", (9, 9), 1).save("moving.gif", save_all=True, append_images=[Image.new("L", (9, 9), 200)])
    Path("cut.png").write_bytes(picture.read_bytes()[:700])
    Path("wide.ppm").write_bytes(b"P6 70000 1 255\n" + bytes(210_000))
    before = files(tmp_path)
    assert here(*arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("aec: ") and err.count("\n") == 1 and "Traceback" not in err
    assert files(tmp_path) == before


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about what it makes of the damage
def test_damaged_pictures_of_any_kind_are_pictures_or_input_errors(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(photos.photo(20, 24))
    read = failed = 0
    for kind in ("BMP", "GIF", "ICO", "JPEG", "PNG", "PPM", "TGA", "TIFF", "WEBP"):
        buffer = io.BytesIO()
        image.save(buffer, kind, **({"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"} if kind == "JPEG" else {}))
        for _ in range(60):
            data = bytearray(buffer.getvalue())
            for _ in range(int(rng.integers(1, 4))):
                data[int(rng.integers(min(len(data), 90)))] = int(rng.integers(256))
            (tmp_path / "x").write_bytes(data)
            try:
                open_picture((tmp_path / "x").read_bytes())
                read += 1
            except (codec.AecError, InputError, ValueError):
                failed += 1
    assert read > 50 and failed > 50


def test_a_full_disk_or_read_only_folder_leaves_no_part_behind(tmp_path, packed, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert here("decompress", packed) == 7
    assert "No space left on device" in capsys.readouterr().err
    assert files(tmp_path) == {"packed.aec"}


def test_an_interrupt_leaves_no_part_behind_and_exits_130(tmp_path, packed, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    assert here("decompress", packed) == 130
    assert files(tmp_path) == {"packed.aec"} and "interrupted" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path):
    done = aec("info", "--debug", tmp_path / "absent.aec")
    assert done.returncode == 1 and "Traceback" in done.stderr and "FileNotFoundError" in done.stderr


class Endless(io.RawIOBase):
    """Zeros that do not end, and how many were read."""

    count = 0

    def readable(self):
        return True

    def readinto(self, into):
        self.count += len(into)
        return len(into)


@pytest.mark.parametrize("command", [["compress"], ["decompress"], ["info"], ["verify"], ["view"], ["similar"]])
def test_an_input_without_an_end_is_refused_from_a_limit_on(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("codec.io.MOST_BYTES", 5_000_000)
    endless = Endless()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(endless)))
    output = (
        ["-o", "x"] if command[0] in ("decompress", "view") else ["-o", "x.aec"] if command[0] == "compress" else []
    )
    for source in ("-", "/dev/zero"):
        assert here(*command, source, *output) == 5
        assert "more than 5000000 bytes, which is the most that is read" in capsys.readouterr().err
    assert endless.count < 8_000_000 and files(tmp_path) == set()


def test_a_file_longer_than_the_limit_is_not_read(picture, monkeypatch, capsys):
    packed = picture.with_suffix(".aec")
    packed.write_bytes(codec.encode(np.asarray(Image.open(picture)), lossless=True))
    for limit, code in ((packed.stat().st_size, 0), (packed.stat().st_size - 1, 5)):
        monkeypatch.setattr("codec.io.MOST_BYTES", limit)
        assert here("info", packed) == code
    assert "most that is read" in capsys.readouterr().err
    with pytest.raises(codec.LimitError, match="most that is read"):
        codec.open(packed)


def test_an_empty_or_cut_standard_input_is_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert here("compress", "-") == 3
    err = capsys.readouterr().err
    assert err.startswith("aec: standard input: ") and err.count("\n") == 1
    done = aec("info", "-", stdin=b"\xd7AEC")
    assert done.returncode == 4 and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["info", "-r"], ["info", "--json", "-r"], ["verify", "--json", "-r"]])
def test_a_reader_that_has_seen_enough_ends_the_command_without_a_word(arguments, packed):
    """As `aec info -r . | head` does."""
    (packed.parent / "second.aec").write_bytes(packed.read_bytes())
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*AEC, *arguments, packed.parent], stdout=writer, stderr=subprocess.PIPE, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (7, b"")


def test_what_pillow_mutters_about_a_damaged_file_is_not_for_the_user(tmp_path):
    path = tmp_path / "muttering.tif"
    Image.new("RGB", (20, 20), (1, 2, 3)).save(path, description="a description that is longer than it is")
    data = bytearray(path.read_bytes())
    entry = data.index(b"\x0e\x01\x02\x00")  # tag 270, ASCII; then its length
    data[entry + 4 : entry + 8] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    with pytest.warns(UserWarning):
        Image.open(path).load()
    done = aec("view", path, "-o", tmp_path / "page.html")
    assert (done.returncode, done.stderr) == (0, "")


def test_errors_of_the_system_are_told_in_words(tmp_path, capsys):
    absent = tmp_path / "absent.aec"
    for command in ("info", "verify", "decompress", "view"):
        assert here(command, absent) == 3
        assert capsys.readouterr().err == f"aec: {absent}: No such file or directory\n"


def test_what_is_compressed_already_or_mistyped_is_told_as_such(tmp_path, packed, capsys):
    assert here("compress", packed, "-o", tmp_path / "again.aec") == 3
    assert "an .aec file already: aec decompress reads it" in capsys.readouterr().err
    assert here("compress", packed) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "is an .aec file already" in message
    assert here("compress", packed.with_suffix(".pgn")) == 3  # its output, packed.aec, is there
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify", "view", "doctor", "train", "compare"])
def test_a_usage_error_is_not_buried_under_all_options(command, capsys):
    assert here(command, "--no-such-option") == 2
    assert len(capsys.readouterr().err.splitlines()) <= 4


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no /dev/shm to write to")
def test_a_file_in_a_folder_of_dev_has_its_output_beside_it(picture):
    """/dev/shm is a disk in memory, and no device."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        shutil.copy(picture, Path(folder, "a.png"))
        done = aec("compress", f"{folder}/a.png")
        assert done.returncode == 0 and Path(folder, "a.aec").exists(), done.stderr

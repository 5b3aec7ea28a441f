"""The `aec` command in processes of its own: exit codes, files and messages, as a shell sees them."""

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import photos
import pytest
import torch
from PIL import Image

import codec
from codec import api, cli, format, weights
from codec.files import InputError, open_picture

INSTALLED = shutil.which("aec", path=Path(sys.executable).parent)  # beside this Python, not just anywhere on the path
AEC = [INSTALLED] if INSTALLED else [sys.executable, "-m", "codec.cli"]


def aec(*arguments, stdin: bytes = b"", cwd=None, **environment) -> subprocess.CompletedProcess:
    """stdout is bytes, stderr text."""
    done = subprocess.run(
        [*AEC, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=os.environ | environment,
        timeout=120,
    )
    done.stderr = done.stderr.decode()
    return done


def here(*arguments) -> int:
    """The same in this process, where torch is loaded already: for what needs no process of its own."""
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as e:
        return e.code


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photos.photo(40, 56)).save(path)
    return path


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "packed.aec"
    path.write_bytes(codec.encode(photos.photo(40, 56), 60))
    return path


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------ one file


def test_compress_and_decompress_in_processes_of_their_own(tmp_path, picture):
    done = aec("compress", "-q", 60, picture)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", "")
    assert files(tmp_path) == {"photo.png", "photo.aec"}
    done = aec("decompress", "photo.aec", "-o", "back.png", "-v", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"") and done.stderr.count("\n") == 1 and "56x40" in done.stderr
    expected = codec.decode((tmp_path / "photo.aec").read_bytes())
    assert np.array_equal(np.array(Image.open(tmp_path / "back.png")), np.array(expected))
    assert codec.inspect((tmp_path / "photo.aec").read_bytes()).quality == 60


def test_a_dash_is_standard_input_and_output(picture):
    packed = aec("compress", "-", "-q", 30, stdin=picture.read_bytes())
    assert packed.returncode == 0 and codec.inspect(packed.stdout).quality == 30 and packed.stderr == ""
    back = aec("decompress", "-", stdin=packed.stdout)
    assert back.returncode == 0
    image = Image.open(io.BytesIO(back.stdout))
    assert (image.format, image.size, image.mode) == ("PNG", (56, 40), "RGB")
    info = aec("info", "-", "--json", stdin=packed.stdout)
    assert json.loads(info.stdout)["quality"] == 30


def test_default_names_lie_beside_the_input(tmp_path, picture, packed):
    assert here("compress", picture) == 0 and here("decompress", packed) == 0
    assert files(tmp_path) == {"photo.png", "photo.aec", "packed.aec", "packed.png"}
    assert codec.inspect((tmp_path / "photo.aec").read_bytes()).quality == 75


def test_effort_is_passed_on(tmp_path, picture):
    for effort in (1, 2):
        assert here("compress", "-q", 40, "-e", effort, picture, "-o", tmp_path / f"{effort}.aec") == 0
        expected = codec.encode(Image.open(picture), 40, effort=effort)
        assert (tmp_path / f"{effort}.aec").read_bytes() == expected
    assert here("compress", "-q", 40, picture, "-o", tmp_path / "default.aec") == 0
    assert (tmp_path / "default.aec").read_bytes() == expected


def test_output_may_be_a_file_a_folder_or_a_dash(tmp_path, picture, capfdbinary):
    assert here("compress", picture, "-o", tmp_path / "new" / "deep" / "x.aec") == 0
    assert here("compress", picture, "-o", f"{tmp_path}/made/") == 0
    (tmp_path / "there").mkdir()
    assert here("compress", picture, "-o", tmp_path / "there") == 0
    assert files(tmp_path) == {"photo.png", "new/deep/x.aec", "made/photo.aec", "there/photo.aec"}
    capfdbinary.readouterr()
    assert here("compress", picture, "-o", "-") == 0
    assert capfdbinary.readouterr().out == (tmp_path / "there" / "photo.aec").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jpg", "JPEG"), (".webp", "WEBP"), (".bmp", "BMP"), (".PNG", "PNG"), (".tiff", "TIFF")]
)
def test_decompress_writes_the_kind_of_picture_that_the_name_says(tmp_path, packed, suffix, kind):
    assert here("decompress", packed, "-o", tmp_path / f"x{suffix}") == 0
    image = Image.open(tmp_path / f"x{suffix}")
    assert (image.format, image.size) == (kind, (56, 40))


def test_gray_pictures_come_back_gray(tmp_path):
    Image.fromarray(photos.photo(20, 30)[..., 0].copy()).save(tmp_path / "g.png")
    assert here("compress", tmp_path / "g.png") == 0
    assert here("decompress", tmp_path / "g.aec", "-o", tmp_path / "back.png") == 0
    assert Image.open(tmp_path / "back.png").mode == "L"


def test_output_files_have_the_permissions_that_the_umask_leaves(tmp_path, picture):
    old = os.umask(0o027)
    try:
        assert here("compress", picture) == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "photo.aec").stat().st_mode) == 0o640


# ------------------------------------------------------------------ many files


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    (folder / "below").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "below/c.png")):
        Image.fromarray(photos.photo(16 + i, 24, seed=i)).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_several_inputs_go_into_a_folder(tmp_path, album):
    out = tmp_path / "out"
    assert here("compress", album / "a.png", album / "b.jpg", "-o", out) == 0
    assert files(out) == {"a.aec", "b.aec"}


def test_a_folder_means_the_pictures_in_it_and_with_r_all_below(tmp_path, album):
    assert here("compress", album, "-o", tmp_path / "flat") == 0
    assert files(tmp_path / "flat") == {"a.aec", "b.aec"}
    assert here("compress", album, "-r", "-o", f"{tmp_path}/tree/") == 0
    assert files(tmp_path / "tree") == {"a.aec", "b.aec", "below/c.aec"}
    assert here("decompress", tmp_path / "tree", "-r", "-o", f"{tmp_path}/back/") == 0
    assert files(tmp_path / "back") == {"a.png", "b.png", "below/c.png"}
    assert Image.open(tmp_path / "back" / "below" / "c.png").size == (24, 18)


def test_one_bad_file_among_several_does_not_stop_the_others(tmp_path, album):
    (album / "aa.png").write_bytes(b"broken")
    done = aec("compress", album, tmp_path / "absent.png", "-o", f"{tmp_path}/out/")
    assert done.returncode == 1
    assert files(tmp_path / "out") == {"a.aec", "b.aec"}
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and "aa.png: not a picture" in lines[0] and "absent.png" in lines[1]
    assert all(line.startswith("aec: ") for line in lines)


def test_a_folder_without_pictures_is_unreadable_input(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert here("compress", tmp_path / "empty") == 3
    assert "no file ending in" in capsys.readouterr().err


# ------------------------------------------------------------------ refusals and exit codes


def test_existing_output_is_refused_and_kept_unless_forced(tmp_path, picture):
    target = tmp_path / "photo.aec"
    target.write_bytes(b"precious")
    done = aec("compress", picture)
    assert done.returncode == 7 and done.stdout == b""
    assert "exists already: -f overwrites it" in done.stderr and done.stderr.count("\n") == 1
    assert target.read_bytes() == b"precious"
    assert here("compress", "-f", picture) == 0
    assert codec.inspect(target.read_bytes()).width == 56


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
        ["compress", "a/x.png", "b/x.png", "-o", "out/"],
        ["compress", "x.png", "x.jpg"],
        ["compress", "x.aec"],
        ["decompress", "x.png", "-o", "x.png"],
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


def damage(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 4]) + data[-2:]


def oversized(_: bytes) -> bytes:
    head = b"\xd7AEC\x01" + bytes(4) + bytes([50, 0x60]) + b"\xff\xff\x03" + b"\xff\xff\x03"  # 65535 x 65535
    return head + bytes(100)


def of_another_model(data: bytes) -> bytes:
    header = format.read(data).header
    return format.write(
        codec.Header(header.width, header.height, header.quality, b"\xde\xad\xbe\xef"),
        [bytes(p) for p in format.read(data).payloads],
    )


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
        (["compress", "alpha.png"], 3),
        (["compress", "deep.png"], 3),
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
    Image.new("RGBA", (9, 9), (1, 2, 3, 100)).save("alpha.png")
    Image.new("I;16", (9, 9)).save("deep.png")
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
    from codec.image import to_pixels

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
                to_pixels(open_picture((tmp_path / "x").read_bytes()))
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


def test_a_closed_pipe_or_missing_stdin_is_no_traceback():
    done = aec("compress", "-", stdin=b"")
    assert done.returncode == 3 and "standard input" in done.stderr and "Traceback" not in done.stderr
    done = aec("info", "-", stdin=b"\xd7AEC")
    assert done.returncode == 4 and "Traceback" not in done.stderr


# ------------------------------------------------------------------ info, help, version


def test_info_says_what_the_file_says(packed, capsys):
    assert here("info", packed) == 0
    text = dict(
        line.split(maxsplit=1)
        for line in capsys.readouterr().out.splitlines()
        if line.split()[0] in ("width", "mode", "model")
    )
    assert text == {"width": "56", "mode": "RGB", "model": codec.inspect(packed.read_bytes()).model_id.hex()}


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
        "metadata": {},
        "quality": 60,
        "bits_per_pixel": round(8 * len(data) / (56 * 40), 4),
        "tiles": 1,
        "tile_side": layout.header.tile,
        "overhead_bytes": layout.overhead_bytes,
        "model": layout.header.model_id.hex(),
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "FILE"],
        ["info", "--json", "FILE"],
        ["--help"],
        ["--version"],
        ["compress", "-q", "0", "FILE"],
        ["compress", "--help"],
    ],
)
def test_what_needs_no_network_imports_no_torch(packed, arguments):
    arguments = [str(packed) if a == "FILE" else a for a in arguments]
    script = (
        "import sys, time\nstart = time.perf_counter()\nfrom codec import cli\n"
        "try: code = cli.main(sys.argv[1:])\nexcept SystemExit as e: code = e.code\n"
        "heavy = [m for m in ('torch', 'numpy', 'PIL', 'safetensors') if m in sys.modules]\n"
        "print(code, heavy, round(time.perf_counter() - start, 3), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=packed.parent)
    last = done.stderr.splitlines()[-1]
    print(arguments[0], last)  # the time; not asserted: machines are busy
    assert last.startswith(("0 []", "2 []") if "-q" in arguments else "0 []"), last


def test_help_and_version_are_short_and_true():
    done = aec("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in (b"compress", b"decompress", b"info", b"train", b"bench", b"exit codes"):
        assert word in done.stdout
    done = aec("--version")
    assert (
        done.returncode == 0 and done.stdout.startswith(b"aec ") and f"format {format.VERSION}".encode() in done.stdout
    )


def test_a_device_or_pipe_is_written_to_and_a_link_keeps_its_place(tmp_path, picture):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert here("compress", "-f", picture, "-o", pipe) == 0
    reader.join(timeout=30)
    assert pipe.is_fifo() and codec.inspect(got[0]).width == 56
    link, target = tmp_path / "link.aec", tmp_path / "target.aec"
    link.symlink_to(target)
    assert here("compress", "-f", picture, "-o", link) == 0
    assert link.is_symlink() and target.read_bytes() == got[0]


def test_a_camera_jpeg_with_a_preview_is_a_picture_and_an_animation_is_not(tmp_path, capsys):
    first, second = (Image.fromarray(photos.photo(24, 32, seed=i)) for i in range(2))
    first.save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=[second])
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert here("compress", tmp_path / "camera.jpg") == 0
    assert here("compress", tmp_path / "moving.gif") == 3
    assert "animation of 2 frames" in capsys.readouterr().err


def test_a_folder_goes_into_a_folder_even_with_one_picture(tmp_path, picture):
    assert here("compress", tmp_path, "-o", tmp_path / "small") == 0
    assert files(tmp_path) == {"photo.png", "small/photo.aec"}


# ------------------------------------------------------------------ train


def test_train_does_not_overwrite_a_checkpoint_unless_told(tmp_path, capsys):
    (tmp_path / "m.checkpoint.safetensors").write_bytes(b"hours of work")
    assert here("train", tmp_path, "-o", tmp_path / "m.safetensors", "--minutes", 1) == 7
    assert "--resume" in capsys.readouterr().err
    assert (tmp_path / "m.checkpoint.safetensors").read_bytes() == b"hours of work"
    assert here("train", tmp_path, "-o", tmp_path / "m", "--minutes", 1) == 2


def test_train_makes_a_model_that_decodes_what_it_encodes_and_goes_on_from_its_checkpoint(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for i in range(4):
        Image.fromarray(photos.photo(256, 272, seed=i)).save(data / f"{i}.png")
    (data / "broken.png").write_bytes(b"broken")
    Image.fromarray(photos.photo(100, 300)).save(data / "small.png")
    model, checkpoint = tmp_path / "models" / "mine.safetensors", tmp_path / "models" / "mine.checkpoint.safetensors"
    options = ["--config", "small", "--batch", 2, "--device", "cpu"]
    done = aec("train", data, "-o", model, "--minutes", 0.03, *options)
    assert done.returncode == 0, done.stderr
    assert (
        "left out 2: broken.png" in done.stderr
        and "smaller than 256" in done.stderr
        and "held out: 1 images" in done.stderr
    )
    assert files(tmp_path / "models") == {"mine.safetensors", "mine.checkpoint.safetensors"}

    image = photos.photo(70, 50, seed=9)
    packed = codec.encode(image, 80, model=model)
    assert codec.inspect(packed).model_id == weights.load(model, torch.device("cpu")).id
    assert photos.psnr(codec.decode(packed, model=model, output="numpy"), image) > 15
    (tmp_path / "x.aec").write_bytes(packed)
    assert here("decompress", tmp_path / "x.aec") == 6
    assert here("decompress", tmp_path / "x.aec", "--model", model) == 0

    again = aec("train", data, "-o", model, "--minutes", 0.05, "--resume", checkpoint, "--quiet", *options)
    assert (again.returncode, again.stderr) == (0, "")
    assert codec.decode(codec.encode(image, model=model), model=model).size == (50, 70)

    refused = aec("train", data, "-o", model, "--minutes", 0.01, *options)
    assert refused.returncode == 7 and "exists already" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["absent"], 3, "absent"),
        (["notes"], 3, "no usable image"),
        (["one"], 3, "one image only"),
        (["bad.tar"], 3, "bad.tar"),
        (["two", "--resume", "notes/a.txt"], 6, "not an aec training checkpoint"),
    ],
)
def test_train_says_what_is_wrong_before_it_starts(arguments, code, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, n in (("notes", 0), ("one", 1), ("two", 2)):
        Path(name).mkdir()
        for i in range(n):
            Image.fromarray(photos.photo(256, 256, seed=i)).save(f"{name}/{i}.png")
    Path("notes/a.txt").write_text("hello")
    Path("bad.tar").write_bytes(b"not a tar")
    assert here("train", *arguments, "-o", "m.safetensors", "--minutes", 0.01, "--device", "cpu") == code
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err
    assert not Path("m.safetensors").exists()

"""The `aec` command: one file in, one out; names, kinds of files, help. In processes of its own where that matters."""

import io
import json
import os
import stat
import subprocess
import sys
import threading

import numpy as np
import photos
import pytest
from PIL import Image
from shell import aec, files, here

import codec
from codec.container import format


def test_compress_and_decompress_are_quiet_unless_asked(tmp_path, picture, capsys):
    assert here("compress", "-q", 60, picture) == 0
    assert capsys.readouterr() == ("", "") and files(tmp_path) == {"photo.png", "photo.aec"}
    assert here("decompress", tmp_path / "photo.aec", "-o", tmp_path / "back.png", "-v") == 0
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "56x40" in err
    expected = codec.decode((tmp_path / "photo.aec").read_bytes())
    assert np.array_equal(np.array(Image.open(tmp_path / "back.png")), np.array(expected))
    assert codec.inspect((tmp_path / "photo.aec").read_bytes()).quality == 60


SPINS = {"GOMP_SPINCOUNT": "1000", "OPENBLAS_THREAD_TIMEOUT": "16"}


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ({}, SPINS),
        ({"GOMP_SPINCOUNT": "77", "OPENBLAS_THREAD_TIMEOUT": "20"},) * 2,
        ({"OMP_WAIT_POLICY": "passive"}, {"GOMP_SPINCOUNT": None, "OPENBLAS_THREAD_TIMEOUT": "16"}),
    ],
)
def test_threads_that_wait_for_one_another_soon_sleep(monkeypatch, capsys, users, expected):
    """The libraries read these variables when they are loaded, so they are set before numpy is."""
    for name in ("OMP_WAIT_POLICY", *SPINS):
        monkeypatch.delenv(name, raising=False)
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    assert here("--version") == 0
    assert {name: os.environ.get(name) for name in SPINS} == expected
    for name in SPINS:  # what the command has set
        os.environ.pop(name, None)


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "FILE"],
        ["info", "--json", "FILE"],
        ["verify", "FILE"],
        ["verify", "-j", "2", "FILE", "FILE"],
        ["compress", "--dry-run", "FILE", "-o", "x/"],
        ["decompress", "--dry-run", "--json", "FILE"],
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
        "heavy = [m for m in ('torch', 'numpy', 'safetensors') if m in sys.modules]\n"
        "print(code, heavy, round(time.perf_counter() - start, 3), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=packed.parent)
    last = done.stderr.splitlines()[-1]
    print(arguments[0], last)  # the time; not asserted: machines are busy
    assert last.startswith(("0 []", "2 []") if "-q" in arguments else "0 []"), last


def test_help_and_version_are_short_and_true():
    done = aec("--help")
    assert done.returncode == 0 and done.stderr == ""
    bare = aec()  # what to do is what to tell, but not to whatever reads a picture from standard output
    assert (bare.returncode, bare.stdout, bare.stderr) == (2, b"", done.stdout.decode())
    for word in (b"compress", b"decompress", b"info", b"train", b"bench", b"exit codes"):
        assert word in done.stdout
    done = aec("--version")
    assert done.returncode == 0
    assert done.stdout.decode().startswith(f"aec {codec.__version__}, format {format.VERSION}, CUDA ")

"""The command aec-dec, the example program of docs/c-api.md, and the library as it is installed."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import codec

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
COLOUR, ALPHA, DEEP = (GOLDEN / f"v2-tiny2-{name}.aec" for name in ("33x70", "alpha-tiles-150x100", "everything-90x70"))
MODEL = GOLDEN / "tiny2.safetensors"


@pytest.fixture
def aec_dec(c_build, tmp_path):
    """Runs the command in an empty folder."""

    def run(*arguments, **options):
        return subprocess.run([c_build / "aec-dec", *map(str, arguments)], capture_output=True, cwd=tmp_path, **options)

    return run


def pixels(path: Path, **options) -> np.ndarray:
    return codec.decode(path.read_bytes(), "cpu", MODEL, "numpy", **options)


def read_pam(data: bytes) -> np.ndarray:
    head, samples = data.split(b"ENDHDR\n", 1)
    fields = dict(line.split(b" ", 1) for line in head.splitlines()[1:])
    kind = ">u2" if fields[b"MAXVAL"] == b"65535" else "u1"
    return np.frombuffer(samples, kind).reshape(*(int(fields[k]) for k in (b"HEIGHT", b"WIDTH", b"DEPTH")))


@pytest.mark.parametrize("path", [COLOUR, ALPHA, DEEP, GOLDEN / "v2-tiny2-gray-17x3.aec"], ids=lambda p: p.stem)
def test_all_formats_hold_the_same_pixels(aec_dec, tmp_path, path):
    wanted = pixels(path)
    for kind in ("png", "pam", "npy", "ppm"):
        done = aec_dec("--model", MODEL, path, f"out.{kind}")
        if kind == "ppm" and wanted.ndim == 3 and wanted.shape[2] != 3:
            assert done.returncode == 1 and b"PPM holds no alpha channel" in done.stderr
            assert not (tmp_path / "out.ppm").exists()
            continue
        assert (done.returncode, done.stderr) == (0, b"")
        if kind == "npy":
            assert np.array_equal(np.load(tmp_path / "out.npy"), wanted)
        elif kind == "pam":
            assert np.array_equal(read_pam((tmp_path / "out.pam").read_bytes()).squeeze(), wanted)
        else:  # as this package reads it: Pillow reduces 16 bits
            found = codec.decode(codec.encode(Image.open(tmp_path / f"out.{kind}"), lossless=True), output="numpy")
            assert np.array_equal(found, wanted)


def test_png_files_keep_the_metadata(aec_dec, tmp_path):
    assert aec_dec("--model", MODEL, DEEP, "out.png").returncode == 0
    source = codec.read_metadata(DEEP.read_bytes())
    found = codec.read_metadata(codec.encode(Image.open(tmp_path / "out.png"), lossless=True))
    assert (found.icc, found.exif, found.xmp) == (source.icc, source.exif, source.xmp)


def test_parts_and_smaller_versions_of_a_picture(aec_dec, tmp_path):
    arguments = ["--model", MODEL, "--crop", "3,5,40,50", "--scale", "1/2", "--depth", "16", ALPHA, "out.npy"]
    assert aec_dec(*arguments).returncode == 0
    wanted = pixels(ALPHA, region=(3, 5, 40, 50), scale=1 / 2, depth=16)
    assert np.array_equal(np.load(tmp_path / "out.npy"), wanted)


def test_pipes_are_read_and_written(aec_dec):
    done = aec_dec("--model", MODEL, "--format", "pam", "-", "-", input=COLOUR.read_bytes())
    assert np.array_equal(read_pam(done.stdout), pixels(COLOUR))


def test_the_model_is_found_by_its_id(aec_dec):
    found = aec_dec(COLOUR, "out.ppm", env={"AEC_MODELS": str(GOLDEN)})
    assert found.returncode == 0
    lost = aec_dec(COLOUR, "lost.ppm", env={})
    assert lost.returncode == 1 and b"the file needs model abfdc0ff, which is not at hand: looked in /" in lost.stderr


def test_info_says_what_the_header_says(aec_dec):
    words = aec_dec("--info", COLOUR).stdout.decode().splitlines()
    assert words[:5] == ["size: 33x70", "channels: RGB", "depth: 8", "coded: quality 90", "model: abfdc0ff"]
    assert words[5:] == ["tiles: 1 of side 1024", "parts: 1", f"bytes: {COLOUR.stat().st_size}"]
    stored = GOLDEN / "v2-tiny2-stored-png-9x7.aec"
    words = aec_dec("--info", stored).stdout.decode().splitlines()
    assert words[2:] == ["depth: 16", "coded: stored", f"bytes: {stored.stat().st_size}"]


def test_a_partial_file_is_decoded_only_if_it_is_asked_for(aec_dec, tmp_path):
    path = tmp_path / "part.aec"
    path.write_bytes((GOLDEN / "v2-tiny2-parts-150x100.aec").read_bytes()[:-20])
    refused = aec_dec("--model", MODEL, path, "out.npy")
    assert refused.returncode == 1 and b"exceed the remaining" in refused.stderr and not (tmp_path / "out.npy").exists()
    shown = aec_dec("--partial", "--model", MODEL, path, "out.npy")
    assert shown.returncode == 0 and b"missing or only coarse" in shown.stderr
    assert np.array_equal(np.load(tmp_path / "out.npy"), pixels(path, allow_partial=True))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "0 names of files: IN and OUT are expected"),
        (["a", "b.jpg"], "b.jpg: its name must end in .png, .ppm, .pgm, .pam or .npy"),
        (["--scale", "1/3", "a", "b.png"], "--scale 1/3: allowed are 1, 1/2, 1/4 and 1/8"),
        (["--crop", "1,2,3", "a", "b.png"], "--crop 3: a number from 1 to 65535 and then ',' is expected"),
        (["--threads", "0", "a", "b.png"], "--threads 0: a number from 1 to 256 is expected"),
        (["--wrong"], "option --wrong, which is unknown"),
        (["--model"], "--model needs a value"),
    ],
)
def test_wrong_usage_is_named(aec_dec, arguments, words):
    done = aec_dec(*arguments)
    assert done.returncode == 2 and words in done.stderr.decode() and b"usage:" in done.stderr


def test_existing_files_are_replaced_only_if_it_is_asked_for(aec_dec, tmp_path):
    (tmp_path / "out.ppm").write_bytes(b"mine")
    assert b"out.ppm exists: -f replaces it" in aec_dec("--model", MODEL, COLOUR, "out.ppm").stderr
    assert (tmp_path / "out.ppm").read_bytes() == b"mine"
    assert aec_dec("-f", "--model", MODEL, COLOUR, "out.ppm").returncode == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.ppm")), pixels(COLOUR))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ppm"]


def test_other_files_are_not_touched_on_the_way(aec_dec, tmp_path):
    for name in ("out.ppm.part", "out.ppm.part1"):
        (tmp_path / name).write_bytes(b"mine")
    assert aec_dec("--model", MODEL, COLOUR, "out.ppm").returncode == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.ppm")), pixels(COLOUR))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ppm", "out.ppm.part", "out.ppm.part1"]
    assert {(tmp_path / f"out.ppm.part{i}").read_bytes() for i in ("", "1")} == {b"mine"}


def test_files_that_cannot_be_read_or_written_are_named(aec_dec, tmp_path):
    assert b"aec-dec: nowhere.aec: nowhere.aec: No such file" in aec_dec("nowhere.aec", "out.ppm").stderr
    (tmp_path / "other.aec").write_bytes(b"GIF89a")
    assert b"not an .aec file: starts with 47 49 46 38" in aec_dec("other.aec", "out.ppm").stderr
    assert aec_dec("--model", MODEL, COLOUR, "no/where.ppm").returncode == 1


def test_the_command_is_below_a_megabyte(c_build, tmp_path):
    subprocess.run(["strip", "-o", tmp_path / "small", c_build / "aec-dec"], check=True)
    assert (tmp_path / "small").stat().st_size < 1 << 20


# ------------------------------------------------------------------ the example, and the library as it is installed


def test_the_example_decodes(c_build, tmp_path):
    out = tmp_path / "out.ppm"
    assert subprocess.run([c_build / "aec-example", COLOUR, MODEL, out]).returncode == 0
    assert np.array_equal(np.asarray(Image.open(out)), pixels(COLOUR))
    failed = subprocess.run([c_build / "aec-example", MODEL, MODEL, out], capture_output=True)
    assert failed.returncode == 1 and failed.stderr.startswith(b"not an .aec file: not an .aec file: starts with")


def test_valgrind_finds_nothing(c_build, tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    command = ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", c_build / "aec-dec", "--model", MODEL]
    for path in (GOLDEN / "v2-tiny2-alpha-1x1.aec", GOLDEN / "v2-tiny2-stored-png-9x7.aec"):
        done = subprocess.run([*command, path, tmp_path / f"{path.stem}.png"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_installed_library_builds_programs_by_cmake(c_build, tmp_path):
    subprocess.run(["cmake", "--install", c_build, "--prefix", tmp_path / "usr"], check=True, capture_output=True)
    prefix = tmp_path / "usr"
    assert (prefix / "bin" / "aec-dec").exists() and (prefix / "include" / "aec.h").exists()
    folder = next(prefix.rglob("aecConfig.cmake")).parent
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(user C CXX)\nfind_package(aec REQUIRED)\n"
        f"add_executable(user {HERE.parent / 'csrc' / 'capi' / 'example.c'})\ntarget_link_libraries(user aec::STATIC)\n"
    )
    for command in (["cmake", "-S", ".", "-B", "made", f"-Daec_DIR={folder}"], ["cmake", "--build", "made"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out.ppm"
    assert subprocess.run([tmp_path / "made" / "user", COLOUR, MODEL, out]).returncode == 0
    assert np.array_equal(np.asarray(Image.open(out)), pixels(COLOUR))


def test_the_header_is_plain_c_and_cpp(tmp_path):
    header = HERE.parent / "csrc" / "capi"
    for compiler, language, standard in (("cc", "c", "c99"), ("c++", "c++", "c++11")):
        if shutil.which(compiler) is None:
            pytest.skip(f"{compiler} is not installed")
        command = [compiler, "-x", language, f"-std={standard}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror"]
        command += [f"-I{header}", "-fsyntax-only", "-"]
        done = subprocess.run(command, input="#include <aec.h>\n", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_page_has_the_example_as_it_is():
    page = (HERE.parent / "docs" / "c-api.md").read_text()
    assert f"```c\n{(HERE.parent / 'csrc' / 'capi' / 'example.c').read_text()}```" in page

"""`aec compare` as a command: what it reads, refuses and leaves behind. The page itself: test_viewer.py."""

import base64
import importlib.util
import io
import json

import numpy as np
import photos
import pytest
from PIL import Image

import codec
from codec import metrics
from codec.cli import parser, runner

PICTURE = photos.photo(40, 56)


def compare(*arguments):
    try:
        return parser.main(["compare", *map(str, arguments)])
    except SystemExit as error:
        return error.code


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    Image.fromarray(PICTURE).save(tmp_path / "photo.jpg", quality=50)
    return tmp_path


def data_of(path, key):
    return path.read_text().split(f'id="{key}">')[1].split("</script>")[0]


def versions_in(path):
    """Of the page's only picture, the original first, with their pixels."""
    versions = json.loads(data_of(path, "pictures"))[0]["versions"]
    for version in versions:
        data = base64.b64decode(data_of(path, version["image"]).split(",")[1])
        version["pixels"] = np.array(Image.open(io.BytesIO(data)))
    return versions


def test_every_file_is_there_with_its_size_figures_and_pixels(tmp_path, capsys):
    picture = photos.photo(170, 200)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    (tmp_path / "a.aec").write_bytes(codec.encode(picture, 35))
    names = ["a.aec", "b.jpg", "c.webp", "d.avif", "e.png"]
    for name in names[1:]:
        Image.fromarray(picture).save(tmp_path / name)
    assert compare(tmp_path / "photo.png", *(tmp_path / name for name in names), "-o", tmp_path / "out.html") == 0
    assert capsys.readouterr() == ("", "")
    original, *versions = versions_in(tmp_path / "out.html")
    assert np.array_equal(original["pixels"], picture) and original["bytes"] is None
    assert [v["codec"] for v in versions] == names and [v["quality"] for v in versions] == [35, *[None] * 4]
    for version in versions:
        data = (tmp_path / version["codec"]).read_bytes()
        expected = codec.decode(data) if version["codec"] == "a.aec" else Image.open(io.BytesIO(data))
        assert np.array_equal(version["pixels"], np.array(expected))
        assert version["bytes"] == len(data) and version["bpp"] == 8 * len(data) / (170 * 200)
        if version["codec"] != "e.png":
            assert version["figures"]["psnr"] == metrics.psnr(picture, version["pixels"])
            similarity = metrics.ms_ssim(picture, version["pixels"])
            assert version["figures"]["ms-ssim"] == pytest.approx(-10 * np.log10(1 - similarity))
    assert versions[4]["figures"] == {"psnr": "∞", "ms-ssim": "∞"}


def test_pictures_are_turned_as_their_exif_says_and_gray_is_spread(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(PICTURE).convert("L").save(tmp_path / "photo.png", exif=turned)
    assert parser.main(["compress", str(tmp_path / "photo.png")]) == 0
    assert compare(tmp_path / "photo.png", tmp_path / "photo.aec", "-o", tmp_path / "out.html") == 0
    original, packed = versions_in(tmp_path / "out.html")
    gray = np.array(Image.open(tmp_path / "photo.png"))
    assert np.array_equal(original["pixels"], np.rot90(gray, -1)[..., None].repeat(3, 2))
    assert packed["pixels"].shape == (56, 40, 3)


def test_another_size_is_an_error_that_names_both(folder, capsys):
    Image.fromarray(PICTURE[:30, :20]).save(folder / "small.jpg")
    assert compare(folder / "photo.png", folder / "small.jpg", "-o", folder / "out.html") == runner.EXIT_INPUT
    assert capsys.readouterr().err == (
        f"aec: {folder / 'small.jpg'}: 20x30 pixels, but {folder / 'photo.png'} has 56x40: sizes must be equal\n"
    )
    assert not (folder / "out.html").exists()


def test_what_cannot_be_read_is_named_and_no_page_is_written(folder, capsys):
    (folder / "text.jpg").write_text("no picture")
    (folder / "cut.aec").write_bytes(codec.encode(PICTURE, 50)[:-9])
    out = folder / "out.html"
    for inputs, code, complaints in (
        (("missing.png", "photo.jpg"), runner.EXIT_INPUT, ["missing.png: No such file"]),
        (("photo.png", "text.jpg"), runner.EXIT_INPUT, ["text.jpg: not a picture that Pillow can read"]),
        (("photo.png", "cut.aec"), runner.EXIT_CORRUPT, ["cut.aec: "]),
        (("photo.png", "text.jpg", "photo.jpg", "cut.aec"), runner.EXIT_SOME_FAILED, ["text.jpg: ", "cut.aec: "]),
    ):
        assert compare(*(folder / name for name in inputs), "-o", out) == code
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == len(complaints)
        for line, complaint in zip(lines, complaints, strict=True):
            assert line.startswith(f"aec: {folder}/{complaint}")
        assert not out.exists()


def test_a_reader_that_is_not_installed_is_named(folder, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pillow_jxl" else find(name))
    (folder / "photo.jxl").write_bytes(b"\xff\x0a")
    assert compare(folder / "photo.png", folder / "photo.jxl", "-o", folder / "out.html") == runner.EXIT_INPUT
    assert capsys.readouterr().err == (
        f"aec: {folder / 'photo.jxl'}: .jxl files need pillow-jxl-plugin; try: pip install 'aec-codec[bench]'\n"
    )


def test_without_pytorch_msssim_the_page_says_what_is_missing(folder, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pytorch_msssim" else find(name))
    assert compare(folder / "photo.png", folder / "photo.jpg", "-o", folder / "out.html") == 0
    assert "MS-SSIM, -10 log10(1 - m) is left out: pytorch-msssim is not installed; try: " in data_of(
        folder / "out.html", "report"
    )
    assert list(versions_in(folder / "out.html")[1]["figures"]) == ["psnr"]


def test_heic_is_read_where_pillow_heif_is_installed(folder):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(PICTURE)).save(folder / "photo.heic", quality=90)
    assert compare(folder / "photo.png", folder / "photo.heic", "-o", folder / "out.html") == 0
    assert metrics.psnr(PICTURE, versions_in(folder / "out.html")[1]["pixels"]) > 30


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (np.dstack([PICTURE, PICTURE[..., :1]]), "transparency"),
        (PICTURE[..., 0].astype(np.uint16) * 200, "16 bits a sample"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_what_is_not_compared_is_named(folder, capsys, changed, found, first):
    Image.fromarray(changed).save(folder / "other.png")
    inputs = ["other.png", "photo.jpg"] if first else ["photo.png", "other.png"]
    assert compare(*(folder / name for name in inputs), "-o", folder / "out.html") == runner.EXIT_INPUT
    assert capsys.readouterr().err == (
        f"aec: {folder / 'other.png'}: a picture with {found}: only opaque pictures of 8 bits a sample are compared\n"
    )
    assert not (folder / "out.html").exists()


def test_nothing_is_overwritten_without_f_and_an_input_never(folder, capsys):
    out = folder / "out.html"
    out.write_text("before")
    assert compare(folder / "photo.png", folder / "photo.jpg", "-o", out) == runner.EXIT_OUTPUT
    assert out.read_text() == "before" and "-f overwrites it" in capsys.readouterr().err
    assert compare(folder / "photo.png", folder / "photo.jpg", "-f", "-o", out) == 0
    assert len(versions_in(out)) == 2
    before = (folder / "photo.jpg").read_bytes()
    assert compare(folder / "photo.png", folder / "photo.jpg", "-f", "-o", folder / "photo.jpg") == runner.EXIT_USAGE
    assert (folder / "photo.jpg").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"photo.png", "photo.jpg", "out.html"}


def test_files_of_one_name_are_told_apart_by_their_folders(folder, capfdbinary):
    (folder / "other").mkdir()
    Image.fromarray(PICTURE).save(folder / "other" / "photo.jpg", quality=20)
    paths = [folder / "photo.jpg", folder / "other" / "photo.jpg"]
    assert compare(folder / "photo.png", *paths, "-o", "-") == 0
    (folder / "out.html").write_bytes(capfdbinary.readouterr().out)
    assert [version["codec"] for version in versions_in(folder / "out.html")[1:]] == [str(path) for path in paths]

"""Options of `aec compress` and `decompress`: what they ask of the library, and what the written files keep."""

import io
import json

import numpy as np
import photos
import pytest
from PIL import Image, ImageCms
from shell import files, here

import codec
from codec.container import format, metadata
from codec.picture import carried
from codec.picture.ssimulacra2 import ssimulacra2

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><a>\xc3\xa4</a></x:xmpmeta><?xpacket end="w"?>'


def exif_block(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "Maker"
    return tags.tobytes()


@pytest.fixture
def told(tmp_path):
    """A photo with all metadata, turned by its EXIF."""
    path = tmp_path / "told.jpg"
    Image.fromarray(photos.photo(40, 64)).save(path, exif=exif_block(6), icc_profile=ICC, xmp=XMP, quality=95)
    return path


def kept(path) -> metadata.Metadata:
    return carried.of(Image.open(io.BytesIO(path.read_bytes())))


def sections(path) -> metadata.Metadata:
    return metadata.unpacked(format.read(path.read_bytes()).metadata, depth=8)


UPRIGHT = exif_block(1).removeprefix(b"Exif\0\0")
ALL = metadata.Metadata(ICC, UPRIGHT, XMP)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ALL),
        (["--metadata", "all"], ALL),
        (["--metadata", "none"], metadata.Metadata()),
        (["--metadata", "exif,xmp"], metadata.Metadata(None, UPRIGHT, XMP)),
        (["--metadata", "xmp"], metadata.Metadata(xmp=XMP)),
        (["--strip"], metadata.Metadata(ICC)),
    ],
)
def test_metadata_is_kept_or_left_out_and_the_picture_is_upright(tmp_path, told, options, expected):
    assert here("compress", told, "-o", tmp_path / "x.aec", *options) == 0
    assert sections(tmp_path / "x.aec") == expected
    header = codec.inspect((tmp_path / "x.aec").read_bytes())
    assert (header.width, header.height) == (40, 64)
    assert here("compress", told, "-o", tmp_path / "all.aec") == 0
    assert here("decompress", tmp_path / "all.aec", "-o", tmp_path / "x.png", *options) == 0
    assert kept(tmp_path / "x.png") == expected and Image.open(tmp_path / "x.png").size == (40, 64)


def test_a_file_that_may_tell_more_than_is_to_be_kept_is_not_stored(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.jpg", quality=40, comment=b"made by me, at home")
    for options, told in (([], True), (["--metadata", "all"], True), (["--strip"], False)):
        assert here("compress", "-f", "-q", 100, tmp_path / "x.jpg", *options) == 0
        assert (b"at home" in (tmp_path / "x.aec").read_bytes()) == told


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_each_kind_of_file_gets_the_metadata_it_has_a_place_for(tmp_path, told, suffix):
    packed, back = tmp_path / "x.aec", tmp_path / f"back{suffix}"
    assert here("compress", told, "-o", packed) == 0 and here("decompress", packed, "-o", back) == 0
    found = kept(back)
    assert (found.icc, found.xmp) == (ICC, XMP)
    exif = Image.open(back).getexif()
    assert exif[0x010F] == "Maker" and exif.get(0x0112, 1) == 1
    assert here("decompress", packed, "-f", "-o", back, "--metadata", "none") == 0
    assert kept(back).icc is None and kept(back).xmp is None and 0x010F not in Image.open(back).getexif()


def test_what_describes_the_samples_of_another_file_does_not_get_into_a_tiff(tmp_path):
    tags = Image.Exif()
    tags[256], tags[258], tags[273], tags[0x010F] = 9999, 1, 8, "Maker"
    data = codec.encode(photos.photo(20, 30), metadata=metadata.Metadata(exif=tags.tobytes()))
    (tmp_path / "x.aec").write_bytes(data)
    assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / "x.tif") == 0
    image = Image.open(tmp_path / "x.tif")
    assert image.size == (30, 20) and image.getexif()[0x010F] == "Maker"
    assert np.array_equal(np.array(image), codec.decode(data, output="numpy"))


def test_metadata_too_long_for_a_kind_of_file_is_named_with_the_way_out(tmp_path, capsys):
    long = metadata.Metadata(xmp=np.random.default_rng(0).bytes(70_000))
    (tmp_path / "x.aec").write_bytes(codec.encode(photos.photo(20, 30), metadata=long))
    assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / "x.jpg") == 7
    assert "too long" in (err := capsys.readouterr().err) and "--metadata none" in err
    assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / "x.jpg", "--strip") == 0


@pytest.fixture
def logo(tmp_path):
    """A photo that fades out."""
    pixels = np.dstack([photos.photo(64, 64), np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))])
    Image.fromarray(pixels).save(tmp_path / "logo.png")
    return tmp_path / "logo.png"


def test_alpha_goes_where_there_is_a_place_for_it_and_is_nowhere_dropped(tmp_path, logo, capsys):
    packed = tmp_path / "logo.aec"
    assert here("compress", logo) == 0
    expected = codec.decode(packed.read_bytes(), output="numpy")
    assert np.array_equal(expected[..., 3], np.array(Image.open(logo))[..., 3])
    for suffix in (".png", ".webp", ".avif", ".tif", ".tga"):
        assert here("decompress", packed, "-o", tmp_path / f"back{suffix}") == 0
        back = Image.open(tmp_path / f"back{suffix}")
        error = np.abs(np.array(back)[..., 3].astype(int) - expected[..., 3]).max()
        assert back.mode == "RGBA" and error <= (2 if suffix == ".avif" else 0)  # AVIF files are lossy
    for suffix in (".jpg", ".bmp", ".ppm", ".gif"):
        assert here("decompress", packed, "-o", tmp_path / f"back{suffix}") == 7
        assert "alpha channel" in (err := capsys.readouterr().err) and ".png" in err
        assert not (tmp_path / f"back{suffix}").exists()


def test_alpha_quality_is_passed_on(tmp_path, logo):
    noise = np.array(Image.open(logo))
    noise[..., 3] = np.random.default_rng(0).integers(0, 256, (64, 64))
    Image.fromarray(noise).save(logo)
    sizes = []
    for quality in (100, 0):
        assert here("compress", logo, "-f", "--alpha-q", quality) == 0
        sizes.append((tmp_path / "logo.aec").stat().st_size)
    assert sizes[1] < 0.8 * sizes[0]


def test_sixteen_bits_go_into_files_that_hold_them_or_are_cut_on_demand(tmp_path, capsys):
    gray = (photos.photo(40, 48)[..., 0].astype(np.uint16) << 8) + 77
    colour = (photos.photo(40, 48).astype(np.uint16) << 8) + 77
    for name, pixels in (("gray", gray), ("colour", colour)):
        packed = tmp_path / f"{name}.aec"
        packed.write_bytes(codec.encode(pixels, metadata=metadata.Metadata(ICC, None, XMP)))
        expected = codec.decode(packed.read_bytes(), output="numpy")
        assert expected.dtype == np.uint16
        for suffix in (".png", ".npy") + ((".tif",) if name == "gray" else ()):
            assert here("decompress", packed, "-o", tmp_path / f"{name}{suffix}") == 0
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), expected)
        assert kept(tmp_path / f"{name}.png") == metadata.Metadata(ICC, None, XMP)
        again = codec.encode(Image.open(tmp_path / f"{name}.png"), lossless=True)
        assert np.array_equal(codec.decode(again, output="numpy"), expected)
        capsys.readouterr()
        assert here("decompress", packed, "-o", tmp_path / f"{name}.jpg") == 7
        assert "--depth 8" in (err := capsys.readouterr().err) and ".png" in err
        assert here("decompress", packed, "-o", tmp_path / f"{name}.jpg", "--depth", 8) == 0
        assert here("decompress", packed, "-f", "-o", tmp_path / "x.npy", "--depth", 8) == 0
        assert np.array_equal(np.load(tmp_path / "x.npy"), codec.decode(packed.read_bytes(), output="numpy", depth=8))
    assert np.array_equal(np.array(Image.open(tmp_path / "gray.tif")), np.load(tmp_path / "gray.npy"))


def test_crop_and_scale_are_those_of_the_library(tmp_path, packed, capsys):
    data = packed.read_bytes()
    assert here("decompress", packed, "-o", tmp_path / "x.npy", "--crop", "8,4,30,20", "--scale", "1/2", "--json") == 0
    expected = codec.decode(data, output="numpy", region=(8, 4, 30, 20), scale=1 / 2)
    assert np.array_equal(np.load(tmp_path / "x.npy"), expected)
    row = json.loads(capsys.readouterr().out)
    assert (row["width"], row["height"]) == (15, 10)
    assert here("decompress", packed, "--crop", "50,0,30,20") == 3
    assert "must be within the picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--target-size", "1.2k"), ("--target-bpp", "0.6"), ("--target-psnr", "33"), ("--target-ssimulacra2", "70")],
)
def test_a_target_is_met(tmp_path, frozen_eye, option, value):
    pixels = photos.photo(128, 128)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert here("compress", tmp_path / "x.png", option, value, "--model", frozen_eye.path) == 0
    data = (tmp_path / "x.aec").read_bytes()
    if option == "--target-psnr":
        assert photos.psnr(codec.decode(data, output="numpy"), pixels) >= 33
    elif option == "--target-ssimulacra2":
        assert 70 <= ssimulacra2(pixels, codec.decode(data, output="numpy")) <= 70.7
    else:
        limit = 1200 if option == "--target-size" else 0.6 * 128 * 128 / 8
        assert 0.9 * limit < len(data) <= limit


def test_lossless_means_what_it_says(tmp_path, picture, capsys):
    assert here("compress", picture, "--lossless", "-v") == 0
    assert ", lossless -> " in capsys.readouterr().err
    assert here("decompress", tmp_path / "photo.aec", "-o", tmp_path / "back.png") == 0
    assert np.array_equal(np.array(Image.open(tmp_path / "back.png")), np.array(Image.open(picture)))


def test_a_picture_that_would_grow_is_stored_skipped_or_refused(tmp_path, capsys):
    small = tmp_path / "small.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(small, quality=40)
    n = small.stat().st_size
    options = ["-q", 100, "--json"]
    assert here("compress", small, *options) == 0
    packed = (tmp_path / "small.aec").read_bytes()
    assert n < len(packed) < n + 64 and small.read_bytes() in packed
    row = json.loads(capsys.readouterr().out)
    assert (row["quality"], row["bytes_out"], row["status"]) == (None, len(packed), "done")
    (tmp_path / "small.aec").unlink()
    assert here("compress", small, *options, "--if-larger", "skip") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["status"] == "skipped" and row["bytes_out"] is None and f"{n} bytes would become" in row["error"]
    assert here("compress", small, *options, "--if-larger", "fail") == 7
    assert "would become" in capsys.readouterr().err and files(tmp_path) == {"small.jpg"}


def test_the_bits_that_a_files_samples_hold_can_be_told(tmp_path, capsys):
    array = np.random.default_rng(0).integers(0, 4096, (20, 30), dtype=np.uint16)
    Image.fromarray(array).save(tmp_path / "low.png")
    assert here("compress", tmp_path / "low.png", "--lossless", "--bits", 12) == 0
    assert np.array_equal(codec.decode((tmp_path / "low.aec").read_bytes(), output="numpy") >> 4, array)
    assert here("compress", tmp_path / "low.png", "-f", "--bits", 11) == 3
    assert "bits 11: samples up to 2047 are allowed" in capsys.readouterr().err
    assert here("compress", tmp_path / "low.png", "-f", "--bits", 17) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["-q", "50", "--lossless"],
        ["-q", "50", "--target-size", "10k"],
        ["--target-bpp", "1", "--target-psnr", "40"],
        ["--target-size", "10q"],
        ["--target-size", "0"],
        ["--target-size", "-5k"],
        ["--target-bpp", "0"],
        ["--target-psnr", "inf"],
        ["--target-ssimulacra2", "70", "-q", "50"],
        ["--target-ssimulacra2", "70", "--target-psnr", "40"],
        ["--target-ssimulacra2", "0"],
        ["--target-ssimulacra2", "100.5"],
        ["--target-ssimulacra2", "nan"],
        ["--lossless", "--alpha-q", "50"],
        ["--lossless", "--progressive"],
        ["--max-error", "2", "-p"],
        ["--lossless", "--roi", "0,0,8,8:+20"],
        ["--max-error", "2", "--roi-mask", "mask.png:+20"],
        ["--alpha-q", "101"],
        ["--strip", "--metadata", "all"],
        ["--metadata", "icc,gps"],
        ["--metadata", ""],
        ["--if-larger", "maybe"],
    ],
)
def test_contradictions_of_compress_are_usage_errors(arguments, picture, capsys):
    assert here("compress", picture, *arguments) == 2
    assert "usage: aec compress" in capsys.readouterr().err and files(picture.parent) == {"photo.png"}


@pytest.mark.parametrize("exact", [["--lossless"], ["--max-error", "3"]], ids=lambda options: options[0])
def test_what_networks_would_need_changes_nothing_of_an_exact_file(exact, picture, capsys):
    assert here("compress", picture, *exact) == 0
    plain = (packed := picture.with_suffix(".aec")).read_bytes()
    assert here("compress", picture, *exact, "--model", "psnr", "--device", "cpu", "--alpha-q", 100, "-f") == 0
    assert packed.read_bytes() == plain
    assert here("compress", picture, *exact, "--model", "nonsense", "-f") == 6
    assert "aec: no model 'nonsense': available are" in capsys.readouterr().err
    assert packed.read_bytes() == plain
    with pytest.raises(codec.ModelError, match="no model 'nonsense'"):
        codec.encode(np.zeros((4, 4, 3), np.uint8), lossless=True, model="nonsense")


@pytest.mark.parametrize(
    "arguments",
    [["--crop", "1,2,3"], ["--crop", "0,0,0,5"], ["--crop", "-1,0,5,5"], ["--scale", "1/3"], ["--depth", "12"]],
)
def test_what_decompress_cannot_mean_is_a_usage_error(arguments, packed, capsys):
    assert here("decompress", packed, *arguments) == 2
    assert "allowed are" in (err := capsys.readouterr().err) or "X,Y,W,H" in err
    assert files(packed.parent) == {"packed.aec"}

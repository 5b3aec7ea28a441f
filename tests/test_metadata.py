"""Colour profile, EXIF and XMP travel byte for byte; the orientation is applied once, and reset."""

import io

import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from shell import here

import codec
from codec.container import format, metadata
from codec.container.metadata import Metadata
from codec.picture.pixels import to_numpy, to_pixels

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Make="aec"/></x:xmpmeta>'
PREFIX = b"Exif\0\0"
KINDS = ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"]


def exif(orientation: int | None = None, order: str = "<") -> bytes:
    made = Image.Exif()
    made.endian = order
    made[0x010F] = "aec"
    if orientation is not None:
        made[0x0112] = orientation
    made[0x8769] = {0x9003: "2026:11:21 12:00:00"}
    return made.tobytes().removeprefix(PREFIX)


def saved(image: Image.Image, kind: str, xmp: bytes | None = None, **options) -> Image.Image:
    """A file of a kind, opened; XMP as each of Pillow's savers wants it."""
    if xmp is not None and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif xmp is not None and kind == "TIFF":
        tags = Image.Exif()
        tags.load(options["exif"])
        tags[700] = xmp
        options["exif"] = tags
    elif xmp is not None:
        options["xmp"] = xmp
    options |= {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def turned(rgb: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera that is held that way writes of an upright picture."""
    return {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: rgb.transpose(1, 0, 2)[::-1],
        7: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: rgb.transpose(1, 0, 2)[:, ::-1],
    }[orientation]


# ------------------------------------------------------------------ orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_orientation_is_applied_to_the_pixels_and_reset(orientation, kind):
    rgb = photos.photo(24, 40)
    image = saved(Image.fromarray(turned(rgb, orientation)), kind, exif=PREFIX + exif(orientation))
    pixels = to_pixels(image)
    assert (pixels.height, pixels.width) == (24, 40)
    error = np.abs(to_numpy(pixels).astype(int) - rgb)
    assert error.max() == 0 if kind in ("PNG", "WEBP", "TIFF") else error.mean() < 8
    assert metadata.orientation(pixels.metadata) == 1
    back = codec.decode(codec.encode(image, 90))
    assert back.size == (40, 24) and back.getexif().get(0x0112, 1) == 1
    assert back.getexif()[0x010F] == "aec"
    assert ImageOps.exif_transpose(back).size == (40, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_xmp_counts_where_exif_has_none(orientation):
    rgb = photos.photo(24, 40)
    xmp = XMP.replace(b"tiff:Make", b'tiff:Orientation="%d" tiff:Make' % orientation)
    image = saved(Image.fromarray(turned(rgb, orientation)), "PNG", exif=PREFIX + exif())
    image.info["xmp"] = xmp
    pixels = to_pixels(image)
    assert np.array_equal(to_numpy(pixels), rgb)
    assert pixels.metadata == Metadata(
        None, exif(), xmp.replace(b'tiff:Orientation="%d"' % orientation, b'tiff:Orientation="1"')
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_resetting_changes_two_bytes_of_exif_at_most(order, orientation):
    block = exif(orientation, order)
    found = metadata.orientation(Metadata(exif=block))
    assert found == orientation
    reset = metadata.reset_orientation(Metadata(exif=block)).exif
    assert reset == exif(1, order) and sum(a != b for a, b in zip(block, reset, strict=True)) <= 1


@given(st.binary(max_size=80))
def test_damaged_exif_is_kept_and_says_upright_or_an_orientation(tail):
    for start in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""):
        found = metadata.orientation(Metadata(exif=start + tail))
        assert 1 <= found <= 8
        reset = metadata.reset_orientation(Metadata(exif=start + tail))
        assert len(reset.exif) == len(start + tail) and metadata.orientation(reset) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's
@pytest.mark.parametrize("block", [b"M[\0*\0\0\0\x08", b"MM\0*\0\0\0\x08\0", b"II*\0\xff\xff\xff\xff", b"nonsense"])
def test_damaged_exif_is_not_a_damaged_picture(block):
    image = saved(Image.fromarray(photos.photo(24, 40)), "JPEG", exif=PREFIX + block)
    data = codec.encode(image)
    assert metadata.unpacked(format.read(data).metadata).exif == block
    assert np.array_equal(
        codec.decode(data, output="numpy"), codec.decode(codec.encode(np.array(image)), output="numpy")
    )


# ------------------------------------------------------------------ what is kept


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lossless", [False, True])
def test_blocks_come_back_byte_for_byte(kind, lossless):
    image = saved(Image.fromarray(photos.photo(24, 40)), kind, exif=PREFIX + exif(), icc_profile=SRGB, xmp=XMP)
    data = codec.encode(image, lossless=lossless)
    back = codec.decode(data)
    assert back.info["icc_profile"] == SRGB
    assert back.info["xmp"] == XMP
    assert dict(back.getexif().get_ifd(0x8769)) == {0x9003: "2026:11:21 12:00:00"}
    assert back.info["exif"] == PREFIX + exif() or kind == "TIFF"  # whose EXIF is the file itself
    assert len(data) < len(codec.encode(image, lossless=lossless, metadata=Metadata())) + 1500  # 3 kB, deflated


@pytest.mark.parametrize("suffix", [".tif", ".avif"])
def test_damaged_exif_that_a_kind_cannot_take_is_an_error_in_words(suffix, tmp_path, capsys):
    data = codec.encode(photos.photo(16, 16), metadata=Metadata(exif=b"garbage, not a TIFF block"))
    (tmp_path / "a.aec").write_bytes(data)
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / f"a{suffix}") == 7
    assert "--metadata none leaves out what may be damaged" in capsys.readouterr().err
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / f"a{suffix}", "--metadata", "none") == 0


def test_sound_exif_is_not_blamed_for_a_kinds_limits(tmp_path, capsys):
    data = codec.encode(np.zeros((1, 16384), np.uint8), metadata=Metadata(exif=exif()))
    (tmp_path / "a.aec").write_bytes(data)
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / "a.webp") == 7
    assert "--metadata" not in capsys.readouterr().err


def test_the_caller_decides_what_is_kept():
    image = saved(Image.fromarray(photos.photo(24, 40)), "PNG", exif=PREFIX + exif(6), icc_profile=SRGB, xmp=XMP)
    own = metadata.of(image)
    assert own == Metadata(SRGB, exif(6), XMP)
    for kinds in ((), ("icc",), ("exif", "xmp"), format.METADATA):
        data = codec.encode(image, metadata=own.only(kinds))
        assert set(format.read(data).metadata) == set(kinds)
        assert codec.inspect(data).width == 24  # turned all the same
        if "exif" in kinds:
            assert codec.decode(data).info["exif"] == PREFIX + exif(1)
    with pytest.raises(ValueError, match="iptc: allowed are icc, exif, xmp"):
        own.only(["iptc"])
    with pytest.raises(TypeError, match="dict"):
        codec.encode(image, metadata={"icc": SRGB})


def test_arrays_have_the_metadata_that_they_are_given():
    data = codec.encode(photos.photo(24, 40), metadata=Metadata(icc=SRGB))
    assert codec.decode(data).info == {"icc_profile": SRGB}
    assert format.read(codec.encode(photos.photo(24, 40))).metadata == {}


def test_profiles_of_wide_gamuts_and_of_gray_come_back():
    for array in (
        photos.photo(24, 40),
        photos.photo(24, 40)[..., 0].copy(),
        photos.photo(24, 40)[..., 0].astype(np.uint16),
    ):
        image = Image.fromarray(array)
        image.info["icc_profile"] = SRGB[::-1]
        assert codec.decode(codec.encode(image)).info["icc_profile"] == SRGB[::-1]


def test_info_is_what_the_savers_of_pillow_take():
    image = saved(Image.fromarray(photos.photo(24, 40)), "JPEG", exif=PREFIX + exif(3), icc_profile=SRGB, xmp=XMP)
    back = codec.decode(codec.encode(image))
    for kind in ("PNG", "WEBP"):
        again = saved(back, kind, **back.info)
        assert metadata.of(again) == Metadata(SRGB, exif(1), XMP)

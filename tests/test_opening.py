"""Pictures are read by the limits of the format, whatever the program around has told Pillow."""

import io
import struct
import warnings
import zlib

import numpy as np
import photos
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

import codec
from codec.errors import LimitError
from codec.given import open_picture
from codec.io import InputError
from codec.picture import stored
from codec.picture.opening import opened
from codec.picture.pixels import to_pixels
from codec.picture.samples import to_numpy

RGB = photos.photo(24, 40)
KINDS = ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "TGA", "GIF", "QOI", "JPEG2000", "PCX", "DDS"]


def saved(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def strict(monkeypatch):
    """A program that lets Pillow open icons at most, and takes warnings for errors."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_every_kind_are_read_whatever_pillows_limit(strict, kind):
    data = saved(kind)
    assert to_numpy(to_pixels(open_picture(data))).shape == RGB.shape


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_tiff_files_are_read_whatever_pillows_limit(strict, compression, orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    found = to_numpy(to_pixels(open_picture(saved("TIFF", compression=compression, exif=tags))))
    assert np.abs(found.astype(int) - (RGB if orientation == 1 else np.rot90(RGB, -1))).mean() < 10


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": b"Exif\0\0x"})],
)
def test_what_is_stored_is_decoded_whatever_pillows_limit(strict, kind, options):
    data = saved(kind, **options)
    pixels = to_pixels(open_picture(data))
    aec = stored.original(pixels, data)
    assert np.array_equal(codec.decode(aec, output="numpy"), to_numpy(pixels))
    assert codec.read_metadata(aec) == pixels.metadata


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_damaged_file_is_not_stored_where_pillow_is_told_to_fill_it(monkeypatch, kind):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(kind)[:-40]
    with pytest.raises(ValueError, match="truncated|ends early"):
        codec.encode(Image.open(io.BytesIO(data)))
    filled = Image.open(io.BytesIO(data))
    filled.load()
    assert data not in codec.encode(filled, source=data, lossless=True)


def test_a_networks_alpha_is_decoded_whatever_pillows_limit(strict):
    faded = np.dstack([RGB, RGB[..., 0]])
    for options in ({"quality": 50}, {"quality": 50, "alpha_quality": 10}, {"lossless": True}):
        assert codec.decode(codec.encode(faded, **options), output="numpy").shape == faded.shape


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_the_formats_own_limit_holds_before_pixels_are_read(kind):
    data = bytearray(saved(kind))
    if kind == "PNG":
        data[16:24] = (30000).to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    elif kind == "BMP":
        data[18:26] = (30000).to_bytes(4, "little") * 2
    else:
        data = bytearray(saved("WEBP", exif=b"Exif\0\0x"))
        data[24:30] = (30000).to_bytes(3, "little") * 2
    with pytest.raises(LimitError, match="30000|30001"):
        open_picture(bytes(data))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_what_image_open_reads(kind):
    data = saved(kind)
    ours, theirs = opened(data), Image.open(io.BytesIO(data))
    assert (ours.size, ours.mode, ours.format) == (theirs.size, theirs.mode, theirs.format)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize(
    "data", [b"", b"P", b"nonsense, and long enough", b"RIFF\0\0\0\0WAVEfmt ", b"\xff\xd8\xff", b"BM"]
)
def test_what_no_reader_knows_is_refused_in_words(data):
    with pytest.raises(InputError, match="picture"):
        open_picture(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "a HEIC picture is not read: convert it to PNG"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "an AVIF picture, damaged or for a newer decoder, is not read"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1", "a HEIF picture is not read"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video, and no picture"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL picture is not read"),
        (b"P7\nWIDTH 2\n", "a PAM picture is not read"),
        (b"%PDF-1.4\n", "a PDF file is not read"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file is not read"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing is not read"),
        (b"\n<!DOCTYPE html>\n<html>", "a web page, and no picture"),
    ],
)
def test_what_is_not_read_is_told_what_it_is(monkeypatch, data, words):
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "JXL"])  # the bench may have loaded a plugin
    with pytest.raises(InputError, match=words):
        open_picture(data)


def test_postscript_is_not_run():
    """Pillow would have Ghostscript run it, whatever the name of the file."""
    drawing = saved("EPS")
    with pytest.raises(InputError, match="a PostScript file, which is a program, is not read"):
        open_picture(drawing)
    with pytest.raises(ValueError, match="Pillow has opened as EPS is not loaded"):
        codec.encode(Image.open(io.BytesIO(drawing)))


def test_what_is_inside_an_iptc_file_is_not_opened(monkeypatch):
    """Pillow opens it whatever it is: PostScript, or a picture of another size than the file claims."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given: pytest.fail("the program was run"))
    for inside in (saved("EPS"), saved("PNG")):
        fields = ((3, 60, b"\1\0"), (3, 20, b"\0\x10"), (3, 30, b"\0\x10"), (3, 120, b"\5"), (8, 10, inside))
        data = b"".join(struct.pack(">BBBH", 28, *key, len(value)) + value for *key, value in fields)
        with pytest.raises(InputError, match="not a picture that Pillow can read"):
            open_picture(data)
        with pytest.raises(ValueError, match="Pillow has opened as IPTC is not loaded"):
            codec.encode(Image.open(io.BytesIO(data)))

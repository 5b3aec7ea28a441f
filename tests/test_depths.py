"""Pictures of 16 bits a sample, and of fewer bits than their type holds, on the way in and on the way out."""

import struct
import zlib

import numpy as np
import photos
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_image import opened, samples, saved

import codec
from codec.container.metadata import Metadata
from codec.given import open_picture
from codec.picture import png_chunks, samples16
from codec.picture.pixels import to_pixels
from codec.picture.samples import to_depth, to_numpy

# ------------------------------------------------------------------ 16 bits


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (9, 31), (400, 1500)])
def test_16_bit_png_files_are_written_and_read_whole(channels, shape):
    array = np.random.default_rng(0).integers(0, 65536, (*shape, channels), dtype=np.uint16)
    array[..., 0] = np.linspace(0, 65535, shape[1]).astype(np.uint16)
    data = samples16.write_png(array, Metadata(b"icc", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"<xmp/>"))
    image = opened(data)
    assert samples16.is_deep(data) == (channels > 1)
    pixels = to_pixels(image)
    assert pixels.depth == 16 and pixels.metadata == Metadata(b"icc", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"<xmp/>")
    assert np.array_equal(to_numpy(pixels).reshape(array.shape), array)
    image.load()  # the high bytes, or all of gray: by Pillow alone
    high = np.array(image) if channels == 1 else np.array(image.convert({2: "LA", 3: "RGB", 4: "RGBA"}[channels]))
    assert np.array_equal(high.reshape(array.shape), array if channels == 1 else array >> 8)


def tiff16(array: np.ndarray, order: str, compression: int = 1, photometric: int = 2, orientation: int = 1) -> bytes:
    """A baseline TIFF of uint16 [H, W, 3|4] in one strip (TIFF 6.0)."""
    height, width, channels = array.shape
    strip = array.astype(order + "u2").tobytes()
    strip = zlib.compress(strip) if compression == 8 else strip
    tags = [(256, width), (257, height), (258, 0), (259, compression), (262, photometric), (273, 0)]
    tags += [(274, orientation), (277, channels), (278, height), (279, len(strip))] + [(338, 2)] * (
        channels == 4 and photometric == 2
    )
    bits_at = 8 + 2 + 12 * len(tags) + 4
    strip_at = bits_at + 2 * channels
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    for tag, value in tags:
        value, count = {258: (bits_at, channels), 273: (strip_at, 1)}.get(tag, (value, 1))
        out += struct.pack(order + "HHI", tag, 3, count)
        out += struct.pack(order + ("I" if count > 1 else "HH"), *([value] if count > 1 else [value, 0]))
    return out + bytes(4) + struct.pack(order + "H", 16) * channels + strip


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("compression", [1, 8])
def test_16_bit_tiff_colour_is_read_whole(order, channels, compression):
    array = np.random.default_rng(0).integers(0, 65536, (9, 31, channels), dtype=np.uint16)
    assert np.array_equal(samples(opened(tiff16(array, order, compression))), array)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_tiff_colour_is_turned_once(orientation):
    array = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 3000
    pixels = to_pixels(opened(tiff16(array, "<", orientation=orientation)))
    eighth = to_pixels(
        opened(saved(Image.fromarray((array >> 8).astype(np.uint8)), "TIFF", tiffinfo={274: orientation}))
    )
    assert np.array_equal(to_numpy(pixels) >> 8, to_numpy(eighth))


def test_16_bit_png_files_may_have_their_metadata_behind_the_pixels():
    array = np.arange(18, dtype=np.uint16).reshape(2, 3, 3)
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
    data, end = samples16.write_png(array), -12
    pixels = to_pixels(opened(data[:end] + png_chunks.chunk(b"eXIf", exif) + data[end:]))
    assert np.array_equal(to_numpy(pixels), np.rot90(array, -1))
    assert pixels.metadata.exif == exif.replace(b"\x06\0\0", b"\x01\0\0")


def test_16_bit_pictures_are_not_bound_by_pillows_limit(monkeypatch):
    array = np.arange(300, dtype=np.uint16).reshape(10, 10, 3)
    data = codec.encode(array, lossless=True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(codec.decode(data, output="numpy"), array)


def test_16_bit_colour_by_way_of_files_is_not_halved():
    array = (photos.photo(20, 30).astype(np.uint16) << 8) + 37
    data = samples16.write_png(array)
    back = codec.decode(codec.encode(open_picture(data), lossless=True), output="numpy")
    assert np.array_equal(back, array)


def test_16_bit_colours_that_are_transparent_become_alpha():
    array = np.arange(18, dtype=np.uint16).reshape(2, 3, 3) * 1000
    key = bytes.fromhex("0bb8 0fa0 1388")  # 3000, 4000, 5000: the second pixel
    data = samples16.write_png(array)
    at = data.index(b"IDAT") - 4
    pixels = to_pixels(opened(data[:at] + png_chunks.chunk(b"tRNS", key) + data[at:]))
    assert pixels.alpha.tolist() == [[65535, 0, 65535], [65535] * 3]


def test_samples_of_modes_i_and_i_16_are_16_bits():
    array = np.arange(0, 60000, 5000, dtype=np.uint16).reshape(3, 4)
    for image in (
        Image.fromarray(array),
        Image.fromarray(array.astype(np.int32)),
        opened(saved(Image.fromarray(array), "TIFF")),
    ):
        assert np.array_equal(samples(image), array)
    for wrong in (-1, 65536):
        with pytest.raises(ValueError, match="mode I with samples outside"):
            to_pixels(Image.new("I", (2, 2), wrong))


def test_depths_are_exchanged_over_their_whole_range():
    eight, sixteen = np.arange(256, dtype=np.uint8)[:, None], np.arange(65536, dtype=np.uint16)[:, None]
    assert np.array_equal(to_depth(to_depth(eight, 16), 8), eight)
    assert np.array_equal(to_depth(sixteen, 8), np.rint(sixteen * (255 / 65535)).astype(np.uint8))
    assert to_depth(eight, 8) is eight and to_depth(eight, 16)[-1] == 65535


def test_16_bit_pictures_come_back_in_16_bits_of_the_whole_range():
    y, x = np.mgrid[:64, :96]
    array = np.stack([x / 95, y / 63, (x + y) / 158], -1)
    array = (array * 65535).round().astype(np.uint16)
    data = codec.encode(array, 100)
    assert not codec.inspect(data).stored and codec.inspect(data).depth == 16
    back = codec.decode(data, output="numpy")
    assert back.dtype == np.uint16 and len(np.unique(back[..., 0])) > 1000  # more than 8 bits could tell apart
    assert np.abs(back.astype(float) - array).mean() < 65535 * 0.005
    eight = codec.decode(data, output="numpy", depth=8)
    assert eight.dtype == np.uint8 and np.abs(eight - back / 257).max() <= 0.51
    assert np.asarray(codec.decode(data, depth=8)).shape == (64, 96, 3)
    with pytest.raises(ValueError, match='output="numpy".*depth=8'):
        codec.decode(data)
    gray = codec.decode(codec.encode(array[..., 0]))
    assert gray.mode == "I;16"


def test_16_bit_files_that_cannot_be_read_whole_are_refused():
    cmyk = tiff16(np.zeros((4, 4, 4), np.uint16), "<", photometric=5)
    with pytest.raises(ValueError, match="BitsPerSample 16 of CMYK"):
        to_pixels(opened(cmyk))

    ppm = b"P6 2 1 65535\n" + bytes(12)
    with pytest.raises(ValueError, match="16 bits a sample in PPM"):
        to_pixels(opened(ppm))


# ------------------------------------------------------------------ samples that hold fewer bits than their type


@settings(max_examples=60)
@given(st.integers(1, 16), st.integers(1, 4), st.integers(0, 99))
def test_samples_of_fewer_bits_come_back_in_the_upper_bits_of_the_whole_range(bits, channels, seed):
    held = 8 if bits <= 8 and seed % 2 else 16
    dtype = np.uint8 if held == 8 else np.uint16
    array = np.random.default_rng(seed).integers(0, 2**bits, (9, 12, channels)).astype(dtype)
    array[0, 0], array[0, 1] = 2**bits - 1, 0
    back = codec.decode(codec.encode(array, lossless=True, bits=bits), output="numpy").reshape(array.shape)
    assert back.dtype == dtype and np.array_equal(back >> (held - bits), array)
    assert (back[0, 0] == np.iinfo(dtype).max).all() and (back[0, 1] == 0).all()


def test_samples_of_12_bits_are_no_dark_picture():
    y, x = np.mgrid[:64, :96]
    low = ((0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 13)) * 4095).astype(np.uint16)

    def psnr(top, **options):
        error = codec.decode(codec.encode(low * (top // 4095), 75, **options), output="numpy") * (top / 65535)
        return 10 * np.log10(top**2 / np.mean((error - low * (top // 4095)) ** 2))

    assert psnr(4095, bits=12) > psnr(65520) - 1


def test_an_alpha_channel_that_is_opaque_at_its_bits_is_dropped():
    array = np.full((4, 6, 4), 4095, np.uint16)
    assert codec.decode(codec.encode(array, lossless=True, bits=12), output="numpy").shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("bits", "error", "words"),
    [
        (0, ValueError, r"bits 0: allowed are 1\.\.16"),
        (17, ValueError, r"bits 17: allowed are 1\.\.16"),
        (12.0, TypeError, "must be an int"),
        (9, ValueError, "bits 9: samples of uint8 have 8 at most"),
        (7, ValueError, "bits 7: samples up to 127 are allowed, and there is 200"),
    ],
)
def test_bits_that_samples_do_not_have_are_refused(bits, error, words):
    with pytest.raises(error, match=words):
        codec.encode(np.full((4, 6, 3), 200, np.uint8), bits=bits)

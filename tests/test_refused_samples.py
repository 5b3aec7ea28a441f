"""Samples that are no integers of up to 16 bits, or are premultiplied, are refused by name or made right."""

import io
import struct

import numpy as np
import photos
import pytest
import torch
from PIL import Image

import codec
from codec.given import open_picture
from codec.io import InputError
from codec.picture.samples import to_numpy

RGBA = np.dstack([photos.photo(16, 16), np.full((16, 16), 100, np.uint8)])


class ByArray:
    """An array of another library."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.array


FLOATS = [np.zeros((4, 4, 3), t) for t in (np.float16, np.float32, np.float64, np.complex64, np.int16, np.uint32, bool)]
TENSORS = [torch.zeros(3, 4, 4, dtype=t) for t in (torch.float16, torch.bfloat16, torch.float32, torch.float64)]


@pytest.mark.parametrize("picture", [*FLOATS, *TENSORS, *map(ByArray, FLOATS)], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("lossless", [False, True])
def test_arrays_of_other_numbers_are_refused_with_their_type_and_what_is_allowed(picture, lossless):
    dtype = getattr(picture, "dtype", None) or picture.array.dtype
    for call in (lambda: codec.encode(picture, lossless=lossless), lambda: codec.features(picture)):
        with pytest.raises(TypeError, match=f"dtype {dtype}: must be .*uint8 or .*uint16; scale other numbers"):
            call()


def test_imageio_refuses_them_too():
    imageio = pytest.importorskip("imageio.v3", reason="imageio is not installed")

    import codec.imageio_plugin  # noqa: F401

    with pytest.raises(TypeError, match="float32: must be uint8 or uint16"):
        imageio.imwrite("<bytes>", np.zeros((4, 4, 3), np.float32), extension=".aec")


def test_a_pillow_image_of_floats_is_refused_by_name(tmp_path):
    image = Image.new("F", (8, 8), 0.5)
    with pytest.raises(ValueError, match="mode F cannot be encoded, for .* floating point: allowed are L, LA"):
        codec.encode(image)
    with pytest.raises(ValueError, match="mode F .* floating point"):
        image.save(tmp_path / "x.aec")
    for kind in ("TIFF", "SPIDER"):
        image.save(file := io.BytesIO(), kind)
        with pytest.raises(InputError, match="floating point"):
            open_picture(file.getvalue())


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"v/1\1\2\0\0\0channels\0chlist\0", "an OpenEXR picture"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n" + bytes(4), "a Radiance picture"),
        (b"#?RGBE\n\n-Y 1 +X 1\n" + bytes(4), "a Radiance picture"),
        (b"PF\n1 1\n-1.0\n" + bytes(12), "a PFM picture"),
    ],
)
def test_files_of_floats_are_refused_by_their_kind(data, name):
    with pytest.raises(InputError, match=f"{name}, whose samples are floating point: only integers"):
        open_picture(data)


def test_a_gray_pfm_which_pillow_reads_is_refused():
    with pytest.raises(InputError, match="mode F .* floating point"):
        open_picture(b"Pf\n2 2\n-1.0\n" + np.ones(4, "<f4").tobytes())


def dds(dxgi: int, alpha: int, payload: bytes) -> bytes:
    """A file of 4x4 pixels with the extended header."""
    head = struct.pack("<7I", 124, 0x1007, 4, 4, 16, 0, 0) + bytes(44)
    head += struct.pack("<2I4s5I", 32, 4, b"DX10", 0, 0, 0, 0, 0) + struct.pack("<5I", 0x1000, 0, 0, 0, 0)
    return b"DDS " + head + struct.pack("<5I", dxgi, 3, 0, 1, alpha) + payload


@pytest.mark.parametrize("dxgi", [95, 96])
def test_textures_of_half_floats_are_refused_and_not_clipped(dxgi):
    with pytest.raises(InputError, match="BC6H, floating point"):
        open_picture(dds(dxgi, 0, bytes(16)))


def test_dds_that_says_it_is_premultiplied_is_refused():
    bc7 = bytes([64] + [255] * 15)
    assert open_picture(dds(98, 1, bc7)).width == 4  # straight
    with pytest.raises(InputError, match="DDS file of premultiplied alpha"):
        open_picture(dds(98, 2, bc7))


def test_premultiplied_avif_is_divided():
    found = []
    for premultiplied in (False, True):
        file = io.BytesIO()
        options = {"alpha_premultiplied": premultiplied, "quality": 100, "subsampling": "4:4:4"}
        Image.fromarray(RGBA).save(file, "AVIF", **options)
        assert (b"prem" in file.getvalue()) == premultiplied
        found.append(to_numpy(open_picture(file.getvalue())))
    for samples in found:
        assert np.array_equal(samples[..., 3], RGBA[..., 3])
        assert np.abs(samples[..., :3].astype(int) - RGBA[..., :3]).mean() < 3


def test_jpeg_2000_that_says_it_is_premultiplied_is_refused():
    file = io.BytesIO()
    Image.fromarray(RGBA).save(file, "JPEG2000")
    data = file.getvalue()
    assert np.array_equal(to_numpy(open_picture(data)), RGBA)
    at, jp2h = data.index(b"cdef"), data.index(b"jp2h") - 4
    entries = bytearray(data[at + 6 : at + 6 + 24])
    assert entries[18:24] == struct.pack(">3H", 3, 1, 0)  # the fourth channel is opacity of the whole picture
    entries[18:24] = struct.pack(">3H", 3, 2, 0)
    assert jp2h < at
    with pytest.raises(InputError, match="JPEG 2000 file of premultiplied alpha"):
        open_picture(data[: at + 6] + bytes(entries) + data[at + 30 :])

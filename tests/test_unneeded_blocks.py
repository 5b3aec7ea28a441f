"""A block that the pixels do not need never costs the picture, and what is sound of the others is kept."""

import io
import struct
import zlib

import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

import codec
from codec.container.metadata import Metadata
from codec.given import open_picture
from codec.picture import jpeg_segments, png_chunks, png_info, stored
from codec.picture.pixels import to_pixels
from codec.picture.samples import to_numpy

RGB = photos.photo(16, 24)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
NOISE = np.random.default_rng(0).integers(0, 256, 1_500_000, np.uint8).tobytes()


def saved(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


PNG, JPEG = saved("PNG"), saved("JPEG", quality=95)
RIGHT = {"PNG": RGB, "JPEG": np.asarray(Image.open(io.BytesIO(JPEG)))}
IEND = PNG[-12:]


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(*before: bytes, behind: bytes = b"") -> bytes:
    return PNG[:33] + b"".join(before) + PNG[33:-12] + behind + IEND


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    return JPEG[:2] + b"".join(struct.pack(">BBH", 0xFF, m, len(d) + 2) + d for m, d in segments) + JPEG[2:]


def read(data: bytes) -> tuple[np.ndarray, Metadata]:
    """As the command reads it, which must be what comes back where the file is stored as it is."""
    pixels = to_pixels(open_picture(data))
    aec = stored.original(pixels, data)
    assert np.array_equal(codec.decode(aec, output="numpy"), to_numpy(pixels))
    assert codec.read_metadata(aec) == pixels.metadata
    return to_numpy(pixels), pixels.metadata


# ------------------------------------------------------------------ PNG


@pytest.mark.parametrize(
    ("chunks", "metadata"),
    [
        ([chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB + NOISE))], Metadata(icc=SRGB + NOISE)),
        ([chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP + bytes(2_000_000)))], None),
        ([chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70_000_000)))], Metadata()),
        ([chunk(b"tEXt", b"Comment\0" + bytes(1_000_000))] * 66, Metadata()),
        ([chunk(b"zTXt", b"Comment\0\x07what?")], Metadata()),
        ([chunk(b"iCCP", b"p\0\x07what?")], Metadata()),
        ([chunk(b"iCCP", b"")], Metadata()),
        ([chunk(b"gAMA", b"\0")], Metadata()),
        ([chunk(b"eXIf", EXIF, crc=1), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)], Metadata(xmp=XMP)),
        ([chunk(b"pHYs", b""), chunk(b"eXIf", EXIF)], Metadata(exif=EXIF)),
    ],
    ids=lambda value: None,
)
def test_png_is_read_whatever_its_blocks_are(chunks, metadata):
    for data in (png(*chunks), png(behind=b"".join(chunks))):
        samples, found = read(data)
        assert np.array_equal(samples, RGB)
        assert metadata is None or found == metadata


names = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=1).flatmap(
    lambda first: st.sampled_from(
        ["CCP", "TXt", "EXt", "XIf", "AMA", "HRM", "RGB", "ICP", "HYs", "BIT", "IME", "PLT", "KGD", "ABc"]
    ).map(lambda rest: (first + rest).encode())
)


@given(names, st.binary(max_size=60), st.sampled_from([None, 0]), st.booleans())
def test_any_chunk_that_pixels_do_not_need_leaves_them_alone(name, data, crc, behind):
    made = chunk(name, data, crc)
    pixels = to_pixels(open_picture(png(behind=made) if behind else png(made)))
    assert np.array_equal(to_numpy(pixels), RGB)


def test_a_png_with_large_blocks_is_stored_and_read_back():
    large = chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB + NOISE))
    data = png(large, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70_000_000))))
    aec = stored.original(to_pixels(open_picture(data)), data)
    assert np.array_equal(codec.decode(aec, output="numpy"), RGB)
    assert codec.read_metadata(aec).icc == SRGB + NOISE


def test_a_png_does_not_make_more_than_a_block_may_have_of_deflated_ones(monkeypatch):
    text = b"Raw profile type xmp\0\0" + zlib.compress(b"\nxmp\n  300\n" + b"ab" * 300)
    blocks = [chunk(b"zTXt", text), chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB))]
    monkeypatch.setattr(png_info, "MAX_SECTION", 612 + len(SRGB))
    assert set(png_info.info(png(*blocks))) == {"xmp", "icc_profile"}
    assert set(png_info.info(png(blocks[0], *blocks))) == {"xmp"}
    damaged = chunk(b"zTXt", text[:-20] + bytes(20))
    monkeypatch.setattr(png_info, "MAX_SECTION", 100_000)
    assert set(png_info.info(png(damaged, *blocks))) == {"xmp", "icc_profile"}
    assert set(png_info.info(png(*[damaged] * 9, *blocks))) == set()


# ------------------------------------------------------------------ JPEG


@pytest.mark.parametrize(
    ("segments", "metadata"),
    [
        ([(0xE0, b"JFIF")], Metadata()),
        ([(0xEE, b"Adobe")], Metadata()),
        ([(0xED, b"Photoshop 3.0\x008BIM\3\xed")], Metadata()),
        ([(0xE2, b"MPF\0II*\0\xff\xff\xff\xff")], Metadata()),
        ([(0xE2, b"ICC_PROFILE\0\1\2" + SRGB)], Metadata()),  # the second half is missing
        ([(0xE2, b"ICC_PROFILE\0\2\2" + SRGB[99:]), (0xE2, b"ICC_PROFILE\0\1\2" + SRGB[:99])], Metadata(icc=SRGB)),
        ([(0xE1, b"Exif\0\0" + EXIF[:9]), (0xE1, b"Exif\0\0" + EXIF[9:])], Metadata(exif=EXIF)),
        ([(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), (0xFE, b"")], Metadata(xmp=XMP)),
    ],
)
def test_jpeg_is_read_whatever_its_blocks_are(segments, metadata):
    samples, found = read(jpeg(*segments))
    assert np.array_equal(samples, RIGHT["JPEG"])
    assert found == metadata


known = st.sampled_from([b"", b"JFIF\0", b"Exif\0\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\x008BIM", b"FPXR\0"])


@given(st.sampled_from([*range(0xE1, 0xEE), 0xEF, 0xFE]), known, st.binary(max_size=40))
def test_any_segment_that_pixels_do_not_need_leaves_them_alone(marker, start, data):
    pixels = to_pixels(open_picture(jpeg((marker, start + data))))
    assert np.array_equal(to_numpy(pixels), RIGHT["JPEG"])


def test_cmyk_jpeg_keeps_the_segment_that_tells_of_its_colours():
    file = io.BytesIO()
    Image.fromarray(RGB).convert("CMYK").save(file, "JPEG", quality=95)
    assert np.abs(read(file.getvalue())[0].astype(int) - RGB).mean() < 5


# ------------------------------------------------------------------ both


@given(st.binary(max_size=80), st.integers(0, len(PNG)), st.integers(0, 40))
def test_the_walk_over_chunks_passes_every_byte_once_whatever_the_file(junk, at, skipped):
    data = PNG[:8] + PNG[8:at] + junk + PNG[at + skipped :]
    parts = list(png_chunks.chunks(data))
    passed = b"".join(part.whole for part in parts)
    assert data[8:].startswith(passed)
    assert len(passed) == len(data) - 8 or parts[-1].name == b"IEND"
    assert not any(part.missing for part in parts[:-1])


@given(st.binary(max_size=80), st.integers(2, len(JPEG)), st.integers(0, 40))
def test_the_walk_over_segments_goes_on_and_leaves_out_only_what_is_none(junk, at, skipped):
    data = JPEG[:at] + junk + JPEG[at + skipped :]
    end = 2
    for segment in jpeg_segments.segments(data):
        assert end <= segment.start <= segment.end <= len(data)
        assert segment.marker == jpeg_segments.CODED or data[segment.start] == 0xFF
        end = segment.end


# ------------------------------------------------------------------ others


MAKE = b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x04\0\0\0aec\0\0\0\0\0"


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
@pytest.mark.parametrize("broken", [b"nonsense" + MAKE[8:], b"II*\0\xff\xff\xff\xff" + MAKE[8:], bytes(len(MAKE))])
def test_damaged_exif_does_not_cost_the_picture(kind, broken):
    good = saved(kind, exif=b"Exif\0\0" + MAKE)
    assert good.count(MAKE) == 1
    right = to_numpy(to_pixels(open_picture(good)))
    assert np.array_equal(to_numpy(to_pixels(open_picture(good.replace(MAKE, broken)))), right)

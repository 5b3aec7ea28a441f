"""Pictures whose files say more than they hold: what is missing is told and not filled, whatever checksum is right."""

import io
import struct
import zlib

import numpy as np
import photos
import pytest
from container import peak_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec.container import format
from codec.container.format import NO_MODEL, Header
from codec.given import open_picture
from codec.io import InputError
from codec.picture import alpha, png_chunks, samples16
from codec.picture.pixels import to_pixels
from codec.picture.samples import to_numpy


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def stored(still: bytes, width: int, height: int, **fields) -> bytes:
    return format.write(Header(width, height, 0, NO_MODEL, tile=64, stored=True, **fields), [still])


def refused(still: bytes, width: int, height: int, words: str, **fields) -> None:
    """As a picture that is given, whichever way, and as one that is stored."""
    with pytest.raises(InputError, match=words):
        open_picture(still)
    with pytest.raises(ValueError, match=words):
        to_pixels(Image.open(io.BytesIO(still)))
    with pytest.raises(codec.CorruptError, match=words):
        codec.decode(stored(still, width, height, **fields), output="numpy")


# ------------------------------------------------------------------ PNG

# Colour type and bits a sample of all kinds of PNG files, and what a header of .aec says of them.
KINDS = (
    [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)] + [(c, d) for c in (2, 4, 6) for d in (8, 16)]
)


def png_file(
    samples: bytes, width: int, height: int, depth: int, colour: int, interlaced: int = 0, *more: bytes
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = [png_chunks.chunk(b"PLTE", bytes(range(48)))] if colour == 3 else []
    parts = [
        png_chunks.SIGNATURE,
        png_chunks.chunk(b"IHDR", head),
        *palette,
        *more,
        png_chunks.chunk(b"IDAT", zlib.compress(samples)),
        png_chunks.IEND,
    ]
    return b"".join(parts)


def passes(width: int, height: int, interlaced: bool) -> list[tuple[int, int]]:
    """Widths and heights of the pictures that the rows of a file make up, one for each pass of Adam7."""
    whole = np.zeros((height, width))
    if not interlaced:
        return [(width, height)]
    parts = [whole[::8, ::8], whole[::8, 4::8], whole[4::8, ::4], whole[::4, 2::4], whole[2::4, ::2]]
    parts += [whole[::2, 1::2], whole[1::2]]
    return [(part.shape[1], part.shape[0]) for part in parts if part.size]


@settings(max_examples=150)
@given(st.sampled_from(KINDS), st.integers(1, 20), st.integers(1, 20), st.booleans(), st.integers(1, 99), st.data())
def test_a_png_stream_has_all_rows_or_is_refused(kind, width, height, interlaced, missing, data):
    colour, depth = kind
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rows = [1 + -(-w * bits // 8) for w, h in passes(width, height, interlaced) for _ in range(h)]
    samples = b"".join(b"\0" + bytes(data.draw(st.binary(min_size=n - 1, max_size=n - 1))) for n in rows)
    if colour == 3:  # indices within the palette
        samples = bytes(len(samples))
    pixels = open_picture(png_file(samples, width, height, depth, colour, interlaced))
    assert (pixels.width, pixels.height) == (width, height)
    open_picture(png_file(samples + b"more", width, height, depth, colour, interlaced))
    short = samples[: -min(missing, len(samples))]
    refused(png_file(short, width, height, depth, colour, interlaced), width, height, "before the last row does")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_a_png_file_of_which_samples_or_their_checksum_are_damaged_is_refused(mode):
    image = Image.fromarray(photos.photo(40, 50)).convert("L" if mode == "I;16" else mode)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
    fields = {"gray": mode in ("L", "I;16"), "depth": 16 if mode == "I;16" else 8, "alpha": mode == "RGBA"}
    whole = saved(image, "PNG")
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at], "big")
    crc = at + 4 + length
    refused(whole[:crc] + bytes([whole[crc] ^ 1]) + whole[crc + 1 :], 50, 40, "checksum", **fields)
    refused(whole[: at + 4 + length // 2], 50, 40, "truncated", **fields)
    half = png_chunks.chunk(b"IDAT", whole[at + 4 : at + 4 + length // 2])
    refused(whole[: at - 4] + half + png_chunks.IEND, 50, 40, "before the last row does", **fields)
    parts = [png_chunks.chunk(b"IDAT", whole[at + 4 + i : at + 4 + min(i + 7, length)]) for i in range(0, length, 7)]
    split = whole[: at - 4] + b"".join(parts) + png_chunks.IEND
    assert np.array_equal(to_numpy(open_picture(split)), to_numpy(to_pixels(image)))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"IDAT", None, "chunk ABCD, which may change"),
        (b"\x08\x02\0\0\0", b"\x08\x02\1\0\0", "compression method 1"),
        (b"\x08\x02\0\0\0", b"\x08\x02\0\0\2", "interlace method 2"),
    ],
)
def test_a_png_file_whose_samples_mean_what_png_does_not_say_is_refused(old, new, words):
    data = saved(Image.fromarray(photos.photo(6, 9)), "PNG")
    if new is None:
        at = data.index(old) - 4
        data = data[:at] + png_chunks.chunk(b"ABCD", b"") + data[at:]
    else:
        head = data[16:29].replace(old, new)
        data = data[:8] + png_chunks.chunk(b"IHDR", head) + data[33:]
    refused(data, 9, 6, words)


@pytest.mark.parametrize("colour,depth", [(2, 8), (2, 16), (6, 16), (0, 16), (3, 8)])
def test_a_png_file_of_two_headers_is_refused_before_either_is_believed(colour, depth):
    small = png_file(bytes(100), 2, 2, depth, colour)
    header = struct.pack(">IIBBBBB", 60000, 60000, depth, colour, 0, 0, 0)
    data = small[:8] + png_chunks.chunk(b"IHDR", header) + small[8:]
    assert peak_bytes(lambda: refused(data, 2, 2, "second header")) < 1 << 20


def test_a_png_file_without_its_palette_is_refused_in_words():
    palette = png_chunks.chunk(b"PLTE", bytes(range(48)))
    refused(
        png_file(bytes(6), 2, 2, 8, 3).replace(palette, b""), 2, 2, r"in a palette \(a PLTE chunk\), which is missing"
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("high", [0, 1])
def test_the_gray_that_a_png_file_names_as_transparent_is_on_its_own_scale(depth, high):
    top = 2**depth - 1
    values = list(range(16)) if depth > 2 else [i % (top + 1) for i in range(16)]
    row = int("".join(f"{v:0{depth}b}" for v in values), 2).to_bytes(2 * depth, "big")
    key = 7 % (top + 1)
    named = key | high << depth if depth < 16 else key  # PNG: only the sample's own bits count
    data = png_file((b"\0" + row) * 3, 16, 3, depth, 0, 0, png_chunks.chunk(b"tRNS", struct.pack(">H", named)))
    full = 65535 if depth == 16 else 255
    for pixels in (open_picture(data), to_pixels(Image.open(io.BytesIO(data)))):
        assert pixels.gray and pixels.alpha[1].tolist() == [0 if v == key else full for v in values]
        assert pixels.data[1, :, 0].tolist() == [v * full // top for v in values]
    again = Image.open(io.BytesIO(data))
    assert np.array_equal(to_pixels(again).alpha, to_pixels(again).alpha)


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_all_16_bits_of_png_files_come_in_through_every_filter(channels, interlaced):
    array = np.random.default_rng(0).integers(0, 65536, (21, 19, channels), dtype=np.uint16)
    array[5:9] = array[4]
    array[:, 7:9] = array[:, 6:7]
    data = samples16.write_png(array)
    if interlaced:
        steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        rows = b""
        for y, x, down, across in steps:
            rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in array[y::down, x::across])
        data = png_file(rows, 19, 21, 16, {2: 4, 3: 2, 4: 6}[channels], 1)
    assert np.array_equal(to_numpy(open_picture(data)), array)


# ------------------------------------------------------------------ JPEG


def jpegs() -> dict[str, bytes]:
    image = Image.fromarray(photos.photo(80, 112))
    return {
        "baseline": saved(image, "JPEG", quality=90),
        "optimised": saved(image, "JPEG", quality=40, optimize=True, subsampling=0),
        "gray": saved(image.convert("L"), "JPEG", quality=75),
        "cmyk": saved(image.convert("CMYK"), "JPEG", quality=75),
        "restarts": saved(image, "JPEG", quality=90, restart_marker_blocks=5),
        "restarts each row": saved(image, "JPEG", quality=90, restart_marker_rows=1),
        "progressive": saved(image, "JPEG", quality=90, progressive=True),
        "progressive restarts": saved(image, "JPEG", quality=90, progressive=True, restart_marker_blocks=7),
        "thumbnail": saved(image, "JPEG", exif=b"Exif\0\0" + saved(image.resize((16, 16)), "JPEG")),
    }


JPEGS = jpegs()
GRAYS = ("gray",)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_file_with_all_its_blocks_is_read_as_pillow_does(kind):
    whole = JPEGS[kind]
    right = np.asarray(Image.open(io.BytesIO(whole)).convert("L" if kind in GRAYS else "RGB"))
    for data in (whole, whole[:-2], whole + b"more", whole[:-2] + b"\0\0\0\0" + whole[-2:]):
        assert np.array_equal(to_numpy(open_picture(data)), right)
    back = codec.decode(stored(whole, 112, 80, gray=kind in GRAYS), output="numpy")
    assert np.array_equal(back, right)


@pytest.mark.parametrize("kind", JPEGS)
@settings(max_examples=12)
@given(share=st.floats(0.02, 0.999))
def test_a_jpeg_file_that_lacks_blocks_is_refused_whether_it_has_an_end_or_not(kind, share):
    whole = JPEGS[kind]
    start = whole.rindex(b"\xff\xda") + 14
    at = start + int((len(whole) - 2 - start) * share) - 4
    if whole[at - 1] == 0xFF:
        at -= 1
    short = whole[: max(start, at)]
    refused(short + b"\xff\xd9", 112, 80, "ends early", gray=kind in GRAYS)
    with pytest.raises(InputError, match="ends early"):
        open_picture(short)


def test_a_jpeg_file_that_lacks_bytes_before_a_restart_is_refused():
    whole = JPEGS["restarts"]
    at = whole.index(b"\xff\xd1", whole.rindex(b"\xff\xda"))
    for n in (1, 5, 20):
        refused(whole[: at - n] + whole[at:], 112, 80, "ends early")


def test_a_stored_jpeg_needs_its_end_marker_and_a_given_one_is_not_stored_without():
    whole = saved(Image.fromarray(photos.astronaut()[:160, :240]), "JPEG", quality=1)
    with pytest.raises(codec.CorruptError, match="without its end marker"):
        codec.decode(stored(whole[:-2], 240, 160))
    pixels = open_picture(whole[:-2])
    for source, length in ((whole, len(whole) + 24), (whole[:-2], 10**6)):
        data = codec.encode(pixels, 100, source=source)
        assert len(data) <= length and codec.decode(data).size == (240, 160)


def test_a_smaller_version_of_a_jpeg_file_can_be_asked_of_pillow():
    image = Image.open(io.BytesIO(JPEGS["baseline"]))
    image.draft("RGB", (28, 20))
    assert to_numpy(to_pixels(image)).shape == (20, 28, 3)


# ------------------------------------------------------------------ alpha


def with_alpha(payload: bytes, depth: int) -> np.ndarray:
    header = Header(48, 40, 50, b"abcd", tile=64, alpha=True, depth=depth)
    layout = format.Layout(header, [], [memoryview(payload)], {}, 0)
    return alpha.decode(layout, header.tiles[0])


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [False, True])
def test_an_alpha_tile_that_is_opaque_throughout_is_what_the_format_allows(mode, lossless):
    payload = saved(Image.fromarray(photos.photo(40, 48)).convert(mode), "WEBP", lossless=lossless)
    assert (with_alpha(payload, 8) == 255).all()
    everywhere = np.full((40, 48), 65535, np.uint16)
    assert np.array_equal(with_alpha(samples16.write_png(everywhere), 16), everywhere)


def test_an_alpha_tile_that_lacks_samples_is_corrupt():
    whole = samples16.write_png(np.random.default_rng(0).integers(0, 65536, (40, 48), dtype=np.uint16))
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at], "big")
    ended = zlib.compress(zlib.decompress(whole[at + 4 : at + 4 + length])[:-97])
    with pytest.raises(codec.CorruptError, match="the alpha of tile 0: .*ends 97 bytes before"):
        with_alpha(whole[: at - 4] + png_chunks.chunk(b"IDAT", ended) + png_chunks.IEND, 16)
    crc = at + 4 + length
    with pytest.raises(codec.CorruptError, match="the alpha of tile 0: .*checksum"):
        with_alpha(whole[:crc] + b"\0\0\0\0" + whole[crc + 4 :], 16)
    webp = saved(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 4), np.uint8)), "WEBP", lossless=True
    )
    with pytest.raises(codec.CorruptError, match="the alpha of tile 0"):
        with_alpha(webp[: len(webp) // 2], 8)

"""Reads TIFF files, and interprets their samples by TIFF 6.0 and its supplements.

Pillow is used for what it does well: decompression, JPEG and fax, Lab and YCbCr. For other samples it ignores fields
that change their meaning, so they are interpreted here. If a file has a field that changes the meaning of samples and
is not supported, the file is refused, and the message names the field. GrayResponseCurve and the statistics
MinSampleValue and MaxSampleValue are ignored, as by other readers.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, TiffImagePlugin

from ..container.format import check_size
from ..container.metadata import Metadata
from . import carried, file_colour
from .sample_bits import whole_range
from .tiff_directory import HEIGHT, PHOTOMETRIC, WIDTH, Directory, picture_directory

BITS, COMPRESSION, FILL_ORDER, SAMPLES, ROWS, PLANAR, PREDICTOR = 258, 259, 266, 277, 278, 284, 317
STRIPS, STRIP_LENGTHS, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_LENGTHS = 273, 279, 322, 323, 324, 325
COLOUR_MAP, EXTRA_SAMPLES, FORMAT, INK_SET, DOT_RANGE, INDEXED, DECODE = 320, 338, 339, 332, 336, 346, 433
ORIENTATION, XMP, ICC, IMAGE_DEPTH = 274, 700, 34675, 32997
YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, REFERENCE_BLACK_WHITE = 529, 530, 532
GRAY_INVERTED, GRAY, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
# The number of colour samples of each photometric interpretation.
COLOURS = {GRAY_INVERTED: 1, GRAY: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
NONE, LZW, JPEG = 1, 5, 7
# Compressions of bytes, independent of their meaning: none, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard.
OF_BYTES = {NONE, LZW, 8, 32946, 32773, 34925, 50000}
WITH_PREDICTOR = {LZW, 8, 32946, 34925, 50000}
FORMATS = {2: "signed integers", 3: "floating point", 5: "complex integers", 6: "complex floating point"}
MAX_SIDE = 65535  # largest side of a strip or tile, in pixels
_BAND = 1 << 22  # about how many bytes are decompressed at once


@dataclass(frozen=True)
class _Layout:
    """The description of a picture by its fields.

    Args:
        directory: its directory.
        width, height: in pixels.
        photometric, compression: numbers of TIFF.
        bits: bits of each sample, 1..16.
        colours: number of colour samples in a pixel.
        samples: number of all samples in a pixel.
        alpha: kind of the sample after the colours: "straight", "premultiplied", or "" if there is none.
        planes: number of planes: 1 if the samples of a pixel are stored together, else one for each sample.
    """

    directory: Directory
    width: int
    height: int
    photometric: int
    compression: int
    bits: int
    colours: int
    samples: int
    alpha: str
    planes: int


def _refuse(name: str, found: object, allowed: str) -> None:
    raise ValueError(f"a TIFF file with {name} {found}: {allowed}")


def _layout(d: Directory, max_pixels: int | None) -> _Layout:
    """Read and check the fields of a directory.

    Raises:
        ValueError: a field has an unsupported value; the message names it.
        LimitError: the picture is too large.
    """
    compression, photometric = d.number(COMPRESSION, NONE), d.number(PHOTOMETRIC, GRAY_INVERTED)
    if compression not in (known := TiffImagePlugin.COMPRESSION_INFO):
        _refuse("Compression", compression, f"allowed are {', '.join(map(str, known))}")
    if compression == 6:
        photometric = YCBCR  # as Pillow assumes too, because this field is often wrong in such old files
    width, height = d.number(WIDTH), d.number(HEIGHT)
    check_size(width, height, max_pixels)
    if not width or not height:
        raise ValueError(f"a TIFF file of {width}x{height} pixels: both sides must be at least 1")
    if photometric not in COLOURS:
        _refuse("PhotometricInterpretation", photometric, f"allowed are {', '.join(map(str, COLOURS))}")
    colours = COLOURS[photometric]
    samples = d.number(SAMPLES, colours if compression in (6, JPEG) else 1)
    formats, bits = set(d.numbers(FORMAT, (1,))), d.numbers(BITS, (1,))
    if wrong := formats - {1, 4}:  # 4 means undefined, and is taken for unsigned integers
        what = ", ".join(FORMATS.get(w, str(w)) for w in sorted(wrong))
        _refuse("SampleFormat", f"{sorted(wrong)[0]}, {what}", "only unsigned integers can be encoded")
    if len(set(bits[:samples])) != 1 or not 1 <= bits[0] <= 16:
        _refuse("BitsPerSample", list(bits[:samples]), "1 to 16, the same for all, are allowed")
    if samples < colours:
        _refuse("SamplesPerPixel", samples, f"PhotometricInterpretation {photometric} has {colours} colours")
    alpha = _alpha(d, photometric, samples - colours)
    if (planar := d.number(PLANAR, 1)) not in (1, 2):
        _refuse("PlanarConfiguration", planar, "1 and 2 are allowed")
    if (fill := d.number(FILL_ORDER, 1)) not in (1, 2):
        _refuse("FillOrder", fill, "1 and 2 are allowed")
    if (depth := d.number(IMAGE_DEPTH, 1)) != 1:
        _refuse("ImageDepth", depth, "1 is allowed, a flat picture")
    if compression in OF_BYTES and (predictor := d.number(PREDICTOR, 1)) != 1:
        if predictor != 2 or bits[0] not in (8, 16):
            _refuse("Predictor", f"{predictor} at {bits[0]} bits a sample", "1, and 2 at 8 or 16 bits, are allowed")
        if compression not in WITH_PREDICTOR:
            _refuse(
                "Predictor", f"2 with Compression {compression}", "only some readers look at it there; 1 is allowed"
            )
    if DECODE in d.entries:
        _refuse("a Decode array", list(d.numbers(DECODE)[:8]), "only samples of the whole range can be encoded")
    if d.number(INDEXED, 0) and photometric != PALETTE:
        _refuse("Indexed", d.number(INDEXED), f"a palette of PhotometricInterpretation {photometric} is not supported")
    if photometric == CMYK:
        _check_inks(d, bits[0])
    if photometric == YCBCR:
        _check_ycbcr(d, compression)
    planes = samples if planar == 2 and samples > 1 else 1
    return _Layout(d, width, height, photometric, compression, bits[0], colours, samples, alpha, planes)


def _alpha(d: Directory, photometric: int, extra: int) -> str:
    if extra == 0:
        return ""
    kinds = d.numbers(EXTRA_SAMPLES)
    if extra == 1 and photometric in (GRAY_INVERTED, GRAY, RGB, PALETTE):
        if kinds == (1,):
            return "premultiplied"
        # Corel Draw 10 writes 999 for alpha. For RGB, some programs write nothing and mean alpha.
        if kinds in ((2,), (999,)) or not kinds and photometric == RGB:
            return "straight"
    said = f"ExtraSamples {list(kinds)}" if kinds else "no ExtraSamples"
    colours = COLOURS[photometric]
    raise ValueError(
        f"a TIFF file of {colours + extra} samples a pixel, {colours} of them colours, with {said}: beside gray, RGB "
        "or a palette one more is allowed, if ExtraSamples says that it is alpha (1 or 2)"
    )


def _check_inks(d: Directory, bits: int) -> None:
    if bits != 8:
        _refuse("BitsPerSample", f"{bits} of CMYK", "8 are allowed, of which sRGB is made")
    if (inks := d.number(INK_SET, 1)) != 1:
        _refuse("InkSet", inks, "1 is allowed, which is CMYK")
    dots = d.numbers(DOT_RANGE, (0, 255))
    if set(dots[::2]) != {0} or set(dots[1::2]) != {255}:
        _refuse("DotRange", list(dots), "0 to 255 is allowed")


def _check_ycbcr(d: Directory, compression: int) -> None:
    if compression != NONE:
        return  # libtiff converts compressed samples to RGB, and respects all these fields
    if (some := d.numbers(YCBCR_SUBSAMPLING, (2, 2))) != (1, 1):
        _refuse("YCbCrSubSampling", list(some), "(1, 1) is allowed where nothing is compressed")
    numbers = d.numbers(YCBCR_COEFFICIENTS, (299, 1000, 587, 1000, 114, 1000))
    found = [a / b if b else 0 for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
    if len(found) != 3 or max(abs(a - b) for a, b in zip(found, (0.299, 0.587, 0.114), strict=True)) > 1e-3:
        _refuse("YCbCrCoefficients", found, "0.299, 0.587, 0.114 are allowed")
    numbers = d.numbers(REFERENCE_BLACK_WHITE, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1))
    if [a / b if b else 0 for a, b in zip(numbers[::2], numbers[1::2], strict=False)] != [0, 255, 128, 255, 128, 255]:
        _refuse("ReferenceBlackWhite", list(numbers), "[0, 255, 128, 255, 128, 255] is allowed")


def read(data: bytes, max_pixels: int | None) -> tuple[Image.Image | np.ndarray, Metadata]:
    """Read the picture of a TIFF file and its metadata. The orientation in the metadata is not applied.

    Returns:
        (picture, metadata). The picture is uint8 (up to 8 bits a sample) or uint16 [H, W, 1|2|3|4], with alpha last and
        not premultiplied, scaled to the whole range of the type. If Pillow has decoded it, or for CMYK, it is a PIL
        image.

    Raises:
        LimitError: the picture is too large.
        ValueError: the file is not supported, or is damaged; the message names the field.
        Exception: any error that Pillow raises for a damaged file.
    """
    directory = picture_directory(data)
    layout = _layout(directory, max_pixels)
    gray = layout.photometric in (GRAY_INVERTED, GRAY)
    bits = 8 if layout.photometric == PALETTE else layout.bits  # a palette's are of its indexes
    metadata = carried.of_tiff(directory, _colour(layout), gray, directory.raw(XMP), bits)
    if layout.compression not in OF_BYTES or layout.photometric in (YCBCR, LAB):
        return _by_pillow(layout), metadata
    if layout.photometric == PALETTE:
        return _of_palette(layout, _raw(layout, in_range=False)), metadata
    samples = _raw(layout, in_range=True)
    if layout.photometric == CMYK:
        picture = Image.frombuffer("CMYK", (layout.width, layout.height), samples, "raw", "CMYK", 0, 1)
        picture.info["icc_profile"] = directory.raw(ICC)
        return picture, metadata
    return _straight(samples) if layout.alpha == "premultiplied" else samples, metadata


def _colour(layout: _Layout) -> dict:
    """Return what the file says of its colour, as `carried.coloured` takes it.

    Nothing is returned for CMYK and LAB, which are converted to sRGB.
    """
    if layout.photometric in (CMYK, LAB):
        return {"srgb": 0}
    info = file_colour.of_tiff(layout.directory, layout.bits, layout.photometric == GRAY_INVERTED)
    return info | {"icc_profile": layout.directory.raw(ICC)}


def _loaded(file: io.BytesIO) -> Image.Image:
    """Load a TIFF file with Pillow's reader.

    Memory for the pixels is allocated here, because otherwise Pillow would obey Image.MAX_IMAGE_PIXELS.
    """
    picture = TiffImagePlugin.TiffImageFile(file)
    picture.im = Image.new(picture.mode, getattr(picture, "_tile_size", picture.size)).im
    picture.load()
    return picture


def check_loaded(image: TiffImagePlugin.TiffImageFile) -> None:
    """Check a picture whose pixels Pillow has already loaded.

    Raises:
        ValueError: it is not the only picture of its file; or it has more than 8 bits a sample, and Pillow has wrongly
            taken its samples for unsigned integers of 16 bits in which 0 is black.
    """
    if image.n_frames > 1:
        if image.tell() != 0 or image.fp is None:  # a closed file cannot be checked
            raise ValueError(f"image {image.tell()} of a TIFF file of {image.n_frames}, already read: give it unread")
        image.fp.seek(0)
        if picture_directory(image.fp.read()).at != image.tag_v2.offset:
            raise ValueError(f"the first of {image.n_frames} images of a TIFF file, which is not its picture")
    said = tuple(image.tag_v2.get(tag, default) for tag, default in ((BITS, 1), (FORMAT, 1), (PHOTOMETRIC, 0)))
    if image.mode.startswith("I") and said != ((16,), (1,), GRAY) and said != ((16,), 1, GRAY):
        raise ValueError(
            f"a TIFF file of BitsPerSample {said[0]}, SampleFormat {said[1]} and PhotometricInterpretation {said[2]}, "
            "whose samples Pillow has read already, as if they were others: give it as Image.open does, not loaded"
        )


def _by_pillow(layout: _Layout) -> Image.Image:
    """Load the picture of a directory with Pillow's reader, without applying the orientation.

    For this, a copy of the file is changed, so that its header points to the directory and the orientation is 1.
    """
    d = layout.directory
    if layout.bits > 8:
        raise ValueError(
            f"a TIFF file of {layout.bits} bits a sample with Compression {layout.compression} and "
            f"PhotometricInterpretation {layout.photometric}: at most 8 are allowed with these"
        )
    if layout.planes > 1 and layout.compression not in (6, JPEG):
        _refuse("PlanarConfiguration", 2, f"1 is allowed with PhotometricInterpretation {layout.photometric}")
    file = io.BytesIO(d.data)
    file.seek(8 if d.big else 4)
    file.write(struct.pack(d.order + ("Q" if d.big else "I"), d.at))
    if (entry := d.entries.get(ORIENTATION)) and entry.count == 1 and entry.kind in (3, 4):
        file.seek(entry.at)
        file.write(struct.pack(d.order + {3: "H", 4: "I"}[entry.kind], 1))
    file.seek(0)
    try:
        return _loaded(file)
    except OSError as e:
        raise ValueError(
            f"a TIFF file with Compression {layout.compression}, which is damaged, or which the libtiff of this Pillow "
            f"cannot decompress: {e}"
        ) from e


def _raw(layout: _Layout, in_range: bool) -> np.ndarray:
    """Read the samples: uint8 or uint16 [H, W, samples].

    With `in_range` they are scaled to the whole range of the type, and 0 is black; otherwise they are as in the file.
    """
    offsets, lengths, width, height = _chunks(layout)
    across, down = -(-layout.width // width), -(-layout.height // height)
    inside = 1 if layout.planes > 1 else layout.samples  # number of samples of a pixel that are stored together
    row_bytes = -(-width * inside * layout.bits // 8)
    out = np.empty((layout.height, layout.width, layout.samples), np.uint8 if layout.bits <= 8 else np.uint16)
    band = max(1, _BAND // (8 * row_bytes))  # rows; a factor of 8, as bits are unpacked to bytes
    for i, whole in _decompressed(layout, list(zip(offsets, lengths, strict=True)), across, height, row_bytes):
        plane, place = divmod(i, across * down)
        y, x = place // across * height, place % across * width
        target = out[y : y + height, x : x + width, slice(plane, plane + 1) if layout.planes > 1 else slice(None)]
        for top in range(0, len(target), band):
            some = target[top : top + band]
            values = _values(whole[top : top + len(some)], layout, width, inside)[:, : some.shape[1]]
            some[:] = _in_range(values, layout, plane) if in_range else values
    return out


def _decompressed(
    layout: _Layout, parts: list[tuple[int, int]], across: int, height: int, row_bytes: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of each strip or tile and its decompressed bytes, uint8 [rows, row_bytes].

    The predictor is not undone.

    Args:
        parts: (offset, length) of each strip or tile in the file.
        across: number of tiles in a row.
        height: rows of a strip or tile; the last strip may have fewer.
        row_bytes: bytes of a row of a strip or tile.
    """
    d, n = layout.directory, len(parts) // layout.planes
    last = height if TILE_WIDTH in d.entries else layout.height - (n - 1) * height  # rows of the last strip
    together = max(1, min(1024, _BAND // (height * row_bytes)))
    for first in range(0, len(parts), n):  # plane by plane, as only its last strip may be shorter
        for start in range(first, first + n, together):
            end = min(start + together, first + n)
            rows = (end - start - 1) * height + (last if end == first + n else height)
            made = _bytes(d, layout.compression, parts[start:end], rows, height, row_bytes)
            for i in range(start, end):
                yield i, made[(i - start) * height :][:height]


def _chunks(layout: _Layout) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """Return offsets and lengths in bytes of the strips or tiles, and their width and height in pixels.

    Raises:
        ValueError: their number does not fit the picture, or one is absent from the file.
    """
    d = layout.directory
    tiled = TILE_WIDTH in d.entries
    width = d.number(TILE_WIDTH) if tiled else layout.width
    height = d.number(TILE_HEIGHT) if tiled else min(d.number(ROWS, layout.height), layout.height)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"a TIFF file with tiles or strips of {width}x{height}: sides of 1 to {MAX_SIDE} are allowed")
    n = layout.planes * -(-layout.width // width) * -(-layout.height // height)
    # Old programs use the fields of strips for tiles, and libtiff accepts this.
    offsets = (tiled and d.numbers(TILES)) or d.numbers(STRIPS)
    lengths = (tiled and d.numbers(TILE_LENGTHS)) or d.numbers(STRIP_LENGTHS)
    if layout.compression == NONE and (not lengths or n == 1):
        lengths = (len(d.data),) * len(offsets)  # not needed, and often absent or wrong in old files
    if len(offsets) != n or len(lengths) != n:
        raise ValueError(f"a TIFF file of {min(len(offsets), len(lengths))} strips or tiles: the picture takes {n}")
    if not all(offsets) or not all(lengths):
        raise ValueError("a sparse TIFF file: a strip or tile of the picture is not in it")
    return offsets, lengths, width, height


def _bytes(
    d: Directory, compression: int, parts: list[tuple[int, int]], rows: int, height: int, row_bytes: int
) -> np.ndarray:
    """Decompress strips or tiles, and return them one below the other, uint8 [rows, row_bytes].

    Each has `height` rows, except that the last one may have fewer.
    """
    fill, each = d.number(FILL_ORDER, 1), height * row_bytes
    if compression != NONE:
        # Even incompressible data does not grow much, so that a length beyond this limit is wrong, and is cut.
        data = [d.data[at : at + min(length, 2 * each + 4096)] for at, length in parts]
        return _by_libtiff(data, compression, fill, rows, height, row_bytes)
    views = [memoryview(d.data)[at : at + min(length, each)] for at, length in parts]
    made = (views[0] if len(views) == 1 else memoryview(b"".join(views)))[: rows * row_bytes]
    if len(made) < rows * row_bytes:
        raise ValueError(f"the TIFF file ends within its samples: {rows * row_bytes - len(made)} bytes are missing")
    found = np.frombuffer(made, np.uint8).reshape(rows, row_bytes)
    return found if fill == 1 else np.packbits(np.unpackbits(found, axis=1, bitorder="little"), axis=1)


def _by_libtiff(parts: list[bytes], compression: int, fill: int, rows: int, height: int, row_bytes: int) -> np.ndarray:
    """Decompress strips or tiles with libtiff: they become strips of a new TIFF file, a gray picture of their bytes."""
    body = bytearray(b"II*\0\0\0\0\0")
    offsets = []
    for part in parts:
        offsets.append(len(body))
        body += part
    fields = {WIDTH: [row_bytes], HEIGHT: [rows], BITS: [8], COMPRESSION: [compression], PHOTOMETRIC: [GRAY]}
    fields |= {FILL_ORDER: [fill], STRIPS: offsets, SAMPLES: [1], ROWS: [height], STRIP_LENGTHS: list(map(len, parts))}
    entries = b""
    for tag, values in sorted(fields.items()):
        raw = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            raw, at = struct.pack("<I", len(body)), raw
            body += at
        entries += struct.pack("<HHI", tag, 4, len(values)) + raw
    body[4:8] = struct.pack("<I", len(body))
    body += struct.pack("<H", len(fields)) + entries + bytes(4)
    return np.asarray(_loaded(io.BytesIO(body)))


def _values(rows: np.ndarray, layout: _Layout, width: int, inside: int) -> np.ndarray:
    """Unpack the bytes of rows, uint8 [h, n], to samples uint8 or uint16 [h, width, inside], and undo the predictor."""
    d, bits, n = layout.directory, layout.bits, width * inside
    if bits == 8:
        values = rows
    elif bits == 16:
        values = np.ascontiguousarray(rows).view(d.order + "u2").astype(np.uint16)
    else:
        wide = 8 if bits < 8 else 16
        spread = np.zeros((len(rows), n, wide), np.uint8)
        spread[..., wide - bits :] = np.unpackbits(rows, axis=1)[:, : n * bits].reshape(len(rows), n, bits)
        values = np.packbits(spread, axis=2)
        values = values[..., 0] if wide == 8 else values.view(">u2")[..., 0].astype(np.uint16)
    values = values.reshape(len(rows), width, inside)
    return np.cumsum(values, axis=1, dtype=values.dtype) if d.number(PREDICTOR, 1) == 2 else values


def _in_range(values: np.ndarray, layout: _Layout, plane: int) -> np.ndarray:
    """Scale samples to the whole range of their type, and invert colours if 0 is white in the file."""
    if layout.photometric == GRAY_INVERTED and plane == 0:
        values = np.concatenate([2**layout.bits - 1 - values[..., :1], values[..., 1:]], axis=2).astype(values.dtype)
    return whole_range(values, layout.bits)


def _straight(samples: np.ndarray) -> np.ndarray:
    """Divide the colours of uint8 or uint16 [H, W, 2|4] by alpha, in place. Colours of 0 stay 0 where alpha is 0."""
    full = np.iinfo(samples.dtype).max
    for rows in samples:
        alpha = rows[:, -1:].astype(np.uint32)
        rows[:, :-1] = np.minimum(rows[:, :-1] * np.uint32(full) // np.maximum(alpha, 1), full)
    return samples


def _of_palette(layout: _Layout, samples: np.ndarray) -> np.ndarray:
    """Look up the colours of a palette: uint8 [H, W, 3|4], or uint16 if the palette really uses 16 bits."""
    table = np.array(layout.directory.numbers(COLOUR_MAP), np.uint32)
    if table.size != 3 << layout.bits or table.max(initial=0) > 65535:
        raise ValueError(f"a TIFF palette of {table.size} numbers: {3 << layout.bits}, of 16 bits, are allowed")
    table = np.ascontiguousarray(table.reshape(3, -1).T)
    high = table >> 8
    if not high.any():
        table = table.astype(np.uint8)  # some programs write 8-bit palettes; libtiff's tools accept this too
    elif ((table & 255 == 0) | (table == high * 257)).all():
        table = high.astype(np.uint8)
    else:
        table = table.astype(np.uint16)
    colours = table[samples[..., 0]]
    if not layout.alpha:
        return colours
    alpha = whole_range(samples[..., 1:], layout.bits)
    if alpha.dtype != colours.dtype or layout.alpha != "straight":
        raise ValueError("a TIFF palette of another depth than the alpha beside it, which is not supported")
    return np.concatenate([colours, alpha], axis=2)

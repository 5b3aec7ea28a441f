"""Reading and writing of PNG files with 16 bits a sample in several channels, for which Pillow has no mode.

Pillow decodes such files to 8 bits, and keeps the high byte of each sample. But it has unpackers for both byte orders,
and the one for the other order keeps the low byte. So decoding the file twice gives both bytes.
"""

import struct
import zlib

import numpy as np
from PIL import Image

from ..container.metadata import NONE, Metadata, resolution
from . import png_chunks, png_samples


def is_deep(data: bytes) -> bool:
    """Return whether a PNG file has 16 bits a sample and several channels."""
    head = png_samples.head(data)
    return head.depth == 16 and head.colour_type != png_samples.GRAY


def read(data: bytes) -> np.ndarray:
    """Read the samples of a PNG file for which `is_deep` is true: uint16 [H, W, 2|3|4] with alpha last.

    Raises:
        ValueError: samples are missing.
        Exception: whatever Pillow raises for a damaged file.
    """
    head, stream = png_samples.head(data), png_samples.sample_stream(data)

    def decoded(mode: str, rawmode: str) -> np.ndarray:
        # This runs Pillow's decoder for PNG's filters and interlacing, with the given unpacker.
        picture = Image.frombytes(mode, (head.width, head.height), stream, "zip", rawmode, int(head.interlaced))
        return np.asarray(picture)

    if head.colour_type == png_samples.GRAY_ALPHA:  # has four bytes a pixel, like 8-bit RGBA
        return decoded("RGBA", "RGBA").view(">u2").astype(np.uint16)
    mode = "RGB" if head.colour_type == png_samples.RGB else "RGBA"
    samples = decoded(mode, f"{mode};16B").astype(np.uint16)
    samples <<= 8
    samples |= decoded(mode, f"{mode};16L")
    if (key := png_samples.transparent(data)) is not None:
        opaque = (samples != np.array(key, np.uint16)).any(2, keepdims=True)
        samples = np.concatenate([samples, opaque * np.uint16(65535)], 2)
    return samples


# ------------------------------------------------------------------ writing


def _filtered(rows: np.ndarray, pixel: int) -> bytes:
    """Apply PNG's adaptive filtering to rows uint8 [H, n], and return each row with the filter's number in front.

    The filter of a row is the one whose bytes, taken as signed, have the smallest sum of magnitudes (PNG specification,
    12.7). `pixel` is the number of bytes a pixel.
    """
    up = np.zeros_like(rows)
    up[1:] = rows[:-1]
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, pixel:], corner[:, pixel:] = rows[:, :-pixel], up[:, :-pixel]
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, corner))
    choices = np.stack([rows, rows - left, rows - up, rows - ((a + b) >> 1).astype(np.uint8), rows - paeth])
    best = abs(choices.view(np.int8).astype(np.int16)).sum(2, dtype=np.int64).argmin(0)
    chosen = np.take_along_axis(choices, best[None, :, None], 0)[0]
    return np.concatenate([best.astype(np.uint8)[:, None], chosen], 1).tobytes()


def write_png(samples: np.ndarray, metadata: Metadata = NONE) -> bytes:
    """Return a PNG file of samples uint16 [H, W] (gray), or [H, W, 2|3|4] (gray with alpha, RGB, RGBA)."""
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1)
    channels = samples.shape[2]
    body, band = zlib.compressobj(6), max(1, (1 << 20) // width)
    image_data = bytearray()
    # The rows are filtered in bands, because filtering takes nine times their memory. Each band starts with the row
    # above it, which the filters need.
    for top in range(0, height, band):
        first = max(0, top - 1)
        rows = samples[first : top + band].astype(">u2").view(np.uint8).reshape(-1, width * channels * 2)
        filtered = _filtered(rows, 2 * channels)
        image_data += body.compress(filtered[(top - first) * (rows.shape[1] + 1) :])
    image_data += body.flush()
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    parts = [
        png_chunks.SIGNATURE,
        png_chunks.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)),
    ]
    if metadata.cicp:
        parts.append(png_chunks.chunk(b"cICP", bytes(metadata.cicp)))
    if metadata.icc:
        parts.append(png_chunks.chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.bits:
        parts.append(png_chunks.chunk(b"sBIT", bytes([metadata.bits] * channels)))
    if dpi := resolution(metadata):
        parts.append(
            png_chunks.chunk(b"pHYs", struct.pack(">2IB", *(round(v / png_chunks.METRES_PER_INCH) for v in dpi), 1))
        )
    if metadata.exif:
        parts.append(png_chunks.chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        parts.append(png_chunks.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    return b"".join([*parts, png_chunks.chunk(b"IDAT", bytes(image_data)), png_chunks.IEND])

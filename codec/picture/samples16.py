"""16 bits a sample where Pillow has no mode for it: reading colour from PNG and TIFF, and writing PNG.

Pillow decodes such files to 8 bits, keeping each sample's high byte. Its unpackers come in pairs, for the two orders of
bytes; the other one of the pair keeps the low byte. So a file that is decoded twice comes in whole.
"""

import io
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from ..container.metadata import NONE, Metadata, of

_NATIVE = "L" if sys.byteorder == "little" else "B"
_OTHER = {"L": "B", "B": "L"}
_RAWMODES = ("RGB;16", "RGBX;16", "RGBA;16")  # but for the order of bytes; RGBX has a fourth sample, without meaning


def _rawmode(image: Image.Image) -> str:
    """How the samples lie in a file that Pillow has opened but not read; "" once it has."""
    tile = getattr(image, "tile", None)
    args = tile[0].args if tile else None
    if not args:  # some readers, that of .aec among them, have none
        return ""
    return args if isinstance(args, str) else str(args[0])


def is_deep(image: Image.Image) -> bool:
    """Whether a picture, opened but not yet read, has more than 8 bits a sample that Pillow would drop in reading."""
    rawmode, bits = _rawmode(image), getattr(image, "tag_v2", {}).get(258, ())  # of TIFF files: BitsPerSample
    if not rawmode or image.mode in ("I;16", "I;16L", "I;16B", "I", "F"):
        return False
    of_ppm = image.format == "PPM" and not isinstance(image.tile[0].args, str) and image.tile[0].args[-1] > 255
    return rawmode.endswith((";16L", ";16B", ";16N")) or 16 in bits[1:] or of_ppm  # without the letter: 5, 6, 5 bits


def read(image: Image.Image) -> tuple[np.ndarray, Metadata]:
    """Samples, uint16 [H, W, 2|3|4], and metadata of a picture for which is_deep, as Pillow has them after loading.

    Then PNG files have told what lies behind their pixels, and TIFF files are turned upright, their orientation gone.
    Transparency of PNG files by colour becomes alpha.

    Raises:
        ValueError: another format than PNG and TIFF, or samples in an order that is not supported.
        Exception: whatever Pillow raises for a damaged file.
    """
    rawmode = _rawmode(image)
    if image.format not in ("PNG", "TIFF") or rawmode != "LA;16B" and rawmode[:-1] not in _RAWMODES:
        raise ValueError(
            f"16 bits a sample as {rawmode} in {image.format}: only PNG, and RGB and RGBA in TIFF, are read"
        )
    image.fp.seek(0)
    data = image.fp.read()

    def decoded(rawmode: str, mode: str) -> tuple[np.ndarray, Metadata]:
        # The reader itself, not Image.open, which would refuse large pictures: the size has been checked.
        with type(image)(io.BytesIO(data)) as again:
            again._mode = mode
            again.tile = [
                part._replace(args=rawmode if isinstance(part.args, str) else (rawmode, *part.args[1:]))
                for part in again.tile
            ]
            again.load()
            return np.asarray(again), of(again)

    if rawmode == "LA;16B":  # four bytes a pixel, just as RGBA
        samples, metadata = decoded("RGBA", "RGBA")
        return samples.view(">u2").astype(np.uint16), metadata
    order = _NATIVE if rawmode[-1] == "N" else rawmode[-1]
    high, metadata = decoded(rawmode[:-1] + order, image.mode)
    samples = high.astype(np.uint16)
    del high
    samples <<= 8
    samples |= decoded(rawmode[:-1] + _OTHER[order], image.mode)[0]
    if (key := image.info.get("transparency")) is not None and samples.shape[2] == 3:
        opaque = (samples != np.array(key, np.uint16)).any(2, keepdims=True)
        samples = np.concatenate([samples, opaque * np.uint16(65535)], 2)
    return samples, metadata


# ------------------------------------------------------------------ writing


def _filtered(rows: np.ndarray, pixel: int) -> bytes:
    """PNG's adaptive filtering: uint8 [H, n] of `pixel` bytes a pixel -> each row after its filter's number.

    The filter whose bytes, taken as signed, have the least sum of magnitudes (PNG specification, 12.7).
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


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


IEND = _chunk(b"IEND", b"")


def write_png(samples: np.ndarray, metadata: Metadata = NONE) -> bytes:
    """A PNG file of uint16 [H, W] (gray), or [H, W, 2|3|4] (gray and alpha, RGB, RGB and alpha)."""
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1)
    channels = samples.shape[2]
    body, band = zlib.compressobj(6), max(1, (1 << 20) // width)
    image_data = bytearray()
    for top in range(0, height, band):  # in bands, for the filters make nine times the rows; the row above starts each
        first = max(0, top - 1)
        rows = samples[first : top + band].astype(">u2").view(np.uint8).reshape(-1, width * channels * 2)
        filtered = _filtered(rows, 2 * channels)
        image_data += body.compress(filtered[(top - first) * (rows.shape[1] + 1) :])
    image_data += body.flush()
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))]
    if metadata.icc:
        parts.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.exif:
        parts.append(_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        parts.append(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    return b"".join([*parts, _chunk(b"IDAT", bytes(image_data)), IEND])

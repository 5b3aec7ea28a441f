"""The samples of a PNG file: their type, whether they are complete, and which colour is transparent.

Pillow does not check this: it fills missing samples with zeros, and ignores the checksums of samples.
"""

import struct
import zlib
from dataclasses import dataclass

from .png_chunks import chunks

GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}
# For each pass of an interlaced file: first column and row, and the steps between columns and between rows (PNG
# specification, 8.2).
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PIECE = 1 << 20  # number of bytes that are decompressed at once


@dataclass(frozen=True)
class Head:
    """The contents of the IHDR chunk."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool

    @property
    def sample_bytes(self) -> int:
        """Size of the decompressed stream of samples in bytes, including the filter's number before each row."""
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        bits, total = self.depth * CHANNELS[self.colour_type], 0
        for x, y, across, down in passes:
            columns, rows = -(-(self.width - x) // across), -(-(self.height - y) // down)
            if columns > 0 and rows > 0:
                total += rows * (1 + -(-columns * bits // 8))
        return total


def head(data: bytes) -> Head:
    """Parse the IHDR chunk of a PNG file. Raises ValueError if it is missing, or has values that PNG does not allow."""
    first = next(chunks(data), None)
    if first is None or first.name != b"IHDR" or len(first.data) != 13:
        raise ValueError("a PNG file that does not begin with its header")
    width, height, depth, colour_type, compression, filters, interlaced = struct.unpack(">IIBBBBB", first.data)
    if colour_type not in CHANNELS:
        raise ValueError(f"a PNG file of colour type {colour_type}: allowed are {', '.join(map(str, CHANNELS))}")
    if compression or filters or interlaced > 1:
        found = f"compression method {compression}, filter method {filters} and interlace method {interlaced}"
        raise ValueError(f"a PNG file of {found}: allowed are 0, 0, and 0 or 1")
    return Head(width, height, depth, colour_type, bool(interlaced))


def sample_stream(data: bytes) -> bytes:
    """Return the zlib stream of all samples.

    Raises:
        ValueError: a checksum is wrong; the stream ends before the last row; there is a second IHDR chunk, which
            readers treat differently; a palette is missing; or there is an unknown critical chunk (its name begins with
            a capital letter).
    """
    parts, headers, palette = [], 0, False
    for part in chunks(data):
        headers += part.name == b"IHDR"
        if headers > 1:
            raise ValueError("a PNG file with a second header (an IHDR chunk): one is allowed")
        if part.critical and part.name not in _CRITICAL:
            name = part.name.decode()
            raise ValueError(f"a PNG file with a chunk {name}, which may change what its samples mean")
        palette = palette or part.name == b"PLTE"
        if part.name == b"IDAT":
            if part.missing:
                raise ValueError(f"the PNG file is truncated: {part.missing} bytes of its samples are missing")
            if not part.sound:
                raise ValueError("a PNG file with samples whose checksum (that of an IDAT chunk) is wrong")
            parts.append(part.data)
        elif parts:
            break  # the IDAT chunks of one picture are consecutive
    if head(data).colour_type == PALETTE and not palette:
        raise ValueError("a PNG file whose samples are places in a palette (a PLTE chunk), which is missing")
    stream = b"".join(parts)
    missing = _missing(stream, head(data).sample_bytes)
    if missing > 0:
        raise ValueError(f"a PNG file whose stream of samples ends {missing} bytes before the last row does")
    return stream


def _missing(stream: bytes, wanted: int) -> int:
    """Return how many bytes are missing from `wanted` when a zlib stream is decompressed; 0 or less if none are."""
    inflater, rest = zlib.decompressobj(), stream
    try:
        while wanted > 0 and not inflater.eof:
            made = inflater.decompress(rest, _PIECE)
            if not made and not inflater.unconsumed_tail:
                break
            wanted, rest = wanted - len(made), inflater.unconsumed_tail
    except zlib.error as e:
        raise ValueError(f"a PNG file whose stream of samples is damaged: {e}") from e
    return wanted


def transparent(data: bytes) -> int | tuple[int, ...] | None:
    """Return the transparent colour of a gray or RGB file: a gray value or (red, green, blue); None if there is none.

    The values have the range of Pillow's samples: 0..255 for up to 8 bits a sample, and 0..65535 for 16.
    """
    found = head(data)
    if found.colour_type not in (GRAY, RGB):
        return None
    n, top = CHANNELS[found.colour_type], 2**found.depth - 1
    for part in chunks(data):
        if part.name == b"IDAT":
            break
        if part.name == b"tRNS" and len(part.data) >= 2 * n:
            # PNG specification, 11.3.2.1: the fields have 16 bits, of which only as many count as a sample has.
            key = tuple((v & top) * (255 // top if top < 255 else 1) for v in struct.unpack_from(f">{n}H", part.data))
            return key if n > 1 else key[0]
    return None

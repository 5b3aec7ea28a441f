"""What a PNG file is made of: its chunks, whether its samples are all there, and the colour it names as transparent.

Pillow fills with zeros what a stream that ends early leaves out, and does not look at the checksums of samples.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}
# Of the passes of an interlaced file: the first column and row, and the steps to the next (PNG specification, 8.2).
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PIECE = 1 << 20  # bytes that are inflated at once


@dataclass(frozen=True)
class Head:
    """The IHDR chunk."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool

    @property
    def sample_bytes(self) -> int:
        """How many bytes the stream has once it is inflated, a filter's number before each row included."""
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        bits, total = self.depth * CHANNELS[self.colour_type], 0
        for x, y, across, down in passes:
            columns, rows = -(-(self.width - x) // across), -(-(self.height - y) // down)
            if columns > 0 and rows > 0:
                total += rows * (1 + -(-columns * bits // 8))
        return total


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


IEND = chunk(b"IEND", b"")


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk, and where in the file its data begin and end; the last may reach beyond the file's end."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, at + 8 + length
        at += 12 + length


def head(data: bytes) -> Head:
    """Raises ValueError: there is none, or it is not one that PNG has."""
    kind, start, end = next(chunks(data), (b"", 0, 0))
    if kind != b"IHDR" or end - start != 13 or end > len(data):
        raise ValueError("a PNG file that does not begin with its header")
    width, height, depth, colour_type, compression, filters, interlaced = struct.unpack(">IIBBBBB", data[start:end])
    if colour_type not in CHANNELS:
        raise ValueError(f"a PNG file of colour type {colour_type}: allowed are {', '.join(map(str, CHANNELS))}")
    if compression or filters or interlaced > 1:
        found = f"compression method {compression}, filter method {filters} and interlace method {interlaced}"
        raise ValueError(f"a PNG file of {found}: allowed are 0, 0, and 0 or 1")
    return Head(width, height, depth, colour_type, bool(interlaced))


def sample_stream(data: bytes) -> bytes:
    """The zlib stream of all samples.

    Raises:
        ValueError: a checksum is wrong, the stream ends before the last row does, or there is a chunk that says by its
            capital letter that the picture cannot be shown without it, and that PNG has not.
    """
    parts = []
    for kind, start, end in chunks(data):
        if kind[:1].isupper() and kind not in _CRITICAL:
            raise ValueError(
                f"a PNG file with a chunk {kind.decode('latin-1')}, which may change what its samples mean"
            )
        if kind == b"IDAT":
            if end + 4 > len(data):
                raise ValueError(f"the PNG file is truncated: {end + 4 - len(data)} bytes of its samples are missing")
            if zlib.crc32(data[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
                raise ValueError("a PNG file with samples whose checksum (that of an IDAT chunk) is wrong")
            parts.append(data[start:end])
        elif parts:
            break  # those of one picture follow one another
    stream = b"".join(parts)
    missing = _missing(stream, head(data).sample_bytes)
    if missing > 0:
        raise ValueError(f"a PNG file whose stream of samples ends {missing} bytes before the last row does")
    return stream


def _missing(stream: bytes, wanted: int) -> int:
    """How many bytes fewer than wanted a zlib stream inflates to."""
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
    """The gray, or the red, green and blue, that a file names as transparent, on the scale that Pillow's samples have.

    That is 0..255 for up to 8 bits a sample, and 0..65535 for 16. None: no colour is named.
    """
    found = head(data)
    if found.colour_type not in (GRAY, RGB):
        return None
    n, top = CHANNELS[found.colour_type], 2**found.depth - 1
    for kind, start, end in chunks(data):
        if kind == b"IDAT":
            break
        if kind == b"tRNS" and end - start >= 2 * n and end <= len(data):
            # PNG specification, 11.3.2.1: of a field's 16 bits only the sample's own count.
            key = tuple((v & top) * (255 // top if top < 255 else 1) for v in struct.unpack_from(f">{n}H", data, start))
            return key if n > 1 else key[0]
    return None


def without_samples(data: bytes) -> bytes:
    """The file's other chunks, which Pillow then reads at once: else those behind the samples wait for these."""
    parts = [data[:8]]
    for kind, start, end in chunks(data):
        if kind not in (b"IDAT", b"IEND") and end + 4 <= len(data):
            parts.append(data[start - 8 : end + 4])
    return b"".join([*parts, IEND])

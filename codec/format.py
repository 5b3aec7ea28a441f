"""Bytes of an .aec file <-> its header and tile payloads. The only file that knows an offset; FORMAT.md is the law."""

import zlib
from dataclasses import dataclass

from .errors import CorruptError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError

MAGIC = b"\xd7AEC"
VERSION = 1
MODEL_ID_BYTES = 4
MAX_SIDE = 65535
DEFAULT_MAX_PIXELS = 2**28
MIN_TILE = 64
MAX_TILE_LOG2 = 6  # tile side at most 64 << 6 = 4096
MIN_PAYLOAD = 5  # lanes byte and one lane's state: FORMAT §3
_GRAY = 1
_RESERVED = 0b1110
_FIXED_BYTES = len(MAGIC) + 1 + MODEL_ID_BYTES + 1 + 1
_CRC_BYTES = 4


@dataclass(frozen=True)
class Tile:
    """A rectangle of the image, in pixels, that is coded by itself."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Header:
    """What an .aec file says before its payloads.

    Args:
        width, height: pixels, 1..65535.
        quality: 1..100.
        model_id: first 4 bytes of the SHA-256 of the model that wrote it.
        gray: one channel.
        tile: tile side in pixels, 64 << 0..6.
    """

    width: int
    height: int
    quality: int
    model_id: bytes
    gray: bool = False
    tile: int = 1024

    @property
    def tiles(self) -> list[Tile]:
        """Row-major."""
        return [
            Tile(x, y, min(self.tile, self.width - x), min(self.tile, self.height - y))
            for y in range(0, self.height, self.tile)
            for x in range(0, self.width, self.tile)
        ]


@dataclass(frozen=True)
class Layout:
    """A parsed and verified file: header, payloads (views into the file), bytes that are not payload."""

    header: Header
    payloads: list[memoryview]
    overhead_bytes: int


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: memoryview, at: int, what: str) -> tuple[int, int]:
    value = 0
    for i in range(5):
        if at + i >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside {what}")
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if (byte == 0 and i > 0) or value >= 2**32:
                raise CorruptError(f"{what} at byte {at} is not a number below 2^32 in its shortest form")
            return value, at + i + 1
    raise CorruptError(f"{what} at byte {at} is longer than 5 bytes")


def _header_bytes(header: Header) -> bytes:
    flags = (_GRAY if header.gray else 0) | (header.tile // MIN_TILE).bit_length() - 1 << 4
    return b"".join(
        (
            MAGIC,
            bytes([VERSION]),
            header.model_id,
            bytes([header.quality, flags]),
            _varint(header.width),
            _varint(header.height),
        )
    )


def _crc(header: bytes | memoryview, length: bytes | memoryview, payload: bytes | memoryview) -> bytes:
    return zlib.crc32(payload, zlib.crc32(length, zlib.crc32(header))).to_bytes(_CRC_BYTES, "little")


def write(header: Header, payloads: list[bytes]) -> bytes:
    """Assemble a file.

    Raises:
        ValueError: a header field is out of range, or the payloads are not one per tile, of 5 bytes or more.
        LimitError: the image is larger than a decoder accepts by default.
    """
    if not 1 <= header.quality <= 100:
        raise ValueError(f"quality {header.quality}: allowed are 1..100")
    if len(header.model_id) != MODEL_ID_BYTES:
        raise ValueError(f"model id of {len(header.model_id)} bytes: must be {MODEL_ID_BYTES}")
    if header.tile not in [MIN_TILE << i for i in range(MAX_TILE_LOG2 + 1)]:
        raise ValueError(f"tile side {header.tile}: allowed are 64, 128, .. 4096")
    if header.width < 1 or header.height < 1:
        raise ValueError(f"image of {header.width}x{header.height}: both sides must be at least 1")
    check_size(header.width, header.height)
    if len(payloads) != len(header.tiles):
        raise ValueError(f"{len(payloads)} payloads for {len(header.tiles)} tiles")
    head = _header_bytes(header)
    table = bytearray()
    for payload in payloads:
        if len(payload) < MIN_PAYLOAD:
            raise ValueError(f"payload of {len(payload)} bytes: at least {MIN_PAYLOAD} are needed")
        length = _varint(len(payload))
        table += length + _crc(head, length, payload)
    return b"".join((head, table, *payloads))


def check_size(width: int, height: int, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> None:
    """Raise LimitError unless both sides are within 65535 and the area within max_pixels (None: no limit)."""
    if max(width, height) > MAX_SIDE:
        raise LimitError(f"image of {width}x{height}: a side may have at most {MAX_SIDE} pixels")
    if max_pixels is not None and width * height > max_pixels:
        raise LimitError(f"image of {width}x{height} has {width * height} pixels: at most {max_pixels} are allowed")


def _read_header(data: memoryview, max_pixels: int | None) -> tuple[Header, int]:
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)] or len(data) == 0:
        raise NotAecError(f"not an .aec file: starts with {bytes(data[: len(MAGIC)]).hex(' ') or 'nothing'}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise UnsupportedVersionError(f"format version {data[len(MAGIC)]}: this decoder knows {VERSION}")
    if len(data) < _FIXED_BYTES:
        raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
    model_id = bytes(data[5:9])
    quality, flags = data[9], data[10]
    if flags & _RESERVED:
        raise UnsupportedVersionError(f"flags {flags:#04x} ask for a feature that this decoder does not know")
    if flags >> 4 > MAX_TILE_LOG2:
        raise CorruptError(f"tile side 64 << {flags >> 4}: at most 64 << {MAX_TILE_LOG2} is allowed")
    if not 1 <= quality <= 100:
        raise CorruptError(f"quality {quality}: must be 1..100")
    width, at = _read_varint(data, _FIXED_BYTES, "the width")
    height, at = _read_varint(data, at, "the height")
    if width == 0 or height == 0:
        raise CorruptError(f"image of {width}x{height}: both sides must be at least 1")
    check_size(width, height, max_pixels)
    return Header(width, height, quality, model_id, bool(flags & _GRAY), MIN_TILE << (flags >> 4)), at


def read(data: bytes | bytearray | memoryview, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Layout:
    """Parse and verify a whole file; allocates nothing that the file only claims to need.

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: FORMAT §2 says when.
    """
    data = memoryview(data).cast("B")
    header, header_end = _read_header(data, max_pixels)
    n = -(-header.width // header.tile) * -(-header.height // header.tile)
    if n * (1 + _CRC_BYTES) > len(data) - header_end:
        raise TruncatedError(f"file ends at byte {len(data)}: {n} tiles cannot fit")
    entries, at, total = [], header_end, 0
    for i in range(n):
        start = at
        length, at = _read_varint(data, at, f"the length of tile {i}")
        if length < MIN_PAYLOAD:
            raise CorruptError(f"tile {i} has length {length}: at least {MIN_PAYLOAD} is needed")
        if at + _CRC_BYTES > len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the tile table")
        entries.append((data[start:at], length, bytes(data[at : at + _CRC_BYTES])))
        at += _CRC_BYTES
        total += length
    if at + total > len(data):
        raise TruncatedError(f"payloads of {total} bytes exceed the remaining {len(data) - at}")
    if at + total < len(data):
        raise CorruptError(f"{len(data) - at - total} bytes after the last payload")
    head, payloads, overhead = data[:header_end], [], at
    for i, (length_bytes, length, crc) in enumerate(entries):
        payload = data[at : at + length]
        if _crc(head, length_bytes, payload) != crc:
            raise CorruptError(f"checksum of tile {i} of {n} does not match: the file was changed or damaged")
        payloads.append(payload)
        at += length
    return Layout(header, payloads, overhead)

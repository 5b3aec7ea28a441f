"""Bytes of an .aec file <-> header, metadata and payloads.

Only this module knows at which offset of the file a field lies. It implements FORMAT.md, which is normative.
"""

import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from ..errors import CorruptError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError
from .blocks import CRC_BYTES, checksum, most_unpacked, pack, unpack
from .varint import read_varint, varint

MAGIC = b"\xd7AEC"
COLLECTION_MAGIC = b"\xd7AES"  # of a collection of small pictures (COLLECTION.md), which another decoder reads
VERSION = 2
MODEL_ID_BYTES = 4
NO_MODEL = bytes(MODEL_ID_BYTES)  # the model id of a stored picture, which needs no model
MAX_SIDE = 65535
DEFAULT_MAX_PIXELS = 2**28
MIN_TILE = 64
MAX_TILE_LOG2 = 6  # tile side at most 64 << 6 = 4096
# With the smallest tile side, this many tiles hold 2^28 pixels. A longer table would cost much time and memory before
# the first tile is decoded.
MAX_TILES = 2**16
MIN_PAYLOAD = 5  # bytes: the lanes byte and the state of one lane (FORMAT §3)
MAX_ERROR = 255  # of an exact picture's samples, which the quality byte holds
METADATA = ("icc", "exif", "xmp")  # kinds of metadata, in the order of their bits and of their sections
STORED_KINDS = {"PNG": b"\x89PNG\r\n\x1a\n", "WebP": b"RIFF", "JPEG": b"\xff\xd8\xff"}  # the first bytes of each kind
MAX_SECTION = 2**26  # bytes of one block of metadata
_GRAY, _MORE, _RESERVED = 1, 8, 0b0110
_SECTIONS, _ALPHA, _DEEP, _STORED, _EXACT, _MORE_RESERVED = 1, 2, 4, 8, 64, 0b10110000
_FIXED_BYTES = len(MAGIC) + 1 + MODEL_ID_BYTES + 1 + 1


@dataclass(frozen=True)
class Tile:
    """A rectangle of the image, in pixels: usually one of the tiles that are coded separately."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Header:
    """The header of an .aec file.

    Args:
        width, height: size of the picture in pixels, 1..65535 each; the picture has at most 2^16 tiles.
        quality: 1..100; 0 for a stored picture; for an exact picture 0..255, the largest error of a colour sample, in
            levels of its own depth.
        model_id: the first 4 bytes of the SHA-256 of the model that wrote the file; zeros for a stored or an exact
            picture.
        gray: whether there is one colour channel instead of three.
        tile: tile side in pixels, 64, 128, .. 4096; 64 for a stored picture.
        alpha: whether there is an alpha channel.
        depth: bits a sample, 8 or 16.
        stored: whether the picture is stored: its only payload is a PNG, WebP or JPEG file, and no model is needed.
        exact: whether the picture is coded by the exact coder (FORMAT §9): a payload for each tile, which holds all its
            channels, and no model is needed.
    """

    width: int
    height: int
    quality: int
    model_id: bytes
    gray: bool = False
    tile: int = 1024
    alpha: bool = False
    depth: int = 8
    stored: bool = False
    exact: bool = False

    @property
    def by_network(self) -> bool:
        """Whether a network's symbols are inside, so that the quality is one and the model is needed."""
        return not (self.stored or self.exact)

    @property
    def alpha_apart(self) -> bool:
        """Whether the alpha channel has payloads of its own."""
        return self.alpha and self.by_network

    @property
    def n_tiles(self) -> int:
        return 1 if self.stored else -(-self.width // self.tile) * -(-self.height // self.tile)

    @property
    def tiles(self) -> list[Tile]:
        """The area of each payload, in row-major order. A stored picture has one, the whole picture."""
        if self.stored:
            return [Tile(0, 0, self.width, self.height)]
        return [
            Tile(x, y, min(self.tile, self.width - x), min(self.tile, self.height - y))
            for y in range(0, self.height, self.tile)
            for x in range(0, self.width, self.tile)
        ]


@dataclass(frozen=True)
class Section:
    """A block of metadata as it lies in the file: compressed by zlib if that is shorter.

    Args:
        length: bytes of the block when it is not compressed.
        packed: the bytes in the file; compressed if they are fewer than `length`.
    """

    length: int
    packed: memoryview

    def unpack(self) -> bytes:
        """Return the block. Raises CorruptError if the bytes do not decompress to a block of exactly this length."""
        return unpack(self.packed, self.length, "metadata")


@dataclass(frozen=True)
class Layout:
    """A parsed and verified file. Payloads, alphas and metadata are views into its bytes, not copies.

    Args:
        payloads: the coded colours of each tile, row-major; of an exact picture its alpha too; for a stored picture,
            its PNG, WebP or JPEG file.
        alphas: the coded alpha of each tile, empty for an opaque tile. The sequence has no items if the alpha channel
            has no payloads of its own (`Header.alpha_apart`).
        metadata: sections by name, as in METADATA.
        overhead_bytes: size of the rest of the file: the header, and the table of lengths and checksums.
    """

    header: Header
    payloads: Sequence[memoryview]
    alphas: Sequence[memoryview]
    metadata: dict[str, Section]
    overhead_bytes: int


class _Parts(Sequence[memoryview]):
    """Consecutive slices of a file. Each view is created on access, because there may be 2^17 of them.

    Args:
        data: the file.
        starts: offset at which each slice starts, and where the last one ends.
    """

    def __init__(self, data: memoryview, starts: array):
        self._data, self._starts = data, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        i = range(len(self))[i]
        return self._data[self._starts[i] : self._starts[i + 1]]


def stored_kind(payload: bytes | memoryview) -> str | None:
    """Return the kind of a stored picture, a key of STORED_KINDS, by its first bytes; None if it is not allowed."""
    return next((kind for kind, magic in STORED_KINDS.items() if payload[: len(magic)] == magic), None)


def check_size(width: int, height: int, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> None:
    """Raise LimitError if a side is above 65535 pixels, or the area above `max_pixels` (None: no limit)."""
    if max(width, height) > MAX_SIDE:
        raise LimitError(f"image of {width}x{height}: a side may have at most {MAX_SIDE} pixels")
    if max_pixels is not None and width * height > max_pixels:
        raise LimitError(f"image of {width}x{height} has {width * height} pixels: at most {max_pixels} are allowed")


# ------------------------------------------------------------------ writing


def _check_header(header: Header) -> None:
    if header.stored and header.exact:
        raise ValueError("a picture is either stored or exact")
    if header.stored:
        if header.quality != 0 or header.model_id != NO_MODEL or header.tile != MIN_TILE:
            raise ValueError(f"a stored picture has quality 0, model id 0 and tile side {MIN_TILE}")
    elif header.exact:
        if not 0 <= header.quality <= MAX_ERROR or header.model_id != NO_MODEL:
            raise ValueError(f"an exact picture has model id 0 and a largest error of 0..{MAX_ERROR}")
    elif not 1 <= header.quality <= 100:
        raise ValueError(f"quality {header.quality}: allowed are 1..100")
    if len(header.model_id) != MODEL_ID_BYTES:
        raise ValueError(f"model id of {len(header.model_id)} bytes: must be {MODEL_ID_BYTES}")
    if header.tile not in [MIN_TILE << i for i in range(MAX_TILE_LOG2 + 1)]:
        raise ValueError(f"tile side {header.tile}: allowed are 64, 128, .. 4096")
    if header.depth not in (8, 16):
        raise ValueError(f"depth {header.depth}: allowed are 8 and 16 bits a sample")
    if header.width < 1 or header.height < 1:
        raise ValueError(f"image of {header.width}x{header.height}: both sides must be at least 1")
    check_size(header.width, header.height)
    _check_tiles(header)


def _check_tiles(header: Header) -> None:
    if header.n_tiles > MAX_TILES:
        raise LimitError(f"{header.n_tiles} tiles of side {header.tile}: at most {MAX_TILES} are allowed")


def _head_bytes(header: Header, kinds: int) -> bytes:
    """Return the head of the file, which every checksum covers: the header's fields, and the kinds of metadata.

    Args:
        kinds: bit i is set if there is a block of METADATA[i].
    """
    more = (
        (_SECTIONS if kinds else 0)
        | (_ALPHA if header.alpha else 0)
        | (_DEEP if header.depth == 16 else 0)
        | (_STORED if header.stored else 0)
        | (_EXACT if header.exact else 0)
    )
    flags = (_GRAY if header.gray else 0) | (_MORE if more else 0) | (header.tile // MIN_TILE).bit_length() - 1 << 4
    return b"".join(
        (
            MAGIC,
            bytes([VERSION]),
            header.model_id,
            bytes([header.quality, flags, more] if more else [header.quality, flags]),
            varint(header.width),
            varint(header.height),
            bytes([kinds] if kinds else []),
        )
    )


def write(
    header: Header,
    payloads: Sequence[bytes],
    alphas: Sequence[bytes] = (),
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """Assemble a file.

    Args:
        payloads: one for each of `header.tiles`, of at least 5 bytes.
        alphas: one for each tile if `header.alpha_apart`, else none; empty for an opaque tile.
        metadata: blocks by name, as in METADATA, each of at least 1 byte.

    Returns:
        The bytes of an .aec file.

    Raises:
        ValueError: an argument is not as described above, or a field of the header is out of range.
        LimitError: the image, or a block of metadata, is larger than a decoder accepts by default.
    """
    _check_header(header)
    metadata = metadata or {}
    n = header.n_tiles
    if len(payloads) != n:
        raise ValueError(f"{len(payloads)} payloads for {n} tiles")
    if len(alphas) != (n if header.alpha_apart else 0):
        raise ValueError(f"{len(alphas)} alpha payloads for {n} tiles of {header}")
    if unknown := set(metadata) - set(METADATA):
        raise ValueError(f"metadata of kind {', '.join(sorted(unknown))}: allowed are {', '.join(METADATA)}")
    for payload in payloads:
        if len(payload) < MIN_PAYLOAD:
            raise ValueError(f"payload of {len(payload)} bytes: at least {MIN_PAYLOAD} are needed")
    head = _head_bytes(header, sum(1 << i for i, name in enumerate(METADATA) if name in metadata))
    table, parts, head_crc = bytearray(), [], zlib.crc32(head)

    def add(entry: bytes, data: bytes) -> None:
        nonlocal table
        table += entry + checksum(head_crc, entry, data)
        parts.append(data)

    for name in METADATA:
        if name in metadata:
            block = metadata[name]
            if not 1 <= len(block) <= MAX_SECTION:
                raise LimitError(f"{name} metadata of {len(block)} bytes: 1 to {MAX_SECTION} are allowed")
            packed = pack(block)
            add(varint(len(block)) + varint(len(packed)), packed)
    for payload in (*payloads, *alphas):
        add(varint(len(payload)), payload)
    return b"".join((head, table, *parts))


# ------------------------------------------------------------------ reading


def _read_head(data: memoryview, max_pixels: int | None) -> tuple[Header, int, int]:
    """Parse the head of a file. Returns (header, kinds of metadata as bits, offset at which the head ends)."""
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)] or len(data) == 0:
        if bytes(data[: len(COLLECTION_MAGIC)]) == COLLECTION_MAGIC:
            raise NotAecError(
                "a collection of small pictures and not a single one: aec decompress and codec.open_collection read it"
            )
        raise NotAecError(f"not an .aec file: starts with {bytes(data[: len(MAGIC)]).hex(' ') or 'nothing'}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise UnsupportedVersionError(f"format version {data[len(MAGIC)]}: this decoder knows {VERSION}")
    if len(data) < _FIXED_BYTES:
        raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
    model_id = bytes(data[5:9])
    quality, flags, more, at = data[9], data[10], 0, _FIXED_BYTES
    if flags & _RESERVED:
        raise UnsupportedVersionError(f"flags {flags:#04x} ask for a feature that this decoder does not know")
    if flags & _MORE:
        if at >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
        more, at = data[at], at + 1
        if more & _MORE_RESERVED:
            raise UnsupportedVersionError(f"flags {more:#04x} ask for a feature that this decoder does not know")
        if more == 0:
            raise CorruptError("a second byte of flags that says nothing")
    if flags >> 4 > MAX_TILE_LOG2:
        raise CorruptError(f"tile side 64 << {flags >> 4}: at most 64 << {MAX_TILE_LOG2} is allowed")
    stored = bool(more & _STORED)
    if stored and (quality != 0 or model_id != NO_MODEL or flags >> 4):
        raise CorruptError("a stored picture whose quality, model id or tile side is not 0")
    exact = bool(more & _EXACT)
    if exact and (stored or model_id != NO_MODEL):
        raise CorruptError("an exact picture that is stored too, or whose model id is not 0")
    if not stored and not exact and not 1 <= quality <= 100:
        raise CorruptError(f"quality {quality}: must be 1..100")
    width, at = read_varint(data, at, "the width")
    height, at = read_varint(data, at, "the height")
    if width == 0 or height == 0:
        raise CorruptError(f"image of {width}x{height}: both sides must be at least 1")
    check_size(width, height, max_pixels)
    kinds = 0
    if more & _SECTIONS:
        if at >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
        kinds, at = data[at], at + 1
        if not 1 <= kinds < 1 << len(METADATA):
            raise CorruptError(f"metadata of kinds {kinds:#04x}: must be 1..{(1 << len(METADATA)) - 1}")
    header = Header(
        width,
        height,
        quality,
        model_id,
        gray=bool(flags & _GRAY),
        tile=MIN_TILE << (flags >> 4),
        alpha=bool(more & _ALPHA),
        depth=16 if more & _DEEP else 8,
        stored=stored,
        exact=exact,
    )
    _check_tiles(header)
    return header, kinds, at


def read_header(data: bytes | bytearray | memoryview, max_pixels: int | None = None) -> Header:
    """Parse only the header of a file. No checksum is compared.

    Args:
        data: the beginning of the file; 23 bytes are always enough.
        max_pixels: pictures with more pixels are refused; None: only the format's own limit holds.

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: FORMAT §2 says when.
    """
    return _read_head(memoryview(data).cast("B"), max_pixels)[0]


class _Name(NamedTuple):
    """The name of an entry's field in error messages. The text is only built if there is an error.

    Args:
        what: text before the name of the entry.
        kept: kinds of metadata in the file; their entries come first.
        n_tiles: tiles of the picture.
        i: index of the entry.
    """

    what: str
    kept: list[str]
    n_tiles: int
    i: int

    def __str__(self) -> str:
        i = self.i - len(self.kept)
        if i < 0:
            return f"{self.what}{self.kept[i]} metadata"
        alpha, i = divmod(i, self.n_tiles)
        return f"{self.what}{'the alpha of ' if alpha else ''}tile {i} of {self.n_tiles}"


@dataclass(frozen=True)
class _Front:
    """The parsed head and table of a file, which precede the metadata and the payloads. No checksum was compared yet.

    The table has one entry for each block of metadata, then one for each payload, then one for each alpha payload. An
    entry holds the length of its data, and ends with a checksum.

    Args:
        head: the bytes that every checksum covers.
        kept: the kinds of metadata in the file, in the order of METADATA.
        wholes: length of each block of metadata after decompression.
        entries: offset in the file at which each entry starts, and at which the last one ends.
        starts: offset at which the data of each entry starts, and at which the last data ends. In a truncated file,
            offsets may lie beyond its end.
    """

    head: memoryview
    header: Header
    kept: list[str]
    wholes: list[int]
    entries: array
    starts: array


def _read_front(data: memoryview, max_pixels: int | None) -> _Front:
    header, kinds, at = _read_head(data, max_pixels)
    head, n = data[:at], header.n_tiles
    n_alphas = n if header.alpha_apart else 0
    if (n + n_alphas) * (1 + CRC_BYTES) > len(data) - at:
        raise TruncatedError(f"file ends at byte {len(data)}: {n} tiles cannot fit")
    kept = [name for i, name in enumerate(METADATA) if kinds >> i & 1]
    wholes, lengths, entries = [], array("Q"), array("Q", [at])
    for i in range(len(kept) + n + n_alphas):
        length, at = read_varint(data, at, _Name("the length of ", kept, n, i))
        if i < len(kept):
            wholes.append(length)
            length, at = _read_packed(data, at, length, kept[i])
        least = 1 if i < len(kept) else MIN_PAYLOAD if i < len(kept) + n else 0
        if length < least:
            raise CorruptError(f"{_Name('', kept, n, i)} has length {length}: at least {least} is needed")
        at += CRC_BYTES
        if at > len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the tile table")
        lengths.append(length)
        entries.append(at)
    return _Front(head, header, kept, wholes, entries, array("Q", accumulate(lengths, initial=at)))


def _read_packed(data: memoryview, at: int, whole: int, kind: str) -> tuple[int, int]:
    """Read and check the packed length of a block of metadata, which is `whole` bytes long when decompressed.

    Returns (packed length, offset at which that field ends).
    """
    if whole > MAX_SECTION:
        raise LimitError(f"{kind} metadata of {whole} bytes: at most {MAX_SECTION} are allowed")
    length, at = read_varint(data, at, f"the packed length of {kind} metadata")
    if length > whole:
        raise CorruptError(f"{kind} metadata of {whole} bytes, packed to {length}: must not be more")
    if length < whole and whole > most_unpacked(length):
        raise LimitError(f"{kind} metadata of {whole} bytes, packed to {length}: at most {most_unpacked(length)}")
    return length, at


def _verify(front: _Front, data: memoryview, n: int) -> None:
    """Compare the checksums of the first n entries. Raises TruncatedError or CorruptError, which name the entry."""
    head = zlib.crc32(front.head)
    for i in range(n):
        part = data[front.starts[i] : front.starts[i + 1]]
        if len(part) < front.starts[i + 1] - front.starts[i]:
            raise TruncatedError(
                f"file ends at byte {len(data)}, inside {_Name('', front.kept, front.header.n_tiles, i)}"
            )
        end = front.entries[i + 1]
        if checksum(head, data[front.entries[i] : end - CRC_BYTES], part) != data[end - CRC_BYTES : end]:
            name = _Name("", front.kept, front.header.n_tiles, i)
            raise CorruptError(f"checksum of {name} does not match: the file was changed or damaged")


def _sections(front: _Front, data: memoryview) -> dict[str, Section]:
    parts = _Parts(data, front.starts[: len(front.kept) + 1])
    return {name: Section(whole, packed) for name, whole, packed in zip(front.kept, front.wholes, parts, strict=True)}


def read_sections(data: bytes | bytearray | memoryview) -> dict[str, Section]:
    """Read the metadata sections from the beginning of a file. The checksums of the payloads are not compared.

    Args:
        data: the file, or its beginning up to the end of the metadata.

    Raises:
        TruncatedError: `data` ends too early.
        NotAecError, UnsupportedVersionError, CorruptError, LimitError: FORMAT §2 says when.
    """
    data = memoryview(data).cast("B")
    if not _read_head(data, max_pixels=None)[1]:
        return {}  # a file without metadata: its table is not needed
    front = _read_front(data, max_pixels=None)
    _verify(front, data, len(front.kept))
    return _sections(front, data)


def read(data: bytes | bytearray | memoryview, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Layout:
    """Parse a complete file and compare all its checksums.

    Memory is only allocated in proportion to the bytes that are really there, never to a size that the file claims.

    Args:
        max_pixels: pictures with more pixels are refused; None: only the format's own limit holds.

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: FORMAT §2 says when.
    """
    data = memoryview(data).cast("B")
    front = _read_front(data, max_pixels)
    total, left = front.starts[-1] - front.starts[0], len(data) - front.starts[0]
    if total > left:
        raise TruncatedError(f"payloads of {total} bytes exceed the remaining {left}")
    if total < left:
        raise CorruptError(f"{left - total} bytes after the last payload")
    _verify(front, data, len(front.starts) - 1)
    k, n = len(front.kept), front.header.n_tiles
    payloads, alphas = _Parts(data, front.starts[k : k + n + 1]), _Parts(data, front.starts[k + n :])
    return Layout(front.header, payloads, alphas, _sections(front, data), front.starts[0])

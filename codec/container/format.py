"""Bytes of an .aec file <-> header, metadata and payloads.

Only this module knows at which offset of the file a field lies. It implements FORMAT.md, which is normative.
"""

import operator
import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from ..errors import CorruptError, FormatError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError
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
METADATA = ("icc", "exif", "xmp")  # kinds of metadata that can be left out; code points go with the profile
KINDS = (*METADATA, "cicp", "bits")  # kinds of metadata in a file, in the order of their bits and of their sections
_LENGTHS = {"cicp": 4, "bits": 1}  # bytes of the blocks that always have the same length
MAX_ERROR = 255  # of an exact picture's samples, which the quality byte holds
STORED_KINDS = {"PNG": b"\x89PNG\r\n\x1a\n", "WebP": b"RIFF", "JPEG": b"\xff\xd8\xff"}  # the first bytes of each kind
MAX_SECTION = 2**26  # bytes of one block of metadata
MAX_PARTS = 16  # of a tile's payload
MAX_FIRST = 2**14 - 1  # channels of latents in the first pass; a model has at most 2^14
_GRAY, _MORE, _RESERVED = 1, 8, 0b0110
_SECTIONS, _ALPHA, _DEEP, _STORED, _MAPPED, _PARTS, _EXACT, _MORE_RESERVED = 1, 2, 4, 8, 16, 32, 64, 0b10000000
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
        mapped: whether there is a map with the quality of each block; then `quality` is what its numbers count from.
        parts: the number of parts of each tile's payload, 1..16. With more than one, the file has the first parts of
            all tiles, then the second ones and so on, so that its beginning holds a coarser picture.
        first: how many channels of the latents the first of two passes codes; 0: there is one pass. Two passes have
            parts.
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
    mapped: bool = False
    parts: int = 1
    first: int = 0
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
class Damage:
    """What is missing of a file that was read with `allow_partial`. The numbers are indexes of the layout's sequences.

    Args:
        cut: payloads of which the file has only the beginning, or nothing.
        damaged: payloads whose checksum is wrong.
        alphas: alpha payloads that are not whole.
        metadata: kinds of metadata that are not whole.
        surplus: bytes after the end of the file.
    """

    cut: frozenset[int]
    damaged: frozenset[int]
    alphas: frozenset[int]
    metadata: tuple[str, ...]
    surplus: int


@dataclass(frozen=True)
class Layout:
    """A parsed and verified file. Payloads, alphas, map and metadata are views into its bytes, not copies.

    Args:
        payloads: the coded colours, row-major: the first part of each tile, then the second part of each tile and so
            on, as many as `header.parts`. Of an exact picture its alpha too; for a stored picture, its PNG, WebP or
            JPEG file.
        alphas: the coded alpha of each tile, empty for an opaque tile. The sequence has no items if the alpha channel
            has no payloads of its own (`Header.alpha_apart`).
        metadata: sections by name, as in KINDS; without those that are not whole.
        overhead_bytes: size of the rest of the file: the header, and the table of lengths and checksums.
        quality_map: the coded map of qualities; None if there is none.
        damage: what is missing; None if the file is whole.
    """

    header: Header
    payloads: Sequence[memoryview]
    alphas: Sequence[memoryview]
    metadata: dict[str, Section]
    overhead_bytes: int
    quality_map: memoryview | None = None
    damage: Damage | None = None

    @property
    def has_sections(self) -> bool:
        """Whether the file has metadata sections, whole or not: then those inside a stored picture do not count."""
        return bool(self.metadata or self.damage and self.damage.metadata)


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


def region_of(region: tuple[int, int, int, int], header: Header) -> Tile:
    """Return the rectangle (x, y, width, height) of a picture. Raises TypeError, or ValueError if it is outside."""
    try:
        x, y, width, height = map(operator.index, region)
    except (TypeError, ValueError) as e:
        raise TypeError(f"region {region!r}: must be four ints, (x, y, width, height)") from e
    if min(x, y) < 0 or min(width, height) < 1 or x + width > header.width or y + height > header.height:
        raise ValueError(
            f"region of {width}x{height} at ({x}, {y}): must be within the picture of {header.width}x{header.height}"
        )
    return Tile(x, y, width, height)


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
    if not header.by_network and (header.mapped or header.parts != 1):
        raise ValueError("a picture that no network codes has no map of qualities, and one part")
    if not 1 <= header.parts <= MAX_PARTS:
        raise ValueError(f"{header.parts} parts of each tile: allowed are 1..{MAX_PARTS}")
    if not 0 <= header.first <= MAX_FIRST or header.first and header.parts == 1:
        raise ValueError(f"{header.first} channels in the first pass: allowed are 0..{MAX_FIRST}, and 0 without parts")
    if header.depth not in (8, 16):
        raise ValueError(f"depth {header.depth}: allowed are 8 and 16 bits a sample")
    if header.width < 1 or header.height < 1:
        raise ValueError(f"image of {header.width}x{header.height}: both sides must be at least 1")
    check_size(header.width, header.height)
    _check_tiles(header)


def _check_tiles(header: Header) -> None:
    if (n := header.n_tiles * header.parts) > MAX_TILES:
        of_parts = f" of {header.parts} parts" if header.parts > 1 else ""
        raise LimitError(
            f"{header.n_tiles} tiles of side {header.tile}{of_parts}: at most {MAX_TILES} are allowed, not {n}"
        )


def _head_bytes(header: Header, kinds: int) -> bytes:
    """Return the head of the file, which every checksum covers: the header's fields, and the kinds of metadata.

    Args:
        kinds: bit i is set if there is a block of KINDS[i].
    """
    more = (
        (_SECTIONS if kinds else 0)
        | (_ALPHA if header.alpha else 0)
        | (_DEEP if header.depth == 16 else 0)
        | (_STORED if header.stored else 0)
        | (_MAPPED if header.mapped else 0)
        | (_PARTS if header.parts > 1 else 0)
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
            bytes([header.parts]) + varint(header.first) if header.parts > 1 else b"",
        )
    )


def write(
    header: Header,
    payloads: Sequence[bytes],
    alphas: Sequence[bytes] = (),
    metadata: Mapping[str, bytes] | None = None,
    quality_map: bytes | None = None,
) -> bytes:
    """Assemble a file.

    Args:
        payloads: one for each of `header.tiles`, of at least 5 bytes; if there is more than one part of each tile, then
            the second part of each tile and so on, which may be empty.
        alphas: one for each tile if `header.alpha_apart`, else none; empty for an opaque tile.
        metadata: blocks by name, as in KINDS, each of at least 1 byte; "cicp" has 4, and "bits" 1.
        quality_map: the coded map of qualities, of at least 1 byte, if `header.mapped`, else None.

    Returns:
        The bytes of an .aec file.

    Raises:
        ValueError: an argument is not as described above, or a field of the header is out of range.
        LimitError: the image, or a block of metadata, is larger than a decoder accepts by default.
    """
    _check_header(header)
    metadata = metadata or {}
    n = header.n_tiles
    if len(payloads) != n * header.parts:
        raise ValueError(f"{len(payloads)} payloads for {n} tiles of {header.parts} parts")
    if (quality_map is not None) != header.mapped or quality_map == b"":
        raise ValueError("a map of qualities must be given if and only if the header has one, and must not be empty")
    if len(alphas) != (n if header.alpha_apart else 0):
        raise ValueError(f"{len(alphas)} alpha payloads for {n} tiles of {header}")
    if unknown := set(metadata) - set(KINDS):
        raise ValueError(f"metadata of kind {', '.join(sorted(unknown))}: allowed are {', '.join(KINDS)}")
    for name, length in _LENGTHS.items():
        if len(metadata.get(name, bytes(length))) != length:
            raise ValueError(f"{name} metadata of {len(metadata[name])} bytes: {length} are needed")
    for payload in payloads[:n]:
        if len(payload) < MIN_PAYLOAD:
            raise ValueError(f"payload of {len(payload)} bytes: at least {MIN_PAYLOAD} are needed")
    head = _head_bytes(header, sum(1 << i for i, name in enumerate(KINDS) if name in metadata))
    table, parts, head_crc = bytearray(), [], zlib.crc32(head)

    def add(entry: bytes, data: bytes) -> None:
        nonlocal table
        table += entry + checksum(head_crc, entry, data)
        parts.append(data)

    for name in KINDS:
        if name in metadata:
            block = metadata[name]
            if not 1 <= len(block) <= MAX_SECTION:
                raise LimitError(f"{name} metadata of {len(block)} bytes: 1 to {MAX_SECTION} are allowed")
            packed = pack(block)
            add(varint(len(block)) + varint(len(packed)), packed)
    if quality_map is not None:
        add(varint(len(quality_map)), quality_map)
    for payload in (*alphas, *payloads):
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
    if more & (_STORED | _EXACT) and more & (_MAPPED | _PARTS):
        raise CorruptError("a picture that no network codes, and that has a map of qualities or parts")
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
    kinds, parts, first = 0, 1, 0
    if more & _SECTIONS:
        if at >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
        kinds, at = data[at], at + 1
        if kinds >> len(KINDS):
            raise UnsupportedVersionError(f"metadata of kinds {kinds:#04x}: this decoder knows {', '.join(KINDS)}")
        if kinds == 0:
            raise CorruptError(f"metadata of kinds {kinds:#04x}: there must be one")
    if more & _PARTS:
        if at >= len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
        parts, at = data[at], at + 1
        if not 2 <= parts <= MAX_PARTS:
            raise CorruptError(f"{parts} parts of each tile: must be 2..{MAX_PARTS}")
        first, at = read_varint(data, at, "the number of channels in the first pass")
        if first > MAX_FIRST:
            raise CorruptError(f"{first} channels in the first pass: at most {MAX_FIRST} are allowed")
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
        mapped=bool(more & _MAPPED),
        parts=parts,
        first=first,
        exact=exact,
    )
    _check_tiles(header)
    return header, kinds, at


def read_header(data: bytes | bytearray | memoryview, max_pixels: int | None = None) -> Header:
    """Parse only the header of a file. No checksum is compared.

    Args:
        data: the beginning of the file; 26 bytes are always enough.
        max_pixels: pictures with more pixels are refused; None: only the format's own limit holds.

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: FORMAT §2 says when.
    """
    return _read_head(memoryview(data).cast("B"), max_pixels)[0]


@dataclass(frozen=True)
class _Table:
    """Which entries the table of a file has, in this order: metadata, the map of qualities, alphas, payloads.

    Args:
        kept: the kinds of metadata in the file, in the order of KINDS.
    """

    header: Header
    kept: list[str]

    @property
    def maps(self) -> int:
        """Return the index of the first entry behind the metadata."""
        return len(self.kept)

    @property
    def alphas(self) -> int:
        """Return the index of the first alpha payload."""
        return self.maps + self.header.mapped

    @property
    def payloads(self) -> int:
        """Return the index of the first payload of colours."""
        return self.alphas + (self.header.n_tiles if self.header.alpha_apart else 0)

    @property
    def size(self) -> int:
        return self.payloads + self.header.n_tiles * self.header.parts

    def least(self, i: int) -> int:
        """Return the number of bytes that the data of an entry has at least."""
        if i < self.alphas:
            return 1
        return MIN_PAYLOAD if self.payloads <= i < self.payloads + self.header.n_tiles else 0


class _Name(NamedTuple):
    """The name of an entry's field in error messages. The text is only built if there is an error.

    Args:
        what: text before the name of the entry.
        table: of the file.
        i: index of the entry.
    """

    what: str
    table: _Table
    i: int

    def __str__(self) -> str:
        i, table = self.i, self.table
        header = table.header
        if i < table.maps:
            return f"{self.what}{table.kept[i]} metadata"
        if i < table.alphas:
            return f"{self.what}the map of qualities"
        if i < table.payloads:
            return f"{self.what}the alpha of tile {i - table.alphas} of {header.n_tiles}"
        part, i = divmod(i - table.payloads, header.n_tiles)
        of_part = f"part {part} of {header.parts} of " if header.parts > 1 else ""
        return f"{self.what}{of_part}tile {i} of {header.n_tiles}"


@dataclass(frozen=True)
class _Front:
    """The parsed head and table of a file, which precede all data. No checksum was compared yet.

    An entry of the table holds the length of its data, and ends with a checksum.

    Args:
        head: the bytes that every checksum covers.
        table: which entries there are.
        wholes: length of each block of metadata after decompression.
        entries: offset in the file at which each entry starts, and at which the last one ends.
        starts: offset at which the data of each entry starts, and at which the last data ends. In a truncated file,
            offsets may lie beyond its end.
    """

    head: memoryview
    table: _Table
    wholes: list[int]
    entries: array
    starts: array


def _read_front(data: memoryview, max_pixels: int | None) -> _Front:
    header, kinds, at = _read_head(data, max_pixels)
    head, table = data[:at], _Table(header, [name for i, name in enumerate(KINDS) if kinds >> i & 1])
    if table.size * (1 + CRC_BYTES) > len(data) - at:
        raise TruncatedError(f"file ends at byte {len(data)}: {header.n_tiles} tiles cannot fit")
    wholes, lengths, entries = [], array("Q"), array("Q", [at])
    for i in range(table.size):
        length, at = read_varint(data, at, _Name("the length of ", table, i))
        if i < table.maps:
            wholes.append(length)
            length, at = _read_packed(data, at, length, table.kept[i])
        if length < table.least(i):
            raise CorruptError(f"{_Name('', table, i)} has length {length}: at least {table.least(i)} is needed")
        at += CRC_BYTES
        if at > len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the tile table")
        lengths.append(length)
        entries.append(at)
    return _Front(head, table, wholes, entries, array("Q", accumulate(lengths, initial=at)))


def _read_packed(data: memoryview, at: int, whole: int, kind: str) -> tuple[int, int]:
    """Read and check the packed length of a block of metadata, which is `whole` bytes long when decompressed.

    Returns (packed length, offset at which that field ends).
    """
    if kind in _LENGTHS and whole != _LENGTHS[kind]:
        raise CorruptError(f"{kind} metadata of {whole} bytes: {_LENGTHS[kind]} are needed")
    if whole > MAX_SECTION:
        raise LimitError(f"{kind} metadata of {whole} bytes: at most {MAX_SECTION} are allowed")
    length, at = read_varint(data, at, f"the packed length of {kind} metadata")
    if length > whole or kind in _LENGTHS and length != whole:
        must = "must be the same" if kind in _LENGTHS else "must not be more"
        raise CorruptError(f"{kind} metadata of {whole} bytes, packed to {length}: {must}")
    if length < whole and whole > most_unpacked(length):
        raise LimitError(f"{kind} metadata of {whole} bytes, packed to {length}: at most {most_unpacked(length)}")
    return length, at


def _faults(front: _Front, data: memoryview, n: int) -> Iterator[tuple[int, bool]]:
    """Compare the checksums of the first n entries. Yields (index, whether it is cut off) of each that is not whole."""
    head = zlib.crc32(front.head)
    for i in range(n):
        part = data[front.starts[i] : front.starts[i + 1]]
        end = front.entries[i + 1]
        if len(part) < front.starts[i + 1] - front.starts[i]:
            yield i, True
        elif checksum(head, data[front.entries[i] : end - CRC_BYTES], part) != data[end - CRC_BYTES : end]:
            yield i, False


def _fault(front: _Front, data: memoryview, i: int, is_cut: bool) -> FormatError:
    name = _Name("", front.table, i)
    if is_cut:
        return TruncatedError(f"file ends at byte {len(data)}, inside {name}")
    return CorruptError(f"checksum of {name} does not match: the file was changed or damaged")


def _verify(front: _Front, data: memoryview, n: int) -> None:
    """Compare the checksums of the first n entries. Raises TruncatedError or CorruptError, which name the entry."""
    for fault in _faults(front, data, n):
        raise _fault(front, data, *fault)


def _sections(front: _Front, data: memoryview) -> dict[str, Section]:
    kept = front.table.kept
    parts = _Parts(data, front.starts[: len(kept) + 1])
    return {name: Section(whole, packed) for name, whole, packed in zip(kept, front.wholes, parts, strict=True)}


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
    _verify(front, data, len(front.table.kept))
    return _sections(front, data)


def stages(data: bytes | bytearray | memoryview) -> list[int]:
    """Return the sizes at which the beginning of a file holds one part more of every tile; the last is the whole file.

    Args:
        data: the file, or its beginning up to the end of the table. No checksum is compared.

    Raises:
        TruncatedError: `data` ends too early.
        NotAecError, UnsupportedVersionError, CorruptError, LimitError: FORMAT §2 says when.
    """
    front = _read_front(memoryview(data).cast("B"), max_pixels=None)
    first, n = front.table.payloads, front.table.header.n_tiles
    return [front.starts[first + n * part] for part in range(1, front.table.header.parts + 1)]


def read(
    data: bytes | bytearray | memoryview,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    allow_partial: bool = False,
) -> Layout:
    """Parse a file and compare all its checksums.

    Memory is only allocated in proportion to the bytes that are really there, never to a size that the file claims.

    Args:
        max_pixels: pictures with more pixels are refused; None: only the format's own limit holds.
        allow_partial: read also a file that ends too early, is too long, or has wrong checksums. `Layout.damage` says
            what is missing. Its head, its table and its map of qualities must be there. A stored picture must be whole.

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: FORMAT §2 says when. With
            `allow_partial`, CorruptError also if checksums are wrong and none is right, as then the head is damaged,
            and TruncatedError if nothing at all of the colours is there.
    """
    data = memoryview(data).cast("B")
    front = _read_front(data, max_pixels)
    total, left = front.starts[-1] - front.starts[0], len(data) - front.starts[0]
    table, damage = front.table, None
    if not allow_partial:
        if total > left:
            raise TruncatedError(f"payloads of {total} bytes exceed the remaining {left}")
        if total < left:
            raise CorruptError(f"{left - total} bytes after the last payload")
        _verify(front, data, table.size)
    else:
        faults = dict(_faults(front, data, table.size))
        if faults or left > total:
            damage = _damage(front, data, faults, max(0, left - total))
    maps = _Parts(data, front.starts[table.maps : table.alphas + 1])
    alphas = _Parts(data, front.starts[table.alphas : table.payloads + 1])
    payloads = _Parts(data, front.starts[table.payloads :])
    sections = _sections(front, data)
    for kind in damage.metadata if damage else ():
        del sections[kind]
    quality_map = maps[0] if table.header.mapped else None
    return Layout(table.header, payloads, alphas, sections, front.starts[0], quality_map, damage)


def _damage(front: _Front, data: memoryview, faults: Mapping[int, bool], surplus: int) -> Damage:
    """Sort the entries that are not whole by what they hold.

    Args:
        faults: for each of these entries, whether it is cut off; else its checksum is wrong.
        surplus: bytes after the end.

    Raises:
        TruncatedError, CorruptError: the map of qualities, or a stored picture, is not whole; nothing of the colours is
            there; or checksums are wrong and none is right.
    """
    table = front.table
    needed = [table.maps] * table.header.mapped + [table.payloads] * table.header.stored
    for i in needed:
        if i in faults:
            raise _fault(front, data, i, faults[i])
    cut = {i for i, is_cut in faults.items() if is_cut}
    wrong = faults.keys() - cut
    if wrong and len(faults) == table.size:
        raise _fault(front, data, min(wrong), False)
    if len(data) <= front.starts[table.payloads]:
        raise TruncatedError(f"file ends at byte {len(data)}, before its colours begin")

    def numbers(found: Collection[int], first: int, end: int) -> frozenset[int]:
        return frozenset(i - first for i in found if first <= i < end)

    return Damage(
        numbers(cut, table.payloads, table.size),
        numbers(wrong, table.payloads, table.size),
        numbers(faults, table.alphas, table.payloads),
        tuple(table.kept[i] for i in sorted(faults) if i < table.maps),
        surplus,
    )

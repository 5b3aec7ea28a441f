"""Bytes of an .aec file <-> header, metadata and payloads (FORMAT §2.2 to §2.4). `header` has the head.

Only these two modules know at which offset of the file a field lies. They implement FORMAT.md, which is normative. The
names of `header` and of `layout`, which is what `read` returns, that others need are here too.
"""

import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from ..errors import CorruptError, FormatError, LimitError, TruncatedError
from .blocks import CRC_BYTES, checksum, most_unpacked, pack
from .header import (
    COLLECTION_MAGIC,
    DEFAULT_MAX_PIXELS,
    KINDS,
    MAGIC,
    MAX_ERROR,
    MAX_PARTS,
    MAX_SIDE,
    MAX_TILES,
    METADATA,
    MIN_TILE,
    MODEL_ID_BYTES,
    NO_MODEL,
    STORED_KINDS,
    VERSION,
    Header,
    Tile,
    check_header,
    check_size,
    head_bytes,
    read_head,
    read_header,
    region_of,
    stored_kind,
)
from .layout import Damage, Layout, Section
from .varint import read_varint, varint

__all__ = [
    "COLLECTION_MAGIC",
    "DEFAULT_MAX_PIXELS",
    "Damage",
    "Header",
    "KINDS",
    "Layout",
    "MAGIC",
    "MAX_ERROR",
    "MAX_PARTS",
    "MAX_SECTION",
    "MAX_SIDE",
    "MAX_TILES",
    "METADATA",
    "MIN_PAYLOAD",
    "MIN_TILE",
    "MODEL_ID_BYTES",
    "NO_MODEL",
    "STORED_KINDS",
    "Section",
    "Tile",
    "VERSION",
    "check_size",
    "read",
    "read_header",
    "read_sections",
    "region_of",
    "stages",
    "stored_kind",
    "write",
]

MIN_PAYLOAD = 5  # bytes: the lanes byte and the state of one lane (FORMAT §3)
_LENGTHS = {"cicp": 4, "bits": 1}  # bytes of the blocks that always have the same length
MAX_SECTION = 2**26  # bytes of one block of metadata


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


# ------------------------------------------------------------------ writing


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
    check_header(header)
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
    head = head_bytes(header, sum(1 << i for i, name in enumerate(KINDS) if name in metadata))
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
    header, kinds, at = read_head(data, max_pixels)
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
    if not read_head(data, max_pixels=None)[1]:
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

"""Bytes of a collection file <-> header, names and blocks. It implements COLLECTION.md, which is normative.

A collection holds many small pictures of one size. They share one header, and blocks of them share a payload, because a
header for each would be larger than its picture: a digit of 28x28 takes about ten bytes.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..errors import CorruptError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError
from .blocks import CRC_BYTES, checksum, most_unpacked, pack, unpack
from .format import COLLECTION_MAGIC
from .format import MAGIC as SINGLE_MAGIC
from .varint import read_varint, varint

MAGIC = COLLECTION_MAGIC
VERSION = 1
MODEL_ID_BYTES = 4
MAX_SIDE = 1024
MAX_SAMPLES = 2**18  # height * width * channels of one picture
MAX_COUNT = 2**24  # pictures
MAX_BLOCK = 256  # pictures that share a payload
MIN_PAYLOAD = 5  # bytes, FORMAT §3
MAX_NAMES = 2**28  # bytes of all names together
_COLOUR, _NAMED, _RESERVED = 1, 2, 0b11111100
_FIXED_BYTES = len(MAGIC) + 1 + MODEL_ID_BYTES + 1 + 1
OUTSIDE = ("", ".", "..")  # what no part of a name may be


@dataclass(frozen=True)
class Header:
    """The header of a collection.

    Args:
        count: number of pictures, 1..2^24.
        width, height: of every picture in pixels, 1..1024 each; width * height * channels is at most 2^18.
        channels: 1 (gray) or 3 (RGB).
        quality: 1..100.
        model_id: the first 4 bytes of the SHA-256 of the model that wrote the file.
        block: number of pictures that share a payload, 1..256; the last block may have fewer.
        named: whether the pictures have names.
    """

    count: int
    width: int
    height: int
    channels: int
    quality: int
    model_id: bytes
    block: int
    named: bool = False

    @property
    def n_blocks(self) -> int:
        return -(-self.count // self.block)


@dataclass(frozen=True)
class Layout:
    """A parsed file. All checksums were compared.

    Args:
        payloads: the coded latents of each block of pictures, as views into the file.
        names: of the pictures, relative paths with forward slashes; empty if they have none.
    """

    header: Header
    payloads: Sequence[memoryview]
    names: Sequence[str]


def check_name(name: str) -> None:
    """Raise ValueError unless a name is a relative path that stays inside the folder it is unpacked to."""
    if any(part in OUTSIDE for part in name.split("/")) or any(map(is_forbidden, name)):
        raise ValueError(f"name {name!r}: must be a relative path with forward slashes, without . and .. and :")


def numbered(i: int, count: int) -> str:
    """Return the name of picture i of `count` that have none: its number, with as many digits as the last one's."""
    return f"{i:0{len(str(count - 1))}d}"


def is_forbidden(character: str) -> bool:
    """Return whether no name may hold a character: backslashes, colons, control characters, and halves of surrogates.

    Halves of surrogates are what Python makes of the bytes of a file name that are not UTF-8.
    """
    return character in "\\:" or character < " " or "\x7f" <= character < "\xa0" or "\ud800" <= character < "\ue000"


def _check(header: Header) -> None:
    """Raise LimitError or ValueError if a field of the header is out of range."""
    if min(header.width, header.height, header.count) < 1:
        raise ValueError(f"{header.count} pictures of {header.width}x{header.height}: each must be at least 1")
    if max(header.width, header.height) > MAX_SIDE or header.width * header.height * header.channels > MAX_SAMPLES:
        raise LimitError(
            f"pictures of {header.width}x{header.height}: a collection's have sides of at most {MAX_SIDE}, "
            f"and at most {MAX_SAMPLES} samples"
        )
    if header.count > MAX_COUNT:
        raise LimitError(f"{header.count} pictures: a collection has at most {MAX_COUNT}")
    if not 1 <= header.quality <= 100:
        raise ValueError(f"quality {header.quality}: allowed are 1..100")
    if not 1 <= header.block <= MAX_BLOCK:
        raise ValueError(f"{header.block} pictures in a block: allowed are 1..{MAX_BLOCK}")


def check(header: Header, names: Sequence[str]) -> None:
    """Check what `write` is given before the payloads are made. Raises ValueError and LimitError as it does."""
    _check(header)
    if len(names) != (header.count if header.named else 0) or len(set(names)) < len(names):
        raise ValueError(f"{len(set(names))} different names for {header.count} pictures")
    for name in names:
        check_name(name)
    if (n_bytes := sum(len(name.encode()) + 1 for name in names) - 1) > MAX_NAMES:
        raise LimitError(f"names of {n_bytes} bytes: at most {MAX_NAMES} are allowed")


def write(header: Header, payloads: Sequence[bytes], names: Sequence[str] = ()) -> bytes:
    """Assemble a collection file.

    Args:
        payloads: one for each block, of at least 5 bytes.
        names: one for each picture if `header.named`, else none; see `check_name`. No two may be equal.

    Raises:
        ValueError: an argument is not as described, or a field of the header is out of range.
        LimitError: there are too many pictures, or they or their names are too large.
    """
    check(header, names)
    if header.channels not in (1, 3) or len(header.model_id) != MODEL_ID_BYTES:
        raise ValueError(f"{header.channels} channels, a model id of {len(header.model_id)} bytes: allowed: 1 or 3, 4")
    if len(payloads) != header.n_blocks or any(len(p) < MIN_PAYLOAD for p in payloads):
        raise ValueError(f"{len(payloads)} payloads for {header.n_blocks} blocks, each of at least {MIN_PAYLOAD} bytes")
    flags = (_COLOUR if header.channels == 3 else 0) | (_NAMED if header.named else 0)
    head = MAGIC + bytes([VERSION]) + header.model_id + bytes([header.quality, flags])
    head += varint(header.width) + varint(header.height) + varint(header.count) + varint(header.block)
    table, parts, head_crc = bytearray(), [], zlib.crc32(head)
    for entry, data in [*_packed_names(names), *((varint(len(p)), p) for p in payloads)]:
        table += entry + checksum(head_crc, entry, data)
        parts.append(data)
    return b"".join((head, table, *parts))


def _packed_names(names: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """The table's entry for the names, and their bytes in the file; nothing if there are none."""
    if not names:
        return []
    whole = "\n".join(names).encode()
    packed = pack(whole)
    return [(varint(len(whole)) + varint(len(packed)), packed)]


def is_collection(data: bytes | bytearray | memoryview) -> bool:
    """Return whether a file begins as a collection does."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def read_header(data: bytes | bytearray | memoryview) -> tuple[Header, int]:
    """Parse the header. No checksum is compared.

    Args:
        data: the beginning of the file; 28 bytes are always enough.

    Returns:
        (header, offset at which it ends)

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: COLLECTION.md says when.
    """
    data = memoryview(data).cast("B")
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)] or not data:
        if bytes(data[: len(SINGLE_MAGIC)]) == SINGLE_MAGIC:
            raise NotAecError("a single picture and not a collection: codec.open reads it")
        raise NotAecError(f"not a collection: starts with {bytes(data[: len(MAGIC)]).hex(' ') or 'nothing'}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise UnsupportedVersionError(f"collection version {data[len(MAGIC)]}: this decoder knows {VERSION}")
    if len(data) < _FIXED_BYTES:
        raise TruncatedError(f"file ends at byte {len(data)}, inside the header")
    quality, flags, at = data[9], data[10], _FIXED_BYTES
    if flags & _RESERVED:
        raise UnsupportedVersionError(f"flags {flags:#04x} ask for a feature that this decoder does not know")
    fields = []
    for what in ("the width", "the height", "the number of pictures", "the pictures in a block"):
        value, at = read_varint(data, at, what)
        fields.append(value)
    width, height, count, block = fields
    channels = 3 if flags & _COLOUR else 1
    header = Header(count, width, height, channels, quality, bytes(data[5:9]), block, bool(flags & _NAMED))
    try:
        _check(header)
    except LimitError:
        raise
    except ValueError as e:
        raise CorruptError(str(e)) from None
    return header, at


def read(data: bytes | bytearray | memoryview) -> Layout:
    """Parse a complete file and compare all its checksums.

    Memory is only allocated in proportion to the bytes that are really there, never to a number that the file claims.

    Raises:
        NotAecError, UnsupportedVersionError, TruncatedError, CorruptError, LimitError: COLLECTION.md says when.
    """
    data = memoryview(data).cast("B")
    header, at = read_header(data)
    head = zlib.crc32(data[:at])
    if header.n_blocks * (1 + CRC_BYTES) > len(data) - at:
        raise TruncatedError(f"file ends at byte {len(data)}: {header.n_blocks} blocks cannot fit")
    n_names = 0
    lengths, fields, sums = [], [], []
    for i in range(-int(header.named), header.n_blocks):
        start, what = at, "the names" if i < 0 else f"block {i} of {header.n_blocks}"
        if i < 0:
            n_names, at = read_varint(data, at, "the length of the names")
        length, at = read_varint(data, at, f"the length of {what}")
        if i >= 0 and length < MIN_PAYLOAD:
            raise CorruptError(f"{what} has length {length}: at least {MIN_PAYLOAD} is needed")
        if at + CRC_BYTES > len(data):
            raise TruncatedError(f"file ends at byte {len(data)}, inside the table of blocks")
        fields.append(data[start:at])
        sums.append(data[at : at + CRC_BYTES])
        lengths.append(length)
        at += CRC_BYTES
    total, left = sum(lengths), len(data) - at
    if total > left:
        raise TruncatedError(f"blocks of {total} bytes exceed the remaining {left}")
    if total < left:
        raise CorruptError(f"{left - total} bytes after the last block")
    ends = list(accumulate(lengths, initial=at))
    parts = [data[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    for i, (entry, part, found) in enumerate(zip(fields, parts, sums, strict=True), -int(header.named)):
        if checksum(head, entry, part) != found:
            what = "the names" if i < 0 else f"block {i} of {header.n_blocks}"
            raise CorruptError(f"checksum of {what} does not match: the file was changed or damaged")
    names = _read_names(parts.pop(0), n_names, header.count) if header.named else []
    return Layout(header, parts, names)


def _read_names(packed: memoryview, length: int, count: int) -> list[str]:
    if len(packed) > length:
        raise CorruptError(f"names of {length} bytes, packed to {len(packed)}: packing must not make them longer")
    if length > min(MAX_NAMES, most_unpacked(len(packed))):
        raise LimitError(f"names of {length} bytes, packed to {len(packed)}: that is more than is allowed")
    whole = unpack(packed, length, "the list of names")
    # The names are counted before they are made, because many short ones take far more memory than their bytes.
    if (found := whole.count(b"\n") + 1) != count:
        raise CorruptError(f"{found} names for {count} pictures")
    try:
        names = whole.decode().split("\n")
        for name in names:
            check_name(name)
    except ValueError as e:  # of which UnicodeDecodeError is one
        raise CorruptError(f"the names: {e}") from None
    if len(set(names)) < count:
        raise CorruptError(f"{len(set(names))} different names for {count} pictures")
    return names

"""Extra blocks: metadata of kinds that the format does not name, which programs that do not know them ignore.

Types that begin with a lower-case letter are reserved for FORMAT §2.5, which defines none so far. All others are free
to use.
"""

import re
from collections.abc import Mapping

from ..errors import CorruptError, TruncatedError
from .varint import read_varint, varint

_TYPE_BYTES = 4
_TYPE = re.compile(rb"[A-Za-z0-9]{4}")


def pack(blocks: Mapping[str, bytes]) -> bytes:
    """Return the bytes of the blocks in a file, in the order of `blocks`; each may be empty.

    Raises:
        TypeError: a block is not of bytes.
        ValueError: a type is not of four ASCII letters and digits.
    """
    packed = b""
    for name, block in blocks.items():
        kind = name.encode("utf-8") if isinstance(name, str) else b""
        if not _TYPE.fullmatch(kind):
            raise ValueError(f"extra block of type {name!r}: four ASCII letters and digits are needed")
        if not isinstance(block, bytes):
            raise TypeError(f"extra block {name} of type {type(block).__name__}: must be bytes")
        packed += kind + varint(len(block)) + block
    return packed


def unpack(packed: bytes) -> dict[str, bytes]:
    """Return the blocks in a file, by their types, in their order.

    Raises:
        CorruptError: a type is not as in `pack` or is there twice, or a block ends beyond the data.
    """
    data, at, found = memoryview(packed), 0, dict[str, bytes]()
    while at < len(data):
        kind, at = bytes(data[at : at + _TYPE_BYTES]), at + _TYPE_BYTES
        if not _TYPE.fullmatch(kind):
            raise CorruptError(f"extra block of type {kind!r}: four ASCII letters and digits are needed")
        if (name := kind.decode("ascii")) in found:
            raise CorruptError(f"two extra blocks of type {name}: one is allowed")
        try:
            length, at = read_varint(data, at, "")
        except (TruncatedError, CorruptError) as e:
            raise CorruptError(f"the length of extra block {name} is not as a file can have it") from e
        if length > len(data) - at:
            raise CorruptError(f"extra block {name} of {length} bytes: {len(data) - at} are left")
        found[name], at = bytes(data[at : at + length]), at + length
    return found

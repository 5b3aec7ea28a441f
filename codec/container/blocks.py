"""Blocks of bytes in both kinds of files: packed by zlib if that is shorter, and with a checksum."""

import zlib

from ..errors import CorruptError

CRC_BYTES = 4
_MOST_RATIO = 64


def checksum(head: int, entry: bytes | memoryview, data: bytes | memoryview) -> bytes:
    """Return the checksum of an entry: the CRC-32 of the head, the entry's fields and its data, one after the other.

    Args:
        head: CRC-32 of the file's head, which is computed once for all entries.
    """
    return zlib.crc32(data, zlib.crc32(entry, head)).to_bytes(CRC_BYTES, "little")


def most_unpacked(packed: int) -> int:
    """Return the largest block that `packed` compressed bytes may decompress to.

    Real blocks stay below this limit. It keeps a small file from filling the memory.
    """
    return max(1 << 20, _MOST_RATIO * packed)


def pack(block: bytes) -> bytes:
    """Compress a block, or return it as it is if that is not shorter, or too much shorter to be allowed."""
    packed = zlib.compress(block, 9)
    return packed if len(packed) < len(block) <= most_unpacked(len(packed)) else block


def unpack(packed: bytes | memoryview, length: int, what: str) -> bytes:
    """Return a block that `pack` has packed.

    Args:
        length: of the block. It equals that of `packed` if and only if the block is not compressed.
        what: the block's name in error messages.

    Raises:
        CorruptError: the bytes do not decompress to a block of exactly this length.
    """
    if len(packed) == length:
        return bytes(packed)
    stream = zlib.decompressobj()
    try:
        block = stream.decompress(packed, length + 1)
    except zlib.error as e:
        raise CorruptError(f"{what} is not a zlib stream: {e}") from e
    if len(block) != length or not stream.eof or stream.unused_data:
        raise CorruptError(f"{what} does not inflate to exactly {length} bytes")
    return block

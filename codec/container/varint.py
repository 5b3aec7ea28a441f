"""Varints: unsigned LEB128 numbers below 2^32, in their shortest form (FORMAT §1)."""

from ..errors import CorruptError, TruncatedError


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: memoryview, at: int, what: object) -> tuple[int, int]:
    """Read a varint. Returns (value, offset at which it ends).

    Args:
        data: the file.
        at: offset at which the varint starts.
        what: names the field in error messages. It becomes text only if there is an error.

    Raises:
        TruncatedError: the data ends inside the varint.
        CorruptError: it is longer than 5 bytes, not in its shortest form, or not below 2^32.
    """
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

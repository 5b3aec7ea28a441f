"""Parses the boxes of AVIF files (ISO/IEC 14496-12 and 23008-12) and of JPEG 2000 files (ISO/IEC 15444-1)."""

from collections.abc import Iterator

_J2K_START = b"\xff\x4f\xff\x51"  # the markers SOC and SIZ, with which a JPEG 2000 codestream begins
_J2K_COUNT = 40  # offset of the number of components in it; 3 bytes for each follow
_PREMULTIPLIED = 2  # a type of channel in cdef boxes
_AV1_BITS = (8, 8, 10, 12)  # by the bits high_bitdepth and twelve_bit of an av1C box


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each box."""
    at = 0
    while at + 8 <= len(data):
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(data) - at
        if size < head:
            return
        yield data[at + 4 : at + 8], data[at + head : at + size]
        at += size


def child(data: bytes, *names: bytes) -> bytes:
    for name in names:
        data = next((content for found, content in boxes(data) if found == name), b"")
    return data


def primary_properties(meta: bytes) -> list[tuple[bytes, bytes]]:
    """Return the properties (boxes) of the picture itself, not those of its thumbnail, alpha or gain map.

    See ISO/IEC 23008-12.
    """
    wide = child(meta, b"pitm")
    primary = int.from_bytes(wide[4:8] if wide[:1] != b"\0" else wide[4:6], "big")
    properties = list(boxes(child(meta, b"iprp", b"ipco")))
    found = []
    for name, table in boxes(child(meta, b"iprp")):
        if name != b"ipma":
            continue
        id_bytes, index_bytes = 2 if table[0] == 0 else 4, 1 + (table[3] & 1)
        at = 8
        for _ in range(int.from_bytes(table[4:8], "big")):
            item, count = int.from_bytes(table[at : at + id_bytes], "big"), table[at + id_bytes]
            at += id_bytes + 1
            if item == primary:
                for i in range(count):
                    index = int.from_bytes(table[at + i * index_bytes : at + (i + 1) * index_bytes], "big")
                    index &= (0x80 << 8 * (index_bytes - 1)) - 1
                    found += properties[index - 1 : index] if index else []
            at += count * index_bytes
    return found


def avif_bits(data: bytes) -> int:
    """Return the bits a sample of an AVIF file: 8, 10 or 12; 8 if its boxes are damaged.

    Raises nothing: a damaged file is refused by its reader.
    """
    meta = child(data, b"meta")[4:]
    try:
        own = primary_properties(meta)
    except LookupError:
        own = []
    # The properties of a picture that is put together of others, such as tiles, do not tell; those of its parts do.
    for properties in (own, boxes(child(meta, b"iprp", b"ipco"))):
        found = [_AV1_BITS[content[2] >> 5 & 3] for name, content in properties if name == b"av1C" and len(content) > 2]
        if found:
            return max(found)
    return 8


def jpeg2000_bits(data: bytes) -> int:
    """Return the bits a sample of a JPEG 2000 file, the largest of its components; 8 if it is damaged."""
    stream = data if data.startswith(_J2K_START) else child(data, b"jp2c")
    first = _J2K_COUNT + 2
    count = int.from_bytes(stream[_J2K_COUNT:first], "big")
    return max((1 + (size & 127) for size in stream[first : first + 3 * count : 3]), default=8)


def is_premultiplied_jpeg2000(data: bytes) -> bool:
    """Return whether a JPEG 2000 file says that its colours are premultiplied by alpha."""
    entries = child(data, b"jp2h", b"cdef")[2:]  # number, type and association of each channel, two bytes each
    return any(int.from_bytes(entries[at + 2 : at + 4], "big") == _PREMULTIPLIED for at in range(0, len(entries), 6))

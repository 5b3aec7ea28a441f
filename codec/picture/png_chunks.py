"""PNG files, chunk by chunk. Pillow gives a picture up for a profile or a text that it does not like."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

METRES_PER_INCH = 0.0254  # in which pHYs counts, and everyone else in inches
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The critical ones are told by their capital first letter; of the others transparency and frames change the picture.
_FOR_PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")


class Chunk(NamedTuple):
    """A part of a file.

    Args:
        name: of four letters; none: it is no chunk, and goes on up to the end of the file.
        data: what of it is in the file.
        whole: the same with length, name and checksum.
        missing: bytes of the whole that the file lacks, as it ends before.
    """

    name: bytes
    data: memoryview
    whole: memoryview
    missing: int

    @property
    def sound(self) -> bool:
        """Whether it is all there, and its checksum is right."""
        return not self.missing and zlib.crc32(self.whole[4:-4]) == int.from_bytes(self.whole[-4:], "big")

    @property
    def critical(self) -> bool:
        return self.name[:1].isupper()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


IEND = chunk(b"IEND", b"")


def chunks(png: bytes) -> Iterator[Chunk]:
    """Those up to IEND, also what follows the pixels."""
    view, at = memoryview(png), len(SIGNATURE)
    while at < len(png):
        name = bytes(view[at + 4 : at + 8])
        if len(name) < 4 or not name.isalpha():
            yield Chunk(b"", view[at:], view[at:], 0)
            return
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        yield Chunk(name, view[at + 8 : end - 4], view[at:end], max(0, end - len(png)))
        if name == b"IEND":
            return
        at = end


def pixels_only(png: bytes) -> bytes:
    """The same picture without what it does not need."""
    kept = [c.whole for c in chunks(png) if not c.name or c.critical or c.name in _FOR_PIXELS]
    whole = len(SIGNATURE) + sum(map(len, kept)) == len(png)
    return png if whole else b"".join([SIGNATURE, *kept])

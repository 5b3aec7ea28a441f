"""Parses PNG files into chunks, so that chunks can be removed for which Pillow would refuse the whole picture."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

METRES_PER_INCH = 0.0254  # the pHYs chunk gives dots per metre; all others count dots per inch
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that change the picture, in addition to the critical ones, whose names begin with a capital letter:
# transparency, and the frames of an animation.
_FOR_PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")


class Chunk(NamedTuple):
    """A chunk of a PNG file.

    Args:
        name: four letters; empty if this is not a chunk but all the rest of the file.
        data: its data, as far as it is in the file.
        whole: the complete chunk, with length, name and checksum, as far as it is in the file.
        missing: number of bytes that are missing because the file ends too early.
    """

    name: bytes
    data: memoryview
    whole: memoryview
    missing: int

    @property
    def sound(self) -> bool:
        """Whether the chunk is complete and its checksum is right."""
        return not self.missing and zlib.crc32(self.whole[4:-4]) == int.from_bytes(self.whole[-4:], "big")

    @property
    def critical(self) -> bool:
        return self.name[:1].isupper()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


IEND = chunk(b"IEND", b"")


def chunks(png: bytes) -> Iterator[Chunk]:
    """Yield all chunks up to IEND, including those behind the pixels."""
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
    """Return the file without the chunks that do not affect its pixels."""
    kept = [c.whole for c in chunks(png) if not c.name or c.critical or c.name in _FOR_PIXELS]
    whole = len(SIGNATURE) + sum(map(len, kept)) == len(png)
    return png if whole else b"".join([SIGNATURE, *kept])

"""Whether the scans of a JPEG file have all their blocks.

libjpeg fills with gray what a scan that ends early leaves out, and Pillow does not pass its warning on.
"""

import io
import random
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin

from .jpeg_segments import CODED, DRI, EOI, segments

_END = b"\xff\xd9"
_HUFFMAN = (0xC0, 0xC1, 0xC2)  # frames that are coded so, and that libjpeg reads: sequential, extended, progressive
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Bits that are neither all 0, with which libjpeg goes on where there are no more, nor of any pattern that blocks have.
_OTHER_BITS = bytes(random.Random(1).choices(range(128, 255), k=256))
STRIP = 256  # rows that are compared at once


@dataclass(frozen=True)
class Scans:
    """What a walk over a file's segments finds.

    Args:
        places: of each scan's blocks, the first byte and the last one and one.
        ended: there is an end marker behind the last.
        huffman: the blocks are coded as libjpeg's filling can be told from.
        restarts: the coder starts anew after so many blocks, so that scans have restart markers.
    """

    places: list[tuple[int, int]]
    ended: bool
    huffman: bool
    restarts: bool


def scans(data: bytes) -> Scans:
    places, ended, huffman, restarts = [], False, False, False
    for segment in segments(data):
        if segment.marker == CODED:
            places.append((segment.start, segment.end))
        elif segment.marker == DRI:
            restarts = any(segment.data(data)[:2])
        ended |= segment.marker == EOI
        huffman |= segment.marker in _HUFFMAN
    return Scans(places, ended, huffman, restarts)


def loaded(picture: Image.Image, data: bytes) -> Image.Image:
    """The picture, or one of the same file, its pixels read; all of them come from blocks that are there.

    An end marker that is missing is added. Then other bits are put behind each scan, and before each restart in it:
    where the blocks are all there nothing reads them, and the pixels stay.

    Args:
        picture: opened but not read.
        data: its file.

    Raises:
        ValueError: blocks are missing.
        Exception: whatever Pillow raises for a damaged file.
    """
    found = scans(data)
    if not found.ended:
        data += _END
        info, picture = picture.info, JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        picture.info = info
    picture.load()
    if not found.huffman:
        return picture
    parts, last = [], 0
    for start, end in found.places:
        parts.append(data[last:start])
        intervals = _RESTART.split(data[start:end]) if found.restarts else [data[start:end]]
        for i, interval in enumerate(intervals):
            parts += [interval, _OTHER_BITS, bytes([0xFF, 0xD0 + i % 8])]
        parts.append(_OTHER_BITS)  # behind a restart marker, for what may be missing there
        last = end
    with JpegImagePlugin.JpegImageFile(io.BytesIO(b"".join([*parts, data[last:]]))) as other:
        if other.size != picture.size:
            return picture  # a smaller version, for which someone called `draft`
        for top in range(0, picture.height, STRIP):
            box = (0, top, picture.width, min(top + STRIP, picture.height))
            if not np.array_equal(np.asarray(picture.crop(box)), np.asarray(other.crop(box))):
                raise ValueError(f"a JPEG file that ends early: blocks are missing from row {top} on, or below")
    return picture

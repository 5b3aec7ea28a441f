"""Checks that the scans of a JPEG file are complete.

If a scan ends too early, libjpeg fills the missing blocks with gray, and Pillow does not report its warning.
"""

import io
import random
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin

from .jpeg_segments import CODED, DRI, EOI, segments

_END = b"\xff\xd9"
# Kinds of frames with Huffman coding that libjpeg reads: sequential, extended and progressive.
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Random bits. libjpeg itself continues with zeros where a scan has no more bits.
_OTHER_BITS = bytes(random.Random(1).choices(range(128, 255), k=256))
STRIP = 256  # number of rows that are compared at once


@dataclass(frozen=True)
class Scans:
    """The scans of a JPEG file.

    Args:
        places: for each scan, the offset of the first byte of its coded blocks, and the offset behind the last one.
        ended: whether there is an end marker.
        huffman: whether the blocks are Huffman coded; missing blocks can only be detected then.
        restarts: whether restart intervals are defined, so that scans have restart markers.
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
    """Load the pixels of a JPEG picture, and check that no blocks are missing.

    A missing end marker is added. For the check, the file is decoded a second time with random bits behind each scan
    and before each restart marker. If all blocks are there, the decoder does not read these bits, and the pixels are
    equal.

    Args:
        picture: an opened picture whose pixels are not loaded.
        data: the bytes of its file.

    Returns:
        `picture`, or another image object of the same file; its pixels are loaded.

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
        parts.append(_OTHER_BITS)  # behind the last restart marker, in case a whole interval is missing
        last = end
    with JpegImagePlugin.JpegImageFile(io.BytesIO(b"".join([*parts, data[last:]]))) as other:
        if other.size != picture.size:
            return picture  # a reduced version, after the caller has called `draft`
        for top in range(0, picture.height, STRIP):
            box = (0, top, picture.width, min(top + STRIP, picture.height))
            if not np.array_equal(np.asarray(picture.crop(box)), np.asarray(other.crop(box))):
                raise ValueError(f"a JPEG file that ends early: blocks are missing from row {top} on, or below")
    return picture

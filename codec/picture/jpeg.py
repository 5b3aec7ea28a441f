"""The markers of a JPEG file (ITU-T T.81, annex B), and whether its scans have all their blocks.

libjpeg fills with gray what a scan that ends early leaves out, and Pillow does not pass its warning on.
"""

import io
import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin

END = b"\xff\xd9"
_SOS, _EOI, _DRI = 0xDA, 0xD9, 0xDD
_HUFFMAN = (0xC0, 0xC1, 0xC2)  # frames that are coded so, and that libjpeg reads: sequential, extended, progressive
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a segment
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # within a scan; 00 is a coded 255, and D0 to D7 restart
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Bits that are neither all 0, with which libjpeg goes on where there are no more, nor of any pattern that blocks have.
_OTHER_BITS = np.random.default_rng(1).integers(128, 255, 256, np.uint8).tobytes()
STRIP = 256  # rows that are compared at once


@dataclass(frozen=True)
class Markers:
    """What a walk over a file's markers finds.

    Args:
        scans: of each its first and its last byte and one.
        ended: there is an end marker behind the last.
        huffman: the blocks are coded as libjpeg's filling can be told from.
        restarts: the coder starts anew after so many blocks, so that scans have restart markers.
    """

    scans: list[tuple[int, int]]
    ended: bool
    huffman: bool
    restarts: bool


def markers(data: bytes) -> Markers:
    scans, huffman, restarts, at = [], False, False, 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 2 <= len(data):
        marker = data[at + 1]
        if marker == _EOI:
            return Markers(scans, True, huffman, restarts)
        if marker in (0x00, 0xFF) or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        huffman |= marker in _HUFFMAN
        if marker == _DRI:
            restarts = any(data[at + 4 : at + 6])
        at += 2 + length
        if marker == _SOS:
            found = _MARKER.search(data, at)
            scans.append((at, found.start() if found else len(data)))
            at = scans[-1][1]
    return Markers(scans, False, huffman, restarts)


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
    found = markers(data)
    if not found.ended:
        data += END
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    picture.load()
    if not found.huffman:
        return picture
    parts, last = [], 0
    for start, end in found.scans:
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

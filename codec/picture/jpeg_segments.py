"""Parses JPEG files into segments (ITU-T T.81, annex B).

This allows removing damaged segments for which Pillow would refuse the whole picture.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

APP0, APP1, APP2, COMMENT = 0xE0, 0xE1, 0xE2, 0xFE
SOS, EOI, DRI = 0xDA, 0xD9, 0xDD
CODED, DAMAGED = -1, -2  # used in place of a marker for parts of a file that have none
LONGEST = 65533  # largest size of a segment's data, in bytes
_APP14, _APP15 = 0xEE, 0xEF
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers that are not followed by a length and data
# The marker that ends a scan. Within a scan, FF 00 is a coded byte of 255, and FF D0 to FF D7 are restart markers.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")


class Segment(NamedTuple):
    """A part of a JPEG file.

    Args:
        marker: second byte of the segment's marker. It is CODED for the coded blocks behind a start of scan, and
            DAMAGED for the rest of the file if a segment has an impossible length.
        start, end: offsets in the file of the whole part, the marker included.
    """

    marker: int
    start: int
    end: int

    def data(self, jpeg: bytes) -> bytes:
        """Return the segment's data, without marker and length."""
        return jpeg[self.start + 4 : self.end]


def segments(jpeg: bytes) -> Iterator[Segment]:
    """Yield the segments of the first picture in a file, up to its end marker. Bytes between segments are skipped."""
    at = 2
    while (at := jpeg.find(b"\xff", at)) >= 0 and at + 2 <= len(jpeg):
        marker = jpeg[at + 1]
        if marker == EOI:
            yield Segment(marker, at, at + 2)
            return
        if marker in (0x00, 0xFF) or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(jpeg):
            yield Segment(DAMAGED, at, len(jpeg))
            return
        yield Segment(marker, at, end)
        at = end
        if marker == SOS:
            found = _MARKER.search(jpeg, at)
            at = found.start() if found else len(jpeg)
            yield Segment(CODED, end, at)


def pixels_only(jpeg: bytes) -> bytes:
    """Return the file without the segments that do not affect its pixels.

    The JFIF and Adobe segments (APP0 and APP14) are kept, because they affect the colours.
    """
    parts = [jpeg[:2]]
    for marker, start, end in segments(jpeg):
        if marker == SOS:
            parts.append(jpeg[start:])
            break
        needed = marker == _APP14 and end - start >= 16 or marker == APP0 and end - start >= 18
        if needed or not (APP0 <= marker <= _APP15 or marker == COMMENT):
            parts.append(jpeg[start:end])
    return b"".join(parts)

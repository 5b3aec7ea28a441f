"""JPEG files, segment by segment (ITU-T T.81, annex B). Pillow gives a picture up for some that are damaged."""

import re
from collections.abc import Iterator
from typing import NamedTuple

APP0, APP1, APP2, COMMENT = 0xE0, 0xE1, 0xE2, 0xFE
SOS, EOI, DRI = 0xDA, 0xD9, 0xDD
CODED, DAMAGED = -1, -2  # what stands for a marker where there is none
LONGEST = 65533  # bytes of a segment's data
_APP14, _APP15 = 0xEE, 0xEF
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a segment
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # within a scan; 00 is a coded 255, and D0 to D7 restart


class Segment(NamedTuple):
    """A part of a file.

    Args:
        marker: its second byte; CODED, of the blocks behind a start of scan; or DAMAGED, of all that follows where a
            segment has no length that it can have.
        start, end: of all of it, in the file.
    """

    marker: int
    start: int
    end: int

    def data(self, jpeg: bytes) -> bytes:
        """Without marker and length."""
        return jpeg[self.start + 4 : self.end]


def segments(jpeg: bytes) -> Iterator[Segment]:
    """Those up to the end marker, of the first picture of a file. What lies between segments means nothing."""
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
    """The same picture without what it does not need. JFIF and Adobe segments, APP0 and 14, tell of its colours."""
    parts = [jpeg[:2]]
    for marker, start, end in segments(jpeg):
        if marker == SOS:
            parts.append(jpeg[start:])
            break
        needed = marker == _APP14 and end - start >= 16 or marker == APP0 and end - start >= 18
        if needed or not (APP0 <= marker <= _APP15 or marker == COMMENT):
            parts.append(jpeg[start:end])
    return b"".join(parts)

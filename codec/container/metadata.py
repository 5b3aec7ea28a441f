"""Colour profile, EXIF and XMP, kept byte for byte except for the orientation; code points, bits and extra blocks."""

import re
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import CorruptError
from . import extra_blocks
from .format import METADATA, Section

# The code points of H.273: primaries, transfer characteristics, matrix, full range. They are about the samples as they
# are decoded, RGB or gray, so the matrix is always 0.
Cicp = tuple[int, int, int, int]
EXIF_PREFIX = b"Exif\0\0"
# The exceptions that Pillow raises for damaged EXIF.
DAMAGES = (SyntaxError, TypeError, ValueError, KeyError, AttributeError, OverflowError, struct.error)


@dataclass(frozen=True)
class Metadata:
    """The metadata of a picture. A block that is None or empty is absent.

    Args:
        icc: ICC profile. If the picture has code points and no profile of its own, it is one that says the same, so
            that programs without code points show the right colours. It takes no bytes in a file.
        exif: the TIFF block of EXIF, without the prefix "Exif\\0\\0" of JPEG files.
        xmp: XMP packet.
        cicp: the code points of H.273: (primaries, transfer characteristics, 0, full range), 0..255 each, the last one
            0 or 1. For example (9, 16, 0, 1) is BT.2020 with PQ. They count more than a profile that says otherwise.
        bits: how many bits of each sample are significant, less than its depth, such as 10 in samples of 16 bits; None:
            all.
        extra: other blocks, by their types of four ASCII letters and digits. A program that does not know a type
            ignores the block. `extra_blocks` tells which types are free to use.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    cicp: Cicp | None = None
    bits: int | None = None
    extra: Mapping[str, bytes] | None = field(default=None, hash=False)

    def only(self, kinds: Collection[str]) -> "Metadata":
        """Return a copy that keeps only some kinds of blocks: "icc", "exif", "xmp", "extra".

        Raises ValueError for other kinds.

        The code points go with the profile, because both describe the colours. The number of significant bits stays,
        because it belongs to the samples.
        """
        if unknown := set(kinds) - set(METADATA):
            raise ValueError(f"metadata {', '.join(sorted(unknown))}: allowed are {', '.join(METADATA)}")
        gone: dict[str, None] = dict.fromkeys(set(METADATA) - set(kinds))
        return replace(self, **gone, **({"cicp": None} if "icc" in gone else {}))

    def blocks(self) -> dict[str, bytes]:
        """Return the blocks that are present, by name, as `format.write` takes them.

        Raises ValueError if the code points, the number of bits, or the extra blocks are not as described above.
        """
        found: dict[str, bytes | None] = {"icc": self.icc, "exif": self.exif, "xmp": self.xmp}
        if self.cicp is not None:
            if len(self.cicp) != 4 or not all(0 <= v <= 255 for v in self.cicp) or _wrong(self.cicp):
                raise ValueError(f"cicp {self.cicp}: allowed are (0..255, 0..255, 0, 0|1)")
            found["cicp"] = bytes(self.cicp)
        if self.bits is not None:
            if not 1 <= self.bits <= 15:
                raise ValueError(f"{self.bits} significant bits: allowed are 1..15")
            found["bits"] = bytes([self.bits])
        if self.extra:
            found["extra"] = extra_blocks.pack(self.extra)
        return {k: v for k, v in found.items() if v}


NONE = Metadata()


def _wrong(cicp: Sequence[int]) -> bool:
    return cicp[2] != 0 or cicp[3] > 1


def unpacked(sections: Mapping[str, Section], depth: int) -> Metadata:
    """Decompress and check the metadata sections of a file whose samples have `depth` bits.

    Raises CorruptError if a block does not decompress to its length, or has values that the format does not allow.
    """
    blocks = {k: section.unpack() for k, section in sections.items()}
    cicp, bits, extra = (blocks.pop(kind, None) for kind in ("cicp", "bits", "extra"))
    if cicp and _wrong(cicp):
        raise CorruptError(f"code points of matrix {cicp[2]} and range {cicp[3]}: allowed are 0, and 0 or 1")
    if bits and not 1 <= bits[0] < depth:
        raise CorruptError(f"{bits[0]} significant bits in samples of {depth}: allowed are 1..{depth - 1}")
    points = (cicp[0], cicp[1], cicp[2], cicp[3]) if cicp else None
    others = extra_blocks.unpack(extra) if extra else None
    return Metadata(**blocks, cicp=points, bits=bits[0] if bits else None, extra=others)


# Byte order of a TIFF block, by its first four bytes.
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
_ORIENTATION = 0x0112
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_SHORT, _RATIONAL = 3, 5  # types of values in TIFF
_INCH, _CENTIMETRE = 2, 3
_CM_PER_INCH = 2.54
# Dots per inch that programs write if they do not know the resolution: the default of EXIF, and of Windows and CSS.
_UNSAID = (72, 96)
_LEAST_DPI, _MOST_DPI = 1, 65535  # the range that JPEG files can express
# Tags of the thumbnail's data, which is either a JPEG file or one strip of uncompressed samples.
_JPEG_START, _JPEG_LENGTH = 0x0201, 0x0202
_STRIP_START, _STRIP_LENGTH = 0x0111, 0x0117
# Size in bytes of the types BYTE, SHORT and LONG. The standard stores orientations as SHORT, but files use all three.
_SIZES = {1: 1, 3: 2, 4: 4}
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([2-8])(?=\s*["'<])""")


def as_info(metadata: Metadata) -> dict[str, Any]:
    """Return the metadata as Pillow's readers put it into `image.info`, and `cicp` and `significant_bits` beside it."""
    info = {
        "icc_profile": metadata.icc,
        "exif": metadata.exif and EXIF_PREFIX + metadata.exif,
        "xmp": metadata.xmp,
        "cicp": metadata.cicp,
        "significant_bits": metadata.bits,
    }
    return {k: v for k, v in (info | {"dpi": resolution(metadata)}).items() if v}


def resolution(metadata: Metadata) -> tuple[float, float] | None:
    """Return the resolution in EXIF, (horizontal, vertical) in dots per inch; None: absent, or outside 1..65535."""
    found = _parsed(metadata.exif) if metadata.exif else None
    return found.resolution if found else None


def exif_of_resolution(dpi: Any) -> bytes | None:
    """Make an EXIF block that holds only a resolution, for pictures whose resolution comes from another field.

    Args:
        dpi: (horizontal, vertical) in dots per inch, or anything else that Pillow puts into `info["dpi"]`.

    Returns:
        The TIFF block; None if `dpi` is not two numbers in 1..65535, or is a default that means nothing, 72 or 96.
    """
    if isinstance(dpi, (str, bytes)):
        return None
    try:
        across, down = (round(float(value), 2) for value in dpi)
        if not _LEAST_DPI <= min(across, down) <= max(across, down) <= _MOST_DPI:
            return None
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    if round(across) == round(down) and round(across) in _UNSAID:
        return None
    from fractions import Fraction

    rationals = [Fraction(value).limit_denominator(100) for value in (across, down)]
    entries = [(_X_RESOLUTION, _RATIONAL, 50), (_Y_RESOLUTION, _RATIONAL, 58), (_RESOLUTION_UNIT, _SHORT, _INCH)]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    values = b"".join(struct.pack("<II", value.numerator, value.denominator) for value in rationals)
    return head + directory + bytes(4) + values


@dataclass(frozen=True)
class _Exif:
    """What was found in a TIFF block, and where. Damaged fields count as absent.

    Args:
        order: byte order of the block.
        resolution: (horizontal, vertical) in dots per inch; None if absent.
        orientations: (offset, length) of the value of each orientation tag; readers use the first one.
        link: offset of the four-byte pointer to the second directory, which describes the thumbnail; None if there is
            no such directory.
        thumbnail: ranges of bytes (start, end) of that directory and of the thumbnail's data.
    """

    order: Literal["little", "big"]
    resolution: tuple[float, float] | None
    orientations: list[tuple[int, int]]
    link: int | None
    thumbnail: list[tuple[int, int]]


def _parsed(exif: bytes) -> _Exif | None:
    order = _ORDERS.get(exif[:4])
    if order is None:
        return None

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)

    def entries(start: int) -> range:
        return range(start + 2, min(start + 2 + 12 * number(start, 2), len(exif) - 11), 12)

    def value(at: int) -> int | None:
        """Return the value of the entry at this offset; None if it is not one BYTE, SHORT or LONG."""
        size = _SIZES.get(number(at + 2, 2))
        return number(at + 8, size) if size and number(at + 4, 4) == 1 else None

    def rational(at: int) -> float:
        """Return the value of the entry at this offset; 0 if it is not one RATIONAL, or is damaged."""
        place = number(at + 8, 4)
        if number(at + 2, 2) != _RATIONAL or number(at + 4, 4) != 1 or place + 8 > len(exif):
            return 0
        denominator = number(place + 4, 4)
        return number(place, 4) / denominator if denominator else 0

    first = number(4, 4)
    own = {number(at, 2): at for at in entries(first)}
    across, down = (rational(own[tag]) if tag in own else 0 for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    unit = value(own[_RESOLUTION_UNIT]) if _RESOLUTION_UNIT in own else _INCH
    scale = {_INCH: 1, _CENTIMETRE: _CM_PER_INCH}.get(unit or 0, 0)
    found_dpi = (across * scale, down * scale)
    dpi = found_dpi if _LEAST_DPI <= min(found_dpi) <= max(found_dpi) <= _MOST_DPI else None
    found = [
        (at + 8, _SIZES[number(at + 2, 2)])
        for at in entries(first)
        if number(at, 2) == _ORIENTATION and value(at) is not None
    ]
    link = first + 2 + 12 * number(first, 2)
    second = number(link, 4) if link + 4 <= len(exif) else 0
    if not 8 <= second < len(exif):
        return _Exif(order, dpi, found, None, [])
    tags = {number(at, 2): value(at) for at in entries(second)}
    ranges = [(second, second + 2 + 12 * len(entries(second)) + 4)]
    for start, length in ((_JPEG_START, _JPEG_LENGTH), (_STRIP_START, _STRIP_LENGTH)):
        if (at := tags.get(start)) and (size := tags.get(length)):
            ranges.append((at, at + size))
    # A damaged block may name ranges that overlap the header or the first directory. Such ranges are left out.
    apart = [(start, min(end, len(exif))) for start, end in ranges if start >= link + 4 or 8 <= start < end <= first]
    return _Exif(order, dpi, found, link, [(start, end) for start, end in apart if start < end])


def orientation(metadata: Metadata) -> int:
    """Return the orientation, 1..8, from EXIF or, if EXIF has none, from XMP. It is 1 if absent or damaged."""
    if metadata.exif and (found := _parsed(metadata.exif)) and found.orientations:
        at, size = found.orientations[0]
        value = int.from_bytes(metadata.exif[at : at + size], found.order)
        return value if 1 <= value <= 8 else 1
    match = _XMP_ORIENTATION.search(metadata.xmp or b"")
    return int(match[2]) if match else 1


def reset_orientation(metadata: Metadata) -> Metadata:
    """Return the metadata with the orientation set to 1, in EXIF and XMP, for pixels that were already rotated.

    If the orientation was not 1, the thumbnail in EXIF is removed, because it is not rotated. Nothing else changes.
    """
    exif, xmp = metadata.exif, metadata.xmp
    if exif and (found := _parsed(exif)):
        block = bytearray(exif)
        if orientation(metadata) != 1 and found.link is not None:
            block[found.link : found.link + 4] = bytes(4)
            left = len(block)
            for start, end in sorted(found.thumbnail, reverse=True):
                block[start:end] = bytes(end - start)
                left = start if end == left else left
            del block[left:]
        for at, size in found.orientations:
            block[at : at + size] = (1).to_bytes(size, found.order)
        exif = bytes(block)
    if xmp:
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    return replace(metadata, exif=exif, xmp=xmp)

"""Colour profile, EXIF and XMP: blocks that travel with a picture byte for byte."""

import io
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from .format import MAX_SECTION, METADATA, Section

if TYPE_CHECKING:
    from PIL import Image

EXIF_PREFIX = b"Exif\0\0"
# What Pillow says of bad EXIF.
DAMAGES = (SyntaxError, TypeError, ValueError, KeyError, AttributeError, OverflowError, struct.error)


@dataclass(frozen=True)
class Metadata:
    """None, or an empty block: there is none.

    Args:
        icc: ICC profile.
        exif: TIFF block, without the "Exif\\0\\0" that JPEG files put before it.
        xmp: XMP packet.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    def only(self, kinds: Collection[str]) -> "Metadata":
        """What is of the kinds "icc", "exif", "xmp". Raises ValueError for another word."""
        if unknown := set(kinds) - set(METADATA):
            raise ValueError(f"metadata {', '.join(sorted(unknown))}: allowed are {', '.join(METADATA)}")
        return Metadata(**{k: v for k, v in asdict(self).items() if k in kinds})

    def blocks(self) -> dict[str, bytes]:
        """What there is, by name, as `format.write` takes it."""
        return {k: v for k, v in asdict(self).items() if v}


NONE = Metadata()


def unpacked(sections: Mapping[str, Section]) -> Metadata:
    """What a file holds. Raises CorruptError for a block that does not inflate to its length."""
    return Metadata(**{k: section.unpack() for k, section in sections.items()})


# Of a TIFF file, where EXIF is what the file itself is made of: the tags that tell of the picture, not of the file.
_TIFF_TAGS = (0x010E, 0x010F, 0x0110, 0x0112, 0x0131, 0x0132, 0x013B, 0x8298)
_TIFF_BLOCKS = (0x8769, 0x8825)  # of the camera's settings, and of the place
_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([2-8])(?=\s*["'<])""")


def _tiff_exif(found: "Image.Exif") -> bytes | None:
    from PIL import Image

    kept = Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in found:
            kept[tag] = found[tag]
    for tag in _TIFF_BLOCKS:
        if block := found.get_ifd(tag):
            kept[tag] = dict(block)
    return kept.tobytes().removeprefix(EXIF_PREFIX) if len(kept) else None


def of_tiff(data: bytes, at: int, order: str, big: bool, icc: bytes, xmp: bytes) -> Metadata:
    """What describes the picture, its camera and its place in a directory of a TIFF file, as Pillow writes it anew.

    Args:
        data: the file.
        at: where the directory lies.
        order: of the bytes of its numbers, "<" or ">".
        big: it is a BigTIFF file.
        icc, xmp: the blocks, empty if there are none. Those longer than 2^26 bytes are left out.
    """
    from PIL import Image

    found = Image.Exif()
    found.endian, found.bigtiff = order, big
    try:
        found.load_from_fp(io.BytesIO(data), at)
        exif = _tiff_exif(found)
    except DAMAGES:
        exif = None
    return _within_limits({"icc": icc, "exif": exif, "xmp": xmp})


def _within_limits(blocks: Mapping[str, bytes | None]) -> Metadata:
    return Metadata(**{k: v for k, v in blocks.items() if isinstance(v, bytes) and 0 < len(v) <= MAX_SECTION})


def of(image: "Image.Image") -> Metadata:
    """What Pillow knows of a picture; EXIF as it is in the file, orientation included.

    A TIFF file's EXIF is the file itself: of that there is what `of_tiff` finds. A block longer than 2^26 bytes is left
    out, and so is the profile of CMYK and LAB, which has had its use when they become sRGB.
    """
    from PIL import Image

    exif = image.info.get("exif")
    if not exif and (image.format == "TIFF" or "Raw profile type exif" in image.info):
        try:
            exif = _tiff_exif(Image.Image.getexif(image))  # PNG's own decodes the pixels first
        except DAMAGES:
            exif = None
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    exif = exif.removeprefix(EXIF_PREFIX) if isinstance(exif, bytes) else None
    icc = None if image.mode in ("CMYK", "LAB") else image.info.get("icc_profile")
    return _within_limits({"icc": icc, "exif": exif, "xmp": xmp})


def as_info(metadata: Metadata) -> dict[str, bytes]:
    """What Pillow's readers put into `image.info`, and its savers take as arguments."""
    info = {"icc_profile": metadata.icc, "exif": metadata.exif and EXIF_PREFIX + metadata.exif, "xmp": metadata.xmp}
    return {k: v for k, v in info.items() if v}


def _orientation_at(exif: bytes) -> tuple[int, Literal["little", "big"]] | None:
    """Offset and order of the two bytes that hold the orientation; None: there are none, or the block is damaged."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if order is None:
        return None

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)

    start = number(4, 4)
    for at in range(start + 2, min(start + 2 + 12 * number(start, 2), len(exif) - 11), 12):
        if number(at, 2) == _ORIENTATION and (number(at + 2, 2), number(at + 4, 4)) == (3, 1):  # one SHORT
            return at + 8, order
    return None


def orientation(metadata: Metadata) -> int:
    """1..8 as EXIF or, without it, XMP has it; 1 where neither says, or what says so is damaged."""
    if metadata.exif and (found := _orientation_at(metadata.exif)):
        value = int.from_bytes(metadata.exif[found[0] : found[0] + 2], found[1])
        return value if 1 <= value <= 8 else 1
    match = _XMP_ORIENTATION.search(metadata.xmp or b"")
    return int(match[2]) if match else 1


def reset_orientation(metadata: Metadata) -> Metadata:
    """The same for pixels to which the orientation was applied: set to 1 in EXIF and XMP, nothing else is touched."""
    exif, xmp = metadata.exif, metadata.xmp
    if exif and (found := _orientation_at(exif)):
        at, order = found
        exif = exif[:at] + (1).to_bytes(2, order) + exif[at + 2 :]
    if xmp:
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    return replace(metadata, exif=exif, xmp=xmp)

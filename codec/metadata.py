"""Colour profile, EXIF and XMP: blocks that travel with a picture byte for byte."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .format import METADATA, Section

if TYPE_CHECKING:
    from PIL import Image


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


def unpacked(sections: Mapping[str, Section]) -> Metadata:
    """What a file holds. Raises CorruptError for a block that does not inflate to its length."""
    return Metadata(**{k: section.unpack() for k, section in sections.items()})


def of(image: "Image.Image") -> Metadata:
    """What Pillow knows of a picture; EXIF as it is in the file, orientation included."""
    exif = image.info.get("exif") or b""
    return Metadata(image.info.get("icc_profile"), exif.removeprefix(b"Exif\0\0"), image.info.get("xmp"))

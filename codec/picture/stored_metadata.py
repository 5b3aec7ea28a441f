"""Which metadata a stored PNG, WebP or JPEG file holds, found without numpy and Pillow: `aec info` stays fast."""

from collections.abc import Iterator

from ..container.format import stored_kind
from ..container.metadata import Metadata
from . import code_points, jpeg_info, png_info

_WEBP_CHUNKS = {b"ICCP": "icc_profile", b"EXIF": "exif", b"XMP ": "xmp"}  # -> names in Pillow's info
_RIFF_HEADER = 12  # bytes: "RIFF", the length, "WEBP"


def found(file: bytes, depth: int) -> Metadata:
    """Return the metadata in a stored file, as it is there: the orientation is not applied, and no profile is made.

    Args:
        file: the bytes of the PNG, WebP or JPEG file.
        depth: bits a sample of the picture, 8 or 16.
    """
    kind = stored_kind(file)
    if kind == "WebP":
        info: dict = {_WEBP_CHUNKS[name]: data for name, data in _chunks(file) if name in _WEBP_CHUNKS}
    else:
        info = (png_info if kind == "PNG" else jpeg_info).info(file)
    icc, bits = info.get("icc_profile"), info.get("significant_bits")
    cicp = code_points.of_samples(info.get("cicp")) or code_points.of_profile(icc)
    return Metadata(icc, info.get("exif"), info.get("xmp"), cicp, bits if bits and bits < depth else None)


def _chunks(webp: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and data of each chunk of a RIFF file."""
    at = _RIFF_HEADER
    while at + 8 <= len(webp):
        length = int.from_bytes(webp[at + 4 : at + 8], "little")
        yield webp[at : at + 4], webp[at + 8 : at + 8 + length]
        at += 8 + length + length % 2

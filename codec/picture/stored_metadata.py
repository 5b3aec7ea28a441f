"""Which metadata a stored PNG, WebP or JPEG file holds, found without numpy and Pillow: `aec info` stays fast."""

from collections.abc import Iterator

from ..container.format import stored_kind
from . import jpeg_info, png_info

_KINDS = {"icc_profile": "icc", "exif": "exif", "xmp": "xmp"}  # names in Pillow's info -> ours
_WEBP_CHUNKS = {b"ICCP": "icc", b"EXIF": "exif", b"XMP ": "xmp"}
_RIFF_HEADER = 12  # bytes: "RIFF", the length, "WEBP"


def lengths(file: bytes) -> dict[str, int]:
    """Return the bytes of each kind of metadata, "icc", "exif" and "xmp", that is in the file."""
    kind = stored_kind(file)
    if kind == "WebP":
        return {_WEBP_CHUNKS[name]: length for name, length in _chunks(file) if name in _WEBP_CHUNKS}
    found = (png_info if kind == "PNG" else jpeg_info).info(file)
    return {ours: len(found[name]) for name, ours in _KINDS.items() if found.get(name)}


def _chunks(webp: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of each chunk of a RIFF file."""
    at = _RIFF_HEADER
    while at + 8 <= len(webp):
        length = int.from_bytes(webp[at + 4 : at + 8], "little")
        yield webp[at : at + 4], length
        at += 8 + length + length % 2

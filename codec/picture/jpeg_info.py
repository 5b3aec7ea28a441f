"""Reads the colour profile, EXIF and XMP of a JPEG file, also if they are split in ways that Pillow does not handle."""

from .extended_xmp import EXTENSION, XMP, whole
from .jpeg_segments import APP1, APP2, SOS, segments

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"


def info(jpeg: bytes) -> dict[str, bytes]:
    """Return icc_profile, exif and xmp of a JPEG file, as far as it has them, as Pillow puts them into `Image.info`."""
    found: dict[str, list[bytes]] = {}
    icc: dict[int, bytes] = {}
    extensions: list[bytes] = []
    for segment in segments(jpeg):
        if segment.marker == SOS:
            break
        if segment.marker not in (APP1, APP2):
            continue
        data = segment.data(jpeg)
        if segment.marker == APP2:
            if data.startswith(_ICC) and len(data) > 14:
                icc.setdefault(data[12], data)
        elif data.startswith(EXTENSION):
            extensions.append(data)
        else:
            for kind, block in app1(data).items():
                if kind == "exif":  # EXIF that is too long for one segment is continued in the next one
                    found.setdefault(kind, []).append(block)
                else:
                    found[kind] = [block]
    if icc and sorted(icc) == list(range(1, icc[min(icc)][13] + 1)):
        found["icc_profile"] = [icc[i][14:] for i in sorted(icc)]
    blocks = {kind: b"".join(parts) for kind, parts in found.items()}
    if "xmp" in blocks:
        blocks["xmp"] = whole(blocks["xmp"], extensions)
    return blocks


def app1(data: bytes) -> dict[str, bytes]:
    """Return the EXIF or XMP block of an APP1 segment, by its key in `Image.info`; empty for another content."""
    if data.startswith(_EXIF):
        return {"exif": data[len(_EXIF) :]}
    return {"xmp": data[len(XMP) :]} if data.startswith(XMP) else {}

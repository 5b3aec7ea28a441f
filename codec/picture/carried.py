"""Collects the metadata of a picture that Pillow has opened: colour profile, EXIF and XMP."""

import io
import re
from typing import Any

from PIL import Image

from ..container.format import MAX_SECTION
from ..container.metadata import DAMAGES, EXIF_PREFIX, Metadata, exif_of_resolution
from . import colour, extended_xmp
from .png_info import raw_profile
from .tiff_directory import Directory

# In a TIFF file, EXIF has the same directories as the file itself. These are the tags that describe the picture and not
# the structure of the file.
_TIFF_TAGS = (0x010E, 0x010F, 0x0110, 0x0112, 0x0131, 0x0132, 0x013B, 0x8298)
_RESOLUTION_TAGS = (0x011A, 0x011B, 0x0128)
_TIFF_BLOCKS = (0x8769, 0x8825)  # the directories with the camera's settings (EXIF), and with the place (GPS)
_RAW_PROFILE = re.compile(r"Raw profile type (\w+)")


def of(image: Image.Image, gray: bool | None = None) -> Metadata:
    """Return the metadata that Pillow and `file_colour.note` have put into an image. EXIF keeps its orientation.

    Colour that is described in another way than by a profile is converted to a profile, unless it is sRGB. For a TIFF
    file, EXIF is made as by `of_tiff`. If there is no EXIF but a resolution, a block with the resolution is made.
    An extended XMP packet is joined. Blocks of more than 2^26 bytes are left out. So are the profiles of CMYK and LAB
    pictures, because these are converted to sRGB by them.

    Args:
        image: the opened picture.
        gray: whether the picture has one colour channel; None: as its mode says.
    """
    raw: dict[str, bytes] = {}
    for key, text in image.info.items():  # ImageMagick's raw profiles in PNG files that Pillow opened
        if isinstance(key, str) and isinstance(text, str) and (match := _RAW_PROFILE.fullmatch(key)):
            raw |= raw_profile(match[1], text.encode("latin-1", "replace"))
    exif = image.info.get("exif") or raw.get("exif")
    if not exif and image.format == "TIFF":
        exif = _tiff_exif(Image.Image.getexif(image))
    exif = exif or exif_of_resolution(image.info.get("dpi"))
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or raw.get("xmp")
    xmp = xmp.encode("utf-8", "surrogateescape") if isinstance(xmp, str) else xmp
    if isinstance(xmp, bytes):
        xmp = extended_xmp.whole(xmp, [data for _, data in getattr(image, "applist", ())])
    while isinstance(exif, bytes) and exif.startswith(EXIF_PREFIX):
        exif = exif.removeprefix(EXIF_PREFIX)
    icc = None
    if image.mode not in ("CMYK", "LAB"):
        gray = Image.getmodebase(image.mode) == "L" if gray is None else gray
        icc = profile({"icc_profile": raw.get("icc_profile")} | image.info, gray, cicp_first=image.format == "PNG")
    return _within_limits(icc, exif, xmp)


def of_tiff(directory: Directory, icc: bytes | None, xmp: bytes) -> Metadata:
    """Return the metadata of a TIFF file. EXIF is rewritten by Pillow with the tags on the picture, camera and place.

    Args:
        directory: of the picture.
        icc, xmp: the other blocks; empty or None if absent. Blocks of more than 2^26 bytes are left out.
    """
    found = Image.Exif()
    found.endian, found.bigtiff = directory.order, directory.big
    try:
        found.load_from_fp(io.BytesIO(directory.data), directory.at)
    except DAMAGES:
        return _within_limits(icc, None, xmp)
    return _within_limits(icc, _tiff_exif(found), xmp)


def _within_limits(icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> Metadata:
    blocks = {"icc": icc, "exif": exif, "xmp": xmp}
    return Metadata(**{k: v for k, v in blocks.items() if isinstance(v, bytes) and 0 < len(v) <= MAX_SECTION})


def profile(info: dict, gray: bool, cicp_first: bool) -> bytes | None:
    """Return the profile in `info`, or one that is made from another description of the colour in it.

    Args:
        info: as filled by Pillow's readers, by pillow_heif or by `file_colour.note`.
        gray: whether the picture has one colour channel.
        cicp_first: whether code points have precedence over a profile, as in PNG. In HEIF and AVIF they have not.
    """
    icc, cicp = info.get("icc_profile") or None, info.get("cicp")
    if cicp is None and (nclx := info.get("nclx_profile")):
        cicp = (nclx["color_primaries"], nclx["transfer_characteristics"], 0, 1)
    if icc is not None and not (cicp_first and cicp):
        return icc
    if cicp is not None and not cicp[0] == cicp[1] == 2:  # unspecified
        try:
            return colour.of_cicp(cicp, gray)
        except ValueError:
            pass  # reserved numbers are ignored; by the PNG specification, the next kind of information is used then
    if icc is not None or info.get("srgb") is not None:
        return icc
    if info.get("curves") is not None:
        return colour.of_curves(info["curves"], info.get("chromaticity"), gray)
    return colour.of_gamma(info.get("gamma"), info.get("chromaticity"), gray)


def _scaled(values: tuple[Any, Any], scale: float) -> tuple[float, float] | None:
    """Multiply two numbers by a factor. Returns None if they are not numbers, as in a damaged file."""
    try:
        return float(values[0]) * scale, float(values[1]) * scale
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None


def _tiff_exif(found: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    try:
        for tag in _TIFF_TAGS:
            if tag in found:
                kept[tag] = found[tag]
        across, down, unit = (found.get(tag) for tag in _RESOLUTION_TAGS)
        scale = 2.54 if unit == 3 else 1  # per centimetre, or per inch
        if unit in (None, 2, 3) and exif_of_resolution(_scaled((across, down), scale)):
            kept.update(zip(_RESOLUTION_TAGS, (across, down, unit or 2), strict=True))
        for tag in _TIFF_BLOCKS:
            if block := found.get_ifd(tag):
                kept[tag] = dict(block)
        return kept.tobytes().removeprefix(EXIF_PREFIX) if len(kept) else None
    except DAMAGES:
        return None

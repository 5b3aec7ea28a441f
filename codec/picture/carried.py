"""Collects the metadata of a picture that Pillow has opened: colour, EXIF, XMP, and the number of significant bits."""

import io
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

from PIL import Image

from ..container.format import MAX_SECTION
from ..container.metadata import DAMAGES, EXIF_PREFIX, Cicp, Metadata, exif_of_resolution
from . import code_points, colour, extended_xmp
from .png_info import raw_profile
from .tiff_directory import Directory

# In a TIFF file, EXIF has the same directories as the file itself. These are the tags that describe the picture and not
# the structure of the file.
_TIFF_TAGS = (0x010E, 0x010F, 0x0110, 0x0112, 0x0131, 0x0132, 0x013B, 0x8298)
_RESOLUTION_TAGS = (0x011A, 0x011B, 0x0128)
_TIFF_BLOCKS = (0x8769, 0x8825)  # the directories with the camera's settings (EXIF), and with the place (GPS)
_RAW_PROFILE = re.compile(r"Raw profile type (\w+)")


def of(image: Image.Image, gray: bool | None = None, depth: int | None = None) -> Metadata:
    """Return the metadata that Pillow and `file_colour.note` have put into an image. EXIF keeps its orientation.

    Code points are kept, and colour that is described in another way is converted to a profile, unless it is sRGB. For
    a TIFF file, EXIF is made as by `of_tiff`. If there is no EXIF but a resolution, a block with the resolution is
    made. An extended XMP packet is joined. Blocks of more than 2^26 bytes are left out. So are the profiles of CMYK and
    LAB pictures, because these are converted to sRGB by them.

    Args:
        image: the opened picture.
        gray: whether the picture has one colour channel; None: as its mode says.
        depth: bits a sample, 8 or 16; None: as its mode says.
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
    gray = Image.getmodebase(image.mode) == "L" if gray is None else gray
    depth = (16 if image.mode.startswith("I") else 8) if depth is None else depth
    found = _within_limits(exif, xmp)
    if image.mode not in ("CMYK", "LAB"):
        found = coloured(found, {"icc_profile": raw.get("icc_profile")} | image.info, gray)
    # An image that Pillow has made of an opened one has no format. Its samples may be others, such as means.
    bits = image.info.get("significant_bits") if image.format else None
    return code_points.settled(replace(found, bits=bits if isinstance(bits, int) and bits > 0 else None), gray, depth)


def of_tiff(directory: Directory, info: dict, gray: bool, xmp: bytes, bits: int) -> Metadata:
    """Return the metadata of a TIFF file. EXIF is rewritten by Pillow with the tags on the picture, camera and place.

    Args:
        directory: of the picture.
        info: the description of its colour, as `coloured` takes it; empty: none is kept.
        gray: whether the picture has one colour channel.
        xmp: the packet, or empty. Blocks of more than 2^26 bytes are left out.
        bits: of a sample in the file. From 9 to 15 they are kept as the number of significant bits.
    """
    found, exif = Image.Exif(), None
    found.endian, found.bigtiff = directory.order, directory.big
    with suppress(*DAMAGES):
        found.load_from_fp(io.BytesIO(directory.data), directory.at)
        exif = _tiff_exif(found)
    metadata = coloured(_within_limits(exif, xmp), info, gray)
    return code_points.settled(replace(metadata, bits=bits if 8 < bits < 16 else None), gray, 8 if bits <= 8 else 16)


def _within_limits(exif: bytes | None, xmp: bytes | None) -> Metadata:
    return Metadata(exif=_block(exif), xmp=_block(xmp))


def _block(block: object) -> bytes | None:
    """Return a block of metadata, or None if it is none, empty or larger than a file may hold."""
    return block if isinstance(block, bytes) and 0 < len(block) <= MAX_SECTION else None


def coloured(metadata: Metadata, info: dict, gray: bool) -> Metadata:
    """Add the colour profile and the code points in `info` to the metadata of a picture.

    Code points count more than a profile, as in PNG, so those of a file in which they count less must not be in `info`.
    Where there are neither, a profile is made of gamma, chromaticities or curves.

    Args:
        metadata: without colour.
        info: as filled by Pillow's readers, by pillow_heif or by `file_colour.note`.
        gray: whether the picture has one colour channel.
    """
    icc = _block(info.get("icc_profile"))
    cicp: Cicp | None = code_points.of_samples(info.get("cicp"))
    if cicp is None and icc is None and (nclx := info.get("nclx_profile")):
        cicp = code_points.of_samples((nclx["color_primaries"], nclx["transfer_characteristics"], 0, 1))
    if icc is None and cicp is None and info.get("srgb") is None:
        if info.get("curves") is not None:
            icc = colour.of_curves(info["curves"], info.get("chromaticity"), gray)
        else:
            icc = colour.of_gamma(info.get("gamma"), info.get("chromaticity"), gray)
    return replace(metadata, icc=icc, cicp=cicp)


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

"""Reads the colour information in files that Pillow ignores: cICP in PNG, nclx in AVIF, and others."""

import struct
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from ..container.format import MAX_SECTION
from . import colour, png_info
from .boxes import boxes, child, primary_properties
from .tiff_directory import Directory

_TRANSFER, _WHITE, _PRIMARIES = 301, 318, 319  # tags of TIFF fields
# The errors that damaged data causes in the readers below.
_DAMAGES = (ArithmeticError, LookupError, TypeError, ValueError, struct.error)


def note(image: Image.Image) -> None:
    """Add the colour information of an image's file to `image.info`, unless it is there already.

    This is only possible while the file is opened and its pixels are not loaded. The keys are `icc_profile`; `cicp`
    (four ints), unless a profile counts more in this format; `significant_bits` (of PNG's sBIT); `gamma` and
    `chromaticity`, as Pillow has them for PNG files; or `curves` (float arrays with the light for each sample value).
    """
    reader = _READERS.get(image.format or "")
    if reader is None or not isinstance(image, ImageFile) or not image.tile or image.fp is None:
        return
    file = image.fp
    place = file.tell()
    try:
        file.seek(0)
        found = reader(file)
    except _DAMAGES:
        return
    finally:
        file.seek(place)
    if image.format != "PNG" and image.info.get("icc_profile"):
        found.pop("cicp", None)  # of AVIF, JPEG 2000 and others, the profile counts
    for key, value in found.items():
        image.info.setdefault(key, value)


def of_tiff(directory: Directory, bits: int, inverted: bool) -> dict:
    """Return the colour information of a TIFF file: `chromaticity` and `curves`, as in `note`.

    Args:
        directory: of the picture.
        bits: bits of each sample.
        inverted: whether 0 is white in the file. The curves are reversed then, because the samples will be inverted.
    """
    found: dict[str, Any] = {}
    try:
        white, primaries = _fractions(directory, _WHITE), _fractions(directory, _PRIMARIES)
        curve = directory.numbers(_TRANSFER)
    except _DAMAGES:
        return {}
    if len(primaries) == 6:
        found["chromaticity"] = (*(white if len(white) == 2 else colour.SRGB[:2]), *primaries)
    if len(curve) in (1 << bits, 3 << bits):
        curves = np.array(curve, float).reshape(-1, 1 << bits) / 65535
        found["curves"] = list(curves[:, ::-1] if inverted else curves)
    return found


def _fractions(directory: Directory, tag: int) -> tuple[float, ...]:
    numbers = directory.numbers(tag)
    return tuple(a / b for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def _png(file: IO[bytes]) -> dict:
    return {k: v for k, v in png_info.info(file.read()).items() if k in ("cicp", "significant_bits")}


def _bmp(file: IO[bytes]) -> dict:
    data = file.read(14 + 124)
    size = int.from_bytes(data[14:18], "little")
    if size < 108:
        return {}
    kind = data[70:74]
    if kind == b"DEBM" and size >= 124:  # PROFILE_EMBEDDED
        start, length = struct.unpack_from("<II", data, 14 + 112)
        file.seek(14 + start)
        profile = file.read(min(length, MAX_SECTION + 1))
        return {"icc_profile": profile} if len(profile) == length else {}
    if kind != bytes(4):  # 0 is LCS_CALIBRATED_RGB; other values mean sRGB, or the profile is in another file
        return {}
    points = np.array(struct.unpack_from("<9i", data, 74), float).reshape(3, 3) / 2**30
    gamma = struct.unpack_from("<I", data, 110)[0] / 65536  # red's; all files we know use one for all
    sums = points.sum(1)
    if not (sums > 0).all() or not gamma:
        return {}
    # The white point is not known, because the lengths of the primaries' vectors mean nothing. Programs write either
    # the gamma of the file or that of the screen, which is the reciprocal.
    xy = (points / sums[:, None])[:, :2]
    return {"chromaticity": (*colour.SRGB[:2], *map(float, xy.ravel())), "gamma": min(gamma, 1 / gamma)}


def _avif(file: IO[bytes]) -> dict:
    # The limit suffices, because the colour information is near the start of a file.
    meta = child(file.read(MAX_SECTION), b"meta")[4:]
    for name, content in primary_properties(meta):
        if name == b"colr" and content[:4] == b"nclx":
            # Pillow has converted the samples to RGB of full range, so matrix and range are not those of the file.
            return {"cicp": (*(min(v, 255) for v in struct.unpack_from(">HH", content, 4)), 0, 1)}
    return {}


def _jpeg2000(file: IO[bytes]) -> dict:
    for name, content in boxes(child(file.read(MAX_SECTION), b"jp2h")):
        if name == b"colr" and content[0] in (2, 3):
            return {"icc_profile": content[3:]}
        if name == b"colr" and content[0] == 5:
            return {"cicp": (*(min(v, 255) for v in struct.unpack_from(">HH", content, 3)), 0, 1)}
    return {}


# QOI is not in this list: its flag for linear light is only informative, and Pillow sets it in every file.
_READERS = {"PNG": _png, "BMP": _bmp, "AVIF": _avif, "JPEG2000": _jpeg2000}

"""Writes TIFF files with 16 bits a sample in several channels, for which Pillow has no mode."""

import io
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

_DEFLATE, _DIFFERENCES, _STRAIGHT = 8, 2, 2  # values of Compression, Predictor and ExtraSamples (TIFF 6.0, 1992)
_GRAY, _RGB = 1, 2
_ICC = 34675
_STRIP = 1 << 20  # about how many bytes of samples are compressed at once


def write(samples: np.ndarray, icc: bytes | None, tags: Image.Exif | None) -> bytes:
    """Return a little-endian TIFF file, compressed by Deflate.

    Args:
        samples: uint16 [H, W, 2|3|4] with alpha last, not premultiplied.
        icc: colour profile, or None.
        tags: other tags to write, none of which describes samples.
    """
    height, width, channels = samples.shape
    rows = max(1, _STRIP // (2 * width * channels))
    strips = [_deflated(samples[top : top + rows]) for top in range(0, height, rows)]
    lengths = [len(strip) for strip in strips]
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    if tags is not None:
        for tag in tags:
            directory[tag] = tags.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else tags[tag]
    directory[TiffImagePlugin.IMAGEWIDTH], directory[TiffImagePlugin.IMAGELENGTH] = width, height
    directory[TiffImagePlugin.BITSPERSAMPLE] = (16,) * channels
    directory[TiffImagePlugin.COMPRESSION], directory[TiffImagePlugin.PREDICTOR] = _DEFLATE, _DIFFERENCES
    directory[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = _GRAY if channels == 2 else _RGB
    directory[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    directory[TiffImagePlugin.ROWSPERSTRIP] = rows
    directory[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(lengths)
    directory[TiffImagePlugin.STRIPOFFSETS] = tuple(np.cumsum([0, *lengths[:-1]]).tolist())  # `save` adds its own size
    if channels in (2, 4):
        directory[TiffImagePlugin.EXTRASAMPLES] = _STRAIGHT
    if icc:
        directory.tagtype[_ICC] = TiffTags.UNDEFINED
        directory[_ICC] = icc
    file = io.BytesIO()
    directory.save(file)
    return file.getvalue() + b"".join(strips)


def _deflated(rows: np.ndarray) -> bytes:
    """Compress rows, uint16 [h, w, C], as differences to the pixel on the left."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype("<u2").tobytes(), 6)

"""The PNG, WebP and JPEG files inside .aec files: opening them safely, and making them."""

import io
from collections.abc import Collection

import numpy as np
from PIL import Image

from ..container.format import STORED_KINDS, Header, stored_kind
from ..container.metadata import Metadata
from ..errors import CorruptError
from . import carried, jpeg_blocks, samples16
from .opening import opened_as, webp_size

MAX_WEBP_SIDE = 16383
_MAX_WEBP_AREA = 1 << 25  # pixels; libwebp needs 27 bytes for each, so 900 MB


# The largest number of scans in a progressive JPEG. A scan can be as short as 16 bytes, and still cost a pass over the
# whole picture. 10 are common.
MAX_SCANS = 500


def open_still(data: bytes, kinds: Collection[str], sizes: Collection[tuple[int, int]]) -> Image.Image:
    """Open a picture without loading its pixels.

    Args:
        data: the bytes of the file.
        kinds: the allowed formats, of STORED_KINDS.
        sizes: the allowed sizes, (width, height).

    Raises:
        CorruptError: the format or size is not allowed, or it is damaged, an animation, or a JPEG with more than
            MAX_SCANS scans or without an end marker.
    """
    kind = stored_kind(data)
    if kind is None or kind not in kinds:
        raise CorruptError(f"a payload that is no {' or '.join(kinds)} picture")
    if kind == "WebP" and webp_size(data) not in sizes:
        raise CorruptError(f"a WebP picture of {webp_size(data)} pixels: expected {' or '.join(map(str, sizes))}")
    if kind == "JPEG":
        found = jpeg_blocks.scans(data)
        if len(found.places) > MAX_SCANS:
            raise CorruptError(f"a JPEG picture of {len(found.places)} scans: at most {MAX_SCANS} are allowed")
        if not found.ended:
            raise CorruptError("a JPEG picture without its end marker")
    try:
        image = opened_as(kind, data)
        n_frames = getattr(image, "n_frames", 1)
    except MemoryError:
        raise
    except Exception as e:  # for damaged files, Pillow raises many kinds of errors
        raise CorruptError(f"a damaged {kind} picture: {e}") from e
    if n_frames != 1:
        raise CorruptError(f"an animation of {n_frames} frames")
    if image.size not in sizes:
        raise CorruptError(f"a {kind} picture of {image.size} pixels: expected {' or '.join(map(str, sizes))}")
    return image


def read_metadata(data: bytes, header: Header) -> Metadata:
    """Read the metadata of a stored picture's file, the orientation included, without decoding its pixels.

    Raises CorruptError if it cannot be opened, or is not of the size that the header of the .aec file says.
    """
    size = header.width, header.height
    return carried.of(open_still(data, STORED_KINDS, {size, size[::-1]}), header.gray, header.depth)


def write_png(samples: np.ndarray) -> bytes:
    """Return a PNG file of bool, uint8 or uint16 [H, W], or of uint8 or uint16 [H, W, 2|3|4] with alpha last."""
    if samples.dtype == np.uint16:
        return samples16.write_png(samples)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG", optimize=samples.size <= 1 << 18)
    return buffer.getvalue()


def fits_webp(samples: np.ndarray) -> bool:
    """Return whether samples have 8 bits, and neither exceed the size limit of WebP nor would need too much memory."""
    height, width = samples.shape[:2]
    return samples.dtype == np.uint8 and max(height, width) <= MAX_WEBP_SIDE and height * width <= _MAX_WEBP_AREA


def write_webp(samples: np.ndarray, **options: int) -> bytes:
    """Return a WebP file of samples for which `fits_webp` is true. Gray samples are written as RGB.

    Args:
        samples: uint8 [H, W], or [H, W, 2|3|4] with alpha last.
        options: for Pillow's WebP writer.
    """
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "WEBP", **options)
    return buffer.getvalue()

"""PNG, WebP and JPEG files that lie inside .aec files: opened without trust, and made."""

import io
from collections.abc import Collection

import numpy as np
from PIL import Image

from ..container.format import STORED_KINDS, stored_kind
from ..container.metadata import Metadata
from ..errors import CorruptError
from . import carried, jpeg_blocks, samples16
from .opening import opened_as, webp_size

_MAX_WEBP_SIDE = 16383
_MAX_WEBP_AREA = 1 << 25  # libwebp takes 27 bytes a pixel: here 900 MB


# Scans of a progressive JPEG, each of which may cost a walk over the whole picture and take 16 bytes. 10 are common.
MAX_SCANS = 500


def open_still(data: bytes, kinds: Collection[str], sizes: Collection[tuple[int, int]]) -> Image.Image:
    """A picture of one of these kinds and sizes (width, height), opened but not read.

    Raises:
        CorruptError: it is another one, an animation, or a JPEG of more than MAX_SCANS or without end.
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
    except Exception as e:  # Pillow's readers raise all kinds on damaged files
        raise CorruptError(f"a damaged {kind} picture: {e}") from e
    if n_frames != 1:
        raise CorruptError(f"an animation of {n_frames} frames")
    if image.size not in sizes:
        raise CorruptError(f"a {kind} picture of {image.size} pixels: expected {' or '.join(map(str, sizes))}")
    return image


def read_metadata(data: bytes, sizes: Collection[tuple[int, int]]) -> Metadata:
    """Of a file as `open_still` takes it, orientation included; its pixels are not decoded.

    Raises:
        CorruptError: as `open_still`.
    """
    return carried.of(open_still(data, STORED_KINDS, sizes))


def write_png(samples: np.ndarray) -> bytes:
    """uint8 or uint16 [H, W], or [H, W, 2|3|4] with alpha last."""
    if samples.dtype == np.uint16:
        return samples16.write_png(samples)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG", optimize=samples.size <= 1 << 18)
    return buffer.getvalue()


def fits_webp(samples: np.ndarray) -> bool:
    """Whether they have 8 bits, and are no larger than WebP can and should be."""
    height, width = samples.shape[:2]
    return samples.dtype == np.uint8 and max(height, width) <= _MAX_WEBP_SIDE and height * width <= _MAX_WEBP_AREA


def write_webp(samples: np.ndarray, **options: int) -> bytes:
    """Samples that fit, as `write_png` takes them, gray as equal RGB.

    Args:
        options: as Pillow's saver takes them.
    """
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "WEBP", **options)
    return buffer.getvalue()

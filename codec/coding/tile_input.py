"""Samples of a picture -> the input of the analysis transform."""

import numpy as np

from ..container.format import Tile
from ..picture.pixels import Pixels
from .model_config import LATENT_STRIDE
from .model_tensors import PIXEL_UNIT

WHITE = 255 * PIXEL_UNIT  # the distance between black and white


def _half(x: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Halve an image: average the known pixels of each square of 2x2.

    Args:
        x: float32 [h, w, C].
        known: [h, w, 1]; 0 or False for pixels whose values do not count.

    Returns:
        (means float32 [ceil(h/2), ceil(w/2), C], number of known pixels in each square, float32 [.., .., 1]).
    """
    h, w = x.shape[0] + 1 & ~1, x.shape[1] + 1 & ~1
    edges = ((0, h - x.shape[0]), (0, w - x.shape[1]), (0, 0))
    weight = np.pad(known.astype(np.float32), edges)
    total = np.pad(x * known, edges)
    weight, total = (v.reshape(h // 2, 2, w // 2, 2, -1).sum((1, 3)) for v in (weight, total))
    return total / np.maximum(weight, 1), weight


def _double(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Double an image [h, w, C] by bilinear interpolation, and cut it to [rows, columns, C]."""
    for axis, n in ((0, rows), (1, columns)):
        near = np.repeat(x, 2, axis)
        edge = [(0, 0)] * 3
        edge[axis] = (1, 1)
        padded = np.pad(x, edge, mode="edge")
        before, after = (np.take(padded, np.arange(x.shape[axis]) + i, axis) for i in (0, 2))
        far = np.stack([before, after], axis + 1).reshape(near.shape)
        x = np.take(0.75 * near + 0.25 * far, np.arange(n), axis)
    return x


def _filled(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill unknown pixels with colours that cost few bits: those of their surroundings, more blurred with distance.

    Args:
        x: float32 [h, w, C].
        known: bool [h, w, 1].

    Source: push-pull, Gortler 1996 (The Lumigraph), with 2x2 means down and bilinear interpolation up.
    """
    if known.all():
        return x
    if x.shape[:2] == (1, 1):
        return np.full_like(x, WHITE / 2)
    mean, weight = _half(x, known)
    smooth = _double(_filled(mean, weight > 0), *x.shape[:2])
    return np.where(known, x, smooth)


def tile_input(pixels: Pixels, area: Tile) -> np.ndarray:
    """Return an area of a picture as the analysis transform reads it. `_filled` replaces colours where alpha is 0.

    Args:
        area: its left and top are multiples of 16. Beyond the picture's right and bottom edges, the edge pixels are
            repeated.

    Returns:
        int16 [height, width, 3] with sides rounded up to multiples of 16, in units of 1/32 of an 8-bit level; 0 is
        mid-gray.
    """
    rows, columns = slice(area.y, area.y + area.height), slice(area.x, area.x + area.width)
    samples = pixels.data[rows, columns]
    if pixels.alpha is not None and not (known := pixels.alpha[rows, columns, None] != 0).all():
        scale = np.float32(WHITE / (2**pixels.depth - 1))
        x = np.rint(_filled(samples * scale, known)).astype(np.int16)
    elif pixels.depth == 8:
        x = samples.astype(np.int16) * PIXEL_UNIT
    else:
        x = ((samples.astype(np.uint32) * PIXEL_UNIT + 128) // 257).astype(np.int16)
    x -= WHITE // 2
    height, width = (-(-n // LATENT_STRIDE) * LATENT_STRIDE for n in (area.height, area.width))
    if x.shape[:2] != (height, width):
        x = np.pad(x, ((0, height - x.shape[0]), (0, width - x.shape[1]), (0, 0)), mode="edge")
    return np.ascontiguousarray(x) if x.shape[2] == 3 else np.repeat(x, 3, 2)

"""Resizing of a decoded picture to fit into a rectangle, as browsers and Pillow's `thumbnail` do it."""

from dataclasses import replace

import numpy as np
from PIL import Image

from .samples import Pixels

Box = tuple[float, float, float, float]


def size_within(width: int, height: int, most: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size (width, height) with the same aspect ratio that fits into `most`.

    It is never larger than the given size, and at least 1x1.
    """
    share = min(1, most[0] / width, most[1] / height)
    return max(1, round(width * share)), max(1, round(height * share))


def resized(pixels: Pixels, size: tuple[int, int], box: Box | None = None) -> Pixels:
    """Resize a part of a picture to a size (width, height), by Pillow's Lanczos filter in float32.

    It works for all depths and numbers of channels. Colours are weighted by alpha, so that invisible colours do not
    cause fringes.

    Args:
        pixels: the picture.
        size: (width, height) of the result.
        box: left, top, right and bottom of the part, in pixels, not necessarily integers; None: the whole picture.
    """
    whole = (0, 0, pixels.width, pixels.height)
    box = box or whole
    if size == (pixels.width, pixels.height) and box == whole:
        return pixels
    most = np.iinfo(pixels.data.dtype).max

    def channel(samples: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(samples.astype(np.float32)).resize(size, Image.Resampling.LANCZOS, box))

    def integers(samples: np.ndarray) -> np.ndarray:
        return np.rint(samples.clip(0, most)).astype(pixels.data.dtype)

    if pixels.alpha is None:
        colours = [channel(pixels.data[..., i]) for i in range(pixels.data.shape[2])]
        return replace(pixels, data=integers(np.stack(colours, 2)))
    weights = pixels.alpha.astype(np.float32) / most
    alpha = channel(pixels.alpha)
    colours = []
    for i in range(pixels.data.shape[2]):
        weighted = channel(pixels.data[..., i] * weights)
        colours.append(np.divide(weighted * most, alpha, out=np.zeros_like(weighted), where=alpha > 0))
    return replace(pixels, data=integers(np.stack(colours, 2)), alpha=integers(alpha))

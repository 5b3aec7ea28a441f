"""A decoded picture made smaller to fit into a rectangle, as browsers and Pillow's `thumbnail` do it."""

from dataclasses import replace

import numpy as np
from PIL import Image

from .pixels import Pixels

Box = tuple[float, float, float, float]


def size_within(width: int, height: int, most: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape, at least 1x1, that fits into `most` (width, height); never a larger one."""
    share = min(1, most[0] / width, most[1] / height)
    return max(1, round(width * share)), max(1, round(height * share))


def resized(pixels: Pixels, size: tuple[int, int], box: Box | None = None) -> Pixels:
    """A part of the picture in another size (width, height), by Pillow's Lanczos filter in float32.

    All depths and channels. Colours count as much as their alpha, so that what cannot be seen leaves no fringe.

    Args:
        box: left, top, right and bottom of the part, in pixels and fractions of them; None: the whole picture.
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

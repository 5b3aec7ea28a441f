"""`Pixels`, which holds a picture as numpy arrays with the channels last, and what is computed of its samples.

`pixels` makes it of pictures of all kinds. Its readers are not imported here, for decoding needs none of them.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..container.format import Header, Tile
from ..container.metadata import NONE, Metadata, as_info

STRIP = 256  # number of rows that are converted at once


@dataclass(frozen=True)
class Pixels:
    """A picture to which its orientation was applied.

    The arrays may have any strides, may be read-only, and may share memory with the caller's. They are never modified.

    Args:
        data: colours, uint8 or uint16 [H, W, C]; C = 1 for gray or 3 for RGB.
        alpha: [H, W] of the same dtype, not premultiplied; None: the picture is opaque.
        metadata: colour, EXIF, XMP and significant bits of the picture, as `code_points.settled` returns them.
    """

    data: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata = NONE

    @property
    def gray(self) -> bool:
        return self.data.shape[2] == 1

    @property
    def depth(self) -> int:
        """Bits a sample, 8 or 16."""
        return 8 * self.data.itemsize

    @property
    def height(self) -> int:
        return self.data.shape[0]

    @property
    def width(self) -> int:
        return self.data.shape[1]

    def header(self, quality: int, model_id: bytes, tile: int = 1024) -> Header:
        """Return the header of an .aec file of this picture."""
        return Header(
            self.width, self.height, quality, model_id, self.gray, tile, alpha=self.alpha is not None, depth=self.depth
        )


def as_rgb(samples: np.ndarray) -> np.ndarray:
    """Convert [H, W, 1|3] to [H, W, 3], without copying: gray samples are repeated in a view."""
    return np.broadcast_to(samples, (*samples.shape[:2], 3)) if samples.shape[2] == 1 else samples


def to_depth(samples: np.ndarray, depth: int) -> np.ndarray:
    """Convert uint8 or uint16 [H, W, ..] to uint8 (depth 8) or uint16 (depth 16), scaling between 255 and 65535."""
    if samples.itemsize * 8 == depth:
        return samples
    out = np.empty(samples.shape, np.uint8 if depth == 8 else np.uint16)
    for y in range(0, samples.shape[0], STRIP):
        wide = samples[y : y + STRIP].astype(np.uint32)
        out[y : y + STRIP] = wide * 257 if depth == 16 else (wide * 255 + 32767) // 65535
    return out


def aligned(region: Tile, shrink: int, width: int, height: int) -> Tile:
    """Extend a region to whole squares with sides of `shrink` pixels, counted from the origin, within the picture.

    `width` and `height` are those of the picture.
    """
    x, y = region.x // shrink * shrink, region.y // shrink * shrink
    right, bottom = (-(-end // shrink) * shrink for end in (region.x + region.width, region.y + region.height))
    return Tile(x, y, min(right, width) - x, min(bottom, height) - y)


def box_means(samples: np.ndarray, shrink: int, alpha: np.ndarray | None = None) -> np.ndarray:
    """Average squares of samples.

    At the right and bottom edges, squares may be incomplete; there, the mean is taken over the existing samples. Halves
    are rounded to even.

    Args:
        samples: uint8 or uint16 [h, w, C], of an aligned region.
        shrink: side of the squares.
        alpha: [h, w], the weights of the samples; None: equal weights. In squares whose weights are all 0, they count
            equally.

    Returns:
        [ceil(h / shrink), ceil(w / shrink), C] of the same dtype.
    """
    if shrink == 1:
        return samples

    def sums(whole: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        # The sums are in float32, and add the samples of a square in a fixed order, so that results are the same on
        # every machine. The order matters only for weighted samples of 16 bits, whose sums are rounded; all other sums
        # stay below 2^24 and are exact.
        out = np.zeros((-(-whole.shape[0] // shrink), -(-whole.shape[1] // shrink), whole.shape[2]), np.float32)
        for i, j in np.ndindex(shrink, shrink):
            some = whole[i::shrink, j::shrink]
            if weights is not None:
                some = some * weights[i::shrink, j::shrink].astype(np.float32)
            out[: some.shape[0], : some.shape[1]] += some
        return out

    rows, columns = (
        np.minimum(shrink, size - np.arange(0, size, shrink)).astype(np.float32) for size in samples.shape[:2]
    )
    areas = (rows[:, None] * columns)[..., None]
    means = sums(samples) / areas
    if alpha is not None:
        seen = alpha[..., None]
        share = sums(seen) / areas
        means = np.divide(sums(samples, seen) / areas, share, out=means, where=share > 0)
    return np.rint(means).astype(samples.dtype)


def to_numpy(pixels: Pixels) -> np.ndarray:
    """Return the samples as one contiguous array: uint8 or uint16 [H, W] if gray and opaque, else [H, W, 2|3|4].

    It shares memory with `pixels.data` if possible.
    """
    if pixels.alpha is not None:
        out = np.empty((pixels.height, pixels.width, pixels.data.shape[2] + 1), pixels.data.dtype)
        out[..., :-1], out[..., -1] = pixels.data, pixels.alpha
        return out
    return np.ascontiguousarray(pixels.data[..., 0] if pixels.gray else pixels.data)


def to_pil(pixels: Pixels) -> Image.Image:
    """Convert a picture to a PIL image of mode L, LA, RGB, RGBA or I;16, with its metadata in `info`.

    Raises:
        ValueError: the picture has 16 bits a sample and more than one channel, for which Pillow has no mode.
    """
    if pixels.depth == 16 and (not pixels.gray or pixels.alpha is not None):
        raise ValueError('Pillow has no mode for 16 bits in several channels: ask for output="numpy", or for depth=8')
    image = Image.fromarray(to_numpy(pixels))
    image.info.update(as_info(pixels.metadata))
    return image

"""PSNR and SSIMULACRA 2 of a decoded picture, for encoding with a target.

Unlike `codec.metrics` and `codec.picture.ssimulacra2`, these functions take alpha into account, and accept gray
pictures and samples of 16 bits.
"""

import math

import numpy as np

from .samples import Pixels, as_rgb, to_depth
from .ssimulacra2 import ssimulacra2

STRIP = 256  # rows that are processed at once
BACKGROUNDS = (0.1, 0.9)  # a dark and a bright gray, as in libjxl's `ssimulacra2` for pictures with alpha


def psnr(pixels: Pixels, decoded: np.ndarray) -> float:
    """Return the PSNR in dB, as `metrics.psnr` does. Pixels whose alpha is 0 do not count.

    Args:
        pixels: the original.
        decoded: the decoded colours, with the dtype and shape of `pixels.data`.
    """
    total = count = 0
    for y in range(0, pixels.height, STRIP):
        rows = slice(y, y + STRIP)
        error = np.square(pixels.data[rows].astype(np.int64) - decoded[rows])
        if pixels.alpha is not None:
            error = error[pixels.alpha[rows] > 0]
        total, count = total + int(error.sum()), count + error.size
    return decibels(total, (2**pixels.depth - 1) ** 2 * count)


def decibels(error: float, most: float) -> float:
    """Return the PSNR in dB of a sum of squared errors; the sum `most` is 0 dB."""
    return 10 * math.log10(most / error) if error else math.inf


def score(pixels: Pixels, decoded: np.ndarray) -> float:
    """Return the SSIMULACRA 2 score, at most 100, of the decoded colours at 8 bits a sample.

    Samples are taken as sRGB, and a gray picture is converted to RGB. A picture with alpha is composited over a dark
    and a bright background, and the lower score is returned, as libjxl does; both pictures use the original's alpha.
    This takes about 9 bytes of memory for each pixel, and 6 more with alpha.

    Args:
        pixels: the original; both sides are at least ssimulacra2.MIN_SIDE.
        decoded: uint8, with the shape of `pixels.data`.
    """
    pair = [to_depth(x, 8) for x in (pixels.data, decoded)]
    if pixels.alpha is None:
        return ssimulacra2(*map(as_rgb, pair))
    alpha = to_depth(pixels.alpha, 8)
    return min(ssimulacra2(*(as_rgb(_before(x, alpha, background)) for x in pair)) for background in BACKGROUNDS)


def _before(samples: np.ndarray, alpha: np.ndarray, background: float) -> np.ndarray:
    """Composite samples uint8 [H, W, C] over a gray background, 0..1, by mixing the sRGB values."""
    out = np.empty_like(samples)
    for y in range(0, samples.shape[0], STRIP):
        rows = slice(y, y + STRIP)
        share = alpha[rows, :, None].astype(np.float32) / 255
        out[rows] = np.rint(share * samples[rows] + (1 - share) * (255 * background))
    return out

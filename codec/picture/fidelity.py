"""How near a decoded picture is to its original, by the measures that a file can be asked to reach.

A picture has more than colours: where alpha hides them they do not count, gray ones have one channel, and samples may
have 16 bits. `codec.metrics` and `codec.picture.ssimulacra2` know of none of that.
"""

import math

import numpy as np

from .pixels import Pixels, as_rgb, to_depth
from .ssimulacra2 import ssimulacra2

STRIP = 256  # rows that are worked on at once
BACKGROUNDS = (0.1, 0.9)  # dark and bright, as libjxl's program puts them behind pictures with alpha


def psnr(pixels: Pixels, decoded: np.ndarray) -> float:
    """dB, as `metrics.psnr`; where alpha is 0 nothing counts.

    Args:
        decoded: of the same dtype and shape as the picture's data.
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
    """PSNR of a sum of squared errors, of which `most` are 0 dB."""
    return 10 * math.log10(most / error) if error else math.inf


def score(pixels: Pixels, decoded: np.ndarray) -> float:
    """SSIMULACRA 2, at most 100, of the picture at 8 bits a sample, taken as sRGB; gray has three equal channels.

    With alpha it is the lower one of two, before a dark and before a bright background, as libjxl has it. Both pictures
    have the original's alpha. Takes some 9 bytes of memory for each pixel, and 6 more with alpha.

    Args:
        pixels: of ssimulacra2.MIN_SIDE pixels a side at least.
        decoded: uint8, of the same shape as the picture's data.
    """
    pair = [to_depth(x, 8) for x in (pixels.data, decoded)]
    if pixels.alpha is None:
        return ssimulacra2(*map(as_rgb, pair))
    alpha = to_depth(pixels.alpha, 8)
    return min(ssimulacra2(*(as_rgb(_before(x, alpha, background)) for x in pair)) for background in BACKGROUNDS)


def _before(samples: np.ndarray, alpha: np.ndarray, background: float) -> np.ndarray:
    """uint8 [H, W, C] blended with a gray background, 0..1, in sRGB's own samples."""
    out = np.empty_like(samples)
    for y in range(0, samples.shape[0], STRIP):
        rows = slice(y, y + STRIP)
        share = alpha[rows, :, None].astype(np.float32) / 255
        out[rows] = np.rint(share * samples[rows] + (1 - share) * (255 * background))
    return out

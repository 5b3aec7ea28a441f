"""How near a decoded picture is to its original, by the measures that a file can be asked to reach.

A picture has more than colours: where alpha hides them they do not count, gray ones have one channel, and samples may
have 16 bits. `codec.metrics` and `codec.picture.ssimulacra2` know of none of that.
"""

import math

import numpy as np
import torch
from torch import Tensor

from .pixels import Pixels, to_depth
from .ssimulacra2 import ssimulacra2

STRIP = 256  # rows that are worked on at once
BACKGROUNDS = (0.1, 0.9)  # dark and bright, as libjxl's program puts them behind pictures with alpha


def psnr(pixels: Pixels, decoded: Tensor) -> float:
    """dB, as `metrics.psnr`; where alpha is 0 nothing counts.

    Args:
        decoded: of the same dtype and shape as the picture's data.
    """
    total = count = 0
    for y in range(0, pixels.height, STRIP):
        rows = slice(y, y + STRIP)
        a, b = (x[:, rows].cpu().to(torch.int32) for x in (pixels.data, decoded))
        error = (a - b).double().square()
        if pixels.alpha is not None:
            error = error[:, pixels.alpha[rows].cpu().to(torch.int32) > 0]
        total, count = total + float(error.sum()), count + error.numel()
    return decibels(total, (2**pixels.depth - 1) ** 2 * count)


def decibels(error: float, most: float) -> float:
    """PSNR of a sum of squared errors, of which `most` are 0 dB."""
    return 10 * math.log10(most / error) if error else math.inf


def score(pixels: Pixels, decoded: Tensor) -> float:
    """SSIMULACRA 2, at most 100, of the picture at 8 bits a sample, taken as sRGB; gray has three equal channels.

    With alpha it is the lower one of two, before a dark and before a bright background, as libjxl has it. Both pictures
    have the original's alpha. Takes some 9 bytes of memory for each pixel, and 6 more with alpha.

    Args:
        pixels: of ssimulacra2.MIN_SIDE pixels a side at least.
        decoded: uint8, of the same shape as the picture's data.
    """
    pair = [to_depth(x.cpu(), 8) for x in (pixels.data, decoded)]
    if pixels.alpha is None:
        return ssimulacra2(*map(_rgb, pair))
    alpha = to_depth(pixels.alpha[None], 8)[0]
    return min(ssimulacra2(*(_rgb(_before(x, alpha, background)) for x in pair)) for background in BACKGROUNDS)


def _rgb(samples: Tensor) -> np.ndarray:
    """uint8 [1|3, H, W] -> [H, W, 3]."""
    return samples.expand(3, -1, -1).permute(1, 2, 0).numpy()


def _before(samples: Tensor, alpha: Tensor, background: float) -> Tensor:
    """uint8 [C, H, W] blended with a gray background, 0..1, in sRGB's own samples."""
    out = torch.empty_like(samples)
    for y in range(0, samples.shape[1], STRIP):
        rows = slice(y, y + STRIP)
        share = alpha[rows].float() / 255
        out[:, rows] = (share * samples[:, rows] + (1 - share) * (255 * background)).round_().to(torch.uint8)
    return out

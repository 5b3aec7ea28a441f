"""The synthesis of small pictures: means over 2x2, 4x4 or 8x8 pixels, without the pixels.

The last layers of the synthesis are linear, so the mean over a square of pixels is a layer of the weights' means:
fewer samples are made, and they are those of the whole picture, up to float rounding, before pixels are rounded and
clamped. At 1/8 the branch, which is nearly all of the work, adds next to nothing to a mean over 64 pixels and is left
out: FIGURES.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .model import LATENT_STRIDE, Config, Synthesis

SHRINKS = (1, 2, 4, 8)
BRANCHLESS = 8


@dataclass(frozen=True)
class Shrunk:
    """A synthesis at one quality and size.

    Args:
        run: latents float32 [1, M, h, w] -> samples float32 [1, 3, 16 h / shrink, 16 w / shrink], nominally 0..1.
        halo: latents beyond those of a sample that it depends on.
    """

    run: Callable[[Tensor], Tensor]
    halo: int


def shrunk(synthesis: Synthesis, config: Config, quality: int, shrink: int) -> Shrunk:
    """The synthesis whose samples are means over squares of `shrink` pixels, one of SHRINKS."""
    q = torch.tensor([float(quality)], device=synthesis.whiten.device)
    if shrink == 1:
        return Shrunk(lambda y: synthesis(y, q) + 0.5, config.halo)
    shortcut = _means(synthesis.shortcut, LATENT_STRIDE // shrink)
    if shrink == BRANCHLESS:
        return Shrunk(lambda y: F.pixel_shuffle(F.conv2d(y, *shortcut), LATENT_STRIDE // shrink) + 0.5, 0)
    tail = _means(synthesis.tail8, 8 // shrink, synthesis.log_gain(q).exp()[0])

    def run(y: Tensor) -> Tensor:
        branch = F.pixel_shuffle(F.conv2d(synthesis.features(y, q), *tail), 8 // shrink)
        return F.pixel_shuffle(F.conv2d(y, *shortcut), LATENT_STRIDE // shrink) + branch + 0.5

    return Shrunk(run, config.halo)


def _means(conv: nn.Conv2d, n: int, gain: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weight and bias of what makes n x n samples, for `pixel_shuffle`, where `conv` makes so many times more.

    Args:
        gain: of each output of `conv`, float [outputs, 1, 1]; None: 1.
    """
    shrink = math.isqrt(conv.out_channels // 3) // n

    def mean(values: Tensor) -> Tensor:
        return values.unflatten(0, (3, n, shrink, n, shrink)).mean((2, 4)).flatten(0, 2)

    weight, bias = conv.weight, conv.bias
    if gain is not None:
        weight, bias = weight * gain[..., None], bias * gain.flatten()
    return mean(weight).contiguous(memory_format=torch.channels_last), mean(bias)

"""The synthesis of small pictures: means over squares of 2, 4 or 8 pixels a side, without the pixels.

The last layers of the synthesis are linear, so the mean over a square is a layer of the weights' means: fewer samples
are made, and they are those of the whole picture up to float rounding, before samples are rounded and clamped. Little
time is saved: the branch is nearly all of the work.

What the branch adds is fine detail, of which little is left in a mean over many pixels. Without it, in dB between
these means and those of the whole picture, the least and the median of 11 held-out pictures (crops of 256x256, the
model `eye`, 80d45a13; `psnr` has some 2 dB more):

    level            1           10           16           24           32           42
    1/4         31.0, 35.0   32.1, 36.0   33.2, 36.9   35.0, 38.0   36.2, 39.5   37.7, 41.2
    1/8         34.5, 37.4   36.2, 38.9   37.6, 40.1   39.7, 41.8   41.7, 43.9   43.9, 46.6

Where the least is above 36 dB, the branch is left out, and the picture takes a fifth to an eighth of the whole one's
time, most of it the entropy nets'.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.model_config import LATENT_STRIDE, Config
from .layers import pointwise
from .model import Synthesis

LINEAR_FROM = {4: 32, 8: 10}  # the lowest level at which the branch is left out, by shrink


@dataclass(frozen=True)
class Shrunk:
    """A synthesis at one level and size.

    Args:
        run: latents float32 [1, M, h, w] -> samples float32 [1, 3, 16 h / shrink, 16 w / shrink], nominally 0..1.
        halo: latents beyond those of a sample that it depends on.
    """

    run: Callable[[Tensor], Tensor]
    halo: int


def shrunk(synthesis: Synthesis, config: Config, level: Tensor, shrink: int) -> Shrunk:
    """The synthesis whose samples are means over squares of `shrink` pixels: 1, 2, 4 or 8; level float [1]."""
    if shrink == 1:
        return Shrunk(lambda y: synthesis(y, level) + 0.5, config.halo)
    shortcut = _means(synthesis.shortcut, LATENT_STRIDE // shrink)
    if level >= LINEAR_FROM.get(shrink, math.inf):
        return Shrunk(lambda y: F.pixel_shuffle(pointwise(y, *shortcut), LATENT_STRIDE // shrink) + 0.5, 0)
    tail = _means(synthesis.tail8, 8 // shrink, synthesis.log_gain(level).exp()[0])

    def run(y: Tensor) -> Tensor:
        branch = F.pixel_shuffle(pointwise(synthesis.features(y, level), *tail), 8 // shrink)
        return F.pixel_shuffle(pointwise(y, *shortcut), LATENT_STRIDE // shrink) + branch + 0.5

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

"""The synthesis of small pictures: means over squares of 2, 4 or 8 pixels a side, without the pixels.

The last layers of the synthesis are linear, so the mean over a square is a layer of the weights' means: fewer samples
are made, and they are those of the whole picture up to float rounding, before samples are rounded and clamped. Little
time is saved: the branch is nearly all of the work.

What the branch adds is fine detail, of which little is left in a mean over many pixels. Without it, in dB between
these means and those of the whole picture, the least and the median of 24 pictures (crops of Kodak and of photographs
that no model was trained on):

    quality          1           10           20           30           50           90
    1/4         34.6, 37.5   36.6, 39.2   38.9, 41.4   41.6, 43.8   47.0, 48.9   53.2, 58.2
    1/8         39.0, 40.9   41.4, 43.0   43.7, 45.6   45.9, 48.6   50.3, 54.0   59.5, 63.0

(Against the means of the originals it is 0.9 dB at the low qualities.) Where that is above 36 and 40 dB, the branch is
left out, and the picture takes a fifth to an eighth of the whole one's time, most of it the entropy nets'.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import pointwise
from .model import LATENT_STRIDE, Config, Synthesis

LINEAR_FROM = {4: 20, 8: 1}  # the lowest quality at which the branch is left out, by shrink


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
    """The synthesis whose samples are means over squares of `shrink` pixels: 1, 2, 4 or 8."""
    q = torch.tensor([float(quality)], device=synthesis.whiten.device)
    if shrink == 1:
        return Shrunk(lambda y: synthesis(y, q) + 0.5, config.halo)
    shortcut = _means(synthesis.shortcut, LATENT_STRIDE // shrink)
    if quality >= LINEAR_FROM.get(shrink, math.inf):
        return Shrunk(lambda y: F.pixel_shuffle(pointwise(y, *shortcut), LATENT_STRIDE // shrink) + 0.5, 0)
    tail = _means(synthesis.tail8, 8 // shrink, synthesis.log_gain(q).exp()[0])

    def run(y: Tensor) -> Tensor:
        branch = F.pixel_shuffle(pointwise(synthesis.features(y, q), *tail), 8 // shrink)
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

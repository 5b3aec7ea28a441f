"""What a model is made for: its configuration and the numbers that all models share (FORMAT §7). Plain Python."""

import math
from dataclasses import dataclass, fields
from typing import Any

LATENT_STRIDE = 16  # pixels per latent, each way
HYPER_STRIDE = 4  # latents per hyperlatent, each way
QUALITIES = 100  # q = 1..100
KNOTS = 8  # rows of a transform's quality vector, between which it is linear in the level
MAX_LEVEL = 120.0  # of the level at which a quality runs, from 1 on
# A level says how much an error is worth: nets are trained for bits per pixel + lambda * D, where D is 255^2 times the
# mean squared error, or what has about the same slope over the rate. lambda is 0.0007 at level 1, 0.6 at TOP_LEVEL, the
# last knot, and 2.35 at MAX_LEVEL.
TOP_LEVEL = 100
LAMBDA_RANGE = (0.0007, 0.6)
# Measured on models for either: where lambda is the slope of the rate by 255^2 * MSE, it is about that by so many times
# SSIMULACRA 2's weighted sum of errors.
SSIMULACRA2_WEIGHT = 6.0
TUNES = ("mse", "ms-ssim", "eye")  # what a model may be trained for: losses.SHARES
MAX_CHANNELS = 1 << 14  # sums of the nets' integers stay provable
MAX_BLOCKS = 64  # at 1/8 and at 1/16 of the pixels
# The lowest level at which samples that are means over squares of so many pixels a side are made by the synthesis'
# shortcut alone. What its branch adds is fine detail, of which little is left in such means. Without it, in dB between
# these means and those of the whole picture, the least and the median of 11 held-out pictures (crops of 256x256, the
# model `eye`, 80d45a13; `psnr` has some 2 dB more):
#
#     level            1           10           16           24           32           42
#     1/4         31.0, 35.0   32.1, 36.0   33.2, 36.9   35.0, 38.0   36.2, 39.5   37.7, 41.2
#     1/8         34.5, 37.4   36.2, 38.9   37.6, 40.1   39.7, 41.8   41.7, 43.9   43.9, 46.6
#
# Where the least is above 36 dB, the branch is left out, and the picture takes a fifth to an eighth of the whole one's
# time, most of it the entropy nets'.
LINEAR_FROM = {4: 32, 8: 10}


def has_branch(level: float, shrink: int) -> bool:
    """Whether the synthesis' branch is heard at a level, in means over squares of `shrink` pixels a side."""
    return level < LINEAR_FROM.get(shrink, math.inf)


def level_lambda(level: Any) -> Any:
    """lambda of a level, a float or an array: logarithmic, from 1 to TOP_LEVEL between the ends of LAMBDA_RANGE."""
    low, high = LAMBDA_RANGE
    return low * (high / low) ** ((level - 1) / (TOP_LEVEL - 1))


@dataclass(frozen=True)
class Config:
    """Widths and depths.

    Args:
        latents: channels of y, M. Must be a multiple of steps.
        hyper: channels of z.
        wide8, blocks8: width and number of blocks at 1/8 of the image's resolution, in analysis and synthesis.
        wide16, blocks16: the same at 1/16.
        context: width of the hyper-synthesis and of each context step.
        steps: context steps, 2 or 4.

    Raises:
        TypeError: a number is no int.
        ValueError: a number is outside of what FORMAT §7 allows.
    """

    latents: int = 320
    hyper: int = 64
    wide8: int = 96
    blocks8: int = 4
    wide16: int = 192
    blocks16: int = 4
    context: int = 128
    steps: int = 4

    def __post_init__(self) -> None:
        for field in fields(self):
            if type(value := getattr(self, field.name)) is not int:
                raise TypeError(f"{field.name} is {value!r}: an int is allowed")
        if self.steps not in (2, 4):
            raise ValueError(f"{self.steps} context steps: 2 or 4 are allowed")
        if self.latents % self.steps:
            raise ValueError(f"{self.latents} latents are not a multiple of {self.steps} context steps")
        for name in ("latents", "hyper", "context", "wide8", "wide16"):
            if not 1 <= getattr(self, name) <= MAX_CHANNELS:
                raise ValueError(f"{name} is {getattr(self, name)}: 1 to {MAX_CHANNELS} channels are allowed")
        for name in ("blocks8", "blocks16"):
            if not 0 <= getattr(self, name) <= MAX_BLOCKS:
                raise ValueError(f"{name} is {getattr(self, name)}: 0 to {MAX_BLOCKS} are allowed")

    @property
    def halo(self) -> int:
        """Receptive field of the transforms beyond their own latent, in latents: one sample for each block."""
        return self.blocks16 + -(-self.blocks8 // 2)


CONFIGS = {
    "small": Config(),
    "medium": Config(latents=512, wide8=128, wide16=256, context=192),
    "base": Config(latents=512, wide8=176, blocks8=6, wide16=288, context=192),
}

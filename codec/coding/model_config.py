"""The configuration of a model, and the constants that all models share (FORMAT §7). Imports only plain Python."""

import math
from dataclasses import dataclass, fields
from typing import Any

LATENT_STRIDE = 16  # pixels per latent, horizontally and vertically
HYPER_STRIDE = 4  # latents per hyperlatent, horizontally and vertically
QUALITIES = 100  # q = 1..100
KNOTS = 8  # rows of a transform's trained quality vectors, which are interpolated linearly in the level
# Each quality runs the nets at a level, a real number from 1 to MAX_LEVEL. The level sets the trade-off between rate
# and distortion: nets are trained to minimise bits per pixel + lambda * D, where D is 255^2 times the mean squared
# error, or another distortion, scaled to have about the same slope over the rate. lambda is 0.0007 at level 1, 0.6 at
# TOP_LEVEL, which is the last knot, and 2.35 at MAX_LEVEL.
MAX_LEVEL = 120.0
TOP_LEVEL = 100
LAMBDA_RANGE = (0.0007, 0.6)
# SSIMULACRA 2's weighted sum of errors, times this weight, has about the same slope over the rate as 255^2 * MSE. This
# was measured on models trained for either.
SSIMULACRA2_WEIGHT = 6.0
TUNES = ("mse", "ms-ssim", "eye")  # the distortions that a model may be trained for: losses.SHARES
MAX_CHANNELS = 1 << 14  # with this limit, it can be proved that the nets' integer sums do not overflow
MAX_BLOCKS = 64  # residual blocks, at 1/8 and at 1/16 of the resolution each
# Reduced decoding, in which each sample is the mean over a square of 4x4 or 8x8 pixels, leaves out the nonlinear branch
# of the synthesis from these levels on, and uses its linear shortcut alone. The branch adds fine detail, little of
# which is left in such means. The table shows the PSNR in dB between the shortcut's samples and the means of the fully
# decoded picture: the minimum and the median of 11 held-out pictures (crops of 256x256, the model `eye`, 80d45a13;
# `psnr` has about 2 dB more).
#
#     level            1           10           16           24           32           42
#     1/4         31.0, 35.0   32.1, 36.0   33.2, 36.9   35.0, 38.0   36.2, 39.5   37.7, 41.2
#     1/8         34.5, 37.4   36.2, 38.9   37.6, 40.1   39.7, 41.8   41.7, 43.9   43.9, 46.6
#
# The branch is left out where the minimum is above 36 dB. Decoding then takes a fifth to an eighth of the time for the
# full picture, and most of that is spent in the entropy nets.
LINEAR_FROM = {4: 32, 8: 10}


def has_branch(level: float, shrink: int) -> bool:
    """Return whether the synthesis runs its nonlinear branch at a level.

    Args:
        level: 1..MAX_LEVEL.
        shrink: 1, 2, 4 or 8: each sample is the mean over a square with sides of this many pixels.
    """
    return level < LINEAR_FROM.get(shrink, math.inf)


def level_lambda(level: Any) -> Any:
    """Return lambda for a level, a float or an array.

    log(lambda) is linear in the level, from the ends of LAMBDA_RANGE at levels 1 and TOP_LEVEL.
    """
    low, high = LAMBDA_RANGE
    return low * (high / low) ** ((level - 1) / (TOP_LEVEL - 1))


@dataclass(frozen=True)
class Config:
    """The sizes of a model's nets.

    Args:
        latents: channels of the latents y, called M elsewhere; a multiple of `steps`.
        hyper: channels of the hyperlatents z, called Z elsewhere.
        wide8, blocks8: channels and number of residual blocks at 1/8 of the image's resolution, in the analysis and in
            the synthesis.
        wide16, blocks16: the same at 1/16 of the resolution.
        context: channels of the hyper-synthesis and of each context step.
        steps: number of context steps, 2 or 4.

    Raises:
        TypeError: a value is not an int.
        ValueError: a value is outside the limits of FORMAT §7.
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
        """How far the receptive field of the transforms reaches beyond a latent, in latents: a sample per block."""
        return self.blocks16 + -(-self.blocks8 // 2)


CONFIGS = {
    "small": Config(),
    "medium": Config(latents=512, wide8=128, wide16=256, context=192),
    "base": Config(latents=512, wide8=176, blocks8=6, wide16=288, context=192),
}

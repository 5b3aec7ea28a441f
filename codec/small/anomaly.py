"""How unusual pictures are to a model that was trained on usual ones: scores, and maps of where the error is."""

import math
from dataclasses import dataclass

import numpy as np

from . import coder
from .model import SmallModel, dequantise

BRIGHTEST = 20.0  # times the usual error: the brightest colour of a heat map
LEAST_ERROR = 1e-7  # of a model that makes all its pictures exactly
# The colour scale "inferno" of matplotlib, in steps of 1/8: its lightness rises evenly.
COLOURS = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ]
)


@dataclass(frozen=True)
class Scores:
    """What a model says of N pictures.

    Args:
        error: float64 [N], the mean squared error of the reconstruction, on the scale where white is 1.
        bits: float64 [N], what the latents cost by the model's coding tables.
        samples: of one picture.
    """

    error: np.ndarray
    bits: np.ndarray
    samples: int

    def lengths(self, usual_error: float) -> np.ndarray:
        """Return the description length of each picture, float64 [N] bits, up to a constant: latents and residual.

        The residual is taken as Gaussian noise whose variance is the usual error. So its cost is the squared error in
        units of twice that, in nats. It is the negative logarithm of the picture's likelihood.

        Args:
            usual_error: the mean squared error of usual pictures.
        """
        return self.bits + self.samples * self.error / (2 * max(usual_error, LEAST_ERROR) * math.log(2))


def reconstructed(model: SmallModel, pictures: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the symbols, int16 [N, D], and reconstructions, uint8 [N, H, W, C], of pictures uint8 [N, H, W, C].

    Raises:
        ValueError: the pictures are not of the model's size.
    """
    coder.check_fits(model, pictures.shape)
    symbols = coder.quantise(model, coder.latents(model, pictures), level)
    return symbols, coder.pictures(model, dequantise(model, symbols, level))


def squared_errors(pictures: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the squared error of each pixel, the mean of its channels: float32 [N, H, W], where white is 1."""
    return ((pictures.astype(np.float32) - made) ** 2).mean(3) / 255**2


def scores(model: SmallModel, pictures: np.ndarray, level: int) -> Scores:
    """Return the scores of pictures, uint8 [N, H, W, C], coded at a level. Raises ValueError as `reconstructed`."""
    symbols, made = reconstructed(model, pictures, level)
    error = squared_errors(pictures, made).mean((1, 2), dtype=np.float64)
    return Scores(error, coder.bits(model, symbols, level), math.prod(model.shape))


def colours(errors: np.ndarray, usual_error: float) -> np.ndarray:
    """Return heat maps: squared errors, float32 [N, H, W], smoothed and in colours, uint8 [N, H, W, 3].

    Black is no error, and the brightest colour is `BRIGHTEST` times the usual one or more, so that the maps of all
    pictures of one model can be compared.
    """
    for axis in (1, 2):  # 1/4, 1/2, 1/4 in each direction, which is about one pixel
        pad = [(1, 1) if i == axis else (0, 0) for i in range(3)]
        wide, n = np.pad(errors, pad, mode="edge"), errors.shape[axis]
        before, after = (np.take(wide, range(start, start + n), axis) for start in (0, 2))
        errors = (before + 2 * errors + after) / 4
    place = (errors / (BRIGHTEST * max(usual_error, LEAST_ERROR))).clip(0, 1) * (len(COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(COLOURS)), COLOURS[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)

"""Refinement: the encoder decodes its own symbols and improves the latents by the errors that it finds.

The rounded latents of the analysis transform are only a first guess: training makes them smaller than the synthesis
would like, to save bits, and the rounding errors of neighbouring latents overlap in the picture. So each iteration
decodes the tile and projects the pixel errors on the latents: the synthesis has a linear shortcut, and the projection
says by how much each latent, through that shortcut, would cancel the errors. This is a Newton step for the squared
error, taken for each latent separately. Then the entropy nets choose all symbols again, dead zones included.

For a model trained for squared error, full Newton steps are taken, starting from the decoded latents. For the model
tuned for the eye, the error is a mixture of squared error and SSIMULACRA 2, and the gradient of the mixture takes the
place of the pixel errors. SSIMULACRA 2 is not quadratic, so there the steps are small and use momentum. The best of all
iterations is kept, judged by the real number of bytes and the decoded pixels.

bench/ablations.md has the gains and costs. Sources: optimising the latents of each picture, Campos 2019
(arXiv:1906.01223) and Yang 2020 (arXiv:2006.04240).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..picture.ssimulacra2 import MIN_SIDE
from ..picture.ssimulacra2_slope import error_and_slope
from .model_config import MAX_LEVEL, SSIMULACRA2_WEIGHT, level_lambda
from .quality_map import Quality
from .tile_input import WHITE

if TYPE_CHECKING:
    from .tiles import Encoder

# Number of iterations, by what the model was trained for and by effort. A model for MS-SSIM alone is never refined.
ITERATIONS = {
    "mse": {1: 0, 2: 2, 3: 3, 4: 4, 5: 5, 6: 7, 7: 9, 8: 12, 9: 16},
    "eye": {1: 0, 2: 0, 3: 1, 4: 2, 5: 4, 6: 6, 7: 8, 8: 12, 9: 16},
    "ms-ssim": dict.fromkeys(range(1, 10), 0),
}
# Weights of squared error and SSIMULACRA 2 in the distortion for the model tuned for the eye. Training also has MS-SSIM
# in its mixture; here it would only improve MS-SSIM itself, and not the other quality measures.
SQUARED_ERROR, PERCEIVED_ERROR = 0.3, 0.7
# The step for that model, as a share of a Newton step, at the lowest and at the highest level. It is smaller at high
# levels, where SSIMULACRA 2 resembles a squared error less. Tuned at levels 8 to 100.
SHARE_OF_NEWTON = 0.06, 0.02
MOMENTUM = 0.7
LARGEST_ERROR = 1 << 13  # the largest magnitude that `_C.Projection` accepts
FIXED = np.iinfo(np.int16)


@dataclass(frozen=True)
class Symbols:
    """The chosen symbols of one tile, and the latents that they decode to.

    Args:
        symbols: for each segment, int16 [n_k], on the encoder's device.
        indexes: for each segment, the CDF table of each symbol, uint8 [n_k], on the encoder's device.
        latents: the decoder's latents, int16 [h, w, M] in units of 2^-12.
    """

    symbols: Sequence[Any]
    indexes: Sequence[Any]
    latents: np.ndarray


def iterations(tune: str, effort: int) -> int:
    """Return the number of iterations at an effort, 1..9, for a model trained for `tune`, one of TUNES."""
    return ITERATIONS[tune][effort]


def refine(
    encoder: "Encoder",
    x: np.ndarray,
    inside: tuple[slice, slice],
    y: np.ndarray,
    z: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    quality: Quality,
    effort: int,
    progress: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Improve the latents of one tile, so that their symbols have a lower cost, bits + lambda * D.

    Args:
        encoder: of the model, with the dead zones to use.
        x: the tile and a margin around it, int16 [rows, columns, 3], as `tile_input` returns them, but without the
            padding beyond the picture's edges.
        inside: (rows, columns) of the tile in x.
        y, z: latents and hyperlatents of the tile. The hyperlatents stay as they are.
        decode: takes the tile's latents and returns the samples of the area of x, uint16 [rows, columns, C].
        quality: of the tile. With a map, the mean level of its blocks says how much bits are worth.
        effort: 1..9; `iterations` gives the number of iterations.
        progress: called after each iteration.

    Returns:
        The latents with the lowest cost that was found, int16 [h, w, M]; `y` itself if nothing was better.
    """
    tune, n = encoder.file.tune, iterations(encoder.file.tune, effort)
    level = float(np.mean(encoder.file.levels[np.subtract(quality, 1)]))
    weight = level_lambda(level) * x[..., 0].size
    low, high = SHARE_OF_NEWTON
    share = low + (high - low) * (level - 1) / (MAX_LEVEL - 1)
    perceives = tune == "eye" and min(x.shape[:2]) >= MIN_SIDE
    target, best, lowest, momentum = y, y, np.inf, np.zeros(y.shape)
    for i in range(n + 1):
        symbols = encoder.quantise(quality, target, z)
        decoded = decode(symbols.latents)
        distortion, errors = _distortion(x, decoded, perceives, i < n)
        loss = 8 * sum(map(len, encoder.pack(symbols))) + weight * distortion
        if loss < lowest:
            lowest, best = loss, target
        if errors is None:  # the result of the last iteration is only measured
            break
        change = encoder.projection.run(_padded(errors[inside]))
        if tune == "eye":
            momentum = MOMENTUM * momentum + (1 - MOMENTUM) * change
            step = (1 - i / (n + 1)) * share / (1 - MOMENTUM ** (i + 1)) * momentum
            target = _fixed(target + step)
        else:
            target = _fixed(symbols.latents.astype(np.int32) + change)
        progress()
    return best


def _fixed(latents: np.ndarray) -> np.ndarray:
    return np.rint(latents).clip(FIXED.min, FIXED.max).astype(np.int16)


def _distortion(x: np.ndarray, decoded: np.ndarray, perceives: bool, errors: bool) -> tuple[float, np.ndarray | None]:
    """Compute the distortion D of the decoded samples, and the pixel errors for `_C.Projection`.

    D is 255^2 times the mean squared error, or a mixture of that with SSIMULACRA 2.

    Args:
        x: the original, int16 [rows, columns, 3], in units of 1/32 of an 8-bit level; 0 is mid-gray.
        decoded: uint16 [rows, columns, C].
        perceives: whether the mixture with SSIMULACRA 2 is used.
        errors: whether to return pixel errors.

    Returns:
        (D, errors). The errors are float32 [rows, columns, 3]: original minus decoded, or, for the mixture, the errors
        whose squared error has the same gradient. They are None if not wanted.
    """
    seen = (decoded.astype(np.float32) * np.float32(WHITE / 65535) - np.float32(WHITE / 2)).repeat(
        3 // decoded.shape[2], 2
    )
    apart = x - seen
    squared = float(np.mean(np.square(apart), dtype=np.float64)) * (255 / WHITE) ** 2
    if not perceives:
        return squared, apart if errors else None
    original, shown = (v / np.float32(WHITE) + np.float32(0.5) for v in (x, seen))
    perceived, slope = error_and_slope(original, shown, errors)
    found = SQUARED_ERROR * squared + PERCEIVED_ERROR * SSIMULACRA2_WEIGHT * perceived
    if slope is None:
        return found, None
    if decoded.shape[2] == 1:  # a gray sample is repeated in three channels, so each has a third of its gradient
        slope = slope.mean(2, keepdims=True).repeat(3, 2)
    # The gradient of 255^2 times the mean squared error is -2 * 255^2 / n times the errors. This scales the gradient of
    # SSIMULACRA 2 to errors of the same effect.
    slope *= np.float32(-PERCEIVED_ERROR * SSIMULACRA2_WEIGHT * x.size / (2 * 255**2) * WHITE)
    return found, np.float32(SQUARED_ERROR) * apart + slope


def _padded(errors: np.ndarray) -> np.ndarray:
    """Round and clip the errors to int16, and pad them with zeros to multiples of 16: [16 h, 16 w, 3]."""
    bottom, right = (-n % 16 for n in errors.shape[:2])
    errors = np.rint(errors).clip(-LARGEST_ERROR, LARGEST_ERROR).astype(np.int16)
    return np.pad(errors, ((0, bottom), (0, right), (0, 0)))

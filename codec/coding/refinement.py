"""Better symbols for the same decoder: the encoder sees what becomes of them, and moves the latents that should move.

Latents from the analysis, rounded, are a guess: for the rate's sake training makes them smaller than the synthesis
wants them, and rounding errors overlap in the picture. So the tile is decoded, and each latent is moved as the errors
ask: by their projection on what it adds to pixels through the synthesis' linear shortcut. That is a Newton step down
the squared error, of each latent alone. Then the entropy nets choose all symbols anew, dead zones included.

For squared error the steps are whole, and begin at what was decoded. Of a model for the eye, the error is a mixture of
squared error and SSIMULACRA 2, whose slope takes the place of errors; what it calls for is not what a parabola says, so
steps are small, and gather momentum. Of all that were tried the best is kept, by real bytes and decoded pixels.

What it buys and what it costs: bench/ablations.md. Sources: latents fitted to each picture, Campos 2019
(arXiv:1906.01223) and Yang 2020 (arXiv:2006.04240).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..picture.ssimulacra2 import MIN_SIDE
from ..picture.ssimulacra2_slope import error_and_slope
from .model_config import MAX_LEVEL, SSIMULACRA2_WEIGHT, level_lambda
from .tile_input import WHITE

if TYPE_CHECKING:
    from .tiles import Encoder

# How often symbols are chosen anew, by what a model is trained for and by effort. (A model for MS-SSIM alone is left
# as it is.)
ITERATIONS = {
    "mse": {1: 0, 2: 2, 3: 3, 4: 4, 5: 5, 6: 7, 7: 9, 8: 12, 9: 16},
    "eye": {1: 0, 2: 0, 3: 1, 4: 2, 5: 4, 6: 6, 7: 8, 8: 12, 9: 16},
    "ms-ssim": dict.fromkeys(range(1, 10), 0),
}
# Of the distortion for the eye, in the place of what training has: with MS-SSIM there is less to gain by all judges but
# itself.
SQUARED_ERROR, PERCEIVED_ERROR = 0.3, 0.7
# Of a Newton step: at the lowest level, and at the highest, where SSIMULACRA 2 has less to do with squares. Tuned at
# levels 8 to 100.
SHARE_OF_NEWTON = 0.06, 0.02
MOMENTUM = 0.7
LARGEST_ERROR = 1 << 13  # that `_C.Projection` takes
FIXED = np.iinfo(np.int16)


@dataclass(frozen=True)
class Symbols:
    """Of one tile, segment by segment: int16 and uint8 [n_k], on the encoder's device; and what they decode to.

    Args:
        latents: int16 [h, w, M].
    """

    symbols: Sequence[Any]
    indexes: Sequence[Any]
    latents: np.ndarray


def iterations(tune: str, effort: int) -> int:
    """How often symbols are chosen anew at an effort, 1..9, by a model of a tune, one of TUNES."""
    return ITERATIONS[tune][effort]


def refine(
    encoder: "Encoder",
    x: np.ndarray,
    inside: tuple[slice, slice],
    y: np.ndarray,
    z: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    quality: int,
    effort: int,
    progress: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Latents of one tile whose symbols cost less, by bits + lambda * D, than those of `y`.

    Args:
        encoder: of the model, with the dead zones that are to be used.
        x: the tile and what is around it, int16 [rows, columns, 3], real pixels only, as `tile_input` gives them.
        inside: rows and columns of the tile in x.
        y, z: its latents and hyperlatents. The latter are left as they are.
        decode: the tile's latents -> samples of all that is in x, uint16 [rows, columns, C].
        quality: 1..100.
        effort: 1..9; of 1 to 9 at least one iteration.
        progress: called after each iteration.

    Returns:
        int16 [h, w, M].
    """
    tune, n = encoder.file.tune, iterations(encoder.file.tune, effort)
    level = float(encoder.file.levels[quality - 1])
    weight = level_lambda(level) * x[..., 0].size
    low, high = SHARE_OF_NEWTON
    share = low + (high - low) * (level - 1) / (MAX_LEVEL - 1)
    perceives = tune == "eye" and min(x.shape[:2]) >= MIN_SIDE
    target, best, lowest, momentum = y, y, np.inf, np.zeros(y.shape)
    for i in range(n + 1):
        symbols = encoder.quantise(quality, target, z)
        decoded = decode(symbols.latents)
        distortion, errors = _distortion(x, decoded, perceives, i < n)
        loss = 8 * len(encoder.pack(symbols)) + weight * distortion
        if loss < lowest:
            lowest, best = loss, target
        if errors is None:  # the last is only measured
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
    """D, 255^2 times a mean squared error or a mixture with SSIMULACRA 2; and what `_C.Projection` is to make up for.

    Args:
        x: int16 [rows, columns, 3], in units of 1/32 of a level of 8 bits, 0 between black and white.
        decoded: uint16 [rows, columns, C].
        perceives: whether SSIMULACRA 2 is in the mixture.
        errors: whether they are wanted: of the squared error, original less decoded; else what has the same slope.

    Returns:
        (D, float32 as large as x).
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
    if decoded.shape[2] == 1:  # each channel is a third of a gray sample
        slope = slope.mean(2, keepdims=True).repeat(3, 2)
    # A squared error's slope is -2 * 255^2 / n times the errors.
    slope *= np.float32(-PERCEIVED_ERROR * SSIMULACRA2_WEIGHT * x.size / (2 * 255**2) * WHITE)
    return found, np.float32(SQUARED_ERROR) * apart + slope


def _padded(errors: np.ndarray) -> np.ndarray:
    """int16 [16 h, 16 w, 3], zeros beyond the picture."""
    bottom, right = (-n % 16 for n in errors.shape[:2])
    errors = np.rint(errors).clip(-LARGEST_ERROR, LARGEST_ERROR).astype(np.int16)
    return np.pad(errors, ((0, bottom), (0, right), (0, 0)))

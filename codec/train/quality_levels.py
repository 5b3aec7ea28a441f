"""Calibration of the quality scale: a quality is about the mean SSIMULACRA 2 score that pictures have at it.

The input of the nets is a level, 1..MAX_LEVEL, which sets the trade-off between rate and distortion. A model file maps
each quality to a level, so that q = 50 is medium, q = 70 is high, and at q = 90 most people see no difference from the
original, whatever the model was trained for. This holds for the scores that the model can reach. The ends are fixed:
q = 1 is the lowest level, and q = 100 the highest.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..api import DEFAULT_EFFORT
from ..coding import decoder, tiles
from ..coding.model_config import MAX_LEVEL, QUALITIES
from ..container import format
from ..nets.torch_codec import Codec
from ..picture.pixels import to_pixels
from ..picture.ssimulacra2 import MIN_SIDE, ssimulacra2

EVEN_LEVELS = torch.linspace(1, MAX_LEVEL, QUALITIES)  # the levels of a model before calibration
MEASURED = (1, 8, 16, 25, 35, 45, 55, 65, 75, 85, 93, 100)  # qualities with EVEN_LEVELS at which scores are measured
SCORES = range(10, 91, 5)  # qualities that are made equal to their scores; others are interpolated
LEAST_SLOPE = 0.2  # smallest difference of the levels of neighbouring qualities, so that each quality changes the file


def calibrated_levels(codec: Codec, images: Sequence[np.ndarray]) -> Tensor:
    """Measure scores and return the level for each quality, float32 [100].

    Args:
        codec: the model, saved with EVEN_LEVELS.
        images: uint8 [H, W, 3] each, of the kind that the model is for. Those with a side below 8 pixels have no score
            and are ignored; if there are no others, EVEN_LEVELS is returned.
    """
    images = [image for image in images if min(image.shape[:2]) >= MIN_SIDE]
    if not images:
        return EVEN_LEVELS
    scores = [np.mean([ssimulacra2(im, coded(codec, im, q)[1]) for im in images]) for q in MEASURED]
    return levels_for(np.array(scores), EVEN_LEVELS.numpy()[np.array(MEASURED) - 1])


def coded(codec: Codec, image: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """Encode a picture uint8 [H, W, 3] at the default effort and decode it.

    Returns (bytes of the file, decoded picture uint8 [H, W, 3]).
    """
    pixels = to_pixels(image)
    header = pixels.header(quality, codec.id)
    coded = tiles.encode(codec.encoder, pixels, header, DEFAULT_EFFORT)
    file = tiles.file(codec.encoder, header, coded)
    return len(file), decoder.decode(codec.decoder, decoder.Coded.of(codec.decoder, format.read(file)))


def levels_for(scores: np.ndarray, levels: np.ndarray) -> Tensor:
    """Return the levels at which the scores equal the qualities: float32 [100], rising by at least LEAST_SLOPE.

    Args:
        scores: mean SSIMULACRA 2 score at each of `levels`, float [n].
        levels: float [n], rising from 1 to MAX_LEVEL.
    """
    scores = np.maximum.accumulate(scores)
    scores = scores + 1e-6 * np.arange(len(scores))  # strictly rising, so that the function can be inverted
    knots = [(1, 1.0)]
    for q in SCORES:
        if scores[0] < q < scores[-1]:
            least = knots[-1][1] + LEAST_SLOPE * (q - knots[-1][0])
            most = MAX_LEVEL - LEAST_SLOPE * (QUALITIES - q)
            knots.append((q, min(max(float(np.interp(q, scores, levels)), least), most)))
    knots.append((QUALITIES, MAX_LEVEL))
    qualities, at = zip(*knots, strict=True)
    return torch.from_numpy(np.interp(np.arange(1, QUALITIES + 1), qualities, at)).float()

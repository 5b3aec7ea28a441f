"""What a quality means: about the mean SSIMULACRA 2 that pictures have at it, wherever the model reaches that score.

The nets are told a level, 1..MAX_LEVEL, how finely to code. A model file says which level each quality stands for, so
that q = 50 is medium, 70 high, and 90 cannot be told from the original by most people, whatever the model was trained
for. The ends are fixed: q = 1 is the lowest level and q = 100 the highest.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..api import DEFAULT_EFFORT
from ..coding import decoder, tiles
from ..coding.model_config import MAX_LEVEL, QUALITIES
from ..container.format import write
from ..nets.torch_codec import Codec
from ..picture.pixels import to_pixels
from ..picture.ssimulacra2 import MIN_SIDE, ssimulacra2

EVEN_LEVELS = torch.linspace(1, MAX_LEVEL, QUALITIES)  # of a model that nobody has calibrated
MEASURED = (1, 8, 16, 25, 35, 45, 55, 65, 75, 85, 93, 100)  # qualities of such a model
SCORES = range(10, 91, 5)  # qualities that shall mean their scores
LEAST_SLOPE = 0.2  # levels from one quality to the next: each must change the file


def calibrated_levels(codec: Codec, images: Sequence[np.ndarray]) -> Tensor:
    """The level of each quality, float32 [100].

    Args:
        codec: with EVEN_LEVELS.
        images: uint8 [H, W, 3] of the kind that the model is for. Those with a side below 8 pixels have no score; if
            there are no others, the levels stay even.
    """
    images = [image for image in images if min(image.shape[:2]) >= MIN_SIDE]
    if not images:
        return EVEN_LEVELS
    scores = [np.mean([ssimulacra2(im, coded(codec, im, q)[1]) for im in images]) for q in MEASURED]
    return levels_for(np.array(scores), EVEN_LEVELS.numpy()[np.array(MEASURED) - 1])


def coded(codec: Codec, image: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """Bytes of a picture's file at the default effort, and what it decodes to, uint8 [H, W, 3] as the picture."""
    pixels = to_pixels(image)
    header = pixels.header(quality, codec.id)
    payloads = tiles.encode(codec.encoder, pixels, header, DEFAULT_EFFORT)
    return len(write(header, payloads)), decoder.decode(codec.decoder, header, payloads)


def levels_for(scores: np.ndarray, levels: np.ndarray) -> Tensor:
    """The levels at which qualities have the scores that they promise: float32 [100], rising by LEAST_SLOPE at least.

    Args:
        scores: mean SSIMULACRA 2 at each of `levels`.
        levels: float [n], rising from 1 to MAX_LEVEL.
    """
    scores = np.maximum.accumulate(scores)
    scores = scores + 1e-6 * np.arange(len(scores))  # rising, so that it has an inverse
    knots = [(1, 1.0)]
    for q in SCORES:
        if scores[0] < q < scores[-1]:
            least = knots[-1][1] + LEAST_SLOPE * (q - knots[-1][0])
            most = MAX_LEVEL - LEAST_SLOPE * (QUALITIES - q)
            knots.append((q, min(max(float(np.interp(q, scores, levels)), least), most)))
    knots.append((QUALITIES, MAX_LEVEL))
    qualities, at = zip(*knots, strict=True)
    return torch.from_numpy(np.interp(np.arange(1, QUALITIES + 1), qualities, at)).float()

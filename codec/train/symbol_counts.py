"""Counts of a model's symbols, to which its coding tables are fitted (`cdf_tables.fitted_tables`).

Each index stands for a Gaussian, but the real symbols differ from it: dead zones cause more zeros, and the
distributions with the largest scales have longer tails.
"""

import numpy as np
import torch

from ..api import DEFAULT_EFFORT
from ..coding.cdf_tables import INDEX_COUNT
from ..coding.tiles import TileTask
from ..container.format import Header
from ..nets.torch_codec import Codec
from ..picture.samples import Pixels
from .images import Crops

SIDE = 256  # side of the crops, in pixels
LARGEST = 4000  # larger symbols are too rare to matter


@torch.inference_mode()
def symbol_counts(codec: Codec, images: list[np.ndarray], crops: int = 160, seed: int = 0) -> np.ndarray:
    """Count how often each symbol occurs with each index, in crops encoded at random qualities with the default effort.

    Args:
        codec: the model.
        images: uint8 [H, W, 3] each, with sides of at least SIDE; those that the model was trained on.
        crops: number of crops; each one has 83,000 symbols if the model has 320 latent channels.
        seed: of the random crops and qualities.

    Returns:
        int64 [64, 2 * LARGEST + 1]: the counts of the symbols from -LARGEST to LARGEST, for each index.
    """
    encoder = codec.encoder
    counts = np.zeros((INDEX_COUNT, 2 * LARGEST + 1), np.int64)
    source, rng = Crops(images, torch.device("cpu"), seed), np.random.default_rng(seed)
    for _ in range(crops):
        quality = int(rng.integers(1, 101))
        pixels = Pixels(source.draw(1, SIDE)[0].permute(1, 2, 0).numpy())
        (tile,) = Header(SIDE, SIDE, quality, codec.id).tiles
        chosen = encoder.quantise(quality, *encoder.analyse(TileTask(pixels, tile, quality, DEFAULT_EFFORT)))
        s, i = (v.cpu().numpy() if hasattr(v, "cpu") else v for v in (chosen.symbols, chosen.indexes))
        s = s.astype(np.int64)
        inside = np.abs(s) <= LARGEST
        np.add.at(counts, (i[inside], s[inside] + LARGEST), 1)
    return counts

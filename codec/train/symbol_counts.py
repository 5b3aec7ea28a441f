"""What a model's symbols are like, so that its coding tables can be fitted to them (`cdf_tables.fitted_tables`).

Indexes stand for Gaussians, but the encoder makes more zeros, and what a net is least sure of has longer tails.
"""

import numpy as np
import torch

from ..api import DEFAULT_EFFORT
from ..coding import tiles
from ..coding.cdf_tables import INDEX_COUNT
from ..container.format import Header
from ..nets.torch_codec import Codec
from ..picture.pixels import Pixels
from .images import Crops

SIDE = 256  # of the crops
LARGEST = 4000  # larger symbols do not come often enough to count


@torch.inference_mode()
def symbol_counts(codec: Codec, images: list[np.ndarray], crops: int = 160, seed: int = 0) -> np.ndarray:
    """How often each symbol comes with each index, over crops at random qualities, as the default effort chooses them.

    Args:
        images: uint8 [H, W, 3], sides at least SIDE: those that the model was trained on.
        crops: of SIDE x SIDE; each holds 83,000 symbols of a model with 320 latents.

    Returns:
        int64 [64, 2 * LARGEST + 1], symbols rising from -LARGEST.
    """
    encoder = codec.encoder
    counts = np.zeros((INDEX_COUNT, 2 * LARGEST + 1), np.int64)
    source, rng = Crops(images, torch.device("cpu"), seed), np.random.default_rng(seed)
    for _ in range(crops):
        quality = int(rng.integers(1, 101))
        pixels = Pixels(source.draw(1, SIDE)[0].permute(1, 2, 0).numpy())
        (tile,) = Header(SIDE, SIDE, quality, codec.id).tiles
        chosen = encoder.quantise(quality, *tiles.analyse(encoder, pixels, tile, quality, DEFAULT_EFFORT))
        s, i = (
            np.concatenate([v.cpu().numpy() if hasattr(v, "cpu") else v for v in parts])
            for parts in (chosen.symbols, chosen.indexes)
        )
        s = s.astype(np.int64)
        inside = np.abs(s) <= LARGEST
        np.add.at(counts, (i[inside], s[inside] + LARGEST), 1)
    return counts

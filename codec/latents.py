"""One tile's latents <-> its symbols and payload: FORMAT §8, steps 1 to 3, on whatever walk is given."""

import numpy as np
import torch
from torch import Tensor

from . import entropy
from .walk import Walk


def quantise(walk: Walk, y: Tensor, z: Tensor) -> tuple[np.ndarray, np.ndarray, list[int], Tensor]:
    """Choose one tile's symbols.

    Args:
        walk: at its start; of the tile's quality and size.
        y: latents, float32 [M, h, w], on the walk's device.
        z: hyperlatents, float32 [Z, ceil(h/4), ceil(w/4)], there too.

    Returns:
        (symbols int16 [N], indexes uint8 [N], segment lengths, the decoder's latents float32 [M, h, w]).
    """
    symbols, indexes = [], []
    for k in range(walk.segments):
        indexes.append(walk.predict(k).cpu().numpy())
        symbols.append(walk.choose(k, y if k else z).cpu().numpy())
    return np.concatenate(symbols), np.concatenate(indexes), [len(s) for s in symbols], walk.latents()


def read(walk: Walk, tables: entropy.Tables, payload: bytes) -> Tensor:
    """Decode one tile's payload to its latents, float32 [M, h, w].

    Args:
        walk: at its start; of the tile's quality and size.
        tables: of the same model.
        payload: FORMAT §3.

    Raises:
        CorruptError: the payload is not one that an encoder with this model writes.
    """
    decoder = entropy.Decoder(tables, payload)
    for k in range(walk.segments):
        index = walk.predict(k)
        symbols = torch.from_numpy(decoder.decode(index.cpu().numpy()))
        walk.accept(k, symbols.to(index.device))
    decoder.finish()
    return walk.latents()

"""Small pictures <-> latents <-> symbols <-> payloads, in batches."""

import numpy as np

from ..coding import rans
from ..coding.cdf_tables import cost_bits
from ..container.collection import MAX_BLOCK
from .layers import Net
from .model import SmallModel

MOST_IN_NET = 2**22  # values between two layers of a net for all pictures that run through it at a time: 32 MB
MOST_IN_PAYLOAD = 2**20  # symbols


def block_size(model: SmallModel) -> int:
    """Return how many pictures share a payload: the largest power of two that does not make it too large."""
    most = max(1, MOST_IN_PAYLOAD // model.n_latents)
    return min(MAX_BLOCK, 1 << most.bit_length() - 1)


def batch_of(net: Net) -> int:
    """Return how many pictures run through a net at a time, so that memory stays small."""
    return max(1, min(256, MOST_IN_NET // net.largest))


def latents(model: SmallModel, pictures: np.ndarray) -> np.ndarray:
    """Run the encoder: uint8 [N, H, W, C] -> float64 [N, D] of integers in -32767..32767."""
    out, batch = np.empty((len(pictures), model.n_latents)), batch_of(model.encoder)
    for i in range(0, len(pictures), batch):
        inputs = pictures[i : i + batch].transpose(0, 3, 1, 2).astype(np.float64)
        out[i : i + batch] = model.encoder(inputs).reshape(-1, model.n_latents)
    return out


def pictures(model: SmallModel, values: np.ndarray) -> np.ndarray:
    """Run the decoder: latents, float64 [N, D] of integers in -32767..32767 -> uint8 [N, H, W, C]."""
    height, width, channels = model.shape
    out, batch = np.empty((len(values), channels, height, width), np.uint8), batch_of(model.decoder)
    for i in range(0, len(values), batch):
        made = model.decoder(values[i : i + batch].reshape(-1, *model.encoder.shape))
        out[i : i + batch] = np.searchsorted(model.thresholds, made, side="right").reshape(-1, channels, height, width)
    return np.ascontiguousarray(out.transpose(0, 2, 3, 1))


def quantise(model: SmallModel, values: np.ndarray, level: int) -> np.ndarray:
    """Round latents to the nearest symbols: float64 [N, D] -> int16 [N, D].

    Neither a dead zone nor a choice by rate and distortion is better at equal error, as it is in the big codec: within
    1 % for one layer of latents, and worse for deeper nets (measured on MNIST with 28, 128 and 196 latents).
    """
    s = np.rint((values - model.centres) / model.steps[level])
    s[:, model.indexes[level] == 0] = 0
    return s.clip(-rans.MAX_SYMBOL, rans.MAX_SYMBOL).astype(np.int16)


def encode(model: SmallModel, symbols: np.ndarray, level: int) -> bytes:
    """Entropy-code the symbols of one block, int16 [N, D], into a payload (FORMAT §3, of one segment)."""
    indexes = np.tile(model.indexes[level], len(symbols))
    return rans.encode(symbols.reshape(-1), indexes, [symbols.size], model.tables[level])


def decode(model: SmallModel, payload: bytes | memoryview, count: int, level: int) -> np.ndarray:
    """Decode the symbols of a block of `count` pictures: int16 [count, D].

    Raises:
        CorruptError: no encoder writes such a payload.
    """
    decoder = rans.Decoder(model.tables[level], payload)
    symbols = decoder.decode(np.tile(model.indexes[level], count))
    decoder.finish()
    return symbols.reshape(count, model.n_latents)


def bits(model: SmallModel, symbols: np.ndarray, level: int) -> np.ndarray:
    """Return what each picture's symbols cost: int16 [N, D] -> float64 [N] bits, by the model's tables."""
    freqs, limits, raw_bits = (model.tensors[name][level] for name in ("freqs", "limits", "raw_bits"))
    index = np.broadcast_to(model.indexes[level], symbols.shape)
    return cost_bits(freqs, limits, raw_bits, symbols.reshape(-1), index.reshape(-1)).reshape(symbols.shape).sum(1)


def check_fits(model: SmallModel, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless pictures [.., H, W, C] have the model's size."""
    if tuple(shape[-3:]) != model.shape:
        names = ["x".join(map(str, (s[1], s[0], s[2]))) for s in (shape[-3:], model.shape)]
        raise ValueError(f"pictures of {names[0]} samples: {model.path.name} is for {names[1]}")

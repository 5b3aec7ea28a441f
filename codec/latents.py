"""One tile's latents <-> its symbols and payload: the loop that encoder and decoder share, so that they cannot differ.

FORMAT §8 is this loop in words.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from . import entropy
from .integer import HIGH, LOW, IntegerEntropyNet
from .layers import FRACTION_BITS
from .model import HYPER_STRIDE, step_of

# code(mean, step, index, position) -> symbols, float64 [n] each; position int64 [n] is the flat place in the tensor.
Code = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@lru_cache(maxsize=8)
def _positions(steps: int, shape: tuple[int, int, int], device: torch.device) -> list[Tensor]:
    """Flat positions of each step's latents, in coding order (channel, row, column)."""
    order = step_of(steps, *shape, device=device).flatten()
    return [(order == k).nonzero()[:, 0] for k in range(steps)]


def _walk(net: IntegerEntropyNet, quality: int, height: int, width: int, code_z: Code, code_y: Code) -> Tensor:
    """Run the entropy nets over one tile, asking `code_*` for each segment's symbols in turn.

    Returns:
        Latents, float64 [M, height, width] holding int16 in units of 2^-12.
    """
    config, device = net.config, net.step.device
    q = torch.tensor([quality], device=device)

    def values(
        code: Code, shape: tuple[int, ...], position: Tensor, mean: Tensor, step: Tensor, index: Tensor
    ) -> Tensor:
        channel = position // (shape[1] * shape[2])
        step = step[channel]
        symbols = code(mean, step, index, position)
        return (mean + symbols * step).clamp_(LOW, HIGH)

    z_shape = (config.hyper, -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE))
    position = torch.arange(z_shape[0] * z_shape[1] * z_shape[2], device=device)
    index = net.hyper_index[quality - 1].double()[position // (z_shape[1] * z_shape[2])]
    z_step = net.hyper_step[quality - 1].double()
    z_hat = values(code_z, z_shape, position, torch.zeros_like(index), z_step, index).view(1, *z_shape)

    prior = net.prior(z_hat, q, height, width)
    shape = (config.latents, height, width)
    y_hat = torch.zeros(1, *shape, dtype=torch.float64, device=device)
    step = net.step[quality - 1].double()
    for k, position in enumerate(_positions(config.steps, shape, device)):
        mean, index = net.predict(k, prior, y_hat, q)
        here = values(code_y, shape, position, mean.flatten()[position], step, index.flatten()[position])
        y_hat = y_hat.clone()
        y_hat.view(-1)[position] = here
    return y_hat[0]


def to_fixed(x: Tensor) -> Tensor:
    """Float latents -> float64 holding int16 in units of 2^-12."""
    return (x.double() * 2**FRACTION_BITS).round_().clamp_(LOW, HIGH)


def to_float(x: Tensor) -> Tensor:
    """Inverse of `to_fixed`: float32, exact."""
    return (x * 2.0**-FRACTION_BITS).float()


def quantise(
    net: IntegerEntropyNet, y: Tensor, z: Tensor, quality: int
) -> tuple[np.ndarray, np.ndarray, list[int], Tensor]:
    """Choose one tile's symbols.

    Args:
        net: on any device.
        y: latents, float [M, h, w], same device.
        z: hyperlatents, float [Z, ceil(h/4), ceil(w/4)], same device.
        quality: 1..100.

    Returns:
        (symbols int16 [N], indexes uint8 [N], segment lengths, the decoder's latents float32 [M, h, w]).
    """
    symbols, indexes = [], []

    def code(fixed: Tensor) -> Code:
        flat = fixed.flatten()

        def choose(mean: Tensor, step: Tensor, index: Tensor, position: Tensor) -> Tensor:
            s = ((flat[position] - mean) / step).round_().clamp_(-entropy.MAX_SYMBOL, entropy.MAX_SYMBOL)
            s *= index > 0
            symbols.append(s.to(torch.int16).cpu().numpy())
            indexes.append(index.to(torch.uint8).cpu().numpy())
            return s

        return choose

    y_hat = _walk(net, quality, *y.shape[1:], code(to_fixed(z)), code(to_fixed(y)))
    return np.concatenate(symbols), np.concatenate(indexes), [len(s) for s in symbols], to_float(y_hat)


def read(
    net: IntegerEntropyNet, tables: entropy.Tables, payload: bytes, quality: int, height: int, width: int
) -> Tensor:
    """Decode one tile's payload to its latents, float32 [M, height, width].

    Raises:
        CorruptError: the payload is not one that an encoder with this model writes.
    """
    decoder = entropy.Decoder(tables, payload)

    def code(mean: Tensor, step: Tensor, index: Tensor, position: Tensor) -> Tensor:
        symbols = decoder.decode(index.to(torch.uint8).cpu().numpy())
        return torch.from_numpy(symbols).to(mean.device, torch.float64)

    y_hat = _walk(net, quality, height, width, code, code)
    decoder.finish()
    return to_float(y_hat)

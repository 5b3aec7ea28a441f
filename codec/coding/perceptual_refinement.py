"""Better symbols for a model that was trained for the eye: latents move down the gradient of a perceptual distortion.

`refinement` knows the error's curvature, for it is squared. Here the distortion is a mixture of squared error and
SSIMULACRA 2, whose gradient comes through the whole synthesis. Latents move by small steps, the entropy nets choose all
symbols anew, and of all that were tried the best is kept, by real bytes and the distortion of what they decode to.

What it buys and what it costs: bench/ablations.md, "For the eye".

Sources: latents fitted to each picture, Campos 2019 (arXiv:1906.01223) and Yang 2020 (arXiv:2006.04240).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..nets.layers import exact_convolutions, fast_convolutions
from ..nets.losses import distortion
from ..nets.model import level_lambda
from ..nets.torch_codec import Codec
from ..picture.ssimulacra2 import MIN_SIDE
from . import payloads
from .model_config import MAX_LEVEL

# Of the distortion, in the place of what training has: with MS-SSIM there is less to gain by all judges but itself.
REFINED_FOR = {"mse": 0.3, "ssimulacra2": 0.7}
# Of a Newton step by the curvature of the squared error: at the lowest level, and at the highest, where SSIMULACRA 2
# has less to do with squares. Tuned at levels 8 to 100.
SHARE_OF_NEWTON = 0.06, 0.02
MOMENTUM = 0.7


@torch.inference_mode(False)  # whose tensors the caller may hand in, but autograd cannot take
@exact_convolutions
def descend(
    codec: Codec,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    inside: tuple[slice, slice],
    quality: int,
    n: int,
    progress: Callable[[], None],
) -> Tensor:
    """Latents of one tile whose symbols cost less, by bits + lambda * D, than those of `y`.

    Args, Returns: as `refinement.refine`; n: how many steps, at least 1.
    """
    x, whole = x[None].clone(), y.clone()
    start = y[:, inside[0], inside[1]].clone()
    level = codec.level(quality)
    weight = float(level_lambda(level)) * x.shape[2] * x.shape[3]
    low, high = SHARE_OF_NEWTON
    share = low + (high - low) * (float(level) - 1) / (MAX_LEVEL - 1)
    pace = share * 3 / (2 * 255**2 * codec.synthesis.energies()[:, None, None])
    target = best = start
    lowest, momentum = float("inf"), torch.zeros_like(start)
    for i in range(n + 1):
        walk = codec.walk(quality, *start.shape[1:])
        symbols, indexes, segments, decoded = payloads.quantise(walk, target, z, codec.dead_zones)
        whole[:, inside[0], inside[1]] = decoded
        seen, slope = _distortion(codec, whole, level, x, i < n)
        loss = 8 * len(payloads.encode(symbols, indexes, segments, codec.tables)) + weight * seen
        if loss < lowest:
            lowest, best = loss, target
        if i < n:
            slope = slope[:, inside[0], inside[1]] * (x.shape[2] * x.shape[3])
            momentum = MOMENTUM * momentum + (1 - MOMENTUM) * slope
            mean = momentum / (1 - MOMENTUM ** (i + 1))
            target = target - (1 - i / (n + 1)) * pace * mean
            progress()
    return best


def _distortion(codec: Codec, y: Tensor, level: Tensor, x: Tensor, with_slope: bool) -> tuple[float, Tensor | None]:
    """D of what latents [M, h, w] decode to, but for the rounding to samples, beside x [1, C, H, W]; and its slope."""
    y = y.clone().requires_grad_(with_slope)
    shares = REFINED_FOR if min(x.shape[2:]) >= MIN_SIDE else {"mse": 1.0}
    with torch.set_grad_enabled(with_slope):
        with fast_convolutions(codec.device):
            decoded = codec.synthesis(y[None].contiguous(memory_format=torch.channels_last), level).float() + 0.5
        decoded = decoded[:, :, : x.shape[2], : x.shape[3]]
        if x.shape[1] == 1:  # a gray picture's samples are the channels' mean (FORMAT §8)
            decoded, x = (v.mean(1, keepdim=True).expand(-1, 3, -1, -1) for v in (decoded, x))
        error = distortion(decoded.clamp(0, 1), x, shares).sum()
    slope = torch.autograd.grad(error, y)[0] if with_slope else None
    return float(error.detach()), slope

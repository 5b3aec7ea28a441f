"""Better symbols for the same decoder: the encoder sees what the synthesis makes of them, and changes those that pay.

Latents from the analysis, rounded, are a guess: for the rate's sake training makes them smaller than the synthesis
wants them, and rounding errors overlap in the picture. Near the symbols at hand the distortion is taken as quadratic:
its slope from the decoded picture's errors, its curvature, by latent, from the synthesis' linear shortcut. So it is
known of every latent what another symbol would cost in error, and by its table index what it would cost in bits. The
cheapest is taken, of all latents at once.

The entropy nets are not differentiated: what a symbol does to the means and indexes of later ones is not foreseen. With
their gradient, in a float twin, the gain was within 0.2 % BD-rate of that without, on two pictures.

Sources: latents fitted to each picture, Campos 2019 (arXiv:1906.01223) and Yang 2020 (arXiv:2006.04240); the choice by
error and bits is rate-distortion optimised quantisation, Karczewicz 2008 (VCEG-AH21).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.coding_order import positions
from ..nets.integer import to_float
from ..nets.layers import exact_convolutions, fast_convolutions, pointwise
from ..nets.model import bits_of, level_lambda
from ..nets.torch_codec import Codec
from . import payloads
from .efforts import iterations
from .model_config import LATENT_STRIDE
from .perceptual_refinement import descend

# From this effort on the slope comes through all of the synthesis, and what is kept is the best by real bytes. Below,
# through the shortcut alone, for which a synthesis is enough, and unchecked: the first time that does as well
# (bench/ablations.md).
THOROUGH = 3
# How far from its symbol a latent is handed on, in steps, towards where it would best be: short of the next symbol.
NEAR = 0.45


@torch.inference_mode(False)  # whose tensors the caller may hand in, but autograd cannot take
@exact_convolutions
def refine(
    codec: Codec,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    inside: tuple[slice, slice],
    quality: int,
    effort: int,
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """Latents of one tile whose symbols cost less, by bits + lambda * D, than those of `y`.

    D is 255^2 times the mean squared error; of a model that was trained for the eye, what `perceptual_refinement` has.

    Args:
        codec: the model; all tensors are on its device.
        x: the tile and its halo, float32 [C, H, W] in [0, 1], real pixels only; C = 1 for a gray picture, whose decoded
            pixels are the channels' mean.
        y: latents of the same area as the analysis gives them, float32 [M, ceil(H/16), ceil(W/16)].
        z: hyperlatents of the tile, float32 [Z, ceil(h/4), ceil(w/4)]. They are left as they are.
        inside: rows and columns of the tile's latents, h x w, in y. The others stay as they are, not even quantised;
            from THOROUGH on the error counts on all of x: what a latent does to the next tile weighs as at home.
        quality: 1..100.
        effort: 1..9.
        progress: called after each iteration.

    Returns:
        The tile's latents, float32 [M, h, w], for `payloads.quantise` with the codec's dead zones. A function of the
        arguments alone on one machine.
    """
    target = best = y[:, inside[0], inside[1]]
    n, thorough = iterations(codec.tune, effort), effort >= THOROUGH
    if not n:
        return target
    if codec.tune == "eye":
        return descend(codec, x, y, z, inside, quality, n, progress)
    if thorough:
        x, y = x.clone(), y.clone()
    weight = 255**2 * float(level_lambda(codec.level(quality)))
    q = codec.level(quality)
    step = to_float(codec.net.step[quality - 1])
    # In bits per squared step: 16 to 29 for bf4bace6; a uniform quantiser at its optimum has 12 log2(e) = 17.3.
    # A gray picture's is less, but there latents overlap, and would overshoot together.
    curvature = 2 / 3 * weight * codec.synthesis.energies() * step.square()
    lowest = math.inf
    for i in range(n + 1 if thorough else n):
        walk = codec.walk(quality, *target.shape[1:])
        symbols, indexes, segments, decoded = payloads.quantise(walk, target, z, codec.dead_zones)
        whole = y.clone()
        whole[:, inside[0], inside[1]] = decoded
        if thorough:
            distortion, slope = _through_synthesis(codec, whole, q, x)
            loss = 8 * len(payloads.encode(symbols, indexes, segments, codec.tables)) + weight * distortion
            if loss < lowest:
                lowest, best = loss, target
        else:
            slope = _through_shortcut(codec, whole, q, x)
        if i < n:
            s, index = (v[segments[0] :] for v in (symbols, indexes))  # hyperlatents come first
            slope = weight * slope[:, inside[0], inside[1]]
            target = _moved(codec.config.steps, s, index, decoded, slope, step, curvature)
            progress()
    return best if thorough else target


def _moved(
    steps: int, symbols: Tensor, indexes: Tensor, decoded: Tensor, slope: Tensor, step: Tensor, curvature: Tensor
) -> Tensor:
    """Latents [M, h, w] to be quantised instead of those that gave `symbols`.

    The means of later context steps move with the symbols before them, so that latents are rounded afresh. So they are
    handed on not as whole symbols but up to NEAR from them, towards where each would best be; and at the edge of a dead
    zone the quantiser decides last.

    Args:
        steps: context steps.
        symbols, indexes: of the latents, in coding order, [M * h * w].
        decoded: the latents that they stand for, [M, h, w].
        slope: the distortion's derivative by each, in bits, [M, h, w].
        step, curvature: by channel, [M]: the quantisation step, and the distortion's second derivative in bits per
            squared step.
    """
    n, height, width = decoded.shape
    live = indexes.nonzero()[:, 0]  # the others are surely 0
    place = torch.cat(positions(steps, (n, height, width), indexes.device))[live]
    channel = place // (height * width)
    at = place % (height * width) * n + channel  # in [h, w, M], for so latents lie in memory
    target = decoded.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
    s, step, curvature = symbols[live].float(), step[channel], curvature[channel]
    wanted = s - slope.permute(1, 2, 0).reshape(-1)[at] * step / curvature
    cheapest = _cheapest(wanted, indexes[live], curvature)
    target.view(-1)[at] += step * (cheapest + (wanted - cheapest).clamp(-NEAR, NEAR) - s)
    return target.permute(2, 0, 1)


def _cheapest(wanted: Tensor, index: Tensor, curvature: Tensor) -> Tensor:
    """Symbols [n] that minimise bits + curvature / 2 * (symbol - wanted)^2: a neighbour of `wanted`, or 0."""
    magnitude = wanted.abs()
    far = (magnitude > 0.5).nonzero()[:, 0]  # of the others 0 is the nearest, and never dearer
    magnitude, index, curvature = magnitude[far], index[far], curvature[far]

    def cost(choice: Tensor) -> Tensor:
        return bits_of(choice, index) + curvature / 2 * (choice - magnitude).square()

    below = magnitude.floor()
    best = torch.where(cost(below + 1) < cost(below), below + 1, below)
    best = torch.where(cost(best) < cost(torch.zeros_like(best)), best, 0.0)
    return torch.zeros_like(wanted).index_copy_(0, far, best.copysign(wanted[far]))


def _through_synthesis(codec: Codec, y: Tensor, q: Tensor, x: Tensor) -> tuple[float, Tensor]:
    """The squared error of what y decodes to, and its derivative by y."""
    y = y.detach().requires_grad_()
    distortion = _errors(codec, y, q, x).square().mean(1).sum()
    (slope,) = torch.autograd.grad(distortion, y)
    return float(distortion.detach()), slope


@torch.no_grad()
def _through_shortcut(codec: Codec, y: Tensor, q: Tensor, x: Tensor) -> Tensor:
    """That derivative, were the branch a constant."""
    errors = _errors(codec, y, q, x)
    right, bottom = (-n % LATENT_STRIDE for n in (x.shape[2], x.shape[1]))
    whole = F.pad(errors.expand(-1, 3, -1, -1), (0, right, 0, bottom)).contiguous(memory_format=torch.channels_last)
    pull = 2 / 3 * codec.synthesis.shortcut.weight.transpose(0, 1)
    with fast_convolutions(codec.device):
        return pointwise(F.pixel_unshuffle(whole, LATENT_STRIDE), pull, None)[0].float()


def _errors(codec: Codec, y: Tensor, q: Tensor, x: Tensor) -> Tensor:
    """What y decodes to, but for the rounding to samples, less x: [1, C, H, W]."""
    with fast_convolutions(codec.device):
        decoded = codec.synthesis(y[None].contiguous(memory_format=torch.channels_last), q).float() + 0.5
    decoded = decoded[:, :, : x.shape[1], : x.shape[2]]
    if len(x) == 1:
        decoded = decoded.mean(1, keepdim=True)
    return decoded.clamp(0, 1) - x

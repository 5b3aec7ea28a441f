"""Better latents for the same decoder: the encoder sees what the synthesis makes of its symbols, and mends the latents.

The analysis gives latents from which the nearest symbols are a guess: it knows neither this picture's rounding errors nor
how far the synthesis is from undoing it. Near the symbols at hand the distortion is quadratic, and in units of a latent's
quantisation step its curvature is nearly one number for all channels and qualities, because training balanced every
step against its rate. So a gradient step of one fixed length is a Newton step; the coder's own quantiser, with its dead
zones, takes it back to symbols and weighs the bits. That is proximal gradient descent (iterative thresholding) over integers.
What is kept is the best by real bytes. No entropy net is differentiated: a gradient through them, into means and indexes,
bought nothing that could be measured.

Sources: per-picture latents, Campos 2019 (arXiv:1906.01223) and Yang 2020 (arXiv:2006.04240); the thresholding,
Blumensath & Davies 2008 (arXiv:0805.0510).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from . import latents
from .layers import exact_convolutions
from .model import LATENT_STRIDE, quality_lambda
from .weights import Codec

# Bits per squared quantisation step. A step s of a uniform quantiser that minimises bits + curvature / 2 * s^2 / 12 has
# curvature * s^2 = 12 log2(e) = 17.3; measured with the shipped model, per channel: 10 to 22, mean 14.
CURVATURE = 12 * math.log2(math.e)
# Two neighbours that mend the same error overshoot together. Each latent moves with this probability.
MOVING = 0.5


def refine(
    codec: Codec,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    inside: tuple[slice, slice],
    quality: int,
    iterations: int,
    progress: Callable[[], None] | None = None,
) -> Tensor:
    """Latents of one tile whose symbols cost less, by bits + lambda * 255^2 * squared error, than those of `y`.

    Args:
        codec: the model; all tensors are on its device.
        x: the tile and its halo, float32 [C, H, W] in [0, 1], real pixels only; C = 1 for a gray picture, whose decoded
            pixels are the channels' mean.
        y: latents of the same area as the analysis gives them, float32 [M, ceil(H/16), ceil(W/16)].
        z: hyperlatents of the tile, float32 [Z, ceil(h/4), ceil(w/4)]. They are left as they are: a few per cent of the
            bits.
        inside: rows and columns of the tile's latents, h x w, in y. The others stay as they are, not even quantised, while
            the error counts on all of x: what a latent does to the next tile's pixels weighs as much as at home.
        quality: 1..100.
        iterations: gradient steps, each a synthesis, its derivative and a coding of the tile.
        progress: called after each.

    Returns:
        The tile's latents, float32 [M, h, w], for `latents.quantise` with the codec's dead zones. A function of the
        arguments alone on one machine. For 0 iterations those of y.
    """
    target = y[:, inside[0], inside[1]].contiguous()
    if iterations == 0:
        return target
    with torch.inference_mode(False), torch.enable_grad(), exact_convolutions():
        return _descend(codec, x.clone(), y.clone(), z.clone(), inside, quality, iterations, progress)


def _descend(codec, x, y, z, inside, quality, iterations, progress):
    generator = torch.Generator(codec.device).manual_seed(0)
    weight = quality_lambda(quality) * 255**2
    newton = codec.net.step[quality - 1].float()[:, None, None].mul(2.0**-12).square() / CURVATURE
    target = best = y[:, inside[0], inside[1]].clone()
    lowest = math.inf
    for i in range(iterations + 1):
        walk = codec.walk(quality, *target.shape[1:])
        symbols, indexes, segments, decoded = latents.quantise(walk, target, z, codec.dead_zones)
        bits = 8 * len(latents.encode(symbols, indexes, segments, codec.tables))
        whole = y.clone()
        whole[:, inside[0], inside[1]] = decoded
        distortion = weight * _squared_error(codec, whole.requires_grad_(), x)
        loss = bits + float(distortion.detach())
        if loss < lowest:
            lowest, best = loss, target
        if i < iterations:
            (gradient,) = torch.autograd.grad(distortion, whole)
            moving = torch.rand(target.shape, generator=generator, device=codec.device) < MOVING
            target = torch.where(moving, decoded - newton * gradient[:, inside[0], inside[1]], decoded)
            if progress:
                progress()
    return best


def _squared_error(codec: Codec, y: Tensor, x: Tensor) -> Tensor:
    """Sum over pixels of the channels' mean squared error of what y decodes to."""
    decoded = codec.synthesis(y[None].contiguous(memory_format=torch.channels_last))[0] + 0.5
    decoded = decoded[:, : x.shape[1], : x.shape[2]]
    if len(x) == 1:
        decoded = decoded.mean(0, keepdim=True)
    return (decoded - x).square().mean(0).sum()

"""The distortion D that training minimises: one of four measures, or a mixture of them.

Each measure is scaled so that its slope over the rate is about that of 255^2 * MSE. So the same range of lambda serves
all of them, and the shares of a mixture say how much each measure contributes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..coding.model_config import SSIMULACRA2_WEIGHT
from ..picture.ssimulacra2 import (
    C2,
    CUBE_ROOT_BIAS,
    KERNEL,
    MIN_SIDE,
    OPSIN,
    OPSIN_BIAS,
    RADIUS,
    SCALES,
    SIGMA,
    TOTAL,
    WEIGHTS,
    XYB_OFFSETS,
)

# The ratio of CompressAI's lambdas, which are 2.40 .. 220 for 1 - MS-SSIM and 0.0018 .. 0.18 for 255^2 * MSE.
MS_SSIM_WEIGHT = 1280
# The ratio of 255^2 * MSE and the error in XYB, measured on decoded held-out crops.
XYB_WEIGHT = 55_000
XYB_SHARES = (1.0, 1.0, 0.25)  # weights of the channels 14 X, Y and B - Y
XYB_CELL = 4  # squared errors are averaged over cells with this side in pixels, and then squared and averaged again
MS_SSIM_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of the scales, the finest scale first
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
_gaussian = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
MS_SSIM_KERNEL = _gaussian / _gaussian.sum()
# The shares of the measures in D, for each of model_config.TUNES.
SHARES: dict[str, dict[str, float]] = {
    "mse": {"mse": 1.0},
    "ms-ssim": {"ms-ssim": 1.0},
    "eye": {"mse": 0.2, "ms-ssim": 0.3, "ssimulacra2": 0.5},
}
# The smallest side, in pixels, for which a measure is defined. MS-SSIM needs a full window at its last scale, and
# SSIMULACRA 2 needs one at its first.
LEAST_SIDES = {"mse": 1, "ms-ssim": 161, "ssimulacra2": MIN_SIDE, "xyb": XYB_CELL}
WHOLE_SIDES = LEAST_SIDES | {"ssimulacra2": MIN_SIDE << (SCALES - 2)}  # the smallest side at which all scales are used
EPSILON = 1e-14  # keeps the gradient of a root finite at 0


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return 255^2 * MSE of each picture, [B], for pictures of any size."""
    # The mean is taken over a channels-last view, so that its gradient is channels-last too.
    return 255**2 * (x_hat - x).permute(0, 2, 3, 1).square().mean((1, 2, 3))


def structural_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the scaled 1 - MS-SSIM of each picture, [B], as in `metrics.ms_ssim`, for sides of at least 161 pixels.

    It is implemented here so that training does not need another package; it also takes half the time.

    Source: Wang, Simoncelli, Bovik 2003, "Multiscale structural similarity for image quality assessment".
    """
    similarities = []  # [B, 3] for each scale; the last one includes the luminance term
    for scale in range(len(MS_SSIM_POWERS)):
        if scale:
            x_hat, x = (F.avg_pool2d(v, 2, padding=[n % 2 for n in v.shape[2:]]) for v in (x_hat, x))
        last = scale == len(MS_SSIM_POWERS) - 1
        similarities.append(_similarity(x_hat, x, with_luminance=last).mean((2, 3)).relu())
    powers = torch.tensor(MS_SSIM_POWERS, device=x.device)[:, None, None]
    # The lower bound keeps the gradient finite: that of a power below 1 is infinite at 0.
    product = (torch.stack(similarities).clamp(min=1e-6) ** powers).prod(0)
    return MS_SSIM_WEIGHT * (1 - product.mean(1))


def _similarity(a: Tensor, b: Tensor, with_luminance: bool) -> Tensor:
    """Return the map of SSIM, or of its contrast and structure terms only: [B, C, H - 10, W - 10]."""
    inside = slice(RADIUS, -RADIUS)
    maps = (_Blur.apply(v, MS_SSIM_KERNEL)[..., inside, inside] for v in (a, b, a * a, b * b, a * b))
    mean_a, mean_b, square_a, square_b, product = maps
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    structure = (2 * (product - mean_a * mean_b) + SSIM_C2) / (variances + SSIM_C2)
    if not with_luminance:
        return structure
    return structure * (2 * mean_a * mean_b + SSIM_C1) / (mean_a.square() + mean_b.square() + SSIM_C1)


def perceived_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the scaled weighted sum of errors in SSIMULACRA 2 of each picture, [B]. The score is a polynomial of it.

    This is the same computation as in `codec.picture.ssimulacra2`, which explains it. Samples are clamped to the range
    from black to white, so that the gradient is zero outside. So this should not be the only measure in training.
    """
    linear = [_linear(x), _linear(x_hat)]
    figures = []  # for each scale: [B, 3 channels, (mean, 4-norm), 3 errors]
    for scale in range(SCALES):
        if min(linear[0].shape[2:]) < MIN_SIDE:
            break
        if scale:
            linear = [F.avg_pool2d(v, 2, ceil_mode=True, count_include_pad=False) for v in linear]
        figures.append(_errors(*(_positive_xyb(v) for v in linear)))
    flat = torch.stack(figures, 2).flatten(1)
    weights = torch.tensor(WEIGHTS[: flat.shape[1]], device=flat.device)
    return SSIMULACRA2_WEIGHT * TOTAL * flat @ weights


def colour_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the scaled squared error in XYB of each picture, [B], for sides of at least XYB_CELL pixels.

    The other measures hardly react to fine colour detail: SSIMULACRA 2 looks at red versus green (X) only at coarse
    scales. The 4-norm over cells makes a small spot count more than the same error spread over the picture, as it does
    for the eye.
    """
    difference = _positive_xyb(_linear(x_hat)) - _positive_xyb(_linear(x))
    shares = torch.tensor(XYB_SHARES, device=x.device)[:, None, None]
    cells = F.avg_pool2d((shares * difference.square()).sum(1, keepdim=True), XYB_CELL)
    return XYB_WEIGHT * (cells.square().mean((1, 2, 3)) + EPSILON).sqrt()


MEASURES = {
    "mse": squared_error,
    "ms-ssim": structural_error,
    "ssimulacra2": perceived_error,
    "xyb": colour_error,
}


def distortion(x_hat: Tensor, x: Tensor, shares: Mapping[str, float]) -> Tensor:
    """Return the distortion D of each picture, [B] float32.

    Args:
        x_hat, x: decoded pictures and originals, float [B, 3, H, W]; black is 0 and white is 1.
        shares: the share of each measure, by the keys of MEASURES.

    Raises:
        ValueError: a side is smaller than a measure needs (LEAST_SIDES).
    """
    for name in shares:
        if min(x.shape[2:]) < LEAST_SIDES[name]:
            raise ValueError(f"{name} needs sides of {LEAST_SIDES[name]} pixels, these are {x.shape[3]}x{x.shape[2]}")
    x_hat = x_hat.float()
    with torch.autocast(x.device.type, enabled=False):  # variances are small differences, which need full precision
        return sum((share * MEASURES[name](x_hat, x) for name, share in shares.items()), x_hat.new_zeros(len(x_hat)))


def min_side(shares: Mapping[str, float]) -> int:
    """Return the smallest side, in pixels, of crops for training with a mixture of measures."""
    return max(WHOLE_SIDES[name] for name in shares)


def _linear(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _positive_xyb(linear: Tensor) -> Tensor:
    matrix = torch.tensor(OPSIN, dtype=linear.dtype, device=linear.device)
    mixed = torch.einsum("oc,bchw->bohw", matrix, linear) + OPSIN_BIAS
    long, middle, short = ((mixed.clamp(min=0) ** (1 / 3)) - CUBE_ROOT_BIAS).unbind(1)
    x, y = (long - middle) / 2, (long + middle) / 2
    a, b, c = XYB_OFFSETS
    return torch.stack([14 * x + a, y + b, short - y + c], 1)


def _errors(a: Tensor, b: Tensor) -> Tensor:
    """Compare two pictures [B, 3, H, W] at one scale.

    Returns [B, 3 channels, (mean, 4-norm), (error of SSIM, artifacts, lost detail)].
    """
    mean_a, mean_b, squares, difference = (_Blur.apply(v, KERNEL) for v in (a, b, a * a + b * b, (a - b).square()))
    # Twice the covariance is computed as the sum of both variances minus the variance of the difference, because the
    # latter is exactly 0 for equal pictures.
    apart = (mean_a - mean_b).square()
    variances = squares - mean_a.square() - mean_b.square()
    structure = 1 - (1 - apart) * (1 - (difference - apart) / (variances + C2))
    edges = (1 + (b - mean_b).abs()) / (1 + (a - mean_a).abs()) - 1
    maps = torch.stack([structure, edges, -edges], 2).relu().flatten(3)  # [B, 3, 3, H * W]
    return torch.stack([maps.mean(3), (maps.square().square().mean(3) + EPSILON) ** 0.25], 2)


class _Blur(torch.autograd.Function):
    """Convolution of [.., H, W] with a symmetric kernel [2 RADIUS + 1] along both axes, with zeros beyond the edges.

    As a matrix this is symmetric, so the backward pass is the same operation. It sums shifted copies, which on CPUs
    takes a quarter of the time of torch's depthwise convolution.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: np.ndarray) -> Tensor:
        ctx.kernel = kernel
        for axis in (-2, -1):
            n, blurred = x.shape[axis], float(kernel[RADIUS]) * x
            for i in range(1, min(RADIUS, n - 1) + 1):
                weight = float(kernel[RADIUS + i])
                blurred.narrow(axis, 0, n - i).add_(x.narrow(axis, i, n - i), alpha=weight)
                blurred.narrow(axis, i, n - i).add_(x.narrow(axis, 0, n - i), alpha=weight)
            x = blurred
        return x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return _Blur.apply(slope, ctx.kernel), None

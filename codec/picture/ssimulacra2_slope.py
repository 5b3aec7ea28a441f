"""The weighted sum of errors in SSIMULACRA 2, and its gradient, for encoders that optimise it.

The score is a polynomial of this sum. The gradient is computed by the chain rule, backwards through the formulas of
`ssimulacra2`; tests/test_metrics.py compares it with torch's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ssimulacra2 import (
    C2,
    CUBE_ROOT_BIAS,
    KERNEL,
    MIN_SIDE,
    OPSIN,
    OPSIN_BIAS,
    RADIUS,
    SCALES,
    TOTAL,
    WEIGHTS,
    XYB_OFFSETS,
)

EPSILON = 1e-14  # keeps the derivative of the fourth root finite at 0
MATRIX = OPSIN.astype(np.float32)


@dataclass(frozen=True)
class _Colours:
    """One scale of a picture: XYB [3, H, W], and the cube roots that it was computed from."""

    xyb: np.ndarray
    roots: np.ndarray


def error_and_slope(original: np.ndarray, decoded: np.ndarray, slope: bool = True) -> tuple[float, np.ndarray | None]:
    """Compute the weighted sum of errors of a decoded picture, and its gradient with respect to the decoded samples.

    Args:
        original, decoded: float32 [H, W, 3], sRGB, black is 0 and white is 1; both sides are at least MIN_SIDE.
        slope: whether to compute the gradient.

    Returns:
        (error, gradient float32 [H, W, 3], or None). The error is 0 for equal pictures, and about 50 if the score is 0.
    """
    samples = [np.ascontiguousarray(x.transpose(2, 0, 1)) for x in (original, decoded)]
    linear = [[np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32) for x in samples]]
    while len(linear) < SCALES and min(linear[-1][0].shape[1:]) >= MIN_SIDE:
        linear.append([_halved(x) for x in linear[-1]])
    colours = [[_colours(x) for x in scale] for scale in linear]
    maps = [_Maps(a.xyb, b.xyb) for a, b in colours]
    # The order is channel, scale, as in `ssimulacra2`.
    figures = np.stack([m.figures for m in maps], 1)
    weights = TOTAL * np.array(WEIGHTS)[: figures.size].reshape(figures.shape)
    error = float((figures * weights).sum())
    if not slope:
        return error, None
    by_linear = np.zeros((3, 1, 1), np.float32)
    for i in reversed(range(len(linear))):
        by_xyb = maps[i].slope(weights[:, i])
        here = _back_to_linear(by_xyb, colours[i][1].roots)
        by_linear = here + (_back_from_half(by_linear, *here.shape[1:]) if i + 1 < len(linear) else 0)
    x = samples[1]
    by_sample = by_linear * np.where(x <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((x + 0.055) / 1.055) ** 1.4)
    return error, by_sample.transpose(1, 2, 0).astype(np.float32)


def _halved(x: np.ndarray) -> np.ndarray:
    """Average squares of 2x2 pixels. With odd sides, the last row or column counts twice."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), mode="edge")
    x = x[:, ::2] + x[:, 1::2]
    return (x[..., ::2] + x[..., 1::2]) / 4


def _back_from_half(slope: np.ndarray, height: int, width: int) -> np.ndarray:
    """Turn a gradient with respect to the result of `_halved` into one with respect to its argument."""
    slope = np.repeat(np.repeat(slope / 4, 2, 1), 2, 2)
    if height % 2:
        slope[:, height - 1] *= 2
    if width % 2:
        slope[:, :, width - 1] *= 2
    return slope[:, :height, :width]


def _colours(linear: np.ndarray) -> _Colours:
    red, green, blue = linear
    mixed = np.stack([r * red + g * green + b * blue for r, g, b in MATRIX]) + np.float32(OPSIN_BIAS)
    roots = np.exp(np.log(mixed) / 3)
    long, middle, short = roots - np.float32(CUBE_ROOT_BIAS)
    x, y = (long - middle) / 2, (long + middle) / 2
    a, b, c = map(np.float32, XYB_OFFSETS)
    return _Colours(np.stack([14 * x + a, y + b, short - y + c]), roots)


def _back_to_linear(by_xyb: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Turn a gradient with respect to XYB into one with respect to linear light."""
    by_x, by_y, by_b = by_xyb
    by_y = by_y - by_b
    by_mixed = np.stack([7 * by_x + by_y / 2, by_y / 2 - 7 * by_x, by_b]) / (3 * np.square(roots))
    return np.stack([r * by_mixed[0] + g * by_mixed[1] + b * by_mixed[2] for r, g, b in MATRIX.T])


class _Maps:
    """The three maps of errors at one scale, and the intermediate results that their gradient needs."""

    def __init__(self, a: np.ndarray, b: np.ndarray):
        self.a, self.b = a, b
        self.mean_a, self.mean_b = _blurred(a), _blurred(b)
        squares, difference = _blurred(a * a + b * b), _blurred(np.square(a - b))
        self.apart = np.square(self.mean_a - self.mean_b)
        self.variances = squares - self.mean_a * self.mean_a - self.mean_b * self.mean_b + np.float32(C2)
        self.ratio = (difference - self.apart) / self.variances
        self.structure = 1 - (1 - self.apart) * (1 - self.ratio)
        self.edge_a = 1 + np.abs(a - self.mean_a)
        self.edges = (1 + np.abs(b - self.mean_b)) / self.edge_a - 1
        means, self.norms = np.zeros((3, 3)), np.zeros((3, 3))
        for i, found in enumerate(self._parts()):
            means[:, i] = found.mean((1, 2), dtype=np.float64)
            self.norms[:, i] = (np.square(np.square(found)).mean((1, 2), dtype=np.float64) + EPSILON) ** 0.25
        self.figures = np.stack([means, self.norms], 1)  # [3 channels, (mean, 4-norm), 3 errors]

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return tuple(np.maximum(v, 0) for v in (self.structure, self.edges, -self.edges))

    def slope(self, weights: np.ndarray) -> np.ndarray:
        """Return the gradient of the weighted sum of `figures` (weights [3, 2, 3]) with respect to b."""
        n = self.a[0].size
        by_part = []
        for i, found in enumerate(self._parts()):
            mean, norm = (
                v[:, None, None] for v in (weights[:, 0, i] / n, weights[:, 1, i] / n / self.norms[:, i] ** 3)
            )
            by_part.append((mean * (found > 0) + norm * found**3).astype(np.float32))
        by_structure, by_edges = by_part[0], by_part[1] - by_part[2]
        weight = (1 - self.apart) / self.variances
        by_apart = by_structure * (1 - self.ratio - weight)
        by_difference, by_variances = by_structure * weight, -by_structure * weight * self.ratio
        by_edge = by_edges * np.sign(self.b - self.mean_b) / self.edge_a
        by_mean = -2 * self.mean_b * by_variances - 2 * (self.mean_a - self.mean_b) * by_apart - by_edge
        back = 2 * (self.b * _blurred(by_variances) - (self.a - self.b) * _blurred(by_difference))
        return by_edge + _blurred(by_mean) + back


def _blurred(x: np.ndarray) -> np.ndarray:
    """Apply a Gaussian blur to [3, H, W], with zeros beyond the edges.

    It is symmetric, so that the backward pass is the same operation.
    """
    for axis in (1, 2):
        n, blurred = x.shape[axis], np.float32(KERNEL[RADIUS]) * x
        for i in range(1, min(RADIUS, n - 1) + 1):
            weight, front, rear = np.float32(KERNEL[RADIUS + i]), [slice(None)] * 3, [slice(None)] * 3
            front[axis], rear[axis] = slice(0, n - i), slice(i, n)
            blurred[tuple(front)] += weight * x[tuple(rear)]
            blurred[tuple(rear)] += weight * x[tuple(front)]
        x = blurred
    return x

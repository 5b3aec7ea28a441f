"""NLPD, the normalised Laplacian pyramid distance: how different two pictures are for the early stages of human vision.

Each pixel of each level of a Laplacian pyramid is divided by a weighted sum of its neighbours' magnitudes, a prediction
of its own magnitude. The distance is the root of the mean squared difference of these quotients, averaged over the
levels. The authors fitted all constants to the statistics of photographs, and none to ratings of pictures by people. No
model of aec was trained for this metric.

Source: Laparra, Ballé, Berardino, Simoncelli 2016, "Perceptual image quality assessment using a normalized Laplacian
pyramid", with the constants and borders of the authors' NLP_dist.m (www.cns.nyu.edu/~lcv/NLPyr); pyramid: Burt and
Adelson 1983, "The Laplacian pyramid as a compact image code".
"""

from __future__ import annotations

import numpy as np

Neighbours = dict[tuple[int, int], float]
MIN_SIDE = 32  # pixels; a smaller picture cannot be halved five times
# For each level, from the finest to the low-pass residual: the predicted magnitude where all neighbours are 0, and the
# weight of each neighbour by its offset (down, right).
LEVELS: tuple[tuple[float, Neighbours], ...] = (
    (0.0248, {(1, 0): 0.1011, (-1, 0): 0.1015, (0, 1): 0.1493, (0, -1): 0.1460, (0, -2): 0.0072}),
    (0.0185, {(1, 0): 0.0757, (-1, 0): 0.0837, (0, 1): 0.1986, (0, -1): 0.1846}),
    (0.0179, {(1, 0): 0.0477, (-1, 0): 0.0467, (0, 1): 0.2138, (0, -1): 0.2243}),
    (0.0191, {(0, 1): 0.2503, (0, -1): 0.2616}),
    (0.0220, {(0, 1): 0.2598, (0, -1): 0.2552}),
    (0.2782, {(0, 1): 0.2215, (0, -1): 0.0717}),
)
REACH = 2  # the distance of the farthest neighbour


def nlpd(original: np.ndarray, decoded: np.ndarray) -> float:
    """The distance of two gray pictures.

    Args:
        original, decoded: float64 [H, W], where 0 is black and 1 is white; both sides at least MIN_SIDE.

    Returns:
        0 for equal pictures, about 0.05 if a difference is hard to see, 0.5 if the original is hardly recognisable.
    """
    pictures, distances = [original, decoded], []
    for expected, neighbours in LEVELS[:-1]:
        smaller = [_halved(_halved(x).T).T for x in pictures]
        details = [
            x - _doubled(_doubled(half, x.shape[0]).T, x.shape[1]).T for x, half in zip(pictures, smaller, strict=True)
        ]
        distances.append(_distance(*details, expected, neighbours))
        pictures = smaller
    distances.append(_distance(*pictures, *LEVELS[-1]))
    return sum(distances) / len(distances)


def _distance(a: np.ndarray, b: np.ndarray, expected: float, neighbours: Neighbours) -> float:
    a, b = (x / (expected + _around(np.abs(x), neighbours)) for x in (a, b))
    return float(np.sqrt(np.mean(np.square(a - b))))


def _halved(x: np.ndarray) -> np.ndarray:
    """Every second row of x after smoothing along the first axis. Beyond the border x is mirrored."""
    p = np.pad(x, ((2, 2), (0, 0)), mode="symmetric")
    return 0.05 * (p[:-4:2] + p[4::2]) + 0.25 * (p[1:-3:2] + p[3:-1:2]) + 0.4 * p[2:-2:2]


def _doubled(x: np.ndarray, length: int) -> np.ndarray:
    """x upsampled along the first axis to `length` rows: a row of zeros is inserted after each row, and the result is
    smoothed as in `_halved` and multiplied by two."""
    p = np.pad(x, ((1, 1), (0, 0)), mode="edge")
    even, odd = 0.1 * (p[:-2] + p[2:]) + 0.8 * p[1:-1], 0.5 * (p[1:-1] + p[2:])
    return np.stack([even, odd], 1).reshape(-1, x.shape[1])[:length]


def _around(x: np.ndarray, weights: Neighbours) -> np.ndarray:
    """The weighted sum of the neighbours of each pixel. Beyond the border x is 0."""
    (height, width), p = x.shape, np.pad(x, REACH)
    return sum(
        weight * p[REACH + down : REACH + down + height, REACH + right : REACH + right + width]
        for (down, right), weight in weights.items()
    )

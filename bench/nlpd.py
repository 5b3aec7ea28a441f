"""NLPD, the normalised Laplacian pyramid distance: how far two pictures are apart for the first stages of an eye.

Each level of a Laplacian pyramid is divided, pixel by pixel, by what its neighbours' magnitudes let expect; the
distance is the mean over the levels of the root of the mean squared difference. All constants were fitted by the
authors to the statistics of photographs, none to what people said of pictures, and no model of aec was trained for it.

Source: Laparra, Ballé, Berardino, Simoncelli 2016, "Perceptual image quality assessment using a normalized Laplacian
pyramid", with the constants and borders of the authors' NLP_dist.m (www.cns.nyu.edu/~lcv/NLPyr); pyramid: Burt and
Adelson 1983, "The Laplacian pyramid as a compact image code".
"""

from __future__ import annotations

import numpy as np

Neighbours = dict[tuple[int, int], float]
MIN_SIDE = 32  # pixels, below which the last level has no two
# Of each level, from the finest to what is left of the picture at last: what is expected where all neighbours are 0,
# and the weight of each neighbour by how far (down, right) it is.
LEVELS: tuple[tuple[float, Neighbours], ...] = (
    (0.0248, {(1, 0): 0.1011, (-1, 0): 0.1015, (0, 1): 0.1493, (0, -1): 0.1460, (0, -2): 0.0072}),
    (0.0185, {(1, 0): 0.0757, (-1, 0): 0.0837, (0, 1): 0.1986, (0, -1): 0.1846}),
    (0.0179, {(1, 0): 0.0477, (-1, 0): 0.0467, (0, 1): 0.2138, (0, -1): 0.2243}),
    (0.0191, {(0, 1): 0.2503, (0, -1): 0.2616}),
    (0.0220, {(0, 1): 0.2598, (0, -1): 0.2552}),
    (0.2782, {(0, 1): 0.2215, (0, -1): 0.0717}),
)
REACH = 2  # of the farthest neighbour


def nlpd(original: np.ndarray, decoded: np.ndarray) -> float:
    """Distance of two gray pictures.

    Args:
        original, decoded: float64 [H, W], black is 0 and white is 1, both sides at least MIN_SIDE.

    Returns:
        0 for equal pictures; about 0.05 where a difference is hard to see, 0.5 where little is left of the original.
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
    """Smoothed along the first axis, and every second of it; beyond the border it is mirrored."""
    p = np.pad(x, ((2, 2), (0, 0)), mode="symmetric")
    return 0.05 * (p[:-4:2] + p[4::2]) + 0.25 * (p[1:-3:2] + p[3:-1:2]) + 0.4 * p[2:-2:2]


def _doubled(x: np.ndarray, length: int) -> np.ndarray:
    """As many as there were, along the first axis: the same smoothing of what has a 0 after each, times two."""
    p = np.pad(x, ((1, 1), (0, 0)), mode="edge")
    even, odd = 0.1 * (p[:-2] + p[2:]) + 0.8 * p[1:-1], 0.5 * (p[1:-1] + p[2:])
    return np.stack([even, odd], 1).reshape(-1, x.shape[1])[:length]


def _around(x: np.ndarray, weights: Neighbours) -> np.ndarray:
    """Weighted sum of the neighbours of each pixel; there are none beyond the border."""
    (height, width), p = x.shape, np.pad(x, REACH)
    return sum(
        weight * p[REACH + down : REACH + down + height, REACH + right : REACH + right + width]
        for (down, right), weight in weights.items()
    )

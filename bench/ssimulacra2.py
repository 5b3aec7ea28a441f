"""SSIMULACRA 2.1, as libjxl's `ssimulacra2` has it; tests/test_metrics.py compares with that program's answers.

Ours, because the only implementation on PyPI (ssimulacra2 0.3.0) is up to 24 points off on pictures that are not
square, and 0.2 to 3 on those that are.

Six scales of a picture in the XYB colour space, each half the size of the one before. At each, maps of three errors,
of every channel: SSIM without its luminance term; artifacts (edges that the original has not); lost detail. Of each
map the mean and the 4-norm, 108 figures in all, are weighted by what people said of 22,000 pictures.

Source: Sneyers 2022, github.com/cloudinary/ssimulacra2; blur: Charalampidis 2016, "Recursive implementation of the
Gaussian filter using truncated cosine functions".
"""

from __future__ import annotations

import math

import numpy as np

SCALES = 6
C2 = 0.0009  # SSIM's second constant
SIGMA, RADIUS = 1.5, 5
OPSIN = np.array(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.5518098665095536],
    ]
)
OPSIN_BIAS = 0.0037930732552754493
# A line for each scale of X, then of Y, then of B - Y: of the means and then of the 4-norms, those of SSIM's error,
# artifacts, and lost detail.
# fmt: off
WEIGHTS = (
    0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0,
    0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752,
    0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0,
    0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0,
    0.0007289346991508072, 0.9677937080626833, 0.0, 0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053,
    0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0,
    0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262,
    0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264,
    225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985,
    176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408,
    0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0,
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0,
    0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0,
    95.1080498811086, 0.9863978034400682, 0.9834382792465353, 0.0012286405048278493, 171.2667255897307,
    0.9807858872435379,
    0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537,
)
# fmt: on


def ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float:
    """Perceived quality of a decoded sRGB picture.

    Args:
        original, decoded: uint8 [H, W, 3], both sides at least 8.

    Returns:
        At most 100, which is equal; 90 is very high quality, 70 high, 50 medium, 30 low; may be negative.
    """
    linear = [_linear(original), _linear(decoded)]
    figures = []  # a scale's: [3 channels, (mean, 4-norm), 3 errors]
    for scale in range(SCALES):
        if min(linear[0].shape[1:]) < 8:
            break
        if scale:
            linear = [_halved(x) for x in linear]
        figures.append(_errors(*(_positive_xyb(x) for x in linear)))
    # Channel by channel, then scale by scale: so libjxl meets its weights, and where a small picture has fewer scales
    # it takes the next weight all the same.
    flat = np.stack(figures, 1).ravel()
    error = 0.9562382616834844 * float(flat @ np.array(WEIGHTS)[: flat.size])
    error = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return 100 - 10 * error**0.6276336467831387 if error > 0 else 100.0


def _linear(image: np.ndarray) -> np.ndarray:
    """sRGB uint8 [H, W, 3] -> linear light, float32 [3, H, W]."""
    levels = np.arange(256) / 255
    table = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return table.astype(np.float32)[image.transpose(2, 0, 1)]


def _halved(linear: np.ndarray) -> np.ndarray:
    _, height, width = linear.shape
    x = np.pad(linear, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    return x.reshape(3, (height + 1) // 2, 2, (width + 1) // 2, 2).mean((2, 4))


def _positive_xyb(linear: np.ndarray) -> np.ndarray:
    mixed = np.tensordot(OPSIN.astype(np.float32), linear, 1) + np.float32(OPSIN_BIAS)
    long, middle, short = np.cbrt(np.maximum(mixed, 0)) - np.float32(np.cbrt(OPSIN_BIAS))
    x, y = (long - middle) / 2, (long + middle) / 2
    return np.stack([14 * x + np.float32(0.42), y + np.float32(0.01), short - y + np.float32(0.55)])


def _errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[3 channels, (mean, 4-norm), (SSIM's error, artifacts, lost detail)] of two [3, H, W]."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    covariance = _blurred(a * b) - mean_a * mean_b
    # Summed so that nothing is left of it for equal pictures.
    variances = (_blurred(a * a) - mean_a**2) + (_blurred(b * b) - mean_b**2)
    structure = 1 - (1 - (mean_a - mean_b) ** 2) * (2 * covariance + C2) / (variances + C2)
    edges = (1 + np.abs(b - mean_b)) / (1 + np.abs(a - mean_a)) - 1
    maps = [np.maximum(m, 0).astype(np.float64) for m in (structure, edges, -edges)]
    return np.stack(
        [
            np.stack([m.mean((1, 2)) for m in maps], 1),
            np.stack([np.square(np.square(m)).mean((1, 2)) ** 0.25 for m in maps], 1),
        ],
        1,
    )


def _blurred(x: np.ndarray) -> np.ndarray:
    """Gaussian, with zeros around the picture as in libjxl."""
    from scipy.ndimage import correlate1d

    for axis in (1, 2):
        x = correlate1d(x, KERNEL, axis, mode="constant")
    return x


def _kernel() -> np.ndarray:
    """libjxl's Gaussian: three cosines over -RADIUS..RADIUS, the equations (37) to (55) of the paper."""
    n = np.arange(-RADIUS, RADIUS + 1)
    omega = np.array([1, 3, 5]) * math.pi / (2 * RADIUS)
    p = np.array([1, -1, 1]) / np.tan(omega / 2)
    r = np.array([1, -1, 1]) * p**2 / np.sin(omega)
    rho = np.exp(-(SIGMA**2) * omega**2 / 2) / RADIUS
    zeta = np.cross(p, r)  # (D_35, D_51, D_13)
    zeta = zeta / zeta[2]
    beta = np.linalg.solve(np.stack([p, r, zeta]), [1, RADIUS**2 - SIGMA**2, zeta @ rho])
    return beta @ np.cos(np.outer(omega, n))


KERNEL = _kernel()

"""SSIMULACRA 2.1, as in libjxl's program `ssimulacra2`; tests/test_metrics.py compares with results of that program.

It is implemented here because the only package on PyPI (ssimulacra2 0.3.0) is wrong by up to 24 points for pictures
that are not square, and by 0.2 to 3 points for square ones.

The two pictures are compared in the XYB colour space at six scales, each half the size of the one before. At each scale
and for each channel there are maps of three errors: SSIM without its luminance term, artifacts (edges that the original
does not have), and lost detail. The mean and the 4-norm of each map, 108 numbers in all, are added with weights, which
were fitted to people's opinions on 22,000 pictures. The score is a polynomial of this weighted sum.

Source: Sneyers 2022, github.com/cloudinary/ssimulacra2; blur: Charalampidis 2016, "Recursive implementation of the
Gaussian filter using truncated cosine functions".
"""

from __future__ import annotations

import math

import numpy as np

SCALES = 6
MIN_SIDE = 8  # smallest side of a scale, in pixels
C2 = 0.0009  # SSIM's second constant
SIGMA, RADIUS = 1.5, 5
ROWS = 64  # rows that are processed at once, to bound the memory and to stay in the caches; even, because of halving
LEVELS = np.arange(256) / 255
LINEAR = np.where(LEVELS <= 0.04045, LEVELS / 12.92, ((LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
OPSIN = np.array(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.5518098665095536],
    ]
)
OPSIN_BIAS = 0.0037930732552754493
CUBE_ROOT_BIAS = OPSIN_BIAS ** (1 / 3)
XYB_OFFSETS = (0.42, 0.01, 0.55)  # added to 14 X, Y and B - Y, so that none is negative
TOTAL = 0.9562382616834844  # factor of the weighted sum of errors
# One line for each scale, first for channel X, then for Y, then for B - Y. A line has the weights of the means and then
# of the 4-norms, each for SSIM's error, artifacts and lost detail.
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
    """Return the SSIMULACRA 2 score, a measure of the perceived quality, of a decoded sRGB picture.

    Args:
        original, decoded: uint8 [H, W, 3], both sides at least MIN_SIDE.

    Returns:
        The score: 100 for equal pictures, about 90 for very high quality, 70 for high, 50 for medium and 30 for low
        quality. It may be negative.

    Raises:
        TypeError: an array is not uint8.
        ValueError: the shapes differ, are not [H, W, 3], or a side is below MIN_SIDE.
    """
    if original.dtype != np.uint8 or decoded.dtype != np.uint8:
        raise TypeError(f"expected uint8 arrays, got {original.dtype} and {decoded.dtype}")
    if original.shape != decoded.shape or original.ndim != 3 or original.shape[2] != 3:
        raise ValueError(f"expected two [H, W, 3] of one size, got {list(original.shape)} and {list(decoded.shape)}")
    if min(original.shape[:2]) < MIN_SIDE:
        size = f"{original.shape[1]}x{original.shape[0]}"
        raise ValueError(f"a picture of {size} has no SSIMULACRA 2: sides of at least {MIN_SIDE} pixels have")
    pictures = [x.transpose(2, 0, 1) for x in (original, decoded)]  # sRGB at the first scale, then linear light
    figures = []  # for each scale: [3 channels, (mean, 4-norm), 3 errors]
    for scale in range(SCALES):
        if min(pictures[0].shape[1:]) < MIN_SIDE:
            break
        if scale:
            pictures = [_halved(x) for x in pictures]
        figures.append(_errors(*pictures))
    # libjxl takes the weights in the order channel, scale, without skipping any. So for a small picture with fewer
    # scales, the weights of missing scales are used for the next channel. This does the same.
    flat = np.stack(figures, 1).ravel()
    error = TOTAL * float(flat @ np.array(WEIGHTS)[: flat.size])
    error = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return 100 - 10 * error**0.6276336467831387 if error > 0 else 100.0


def _linear(x: np.ndarray) -> np.ndarray:
    """Convert sRGB uint8 to linear light, float32. An array that is already linear is returned as it is."""
    return LINEAR[x] if x.dtype == np.uint8 else x


def _halved(x: np.ndarray) -> np.ndarray:
    """Average squares of 2x2 pixels of [3, H, W] in linear light. With odd sides, the last row or column is doubled."""
    strips = []
    for top in range(0, x.shape[1], ROWS):
        strip = _linear(x[:, top : top + ROWS])
        strip = np.pad(strip, ((0, 0), (0, strip.shape[1] % 2), (0, strip.shape[2] % 2)), mode="edge")
        strip = strip[:, ::2] + strip[:, 1::2]
        strips.append((strip[..., ::2] + strip[..., 1::2]) / 4)
    return np.concatenate(strips, 1)


def _positive_xyb(linear: np.ndarray) -> np.ndarray:
    # No matrix products are used, because BLAS would start threads, which wait for each other on a busy machine.
    red, green, blue = linear
    mixed = np.stack([r * red + g * green + b * blue for r, g, b in OPSIN.astype(np.float32)]) + np.float32(OPSIN_BIAS)
    roots = np.exp(np.log(mixed) / 3)  # a cube root, five times as fast as np.cbrt; all values are positive
    long, middle, short = roots - np.float32(CUBE_ROOT_BIAS)
    x, y = (long - middle) / 2, (long + middle) / 2
    a, b, c = map(np.float32, XYB_OFFSETS)
    return np.stack([14 * x + a, y + b, short - y + c])


def _errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compare two pictures [3, H, W] at one scale.

    Returns [3 channels, (mean, 4-norm), (error of SSIM, artifacts, lost detail)].
    """
    _, height, width = a.shape
    sums = np.zeros((3, 2, 3))
    for top in range(0, height, ROWS):
        end = min(top + ROWS, height)
        first, last = max(top - RADIUS, 0), min(end + RADIUS, height)
        # The strips have a margin of RADIUS on every side for the blur, which is zero beyond the picture, as in libjxl.
        xyb = np.zeros((2, 3, end - top + 2 * RADIUS, width + 2 * RADIUS), np.float32)
        for framed, x in zip(xyb, (a, b), strict=True):
            inside = framed[:, first - top + RADIUS : last - top + RADIUS, RADIUS:-RADIUS]
            inside[:] = _positive_xyb(_linear(x[:, first:last]))
        for i, found in enumerate(_error_maps(*xyb)):
            found = np.maximum(found, 0)
            sums[:, 0, i] += found.sum((1, 2))
            sums[:, 1, i] += np.square(np.square(found)).sum((1, 2))
    means = sums / (height * width)
    means[:, 1] **= 1 / 4
    return means


def _error_maps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the maps of SSIM's error, artifacts and lost detail, each [3, H, W].

    The arguments are pictures with a margin: [3, H + 2 RADIUS, W + 2 RADIUS].
    """
    mean_a, mean_b, squares, difference = (_blurred(x) for x in (a, b, a * a + b * b, np.square(a - b)))
    # SSIM is (1 - apart) (2 covariance + C2) / (variances + C2). Twice the covariance is computed as the sum of both
    # variances minus the variance of the difference, because the latter is exactly 0 for equal pictures.
    apart = np.square(mean_a - mean_b)
    variances = squares - mean_a * mean_a - mean_b * mean_b
    structure = 1 - (1 - apart) * (1 - (difference - apart) / (variances + np.float32(C2)))
    edges_a, edges_b = (
        1 + np.abs(x[:, RADIUS:-RADIUS, RADIUS:-RADIUS] - mean) for x, mean in ((a, mean_a), (b, mean_b))
    )
    artifacts = edges_b / edges_a - 1
    return structure, artifacts, -artifacts


def _blurred(x: np.ndarray) -> np.ndarray:
    """Apply a Gaussian blur: [3, H + 2 RADIUS, W + 2 RADIUS] -> [3, H, W]."""
    flat: np.ndarray = x.ravel()
    width = x.shape[-1]
    # The steps lead to the pixel below and to the one on the right. Sums that wrap around an edge end in the margin,
    # which is cut off.
    for step in (width, 1):
        blurred = np.float32(KERNEL[RADIUS]) * flat
        for i in range(1, RADIUS + 1):
            pairs = flat[2 * i * step :] + flat[: -2 * i * step]
            pairs *= np.float32(KERNEL[RADIUS + i])
            blurred[i * step : -i * step] += pairs
        flat = blurred
    return flat.reshape(x.shape)[:, RADIUS:-RADIUS, RADIUS:-RADIUS]


def _kernel() -> np.ndarray:
    """Compute libjxl's Gaussian kernel, a sum of three cosines over -RADIUS..RADIUS (the paper, equations 37 to 55)."""
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

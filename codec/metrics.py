"""Distortion of pictures (PSNR, MS-SSIM) and differences of rate-distortion curves (BD-rate, BD-quality).

Importing this module needs numpy only. The functions that need torch (MS-SSIM) or scipy (curves) import them when they
are called; the extra `bench` installs both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .extras import need

MS_SSIM_MIN_SIDE = 161  # five scales with an 11-tap window: (11 - 1) * 2^4 < side
LUMA = np.array([0.299, 0.587, 0.114])


def psnr(original: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio over all samples of one image, in dB.

    The MSE is taken over R, G and B together, and the peak is 255. For a set of images, average the PSNR values of the
    images, not their MSE.

    Args:
        original: uint8, not empty; usually [H, W, 3], but any shape is allowed.
        decoded: uint8, of the same shape.

    Returns:
        The PSNR in dB, 0 or above; `math.inf` if the arrays are equal. A mean over images that includes an infinite
        value is meaningless: leave such a point out of a curve, and say so.

    Raises:
        TypeError: an array is not uint8.
        ValueError: the shapes differ, or the arrays are empty.
    """
    _check_pair(original, decoded)
    diff = original.astype(np.int32) - decoded.astype(np.int32)
    mse = float(np.mean(np.square(diff), dtype=np.float64))
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def psnr_y(original: np.ndarray, decoded: np.ndarray) -> float:
    """PSNR of the luma only, in dB. The luma is BT.601's Y' = 0.299 R' + 0.587 G' + 0.114 B', full range, not rounded.

    BT.601 is used rather than BT.709, because it is the luma of JPEG (JFIF) and JPEG 2000, and of WebP, AVIF and HEIC
    with the settings of our benchmarks.

    Arguments, result and errors are as in `psnr`, except that the shape must be [H, W, 3].
    """
    _check_pair(original, decoded)
    _check_rgb(original)
    diff = (original.astype(np.float64) - decoded) @ LUMA
    mse = float(np.mean(np.square(diff)))
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def ms_ssim(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """Multi-scale structural similarity of one RGB image, mean of the three channels.

    Args:
        original: [H, W, 3] uint8.
        decoded: [H, W, 3] uint8, of the same shape.

    Returns:
        A value of about 0..1, which is 1 for equal images. None if a side is below 161 pixels, because MS-SSIM is not
        defined there.

    Raises:
        TypeError: an array is not uint8.
        ValueError: the shapes differ, or are not [H, W, 3].
        MissingPackageError (an ImportError): torch or pytorch-msssim is not installed.

    Source: Wang, Simoncelli, Bovik 2003; computed by pytorch-msssim 1.0 with its defaults, which papers on learned
    codecs use too.
    """
    _check_pair(original, decoded)
    _check_rgb(original)
    if min(original.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    torch, pytorch_msssim = (need(name, "MS-SSIM", "bench") for name in ("torch", "pytorch_msssim"))
    # astype copies: torch warns about read-only arrays, and arrays made from Pillow images are read-only.
    a, b = (torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] for x in (original, decoded))
    with torch.inference_mode():
        return float(pytorch_msssim.ms_ssim(a, b, data_range=255))


def bd_rate(
    anchor_rates: Sequence[float],
    anchor_quality: Sequence[float],
    rates: Sequence[float],
    quality: Sequence[float],
    lo: float | None = None,
    hi: float | None = None,
) -> float:
    """Mean rate difference at equal quality, in percent: -40 means 40 % fewer bits than the anchor.

    It is the mean of log(rate) - log(anchor rate) over the qualities that both curves reach, or over the part of
    `lo`..`hi` that both reach, converted to percent. `overlap` returns that range; state it beside the number. Each
    curve is interpolated as log(rate) over quality by a monotone piecewise cubic (PCHIP), which does not overshoot
    between the points, as the single cubic of VCEG-M33 does.

    Args:
        anchor_rates, anchor_quality: [N] float, N >= 2, in any order. Rates are positive, in any unit. Quality is any
            measure that rises with the rate, such as PSNR in dB.
        rates, quality: [M] float, M >= 2, in the same units.
        lo, hi: limits of the range, in the unit of quality; None: no limit.

    Returns:
        The difference in percent, above -100.

    Raises:
        ValueError: a curve has fewer than two points, its lengths differ, a rate is not positive, a value is not
            finite, a curve is not monotone (more bits without more quality), or the curves do not overlap.
        MissingPackageError (an ImportError): scipy is not installed.

    Source: Bjontegaard, VCEG-M33 (2001) and VCEG-AI11 (2008); PCHIP: Fritsch and Butland 1984, scipy.
    """
    lo, hi = overlap(anchor_quality, quality, lo, hi)
    anchor_log = _log_rate_of_quality(anchor_rates, anchor_quality, "anchor curve")
    log = _log_rate_of_quality(rates, quality, "curve")
    mean = float(log.integrate(lo, hi) - anchor_log.integrate(lo, hi)) / (hi - lo)
    return 100 * math.expm1(mean)


def bd_quality(
    anchor_rates: Sequence[float], anchor_quality: Sequence[float], rates: Sequence[float], quality: Sequence[float]
) -> float:
    """Mean quality difference at equal rate (BD-PSNR), averaged over log(rate) where both curves have values.

    Arguments and errors are as in `bd_rate`.

    Returns:
        The difference in the unit of quality; above 0 is better than the anchor.
    """
    lo, hi = (math.log(rate) for rate in overlap(anchor_rates, rates))
    anchor_curve = _quality_of_log_rate(anchor_rates, anchor_quality, "anchor curve")
    curve = _quality_of_log_rate(rates, quality, "curve")
    return float(curve.integrate(lo, hi) - anchor_curve.integrate(lo, hi)) / (hi - lo)


def overlap(
    anchor: Sequence[float], values: Sequence[float], lo: float | None = None, hi: float | None = None
) -> tuple[float, float]:
    """Return the range of quality, or of rate, that two curves have in common, cut to `lo`..`hi`.

    Args:
        anchor, values: [N] and [M] float, not empty: the qualities, or the rates, of the two curves.
        lo, hi: limits in the same unit; None: no limit.

    Returns:
        (low, high) with low < high.

    Raises:
        ValueError: a curve is empty, or the range is; the message names the ranges of both curves.
    """
    if not len(anchor) or not len(values):
        raise ValueError("a curve has no points")
    low = max(min(anchor), min(values), -math.inf if lo is None else lo)
    high = min(max(anchor), max(values), math.inf if hi is None else hi)
    if not low < high:
        within = "" if lo is None and hi is None else f" within {lo}..{hi}"
        raise ValueError(
            f"no overlap{within}: the anchor spans {min(anchor):.2f}..{max(anchor):.2f}, "
            f"the curve {min(values):.2f}..{max(values):.2f}"
        )
    return float(low), float(high)


def rate_at(rates: Sequence[float], quality: Sequence[float], at: Sequence[float]) -> np.ndarray:
    """Return the rate of a curve at given qualities, interpolated as in `bd_rate`.

    Args:
        rates, quality: [N] float, as in `bd_rate`.
        at: [K] float, in the unit of quality.

    Returns:
        [K] float64 in the unit of `rates`; NaN outside the range of the curve.

    Raises:
        ValueError: the curve is not as `bd_rate` requires.
    """
    return np.exp(_log_rate_of_quality(rates, quality, "curve")(np.asarray(at, np.float64)))


def quality_at(rates: Sequence[float], quality: Sequence[float], at: Sequence[float]) -> np.ndarray:
    """Return the quality of a curve at given rates. This is the inverse function of `rate_at`.

    Args:
        rates, quality: [N] float, as in `bd_rate`.
        at: [K] float, rates > 0.

    Returns:
        [K] float64 in the unit of quality, within 1e-4 dB of the exact inverse; NaN outside the range of the curve.

    Raises:
        ValueError: the curve is not as `bd_rate` requires.
    """
    log_rate = _log_rate_of_quality(rates, quality, "curve")
    # The interpolated curve is monotone, so that a fine table of it can be read backwards. Interpolating quality over
    # log(rate) instead would give a slightly different curve.
    knots = log_rate.x
    table = np.concatenate([np.linspace(a, b, 1000, endpoint=False) for a, b in pairwise(knots)] + [knots[-1:]])
    return np.interp(np.log(np.asarray(at, np.float64)), log_rate(table), table, left=np.nan, right=np.nan)


def _log_rate_of_quality(rates: Sequence[float], quality: Sequence[float], what: str) -> Any:
    r, q = sorted_curve(rates, quality, what)
    return need("scipy.interpolate", "a difference of curves", "bench").PchipInterpolator(
        q, np.log(r), extrapolate=False
    )


def _quality_of_log_rate(rates: Sequence[float], quality: Sequence[float], what: str) -> Any:
    r, q = sorted_curve(rates, quality, what)
    return need("scipy.interpolate", "a difference of curves", "bench").PchipInterpolator(
        np.log(r), q, extrapolate=False
    )


def sorted_curve(
    rates: Sequence[float], quality: Sequence[float], what: str = "curve"
) -> tuple[np.ndarray, np.ndarray]:
    """Sort the points of a curve by rate, and check them.

    Args:
        rates, quality: [N] float, as in `bd_rate`.
        what: name of the curve, with which error messages begin.

    Returns:
        (rates, qualities), [N] float64 each, both rising.

    Raises:
        ValueError: the curve is not as `bd_rate` requires.
    """
    r, q = np.asarray(rates, np.float64), np.asarray(quality, np.float64)
    if r.ndim != 1 or r.shape != q.shape or len(r) < 2:
        raise ValueError(f"{what}: needs two lists of one length, at least 2 points; got {r.shape} and {q.shape}")
    if not (np.isfinite(r).all() and np.isfinite(q).all() and (r > 0).all()):
        raise ValueError(f"{what}: every rate must be finite and positive, every quality finite")
    order = np.argsort(r, kind="stable")
    r, q = r[order], q[order]
    bad = np.flatnonzero((np.diff(r) <= 0) | (np.diff(q) <= 0))
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"{what} is not monotone: {q[i]:.3f} at rate {r[i]:.5g}, then {q[i + 1]:.3f} at rate {r[i + 1]:.5g}"
        )
    return r, q


def _check_pair(original: np.ndarray, decoded: np.ndarray) -> None:
    for name, x in (("original", original), ("decoded", decoded)):
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8:
            raise TypeError(f"{name}: expected a uint8 array, got {getattr(x, 'dtype', type(x).__name__)}")
    if original.shape != decoded.shape:
        raise ValueError(f"shapes differ: original {list(original.shape)}, decoded {list(decoded.shape)}")
    if original.size == 0:
        raise ValueError("empty image")


def _check_rgb(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected [H, W, 3], got {list(image.shape)}")

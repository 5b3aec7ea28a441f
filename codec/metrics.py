"""Distortion and rate metrics: PSNR, MS-SSIM, BD-rate.

Needs numpy only; torch (MS-SSIM) and scipy (curves) are imported by the functions that use them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

MS_SSIM_MIN_SIDE = 161  # five scales with an 11-tap window: (11 - 1) * 2^4 < side


def psnr(original: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio over all samples of one image, in dB.

    One MSE over R, G and B together, peak 255. Average the *result* over images, not the MSE.

    Args:
        original: [H, W, 3] uint8 (any shape will do), not empty.
        decoded: same shape, uint8.

    Returns:
        dB, above 0 unless black meets white; `math.inf` when the arrays are equal. A mean over images that
        holds an infinity is no measurement: leave that point out and say so.

    Raises:
        TypeError: not uint8.
        ValueError: shapes differ, or empty.
    """
    _check_pair(original, decoded)
    diff = original.astype(np.int32) - decoded.astype(np.int32)
    mse = float(np.mean(np.square(diff), dtype=np.float64))
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def ms_ssim(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """Multi-scale structural similarity of one RGB image, mean of the three channels.

    Args:
        original: [H, W, 3] uint8.
        decoded: same shape, uint8.

    Returns:
        About 0..1, 1 for equal images; None where a side is under 161 pixels, for which it is not defined.

    Raises:
        TypeError: not uint8.
        ValueError: shapes differ, or not [H, W, 3].
        ImportError: torch or pytorch-msssim is not installed.

    Source: Wang, Simoncelli, Bovik 2003; pytorch-msssim 1.0 with its defaults, as the learned-codec papers use.
    """
    _check_pair(original, decoded)
    if original.ndim != 3 or original.shape[2] != 3:
        raise ValueError(f"expected [H, W, 3], got {list(original.shape)}")
    if min(original.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    import torch
    from pytorch_msssim import ms_ssim as torch_ms_ssim

    # A copy: arrays that come from Pillow are read-only, which torch warns of.
    a, b = (torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] for x in (original, decoded))
    with torch.inference_mode():
        return float(torch_ms_ssim(a, b, data_range=255))


def bd_rate(
    anchor_rates: Sequence[float],
    anchor_psnr: Sequence[float],
    rates: Sequence[float],
    psnr: Sequence[float],
    lo: float | None = None,
    hi: float | None = None,
) -> float:
    """Mean rate difference at equal PSNR, in percent: -40 means 40 % fewer bits than the anchor.

    The mean of log(rate) - log(anchor rate) over the PSNRs that both curves reach, or over the part of
    `lo`..`hi` that both reach (`psnr_overlap` tells which: state it beside the number). Each log-rate is a
    monotone piecewise cubic (PCHIP) of PSNR, which does not overshoot between points as VCEG-M33's single cubic does.

    Args:
        anchor_rates, anchor_psnr: [N] float, N >= 2, any order; rates > 0 in any unit, PSNR in dB.
        rates, psnr: [M] float, M >= 2, same units.
        lo, hi: dB; None: no limit.

    Returns:
        Percent, above -100.

    Raises:
        ValueError: fewer than two points, lengths differ, a rate is not positive, a value is not finite, a curve is
            not monotone (more bits without more dB), or there is no overlap.

    Source: Bjontegaard, VCEG-M33 (2001) and VCEG-AI11 (2008); PCHIP: Fritsch and Butland 1984, scipy.
    """
    lo, hi = psnr_overlap(anchor_psnr, psnr, lo, hi)
    anchor_log = _log_rate_of_psnr(anchor_rates, anchor_psnr, "anchor curve")
    log = _log_rate_of_psnr(rates, psnr, "curve")
    mean = float(log.integrate(lo, hi) - anchor_log.integrate(lo, hi)) / (hi - lo)
    return 100 * math.expm1(mean)


def psnr_overlap(
    anchor_psnr: Sequence[float], psnr: Sequence[float], lo: float | None = None, hi: float | None = None
) -> tuple[float, float]:
    """The PSNR range both curves reach, cut to `lo`..`hi`.

    Args:
        anchor_psnr, psnr: [N], [M] float, dB, not empty.
        lo, hi: dB; None: no limit.

    Returns:
        (low, high) in dB, low < high.

    Raises:
        ValueError: the range is empty; the message has both curves' ranges.
    """
    if not len(anchor_psnr) or not len(psnr):
        raise ValueError("a curve has no points")
    low = max(min(anchor_psnr), min(psnr), -math.inf if lo is None else lo)
    high = min(max(anchor_psnr), max(psnr), math.inf if hi is None else hi)
    if not low < high:
        within = "" if lo is None and hi is None else f" within {lo}..{hi} dB"
        raise ValueError(
            f"no overlap{within}: the anchor spans {min(anchor_psnr):.2f}..{max(anchor_psnr):.2f} dB, "
            f"the curve {min(psnr):.2f}..{max(psnr):.2f} dB"
        )
    return float(low), float(high)


def rate_at(rates: Sequence[float], psnr: Sequence[float], at: Sequence[float]) -> np.ndarray:
    """Rate of a curve at given PSNRs, by the interpolation `bd_rate` uses.

    Args:
        rates, psnr: [N] float, as in `bd_rate`.
        at: [K] float, dB.

    Returns:
        [K] float64, NaN outside the curve.

    Raises:
        ValueError: as `bd_rate`, but for the overlap.
    """
    return np.exp(_log_rate_of_psnr(rates, psnr, "curve")(np.asarray(at, np.float64)))


def psnr_at(rates: Sequence[float], psnr: Sequence[float], at: Sequence[float]) -> np.ndarray:
    """PSNR of a curve at given rates: the inverse of `rate_at`.

    Args:
        rates, psnr: [N] float, as in `bd_rate`.
        at: [K] float, rates > 0.

    Returns:
        [K] float64 dB, NaN outside the curve; within 1e-4 dB of the exact inverse.

    Raises:
        ValueError: as `bd_rate`, but for the overlap.
    """
    log_rate = _log_rate_of_psnr(rates, psnr, "curve")
    # PCHIP is monotone, so a fine table inverts it. PCHIP of PSNR over log-rate would be another curve.
    knots = log_rate.x
    table = np.concatenate([np.linspace(a, b, 1000, endpoint=False) for a, b in pairwise(knots)] + [knots[-1:]])
    return np.interp(np.log(np.asarray(at, np.float64)), log_rate(table), table, left=np.nan, right=np.nan)


def _log_rate_of_psnr(rates: Sequence[float], psnr: Sequence[float], what: str):
    from scipy.interpolate import PchipInterpolator

    r, p = _sorted_curve(rates, psnr, what)
    return PchipInterpolator(p, np.log(r), extrapolate=False)


def _sorted_curve(rates: Sequence[float], psnr: Sequence[float], what: str) -> tuple[np.ndarray, np.ndarray]:
    r, p = np.asarray(rates, np.float64), np.asarray(psnr, np.float64)
    if r.ndim != 1 or r.shape != p.shape or len(r) < 2:
        raise ValueError(f"{what}: needs two lists of one length, at least 2 points; got {r.shape} and {p.shape}")
    if not (np.isfinite(r).all() and np.isfinite(p).all() and (r > 0).all()):
        raise ValueError(f"{what}: every rate must be finite and positive, every PSNR finite")
    order = np.argsort(r, kind="stable")
    r, p = r[order], p[order]
    bad = np.flatnonzero((np.diff(r) <= 0) | (np.diff(p) <= 0))
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"{what} is not monotone: {p[i]:.3f} dB at rate {r[i]:.5g}, then {p[i + 1]:.3f} dB at rate {r[i + 1]:.5g}"
        )
    return r, p


def _check_pair(original: np.ndarray, decoded: np.ndarray) -> None:
    for name, x in (("original", original), ("decoded", decoded)):
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8:
            raise TypeError(f"{name}: expected a uint8 array, got {getattr(x, 'dtype', type(x).__name__)}")
    if original.shape != decoded.shape:
        raise ValueError(f"shapes differ: original {list(original.shape)}, decoded {list(decoded.shape)}")
    if original.size == 0:
        raise ValueError("empty image")

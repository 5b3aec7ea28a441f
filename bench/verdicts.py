"""Yes or no, on a measured set: is aec smaller than JPEG at every rate, and does its quality do what it says?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from codec.metrics import quality_at, rate_at

from .curves import Curve

ANCHOR = "jpeg"  # the promise's: what Pillow writes by default
CHECK_RATES = (0.15, 1.0)  # bpp; the promise of the README is checked at every hundredth between


def verdicts(rows: Sequence[dict], curves: dict[str, Curve]) -> list[str]:
    """Sentences about the codec named "aec", by PSNR.

    Args:
        rows: points of one set.
        curves: their means.
    """
    curve, anchor = curves.get("aec"), curves.get(ANCHOR)
    if not curve or "psnr" not in curve[0]:
        return []
    out = []
    if anchor:
        low, high = CHECK_RATES
        verdict = smaller_at_every_rate(anchor, curve)
        out.append(f"Smaller than JPEG at equal PSNR at every rate from {low} to {high} bpp: {verdict}")
    verdict = rises_with_quality([row for row in rows if row["codec"] == "aec"], curve)
    return [*out, f"Bits and PSNR of aec rise with every step of its quality on every image: {verdict}"]


def smaller_at_every_rate(anchor: Curve, curve: Curve) -> str:
    """Is the curve below the anchor's rate at equal PSNR wherever the curve spends CHECK_RATES?

    For each rate r of the curve: its PSNR there, and the rate the anchor needs for that PSNR, which must exceed r.

    Returns:
        "yes (...)", "no (...)", or "not shown (...)" when a curve does not reach far enough to tell.
    """
    grid = np.arange(round(100 * CHECK_RATES[0]), round(100 * CHECK_RATES[1]) + 1) / 100
    a_bpp, a_psnr = (np.array([p[key] for p in anchor]) for key in ("bpp", "psnr"))
    c_bpp, c_psnr = (np.array([p[key] for p in curve]) for key in ("bpp", "psnr"))
    try:
        psnr = quality_at(c_bpp, c_psnr, grid)
        needed = rate_at(a_bpp, a_psnr, psnr)
    except ValueError as error:
        return f"not shown ({error})"
    # Above the anchor's best PSNR it needs more than its highest rate: a bound, good enough to compare with.
    needed = np.where(psnr > a_psnr.max(), a_bpp.max(), needed)
    worse = np.flatnonzero(needed <= grid)
    if len(worse):
        i = worse[0]
        return f"no (at {grid[i]:.2f} bpp and {psnr[i]:.2f} dB the anchor needs {needed[i]:.3f} bpp)"
    unknown = np.flatnonzero(np.isnan(needed))
    if len(unknown):
        i = unknown[0]
        why = (
            f"the curve spans {c_bpp.min():.3f}-{c_bpp.max():.3f} bpp"
            if np.isnan(psnr[i])
            else f"{psnr[i]:.2f} dB is below the anchor's lowest point, {a_psnr.min():.2f} dB"
        )
        return f"not shown (at {grid[i]:.2f} bpp: {why})"
    saving = 1 - grid / needed
    i = int(np.argmin(saving))
    return f"yes (least saving: {100 * saving[i]:.1f} % at {grid[i]:.2f} bpp)"


def rises_with_quality(rows: Sequence[dict], curve: Curve) -> str:
    """Do rate and PSNR rise with every step of the quality, on every image, and by how much on their mean?

    Args:
        rows: of one codec on one set.
        curve: their mean.

    Returns:
        "yes (...)" with the largest steps of the mean, where a cliff would show; "no (...)" with the first offender.
    """
    images: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["quality"]):
        images.setdefault(row["image"], []).append(row)
    for image, points in images.items():
        for low, high in itertools.pairwise(points):
            for key, unit in (("bpp", "bpp"), ("psnr", "dB")):
                if not high[key] > low[key]:
                    step = f"from quality {low['quality']} to {high['quality']}"
                    return f"no ({image} goes {step} from {low[key]:.4f} to {high[key]:.4f} {unit})"
    steps = list(itertools.pairwise(curve))
    if not steps:
        return "not shown (fewer than two qualities)"
    dearest = max(steps, key=lambda step: step[1]["bpp"] / step[0]["bpp"])
    tallest = max(steps, key=lambda step: step[1]["psnr"] - step[0]["psnr"])
    return (
        f"yes (largest steps of the mean: {dearest[1]['bpp'] / dearest[0]['bpp']:.2f} times the bits "
        f"from quality {dearest[0]['quality']} to {dearest[1]['quality']}, "
        f"{tallest[1]['psnr'] - tallest[0]['psnr']:.2f} dB from {tallest[0]['quality']} to {tallest[1]['quality']})"
    )

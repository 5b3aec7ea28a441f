"""What a measured set says of aec: whether it is smaller than JPEG at every rate, how it stands beside each AVIF, and
whether its quality does what it says. All by one metric, the first that was measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from codec.metrics import quality_at, rate_at

from .curves import Curve
from .metrics import Metric

OURS = "aec"
ANCHOR = "jpeg"  # the promise's: what Pillow writes by default
RIVAL = "avif"  # begins the names of its variants, each of which gets a sentence
CHECK_RATES = (0.15, 1.0)  # bpp; the promise of the README is checked at every hundredth between


def verdicts(
    rows: Sequence[dict], curves: Mapping[str, Curve], metric: Metric, rates: Mapping[str, Mapping[str, dict | None]]
) -> list[str]:
    """Sentences about the codec named "aec".

    Args:
        rows: points of one set.
        curves: their means.
        rates: BD-rates, the metric's, as "rate" of `deltas.bd_matrix`.
    """
    curve, anchor = curves.get(OURS), curves.get(ANCHOR)
    if not curve or curve[0].get(metric.key) is None:
        return []
    name, out = metric.short_name, []
    if anchor:
        low, high = CHECK_RATES
        verdict = smaller_at_every_rate(anchor, curve, metric)
        out.append(f"Smaller than JPEG at equal {name} at every rate from {low} to {high} bpp: {verdict}")
    ours = rates.get(OURS, {})
    out += [beside(rival, ours[rival], metric) for rival in ours if rival.split("-")[0] == RIVAL]
    verdict = rises_with_quality([row for row in rows if row["codec"] == OURS], curve, metric)
    return [*out, f"Bits and {name} of {OURS} rise with every step of its quality on every image: {verdict}"]


def beside(rival: str, found: dict | None, metric: Metric) -> str:
    """How many bits aec takes of a rival's at equal quality.

    Args:
        found: an entry of `deltas.bd_matrix`.
    """
    if found is None:
        return f"{OURS} and {rival} reach no {metric.short_name} in common"
    digits = max(0, metric.digits - 1)
    span = f"{found['low']:.{digits}f} to {found['high']:.{digits}f}" + (f" {metric.unit}" if metric.unit else "")
    span += ", a short range" if found["short"] else ""
    much = f"{abs(found['value']):.1f} % {'more' if found['value'] > 0 else 'fewer'}"
    return f"At equal {metric.short_name} {OURS} takes {much} bits than {rival} ({span})"


def smaller_at_every_rate(anchor: Curve, curve: Curve, metric: Metric) -> str:
    """Is the curve below the anchor's rate at equal quality wherever the curve spends CHECK_RATES?

    For each rate r of the curve: its quality there, and the rate the anchor needs for that, which must exceed r.

    Returns:
        "yes (...)", "no (...)", or "not shown (...)" when a curve does not reach far enough to tell.
    """
    grid = np.arange(round(100 * CHECK_RATES[0]), round(100 * CHECK_RATES[1]) + 1) / 100
    a_bpp, a_quality = (np.array([p[key] for p in anchor]) for key in ("bpp", metric.key))
    c_bpp, c_quality = (np.array([p[key] for p in curve]) for key in ("bpp", metric.key))
    try:
        quality = quality_at(c_bpp, c_quality, grid)
        needed = rate_at(a_bpp, a_quality, quality)
    except ValueError as error:
        return f"not shown ({error})"
    # Above the anchor's best quality it needs more than its highest rate: a bound, good enough to compare with.
    needed = np.where(quality > a_quality.max(), a_bpp.max(), needed)
    worse = np.flatnonzero(needed <= grid)
    if len(worse):
        i = worse[0]
        return f"no (at {grid[i]:.2f} bpp and {_value(quality[i], metric)} the anchor needs {needed[i]:.3f} bpp)"
    unknown = np.flatnonzero(np.isnan(needed))
    if len(unknown):
        i = unknown[0]
        why = (
            f"the curve spans {c_bpp.min():.3f}-{c_bpp.max():.3f} bpp"
            if np.isnan(quality[i])
            else f"{_value(quality[i], metric)} is below the anchor's lowest point, {_value(a_quality.min(), metric)}"
        )
        return f"not shown (at {grid[i]:.2f} bpp: {why})"
    saving = 1 - grid / needed
    i = int(np.argmin(saving))
    return f"yes (least saving: {100 * saving[i]:.1f} % at {grid[i]:.2f} bpp)"


def rises_with_quality(rows: Sequence[dict], curve: Curve, metric: Metric) -> str:
    """Do rate and the metric rise with every step of the quality, on every image, and by how much on their mean?

    Args:
        rows: of one codec on one set; where the metric is not defined for an image, only its rate is looked at.
        curve: their mean.

    Returns:
        "yes (...)" with the largest steps of the mean, where a cliff would show; "no (...)" with the first offender.
    """
    key = metric.key
    images: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["quality"]):
        images.setdefault(row["image"], []).append(row)
    for image, points in images.items():
        for low, high in itertools.pairwise(points):
            for name, unit in (("bpp", "bpp"), (key, metric.unit or metric.short_name)):
                if low[name] is not None and not high[name] > low[name]:
                    step = f"from quality {low['quality']} to {high['quality']}"
                    return f"no ({image} goes {step} from {low[name]:.4f} to {high[name]:.4f} {unit})"
    steps = list(itertools.pairwise(curve))
    if not steps:
        return "not shown (fewer than two qualities)"
    dearest = max(steps, key=lambda step: step[1]["bpp"] / step[0]["bpp"])
    tallest = max(steps, key=lambda step: step[1][key] - step[0][key])
    return (
        f"yes (largest steps of the mean: {dearest[1]['bpp'] / dearest[0]['bpp']:.2f} times the bits "
        f"from quality {dearest[0]['quality']} to {dearest[1]['quality']}, "
        f"{_value(tallest[1][key] - tallest[0][key], metric)} from {tallest[0]['quality']} to {tallest[1]['quality']})"
    )


def _value(value: float, metric: Metric) -> str:
    return f"{value:.{metric.digits}f} {metric.unit or metric.short_name}"

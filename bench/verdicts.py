"""Sentences that say how well aec does on a set: whether it is smaller than JPEG at every rate, how many bits it takes
compared with each AVIF variant, and whether rate and metric rise with its quality. All use the report's first metric.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from codec.metrics import quality_at, rate_at

from .curves import Curve
from .metrics import Metric

OURS = "aec"
ANCHOR = "jpeg"  # Pillow's default JPEG, which the README promises to beat
RIVAL = "avif"  # each codec whose name is this or begins with "avif-" gets a sentence
CHECK_RATES = (0.15, 1.0)  # bits per pixel; the README's promise is checked in steps of 0.01 between these


def verdicts(
    rows: Sequence[dict], curves: Mapping[str, Curve], metric: Metric, rates: Mapping[str, Mapping[str, dict | None]]
) -> list[str]:
    """Sentences about the codec named "aec".

    Args:
        rows: the points of one set.
        curves: the mean curves of the set.
        rates: the BD-rates by this metric, as in "rate" of `deltas.bd_matrix`.
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
    """A sentence that compares aec's bits with a rival's at equal quality.

    Args:
        found: the BD-rate of aec against the rival, an entry of `deltas.bd_matrix`.
    """
    if found is None:
        return f"{OURS} and {rival} reach no {metric.short_name} in common"
    digits = max(0, metric.digits - 1)
    span = f"{found['low']:.{digits}f} to {found['high']:.{digits}f}" + (f" {metric.unit}" if metric.unit else "")
    span += ", a short range" if found["short"] else ""
    much = f"{abs(found['value']):.1f} % {'more' if found['value'] > 0 else 'fewer'}"
    return f"At equal {metric.short_name} {OURS} takes {much} bits than {rival} ({span})"


def smaller_at_every_rate(anchor: Curve, curve: Curve, metric: Metric) -> str:
    """Does the curve need fewer bits than the anchor at equal quality, at every rate within CHECK_RATES?

    For each rate r, the quality of the curve at r is found, and then the rate that the anchor needs for this quality,
    which must be larger than r.

    Returns:
        "yes (...)", "no (...)", or "not shown (...)" if a curve does not reach far enough to decide.
    """
    grid = np.arange(round(100 * CHECK_RATES[0]), round(100 * CHECK_RATES[1]) + 1) / 100
    a_bpp, a_quality = (np.array([p[key] for p in anchor]) for key in ("bpp", metric.key))
    c_bpp, c_quality = (np.array([p[key] for p in curve]) for key in ("bpp", metric.key))
    try:
        quality = quality_at(c_bpp, c_quality, grid)
        needed = rate_at(a_bpp, a_quality, quality)
    except ValueError as error:
        return f"not shown ({error})"
    # For a quality above its best one, the anchor would need more than its highest rate. This bound is used as the
    # rate.
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
    """Do the rate and the metric rise with every step of the quality, on every image?

    Args:
        rows: the points of one codec on one set. If the metric is not defined for an image, only its rate is checked.
        curve: the codec's mean curve.

    Returns:
        "yes (...)" with the largest steps of the mean curve, so that a sudden jump would be noticed; "no (...)" with
        the first step that does not rise; or "not shown (...)".
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

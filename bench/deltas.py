"""Compares curves of codecs: BD-rates, BD-qualities, and sizes at equal quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from codec.metrics import bd_quality, bd_rate, overlap, rate_at, sorted_curve

from .metrics import Metric

LEAST_RATES = 1.5  # a BD-quality is "short" if the highest common rate is less than this times the lowest
Line = tuple[Sequence[float], Sequence[float]]  # rates in bits per pixel, qualities


def lines_of(curves: Mapping[str, Sequence[dict]], metric: str) -> tuple[dict[str, Line], list[str]]:
    """(the curves of one metric that can be compared, for each of the others a message why it cannot)."""
    lines, reasons = {}, []
    for name, points in curves.items():
        have = [(p["bpp"], p[metric]) for p in points if p.get(metric) is not None]
        if not have:
            continue
        rates, qualities = map(list, zip(*have, strict=True))
        try:
            sorted_curve(rates, qualities)
        except ValueError as error:
            reasons.append(f"{name} is not compared by {metric}: {error}")
        else:
            lines[name] = (rates, qualities)
    return lines, reasons


def bd_matrix(lines: Mapping[str, Line], metric: Metric) -> dict[str, object]:
    """BD-rates and BD-qualities of every codec against every other.

    A value is marked "short" if the range in which the two curves overlap is too small for it to mean much: less than
    half of the span of the narrower curve (within the metric's range), or less than `metric.least` for a BD-rate and a
    factor of LEAST_RATES for a BD-quality.

    Returns:
        {"range": the metric's range, "rate": {codec: {anchor: entry}}, "quality": {codec: {anchor: entry}}}. An entry
        is None if the curves do not overlap. Else it has "value" (the BD-rate in percent, or the BD-quality in the
        metric's unit), "low" and "high" (the ends of the overlap, in the metric's unit for a BD-rate and in bits per
        pixel for a BD-quality), and "short".
    """

    def rate(anchor: Line, line: Line) -> dict[str, object]:
        bounds = metric.range or (None, None)
        low, high = overlap(anchor[1], line[1], *bounds)
        spans = [_span(anchor[1], *bounds), _span(line[1], *bounds)]
        short = high - low < max(metric.least, min(spans) / 2)
        return {"value": bd_rate(*anchor, *line, *bounds), "low": low, "high": high, "short": short}

    def quality(anchor: Line, line: Line) -> dict[str, object]:
        low, high = overlap(anchor[0], line[0])
        spans = [math.log(max(rates) / min(rates)) for rates in (anchor[0], line[0])]
        short = math.log(high / low) < max(math.log(LEAST_RATES), min(spans) / 2)
        return {"value": bd_quality(*anchor, *line), "low": low, "high": high, "short": short}

    return {
        "range": metric.range,
        "rate": _each_against_each(lines, rate),
        "quality": _each_against_each(lines, quality),
    }


def sizes_at(lines: Mapping[str, Line], targets: Sequence[float]) -> list[dict[str, object]]:
    """For each target, a value of the metric: {"target": the target, "bpp": {codec: bits per pixel that it needs}}.

    The bits per pixel are None for a codec whose curve does not reach the target. Targets that no codec reaches are
    left out.
    """
    found = {name: rate_at(*line, targets) for name, line in lines.items()}
    return [
        {"target": target, "bpp": bpp}
        for i, target in enumerate(targets)
        if any((bpp := {name: _number(rates[i]) for name, rates in found.items()}).values())
    ]


def _each_against_each(lines: Mapping[str, Line], compare: Callable[[Line, Line], dict]) -> dict[str, dict]:
    out: dict[str, dict] = {}
    for name, line in lines.items():
        out[name] = {}
        for anchor_name, anchor in lines.items():
            try:
                out[name][anchor_name] = compare(anchor, line)
            except ValueError:  # the curves do not overlap; lines_of has excluded all other reasons
                out[name][anchor_name] = None
    return out


def _span(values: Sequence[float], low: float | None, high: float | None) -> float:
    bottom, top = overlap(values, values, low, high)
    return top - bottom


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)

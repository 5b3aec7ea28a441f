"""Points -> mean curves, always over the same images for every codec of a set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

Curve = list[dict[str, float]]  # means by rising quality: "quality", "bpp", metrics by key, speeds, peaks


def by_set(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """The rows of each set, in the order in which sets were measured."""
    sets: dict[str, list[dict]] = {}
    for row in rows:
        sets.setdefault(row["set"], []).append(row)
    return sets


def mean_curves(rows: Sequence[dict], metrics: Sequence[str]) -> tuple[dict[str, Curve], list[str], list[str]]:
    """Mean curve of each codec over the images that every codec finished.

    A mean is of the images' values: bits per pixel, metrics. Speeds are all their pixels over all their seconds, peaks
    the largest. A metric that is undefined for one of the images is None.

    Args:
        rows: points of one set, as `measure.Point.row`.
        metrics: keys; a point at which one of them is infinite (on some image) is in no curve.

    Returns:
        (codec -> curve; the images averaged; notes on everything left out).
    """
    wanted = {(row["codec"], row["quality"]) for row in rows}
    finished: dict[str, set] = {}
    for row in rows:
        finished.setdefault(row["image"], set()).add((row["codec"], row["quality"]))
    images = [image for image, pairs in finished.items() if pairs == wanted]
    notes = [
        f"{image} is in no mean: {len(wanted) - len(pairs)} of {len(wanted)} measurements are missing"
        for image, pairs in finished.items()
        if pairs != wanted
    ]
    curves: dict[str, Curve] = {name: [] for name in dict.fromkeys(row["codec"] for row in rows)}
    kept = set(images)
    groups: dict[tuple[str, int], list[dict]] = {}
    for row in rows:
        if row["image"] in kept:
            groups.setdefault((row["codec"], row["quality"]), []).append(row)
    dropped: dict[str, list[tuple[int, str, str]]] = {}
    for (name, quality), group in sorted(groups.items()):
        infinite = [
            (quality, m, row["image"]) for row in group for m in metrics if row[m] is not None and math.isinf(row[m])
        ]
        if infinite:
            dropped.setdefault(name, []).extend(infinite)
        else:
            curves[name].append(_mean_point(group, quality, metrics))
    for name, infinite in dropped.items():
        qualities, keys, of = (list(dict.fromkeys(column)) for column in zip(*infinite, strict=True))
        which = ", ".join(map(str, qualities))
        notes.append(f"{name} at quality {which} is in no curve: infinite {', '.join(keys)} on {_few(of)}")
    for metric in metrics:
        undefined = dict.fromkeys(row["image"] for group in groups.values() for row in group if row[metric] is None)
        if undefined:
            notes.append(f"{metric} has no curves: it is not defined for {_few(list(undefined))}")
    return curves, images, notes


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _mean_point(group: Sequence[dict], quality: int, metrics: Sequence[str]) -> dict[str, float]:
    def mean(key: str) -> float | None:
        values = [row[key] for row in group]
        return None if None in values else statistics.fmean(values)

    def speed(key: str) -> float | None:
        seconds = [row[key] for row in group]
        return None if None in seconds else sum(row["width"] * row["height"] for row in group) / 1e6 / sum(seconds)

    def most(key: str) -> int | None:
        return max((row[key] for row in group if row[key] is not None), default=None)

    return {
        "quality": quality,
        "bpp": mean("bpp"),
        **{metric: mean(metric) for metric in metrics},
        **{f"{way}_mpx_per_s": speed(f"{way}_s") for way in ("encode", "decode", "encode_resident", "decode_resident")},
        **{f"{way}_peak_bytes": most(f"{way}_peak_bytes") for way in ("encode", "decode")},
    }

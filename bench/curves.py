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
    """Mean curve of each codec over the images that every codec finished, and that none keeps exactly.

    A mean is of the images' values: bits per pixel, metrics. Speeds are all their pixels over all their seconds, peaks
    the largest. A metric that is undefined for one of the images is None. A picture that comes back exactly has an
    infinite metric: where a codec does so with all of them, as at a lossless quality, that point is in no curve; where
    with some, as aec does where that takes fewer bytes, these are in no codec's mean.

    Args:
        rows: points of one set, as `measure.Point.row`.
        metrics: keys.

    Returns:
        (codec -> curve; the images averaged; notes on everything left out).
    """
    wanted = {(row["codec"], row["quality"]) for row in rows}
    finished: dict[str, set] = {}
    for row in rows:
        finished.setdefault(row["image"], set()).add((row["codec"], row["quality"]))
    kept = {image for image, pairs in finished.items() if pairs == wanted}
    notes = [
        f"{image} is in no mean: {len(wanted) - len(pairs)} of {len(wanted)} measurements are missing"
        for image, pairs in finished.items()
        if image not in kept
    ]
    exact: dict[tuple[str, int], set[str]] = {}  # by codec and quality, the images that come back as they were
    for row in rows:
        if row["image"] in kept and any(row[m] is not None and math.isinf(row[m]) for m in metrics):
            exact.setdefault((row["codec"], row["quality"]), set()).add(row["image"])
    dropped = sorted(point for point, images in exact.items() if images == kept)
    for (name, quality), images in sorted(exact.items()):
        if (name, quality) not in dropped:
            notes += [
                f"{image} is in no mean: {name} keeps it exactly at quality {quality}"
                for image in sorted(images & kept)
            ]
            kept -= images
    for name in dict.fromkeys(name for name, _ in dropped):
        which = ", ".join(str(quality) for other, quality in dropped if other == name)
        notes.append(f"{name} at quality {which} is in no curve: every image comes back exactly")
    curves: dict[str, Curve] = {name: [] for name in dict.fromkeys(row["codec"] for row in rows)}
    groups: dict[tuple[str, int], list[dict]] = {}
    for row in rows:
        if row["image"] in kept and (row["codec"], row["quality"]) not in dropped:
            groups.setdefault((row["codec"], row["quality"]), []).append(row)
    for (name, quality), group in sorted(groups.items()):
        curves[name].append(_mean_point(group, quality, metrics))
    for metric in metrics:
        undefined = dict.fromkeys(row["image"] for group in groups.values() for row in group if row[metric] is None)
        if undefined:
            notes.append(f"{metric} has no curves: it is not defined for {_few(list(undefined))}")
    return curves, [image for image in finished if image in kept], notes


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

"""Makes the mean curve of each codec from its points. All codecs of a set are averaged over the same images."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

# Points in the order of rising quality. Each has means over the images: "quality", "bpp", and metrics by their keys;
# and speeds and peaks of memory.
Curve = list[dict[str, float]]


def by_set(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """The rows of each set. The sets are in the order in which they were measured."""
    sets: dict[str, list[dict]] = {}
    for row in rows:
        sets.setdefault(row["set"], []).append(row)
    return sets


def mean_curves(rows: Sequence[dict], metrics: Sequence[str]) -> tuple[dict[str, Curve], list[str], list[str]]:
    """The mean curve of each codec, over the images for which all measurements of all codecs succeeded.

    Bits per pixel and metrics are means of the images' values. Speeds are the pixels of all images divided by the
    seconds of all images. Peaks of memory are the largest of all images. A metric that is undefined for one of the
    images is None.

    Metrics such as PSNR are infinite where a codec returns an image exactly, so no mean can include them. If a codec
    does that for all images at some quality, this point is left out of its curve. If it does that for some images, as
    aec does where it takes fewer bytes, these images are left out of all codecs' means.

    Args:
        rows: the points of one set, as in `measure.Point.row`.
        metrics: the keys of the metrics.

    Returns:
        (curves by codec; names of the images that are averaged; messages about everything that is left out).
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
    exact: dict[tuple[str, int], set[str]] = {}  # for each codec and quality, the images that it returns exactly
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

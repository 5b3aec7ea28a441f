"""rd.csv -> curves of bits per pixel and PSNR. Reads nothing but the CSV.

Means are over the images of a set (of bits per pixel, of PSNR), always over the same images for every codec.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Point:
    """Of a curve: means over the images of a set."""

    bpp: float
    psnr: float  # dB, finite


@dataclass(frozen=True)
class Measured(Point):
    """One codec at one quality."""

    quality: int
    ms_ssim: float | None  # None: not measured for every image
    encode_s_per_mpx: float
    decode_s_per_mpx: float


def read_rows(csv_path: Path) -> list[dict]:
    """Rows of an rd.csv with numbers as numbers; an empty ms_ssim is None, a lossless psnr `math.inf`."""
    with open(csv_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for key in ("width", "height", "quality", "bytes", "runs", "threads"):
            row[key] = int(row[key])
        for key in ("bpp", "psnr", "encode_s", "decode_s"):
            row[key] = float(row[key])
        row["ms_ssim"] = float(row["ms_ssim"]) if row["ms_ssim"] else None
    return rows


def by_set(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """The rows of each set, in the order in which sets were measured."""
    sets: dict[str, list[dict]] = {}
    for row in rows:
        sets.setdefault(row["set"], []).append(row)
    return sets


def mean_curves(rows: Sequence[dict]) -> tuple[dict[str, list[Measured]], list[str], list[str]]:
    """Mean curve of each codec over the images that every codec finished.

    Args:
        rows: of one set.

    Returns:
        (codec -> points by rising quality; the images averaged; notes on everything left out).
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
    curves: dict[str, list[Measured]] = {name: [] for name in dict.fromkeys(row["codec"] for row in rows)}
    kept = set(images)
    groups: dict[tuple[str, int], list[dict]] = {}
    for row in rows:
        if row["image"] in kept:
            groups.setdefault((row["codec"], row["quality"]), []).append(row)
    for (name, quality), group in sorted(groups.items()):
        lossless = [row["image"] for row in group if math.isinf(row["psnr"])]
        if lossless:
            notes.append(f"{name} at quality {quality} is in no curve: lossless on {', '.join(lossless)}")
            continue
        mpx = sum(row["width"] * row["height"] for row in group) / 1e6
        similarities = [row["ms_ssim"] for row in group]
        curves[name].append(
            Measured(
                bpp=statistics.fmean(row["bpp"] for row in group),
                psnr=statistics.fmean(row["psnr"] for row in group),
                quality=quality,
                ms_ssim=None if None in similarities else statistics.fmean(similarities),
                encode_s_per_mpx=sum(row["encode_s"] for row in group) / mpx,
                decode_s_per_mpx=sum(row["decode_s"] for row in group) / mpx,
            )
        )
    return curves, images, notes

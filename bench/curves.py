"""rd.csv -> curves of bits per pixel and PSNR, and published ones from JSON beside them.

Means are over the images of a set (of bits per pixel, of PSNR), always over the same images for every codec.
"""

from __future__ import annotations

import csv
import json
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


@dataclass(frozen=True)
class Published:
    """Curves that others measured on one of our sets."""

    image_set: str
    curves: dict[str, list[Point]]

    def on(self, image_set: str) -> dict[str, list[Point]]:
        """The curves to compare with those of a set: none, if it is another set's."""
        return self.curves if image_set == self.image_set else {}


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


def read_published(path: Path, names: Sequence[str], image_set: str) -> Published:
    """Published curves: {name: {"bpp": [...], "psnr": [...]}} as JSON.

    Args:
        names: which to take; each must be there and have PSNRs.
        image_set: what they were measured on.

    Raises:
        OSError: the file cannot be read.
        ValueError: not JSON of that form, or a name is not in it.
    """
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an object of curves, found {type(found).__name__}")
    curves = {}
    for name in names:
        entry = found.get(name)
        if not isinstance(entry, dict) or "bpp" not in entry or "psnr" not in entry:
            known = ", ".join(k for k, v in found.items() if isinstance(v, dict) and "psnr" in v)
            raise ValueError(f"{path}: no PSNR curve {name!r}; there are: {known}")
        if len(entry["bpp"]) != len(entry["psnr"]):
            raise ValueError(f"{path}: {name}: {len(entry['bpp'])} rates but {len(entry['psnr'])} PSNRs")
        curves[name] = [Point(*pair) for pair in zip(entry["bpp"], entry["psnr"], strict=True)]
    return Published(image_set, curves)

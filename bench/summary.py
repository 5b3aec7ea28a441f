"""rd.csv -> mean curves, BD-rates and the tables of summary.md. Reads nothing but the CSV.

Means are over images (of bits per pixel, of PSNR), always over the same images for every codec.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ANCHOR = "jpeg"  # the promise's: what Pillow writes by default
MORE_ANCHORS = ("jpeg-opt", "jpeg-444")  # a column each, where they were measured
BD_RANGE = (29.5, 37.3)  # dB; on Kodak Pillow's default JPEG spends about 0.56 to 2.1 bpp there
CHECK_RATES = (0.15, 1.0)  # bpp; the promise of the README is checked at every hundredth between


@dataclass(frozen=True)
class Point:
    """One codec at one quality: means over the images."""

    quality: int
    bpp: float
    psnr: float  # dB, finite
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


def mean_curves(rows: Sequence[dict]) -> tuple[dict[str, list[Point]], list[str], list[str]]:
    """Mean curve of each codec over the images that every codec finished.

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
    curves: dict[str, list[Point]] = {name: [] for name in dict.fromkeys(row["codec"] for row in rows)}
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
            Point(
                quality=quality,
                bpp=statistics.fmean(row["bpp"] for row in group),
                psnr=statistics.fmean(row["psnr"] for row in group),
                ms_ssim=None if None in similarities else statistics.fmean(similarities),
                encode_s_per_mpx=sum(row["encode_s"] for row in group) / mpx,
                decode_s_per_mpx=sum(row["decode_s"] for row in group) / mpx,
            )
        )
    return curves, images, notes


def bd_rate_text(anchor: Sequence[Point], curve: Sequence[Point]) -> tuple[str, str]:
    """(BD-rate against the anchor in percent, the dB range it holds for), or ("-", why there is none)."""
    from codec import metrics

    anchor_psnr, psnr = [p.psnr for p in anchor], [p.psnr for p in curve]
    try:
        low, high = metrics.psnr_overlap(anchor_psnr, psnr, *BD_RANGE)
        value = metrics.bd_rate([p.bpp for p in anchor], anchor_psnr, [p.bpp for p in curve], psnr, *BD_RANGE)
    except ValueError as error:
        return "-", str(error)
    return f"{value:+.1f}", f"{low:.2f}-{high:.2f}"


def smaller_at_every_rate(anchor: Sequence[Point], curve: Sequence[Point]) -> str:
    """Is the curve below the anchor's rate at equal PSNR wherever the curve spends CHECK_RATES?

    For each rate r of the curve: its PSNR there, and the rate the anchor needs for that PSNR, which must exceed r.

    Returns:
        "yes (...)", "no (...)", or "not shown (...)" when a curve does not reach far enough to tell.
    """
    from codec import metrics

    grid = np.arange(round(100 * CHECK_RATES[0]), round(100 * CHECK_RATES[1]) + 1) / 100
    a_bpp, a_psnr = np.array([p.bpp for p in anchor]), np.array([p.psnr for p in anchor])
    c_bpp, c_psnr = np.array([p.bpp for p in curve]), np.array([p.psnr for p in curve])
    try:
        psnr = metrics.psnr_at(c_bpp, c_psnr, grid)
        needed = metrics.rate_at(a_bpp, a_psnr, psnr)
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


def summarise(rows: Sequence[dict], command: str, machine: str, notes: Sequence[str] = ()) -> str:
    """The tables as Markdown that is also readable as text."""
    curves, images, left_out = mean_curves(rows)
    lines = ["# aec bench", "", f"Command: `{command}`", f"Machine: {machine}", f"Commit: {rows[0]['commit'] or '-'}"]
    lines += [
        f"Images: {len(images)}. bpp: file bytes * 8 / pixels; PSNR: RGB, per image; both are means over the images.",
        "Times: median of the runs of each image, summed, per megapixel; memory to memory.",
        "",
    ]
    for note in (*notes, *left_out):
        lines.append(f"- {note}")
    if notes or left_out:
        lines.append("")

    anchor = curves.get(ANCHOR)
    more = [name for name in MORE_ANCHORS if curves.get(name)]
    table = []
    reasons = []
    for name, curve in curves.items():
        if not curve:
            continue
        bd, where = ("-", "-") if not anchor else bd_rate_text(anchor, curve)
        if anchor and bd == "-":
            reasons.append(f"- BD-rate of {name} is undefined: {where}")
            where = "-"
        span = f"{min(p.bpp for p in curve):.3f}-{max(p.bpp for p in curve):.3f}"
        encode = statistics.fmean(p.encode_s_per_mpx for p in curve)
        decode = statistics.fmean(p.decode_s_per_mpx for p in curve)
        against = [bd_rate_text(curves[other], curve)[0] for other in more]
        table.append((name, bd, where, *against, span, f"{encode:.3f}", f"{decode:.3f}"))
    lines += [
        f"## BD-rate against {ANCHOR}",
        "",
        f"Range: {BD_RANGE[0]}-{BD_RANGE[1]} dB where both curves reach it (overlap in the table). "
        f"Negative: fewer bits at equal PSNR. PCHIP of log-rate over PSNR, on the mean curves.",
        "",
        *_table(
            (
                *("codec", "BD-rate %", "overlap dB", *(f"vs {name} %" for name in more)),
                *("bpp", "encode s/Mpx", "decode s/Mpx"),
            ),
            table,
        ),
        "",
    ]
    if reasons:
        lines += [*reasons, ""]
    if not anchor:
        lines += [f"No BD-rates: {ANCHOR} was not measured.", ""]
    if anchor and curves.get("aec"):
        low, high = CHECK_RATES
        verdict = smaller_at_every_rate(anchor, curves["aec"])
        lines += [f"Smaller than JPEG at equal PSNR at every rate from {low} to {high} bpp: {verdict}", ""]

    table = [
        (
            name,
            str(p.quality),
            f"{p.bpp:.4f}",
            f"{p.psnr:.3f}",
            "-" if p.ms_ssim is None else f"{p.ms_ssim:.5f}",
            f"{p.encode_s_per_mpx:.3f}",
            f"{p.decode_s_per_mpx:.3f}",
        )
        for name, curve in curves.items()
        for p in curve
    ]
    lines += ["## Mean curves", ""]
    lines += _table(("codec", "quality", "bpp", "PSNR dB", "MS-SSIM", "encode s/Mpx", "decode s/Mpx"), table)
    lines += ["", "## Settings", ""]
    seen = dict.fromkeys((row["codec"], row["version"], row["settings"], str(row["threads"])) for row in rows)
    lines += _table(("codec", "version", "settings", "threads"), list(seen))
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in body)]

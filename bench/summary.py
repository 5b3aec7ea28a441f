"""rd.csv -> BD-rates, checks and the tables of summary.md, a section for each set of images."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

import numpy as np

from .curves import Measured, Point, by_set, mean_curves
from .published import Published

ANCHOR = "jpeg"  # the promise's: what Pillow writes by default
MORE_ANCHORS = ("jpeg-opt", "jpeg-444", "webp", "avif", "avif-speed0", "heic")  # a column each, if measured
BD_RANGE = (29.5, 37.3)  # dB; on Kodak Pillow's default JPEG spends about 0.56 to 2.1 bpp there
CHECK_RATES = (0.15, 1.0)  # bpp; the promise of the README is checked at every hundredth between


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


def rises_with_quality(rows: Sequence[dict], curve: Sequence[Measured]) -> str:
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
    dearest = max(steps, key=lambda step: step[1].bpp / step[0].bpp)
    tallest = max(steps, key=lambda step: step[1].psnr - step[0].psnr)
    return (
        f"yes (largest steps of the mean: {dearest[1].bpp / dearest[0].bpp:.2f} times the bits "
        f"from quality {dearest[0].quality} to {dearest[1].quality}, "
        f"{tallest[1].psnr - tallest[0].psnr:.2f} dB from {tallest[0].quality} to {tallest[1].quality})"
    )


def summarise(
    rows: Sequence[dict], command: str, machine: str, notes: Sequence[str] = (), published: Published | None = None
) -> str:
    """The tables as Markdown that is also readable as text."""
    lines = ["# aec bench", "", f"Command: `{command}`", f"Machine: {machine}", f"Commit: {rows[0]['commit'] or '-'}"]
    lines += [
        "bpp: file bytes * 8 / pixels; PSNR: RGB, per image; both are means over the images of a set.",
        "Times: median of the runs of each image, summed, per megapixel; memory to memory.",
        f"BD-rates: {BD_RANGE[0]}-{BD_RANGE[1]} dB, or the part of it that both curves reach, which is stated. "
        "Negative: fewer bits at equal PSNR. PCHIP of log-rate over PSNR, on the mean curves.",
    ]
    if published:
        lines.append(
            f"Published curves are as their authors gave them, for all of {published.image_set}; none was run here."
        )
    lines += ["", *_bullets(notes)]
    for name, rows_of_set in by_set(rows).items():
        lines += _set_section(name, rows_of_set, published.on(name) if published else {})
    lines += ["## Settings", ""]
    seen = dict.fromkeys((row["codec"], row["version"], row["settings"], str(row["threads"])) for row in rows)
    lines += _table(("codec", "version", "settings", "threads"), list(seen))
    return "\n".join(lines) + "\n"


def _set_section(name: str, rows: Sequence[dict], published: dict[str, list[Point]]) -> list[str]:
    curves, images, left_out = mean_curves(rows)
    measured = {codec: curve for codec, curve in curves.items() if curve}
    compared = measured | {f"{codec} (published)": curve for codec, curve in published.items()}
    lines = [f"## {name}: {len(images)} image{'s' if len(images) != 1 else ''}", "", *_bullets(left_out)]
    anchor = measured.get(ANCHOR)
    if anchor:
        lines += _against_the_anchor(anchor, compared)
    else:
        lines += [f"No BD-rates against {ANCHOR}: it was not measured.", ""]
    lines += _against_others({other: measured[other] for other in MORE_ANCHORS if other in measured}, compared)
    if "aec" in measured:
        if anchor:
            low, high = CHECK_RATES
            verdict = smaller_at_every_rate(anchor, measured["aec"])
            lines += [f"Smaller than JPEG at equal PSNR at every rate from {low} to {high} bpp: {verdict}", ""]
        verdict = rises_with_quality([row for row in rows if row["codec"] == "aec"], measured["aec"])
        lines += [f"Bits and PSNR of aec rise with every step of its quality on every image: {verdict}", ""]
    lines += ["### Mean curves", ""]
    head = ("codec", "quality", "bpp", "PSNR dB", "MS-SSIM", "encode s/Mpx", "decode s/Mpx")
    body = [
        (
            codec,
            str(p.quality),
            f"{p.bpp:.4f}",
            f"{p.psnr:.3f}",
            "-" if p.ms_ssim is None else f"{p.ms_ssim:.5f}",
            f"{p.encode_s_per_mpx:.3f}",
            f"{p.decode_s_per_mpx:.3f}",
        )
        for codec, curve in measured.items()
        for p in curve
    ]
    return [*lines, *_table(head, body), ""]


def _against_the_anchor(anchor: Sequence[Point], compared: dict[str, Sequence[Point]]) -> list[str]:
    body, reasons = [], []
    for name, curve in compared.items():
        bd, overlap = bd_rate_text(anchor, curve)
        if bd == "-":
            reasons.append(f"BD-rate of {name} is undefined: {overlap}")
            overlap = "-"
        span = f"{min(p.bpp for p in curve):.3f}-{max(p.bpp for p in curve):.3f}"
        times = ("-", "-")
        if all(isinstance(p, Measured) for p in curve):
            encode = statistics.fmean(p.encode_s_per_mpx for p in curve)
            decode = statistics.fmean(p.decode_s_per_mpx for p in curve)
            times = (f"{encode:.3f}", f"{decode:.3f}")
        body.append((name, bd, overlap, span, *times))
    head = ("codec", "BD-rate %", "overlap dB", "bpp", "encode s/Mpx", "decode s/Mpx")
    return [f"### BD-rate against {ANCHOR}", "", *_table(head, body), "", *_bullets(reasons)]


def _against_others(anchors: dict[str, Sequence[Point]], compared: dict[str, Sequence[Point]]) -> list[str]:
    """A column for each anchor; the overlap stands beside a BD-rate wherever it is not the whole range."""
    if not anchors:
        return []
    whole = f"{BD_RANGE[0]:.2f}-{BD_RANGE[1]:.2f}"

    def cell(anchor: Sequence[Point], curve: Sequence[Point]) -> str:
        bd, overlap = bd_rate_text(anchor, curve)
        return bd if bd == "-" or overlap == whole else f"{bd} ({overlap})"

    body = [(name, *(cell(anchor, curve) for anchor in anchors.values())) for name, curve in compared.items()]
    head = ("BD-rate %", *(f"vs {anchor}" for anchor in anchors))
    lines = [f"### BD-rate against {', '.join(anchors)}", "", *_table(head, body), ""]
    return [*lines, f"In parentheses: the overlap in dB, where it is not all of {whole}.", ""]


def _bullets(texts: Sequence[str]) -> list[str]:
    return [*(f"- {text}" for text in texts), ""] if texts else []


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in body)]

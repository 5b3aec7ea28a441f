"""Writes the report as Markdown that is also readable as plain text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .verdicts import ANCHOR


def summarise(report: dict) -> str:
    """The summary of a report: first BD-rates, speeds, verdicts and sizes; then how they were measured."""
    lines = ["# aec bench", ""]
    lines += [f"{key.capitalize()}: {report[key] or '-'}  " for key in ("machine", "commit", "date")]
    lines += [f"Command: `{report['command']}`", ""]
    for image_set in report["sets"]:
        lines += _set_section(image_set, report["metrics"])
    for table in report["tables"]:
        lines += [f"## {table['title']}", "", table["note"], ""]
        lines += [*_table(table["columns"], [[str(cell) for cell in row] for row in table["rows"]]), ""]
    lines += ["## How it was measured", "", *_bullets([*report["notes"], *report["method"]])]
    runs, jobs = report["runs"], report["jobs"]
    lines += [f"Runs: {runs}. Processes that measured at the same time: {jobs}.", ""]
    body = [[c["name"], c["version"], c["settings"], str(c["threads"])] for c in report["codecs"]]
    return "\n".join([*lines, *_table(["codec", "version", "settings", "threads"], body)]) + "\n"


def _set_section(image_set: dict, metrics: Sequence[dict]) -> list[str]:
    n = len(image_set["averaged"])
    lines = [f"## {image_set['name']}: {n} image{'s' if n != 1 else ''}", ""]
    lines += _main_table(image_set, metrics)
    lines += [f"{verdict}\n" for verdict in image_set["verdicts"]]
    lines += _matrix(image_set, metrics[0]) + _sizes(image_set, metrics[0])
    for metric in metrics[1:]:
        lines += _matrix(image_set, metric)
    return [*lines, *_bullets(image_set["notes"])]


def _main_table(image_set: dict, metrics: Sequence[dict]) -> list[str]:
    """A table of BD-rates against JPEG, speeds and memory, with a line for each codec."""
    names = [*image_set["curves"], *(f"{name} (published)" for name in image_set["published"])]
    head = ["codec", *(f"{m['key']}, %" for m in metrics), "bpp", "encode MP/s", "decode MP/s", "peak MB"]
    body = []
    for name in names:
        rates = [_cell(image_set["bd"][m["key"]], name, ANCHOR) for m in metrics]
        curve = image_set["curves"].get(name) or image_set["published"][name.removesuffix(" (published)")]
        span = f"{min(p['bpp'] for p in curve):.3f}-{max(p['bpp'] for p in curve):.3f}"
        speeds = [_speed(curve, f"{way}_mpx_per_s") for way in ("encode", "decode")]
        body.append([name, *rates, span, *speeds, _peaks(curve)])
    about = (
        f"%: BD-rate against {ANCHOR}; in parentheses the overlap, where it is not all of the metric's range; * where "
        "that is short. Peak: encode / decode."
    )
    return [*_table(head, body), "", about, ""]


def _matrix(image_set: dict, metric: dict) -> list[str]:
    """A table of the BD-rates of all measured codecs against each other."""
    found = image_set["bd"][metric["key"]]
    names = [name for name in image_set["curves"] if name in found["rate"]]
    if len(names) < 2:
        return []
    head = ["BD-rate, %", *(f"vs {name}" for name in names)]
    body = [[name, *(_cell(found, name, anchor) for anchor in names)] for name in names]
    limits = found["range"]
    unit = f" {metric['unit']}" if metric["unit"] else ""
    where = f"within {limits[0]}..{limits[1]}{unit}" if limits else "over all that two curves share"
    return [f"### {metric['name']}, {where}", "", *_table(head, body), ""]


def _sizes(image_set: dict, metric: dict) -> list[str]:
    """A table of bits per pixel at equal quality, with the difference from JPEG's in percent."""
    found = image_set["size_at"][metric["key"]]
    if not found:
        return []
    names = [name for name in found[0]["bpp"] if any(at["bpp"][name] for at in found)]
    unit = metric["unit"] or metric["name"]

    def cell(name: str, bpp: dict[str, float | None]) -> str:
        if bpp[name] is None:
            return "-"
        saved = f" ({100 * (bpp[name] / bpp[ANCHOR] - 1):+.0f} %)" if bpp.get(ANCHOR) and name != ANCHOR else ""
        return f"{bpp[name]:.3f}{saved}"

    body = [[name, *(cell(name, at["bpp"]) for at in found)] for name in names]
    head = ["bits per pixel at", *(f"{at['target']:g} {unit}" for at in found)]
    return [*_table(head, body), ""]


def _cell(found: dict, name: str, anchor: str) -> str:
    """A BD-rate as text. The overlap of the two curves is added if it is not the whole range of the metric."""
    entry = found["rate"].get(name, {}).get(anchor)
    if entry is None:
        return "-"
    part = found["range"] and [entry["low"], entry["high"]] != list(found["range"])
    where = f" ({entry['low']:.2f}..{entry['high']:.2f})" if part else ""
    return f"{entry['value']:+.1f}{'*' if entry['short'] else ''}{where}"


def _speed(curve: Sequence[dict], key: str) -> str:
    """The speed over all qualities together, which is the harmonic mean of the speeds at each."""
    speeds = [point.get(key) for point in curve]
    return "-" if None in speeds else f"{statistics.harmonic_mean(speeds):.2f}"


def _peaks(curve: Sequence[dict]) -> str:
    peaks = [max((p.get(f"{way}_peak_bytes") or 0 for p in curve), default=0) for way in ("encode", "decode")]
    return f"{peaks[0] / 1e6:.1f} / {peaks[1] / 1e6:.1f}" if any(peaks) else "-"


def _bullets(texts: Sequence[str]) -> list[str]:
    return [*(f"- {text}" for text in texts), ""] if texts else []


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in body)]

"""Collects everything that was measured in a dict, the report, and writes the files that are made from it.

`python -m bench.report OUT/report.json` writes these files again, in the same folder and without measuring; except
index.html, because the report does not contain its pictures.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from codec.io import OutputError, write_bytes

from .curves import by_set, mean_curves
from .deltas import bd_matrix, lines_of, sizes_at
from .jsonable import INFINITE, finite
from .measure import Conditions
from .metrics import METRICS, Metric
from .plot import draw
from .published import Published
from .summary import summarise
from .verdicts import verdicts

FILES = ("report.json", "rd.csv", "summary.md", "rd.png", "rd.svg")
METHOD = (
    "bits per pixel: bytes of the file on disk * 8 / pixels. Metrics are of each image, decoded from that file in "
    "another process; both are averaged over the images of a set.",
    "BD-rate: mean difference of bits at equal quality, in percent, negative is smaller; PCHIP of log-rate over "
    "quality, on the mean curves, over what both reach (within the metric's range). BD-quality: the same with the "
    "roles of the two exchanged, over all rates that both spend. Short: they share less than half of the narrower "
    "curve, or too little for a mean to mean much.",
    "Times: wall clock, pixels in memory to bytes in memory and back; the median of the runs after a warm-up; what "
    "takes more than a second is timed once. Megapixels a second: of all images together.",
    "Peak memory: the most that one call added to its process, on the CPU, its result included; of all images the "
    "largest.",
)


def make_report(
    rows: Sequence[dict],
    conditions: Conditions,
    *,
    command: str,
    date: str,
    notes: Sequence[str] = (),
    published: Published | None = None,
    tables: Sequence[dict] = (),
) -> dict:
    """The report, in types that JSON has. A metric is None where it is not defined, and INFINITE for equal pictures.

    Args:
        rows: the points, as in `measure.Point.row`.
        command: the command as the user typed it.
        date: the time of the run in ISO 8601, with the offset from UTC.
        notes: messages about this run, such as what is left out and what came from the cache.
        tables: tables of other benchmarks, as `tables.read_table` returns them.
    """
    metrics = [METRICS[key] for key in conditions.metrics]
    out = {
        "command": command,
        "date": date,
        "commit": conditions.commit,
        "machine": conditions.machine,
        "runs": conditions.runs,
        "jobs": conditions.jobs,
        "notes": list(notes),
        "method": list(METHOD),
        "metrics": [{"key": m.key, "name": m.name, "unit": m.unit, "digits": m.digits} for m in metrics],
        "codecs": [
            {
                "name": entrant.codec.name,
                "version": entrant.about.version,
                "settings": entrant.about.settings,
                "threads": entrant.about.threads,
            }
            for entrant in conditions.entrants
        ],
        "sets": [
            _set(name, rows_of_set, metrics, published.on(name) if published else {})
            for name, rows_of_set in by_set(rows).items()
        ],
        "tables": list(tables),
    }
    return finite(out)


def write_report(report: dict, folder: Path) -> None:
    """Write FILES: report.json and what is made from it. Each file is replaced atomically."""
    made = {
        "report.json": (json.dumps(report, indent=1, allow_nan=False) + "\n").encode(),
        "rd.csv": _csv(report).encode(),
        "summary.md": summarise(report).encode(),
        "rd.png": draw(report, "png"),
        "rd.svg": draw(report, "svg"),
    }
    for name in FILES:
        write_bytes(folder / name, made[name], force=True)


def _set(name: str, rows: Sequence[dict], metrics: Sequence[Metric], published: dict[str, list[dict]]) -> dict:
    curves, images, notes = mean_curves(rows, [m.key for m in metrics])
    curves = {codec: curve for codec, curve in curves.items() if curve}
    compared = curves | {f"{codec} (published)": curve for codec, curve in published.items()}
    lines = {}
    for metric in metrics:
        lines[metric.key], reasons = lines_of(compared, metric.key)
        notes += reasons
    bd = {m.key: bd_matrix(lines[m.key], m) for m in metrics}
    sizes = {row["image"]: (row["width"], row["height"]) for row in rows}
    return {
        "name": name,
        "images": [{"name": image, "width": w, "height": h} for image, (w, h) in sizes.items()],
        "averaged": images,
        "notes": notes,
        "verdicts": verdicts(rows, curves, metrics[0], bd[metrics[0].key]["rate"]),
        "curves": curves,
        "published": published,
        "bd": bd,
        "size_at": {m.key: sizes_at(lines[m.key], m.targets) for m in metrics},
        "points": [{key: value for key, value in row.items() if key != "set"} for row in rows],
    }


def _csv(report: dict) -> str:
    """The points as CSV. Each row also has the codec's version and settings and the machine, so that it can be
    understood without the report."""
    codecs = {
        codec["name"]: {key: codec[key] for key in ("version", "settings", "threads")} for codec in report["codecs"]
    }
    run = {key: report[key] for key in ("runs", "jobs", "machine")}
    rows = [
        {"set": image_set["name"]} | point | run | codecs[point["codec"]]
        for image_set in report["sets"]
        for point in image_set["points"]
    ]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows({key: "inf" if value == INFINITE else value for key, value in row.items()} for row in rows)
    return out.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m bench.report", description="Draw a report again.")
    p.add_argument("report", type=Path, metavar="report.json")
    args = p.parse_args(argv)
    try:
        write_report(json.loads(args.report.read_text(encoding="utf-8")), args.report.parent)
    except (OSError, OutputError, ValueError, KeyError) as error:
        print(f"aec: {args.report}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

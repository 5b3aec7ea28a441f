"""The command `aec bench`: checks its arguments, calls the modules that measure and report, and prints messages."""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from codec.cli.streams import complain, say

from .arguments import parser
from .cache import default_folder, prune
from .codecs import Codec, is_aec
from .inputs import LOSSY_SUFFIXES, default_set, find_sets, short_names
from .machine import machine_line, source_commit
from .measure import Conditions, Entrant, Failure, Picture, Point
from .metrics import METRICS
from .published import published_of
from .tables import read_table

PAGE = "index.html"
NEEDS = ("matplotlib", "scipy", "tqdm")
INSTALL = "try: pip install 'aec-codec[bench]'"


def main(argv: Sequence[str] | None = None, prog: str = "aec bench") -> int:
    """Run `aec bench`.

    Args:
        argv: the arguments after the command's name; None: those of sys.argv.
        prog: the command as the user typed it, for messages and the summary.

    Returns:
        The exit code: 0; 1 if anything that was asked for is missing in the results (messages on stderr say what);
        2 for wrong arguments; 130 after Ctrl-C (the report and the cache hold what was measured until then).
    """
    # Not imported at the top, because `python -m bench.report` imports this package before it runs the module, and
    # Python warns if the module has been imported by then.
    from .report import FILES, make_report, write_report

    argv = list(sys.argv[1:] if argv is None else argv)
    arguments = parser(prog)
    args = arguments.parse_args(argv)
    absent = [package for package in NEEDS if importlib.util.find_spec(package) is None]
    if absent:
        arguments.error(f"not installed: {', '.join(absent)}; {INSTALL}")
    if args.out.exists() and not args.out.is_dir():
        arguments.error(f"{args.out} is not a folder; -o takes one")
    there = [name for name in (*FILES, PAGE) if (args.out / name).exists()]
    if there and not args.force:
        arguments.error(f"{args.out / there[0]} exists; -f replaces it")
    sets, missing_inputs = find_sets(args.inputs) if args.inputs else (dict([default_set()]), [])
    try:
        published = published_of(args, list(sets))
    except (OSError, ValueError) as error:
        arguments.error(f"--anchors: {error}")
    try:
        tables = [read_table(path) for path in args.tables]
    except (OSError, ValueError) as error:
        arguments.error(f"--tables: {error}")

    notes: list[str] = []
    has_plotly = importlib.util.find_spec("plotly") is not None
    if not has_plotly:
        _note(notes, f"{PAGE} is left out: plotly is not installed; {INSTALL}")
    for path in missing_inputs:
        _note(notes, f"{path}: no such file, or a folder without images")
    problems = len(missing_inputs) + (not has_plotly)
    pictures = [
        Picture(image_set, name, path)
        for image_set, paths in sets.items()
        for name, path in zip(short_names(paths), paths, strict=True)
    ]
    if not args.inputs and pictures:
        _note(notes, f"no image was named: these are {pictures[0].path.parent}'s")
    n_lossy = sum(picture.path.suffix.lower() in LOSSY_SUFFIXES for picture in pictures)
    if n_lossy:
        text = f"{n_lossy} of {len(pictures)} images come from files with losses"
        _note(notes, f"{text}; their artifacts favour the codec that made them")
    entrants, left_out = _entrants(args.codecs, args.qualities)
    metrics, unmeasured = _present_metrics(args.metrics)
    for line in left_out + unmeasured:
        _note(notes, line)
    problems += len(left_out) + len(unmeasured)
    if not pictures or not entrants or not metrics:
        _say("nothing to measure")
        return 1

    conditions = Conditions(
        entrants=entrants,
        metrics=metrics,
        runs=args.runs,
        jobs=args.jobs,
        machine=machine_line(with_gpu=any("cuda" in entrant.about.settings for entrant in entrants)),
        commit=source_commit(),
        cache=None if args.no_cache else _cache_folder(notes),
    )
    if args.jobs > 1:
        notes.append(f"times were taken under the load of {args.jobs} images measured at the same time")
    results: list[Point | Failure] = []
    interrupted = False
    from .run import run

    try:
        run(pictures, conditions, results)
    except KeyboardInterrupt:
        interrupted = True
        _note(notes, "interrupted: not every image was measured")
    failures = [result.message for result in results if isinstance(result, Failure)]  # run() has printed them
    notes += failures
    problems += len(failures)
    points = [result for result in results if isinstance(result, Point)]
    if not points:
        if interrupted:
            _say("no image is complete yet" + (", what was measured of them is kept" if conditions.cache else ""))
            return 130
        _say("no measurement succeeded")
        return 1
    notes += _on_the_cache(points)
    # On a machine that is busy with other work, times say little about the codecs. So the report states the load.
    if hasattr(os, "getloadavg"):
        notes.append(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")

    rows = [point.row for point in points]
    report = make_report(
        rows,
        conditions,
        command=f"{prog} {shlex.join(argv)}".strip(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        notes=notes,
        published=published,
        tables=tables,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / PAGE).unlink(missing_ok=True)  # a page of an earlier run must not stay beside this run's figures
    write_report(report, args.out)
    if has_plotly:
        interrupted |= not _write_page(report, [] if interrupted else pictures, conditions, rows, args)
    say((args.out / "summary.md").read_text(encoding="utf-8").removesuffix("\n"))
    page = args.out / PAGE
    _say(f"the report is in {args.out}" + (f"; open {page} in a browser to look around" if page.exists() else ""))
    return 130 if interrupted else int(problems > 0)


def _write_page(
    report: dict, pictures: Sequence[Picture], conditions: Conditions, rows: Sequence[dict], args: argparse.Namespace
) -> bool:
    """Write the page, and return whether it has its pictures; False: the user pressed Ctrl-C while they were made."""
    from .page import write_page
    from .pictures import make_pictures

    shown, whole = [], True
    try:
        shown = make_pictures(pictures, conditions, rows, args.pictures, args.picture_rates, args.picture_side)
    except KeyboardInterrupt:
        whole = False
        _say(f"interrupted: {PAGE} has no pictures")
    write_page(report, shown, args.out / PAGE)
    return whole


def _cache_folder(notes: list[str]) -> Path | None:
    folder = default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        prune(folder)
        return folder
    except OSError as error:
        _note(notes, f"nothing is kept for another run: {error}")
        return None


def _entrants(codecs: Sequence[Codec], aec_qualities: Sequence[int] | None) -> tuple[tuple[Entrant, ...], list[str]]:
    """(the codecs that can run here, for each of the others a message why it cannot)."""
    entrants, left_out = [], []
    for codec in codecs:
        reason = codec.missing()
        if reason:
            left_out.append(f"{codec.name} is left out: {reason}")
            continue
        qualities = aec_qualities if aec_qualities and is_aec(codec.name) else codec.qualities
        entrants.append(Entrant(codec, codec.about(), tuple(qualities)))
    return tuple(entrants), left_out


def _present_metrics(wanted: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    reasons = {key: METRICS[key].missing() for key in wanted}
    left_out = [f"{METRICS[key].name} is left out: {reason}" for key, reason in reasons.items() if reason]
    return tuple(key for key, reason in reasons.items() if not reason), left_out


def _on_the_cache(points: Sequence[Point]) -> list[str]:
    old = [point.row for point in points if not point.fresh]
    if not old:
        return []
    first, last = min(row["measured"] for row in old), max(row["measured"] for row in old)
    commits = ", ".join(dict.fromkeys(row["commit"] or "unknown" for row in old))
    return [
        f"{len(old)} of {len(points)} points come from the cache: measured on this machine, with the same codecs, "
        f"from {first} to {last}, at commit {commits}"
    ]


def _say(line: str) -> None:
    complain(f"aec: bench: {line}")


def _note(notes: list[str], line: str) -> None:
    notes.append(line)
    _say(line)

"""The arguments of `aec bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .cache import MOST_BYTES, default_folder
from .codecs import Codec, make_codec, names
from .metrics import METRICS
from .published import add_published_arguments

EXAMPLES = """examples:
  aec bench                                                   on pictures that are at hand
  aec bench holiday/ --codecs aec,jpeg,webp,avif,jxl,heic -o report/
  aec bench a.png b.png --codecs aec,avif,avif-ss2-420 --metrics ssimulacra2,butteraugli,nlpd
  aec bench a.png b.png --codecs aec,aec+e=7,aec+model=mine.safetensors --metrics psnr
  aec bench holiday/ --codecs aec+device=cpu,aec+device=cuda

Several aec are told apart by what follows a +: e (effort), model, device (cpu unless given); their rows carry that
name. A model's name can hold neither a comma nor a plus. What was measured is kept: after Ctrl-C, the same command
with -f goes on."""


def parser(prog: str = "aec bench") -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=prog,
        description="Compare aec with other codecs on your images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "inputs",
        nargs="*",
        metavar="DIR|FILE",
        help="pictures and folders of pictures; each folder is a set (default: scikit-image's pictures, or aec's own)",
    )
    p.add_argument(
        "--codecs",
        type=_codecs,
        default="aec,jpeg,jpeg-opt,jpeg-444",
        metavar="LIST",
        help=f"the codecs to compare, from: {names()} (default: %(default)s)",
    )
    p.add_argument(
        "--qualities", type=_qualities, default=None, metavar="LIST", help="aec's qualities, 1..100, such as 10,50,90"
    )
    p.add_argument(
        "--metrics",
        type=_metrics,
        default="ssimulacra2,ms-ssim,psnr",
        metavar="LIST",
        help=f"from: {','.join(METRICS)}; the report begins with the first (default: %(default)s)",
    )
    p.add_argument(
        "--runs",
        type=_positive,
        default=3,
        metavar="N",
        help="times are medians over N runs after a warm-up; what takes more than a second is timed once (default: 3)",
    )
    p.add_argument(
        "-j", dest="jobs", type=_positive, default=1, metavar="N", help="images measured at the same time (default: 1)"
    )
    p.add_argument(
        "--no-cache",
        action="store_true",
        help=f"measure all again; else what was measured before comes from {default_folder()}, which keeps the last "
        f"{MOST_BYTES >> 20} MB and may be removed at any time",
    )
    p.add_argument(
        "--pictures", type=_count, default=4, metavar="N", help="pictures of each set to show in the page (default: 4)"
    )
    p.add_argument(
        "--picture-rates",
        type=_rates,
        default="0.5",
        metavar="LIST",
        help="about how many bits per pixel the files in the page's viewer have; the page contains the pixels of each "
        "file, some 0.4 MB at 768x512 (default: %(default)s)",
    )
    p.add_argument(
        "--picture-side",
        type=_count,
        default=768,
        metavar="PX",
        help="larger pictures are scaled down for the viewer; 0: keep their size (default: 768)",
    )
    p.add_argument(
        "--tables",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="tables to add, from python -m bench.stages|coder --json FILE",
    )
    add_published_arguments(p)
    p.add_argument(
        "-o",
        dest="out",
        type=Path,
        default=Path("aec-bench"),
        metavar="OUTDIR",
        help="folder for index.html, summary.md, rd.png, rd.svg, rd.csv and report.json (default: %(default)s)",
    )
    p.add_argument("-f", "--force", action="store_true", help="replace an existing report")
    return p


def _codecs(text: str) -> list[Codec]:
    try:
        return [make_codec(name) for name in dict.fromkeys(text.split(","))]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _metrics(text: str) -> list[str]:
    keys = list(dict.fromkeys(text.split(",")))
    unknown = [key for key in keys if key not in METRICS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(map(repr, unknown))}; known: {', '.join(METRICS)}")
    return keys


def _numbers(text: str, kind: type[int] | type[float], words: str) -> list:
    try:
        return sorted({kind(part) for part in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {words}") from None


def _qualities(text: str) -> list[int]:
    values = _numbers(text, int, "whole numbers")
    if values[0] < 1 or values[-1] > 100:
        raise argparse.ArgumentTypeError(f"{text!r}: qualities are 1..100")
    return values


def _rates(text: str) -> list[float]:
    values = _numbers(text, float, "numbers")
    if not all(0 < value < 100 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r}: rates are above 0 and below 100")
    return values


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _positive(text: str) -> int:
    value = _count(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value

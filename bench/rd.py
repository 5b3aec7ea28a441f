"""Rate and distortion: images x codecs x qualities -> rd.csv, and from that file alone rd.png and summary.md.

Every rate is the size of a file on disk, and the pixels compared are decoded from that file. Times are of
encode(pixels) -> bytes and decode(bytes) -> pixels, without the disk, after one untimed call per codec and image.
Means are over images (of bits per pixel, of PSNR), always over the same images for every codec.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import importlib.util
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .codecs import Codec, make_codecs

COLUMNS = (
    *("image", "width", "height", "codec", "quality", "bytes", "bpp", "psnr", "ms_ssim", "encode_s", "decode_s"),
    *("runs", "machine", "threads", "commit", "version", "settings"),
)
METRICS = ("psnr", "ms-ssim")
ANCHOR = "jpeg"
BD_RANGE = (29.5, 37.3)  # dB; on Kodak Pillow's default JPEG spends about 0.56 to 2.1 bpp there
CHECK_RATES = (0.15, 1.0)  # bpp; the promise of the README is checked at every hundredth between
SUFFIXES = (".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".jpg", ".jpeg")
LOSSY_SUFFIXES = (".webp", ".avif", ".jpg", ".jpeg")
NEEDS = ("scipy", "matplotlib", "tqdm")


@dataclass(frozen=True)
class Point:
    """One codec at one quality: means over the images."""

    quality: int
    bpp: float
    psnr: float  # dB, finite
    ms_ssim: float | None  # None: not measured for every image
    encode_s_per_mpx: float
    decode_s_per_mpx: float


# ---------------------------------------------------------------------------------------------- measuring


def load_image(path: Path) -> np.ndarray:
    """Pixels of an 8-bit image as [H, W, 3] uint8, as stored (no EXIF turn); alpha is dropped, gray spread.

    Raises:
        ValueError: more than 8 bits a sample.
        Exception: whatever Pillow raises for a bad file.
    """
    with Image.open(path) as image:
        image.load()
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(f"mode {image.mode}: more than 8 bits a sample")
        return np.array(image.convert("RGB"))


def measure(
    original: np.ndarray, codec: Codec, quality: int, folder: Path, runs: int, metrics: Sequence[str]
) -> dict[str, object]:
    """Encode to a file, decode that file, compare.

    Args:
        original: [H, W, 3] uint8.
        folder: where the file is written (and replaced by the next call).
        runs: >= 1; times are medians over that many.
        metrics: of METRICS; PSNR is always measured.

    Returns:
        The columns bytes, bpp, psnr, ms_ssim (None if absent), encode_s, decode_s.

    Raises:
        ValueError: what was decoded is not [H, W, 3] uint8 of the original's size.
        Exception: whatever the codec raises.
    """
    from codec import metrics as measures

    data, encode_s = _timed(lambda: codec.encode(original, quality), runs)
    path = folder / f"{codec.name}.bin"
    path.write_bytes(data)
    n_bytes = os.stat(path).st_size
    stored = path.read_bytes()
    decoded, decode_s = _timed(lambda: codec.decode(stored), runs)
    if decoded.dtype != np.uint8 or decoded.shape != original.shape:
        raise ValueError(
            f"decoded to {decoded.dtype} {list(decoded.shape)}, the original is uint8 {list(original.shape)}"
        )
    return {
        "bytes": n_bytes,
        "bpp": 8 * n_bytes / (original.shape[0] * original.shape[1]),
        "psnr": measures.psnr(original, decoded),
        "ms_ssim": measures.ms_ssim(original, decoded) if "ms-ssim" in metrics else None,
        "encode_s": encode_s,
        "decode_s": decode_s,
    }


def run(
    images: Sequence[Path],
    plan: Sequence[tuple[Codec, Sequence[int]]],
    csv_path: Path,
    *,
    runs: int = 1,
    metrics: Sequence[str] = METRICS,
    machine: str = "",
    report: Callable[[str], None] | None = None,
) -> int:
    """Measure everything and write a CSV row as soon as it is known.

    Args:
        images: paths, distinct.
        plan: codecs, each with its qualities.
        csv_path: replaced.
        machine: text for the column of that name.
        report: takes one line per failure; None: stderr.

    Returns:
        How many failures were reported: images that cannot be read, or codecs that failed on one.
    """
    from tqdm import tqdm

    report = report or (lambda line: tqdm.write(f"aec: bench: {line}", file=sys.stderr))
    names = _image_names(images)
    commit = source_commit()
    about = {c.name: {"version": c.version(), "settings": c.settings, "threads": c.threads()} for c, _ in plan}
    per_image = sum(len(qualities) for _, qualities in plan)
    failures = 0
    with (
        open(csv_path, "w", newline="", encoding="utf-8") as file,
        tempfile.TemporaryDirectory(prefix="aec-bench-") as folder,
        tqdm(total=len(images) * per_image, unit="file", file=sys.stderr, disable=None) as bar,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for path, name in zip(images, names, strict=True):
            done_before = bar.n
            try:
                original = load_image(path)
            # Pillow raises a dozen kinds for a bad file; one bad image must not cost an hour of results.
            except Exception as error:
                report(f"{path}: skipped: {_describe(error)}")
                failures += 1
                bar.update(per_image)
                continue
            height, width = original.shape[:2]
            for codec, qualities in plan:
                bar.set_postfix_str(f"{name} {codec.name}", refresh=False)
                try:
                    codec.decode(codec.encode(original, qualities[0]))  # warm-up
                    for quality in qualities:
                        row = measure(original, codec, quality, Path(folder), runs, metrics)
                        row |= {"image": name, "width": width, "height": height}
                        row |= {"codec": codec.name, "quality": quality, "runs": runs}
                        row |= {"machine": machine, "commit": commit, **about[codec.name]}
                        writer.writerow(row)
                        file.flush()
                        bar.update()
                except Exception as error:  # a codec may raise anything; the others go on
                    report(f"{path}: {codec.name}: {_describe(error)}")
                    failures += 1
            bar.update(done_before + per_image - bar.n)
    return failures


def _timed(call: Callable[[], object], runs: int):
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def _image_names(images: Sequence[Path]) -> list[str]:
    short = [path.name for path in images]
    return short if len(set(short)) == len(short) else [path.as_posix() for path in images]


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# ---------------------------------------------------------------------------------------------- from the CSV


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
        table.append((name, bd, where, span, f"{encode:.3f}", f"{decode:.3f}"))
    lines += [
        f"## BD-rate against {ANCHOR}",
        "",
        f"Range: {BD_RANGE[0]}-{BD_RANGE[1]} dB where both curves reach it (overlap in the table). "
        f"Negative: fewer bits at equal PSNR. PCHIP of log-rate over PSNR, on the mean curves.",
        "",
        *_table(("codec", "BD-rate %", "overlap dB", "bpp", "encode s/Mpx", "decode s/Mpx"), table),
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


# ---------------------------------------------------------------------------------------------- where it ran


def machine_line(with_gpu: bool) -> str:
    """CPU, cores, GPU if aec may use it, versions: what a time means nothing without.

    Args:
        with_gpu: name the GPU; imports torch.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{_cpu_model()}, {cores} cores"]
    if with_gpu:
        import torch

        if torch.cuda.is_available():
            parts.append(torch.cuda.get_device_name())
    parts.append(f"Python {platform.python_version()}")
    for package in ("torch", "pillow"):
        try:
            parts.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"no {package}")
    return ", ".join(parts)


def source_commit() -> str:
    """Commit of the tree this file is in, "+" if it has changes; "" outside a repository."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        # Installed inside someone else's repository, HEAD would be theirs: this very file must be tracked.
        git("ls-files", "--error-unmatch", "rd.py")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


# ---------------------------------------------------------------------------------------------- command line


def parser(prog: str = "aec bench") -> argparse.ArgumentParser:
    names = ",".join(make_codecs())
    p = argparse.ArgumentParser(prog=prog, description="Compare aec with other codecs on your images.")
    p.add_argument("inputs", nargs="+", metavar="DIR|FILE", help=f"images, or folders of {' '.join(SUFFIXES)}")
    p.add_argument(
        "--codecs",
        type=_codec_names,
        default="aec,jpeg,jpeg-opt,jpeg-444",
        metavar="LIST",
        help=f"of {names} (default: %(default)s)",
    )
    p.add_argument(
        "--qualities", type=_qualities, default=None, metavar="LIST", help="aec's qualities, 1..100, such as 10,50,90"
    )
    p.add_argument("--metrics", type=_metrics, default="psnr,ms-ssim", metavar="LIST", help="default: %(default)s")
    p.add_argument("--runs", type=_positive, default=1, metavar="N", help="times are medians over N runs (default: 1)")
    p.add_argument("--device", default="auto", help="aec's: auto, cpu, cuda or cuda:N (default: auto)")
    p.add_argument("--model", default=None, metavar="NAME|FILE", help="aec's model (default: the one it encodes with)")
    p.add_argument("--anchors", type=Path, default=None, metavar="FILE", help="JSON of published curves to draw too")
    p.add_argument("--anchor-names", default="", metavar="LIST", help="which of them")
    p.add_argument(
        "-o",
        dest="out",
        type=Path,
        default=Path("aec-bench"),
        metavar="OUTDIR",
        help="gets rd.csv, rd.png and summary.md (default: %(default)s)",
    )
    p.add_argument("-f", "--force", action="store_true", help="replace an rd.csv that is there")
    return p


def main(argv: Sequence[str] | None = None, prog: str = "aec bench") -> int:
    """Run `aec bench`.

    Args:
        argv: arguments after the command's name; None: sys.argv.
        prog: the command as the user typed it, for messages and the summary.

    Returns:
        Exit code: 0, 1 if anything asked for is not in the results (each was reported on stderr), 2 for usage,
        130 after Ctrl-C (what was measured is in the CSV, and summarised).
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    arguments = parser(prog)
    args = arguments.parse_args(argv)
    absent = [package for package in NEEDS if importlib.util.find_spec(package) is None]
    if absent:
        arguments.error(f"not installed: {', '.join(absent)}; try: pip install 'aec-codec[bench]'")
    csv_path = args.out / "rd.csv"
    if csv_path.exists() and not args.force:
        arguments.error(f"{csv_path} exists; -f replaces it")
    anchor_names = [name for name in args.anchor_names.split(",") if name]
    if args.anchors is not None:
        from .plot import read_anchors

        try:
            read_anchors(args.anchors, anchor_names)
        except (OSError, ValueError) as error:
            arguments.error(f"--anchors: {error}")

    problems = 0
    notes = []

    def say(line: str) -> None:
        print(f"aec: bench: {line}", file=sys.stderr)

    images, missing_inputs = _find_images(args.inputs)
    for path in missing_inputs:
        say(f"{path}: no such file, or a folder without images")
        problems += 1
    n_lossy = sum(path.suffix.lower() in LOSSY_SUFFIXES for path in images)
    if n_lossy:
        notes.append(
            f"{n_lossy} of {len(images)} images come from JPEG, WebP or AVIF files; their artifacts favour that codec"
        )
        say(notes[-1])

    plan = []
    available = make_codecs(args.device, args.model)
    for name in args.codecs:
        codec = available[name]
        reason = codec.missing()
        if reason:
            notes.append(f"{name} is left out: {reason}")
            say(notes[-1])
            problems += 1
            continue
        plan.append((codec, args.qualities if name == "aec" and args.qualities else codec.qualities))
    metrics = list(args.metrics)
    if "ms-ssim" in metrics and importlib.util.find_spec("pytorch_msssim") is None:
        metrics.remove("ms-ssim")
        notes.append("MS-SSIM is left out: pytorch-msssim is not installed")
        say(notes[-1])
        problems += 1
    if not images or not plan:
        say("nothing to measure")
        return 1

    with_gpu = args.device != "cpu" and any(codec.name == "aec" for codec, _ in plan)
    machine = machine_line(with_gpu)
    args.out.mkdir(parents=True, exist_ok=True)
    interrupted = False
    try:
        failures = run(images, plan, csv_path, runs=args.runs, metrics=metrics, machine=machine)
    except KeyboardInterrupt:
        interrupted, failures = True, 0
        notes.append("interrupted: not every image was measured")
        say(notes[-1])
    if failures:
        notes.append(f"{failures} failures were reported on stderr; what failed is not in rd.csv")
    problems += failures

    rows = read_rows(csv_path)
    if not rows:
        say("no measurement succeeded")
        return 130 if interrupted else 1
    # With more jobs than cores the times are the machine's, not the codec's.
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    text = summarise(rows, f"{prog} {shlex.join(argv)}", machine + load, notes)
    (args.out / "summary.md").write_text(text, encoding="utf-8")
    from .plot import draw

    draw(csv_path, args.out / "rd.png", args.anchors, anchor_names)
    print(text, end="")
    return 130 if interrupted else int(problems > 0)


def _find_images(inputs: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """(images, inputs that gave none). A named file is taken whatever its suffix; folders are not descended into."""
    found: dict[Path, None] = {}
    empty = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            inside = [path] if path.is_file() else []
        if not inside:
            empty.append(path)
        found |= dict.fromkeys(inside)
    return list(found), empty


def _codec_names(text: str) -> list[str]:
    return _names_of(text, tuple(make_codecs()))


def _metrics(text: str) -> list[str]:
    return _names_of(text, METRICS)


def _names_of(text: str, allowed: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(map(repr, unknown))}; known: {', '.join(allowed)}")
    return names


def _qualities(text: str) -> list[int]:
    try:
        values = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers") from None
    if values[0] < 1 or values[-1] > 100:
        raise argparse.ArgumentTypeError(f"{text!r}: qualities are 1..100")
    return values


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value

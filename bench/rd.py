"""Rate and distortion: sets of images x codecs x qualities -> rd.csv, and from that alone rd.png and summary.md.

Every rate is the size of a file on disk, and the pixels compared are decoded from that file. Times are of
encode(pixels) -> bytes and decode(bytes) -> pixels, without the disk, after one untimed call per codec and image.
Each folder is a set with means and curves of its own, always over the same images for every codec.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .codecs import Codec, make_codecs
from .curves import read_rows
from .published import add_published_arguments, published_of
from .summary import summarise

COLUMNS = (
    *("set", "image", "width", "height", "codec", "quality"),
    *("bytes", "bpp", "psnr", "ms_ssim", "encode_s", "decode_s"),
    *("runs", "machine", "threads", "commit", "version", "settings"),
)
METRICS = ("psnr", "ms-ssim")
SUFFIXES = (".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".jpg", ".jpeg")
LOSSY_SUFFIXES = (".webp", ".avif", ".jpg", ".jpeg")
NEEDS = ("scipy", "matplotlib", "tqdm")


# ---------------------------------------------------------------------------------------------- measuring


def load_image(path: Path) -> np.ndarray:
    """Pixels of an 8-bit image as [H, W, 3] uint8, as stored (no EXIF turn); alpha is dropped, gray spread.

    Raises:
        ValueError: more than 8 bits a sample, or an animation.
        Exception: whatever Pillow raises for a bad file.
    """
    from codec.image import open_checked

    with Image.open(path) as image:
        open_checked(image)
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
    sets: Mapping[str, Sequence[Path]],
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
        sets: name -> images, distinct.
        plan: codecs, each with its qualities.
        csv_path: replaced.
        machine: text for the column of that name.
        report: takes one line per failure; None: stderr.

    Returns:
        How many failures were reported: images that cannot be read, or codecs that failed on one.
    """
    from tqdm import tqdm

    report = report or (lambda line: tqdm.write(f"aec: bench: {line}", file=sys.stderr))
    images = [
        (image_set, path, name)
        for image_set, paths in sets.items()
        for path, name in zip(paths, _names(paths), strict=True)
    ]
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
        for image_set, path, name in images:
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
                        row |= {"set": image_set, "image": name, "width": width, "height": height}
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


def _names(paths: Sequence[Path]) -> list[str]:
    short = [path.absolute().name for path in paths]
    return short if len(set(short)) == len(short) else [path.as_posix() for path in paths]


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


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
    p.add_argument(
        "inputs", nargs="+", metavar="DIR|FILE", help=f"images, or folders of {' '.join(SUFFIXES)}: a set each"
    )
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
    add_published_arguments(p)
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
    sets, missing_inputs = _find_sets(args.inputs)
    try:
        published = published_of(args, list(sets))
    except (OSError, ValueError) as error:
        arguments.error(f"--anchors: {error}")

    problems = 0
    notes = []

    def say(line: str) -> None:
        print(f"aec: bench: {line}", file=sys.stderr)

    for path in missing_inputs:
        say(f"{path}: no such file, or a folder without images")
        problems += 1
    images = [path for paths in sets.values() for path in paths]
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
        plan.append((codec, args.qualities if _is_aec(codec) and args.qualities else codec.qualities))
    metrics = list(args.metrics)
    if "ms-ssim" in metrics and importlib.util.find_spec("pytorch_msssim") is None:
        metrics.remove("ms-ssim")
        notes.append("MS-SSIM is left out: pytorch-msssim is not installed")
        say(notes[-1])
        problems += 1
    if not images or not plan:
        say("nothing to measure")
        return 1

    with_gpu = args.device != "cpu" and any(_is_aec(codec) for codec, _ in plan)
    machine = machine_line(with_gpu)
    args.out.mkdir(parents=True, exist_ok=True)
    interrupted = False
    try:
        failures = run(sets, plan, csv_path, runs=args.runs, metrics=metrics, machine=machine)
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
    text = summarise(rows, f"{prog} {shlex.join(argv)}", machine + load, notes, published)
    (args.out / "summary.md").write_text(text, encoding="utf-8")
    from .plot import draw  # not above: `python -m bench.plot` would find it imported before it runs

    draw(csv_path, args.out / "rd.png", published)
    print(text, end="")
    return 130 if interrupted else int(problems > 0)


def _is_aec(codec: Codec) -> bool:
    return codec.name.split("-")[0] == "aec"


def _find_sets(inputs: Sequence[str]) -> tuple[dict[str, list[Path]], list[Path]]:
    """({set: its images}, inputs that gave none).

    A folder is a set of its own, without the folders inside it. Files that are named, whatever their suffixes, are
    together the set "files".
    """
    found: dict[Path, list[Path]] = {}
    empty = []
    for path in dict.fromkeys(map(Path, inputs)):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            inside = [path] if path.is_file() else []
        if inside:
            found.setdefault(path if path.is_dir() else Path("files"), []).extend(inside)
        else:
            empty.append(path)
    return dict(zip(_names(list(found)), found.values(), strict=True)), empty


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

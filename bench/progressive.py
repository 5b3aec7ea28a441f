"""How good is the beginning of a file? `python -m bench.progressive PICTURES.. [--quality 70]`.

Each picture becomes an .aec file as it is by default, one with `progressive=True`, a progressive JPEG and a progressive
JPEG XL of about as many bytes as the first. Then each file is cut at shares of its bytes, decoded as far as it goes,
and compared with the original. The means over all pictures are printed as Markdown. JPEG XL needs cjxl and djxl.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

import codec
from codec import metrics
from codec.given import open_picture
from codec.picture.samples import as_rgb, to_depth
from codec.picture.ssimulacra2 import ssimulacra2

from .inputs import find_sets
from .machine import machine_line, source_commit

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
DISTANCES = (0.01, 15.0)  # of JPEG XL, from the best to the worst
HALVINGS = 9  # of the range of qualities or distances, until the size is about right
Decode = Callable[[bytes], "np.ndarray | None"]


def aec(data: bytes) -> np.ndarray | None:
    try:
        return as_rgb(codec.decode(data, output="numpy", allow_partial=True))
    except codec.FormatError:
        return None


def jpeg(data: bytes) -> np.ndarray | None:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except OSError:
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def jxl(data: bytes) -> np.ndarray | None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.jxl"), Path(folder, "a.png")
        source.write_bytes(data)
        command = ["djxl", str(source), str(target), "--allow_partial_files", "--quiet"]
        if subprocess.run(command, capture_output=True, check=False).returncode or not target.exists():
            return None
        with Image.open(target) as image:
            return np.asarray(image.convert("RGB"))


def jpeg_of(picture: np.ndarray, size: int) -> bytes:
    """The progressive JPEG that is nearest in size."""

    def made(quality: int) -> bytes:
        out = io.BytesIO()
        Image.fromarray(picture).save(out, "JPEG", quality=quality, progressive=True, optimize=True)
        return out.getvalue()

    return min((made(quality) for quality in range(2, 101, 2)), key=lambda data: abs(len(data) - size))


def jxl_of(picture: np.ndarray, size: int) -> bytes:
    """A progressive JPEG XL of about this size."""
    low, high = DISTANCES
    best = b""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.png"), Path(folder, "a.jxl")
        Image.fromarray(picture).save(source)
        for _ in range(HALVINGS):
            middle = (low * high) ** 0.5
            command = ["cjxl", str(source), str(target), "-p", "-d", f"{middle:.4f}", "-e", "7", "--quiet"]
            subprocess.run(command, capture_output=True, check=True)
            data = target.read_bytes()
            best = min((best, data), key=lambda d: abs(len(d) - size))
            low, high = (middle, high) if len(data) > size else (low, middle)
    return best


def main(argv: list[str] | None = None) -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser("bench.progressive", description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", nargs="+", metavar="PICTURES", help="pictures or folders of them")
    parser.add_argument("--quality", type=int, default=70, help="of the .aec files (default: 70)")
    args = parser.parse_args(argv)
    sets, empty = find_sets(args.pictures)
    if empty:
        parser.error(f"no pictures in {', '.join(map(str, empty))}")
    paths = [path for inside in sets.values() for path in inside]
    rows: dict[str, list[list[tuple[float, float] | None]]] = {}
    sizes: dict[str, list[int]] = {}
    for path in paths:
        picture = to_depth(as_rgb(open_picture(path.read_bytes()).data), 8)
        plain = codec.encode(picture, args.quality)
        files: dict[str, tuple[bytes, Decode]] = {
            "aec": (plain, aec),
            "aec, progressive": (codec.encode(picture, args.quality, progressive=True), aec),
            "JPEG, progressive": (jpeg_of(picture, len(plain)), jpeg),
        }
        if shutil.which("cjxl") and shutil.which("djxl"):
            files["JPEG XL, progressive"] = (jxl_of(picture, len(plain)), jxl)
        for name, (data, decode) in files.items():
            sizes.setdefault(name, []).append(len(data))
            found: list[tuple[float, float] | None] = []
            for share in SHARES:
                shown = decode(data[: round(share * len(data))])
                found.append(None if shown is None else (metrics.psnr(picture, shown), ssimulacra2(picture, shown)))
            rows.setdefault(name, []).append(found)
        print(f"{path.name}: {len(plain)} bytes", file=sys.stderr)
    print(f"# The beginnings of files\n\n{len(paths)} pictures, quality {args.quality}, {source_commit()}.")
    print(f"{machine_line(with_gpu=False)}\n")
    print(
        "Mean PSNR in dB / mean SSIMULACRA 2 of what a share of the file gives; -: it gives nothing for some picture.\n"
    )
    print("| | mean bytes | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    print("|---|---|" + "---|" * len(SHARES))
    for name, of_pictures in rows.items():
        cells = []
        for points in zip(*of_pictures, strict=True):
            known = [point for point in points if point is not None]
            means = np.mean(known, axis=0) if len(known) == len(points) else None
            cells.append("-" if means is None else f"{means[0]:.1f} / {means[1]:.0f}")
        print(f"| {name} | {np.mean(sizes[name]):.0f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

"""Lossless codecs compared: `python -m bench.lossless FOLDER..`. Bytes and seconds, on one thread, as a table.

The folders hold pictures that Pillow reads; they are taken as 8-bit RGB. Each codec's bytes are decoded and compared
with the picture. JPEG XL is measured where its programs cjxl and djxl are installed; their seconds include their start
and the reading and writing of files.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import codec
from codec.io import IMAGE_SUFFIXES

from .machine import machine_line


@dataclass(frozen=True)
class Lossless:
    encode: Callable[[np.ndarray], bytes]  # [H, W, 3] uint8 -> a file
    decode: Callable[[bytes], np.ndarray]
    error: int = 0  # the largest that is allowed


def _saved(kind: str, **options: object) -> Lossless:
    def encode(image: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image).save(file, kind, **options)
        return file.getvalue()

    return Lossless(encode, lambda data: np.array(Image.open(io.BytesIO(data)).convert("RGB")))


def _jpeg_xl(effort: int) -> Lossless:
    def run(program: str, data: bytes, suffixes: tuple[str, str], *options: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, target = (Path(folder, f"x{suffix}") for suffix in suffixes)
            source.write_bytes(data)
            threads = ["--num_threads=0"]
            subprocess.run([program, source, target, *threads, *options], check=True, capture_output=True)
            return target.read_bytes()

    def encode(image: np.ndarray) -> bytes:
        height, width, _ = image.shape
        ppm = f"P6 {width} {height} 255\n".encode() + image.tobytes()
        return run("cjxl", ppm, (".ppm", ".jxl"), "-d", "0", "-e", str(effort))

    def decode(data: bytes) -> np.ndarray:
        return np.array(Image.open(io.BytesIO(run("djxl", data, (".jxl", ".ppm")))))

    return Lossless(encode, decode)


def _ours(error: int) -> Lossless:
    return Lossless(
        lambda image: codec.encode(image, max_error=error), lambda data: codec.decode(data, output="numpy"), error
    )


def codecs() -> dict[str, Lossless]:
    # The others are compared with the first.
    found = {"WebP, method 6, quality 100": _saved("WEBP", lossless=True, method=6, quality=100)}
    found["PNG, optimised"] = _saved("PNG", optimize=True)
    if shutil.which("cjxl") and shutil.which("djxl"):
        found |= {f"JPEG XL, effort {effort}": _jpeg_xl(effort) for effort in (7, 9)}
    found["aec --lossless"] = _ours(0)
    return found | {f"aec --max-error {n}": _ours(n) for n in (1, 2, 4)}


def measure(made: Lossless, images: list[np.ndarray]) -> tuple[int, float, float]:
    """Return (bytes, seconds of encoding, seconds of decoding) of all images. Raises AssertionError if one is wrong."""
    n_bytes, encoding, decoding = 0, 0.0, 0.0
    for image in images:
        start = time.perf_counter()
        data = made.encode(image)
        between = time.perf_counter()
        back = made.decode(data)
        decoding += time.perf_counter() - between
        encoding += between - start
        n_bytes += len(data)
        if np.abs(back.astype(int) - image).max() > made.error:
            raise AssertionError("a picture did not come back as it must")
    return n_bytes, encoding, decoding


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.lossless", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"  # of this process: codec reads it at each call
    print(machine_line(with_gpu=False))
    for folder in args.folders:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        images = [np.array(Image.open(p).convert("RGB")) for p in files]
        pixels = sum(image.shape[0] * image.shape[1] for image in images)
        print(f"\n{folder.name}: {len(images)} pictures, {pixels / 1e6:.2f} megapixels\n")
        print("| codec | bytes | bits per pixel | against WebP | encoding, s/MP | decoding, s/MP |")
        print("|---|---|---|---|---|---|", flush=True)
        reference = 0
        for name, made in codecs().items():
            n_bytes, encoding, decoding = measure(made, images)
            reference = reference or n_bytes
            times = f"{encoding / pixels * 1e6:.2f} | {decoding / pixels * 1e6:.2f}"
            against = f"{n_bytes / reference - 1:+.1%}"
            print(f"| {name} | {n_bytes:,} | {8 * n_bytes / pixels:.3f} | {against} | {times} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

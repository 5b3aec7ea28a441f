"""How long the analysis and the synthesis take in csrc, and how near that is to what the processor could multiply.

    python -m bench.transforms --threads 1 2 --picture KODAK/kodim05.png

All latents of the picture are computed at once, so it should not be larger than a tile. The times are wall-clock times
of the fastest run and the median. On a machine with other work they say little, so there is also the time of the
processor, for all threads together. The share of the peak is that of the run that takes the least of it. The peak is
the speed of `_C.multiply_add_loop`, which only multiplies and adds in registers, measured before each run, by a
thread's time of the processor, too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import codec
from codec import _C
from codec.coding import engine, model_search
from codec.coding.decoder import Place
from codec.coding.model_config import LATENT_STRIDE, Config
from codec.coding.tile_input import tile_input
from codec.container.format import Tile
from codec.picture.samples import Pixels

from .inputs import load_image

QUALITY = 60


def multiply_adds(c: Config) -> int:
    """The multiply-adds of the synthesis for each position of latents. The analysis has the same number."""

    def body(width: int, blocks: int) -> int:
        return blocks * (2 * width * width + 9 * width + 4 * width * width)

    coarse = c.latents * c.wide16 + body(c.wide16, c.blocks16) + c.wide16 * 4 * c.wide8
    return c.latents * 3 * LATENT_STRIDE**2 + coarse + 4 * (body(c.wide8, c.blocks8) + c.wide8 * 3 * 64)


def peak() -> float:
    """The most multiply-adds per second of processor time that a thread reaches; 0 for plain C++."""
    best = 0.0
    for _ in range(25):
        start = time.thread_time()
        done = _C.multiply_add_loop(100_000)
        best = max(best, done / (time.thread_time() - start))
    return best


def timed(call: Callable[[], object], runs: int) -> tuple[list[float], list[float], float]:
    """The seconds of each run after a warm-up, those of the processor, and the highest peak."""
    call()
    times, processor, most = [], [], 0.0
    for _ in range(runs):
        most = max(most, peak())
        begin, begin_processor = time.perf_counter(), time.process_time()
        call()
        times.append(time.perf_counter() - begin)
        processor.append(time.process_time() - begin_processor)
    return times, processor, most


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.transforms", description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--size", default="768x512", help="of the image, WIDTHxHEIGHT, multiples of 16")
    parser.add_argument("--picture", type=Path, help="instead of noise; it is also encoded and decoded as a whole")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--isas", nargs="+", default=[isa for isa in _C.isas() if isa != "scalar"], choices=_C.isas())
    args = parser.parse_args(argv)
    path = model_search.find(args.model)
    encoder, decoder = engine.encoder(path), engine.load(path)
    if args.picture:
        picture = load_image(args.picture)
    else:
        width, height = map(int, args.size.split("x"))
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    height, width = picture.shape[:2]
    if height % LATENT_STRIDE or width % LATENT_STRIDE:
        parser.error(f"{width}x{height}: sides that are multiples of {LATENT_STRIDE} are expected")
    pixels, data = Pixels(picture), codec.encode(picture, QUALITY, "cpu", args.model)
    whole = Tile(0, 0, width, height)
    size = height // LATENT_STRIDE, width // LATENT_STRIDE
    place = Place((0, 0), size, QUALITY)
    needed = multiply_adds(encoder.config) * size[0] * size[1]
    print(f"{width}x{height}, {needed / 1e9:.2f} thousand million multiply-adds each way")
    out = np.empty((height, width, 3), np.uint8)
    before = _C.isa()
    for threads in args.threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # `coding.threads` reads this
        for isa in args.isas:
            _C.set_isa(isa)
            y = encoder.latents(pixels, whole, QUALITY)
            rows = {
                "analysis": lambda: encoder.latents(pixels, whole, QUALITY),
                "synthesis": lambda y=y: decoder.synthesis.run(y, place, 1, (0, 0), out),
                "input": lambda: tile_input(pixels, whole),
            }
            if args.picture:
                rows["encode"] = lambda: codec.encode(picture, QUALITY, "cpu", args.model)
                rows["decode"] = lambda: codec.decode(data, "cpu", args.model, output="numpy")
            for name, call in rows.items():
                times, processor, most = timed(call, args.runs)
                share = (
                    f"  {100 * needed / min(processor) / most:3.0f} % of the peak"
                    if name in ("analysis", "synthesis")
                    else ""
                )
                found = f"{1e3 * min(times):7.1f} ms, median {1e3 * statistics.median(times):7.1f}"
                found += f", of the processor {1e3 * min(processor):7.1f}"
                print(f"{isa:8} {threads} threads  {name:9} {found}{share}")
    _C.set_isa(before)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

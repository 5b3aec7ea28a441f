"""How long the analysis and the synthesis take in csrc, and how near that is to what the processor could multiply.

    python -m bench.transforms --size 768x512 --threads 1 2

All latents of the picture are computed at once, so it should not be larger than a tile. The times are wall-clock times
of the fastest run and the median. The share of the peak is that of the fastest run. The peak is the speed of
`_C.multiply_add_loop`, which only multiplies and adds in registers, on the same number of threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from codec import _C
from codec.coding import engine, model_search
from codec.coding.model_config import LATENT_STRIDE, Config
from codec.coding.tile_input import tile_input
from codec.container.format import Tile
from codec.picture.samples import Pixels

QUALITY = 60
ROUNDS = 1 << 21  # rounds of the loop, which take some tens of milliseconds


def multiply_adds(c: Config) -> int:
    """The multiply-adds of the synthesis for each position of latents. The analysis has the same number."""

    def body(width: int, blocks: int) -> int:
        return blocks * (2 * width * width + 9 * width + 4 * width * width)

    coarse = c.latents * c.wide16 + body(c.wide16, c.blocks16) + c.wide16 * 4 * c.wide8
    return c.latents * 3 * LATENT_STRIDE**2 + coarse + 4 * (body(c.wide8, c.blocks8) + c.wide8 * 3 * 64)


def peak(threads: int) -> float:
    """The multiply-adds per second that this number of threads reaches together, in registers."""

    def one(_: int) -> int:
        return _C.multiply_add_loop(ROUNDS)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(threads)))
        begin = time.perf_counter()
        done = sum(pool.map(one, range(threads)))
        return done / (time.perf_counter() - begin)


def timed(call: Callable[[], object], runs: int) -> list[float]:
    """The seconds of each run, after a warm-up."""
    call()
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.transforms", description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--size", default="768x512", help="of the image, WIDTHxHEIGHT, multiples of 16")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--isas", nargs="+", default=[isa for isa in _C.isas() if isa != "scalar"], choices=_C.isas())
    args = parser.parse_args(argv)
    width, height = map(int, args.size.split("x"))
    path = model_search.find(args.model)
    encoder, decoder = engine.encoder(path), engine.load(path)
    rng = np.random.default_rng(0)
    pixels = Pixels(rng.integers(0, 256, (height, width, 3), np.uint8))
    whole = Tile(0, 0, width, height)
    size = height // LATENT_STRIDE, width // LATENT_STRIDE
    needed = multiply_adds(encoder.config) * size[0] * size[1]
    print(f"{args.size}, {needed / 1e9:.2f} thousand million multiply-adds each way")
    out = np.empty((height, width, 3), np.uint8)
    before = _C.isa()
    for threads in args.threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # `coding.threads` reads this
        for isa in args.isas:
            _C.set_isa(isa)
            y = encoder.latents(pixels, whole, QUALITY)
            rows = {
                "analysis": lambda: encoder.latents(pixels, whole, QUALITY),
                "synthesis": lambda y=y: decoder.synthesis.run(y, (0, 0), size, QUALITY, 1, (0, 0), out),
                "input": lambda: tile_input(pixels, whole),
            }
            most = peak(threads)
            for name, call in rows.items():
                times = timed(call, args.runs)
                share = f"  {100 * needed / min(times) / most:3.0f} % of the peak" if name != "input" else ""
                found = f"{1e3 * min(times):7.1f} ms, median {1e3 * statistics.median(times):7.1f}"
                print(f"{isa:8} {threads} threads  {name:9} {found}{share}")
    _C.set_isa(before)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

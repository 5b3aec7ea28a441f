"""Speed of the entropy nets: `python -m bench.nets [--model M] [--size 768x512] [--threads 1 2] [--runs 15]`.

Measures the networks for one image, as an encoder uses them (predict, choose) and as a decoder does (predict, accept),
without the entropy coder. The float64 reference is compared with csrc on every instruction set; times are medians of
interleaved runs. `cpu` is the processor time of the predictions, summed over all threads, including the time that
threads wait for each other. The rate in GMAC/s is `multiply_adds`' second number divided by that time. It is compared
with `peak`, the speed of a loop that executes only the same multiply-add instruction, on one thread. The exit code is 1
if any integer differs from the reference's.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from codec import _C
from codec.coding import model_search, segment_walk
from codec.coding.model_config import HYPER_STRIDE, LATENT_STRIDE, Config
from codec.nets import torch_codec

from . import nets_cuda
from .transforms import peak


def multiply_adds(c: Config, height: int, width: int) -> tuple[int, int]:
    """(multiply-adds of a tile with h x w latents if FORMAT §8 is computed as written, those that are needed).

    In each context step only one group of a position's latents is coded, so the outputs of mean and index for the other
    groups are not needed. The groups that are not known yet are 0, so they need not be multiplied. Padding of channels
    is not counted.
    """
    n, m = c.context, c.latents
    block = n * n + 9 * n + n * n + 2 * (n * 2 * n)
    coarse = -(-height // HYPER_STRIDE) * -(-width // HYPER_STRIDE)
    prior = coarse * (c.hyper * n + block) + coarse * n * 4 * n + 4 * coarse * (block + n * 4 * n) + 16 * coarse * block
    body = c.steps * (n * n + block)
    written = body + (c.steps - 1) * m * n + c.steps * 2 * m * n
    needed = body + sum(range(c.steps)) * m // c.steps * n + 2 * m * n
    return prior + height * width * written, prior + height * width * needed


COLUMNS = ("predict", "cpu", "choose", "accept", "latents")


def one_walk(
    start: segment_walk.Start, shape: tuple[int, int, int], y: Tensor, z: Tensor, dead_zones: Tensor
) -> tuple[dict[str, float], list]:
    """(seconds for each of COLUMNS, all indexes, symbols and latents that were computed)."""
    times, said = dict.fromkeys(COLUMNS, 0.0), []

    def timed(column: str, call: Callable, *args):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        result = call(*args)
        times[column] += time.perf_counter() - begin
        if column == "predict":
            times["cpu"] += time.process_time() - begin_cpu
        return result

    encoder = timed("predict", start, *shape)
    for k in range(encoder.segments):
        said.append(timed("predict", encoder.predict, k))
        said.append(timed("choose", encoder.choose, k, y if k else z, dead_zones))
    decoder = start(*shape)
    for k in range(decoder.segments):
        decoder.predict(k)
        timed("accept", decoder.accept, k, said[2 * k + 1])
    return times, [*said, timed("latents", decoder.latents)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.nets", description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--size", default="768x512", help="of the image, WIDTHxHEIGHT")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--isas", nargs="+", default=[isa for isa in _C.isas() if isa != "scalar"], choices=_C.isas())
    args = parser.parse_args(argv)
    if args.device == "cuda":
        nets_cuda.measure(args.model, args.size, args.runs, lambda *tile: multiply_adds(*tile)[1])
        return 0

    model = torch_codec.load(model_search.find(args.model), torch.device("cpu"))
    width, height = (-(-int(side) // LATENT_STRIDE) for side in args.size.split("x"))
    shape, c = (60, height, width), model.config
    written, needed = multiply_adds(c, height, width)
    print(f"{args.size}, {written / 1e6:.0f} million multiply-adds as written, {needed / 1e6:.0f} needed")
    rng = torch.Generator().manual_seed(0)
    y = torch.randn(height, width, c.latents, generator=rng).permute(2, 0, 1)
    z = torch.randn(c.hyper, -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE), generator=rng)
    native = partial(segment_walk.CpuWalk, segment_walk.cpu_nets(model.net))
    rows = {"reference": ("scalar", segment_walk.starter(model.net, "reference"))} | {
        isa: (isa, native) for isa in args.isas
    }
    for threads in args.threads:
        torch.set_num_threads(threads)
        times, peaks, said = {name: [] for name in rows}, {}, {}
        for name, (isa, _) in rows.items():
            _C.set_isa(isa)
            peaks[name] = peak()
        with torch.inference_mode():
            for _ in range(args.runs + 1):  # the first warms up
                for name, (isa, start) in rows.items():
                    _C.set_isa(isa)
                    seconds, said[name] = one_walk(start, shape, y, z, model.dead_zones)
                    times[name].append(seconds)
        print(f"{threads} threads " + "".join(f"{c:>9}" for c in COLUMNS) + " [ms]   GMAC/s     peak  of peak")
        for name in rows:
            middle = {c: statistics.median(t[c] for t in times[name][1:]) for c in COLUMNS}
            rate = needed / middle["cpu"]
            line = f"{name:10}" + "".join(f"{1000 * s:9.2f}" for s in middle.values()) + f"{rate / 1e9:14.1f}"
            if peaks[name]:
                line += f"{peaks[name] / 1e9:9.1f}{rate / peaks[name]:9.0%}"
            print(line)
        for name in rows:
            if not all(map(torch.equal, said[name], said["reference"])):
                print(f"{name} differs from the reference")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

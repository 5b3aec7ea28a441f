"""Where the time of one picture goes: `python -m bench.stages IMAGE.. [-q 60] [--runs 9] [--json FILE]`.

The pictures must fit one tile. The stages run in the same order as in `codec.coding.tiles`, and each is timed alone;
the times are medians over all runs and pictures. The time of refinement is that of the analysis with the default effort
minus that of the analysis without refinement. The totals are the times of `codec.encode` and `codec.decode` as a user
calls them, with the model already loaded. `aec bench --tables FILE` includes the table in its report.
"""

import argparse
import shlex
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import codec
from codec.api import DEFAULT_EFFORT
from codec.coding import model_search, payloads
from codec.coding.decoder import CodedTile, Place, latent_size
from codec.coding.device import resolve_device
from codec.coding.tiles import TileTask
from codec.container import format
from codec.nets import torch_codec, torch_encoder
from codec.nets.layers import exact_convolutions
from codec.picture.pixels import to_pixels

from .machine import machine_line, source_commit
from .tables import write_table


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("-q", "--quality", type=int, default=60)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the table for aec bench --tables")
    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)

    device = torch.device(resolve_device(args.device))
    model = torch_codec.load(model_search.find(args.model), device)
    times: dict[str, list[float]] = defaultdict(list)
    for path in args.images:
        picture = Image.open(path).convert("RGB")
        for _ in range(args.runs + 1):
            for stage, seconds in stages(model, picture, args.quality).items():
                times[stage].append(seconds)
    about = (
        f"{len(args.images)} images, quality {args.quality}, {device}, "
        f"{torch.get_num_threads()} threads, {args.runs} runs"
    )
    # The first run of each picture warms up and is left out.
    rows = [
        [stage, 1000 * statistics.median(s for i, s in enumerate(seconds) if i % (args.runs + 1))]
        for stage, seconds in sorted(times.items())
    ]
    print(about)
    for stage, milliseconds in rows:
        print(f"{stage:34} {milliseconds:8.1f} ms")
    if args.json:
        where = f"{machine_line(device.type == 'cuda')}, commit {source_commit() or 'unknown'}, {date.today()}"
        command = f"python -m bench.stages {shlex.join(argv)}"
        rounded = [[stage, round(milliseconds, 2)] for stage, milliseconds in rows]
        write_table(args.json, "Stages of aec", f"{about}; {where}; {command}", ["stage", "ms"], rounded)
    return 0


@torch.inference_mode()
@exact_convolutions  # codec.decode does the same
def stages(model: torch_codec.Codec, picture: Image.Image, quality: int) -> dict[str, float]:
    """The seconds of each stage in one run. The picture must fit one tile."""
    times = {}

    def timed(stage: str, call: Callable):
        start = time.perf_counter()
        result = call()
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        times[stage] = time.perf_counter() - start
        return result

    pixels = to_pixels(picture)
    (tile,) = format.Header(*picture.size, quality, model.id).tiles
    size = latent_size(tile)
    plain, refined = (TileTask(pixels, tile, quality, effort) for effort in (1, DEFAULT_EFFORT))
    timed("encode: analysis, hyper-analysis", lambda: torch_encoder.analyse(model, plain))
    y, z = timed("encode: refinement", lambda: torch_encoder.analyse(model, refined))
    times["encode: refinement"] -= times["encode: analysis, hyper-analysis"]
    chosen = timed(
        "encode: entropy nets, quantisation",
        lambda: payloads.quantise(model.walk(quality, *size), y, z, model.dead_zones),
    )
    symbols, indexes, segments, _ = chosen
    payload = timed("encode: coder", lambda: payloads.encode(symbols, indexes, segments, model.tables))

    def run_coder() -> None:
        decoder = payloads.decoder_for(model.tables, payload, indexes.device)
        for part in indexes.split(segments):
            decoder.decode(part)
        decoder.finish()

    timed("decode: coder", run_coder)
    latents = timed("decode: entropy nets and coder", lambda: model.decoder.read(CodedTile(payload, quality, size)))
    if model.device.type == "cuda":
        out = torch.empty(3, picture.height, picture.width, dtype=torch.uint8, device=model.device)
    else:
        out = np.empty((picture.height, picture.width, 3), np.uint8)
    place = Place((0, 0), size, quality)
    timed("decode: synthesis", lambda: model.decoder.synthesis.run(latents, place, 1, (0, 0), out))
    data = timed("encode: total", lambda: codec.encode(picture, quality, str(model.device), model.path))
    timed("decode: total", lambda: codec.decode(data, str(model.device), model.path))
    return times


if __name__ == "__main__":
    sys.exit(main())

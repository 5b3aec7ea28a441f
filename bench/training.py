"""Does the trainer wait for its data? `python -m bench.training DATA [--device cuda] [--config base]`.

Times the steps of the training loop with random crops of the data, and the same steps with one batch that stays on the
device. The two alternate in short runs. The median speeds and their ratio are printed; a ratio of 100 % means that the
trainer never waits for its data.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from codec.coding.device import resolve_device
from codec.coding.model_config import CONFIGS
from codec.train.codec_run import SIDE, Options, Run
from codec.train.images import Crops, load_images


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--config", default="small", choices=CONFIGS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20, help="steps in each short run (default: 20)")
    parser.add_argument("--rounds", type=int, default=5, help="short runs of each kind (default: 5)")
    args = parser.parse_args(argv)

    device = torch.device(resolve_device(args.device))
    images, _ = load_images(args.data, SIDE)
    run = Run(Options(minutes=1, config=args.config, batch=args.batch, device=str(device)), CONFIGS[args.config])
    run.start(images)
    crops = Crops(images, device)
    fixed = crops.draw(args.batch, SIDE)

    def seconds(draw) -> float:
        start = time.perf_counter()
        for _ in range(args.steps):
            result = run.update(draw(), learning_rate=1e-4)
        result.tolist()  # waits for the device
        return time.perf_counter() - start

    kinds = {"random crops": lambda: crops.draw(args.batch, SIDE), "resident batch": lambda: fixed}
    for draw in kinds.values():
        seconds(draw)  # warm-up
    times = {name: [] for name in kinds}
    for _ in range(args.rounds):
        for name, draw in kinds.items():
            times[name].append(seconds(draw))
    speed = {name: args.steps * args.batch / statistics.median(t) for name, t in times.items()}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{args.config}, batch {args.batch} of {SIDE}x{SIDE}, {name}")
    for kind, value in speed.items():
        print(f"{kind:15} {value:9.1f} images/s")
    print(f"ratio           {speed['random crops'] / speed['resident batch']:9.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How well targets are met, and in what time: `python -m bench.targets IMAGE.. [--bpp 0.3,1] [--psnr 31,35]`.

CPU time of one thread, beside the median of plain encodings of the same picture at qualities 30, 50 and 70.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import codec
from codec.metrics import psnr

from .inputs import load_image


def timed(image: np.ndarray, **options: float) -> tuple[bytes, float]:
    """A file, and the CPU seconds it took."""
    start = time.process_time()
    return codec.encode(image, **options), time.process_time() - start


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--bpp", default="0.15,0.3,0.6,1,1.5")
    parser.add_argument("--psnr", default="31,35")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    found: dict[str, list[tuple[float, float]]] = {"target_bpp": [], "target_psnr": []}  # how near, times plain
    for path in args.images:
        image = load_image(path)
        codec.encode(image)  # warms up
        plain = statistics.median(timed(image, quality=q)[1] for q in 2 * (30, 50, 70))
        for name, values in (("target_bpp", args.bpp), ("target_psnr", args.psnr)):
            for value in map(float, values.split(",")):
                data, seconds = timed(image, **{name: value})
                if name == "target_bpp":
                    near = 100 * len(data) / (value * image[..., 0].size / 8)
                else:
                    near = psnr(image, codec.decode(data, output="numpy")) - value
                found[name].append((near, seconds / plain))
    for name, unit in (("target_bpp", "% of the target used"), ("target_psnr", "dB above the target")):
        near, ratio = np.array(found[name]).T
        least, middle, most = np.quantile(near, (0, 0.5, 1))
        print(
            f"{name}: {len(near)} cases; {unit} {least:.3g}, median {middle:.3g}, {most:.3g}; "
            f"times plain: median {np.median(ratio):.2f}, p90 {np.quantile(ratio, 0.9):.2f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

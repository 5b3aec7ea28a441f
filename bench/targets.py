"""How well targets are met, and in what time: `python -m bench.targets IMAGE.. [--bpp 0.3,1] [--psnr 31,35]`.

The CPU time of encoding with a target, on one thread, is compared with the median time of encodings of the same picture
at qualities 30, 50 and 70, with the same effort. If no quality reaches a target of PSNR or SSIMULACRA 2, the picture is
stored losslessly, and is then far above the target.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import codec
from codec.metrics import psnr
from codec.picture.ssimulacra2 import ssimulacra2

from .inputs import load_image


def timed(image: np.ndarray, **options: float) -> tuple[bytes, float]:
    """(the encoded file, the CPU seconds that the encoding took)."""
    start = time.process_time()
    return codec.encode(image, **options), time.process_time() - start


def nearness(name: str, value: float, image: np.ndarray, data: bytes) -> float:
    """How near a file is to its target: the percentage of the target size that it uses, or by how much its quality is
    above the target."""
    if name == "target_bpp":
        return 100 * len(data) / (value * image[..., 0].size / 8)
    decoded = codec.decode(data, output="numpy")
    return psnr(image, decoded) - value if name == "target_psnr" else ssimulacra2(image, decoded) - value


UNITS = {
    "target_bpp": "% of the target used",
    "target_psnr": "dB above the target",
    "target_ssimulacra2": "points above the target",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--bpp", default="0.15,0.3,0.6,1,1.5", help="targets, separated by commas; empty: none")
    parser.add_argument("--psnr", default="31,35")
    parser.add_argument("--ssimulacra2", default="50,70,85")
    parser.add_argument("--effort", type=int, default=2)
    parser.add_argument("--model", help="default: that of aec compress")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    options = {"effort": args.effort, "model": args.model}
    values = dict(zip(UNITS, (args.bpp, args.psnr, args.ssimulacra2), strict=True))
    wanted = [(name, float(value)) for name in UNITS for value in values[name].split(",") if value]
    found: dict[str, list[tuple[float, float]]] = {}  # (nearness, CPU time relative to that of plain encodings)
    for path in args.images:
        image = load_image(path)
        codec.encode(image, **options)  # warms up
        plain = statistics.median(timed(image, quality=q, **options)[1] for q in 2 * (30, 50, 70))
        for name, value in wanted:
            data, seconds = timed(image, **{name: value}, **options)
            found.setdefault(name, []).append((nearness(name, value, image, data), seconds / plain))
    for name, cases in found.items():
        near, ratio = np.array(cases).T
        least, middle, most = np.quantile(near, (0, 0.5, 1))
        print(
            f"{name}: {len(near)} cases; {UNITS[name]} {least:.3g}, median {middle:.3g}, {most:.3g}; "
            f"times plain: median {np.median(ratio):.2f}, p90 {np.quantile(ratio, 0.9):.2f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Memory and time of one large picture: `python -m bench.memory IMAGE.. [--size 20000x10000] [--json FILE]`.

The picture is a mosaic of the images, with a little noise so that no two parts are equal. Each row of the table is one
call of `aec`, in its own process, as a user would call it, on an uncompressed file. The memory is the peak of resident
memory that the kernel reports. The promise is at most 1 GB plus three times the size of the raw pixels.
"""

import argparse
import itertools
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np

from .inputs import load_image
from .machine import machine_line, source_commit
from .tables import write_table

NOISE = 2  # the noise is uniform in -NOISE..NOISE levels
COLUMNS = ["what", "peak MB", "seconds", "CPU seconds"]


def write_mosaic(path: str, images: list[Path], width: int, height: int) -> None:
    """Write a PPM file that is filled with the images, side by side, repeated and cropped as needed."""
    noise, left = np.random.default_rng(0), itertools.cycle(images)
    with open(path, "wb") as f:
        f.write(b"P6 %d %d 255\n" % (width, height))
        while height > 0:
            row = []
            while sum(image.shape[1] for image in row) < width:
                row.append(load_image(next(left)))
            rows = min(height, *(len(image) for image in row))
            band = np.concatenate([image[:rows] for image in row], 1)[:, :width]
            f.write((band + noise.integers(-NOISE, NOISE + 1, band.shape, np.int16)).clip(0, 255).astype(np.uint8))
            height -= rows


# VmHWM is read from /proc, because the portable ru_maxrss includes the memory of the process that forked this one.
CHILD = """import sys, time
from codec.cli import main
code = main()
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak, time.process_time(), file=sys.stderr)
sys.exit(code)"""


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """(peak of resident memory in MB, seconds, CPU seconds) of `aec` with these arguments. It works on Linux only."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"aec {shlex.join(arguments)} failed: {done.stderr}")
    kibibytes, cpu = done.stderr.split()[-2:]
    return int(kibibytes) * 1024 / 1e6, time.perf_counter() - start, float(cpu)


def size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--size", type=size, default=(20000, 10000), metavar="WxH")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the table for aec bench --tables")
    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)
    width, height = args.size
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, packed, back = (str(Path(folder) / name) for name in ("large.ppm", "large.aec", "back.ppm"))
        write_mosaic(source, args.images, width, height)
        region = f"{width // 2},{height // 2},{min(1000, width - width // 2)},{min(1000, height - height // 2)}"
        for what, arguments in (
            ("compress", ["compress", source, "-o", packed]),
            ("compress --target-bpp 0.5", ["compress", source, "-f", "-o", packed + "2", "--target-bpp", "0.5"]),
            ("decompress", ["decompress", packed, "-o", back]),
            (f"decompress --crop {region}", ["decompress", packed, "-f", "-o", back, "--crop", region]),
            *(
                (f"decompress --scale 1/{n}", ["decompress", packed, "-f", "-o", back, "--scale", f"1/{n}"])
                for n in (2, 4, 8)
            ),
            ("verify", ["verify", packed]),
        ):
            rows.append([what, *(round(v, 1) for v in measure(arguments))])
            print("{:40} {:8} MB {:8} s {:8} s of CPU".format(*rows[-1]), flush=True)
    megapixels = width * height / 1e6
    about = f"{width}x{height}, {megapixels:.0f} megapixels, {3 * megapixels:.0f} MB raw"
    where = f"{machine_line(False)}, commit {source_commit() or 'unknown'}, {date.today()}"
    print(f"{about}; allowed: {1000 + 9 * megapixels:.0f} MB; {where}")
    if args.json:
        note = f"{about}; {where}; python -m bench.memory {shlex.join(argv)}"
        write_table(args.json, "A large picture", note, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Time of whole commands, each started anew: `python -m bench.cold PICTURE [--aec COMMAND ..] [--runs 7]`.

Each run is a process of its own, as a user starts it. With several --aec, such as those of two installations, their
runs take turns, so that they meet the same machine. `bench.memory` measures memory. Where Python writes no bytecode
(PYTHONDONTWRITEBYTECODE), it compiles a clone anew in each run: measure what pip has installed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from PIL import Image

from .machine import machine_line, source_commit


def commands(picture: str, folder: str) -> dict[str, tuple[list[str], int]]:
    """What is measured: the arguments of `aec` by what they do, and the exit code that is right."""
    packed, stored, small = (f"{folder}/{name}" for name in ("packed.aec", "stored.aec", "small.png"))
    png, made = f"{folder}/out.png", f"{folder}/out.aec"
    return {
        "--version": (["--version"], 0),
        "info": (["info", packed], 0),
        "verify": (["verify", packed], 0),
        "decompress to PNG": (["decompress", "-f", packed, "-o", png], 0),
        "decompress to PPM": (["decompress", "-f", packed, "-o", f"{folder}/out.ppm"], 0),
        "decompress a stored picture": (["decompress", "-f", stored, "-o", png], 0),
        "compress, effort 1": (["compress", "-f", "-e", "1", picture, "-o", made], 0),
        "compress, effort 2": (["compress", "-f", picture, "-o", made], 0),
        "compress --lossless": (["compress", "-f", "--lossless", small, "-o", made], 0),
        "refused: the output exists": (["compress", picture, "-o", packed], 7),
        "refused: no such file": (["compress", f"{folder}/none.png"], 3),
        "refused: a kind that cannot be written": (["decompress", packed, "-o", f"{folder}/out.odd"], 7),
    }


def prepare(picture: str, folder: str, aec: str) -> None:
    """Make the files that `commands` names."""
    small = f"{folder}/small.png"
    Image.open(picture).convert("RGB").crop((0, 0, 64, 64)).save(small)
    for made, arguments in ("packed", ["-q", "60", picture]), ("stored", ["--lossless", small]):
        subprocess.run([aec, "compress", "--quiet", *arguments, "-o", f"{folder}/{made}.aec"], check=True)


def run(command: list[str], right: int) -> tuple[float, float]:
    """Run a command to its end, without its output: (seconds, seconds of the processor)."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != right:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}, not {right}")
    return seconds, used.ru_utime + used.ru_stime


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cold", description=__doc__.splitlines()[0])
    parser.add_argument("picture", help="a photograph; what is kept exactly is its upper left corner, of 64x64 pixels")
    beside = str(Path(sys.executable).with_name("aec"))
    parser.add_argument("--aec", nargs="+", default=[beside], metavar="COMMAND", help=f"default: {beside}")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="the commands whose names have one of these words")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        prepare(args.picture, folder, args.aec[0])
        for what, (arguments, right) in commands(args.picture, folder).items():
            if args.only and not any(word in what for word in args.only):
                continue
            runs: dict[str, list[tuple[float, float]]] = {aec: [] for aec in args.aec}
            for i in range(args.runs + 1):
                for aec, of in runs.items():
                    found = run([aec, *arguments], right)
                    if i > 0:  # the first run of each brings its files into memory
                        of.append(found)
            for aec, of in runs.items():
                seconds, cpu = map(statistics.median, zip(*of, strict=True))
                whose = f"  {aec}" if len(args.aec) > 1 else ""
                least = min(row[1] for row in of)
                print(f"{what:40}{seconds:7.3f} s, {cpu:.3f} of the processor (least {least:.3f}){whose}", flush=True)
    print(f"medians of {args.runs}; {machine_line(False)}, commit {source_commit() or 'unknown'}, {date.today()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

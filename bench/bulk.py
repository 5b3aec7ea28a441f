"""How fast are shards compressed, and is every picture there after kills? `python -m bench.bulk [--pictures 2000]`.

Small pictures are made, in tar shards. They are compressed by a plain loop of `codec.encode`, by `aec compress --from`
on some processes, and by the same on Ray. Each prints its pictures a second and how many times those of the loop that
is. The overhead of a run is the share of its processes' time that was not spent in the codec: 1 - (seconds of the loop
/ processes) / seconds of the run. The time to start Python, the processes and Ray is printed, and not counted.

`--kill 5` also kills a run five times at random moments, with all its processes; then it is finished, and every picture
is counted: each must be there exactly once. The pictures of the loop, which are all or the first ones of `--loop N`,
must be the same bytes.

It prints Markdown: `python -m bench.bulk --pictures 100000 --side 64 --kill 5`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import codec
from codec.bulk import tars
from codec.coding import threads
from codec.given import open_picture

from .machine import machine_line, source_commit


def make_shards(folder: Path, n: int, per_shard: int, side: int) -> int:
    """Write n pictures of side x side pixels as PNG, and a text beside each, into shards in-00000.tar, in-00001.tar ..

    Returns the number of shards.
    """
    n_shards = -(-n // per_shard)
    for shard in range(n_shards):
        with tarfile.open(folder / f"in-{shard:05d}.tar", "w") as tar:
            for i in range(shard * per_shard, min(n, (shard + 1) * per_shard)):
                for suffix, data in (("png", _picture(i, side)), ("txt", f"picture {i}".encode())):
                    info = tarfile.TarInfo(f"{i:08d}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return n_shards


def _picture(seed: int, side: int) -> bytes:
    """Smooth blobs and a little noise, so that the networks have something to do."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(coarse) + rng.normal(0, 4, (side, side, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def pictures(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("in-*.tar")):
        with open(path, "rb") as file:
            for info, data in tars.members(file):
                if info.name.endswith(".png") and data is not None:
                    yield info.name.removesuffix(".png"), data


def loop(folder: Path, most: int) -> tuple[float, dict[str, str]]:
    """Encode up to so many pictures on one thread, one after the other.

    Returns (seconds, the SHA-256 of each file that was made).
    """
    threads.use(1)
    codec.encode(np.zeros((16, 16, 3), np.uint8), device="cpu")  # loads the model
    start, hashes = time.perf_counter(), {}
    for (key, data), _ in zip(pictures(folder), range(most), strict=False):
        made = codec.encode(open_picture(data), device="cpu", source=data)
        hashes[key] = hashlib.sha256(made).hexdigest()
    return time.perf_counter() - start, hashes


def command(folder: Path, out: Path, engine: str, workers: int) -> list[str]:
    shards = folder / "in-*.tar"
    words = [
        "compress",
        "--from",
        str(shards),
        "--to",
        f"{out}/out-{{:05d}}.tar",
        "--engine",
        engine,
        "-j",
        str(workers),
    ]
    return [sys.executable, "-m", "codec.cli", *words]


def timed(words: Sequence[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)}: {done.stderr}")
    return time.perf_counter() - start


def started(scratch: Path, engine: str, workers: int, side: int) -> float:
    """The seconds of a run with one picture: those that it takes to start."""
    folder = scratch / "one"
    folder.mkdir(exist_ok=True)
    make_shards(folder, 1, 1, side)
    return timed(command(folder, scratch / f"one-{engine}", engine, workers))


def killed(words: Sequence[str], seconds: float, kills: int, seed: int) -> list[float]:
    """Kill a run and all its processes at random moments within so many seconds, and then let it finish.

    Returns the moments.
    """
    rng, moments = random.Random(seed), []
    while len(moments) < kills:
        run = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = rng.uniform(0.5, max(1.0, seconds))
        time.sleep(moment)
        if run.poll() is not None:  # it was finished before it could be killed
            break
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        moments.append(moment)
    timed(words)
    return moments


def counted(out: Path, hashes: dict[str, str]) -> Counter[str]:
    """Count the pictures of a run: right, wrong, and twice. Those that the loop has not made count as right."""
    seen: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for path in sorted(out.glob("out-*.tar")):
        with open(path, "rb") as file:
            for info, data in tars.members(file):
                key, _, suffix = info.name.partition(".")
                if suffix == "aec" and data is not None:
                    seen[key] += 1
                    right = hashes.get(key, hashlib.sha256(data).hexdigest()) == hashlib.sha256(data).hexdigest()
                    found["right" if right else "wrong"] += 1
    found["twice"] = sum(n - 1 for n in seen.values())
    found["pictures"] = len(seen)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser("python -m bench.bulk", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--pictures", type=int, default=2000, metavar="N", help="how many (default: 2000)")
    parser.add_argument("--per-shard", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--side", type=int, default=64, metavar="PIXELS", help="of each picture (default: 64)")
    parser.add_argument("--loop", type=int, metavar="N", help="pictures of the plain loop (default: all)")
    parser.add_argument("--workers", type=int, default=threads.cores(), metavar="N", help="default: one for each core")
    parser.add_argument("--engines", nargs="*", choices=("local", "ray"), default=["local", "ray"])
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="kill a run so many times, and count")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of --kill")
    args = parser.parse_args(words)
    os.environ["PYTHONPATH"] = str(Path(codec.__file__).parents[1])
    with tempfile.TemporaryDirectory(prefix="aec-bulk-") as name:
        _report(Path(name), args, words)


def _report(scratch: Path, args: argparse.Namespace, words: Sequence[str]) -> None:
    source = scratch / "in"
    source.mkdir()
    n_shards = make_shards(source, args.pictures, args.per_shard, args.side)
    print(f"`python -m bench.bulk {shlex.join(words)}`, {source_commit() or 'no commit'}\n\n{machine_line(False)}\n")
    print(f"{args.pictures} pictures of {args.side}x{args.side} pixels in {n_shards} shards\n")
    seconds, hashes = loop(source, args.loop or args.pictures)
    rate = len(hashes) / seconds
    print("| how | processes | pictures/s | times the loop | overhead | seconds to start |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    print(f"| loop of `codec.encode` | 1 | {rate:.1f} | 1.00 | | |", flush=True)
    whole = args.pictures / rate / args.workers
    for engine in args.engines:
        if engine == "ray" and importlib.util.find_spec("ray") is None:
            print("| Ray is not installed | | | | | |")
            continue
        start = started(scratch, engine, args.workers, args.side)
        taken = timed(command(source, scratch / engine, engine, args.workers)) - start
        ratio, overhead = args.pictures / taken / rate, 1 - whole / taken
        print(
            f"| {engine} | {args.workers} | {args.pictures / taken:.1f} | {ratio:.2f} | {overhead:.1%} | {start:.1f} |",
            flush=True,
        )
        _check(counted(scratch / engine, hashes), args.pictures)
        shutil.rmtree(scratch / engine)
    if args.kill:
        moments = killed(command(source, scratch / "killed", "local", args.workers), whole / 2, args.kill, args.seed)
        found = counted(scratch / "killed", hashes)
        _check(found, args.pictures)
        times = ", ".join(f"{moment:.1f}" for moment in moments)
        print(f"\nKilled {len(moments)} times, after {times} s, and finished: {found['pictures']} pictures, each once.")


def _check(found: Counter[str], n: int) -> None:
    """End the program unless every picture is there exactly once, with the right bytes."""
    if found["wrong"] or found["twice"] or found["pictures"] != n:
        raise SystemExit(f"of {n} pictures {dict(found)} were found")


if __name__ == "__main__":
    main()

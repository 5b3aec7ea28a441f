"""Are copies found by their latents, and how fast? `python -m bench.similar PICTURES.. [--others TAR..] [--runs 5]`.

Copies of each picture are compared with it by `codec.features` and by two common hashes of 64 bits. A threshold is set
for each method so that no two different pictures are called copies of each other; the share of copies that are then
found is printed for each kind of copy. The most similar pairs of different pictures are named, so that one can look
whether they are different.

The times are those of one picture after another, from bytes in memory, on one thread: features of .aec files of
quality 75, hashes of JPEG files of quality 90, and decoding. All methods take turns, and each prints its median.

It prints Markdown: `python -m bench.similar KODAK CLIC --others holdout.tar > bench/results/similar.md`.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import statistics
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

import codec
from codec import similarity
from codec.given import open_picture
from codec.io import IMAGE_SUFFIXES
from codec.picture.samples import as_rgb, to_depth

from .inputs import find_sets
from .machine import machine_line, source_commit

QUALITY, JPEG_QUALITY = 75, 90
HASH_DISTANCE = 10  # bits; a common choice for 64
LANCZOS = Image.Resampling.LANCZOS


def dhash(image: Image.Image) -> np.ndarray:
    """64 bits: whether each of 8x8 mean luminances is above its right neighbour. bool [64]."""
    small = np.asarray(image.convert("L").resize((9, 8), LANCZOS)).astype(int)
    return (small[:, :-1] > small[:, 1:]).reshape(-1)


def phash(image: Image.Image) -> np.ndarray:
    """64 bits: whether each of the 8x8 longest cosine waves of 32x32 luminances is above their median. bool [64]."""
    small = np.asarray(image.convert("L").resize((32, 32), LANCZOS)).astype(float)
    waves = np.cos(np.pi / 32 * np.outer(np.arange(8), np.arange(32) + 0.5))
    found = (waves @ small @ waves.T).reshape(-1)
    return found > np.median(found[1:])


def agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The number of bits that two sets of hashes share, for all pairs: [N, 64], [M, 64] -> [N, M]."""
    a, b = (2.0 * x - 1 for x in (a, b))
    return 32 + (a @ b.T) / 2


# Name: (what it makes of a picture, how similar two of these are, for all pairs, and how a similarity is printed).
METHODS: dict[str, tuple[Callable, Callable, Callable[[float], str]]] = {
    "features": (codec.features, lambda a, b: a @ b.T, lambda s: f"{s:.3f}"),
    "dHash": (dhash, agreement, lambda s: f"{64 - s:.0f} bits apart"),
    "pHash": (phash, agreement, lambda s: f"{64 - s:.0f} bits apart"),
}
USUAL = {"features": similarity.NEAR, "dHash": 64 - HASH_DISTANCE, "pHash": 64 - HASH_DISTANCE}


def copies(image: Image.Image) -> Iterator[tuple[str, Image.Image | bytes]]:
    """(name, a copy) of each kind; bytes are an .aec file."""
    width, height = image.size

    def cut(share: float, corner: bool) -> Image.Image:
        x, y = round(width * share), round(height * share)
        left, top = (x, y) if corner else (x // 2, y // 2)
        return image.crop((left, top, left + width - x, top + height - y))

    for quality in (15, 40, 95):
        yield f"aec, quality {quality}", codec.encode(image, quality)
    for quality in (80, 30):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        yield f"JPEG, quality {quality}", Image.open(file).convert("RGB")
    for name, share in (("3/4", 3 / 4), ("1/2", 1 / 2), ("1/4", 1 / 4)):
        yield f"size {name}", image.resize((round(width * share), round(height * share)), LANCZOS)
    yield "cut by 5 %, all around", cut(0.05, False)
    yield "cut by 10 %, all around", cut(0.10, False)
    yield "cut by 5 %, at one corner", cut(0.05, True)
    yield "cut by 10 %, at one corner", cut(0.10, True)
    yield "gray", ImageOps.grayscale(image)
    yield "brighter by 20 %", ImageEnhance.Brightness(image).enhance(1.2)
    yield "darker by 20 %", ImageEnhance.Brightness(image).enhance(0.8)
    yield "contrast +25 %", ImageEnhance.Contrast(image).enhance(1.25)
    yield "contrast -25 %", ImageEnhance.Contrast(image).enhance(0.75)
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    yield "noise of 6 levels", Image.fromarray((np.asarray(image) + noise).clip(0, 255).round().astype(np.uint8))
    yield "mirrored", ImageOps.mirror(image)
    yield "turned by 90 degrees", image.transpose(Image.Transpose.ROTATE_90)


def image_of(data: bytes, side: int) -> Image.Image:
    """The picture in a file, in RGB with 8 bits a sample and without its transparency.

    It is reduced to at most `side` pixels a side; 0: no limit.
    """
    image = Image.fromarray(as_rgb(to_depth(open_picture(data).data, 8)))
    if side:
        image.thumbnail((side, side), LANCZOS)
    return image


def pictures_of(tars: Sequence[Path], side: int) -> Iterator[tuple[str, Image.Image]]:
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                if Path(member.name).suffix.lower() in IMAGE_SUFFIXES and (file := tar.extractfile(member)):
                    yield f"{path.name}/{member.name}", image_of(file.read(), side)


def recall(pictures: Mapping[str, Image.Image], others: Sequence[tuple[str, Image.Image]]) -> Iterator[str]:
    """The lines of the tables about copies."""
    names = [*pictures, *(name for name, _ in others)]
    originals: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    made: dict[str, dict[str, list[np.ndarray]]] = {}  # kind of copy -> method -> one for each picture
    for image in (*pictures.values(), *(image for _, image in others)):
        for method, (describe, _, _) in METHODS.items():
            originals[method].append(describe(image))
    for n, (name, image) in enumerate(pictures.items()):
        print(f"{n + 1} of {len(pictures)}: {name}", file=sys.stderr)
        for kind, copy in copies(image):
            for method, (describe, _, _) in METHODS.items():
                is_file = isinstance(copy, bytes) and method != "features"
                found = describe(codec.decode(copy) if is_file else copy)
                made.setdefault(kind, {}).setdefault(method, []).append(found)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for method, (_, compare, shown) in METHODS.items():
        all_pictures = np.stack(originals[method])
        pairs = compare(all_pictures, all_pictures)
        pairs[np.tri(len(pairs)) > 0] = -np.inf
        wrong = pairs.max()
        own = np.arange(len(pictures))
        alike = {}
        for kind in made:
            products = compare(np.stack(made[kind][method]), all_pictures)
            alike[kind] = products[own, own].copy()
            products[own, own] = -np.inf
            wrong = max(wrong, products.max())
        most = np.argsort(-pairs, axis=None)[:3]
        near = "; ".join(
            f"{names[i]} and {names[j]} ({shown(pairs[i, j])})" for i, j in (divmod(m, len(pairs)) for m in most)
        )
        usual = int((pairs >= USUAL[method]).sum())
        yield (
            f"- {method}: the nearest wrong pair, of a picture or a copy with another picture: {shown(wrong)}. "
            f"Of two pictures as they are: {near}. Wrong pairs at the usual threshold ({shown(USUAL[method])}): "
            f"{usual} of {len(pairs) * (len(pairs) - 1) // 2}."
        )
        for kind, values in alike.items():
            found.setdefault(kind, {})[method] = (values > wrong).mean(), (values >= USUAL[method]).mean()
    yield ""
    yield "| copies found | " + " | ".join(f"{m} | {m}, usual" for m in METHODS) + " |"
    yield "|---|" + "---|" * (2 * len(METHODS))
    for kind, by_method in found.items():
        yield f"| {kind} | " + " | ".join(f"{share:.0%}" for m in METHODS for share in by_method[m]) + " |"


def speed(pictures: Mapping[str, Image.Image], runs: int) -> Iterator[str]:
    """The lines of the table about times."""
    files = []
    for image in pictures.values():
        file = io.BytesIO()
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        files.append((codec.encode(image, QUALITY), file.getvalue(), image))

    def reduced(data: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(data))
        image.draft("L", (64, 64))
        return dhash(image)

    works: dict[str, Callable[[tuple[bytes, bytes, Image.Image]], object]] = {
        "`codec.features` of an .aec file": lambda f: codec.features(f[0]),
        "`codec.decode` of an .aec file": lambda f: codec.decode(f[0]),
        "`codec.decode` at 1/8": lambda f: codec.decode(f[0], scale=1 / 8),
        "`codec.features` of a picture in memory": lambda f: codec.features(f[2]),
        "JPEG: decoding, dHash": lambda f: dhash(Image.open(io.BytesIO(f[1]))),
        "JPEG: decoding, pHash": lambda f: phash(Image.open(io.BytesIO(f[1]))),
        "JPEG: decoding at 1/8, dHash": lambda f: reduced(f[1]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs + 1):
        for name, work in works.items():
            for file in files:
                start = time.perf_counter()
                work(file)
                if run:  # the first one warms up
                    seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ours = next(iter(medians.values()))
    yield "| | ms a picture | pictures a second | time, of features' |"
    yield "|---|---|---|---|"
    for name, median in medians.items():
        yield f"| {name} | {1000 * median:.1f} | {1 / median:.0f} | {median / ours:.2f} |"
    mean_aec, mean_jpeg = (statistics.mean(len(f[i]) for f in files) / 1000 for i in (0, 1))
    yield ""
    yield f"The .aec files have {mean_aec:.1f} kB on average, the JPEG files {mean_jpeg:.1f} kB."


def comparison(n: int) -> str:
    """The line about the time to compare n pictures with each other."""
    features = np.random.default_rng(0).normal(size=(n, codec.features(Image.new("L", (8, 8))).size))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    start = time.perf_counter()
    similarity.near_duplicates(features)
    return f"To compare {n} pictures with each other, once they have features: {time.perf_counter() - start:.1f} s."


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.similar", description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", help="pictures or folders of them, of which copies are made")
    parser.add_argument("--others", nargs="*", type=Path, default=[], help="tars of more pictures, for wrong pairs")
    parser.add_argument(
        "--side", type=int, default=0, help="reduce larger pictures to so many pixels; 0: none (default)"
    )
    parser.add_argument("--runs", type=int, default=5, help="of the times; 0: measure no times (default: 5)")
    parser.add_argument("--timed", type=int, default=24, help="how many pictures, the first, are timed (default: 24)")
    parser.add_argument("--compare", type=int, default=100_000, help="pictures to compare (default: 100000)")
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"  # read by each call of codec; numpy's own threads were set when it was imported
    sets, empty = find_sets(args.pictures)
    if empty:
        parser.error(f"no pictures in {', '.join(map(str, empty))}")
    pictures = {
        f"{s}/{path.name}": image_of(path.read_bytes(), args.side) for s, paths in sets.items() for path in paths
    }
    others = list(pictures_of(args.others, args.side))
    given = shlex.join([Path(p).name for p in args.pictures])
    side = f" --side {args.side}" if args.side else ""
    tars = f" --others {shlex.join(p.name for p in args.others)}" if args.others else ""
    print(f"# Copies found by their latents\n\n`python -m bench.similar {given}{tars}{side}`, one thread  ")
    print(f"{machine_line(with_gpu=False)}, commit {source_commit()}\n")
    if args.runs:
        timed = dict(list(pictures.items())[: args.timed])
        print(f"## Times\n\nMedians of {args.runs} runs with {len(timed)} pictures.\n")
        print("\n".join(speed(timed, args.runs)))
        print(f"\n{comparison(args.compare)}\n", flush=True)
    print(f"## Copies\n\n{len(pictures)} pictures with copies, and {len(others)} others.\n")
    print("\n".join(recall(pictures, others)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

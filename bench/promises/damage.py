"""Files that are damaged or cut off: that is always seen, and costs no more than it must."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import numpy as np

import codec
from codec.container import format

from .check import GOLDEN, Check, Extent, Measured
from .pictures import photo

SLOW = 1.0  # seconds: more than this for a small file counts as hanging


def files(n: int, side: int = 48) -> Iterator[bytes]:
    """Small files of all kinds: lossy, exact, with a largest error, gray, with alpha, of 16 bits, and with regions."""
    for i in range(n):
        image, kind = photo(side - i % 17, side + i % 23, seed=i), i % 7
        if kind == 1:
            image = image[..., 0].copy()
        elif kind == 2:
            image = np.dstack([image, np.arange(image[..., 0].size, dtype=np.uint8).reshape(image.shape[:2])])
        elif kind == 3:
            image = image.astype(np.uint16) * 257
        roi = [((0, 0, 9, 9), 15)] if kind == 4 else ()
        lossy = {"quality": 1 + 37 * i % 100, "roi": roi}
        options = {5: {"lossless": True}, 6: {"max_error": 3}}.get(kind, lossy)
        yield codec.encode(image, device="cpu", **options)


def large(seed: int = 0) -> bytes:
    """A file of several tiles and parts."""
    return codec.encode(photo(1100, 1300, seed), 30, "cpu", effort=1)


def all_files(extent: Extent) -> list[bytes]:
    golden = [path.read_bytes() for path in sorted(GOLDEN.glob("*.aec"))]
    progressive = [codec.encode(photo(256, 256, seed), 95, "cpu", progressive=True) for seed in (1, 2)]
    return [*golden, *files(14), *progressive]


def outcome(bad: bytes) -> str:
    """What a reader makes of a damaged file: the name of its error, or "unseen"."""
    try:
        codec.open(bad)
    except codec.FormatError as error:
        return type(error).__name__
    return "unseen"


def _said(outcomes: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in outcomes.most_common())


def flips(extent: Extent) -> Measured:
    rng, outcomes, whole = np.random.default_rng(4), Counter(), all_files(extent)
    n_flips, n_bursts = extent.of((20_000, 2_000), (100_000, 10_000))
    for i in range(n_flips):
        data = bytearray(whole[i % len(whole)])
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        outcomes[outcome(bytes(data))] += 1
    for i in range(n_bursts):  # up to 32 bits, of which the first and the last change
        data = whole[i % len(whole)]
        length = int(rng.integers(2, 33))
        at = int(rng.integers(8 * len(data) - length))
        mask = 1 | 1 << length - 1 | int(rng.integers(1 << length))
        number = int.from_bytes(data, "little") ^ mask << at
        outcomes[outcome(number.to_bytes(len(data), "little"))] += 1
    silent = outcomes.pop("unseen", 0)
    figure = f"{n_flips} flips, {n_bursts} bursts in {len(whole)} files: {silent} silent ({_said(outcomes)})"
    return Measured(figure, silent == 0)


def confined(extent: Extent) -> Measured:
    """A damaged tile costs itself and what its neighbours see of it, and nothing else."""
    data = large()
    layout, whole = format.read(data), codec.decode(data, "cpu", output="numpy")
    n_tiles, changed, outside, rng = layout.header.n_tiles, 0, 0, np.random.default_rng(5)
    margin = 112  # 7 latents: what the synthesis sees beyond a tile's border
    n = extent.of(4, 40)
    for i in range(n):
        tile = layout.header.tiles[i % n_tiles]
        index = i % len(layout.payloads)
        tile = layout.header.tiles[index % n_tiles]
        at = layout.overhead_bytes + sum(map(len, (*layout.alphas, *layout.payloads[:index])))
        bad = bytearray(data)
        bad[at + int(rng.integers(len(layout.payloads[index])))] ^= 1 << int(rng.integers(8))
        file = codec.open(bytes(bad), allow_partial=True)
        if [missing.area for missing in file.missing] != [(tile.x, tile.y, tile.width, tile.height)]:
            outside += 1
        differs = (file.decode("cpu", output="numpy") != whole).any(-1)
        changed += int(differs.any())
        y, x = max(tile.y - margin, 0), max(tile.x - margin, 0)
        differs[y : tile.y + tile.height + margin, x : tile.x + tile.width + margin] = False
        outside += int(differs.sum())
    figure = f"{n} flips in {n_tiles} tiles: each named by its area, {outside} pixels changed elsewhere"
    return Measured(figure, outside == 0 and changed > 0)


def prefix(data: bytes, n: int) -> tuple[str, float]:
    """(what readers make of the first n bytes of a file, seconds that this took)."""
    start = time.perf_counter()
    try:
        codec.decode(data[:n], "cpu", output="numpy")
        return "TAKEN FOR WHOLE", 0.0
    except (codec.TruncatedError, codec.NotAecError):
        found = "refused"
    try:
        file = codec.open(data[:n], allow_partial=True)
        pixels = file.decode("cpu", output="numpy")
        found = "shown in part" if file.missing and pixels.size else "PART NOT FLAGGED"
    except (codec.TruncatedError, codec.NotAecError):
        pass
    return found, time.perf_counter() - start


def cuts(small: bool):
    """Every prefix of small files, or samples of those of large ones."""

    def run(extent: Extent) -> Measured:
        outcomes, slowest, n, rng = Counter(), 0.0, 0, np.random.default_rng(6)
        if small:
            n_files = extent.of(7, 50)
            cases = ((data, range(len(data))) for data in files(n_files, side=18))
        else:
            n_files = extent.of(1, 4)
            per_file = extent.of(12, 250)
            cases = ((data, rng.integers(len(data), size=per_file)) for data in map(large, range(n_files)))
        for data, lengths in cases:
            for length in lengths:
                found, seconds = prefix(data, int(length))
                outcomes[found] += 1
                slowest, n = max(slowest, seconds), n + 1
        wrong = [name for name in outcomes if name.isupper()]
        figure = f"{n} cuts of {n_files} files: {_said(outcomes)}; the slowest took {slowest:.2f} s"
        return Measured(figure, not wrong and (slowest < SLOW or not small))

    return run


CHECKS = [
    Check(4, "random flipped bits, and bursts of up to 32 bits", flips),
    Check(4, "a damaged tile, read with `allow_partial`", confined),
    Check(5, "every cut of small files, strictly and with `allow_partial`", cuts(small=True)),
    Check(5, "random cuts of large files", cuts(small=False)),
]

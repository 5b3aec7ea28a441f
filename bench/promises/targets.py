"""A wanted size is met, and what is said of sizes is the size of real files."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

import codec

from .check import Check, Extent, Measured, aec, tests
from .pictures import photo

LEAST_USED = 0.97
BITS = (0.2, 0.4, 0.7, 1.0, 1.5)  # a pixel


def _seconds(call) -> tuple[bytes, float]:
    start = time.process_time()
    return call(), time.process_time() - start


def met(extent: Extent) -> Measured:
    n, used, ratios, over = extent.of(4, 100), [], [], 0
    for i in range(n):
        image = photo(384, 512, seed=i)
        codec.encode(image, 50, "cpu")
        plain = statistics.median(
            _seconds(lambda image=image, q=q: codec.encode(image, q, "cpu"))[1] for q in (30, 50, 70)
        )
        best = len(codec.encode(image, 100, "cpu"))
        for bits in BITS:
            wanted = round(bits * image[..., 0].size / 8)
            data, seconds = _seconds(lambda image=image, w=wanted: codec.encode(image, device="cpu", target_size=w))
            over += len(data) > wanted
            if wanted <= best:  # beyond it no quality has so many bytes
                used.append(len(data) / wanted)
                ratios.append(seconds / plain)
    figure = (
        f"{n} pictures x {len(BITS)} sizes: {over} over, at least {min(used):.1%} used, "
        f"{statistics.median(ratios):.1f} times the time of a quality (not promised; 1.5 is the aim)"
    )
    return Measured(figure, over == 0 and min(used) >= LEAST_USED)


def honest(extent: Extent) -> Measured:
    """What `aec compress --json` and `aec info` say of sizes against the files on the disk."""
    with tempfile.TemporaryDirectory() as name:
        for i in range(4):
            Image.fromarray(photo(90 + i, 120, i)).save(Path(name) / f"{i}.png")
        rows = [json.loads(line) for line in aec("compress", name, "--json").stdout.splitlines()]
        said = [json.loads(line) for line in aec("info", "--json", *Path(name).glob("*.aec")).stdout.splitlines()]
        wrong = 0
        for row in rows:
            size = Path(row["out"]).stat().st_size
            info = next(facts for facts in said if Path(facts["file"]).name == Path(row["out"]).name)
            bits = 8 * size / (row["width"] * row["height"])
            wrong += row["bytes_out"] != size or info["bytes"] != size
            wrong += abs(row["bpp"] - bits) > 1e-4 or abs(info["bits_per_pixel"] - bits) > 1e-4
    return Measured(f"{len(rows)} files: {wrong} figures differ from the file's", wrong == 0 and len(rows) == 4)


COST = "test_api.py::test_file_size_is_what_the_tables_say_it_costs"
CHECKS = [
    Check(17, "`target_size` of five sizes for each picture", met),
    Check(18, "sizes that the commands print, against files", honest),
    Check(18, "what the tables say that symbols cost, against files, within 1 %", tests(COST)),
]

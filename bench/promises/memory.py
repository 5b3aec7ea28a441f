"""Memory does not grow with the number of pictures, and with their size only as promised."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import codec

from .. import memory as one_picture
from .check import Check, Extent, Measured, NotHere, python
from .pictures import SAMPLES, photo

MOST_GROWTH = 4e6  # bytes, of all pictures after the first ones


def _status(name: str) -> int:
    """A size in bytes from what Linux says of this process."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
    except (OSError, StopIteration):
        raise NotHere("needs Linux, which tells a process's memory in /proc") from None


def large(extent: Extent) -> Measured:
    """Peak of memory of `aec compress` and `decompress`, each in a process of its own."""
    _status("VmHWM")
    rows, kept = [], True
    for megapixels in extent.of((6, 18), (12, 50, 100, 200)):
        width, height = round((megapixels * 2e6) ** 0.5), round((megapixels * 5e5) ** 0.5)
        with tempfile.TemporaryDirectory() as name:
            source, packed, back = (str(Path(name) / file) for file in ("a.ppm", "a.aec", "b.ppm"))
            one_picture.write_mosaic(source, sorted(SAMPLES.glob("*.png")), width, height)
            encoding = one_picture.measure(["compress", "-e", "1", source, "-o", packed])[0]
            decoding = one_picture.measure(["decompress", packed, "-o", back])[0]
        raw = 3 * width * height / 1e6
        rows.append((megapixels, raw, encoding, decoding))
        kept &= max(encoding, decoding) <= 1000 + 3 * raw
    said = "; ".join(f"{n} MP: {e:.0f} and {d:.0f} MB ({1000 + 3 * raw:.0f} allowed)" for n, raw, e, d in rows)
    slope = max((rows[-1][i] - rows[0][i]) / (rows[-1][1] - rows[0][1]) for i in (2, 3))
    return Measured(f"{said}; {slope:.2f} bytes more for a raw byte", kept and slope < 3)


def on_gpu(extent: Extent) -> Measured:
    raise NotHere("video memory is measured on a GPU by hand: bench/gpu.md")


def many(n: int) -> None:
    """The main function of a fresh process: prints the growth of memory in bytes over n encodings and decodings."""
    pictures = [photo(40 + 7 * i, 60 + 5 * i, i) for i in range(8)]

    def once(i: int) -> None:
        options = {"lossless": True} if i % 8 == 7 else {"quality": 20 + i % 70}
        data = codec.encode(pictures[i % 8], device="cpu", **options)
        assert codec.decode(data, "cpu", output="numpy").shape == pictures[i % 8].shape
        try:
            codec.decode(data[:-3], "cpu")  # and errors keep nothing
        except codec.TruncatedError:
            pass

    sizes = []
    for i in range(n):
        once(i)
        if i + 1 in (n // 3, n):
            gc.collect()
            sizes.append(_status("VmRSS"))
    print(sizes[1] - sizes[0], sizes[1])


def repeated(extent: Extent) -> Measured:
    _status("VmRSS")
    n = extent.of(300, 10_000)
    done = python("-c", f"from {__name__} import many; many({n})")
    if done.returncode:
        return Measured(f"exit code {done.returncode}: {done.stderr[-300:]}", False)
    growth, size = map(int, done.stdout.split())
    figure = (
        f"{n} encodings and decodings in one process: {growth / 1e6:+.1f} MB after the first third, {size / 1e6:.0f} MB"
    )
    return Measured(figure, growth < MOST_GROWTH)


CHECKS = [
    Check(8, "peaks of `aec compress` and `aec decompress` at several sizes", large),
    Check(8, "video memory", on_gpu),
    Check(22, "one process that encodes and decodes again and again", repeated),
]

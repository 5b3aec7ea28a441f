"""Hostile files are refused before anything is allocated for them, and what is written can be read."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress

import numpy as np

import codec
from codec.container import format
from codec.container.format import DEFAULT_MAX_PIXELS, MAX_SECTION, MAX_SIDE, MAX_TILES, Header
from codec.container.varint import varint

from .check import Check, Extent, Measured, NotHere, python

MOST_SECONDS, MOST_BYTES = 0.010, 16 << 20
ID = bytes.fromhex("0123abcd")


def head(width: int, height: int, flags: int = 0, quality: int = 50, more: bytes = b"", after: bytes = b"") -> bytes:
    start = format.MAGIC + bytes([format.VERSION]) + (ID if quality else bytes(4))
    return start + bytes([quality, flags]) + more + varint(width) + varint(height) + after


def _png(width: int, height: int) -> bytes:
    """A PNG file that claims a size, and has hardly any samples."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    samples = zlib.compress(bytes(1 << 20), 9)
    parts = chunk(b"IHDR", size), chunk(b"IDAT", samples), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bombs() -> dict[str, bytes]:
    """Small files that would make a careless reader allocate much, by what they claim."""
    found = {}
    for log2 in range(16, 33):
        for width, height in ((1 << log2 - log2 // 2, 1 << log2 // 2), (MAX_SIDE, max(1, (1 << log2) // MAX_SIDE))):
            name = f"2^{log2} pixels, {width}x{height}"
            found[name] = head(width, height, 0x60).ljust(127, b"\xff")
            found[f"{name}, small tiles"] = head(width, height).ljust(127, b"\xff")
    for name, size in (
        ("side 2^16", (1 << 16, 1)),
        ("side 2^32 - 1", (2**32 - 1, 2**32 - 1)),
        ("2^28 + 1", (2**28 + 1, 1)),
    ):
        found[name] = head(*size).ljust(127, b"\xff")
    many = head(16384, 16384)
    found["a table of 65,536 tiles without payloads"] = many + bytes([5, 0, 0, 0, 0]) * 100
    lies = (varint(2**32 - 1) + bytes(4)) * 4
    found["lengths of 4 GB each"] = head(128, 128) + lies
    found["16 parts of 65,536 tiles"] = head(16384, 16384, 8, more=b"\x20", after=b"\x10\0").ljust(127, b"\xff")
    section = varint(MAX_SECTION) + varint(200)
    found["64 MB of metadata in 200 bytes"] = head(1, 1, 8, more=b"\x01", after=b"\x04") + section + bytes(210)
    found["4 GB of metadata"] = head(1, 1, 8, more=b"\x01", after=b"\x04") + varint(2**32 - 1) * 2 + bytes(20)
    for width, height in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (16_384, 16_384)):
        stored = Header(8, 8, 0, format.NO_MODEL, tile=64, stored=True)
        found[f"a stored PNG of {width}x{height}"] = format.write(stored, [_png(width, height)])
    found["a collection of 2^24 pictures"] = format.COLLECTION_MAGIC + bytes([1]) + ID + varint(2**24) * 3 + bytes(90)
    return found


def _peak() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def attack() -> None:
    """The main function of a fresh process: prints (most seconds, most bytes of memory, what was not refused)."""
    slowest, accepted, all_of_them = (0.0, ""), [], bombs()
    codec.decode(codec.encode(np.zeros((8, 8, 3), np.uint8), lossless=True))  # loads what any reader needs
    codec.decode(codec.encode(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8), 50), output="numpy")
    readers: list[Callable] = [codec.decode, codec.inspect, codec.read_metadata]
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins again at what is used now
    before = _peak()
    for name, data in all_of_them.items():
        for reader in [*readers, codec.open_collection]:
            seconds = []
            for _ in range(3):
                start = time.perf_counter()
                try:
                    reader(data)
                    if reader is codec.decode:
                        accepted.append(name)
                except codec.AecError:
                    pass
                seconds.append(time.perf_counter() - start)
            slowest = max(slowest, (min(seconds), name))
    print(len(all_of_them), slowest[0], _peak() - before, "|".join([slowest[1], *accepted]))


def refused(extent: Extent) -> Measured:
    try:
        _peak()
    except (OSError, StopIteration):
        raise NotHere("needs Linux, which tells the peak of memory in /proc") from None
    done = python("-c", f"from {__name__} import attack; attack()")
    if done.returncode:
        return Measured(f"exit code {done.returncode}: {done.stderr[-300:]}", False)
    n, seconds, n_bytes, names = done.stdout.strip().split(" ", 3)
    slowest, *accepted = names.split("|")
    figure = (
        f"{n} bombs x 4 readers: at most {1000 * float(seconds):.1f} ms ({slowest}), "
        f"{int(n_bytes) / 2**20:.1f} MB more; {len(accepted)} accepted {', '.join(accepted)}"
    )
    return Measured(figure.strip(), float(seconds) < MOST_SECONDS and int(n_bytes) < MOST_BYTES and not accepted)


def _accepts(write: Callable[[], bytes], read: Callable[[bytes], object]) -> str:
    """ "read", if what is written can be read; "refused", if it is not written; else what is wrong."""
    try:
        data = write()
    except (codec.LimitError, ValueError):
        return "refused"
    try:
        read(data)
        return "read"
    except codec.AecError as error:
        return f"WRITTEN, BUT {error}"


def limits(extent: Extent) -> Measured:
    """At each limit, one below and one above: the writer refuses what the default reader refuses."""
    found: dict[str, str] = {}

    def empty(width: int, height: int, tile: int = 4096, **fields) -> bytes:
        header = Header(width, height, 50, ID, tile=tile, **fields)
        return format.write(header, [bytes(5)] * (header.n_tiles * header.parts))

    def attempt(name: str, expected: str, write: Callable[[], bytes], read: Callable[[bytes], object]) -> None:
        said = _accepts(write, read)
        found[name] = said if said == expected else f"{said.upper()}, AND NOT {expected}"

    read = format.read
    for side, said in ((MAX_SIDE - 1, "read"), (MAX_SIDE, "read"), (MAX_SIDE + 1, "refused")):
        for size in ((side, 1), (1, side)):
            attempt(f"header of {size}", said, lambda size=size: empty(*size), read)
            picture = np.zeros((size[1], size[0]), np.uint8)
            attempt(f"picture of {size}", said, lambda p=picture: codec.encode(p, 10, "cpu"), codec.decode)
            attempt(f"exact picture of {size}", said, lambda p=picture: codec.encode(p, lossless=True), codec.decode)
    for width, height, said in ((16384, 16384, "read"), (16383, 16384, "read"), (16385, 16384, "refused")):
        assert (width * height <= DEFAULT_MAX_PIXELS) == (said == "read")
        attempt(f"{width * height} pixels", said, lambda w=width, h=height: empty(w, h), read)
    columns = MAX_TILES // 256
    for wide, said in ((columns, "read"), (columns - 1, "read"), (columns + 1, "refused")):
        attempt(f"{wide * 256} tiles", said, lambda w=wide: empty(64 * w, 64 * 256, 64), read)
    for n, said in ((MAX_SECTION, "read"), (MAX_SECTION - 1, "read"), (MAX_SECTION + 1, "refused"), (0, "refused")):
        block = {"xmp": bytes(n)}
        attempt(
            f"metadata of {n} bytes",
            said,
            lambda block=block: format.write(Header(8, 8, 50, ID), [bytes(5)], metadata=block),
            lambda data: format.read(data).metadata["xmp"].unpack(),
        )
    for parts, said in ((1, "read"), (format.MAX_PARTS, "read"), (format.MAX_PARTS + 1, "refused")):
        attempt(f"{parts} parts", said, lambda parts=parts: empty(64, 64, parts=parts), read)
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    for quality, said in ((0, "refused"), (1, "read"), (100, "read"), (101, "refused")):
        attempt(f"quality {quality}", said, lambda q=quality: codec.encode(noise, q, "cpu"), codec.decode)
    huge = np.broadcast_to(np.uint8(0), (16385, 16384))  # no memory of that size
    attempt("a picture of 2^28 + 2^14 pixels", "refused", lambda: codec.encode(huge, 50, "cpu"), codec.decode)
    wrong = [f"{name}: {what}" for name, what in found.items() if what not in ("read", "refused")]
    n_refused = list(found.values()).count("refused")
    figure = f"{len(found)} cases at limits: {n_refused} refused, {len(found) - n_refused - len(wrong)} read back"
    return Measured("; ".join([figure, *wrong]), not wrong)


CHECKS = [
    Check(6, "headers, tables, metadata, stored pictures and collections that claim much", refused),
    Check(7, "encoding at each limit, one below and one above", limits),
]

"""Writes the first inputs of each target: `python tests/fuzz/seeds.py FOLDER`, into FOLDER/decode and so on.

The layouts are those at the top of decode.cpp, tables.cpp and model.cpp; those of embedded.cpp are picture files. The
corpus of the first two in the repository is what libFuzzer made of these, merged (README.md).
"""

import io
import random
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from codec.coding import cdf_tables, rans

ENCODED, TWO_THREADS, WILD = 1, 2, 4
ALL_ROWS, FIT = 1, 2


def decode_header(flags: int, preset: int, lanes_log2: int, n: int, palette: bytes, cuts: bytes) -> bytes:
    return struct.pack("<BBBH", flags, preset, lanes_log2, n) + palette.ljust(8, palette[-1:]) + cuts


def decode_seeds() -> list[bytes]:
    rng = random.Random(1)
    seeds = []
    for lanes_log2 in range(14):  # 13: automatic
        lanes = 1 << min(lanes_log2, 12)
        for n in (lanes, lanes + 1, 2 * lanes - 1 + 3 * (lanes < 64)):
            palette = bytes(rng.choice([0, 1, 5, 20, 40, 63]) for _ in range(8))
            header = decode_header(
                ENCODED | TWO_THREADS, rng.randrange(256), lanes_log2, n, palette, bytes([0, 60, 60, 200])
            )
            damaged = rng.random() < 0.5
            edit = struct.pack("<BHB", rng.randrange(4), rng.randrange(40), 1 << rng.randrange(8))
            seeds.append(header + bytes([damaged]) + edit * damaged + rng.randbytes(40))
    for flags in (ENCODED | WILD, WILD):
        seeds.append(decode_header(flags, 0, 2, 60, bytes([1, 2, 3, 0, 70]), bytes(4)) + rng.randbytes(60))
    # Nothing, in 64 lanes: once well, once with a stream length that is a byte too long, once with a stream too long.
    for length in (b"\x80\x01", b"\x80\x81\x00", b"\x82\x01"):
        payload = b"\x06" + length + struct.pack("<I", 0x10000) * 64
        seeds.append(decode_header(0, 0, 0, 0, bytes(1), bytes(4)) + payload)
    for lanes_log2 in range(8):  # raw: nothing, one good state a lane, and words
        states = struct.pack("<I", 0x10000) * (1 << lanes_log2)
        lengths = [bytes([0x80, 0x01])] * ((1 << max(0, lanes_log2 - 5)) - 1)
        payload = bytes([lanes_log2]) + b"".join(lengths) + states
        for n, preset in ((0, 0), (100, 1), (100, 3), (100, 5)):
            words = rng.randbytes(2 * n)
            seeds.append(decode_header(0, preset, 0, n, bytes([1, 9, 33, 0]), bytes([0, 0, 50, 128])) + payload + words)
    return seeds


def tables_seeds() -> list[bytes]:
    rng = random.Random(2)
    seeds = []
    for limit in (0, 1, 7, 31, 32):
        for raw_bits in (0, 3, 8, 9):
            freqs = [rng.randrange(1, 2 ** rng.randrange(2, 16)) for _ in range(64)]
            payload = bytes([limit % 6]) + struct.pack("<I", 0x12345678) * (1 << limit % 6) + rng.randbytes(60)
            row = struct.pack("<BB64H", limit, raw_bits, *freqs)
            seeds.append(bytes([FIT | (limit % 13) << 2, rng.randrange(63), rng.randrange(256)]) + row + payload)
    for limit in (0, 1, 31):
        n = 2 * limit + 2
        freqs = [2**14 // n] * n + [0] * (64 - n)
        freqs[0] += 2**14 - sum(freqs)
        for last in (0, -1, 1):
            freqs[n - 1] += last
            seeds.append(bytes([4, 0, 0]) + struct.pack("<BB64H", limit, 2, *freqs))
    for limit, raw_bits in ((32, 0), (31, 9), (31, 8)):  # but for these, right
        seeds.append(bytes([4, 0, 0]) + struct.pack("<BB64H", limit, raw_bits, *[2**14 // 64] * 64))
    freqs, limits, raw_bits = cdf_tables.gaussian_tables()
    assert freqs.shape == (rans.INDEX_COUNT, rans.MAX_ALPHABET)
    whole = limits.tobytes() + raw_bits.tobytes() + freqs.astype("<u2").tobytes()
    words = np.arange(100, dtype="<u2").tobytes()
    seeds += [bytes([ALL_ROWS, row - 1, row]) + whole + b"\0\0\0\1\0" + words for row in (1, 40)]
    return seeds


def model_seeds() -> list[bytes]:
    """No change, with the least and the most to do; and a few of the header, of the tensors, and of both."""
    rng = random.Random(3)
    seeds = [bytes([flags, quality]) for flags, quality in ((0, 0), (15, 99))]
    for in_header, in_tensors in ((1, 0), (3, 0), (0, 1), (0, 9), (0, 60), (2, 3)):
        places = [0] * in_header + [1] * in_tensors
        edits = [struct.pack("<HBB", rng.randrange(65536), place, rng.randrange(256)) for place in places]
        seeds.append(bytes([rng.randrange(16), rng.randrange(100)]) + b"".join(edits))
    return seeds


def embedded_seeds() -> list[bytes]:
    pixels = np.random.default_rng(4).integers(0, 256, (9, 7, 4), np.uint8)
    image, deep = Image.fromarray(pixels), Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    files = [(image.convert(mode), "PNG", {}) for mode in ("L", "LA", "P", "RGB")]
    files += [(deep, "PNG", {}), (image, "PNG", {"exif": turned})]
    files += [
        (image, "WEBP", {"lossless": True}),
        (image.convert("RGB"), "WEBP", {}),
        (image, "WEBP", {"exif": turned}),
    ]
    files += [(image.convert(mode), "JPEG", {"quality": 50}) for mode in ("L", "RGB", "CMYK")]
    files += [(image.convert("RGB"), "JPEG", {"progressive": True, "quality": 50, "exif": turned})]
    seeds = []
    for picture, kind, options in files:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        seeds.append(file.getvalue())
    return seeds


def main() -> None:
    made = {"decode": decode_seeds(), "tables": tables_seeds(), "model": model_seeds(), "embedded": embedded_seeds()}
    for name, seeds in made.items():
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(seeds):
            (folder / f"seed-{i:03}").write_bytes(seed)


if __name__ == "__main__":
    main()

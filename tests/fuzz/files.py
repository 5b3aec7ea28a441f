"""Fuzzes `codec.decode` with whole files: `python tests/fuzz/files.py [--minutes 60] [--seed 1]`.

Small pictures are encoded with the shipped model, taken apart as FORMAT §2 says, changed, and put together again with
right checksums, so that what lies behind them is reached; some are damaged afterwards. A file must decode to a picture
of the size in its header, or raise an AecError; anything else is a finding, and is written to `finding.aec`.
"""

import argparse
import random
import struct
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import codec
from codec.coding import model_search
from codec.nets import torch_codec
from codec.picture.pixels import to_pixels

sys.path.append(str(Path(__file__).resolve().parents[1]))
import coded  # noqa: E402

CORPUS = Path(__file__).resolve().parent / "corpus" / "files"
MAX_PIXELS = 1 << 16  # what is larger takes long, and does the same


@dataclass(frozen=True)
class Parts:
    """The fields of a file, as in FORMAT §2; any may hold nonsense."""

    width: int
    height: int
    quality: int
    flags: int
    model_id: bytes
    payloads: tuple[bytes, ...]  # of tiles, then of their alphas
    magic: bytes = b"\xd7AEC\x02"
    more: int = 0
    kinds: int = 0
    blocks: tuple[tuple[int, bytes], ...] = ()  # of metadata: length, packed

    def assembled(self) -> bytes:
        head = (
            self.magic + self.model_id + bytes([self.quality, self.flags]) + bytes([self.more] * (self.flags >> 3 & 1))
        )
        head += varint(self.width) + varint(self.height) + bytes([self.kinds] * (self.more & 1))
        entries = [(varint(length) + varint(len(packed)), packed) for length, packed in self.blocks]
        entries += [(varint(len(payload)), payload) for payload in self.payloads]
        table = b"".join(e + struct.pack("<I", zlib.crc32(head + e + data)) for e, data in entries)
        return head + table + b"".join(data for _, data in entries)


def parts_of(data: bytes) -> Parts:
    """Take a sound file apart."""
    layout = codec.container.format.read(data)
    h, blocks = layout.header, layout.metadata
    more = bool(blocks) | h.alpha << 1 | (h.depth == 16) << 2 | h.stored << 3
    flags = h.gray | bool(more) << 3 | (h.tile // 64).bit_length() - 1 << 4
    payloads = tuple(bytes(p) for p in (*layout.payloads, *layout.alphas))
    kinds = sum(1 << i for i, name in enumerate(("icc", "exif", "xmp")) if name in blocks)
    packed = tuple((section.length, bytes(section.packed)) for section in blocks.values())
    parts = Parts(h.width, h.height, h.quality, flags, h.model_id, payloads, more=more, kinds=kinds, blocks=packed)
    if parts.assembled() != data:
        raise AssertionError("this is not the format that codec.encode writes")
    return parts


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def base_files() -> list[Parts]:
    """One tile and many, RGB and gray, few bits and many; alpha, 16 bits, metadata, stored pictures of each kind."""
    model = torch_codec.load(model_search.find(None), torch.device("cpu"))
    rng = np.random.default_rng(1)
    bases = []
    for width, height, quality, gray, tile_log2 in (
        (1, 1, 70, False, 4),
        (40, 33, 30, False, 4),
        (90, 70, 95, True, 0),
        (100, 130, 60, False, 0),
    ):
        ramp = np.add.outer(np.arange(height), np.arange(width))
        noisy = ramp[..., None] * (1, 2, 3) + rng.normal(0, 20, (height, width, 3)) + 60
        pixels = noisy.clip(0, 255).astype(np.uint8)
        data = coded.file(model, pixels[..., 0] if gray else pixels, quality, 64 << tile_log2)
        bases.append(parts_of(data))
    golden = CORPUS.parents[2] / "golden"
    for path in sorted(golden.glob("v*-*stored*.aec")):
        bases.append(parts_of(path.read_bytes()))
    exif = bytes.fromhex("49492a0008000000010012010300010000000100000000000000")
    metadata = codec.Metadata(b"profile", exif, b"<x:xmpmeta/>" * 20)
    for shape, dtype in (((66, 70, 4), np.uint8), ((5, 9, 2), np.uint8), ((66, 40, 4), np.uint16)):
        array = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
        array[:64, :64, -1] = array[0, 0, -1]
        pixels = replace(to_pixels(array), metadata=metadata)
        bases.append(parts_of(coded.file_of(model, pixels, 50, 64)))
    return bases


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A few flipped bits or replaced bytes, an insertion, or a loss."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif kind == 2:
            out[at:at] = rng.randbytes(rng.randint(1, 4))
        elif kind == 3:
            del out[at:]
        else:
            del out[at : at + rng.randint(1, 4)]
    return bytes(out)


def changed(parts: Parts, bases: list[Parts], rng: random.Random) -> Parts:
    """One field replaced, or one payload damaged, exchanged or made up."""
    payloads = list(parts.payloads)
    i = rng.randrange(len(payloads)) if payloads else 0
    kind = rng.randrange(14)
    if kind == 10:
        return replace(parts, flags=parts.flags ^ 8, more=rng.randrange(256))
    if kind == 11:
        return replace(parts, more=parts.more ^ 1 << rng.randrange(8))
    if kind == 12:
        return replace(parts, kinds=parts.kinds ^ 1 << rng.randrange(4))
    if kind == 13 and parts.blocks:
        length, packed = rng.choice(parts.blocks)
        blocks = [rng.choice([(length, damaged(packed, rng)), (rng.randrange(300), packed)]), *parts.blocks[1:]]
        return replace(parts, blocks=tuple(blocks))
    if kind == 0:
        return replace(parts, quality=rng.choice([0, 1, 100, 101, 255, rng.randint(1, 100)]))
    if kind == 1:
        return replace(parts, flags=parts.flags ^ 1 << rng.randrange(8))
    if kind == 2:
        side = rng.choice([0, 1, 15, 16, 17, 63, 64, 65, 129, 65535, 65536, 2**32 - 1, 2**32, rng.randint(1, 256)])
        return replace(parts, **{rng.choice(["width", "height"]): side})
    if kind == 3:
        return replace(parts, model_id=damaged(parts.model_id, rng)[:4].ljust(4, b"\0"))
    if kind == 4:
        return replace(parts, magic=damaged(parts.magic, rng))
    if kind == 5 or not payloads:
        payloads.insert(i, rng.choice(rng.choice(bases).payloads))
    elif kind == 6:
        payloads[i] = rng.choice(rng.choice(bases).payloads)
    elif kind == 7:
        payloads[i] = bytes([rng.randrange(14)]) + rng.randbytes(rng.choice([0, 4, 100, 1000]))
    else:
        payloads[i] = damaged(payloads[i], rng)
    return replace(parts, payloads=tuple(payloads))


def check(data: bytes) -> str:
    """What became of a file: "decoded", or the name of the AecError. Anything else is raised."""
    try:
        pixels = codec.decode(data, device="cpu", output="numpy", max_pixels=MAX_PIXELS)
    except codec.AecError as error:
        return type(error).__name__
    codec.read_metadata(data)
    header = codec.inspect(data)
    channels = (1 if header.gray else 3) + header.alpha
    expected = (header.height, header.width, channels) if channels > 1 else (header.height, header.width)
    if pixels.dtype.itemsize * 8 != header.depth or pixels.shape != expected:
        raise AssertionError(f"decoded to {pixels.dtype} {pixels.shape}, expected {header.depth} bits, {expected}")
    return "decoded"


def run(seconds: float, seed: int, finding: Path = Path("finding.aec")) -> Counter:
    """Replay the corpus, then try changed files for some seconds; how often each outcome was seen.

    Raises:
        Exception: whatever a file caused that is not an AecError; the file is in `finding`.
    """
    rng, bases, outcomes = random.Random(seed), base_files(), Counter()

    def attempt(data: bytes) -> None:
        try:
            outcomes[check(data)] += 1
        except BaseException:
            finding.write_bytes(data)
            raise

    for path in sorted(CORPUS.glob("*")):
        attempt(path.read_bytes())
    for base in bases:
        attempt(base.assembled())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        parts = rng.choice(bases)
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            parts = changed(parts, bases, rng)
        data = parts.assembled()
        attempt(damaged(data, rng) if rng.random() < 0.2 else data)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    outcomes = run(60 * args.minutes, args.seed)
    counts = ", ".join(f"{n} {what}" for what, n in outcomes.most_common())
    print(f"{outcomes.total()} files, seed {args.seed}: {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

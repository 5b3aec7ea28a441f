"""An .aec file taken apart as FORMAT §2 says, to be changed and put together again with right checksums."""

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from fuzz import picture_parts

from codec.container import format
from codec.errors import FormatError


@dataclass(frozen=True)
class Parts:
    """The fields of a file, as in FORMAT §2; any may hold nonsense."""

    width: int
    height: int
    quality: int
    flags: int
    model_id: bytes
    payloads: tuple[bytes, ...]  # the map of qualities, alphas, and what codes the tiles
    magic: bytes = b"\xd7AEC\x02"
    more: int = 0
    kinds: int = 0
    parts: int = 1
    first: int = 0
    blocks: tuple[tuple[int, bytes], ...] = ()  # of metadata: length, packed

    def assembled(self) -> bytes:
        head = (
            self.magic + self.model_id + bytes([self.quality, self.flags]) + bytes([self.more] * (self.flags >> 3 & 1))
        )
        head += varint(self.width) + varint(self.height) + bytes([self.kinds] * (self.more & 1))
        head += bytes([self.parts]) + varint(self.first) if self.more & 32 else b""
        entries = [(varint(length) + varint(len(packed)), packed) for length, packed in self.blocks]
        entries += [(varint(len(payload)), payload) for payload in self.payloads]
        table = b"".join(e + struct.pack("<I", zlib.crc32(head + e + data)) for e, data in entries)
        return head + table + b"".join(data for _, data in entries)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def parts_of(data: bytes) -> Parts:
    """Take a sound file apart. Raises FormatError; AssertionError if that is not the one way to write it."""
    layout = format.read(data, max_pixels=None)
    h, blocks = layout.header, layout.metadata
    more = bool(blocks) | h.alpha << 1 | (h.depth == 16) << 2 | h.stored << 3 | h.mapped << 4 | (h.parts > 1) << 5
    more |= h.exact << 6
    flags = h.gray | bool(more) << 3 | (h.tile // 64).bit_length() - 1 << 4
    maps = () if layout.quality_map is None else (layout.quality_map,)
    payloads = tuple(bytes(p) for p in (*maps, *layout.alphas, *layout.payloads))
    kinds = sum(1 << i for i, name in enumerate(("icc", "exif", "xmp", "cicp", "bits", "extra")) if name in blocks)
    packed = tuple((section.length, bytes(section.packed)) for section in blocks.values())
    parts = Parts(h.width, h.height, h.quality, flags, h.model_id, payloads, more=more, kinds=kinds, blocks=packed)
    parts = replace(parts, parts=h.parts, first=h.first)
    if parts.assembled() != data:
        raise AssertionError("this is not the format that codec.encode writes")
    return parts


def changed(data: bytes, rng: random.Random, damaged: Callable[[bytes], bytes]) -> bytes:
    """One or two fields of a file replaced, or its payloads and blocks damaged, exchanged or made up.

    Args:
        data: a sound file; another one is damaged as a whole.
        damaged: changes some bytes.
    """
    try:
        parts = parts_of(data)
    except FormatError:
        return damaged(data)
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        parts = _changed(parts, rng, damaged)
    whole = parts.assembled()
    return damaged(whole) if rng.random() < 0.1 else whole


def _changed(parts: Parts, rng: random.Random, damaged: Callable[[bytes], bytes]) -> Parts:
    payloads, blocks = list(parts.payloads), list(parts.blocks)
    i = rng.randrange(len(payloads)) if payloads else 0
    kind = rng.choice(("field", "field", "block", "payload", "payload", "payload", "payloads"))
    if kind == "field":
        side = rng.choice([0, 1, 15, 16, 17, 63, 64, 65, 129, 65535, 65536, 2**32 - 1, 2**32, rng.randint(1, 256)])
        fields = {
            "quality": rng.choice([0, 1, 100, 101, 255, rng.randint(1, 100)]),
            "flags": parts.flags ^ 1 << rng.randrange(8),
            "more": parts.more ^ 1 << rng.randrange(8),
            "kinds": parts.kinds ^ 1 << rng.randrange(4),
            "width": side,
            "height": side,
            "model_id": damaged(parts.model_id)[:4].ljust(4, b"\0"),
            "magic": damaged(parts.magic)[:5].ljust(5, b"\0"),
        }
        name = rng.choice(list(fields))
        return replace(parts, **{name: fields[name]})
    if kind == "block" and blocks:
        at = rng.randrange(len(blocks))
        length, packed = blocks[at]
        block = damaged(_inflated(packed) if len(packed) < length else packed) or b"\0"
        blocks[at] = rng.choice(
            [(length, damaged(packed)), (rng.randrange(300), packed), (len(block), block)]
            + [(len(block), zlib.compress(block))] * 2
        )
        return replace(parts, blocks=tuple(blocks))
    if kind == "payloads" or not payloads:  # one more, one fewer, or two in each other's places
        other = payloads[rng.randrange(len(payloads))] if payloads else damaged(bytes(5))
        change = rng.choice(("more", "fewer", "exchanged"))
        if change == "more" or not payloads:
            payloads.insert(i, other)
        elif change == "fewer":
            del payloads[i]
        else:
            payloads[i] = other
    elif picture_parts.split(payloads[i]) is not None:  # of a stored picture, or of alpha
        payloads[i] = picture_parts.changed(payloads[i], rng, damaged)
    else:
        lanes = bytes([rng.randrange(14)])
        payloads[i] = rng.choice([damaged(payloads[i]), lanes + damaged(payloads[i][1:])])
    return replace(parts, payloads=tuple(payloads))


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompress(packed)
    except zlib.error:
        return packed

"""PNG, JPEG and WebP files taken apart, to be changed and put together again with right lengths and checksums."""

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_SOS, _CODED = 0xDA, -1
# Names that a part may be given, for what a reader looks for.
_NAMES = {
    "PNG": (b"IDAT", b"PLTE", b"tRNS", b"iCCP", b"iTXt", b"zTXt", b"eXIf", b"cICP", b"gAMA", b"acTL", b"IEND"),
    "JPEG": (0xC0, 0xC2, 0xC4, _SOS, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE),
    "WebP": (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"),
}


@dataclass(frozen=True)
class Parts:
    """What a file consists of.

    Args:
        kind: "PNG", "JPEG" or "WebP".
        parts: name and content of each; of JPEG the name is the marker's second byte, or _CODED.
    """

    kind: str
    parts: list[tuple[bytes | int, bytes]]

    def assembled(self) -> bytes:
        if self.kind == "PNG":
            chunks = (
                struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
                for name, data in self.parts
            )
            return _PNG + b"".join(chunks)
        if self.kind == "WebP":
            chunks = (name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in self.parts)
            body = b"WEBP" + b"".join(chunks)
            return b"RIFF" + struct.pack("<I", len(body)) + body
        segments = (
            data if name == _CODED else struct.pack(">BBH", 255, name, min(len(data) + 2, 65535)) + data[:65533]
            for name, data in self.parts
        )
        return _JPEG + b"".join(segments)


def split(data: bytes) -> Parts | None:
    """The parts of a file; None: it is of none of these kinds, or ends in the middle of something."""
    try:
        if data.startswith(_PNG):
            return Parts("PNG", _png(data))
        if data.startswith(_JPEG):
            return Parts("JPEG", _jpeg(data))
        return Parts("WebP", _webp(data)) if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
    except (IndexError, struct.error):
        return None


def _png(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(_PNG)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8].ljust(4, b"x"), data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _webp(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        found.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def _jpeg(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 2
    while at < len(data):
        if data[at] != 255 or data[at + 1] in (0, *range(0xD0, 0xDA), 255):
            end = at + 1
            while end < len(data) and not (data[end] == 255 and data[end + 1 : end + 2] not in (b"\0", b"")):
                end += 1
            found.append((_CODED, data[at:end]))
            at = end
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + max(2, length)
    return found


def changed(data: bytes, rng: random.Random, damaged: Callable[[bytes], bytes]) -> bytes:
    """A part of a file damaged, renamed, taken out, doubled or moved; of other kinds some bytes are changed.

    Args:
        damaged: changes some bytes.
    """
    whole = split(data)
    if whole is None or not whole.parts or rng.random() < 0.25:
        return damaged(data)
    parts = list(whole.parts)
    i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
    name, content = parts[i]
    kind = rng.choice(("damaged", "damaged", "damaged", "deflated", "renamed", "gone", "doubled", "moved"))
    if kind in ("damaged", "deflated"):
        parts[i] = (name, (kind == "deflated" and deflated(content, damaged)) or damaged(content))
    elif kind == "renamed":
        parts[i] = (rng.choice(_NAMES[whole.kind]), content)
    elif kind == "gone":
        del parts[i]
    elif kind == "doubled":
        parts.insert(j, parts[i])
    else:
        parts[i], parts[j] = parts[j], parts[i]
    return Parts(whole.kind, parts).assembled()


def deflated(content: bytes, damaged: Callable[[bytes], bytes]) -> bytes | None:
    """The same with damage to what a zlib stream in it, with which PNG's chunks end, stands for."""
    start = content.find(b"\x78")
    while start >= 0:
        stream = zlib.decompressobj()
        try:
            return content[:start] + zlib.compress(damaged(stream.decompress(content[start:], 1 << 16)))
        except zlib.error:
            start = content.find(b"\x78", start + 1)
    return None

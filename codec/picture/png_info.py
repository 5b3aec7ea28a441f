"""Reads the colour profile, EXIF, XMP and colour of a PNG file, also where Pillow fails or ignores them."""

import re
import struct
import zlib

from ..container.format import MAX_SECTION
from .jpeg_info import app1
from .png_chunks import METRES_PER_INCH, chunks

_MOST_DEFLATED = 1032  # the highest compression ratio of deflate
RAW_PROFILES = (b"exif", b"APP1", b"app1", b"xmp", b"icc", b"icm")  # kinds of ImageMagick's raw profiles that are read
_RAW_PROFILE = re.compile(rb"Raw profile type (\w+)")


def info(png: bytes) -> dict:
    """Return profile, EXIF, XMP, colour and dpi, as Pillow puts them into `Image.info`, and some more.

    These are `cicp` (four ints), and `significant_bits`, the largest number in the sBIT chunk.

    Damaged chunks are ignored. Compressed chunks are ignored after 2^26 bytes in all, so that a small file cannot take
    long. The contents of ImageMagick's raw profiles are returned under the usual keys.
    """
    found: dict = {}
    raw: dict = {}
    left = MAX_SECTION
    for part in chunks(png):
        if part.critical or not part.name or not part.sound:
            continue
        name, data, size = part.name, part.data, len(part.data)
        if name == b"eXIf":
            found["exif"] = bytes(data)
        elif name == b"pHYs" and size == 9 and data[8] == 1:  # dots per metre
            found["dpi"] = tuple(value * METRES_PER_INCH for value in struct.unpack(">2I", data[:8]))
        elif name == b"gAMA" and size == 4:
            found["gamma"] = int.from_bytes(data, "big") / 100000
        elif name == b"cHRM" and size == 32:
            found["chromaticity"] = tuple(v / 100000 for v in struct.unpack(">8i", data))
        elif name == b"sRGB" and size == 1:
            found["srgb"] = data[0]
        elif name == b"cICP" and size == 4:
            found["cicp"] = tuple(data)
        elif name == b"sBIT" and 1 <= size <= 4:
            found["significant_bits"] = max(data)
        elif name in (b"iCCP", b"tEXt", b"zTXt", b"iTXt"):
            keyword = bytes(data[:81]).partition(b"\0")[0]
            match = _RAW_PROFILE.fullmatch(keyword)
            if not (name == b"iCCP" or keyword == b"XML:com.adobe.xmp" or match):
                continue
            content, deflated = _content(name, data[len(keyword) + 1 :]) or (None, False)
            if deflated and content is not None:
                content, taken = _inflated(content, max(0, left))
                left -= taken
            if content is None:
                continue
            if match:
                raw |= raw_profile(match[1].decode(), bytes(content))
            else:
                found["icc_profile" if name == b"iCCP" else "xmp"] = bytes(content)
    return raw | found


def raw_profile(kind: str, text: bytes) -> dict[str, bytes]:
    """Parse one of ImageMagick's raw profiles: a line with a name, one with the length, and lines of hex digits.

    Args:
        kind: one of RAW_PROFILES, as text.
        text: the content of the PNG text chunk.

    Returns:
        The block, by its key in `Image.info`; empty if it is damaged.
    """
    lines = text.strip().split(b"\n", 2)
    try:
        length = int(lines[1])
        digits = b"".join(lines[2].split())[: 2 * max(0, length)]  # some files have more digits behind
        block = bytes.fromhex(digits.decode("ascii"))
    except (IndexError, ValueError):
        return {}
    if len(block) != length:
        return {}
    if kind in ("exif", "APP1", "app1"):
        return app1(block) or ({"exif": block} if block[:4] in (b"II*\0", b"MM\0*") else {})
    if kind == "xmp":
        return app1(block) or {"xmp": block}
    return {"icc_profile": block} if kind in ("icc", "icm") else {}


def _content(name: bytes, data: memoryview) -> tuple[memoryview | bytes, bool] | None:
    """Return the content of a chunk behind the keyword and its zero byte, and whether it is compressed.

    None: it is not as the PNG specification says.
    """
    if name == b"tEXt":
        return data, False
    if name != b"iTXt":
        return (data[1:], True) if bytes(data[:1]) == b"\0" else None
    parts = bytes(data[2:]).split(b"\0", 2)  # the language, the translated keyword, the text
    if len(parts) < 3 or data[0] and data[1]:
        return None
    return parts[2], data[0] != 0


def _inflated(data: memoryview | bytes, most: int) -> tuple[bytes | None, int]:
    """Decompress data. Returns (the bytes, or None if they are damaged or more than `most`; the number produced)."""
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, most + 1)
    except zlib.error:
        return None, min(most, _MOST_DEFLATED * len(data))  # zlib does not tell how many it produced
    return (out, len(out)) if stream.eof and len(out) <= most else (None, len(out))

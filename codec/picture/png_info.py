"""What a PNG file tells besides its pixels: profile, EXIF, XMP and colour, also where Pillow gives up or is silent."""

import re
import struct
import zlib

from ..container.format import MAX_SECTION
from .jpeg_info import app1
from .png_chunks import METRES_PER_INCH, chunks

_MOST_DEFLATED = 1032  # bytes that one byte of deflate stands for at most
RAW_PROFILES = (b"exif", b"APP1", b"app1", b"xmp", b"icc", b"icm")  # kinds of ImageMagick's that are read
_RAW_PROFILE = re.compile(rb"Raw profile type (\w+)")


def info(png: bytes) -> dict:
    """What Pillow would put into `Image.info` of profile, EXIF, XMP, colour and dpi, and `cicp`, four ints.

    What is damaged is not there, nor what is deflated after 2^26 bytes in all: a small file must not take long. Of
    ImageMagick's raw profiles there is what they hold.
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
    """What is in one of ImageMagick's: a line with a name, one with the length, and lines of hexadecimal digits."""
    lines = text.strip().split(b"\n", 2)
    try:
        length = int(lines[1])
        digits = b"".join(lines[2].split())[: 2 * max(0, length)]  # more may follow, as is met
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
    """What is behind the keyword and its zero, and whether it is deflated; None: it is not as PNG has it."""
    if name == b"tEXt":
        return data, False
    if name != b"iTXt":
        return (data[1:], True) if bytes(data[:1]) == b"\0" else None
    parts = bytes(data[2:]).split(b"\0", 2)  # the language, the keyword in it, the text
    if len(parts) < 3 or data[0] and data[1]:
        return None
    return parts[2], data[0] != 0


def _inflated(data: memoryview | bytes, most: int) -> tuple[bytes | None, int]:
    """The bytes, if they are sound and no more than that; and how many were made."""
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, most + 1)
    except zlib.error:
        return None, min(most, _MOST_DEFLATED * len(data))  # how many there were is not told
    return (out, len(out)) if stream.eof and len(out) <= most else (None, len(out))

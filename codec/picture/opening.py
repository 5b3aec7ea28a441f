"""Opens the bytes of a picture's file with Pillow.

Pillow's global settings have no effect, and damaged metadata does not make a picture unreadable.
"""

import io
import re
import struct
from collections.abc import Callable
from typing import IO

from PIL import Image, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from ..container.format import DEFAULT_MAX_PIXELS, check_size, stored_kind
from . import jpeg_info, jpeg_segments, png_chunks, png_info, unread

# The readers are called directly, because Image.open obeys Image.MAX_IMAGE_PIXELS, which the calling program may set.
_READERS: dict[str, Callable[[IO[bytes]], Image.Image]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
}
# Readers of Pillow that are not used: that of EPS has Ghostscript run the file, which is a program; and that of IPTC
# opens whatever is inside by Image.open, so an EPS file too, or a picture whose size nobody has checked.
UNUSED = ("EPS", "IPTC")
_WEBP_FIRST = 16  # number of bytes by which a WebP file is recognised
_EXIF_ITEM = re.compile(rb"(infe.{8}|infe.{10})Exif", re.DOTALL)  # ISO/IEC 14496-12, infe boxes of versions 2 and 3


class _HeadFirst(io.BytesIO):
    """A file whose first read returns only the few bytes that identify the format, as a pipe might do.

    Pillow's WebP reader looks for the picture's size in the result of its first read, and compares it with
    Image.MAX_IMAGE_PIXELS. With so few bytes it finds no size.
    """

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == 0 and size is not None and size > 0:
            size = min(size, _WEBP_FIRST)
        return super().read(size)


def opened(data: bytes, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Image.Image:
    """Open a picture of any format that Pillow reads, without loading its pixels, and check its size.

    Its `info` has everything that `carried.of` needs, except the information that `file_colour.note` adds.

    Raises:
        LimitError: the picture is too large.
        UnidentifiedImageError: no reader recognises the file, or its header is damaged.
        Exception: any error of Pillow's readers for damaged files: struct.error, ValueError, OverflowError and so on.
    """
    if kind := stored_kind(data):
        if kind == "WebP" and (size := webp_size(data)):
            check_size(*size, max_pixels)
        try:
            image = opened_as(kind, data)
        except SyntaxError as e:
            why = "" if "this driver" in str(e) else f": {e}"  # Pillow's generic message
            raise UnidentifiedImageError(f"{unread.UNKNOWN}, though it begins as {kind}{why}") from e
        check_size(*image.size, max_pixels)
        return image
    for load_readers in (Image.preinit, Image.init):  # first the few common readers, then all
        load_readers()
        for name in filter(lambda name: name not in UNUSED, Image.ID):
            reader, accepts = Image.OPEN[name]
            try:
                if accepts and accepts(data[:16]) is not True:
                    continue
                image = _read(name, reader, data)
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue  # as in Image.open: another format may begin with the same bytes
            check_size(*image.size, max_pixels)
            return image
    raise UnidentifiedImageError(unread.described(data))


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from the first chunk of a WebP file, or None if it has none.

    This is done before Pillow opens the file, because libwebp allocates the picture already then.
    """
    kind, body = data[12:16], data[20:30]
    if data[8:12] != b"WEBP" or len(body) < 10:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _read(name: str, reader: Callable[[IO[bytes], str], Image.Image], data: bytes) -> Image.Image:
    try:
        return reader(io.BytesIO(data), "")
    except Exception:
        # libavif refuses a picture with damaged EXIF. With an unknown type of the EXIF item, it ignores the item.
        without = _EXIF_ITEM.sub(rb"\1none", data) if name == "AVIF" else data
        if without == data:
            raise
        return reader(io.BytesIO(without), "")


def opened_as(kind: str, data: bytes) -> Image.Image:
    """Open a PNG, WebP or JPEG file (`kind` is a key of format.STORED_KINDS) as `opened` does, but check no limit."""
    if kind == "PNG":
        image = _READERS[kind](io.BytesIO(png_chunks.pixels_only(data)))
        image.info.update(png_info.info(data))
    elif kind == "JPEG":
        image = _READERS[kind](io.BytesIO(jpeg_segments.pixels_only(data)))
        image.info.update(jpeg_info.info(data))
    else:
        image = _READERS[kind](_HeadFirst(data))
    return image

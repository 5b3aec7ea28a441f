"""Bytes of a file -> a picture that Pillow has opened, bound neither by its settings nor by blocks nobody needs."""

import io
import re
import struct
from collections.abc import Callable
from typing import IO

from PIL import Image, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from ..container.format import DEFAULT_MAX_PIXELS, check_size, stored_kind
from . import jpeg_info, jpeg_segments, png_chunks, png_info

# The readers themselves, not Image.open: it would look at Image.MAX_IMAGE_PIXELS, which belongs to the program around.
_READERS: dict[str, Callable[[IO[bytes]], Image.Image]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
}
_UNKNOWN = "not a picture that Pillow can read"
_WEBP_FIRST = 16  # bytes that tell a WebP file
_EXIF_ITEM = re.compile(rb"(infe.{8}|infe.{10})Exif", re.DOTALL)  # ISO/IEC 14496-12, of versions 2 and 3


class _HeadFirst(io.BytesIO):
    """Gives at first what tells the kind of file alone, as a pipe may.

    Pillow's reader of WebP looks at the size in what it reads first, and at Image.MAX_IMAGE_PIXELS if it finds one.
    """

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == 0 and size is not None and size > 0:
            size = min(size, _WEBP_FIRST)
        return super().read(size)


def opened(data: bytes, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Image.Image:
    """A picture of any kind that Pillow reads, its size within the limits, its pixels not yet read.

    Its `info` has what `carried.of` looks for, but for what `file_colour.note` still finds.

    Raises:
        LimitError: it is too large.
        UnidentifiedImageError: no reader knows it, or its header is damaged.
        Exception: whatever Pillow's readers raise for a damaged file: struct.error, ValueError, OverflowError ..
    """
    if kind := stored_kind(data):
        if kind == "WebP" and (size := webp_size(data)):
            check_size(*size, max_pixels)
        try:
            image = opened_as(kind, data)
        except SyntaxError as e:
            why = "" if "this driver" in str(e) else f": {e}"  # which is what Pillow says when it has no more to say
            raise UnidentifiedImageError(f"{_UNKNOWN}, though it begins as {kind}{why}") from e
        check_size(*image.size, max_pixels)
        return image
    for load_readers in (Image.preinit, Image.init):  # a few common ones, then all
        load_readers()
        for name in Image.ID:
            reader, accepts = Image.OPEN[name]
            try:
                if accepts and accepts(data[:16]) is not True:
                    continue
                image = _read(name, reader, data)
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue  # as Image.open does: it may be of another kind with the same beginning
            check_size(*image.size, max_pixels)
            return image
    raise UnidentifiedImageError(_UNKNOWN)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as a WebP file's first chunk has them: libwebp would allocate them before Pillow tells them."""
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
        # libavif gives a picture up for damaged EXIF, unless its item is called something that nobody knows.
        without = _EXIF_ITEM.sub(rb"\1none", data) if name == "AVIF" else data
        if without == data:
            raise
        return reader(io.BytesIO(without), "")


def opened_as(kind: str, data: bytes) -> Image.Image:
    """The same of a file that begins as one of format.STORED_KINDS."""
    if kind == "PNG":
        image = _READERS[kind](io.BytesIO(png_chunks.pixels_only(data)))
        image.info.update(png_info.info(data))
    elif kind == "JPEG":
        image = _READERS[kind](io.BytesIO(jpeg_segments.pixels_only(data)))
        image.info.update(jpeg_info.info(data))
    else:
        image = _READERS[kind](_HeadFirst(data))
    return image

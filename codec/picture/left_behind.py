"""Lists the contents of a picture's file that an .aec file cannot hold, for `aec compress -v`."""

from PIL import TiffImagePlugin

from .jpeg_segments import COMMENT, SOS, segments
from .opening import opened
from .png_chunks import chunks
from .png_info import RAW_PROFILES

_APP13 = 0xED  # marker of the segments with Photoshop's blocks, one of which is IPTC
_CARRIED_TEXT = {b"XML:com.adobe.xmp", *(b"Raw profile type " + kind for kind in RAW_PROFILES)}
_TIFF_TAGS = {33723: "IPTC", 34377: "Photoshop's blocks", 42113: "GDAL's value for no data"}


def names(data: bytes) -> list[str]:
    """Return the names of such contents: comment, IPTC, text (Title, Author) and so on, each name once.

    Args:
        data: the bytes of a file that was already read as a picture.
    """
    if data.startswith(b"\xff\xd8"):
        return _of_jpeg(data)
    if data.startswith(b"\x89PNG"):
        return _of_png(data)
    try:
        image = opened(data, max_pixels=None)
    except Exception:  # Pillow does not know this kind of file, or it is damaged, which was reported before
        return []
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return [name for tag, name in _TIFF_TAGS.items() if tag in image.tag_v2]
    return ["comment"] if image.info.get("comment") else []


def _of_jpeg(data: bytes) -> list[str]:
    found = []
    for segment in segments(data):
        if segment.marker == SOS:
            break
        if segment.marker == COMMENT:
            found.append("comment")
        elif segment.marker == _APP13 and b"8BIM" in segment.data(data):
            found.append("IPTC" if b"8BIM\x04\x04" in segment.data(data) else "Photoshop's blocks")
    return list(dict.fromkeys(found))


def _of_png(data: bytes) -> list[str]:
    words = []
    for part in chunks(data):
        keyword = bytes(part.data[:80]).partition(b"\0")[0]
        if part.name in (b"tEXt", b"zTXt", b"iTXt") and keyword not in _CARRIED_TEXT:
            words.append(keyword.decode("latin-1"))
    return [f"text ({', '.join(dict.fromkeys(words))})"] if words else []

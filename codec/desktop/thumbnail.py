"""Thumbnails as file managers keep them: PNG files with the tags of the freedesktop thumbnail specification."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from ..io import InputError
from ..opened import AecFile

if TYPE_CHECKING:
    from PIL import Image

# Code points whose transfer is relative to a display far brighter than sRGB's: by their profiles, all would be black.
_HDR_TRANSFERS = (16, 18)
# What GLib leaves as it is in the path of a URI, besides letters, digits and -._~. File managers look thumbnails up by
# the hash of the URI, so that it must be written as GLib writes it.
_UNQUOTED = "/!$&'()*+,:=@"


def path_of(name: str) -> Path:
    """Return the path that is meant by a path or by a file:// URI.

    Raises:
        InputError: it is a URI of another kind, or of another host.
    """
    scheme, separator, rest = name.partition("://")
    if not separator or os.path.exists(name):
        return Path(name)
    host, slash, path = rest.partition("/")
    if scheme.lower() != "file" or host not in ("", "localhost") or not slash:
        raise InputError("only files of this machine can be read: a path, or file:///..")
    return Path(os.fsdecode(unquote_to_bytes(slash + path)))


def uri_of(path: Path) -> str:
    """Return the canonical URI of a file, as GLib writes it."""
    return "file://" + quote(os.fsencode(os.path.abspath(path)), safe=_UNQUOTED)


def thumbnail_of(path: Path, size: int) -> bytes:
    """Decode an .aec file into a thumbnail.

    Args:
        path: of the file.
        size: the thumbnail's largest width and height, in pixels. A smaller picture keeps its size.

    Returns:
        The bytes of a PNG file, RGB or RGBA of 8 bits, in sRGB, with the tags Thumb::URI, Thumb::MTime and others.

    Raises:
        FormatError, ModelError, OSError: as `AecFile` and `decode` do.
    """
    from PIL.PngImagePlugin import PngInfo

    status = path.stat()  # before the file is read: if it changes meanwhile, the thumbnail is of the time before
    file = AecFile(path)
    picture = _for_screens(file.decode("cpu", fit=(size, size), depth=8))
    tags = {
        "Thumb::URI": uri_of(path),
        "Thumb::MTime": str(int(status.st_mtime)),
        "Thumb::Size": str(status.st_size),
        "Thumb::Mimetype": "image/x-aec",
        "Thumb::Image::Width": str(file.header.width),
        "Thumb::Image::Height": str(file.header.height),
        "Software": "aec",
    }
    chunks = PngInfo()
    for key, value in tags.items():
        chunks.add_text(key, value)
    made = io.BytesIO()
    picture.save(made, "PNG", pnginfo=chunks)
    return made.getvalue()


def _for_screens(picture: "Image.Image") -> "Image.Image":
    """Convert to RGB or RGBA in sRGB, because file managers do not look at profiles of thumbnails."""
    from ..picture.pixels import to_srgb

    cicp = picture.info.get("cicp")
    colours = picture.convert("L" if picture.mode in ("L", "LA") else "RGB")
    known = "icc_profile" in picture.info and not (cicp and cicp[1] in _HDR_TRANSFERS)
    shown = to_srgb(colours) if known else colours.convert("RGB")
    if picture.mode in ("LA", "RGBA"):
        shown.putalpha(picture.getchannel("A"))
    shown.info = {}  # Pillow would write the profile that no longer holds
    return shown

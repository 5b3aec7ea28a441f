"""`aec view`: puts a picture into a self-contained HTML page, and opens the page in the browser."""

import base64
import html
import shutil
import tempfile
import time
import webbrowser
from argparse import Namespace
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..container import format
from ..container.metadata import Metadata
from ..given import open_picture
from ..io import permissions, read_bytes, write_bytes
from ..opened import SCALES, AecFile, kind_of
from ..picture import export
from .streams import complain

if TYPE_CHECKING:
    from PIL import Image

PREFIX = "aec-view-"  # the names of temporary folders, each of which holds one page, begin with this
KEPT_SECONDS = 24 * 60 * 60  # a page of this age is removed by the next call
MAX_PIXELS = 2**25  # larger pictures are shown reduced, because browsers do not scroll well over a gigabyte
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<style>
  body {{ margin: 0; background: #222; color: #ccc; font: 14px system-ui, sans-serif; text-align: center }}
  img {{ max-width: 100%; max-height: calc(100vh - 3.5em); cursor: zoom-in }}
  img {{ background: repeating-conic-gradient(#888 0 25%, #aaa 0 50%) 0 0/16px 16px }}
  img.whole {{ max-width: none; max-height: none; cursor: zoom-out }}
</style>
<p>{name}: {caption}</p>
<img src="data:image/png;base64,{png}" alt="" onclick="this.classList.toggle('whole')">
</html>
"""


def view(args: Namespace) -> int:
    source = None if args.file == "-" else Path(args.file)
    name = source.name if source else "standard input"
    data = read_bytes(source)
    is_aec = data.startswith(format.MAGIC) or (source is not None and source.suffix.lower() == ".aec")
    picture, caption = _decoded(data, args) if is_aec else _read(data)
    png = export.encoded(picture, "PNG", Metadata(icc=picture.info.get("icc_profile")), exact=True)
    text = PAGE.format(name=html.escape(name), caption=caption, png=base64.b64encode(png).decode())
    page = text.encode(errors="backslashreplace")  # file names may contain bytes that cannot be decoded
    if args.output is not None:
        mode = permissions(source.stat() if source else None)
        write_bytes(None if args.output == "-" else Path(args.output), page, args.force, mode=mode)
        return 0
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=PREFIX), "view.html")
    write_bytes(path, page, False)
    if not webbrowser.open(path.as_uri()):
        complain(f"aec: no browser to open: the page is {path}; -o writes it elsewhere")
    return 0


def _sweep() -> None:
    """Remove old pages of earlier calls. The browser has read them by now, and nothing else would remove them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # the folder may belong to another user
            if folder.stat().st_mtime < time.time() - KEPT_SECONDS and not folder.is_symlink():
                shutil.rmtree(folder)


def _decoded(data: bytes, args: Namespace) -> tuple["Image.Image", str]:
    file = AecFile(data)
    header = file.header
    scale = next((s for s in SCALES if header.width * header.height * s * s <= MAX_PIXELS), 1 / 8)
    picture = file.decode(args.device, args.model, scale=scale, depth=8)
    bpp = 8 * file.n_bytes / (header.width * header.height)
    shown = "" if scale == 1 else f", shown at 1/{round(1 / scale)}"
    size = f"{header.width}x{header.height}, {file.n_bytes} bytes, {bpp:.3f} bits per pixel"
    return picture, f"{size}, {kind_of(header)}{shown}"


def _read(data: bytes) -> tuple["Image.Image", str]:
    from ..picture.pixels import to_depth, to_pil

    pixels = open_picture(data)
    shown = replace(
        pixels,
        data=to_depth(pixels.data, 8),
        alpha=None if pixels.alpha is None else to_depth(pixels.alpha, 8),
    )
    return to_pil(shown), f"{pixels.width}x{pixels.height}, {len(data)} bytes"

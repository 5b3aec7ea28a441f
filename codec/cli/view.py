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
from ..failures import FAILURES
from ..given import open_picture
from ..io import permissions, read_bytes, refuse_existing, write_bytes
from ..opened import SCALES, AecFile, kind_of
from ..picture import code_points, export
from ..picture.embedded import MAX_WEBP_SIDE
from .jobs import refuse_own_inputs
from .runner import failed
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
  img {{ width: min(100%, {width}px, calc((100vh - 7em) * {width} / {height})); cursor: zoom-in }}
  img {{ background: repeating-conic-gradient(#888 0 25%, #aaa 0 50%) 0 0/16px 16px }}
  img.whole {{ width: {width}px; cursor: zoom-out }}
</style>
<p>{name}: {caption}</p>
<img id="picture" src="data:image/png;base64,{png}" alt="" onclick="this.classList.toggle('whole')">
{stages}
</html>
"""
# Of a file whose payloads are in parts: what a reader sees that has only the beginning of the file.
STAGES = """<p><label>How much of the file has arrived:
<input type="range" min="0" max="{last}" value="{last}" oninput="show(+this.value)"></label>
<output id="share">100 %</output></p>
<script>
  const picture = document.getElementById("picture"), share = document.getElementById("share");
  const sources = [{sources}, picture.src], shares = [{shares}, 100];
  function show(i) {{ picture.src = sources[i]; share.textContent = shares[i] + " %"; }}
</script>"""
STAGE_QUALITY = 85  # of the WebP pictures of these stages
STAGE_PIXELS = 2**20  # which are reduced to about so many pixels; WebP has no sides above 16383


def view(args: Namespace) -> int:
    source = None if args.file == "-" else Path(args.file)
    target = None if args.output in (None, "-") else Path(args.output)
    refuse_own_inputs(target, [source])
    refuse_existing(target, args.force)
    try:
        page = _page(source, args)
    except FAILURES as e:
        return failed(e, str(source or "standard input"), args.debug)
    if args.output is not None:
        mode = permissions(source.stat() if source else None)
        write_bytes(target, page, args.force, mode=mode)
        return 0
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=PREFIX), "view.html")
    write_bytes(path, page, False)
    if not webbrowser.open(path.as_uri()):
        complain(f"aec: no browser to open: the page is {path}; -o writes it elsewhere")
    return 0


def _page(source: Path | None, args: Namespace) -> bytes:
    name = source.name if source else "standard input"
    data = read_bytes(source)
    is_aec = data.startswith(format.MAGIC) or (source is not None and source.suffix.lower() == ".aec")
    picture, caption = _decoded(data, args) if is_aec else _read(data)
    width, height = picture.size
    told = Metadata(icc=picture.info.get("icc_profile"), cicp=code_points.of_samples(picture.info.get("cicp")))
    png = export.encoded(picture, "PNG", told, exact=True)
    stages = _stages(data, told, args) if is_aec else ""
    shown = base64.b64encode(png).decode()
    text = PAGE.format(name=html.escape(name), caption=caption, png=shown, stages=stages, width=width, height=height)
    return text.encode(errors="backslashreplace")  # file names may contain bytes that cannot be decoded


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


def _stages(data: bytes, told: Metadata, args: Namespace) -> str:
    """Return the slider of a file in parts, with a picture for each beginning of it; empty for other files.

    `told` is the colour of the whole picture, which these have too.
    """
    sizes = format.stages(data)[:-1]
    if not sizes:
        return ""
    sources = []
    for size in sizes:
        file = AecFile(data[:size], allow_partial=True)
        area, side = file.header.width * file.header.height, max(file.header.width, file.header.height)
        scale = next((s for s in SCALES if area * s * s <= STAGE_PIXELS and side * s <= MAX_WEBP_SIDE), 1 / 8)
        picture = file.decode(args.device, args.model, scale=scale, depth=8)
        webp = export.encoded(picture, "WEBP", told, exact=False, quality=STAGE_QUALITY)
        sources.append(f'"data:image/webp;base64,{base64.b64encode(webp).decode()}"')
    shares = ", ".join(f"{100 * size / len(data):.0f}" for size in sizes)
    return STAGES.format(last=len(sizes), sources=", ".join(sources), shares=shares)


def _read(data: bytes) -> tuple["Image.Image", str]:
    from ..picture.samples import to_depth, to_pil

    pixels = open_picture(data)
    shown = replace(
        pixels,
        data=to_depth(pixels.data, 8),
        alpha=None if pixels.alpha is None else to_depth(pixels.alpha, 8),
    )
    return to_pil(shown), f"{pixels.width}x{pixels.height}, {len(data)} bytes"

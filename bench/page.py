"""The report as a page: index.html, one file that opens from disk and asks no network for anything.

The code is in assets/: plain JavaScript that builds the page from JSON. It puts text in as text, never as markup, so
what a file is called cannot do harm; and the page's policy forbids every request, whatever the code does.
"""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from codec.io import write_bytes

from .jsonable import finite

POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
WEBP_MAX_SIDE = 16383
# They are joined into one module, in which each sees the others' functions; classes must come before their use.
VIEWER = ("dom.js", "table.js", "view.js", "viewer.js")
REPORT = (*VIEWER, "plots.js", "report_tables.js", "report.js")
COMPARE = (*VIEWER, "compare.js")


@dataclass(frozen=True)
class Version:
    """What became of a picture in one encoded file.

    Args:
        codec: its name in the report, or a file's.
        quality: the codec's own scale; None: not known.
        n_bytes: of the whole file.
        pixels: uint8 [H, W, 3], as the picture's original.
        figures: metric keys of the report, of this file alone; infinite for equal pixels.
    """

    codec: str
    quality: int | None
    n_bytes: int
    pixels: np.ndarray
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class Picture:
    """A picture for the viewer, which opens with the first version of aec beside the rival nearest to it in size.

    Args:
        set: name of the report's set that it is of.
        name: its name there.
        original: uint8 [H, W, 3]; it and the versions may be scaled down from the report's size, which is said then.
        versions: at least one.
    """

    set: str
    name: str
    original: np.ndarray
    versions: Sequence[Version]


def write_page(report: dict, pictures: Sequence[Picture], path: Path) -> None:
    """Write the page of `aec bench`, replacing the file.

    Args:
        report: as bench/report.py makes it.
        pictures: for the viewer, in the order in which it turns them over.

    Raises:
        ImportError: plotly is not installed.
        ValueError: a version's pixels are not of its original's size.
        codec.io.OutputError: the file cannot be written.
    """
    scripts = {"plotly": base64.b64encode(gzip.compress(_plotly().encode(), mtime=0)).decode()}
    page = _page(f"aec bench, {report['date'][:10]}", report, pictures, REPORT, scripts)
    write_bytes(path, page, force=True)


def comparison_page(title: str, notes: Sequence[str], metrics: Sequence[dict], picture: Picture) -> bytes:
    """The page of `aec compare`.

    Args:
        notes: what else there is to know, a line each.
        metrics: as in a report: {"key", "name", "unit", "digits"}.

    Raises:
        ValueError: as `write_page`.
    """
    facts = {"title": title, "notes": list(notes), "metrics": list(metrics)}
    return _page(title, facts, [picture], COMPARE, {})


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _page(title: str, report: dict, pictures: Sequence[Picture], code: Sequence[str], scripts: dict[str, str]) -> bytes:
    images: dict[str, str] = {}
    sizes = {(s["name"], i["name"]): (i["width"], i["height"]) for s in report.get("sets", ()) for i in s["images"]}
    described = [_described(p, i, sizes.get((p.set, p.name)), images) for i, p in enumerate(pictures)]
    data = {"report": _json(report), "pictures": _json(described), **images, **scripts}
    page = Template(_asset("page.html")).substitute(
        policy=POLICY,
        title=html.escape(title),
        style=_asset("style.css"),
        data="\n".join(f'<script type="text/plain" id="{key}">{text}</script>' for key, text in data.items()),
        code="\n".join(_asset(name) for name in code),
    )
    return page.encode()


def _described(picture: Picture, index: int, measured: tuple[int, int] | None, images: dict[str, str]) -> dict:
    """The picture without its pixels, which join `images` as data URIs: each is decoded when it is first looked at.

    Args:
        measured: width and height of what was encoded, of which these pixels may be a smaller copy; None: it is these.
    """
    height, width = picture.original.shape[:2]
    measured = measured or (width, height)
    versions = []
    for version in (None, *picture.versions):
        pixels = picture.original if version is None else version.pixels
        if pixels.dtype != np.uint8 or pixels.shape != (height, width, 3):
            name = "the original" if version is None else version.codec
            raise ValueError(
                f"{picture.name}: {name} is {pixels.dtype} {list(pixels.shape)}: must be uint8 {[height, width, 3]}"
            )
        key = f"image-{index}-{len(versions)}"
        images[key] = data_uri(pixels)
        if version is None:
            about = {"codec": "original", "quality": None, "bytes": None, "bpp": None, "figures": {}}
        else:
            bpp = 8 * version.n_bytes / math.prod(measured)
            about = {"codec": version.codec, "quality": version.quality, "bytes": version.n_bytes, "bpp": bpp}
            about["figures"] = dict(version.figures)
        versions.append(about | {"image": key})
    size = {"width": width, "height": height, "measured": measured}
    return {"set": picture.set, "name": picture.name, **size, "versions": versions}


def data_uri(pixels: np.ndarray) -> str:
    """uint8 [H, W, 3] as a lossless WebP or a PNG, whichever is smaller. No profile: browsers take that for sRGB."""
    image = Image.fromarray(pixels)
    encoded = {"png": io.BytesIO()}
    image.save(encoded["png"], "PNG", compress_level=6)
    if max(pixels.shape[:2]) <= WEBP_MAX_SIDE:
        encoded["webp"] = io.BytesIO()
        image.save(encoded["webp"], "WEBP", lossless=True, quality=50, method=4)
    kind = min(encoded, key=lambda kind: encoded[kind].tell())
    return f"data:image/{kind};base64,{base64.b64encode(encoded[kind].getvalue()).decode()}"


def _json(value: object) -> str:
    """JSON that can stand inside a script element, which ends at the first "</script", and "<!--" could hide that."""
    return json.dumps(finite(value), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")

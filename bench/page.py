"""Writes the report as an HTML page: a single file, index.html, which can be opened from disk and needs no network.

The page's code is in assets/: plain JavaScript that builds the page from JSON. It inserts strings as text and never as
markup, so that the name of a file cannot do harm. The page's content security policy also forbids all requests.
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
# These files are joined into one module, so that each can call the others' functions. Classes must come before their
# use.
VIEWER = ("dom.js", "table.js", "view.js", "viewer.js")
REPORT = (*VIEWER, "plots.js", "report_tables.js", "report.js")
COMPARE = (*VIEWER, "compare.js")


@dataclass(frozen=True)
class Version:
    """A picture as it was encoded in one file.

    Args:
        codec: the codec's name in the report, or the name of the file.
        quality: on the codec's own scale; None: not known.
        n_bytes: size of the whole file.
        pixels: the decoded pixels, uint8 [H, W, 3], of the same size as the picture's original.
        figures: the value of each metric for this file, by the metric's key; infinite for equal pixels.
    """

    codec: str
    quality: int | None
    n_bytes: int
    pixels: np.ndarray
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class Picture:
    """A picture for the viewer, which first shows aec's first version of it beside the version of another codec that is
    nearest to it in size.

    Args:
        set: the name of its set in the report.
        name: its name in that set.
        original: uint8 [H, W, 3]. It may be smaller than the picture that was measured, if it and all versions were
            scaled down in the same way; the page says so then.
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
        pictures: for the viewer, in the order in which it shows them.

    Raises:
        ImportError: plotly is not installed.
        ValueError: a version has not the size of its original, or pixels are not uint8.
        codec.io.OutputError: the file cannot be written.
    """
    scripts = {"plotly": base64.b64encode(gzip.compress(_plotly().encode(), mtime=0)).decode()}
    page = _page(f"aec bench, {report['date'][:10]}", report, pictures, REPORT, scripts)
    write_bytes(path, page, force=True)


def comparison_page(title: str, notes: Sequence[str], metrics: Sequence[dict], picture: Picture) -> bytes:
    """The page of `aec compare`.

    Args:
        notes: messages to show, each as a line.
        metrics: as in a report: {"key", "name", "unit", "digits"}.

    Raises:
        ValueError: as in `write_page`.
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
    """What the page's code needs to know of a picture, without its pixels. These are added to `images` as data URIs, so
    that the browser decodes each of them only when it is first shown.

    Args:
        measured: width and height of the picture that was encoded, if these pixels are a smaller copy of it; None: the
            pixels were encoded as they are.
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
    """Pixels, uint8 [H, W, 3], as a lossless WebP or a PNG, whichever is smaller. The file has no colour profile,
    because browsers treat such files as sRGB."""
    image = Image.fromarray(pixels)
    encoded = {"png": io.BytesIO()}
    image.save(encoded["png"], "PNG", compress_level=6)
    if max(pixels.shape[:2]) <= WEBP_MAX_SIDE:
        encoded["webp"] = io.BytesIO()
        image.save(encoded["webp"], "WEBP", lossless=True, quality=50, method=4)
    kind = min(encoded, key=lambda kind: encoded[kind].tell())
    return f"data:image/{kind};base64,{base64.b64encode(encoded[kind].getvalue()).decode()}"


def _json(value: object) -> str:
    """JSON that can stand inside a script element. "<" is escaped, because "</script" would end the element and "<!--"
    could hide its end."""
    return json.dumps(finite(value), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")

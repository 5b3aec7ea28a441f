"""`aec sheet`: pictures, latents, reconstructions and errors side by side, and a model's diagnostics."""

import base64
import html
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..io import InputError, refuse_existing, write_bytes
from . import runner, streams
from .anomaly import read
from .jobs import UsageError, refuse_own_inputs

if TYPE_CHECKING:
    from ..small.model import SmallModel
    from ..small.sheet import Diagnostics

MOST = 10_000  # pictures for the diagnostics
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
  body {{ margin: 1em; background: #fff; color: #222; font: 14px system-ui, sans-serif }}
  img {{ max-width: 100%; image-rendering: pixelated }}
  td, th {{ padding: 0 1em 0 0; text-align: right }}
</style>
<h1>{title}</h1>
<p>{line}</p>
<p>From top to bottom: pictures, latents, reconstructions, errors.</p>
<img src="data:image/png;base64,{png}" alt="rows of small pictures">
<table><tr><th>latent</th><th>entropy, bits</th><th>different symbols</th><th>state</th></tr>
{rows}
</table>
</html>
"""


def sheet(args: Namespace) -> int:
    import numpy as np
    from PIL import Image

    from ..container.metadata import NONE
    from ..picture import export
    from ..small import sheet as sheets
    from ..small.model import find, level_of

    target = None if args.output == "-" else Path(args.output)
    if target is not None and target.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"-o {target}: a sheet is a .png or an .html file")
    refuse_own_inputs(target, map(Path, args.inputs))
    refuse_existing(target, args.force)
    model, level = find(args.model), level_of(args.quality)
    _, pictures, problems = read(args.inputs, model, args.recursive)
    for problem in problems:
        streams.complain(f"aec: {problem}")
    if not len(pictures):
        raise InputError("no picture is left for the sheet")
    found = sheets.diagnostics(model, pictures[:: -(-len(pictures) // MOST)], level)
    some = np.arange(min(args.count, len(pictures))) * len(pictures) // min(args.count, len(pictures))
    image = Image.fromarray(sheets.draw(model, pictures[some], level))
    data = export.encoded(image, "PNG", NONE, exact=True)
    if target is not None and target.suffix.lower() == ".html":
        data = _page(model, found, data)
    write_bytes(target, data, args.force)
    if not args.quiet:
        streams.complain(found.line())
    return runner.EXIT_SOME_FAILED if problems else 0


def _page(model: "SmallModel", found: "Diagnostics", png: bytes) -> bytes:
    states = ["dead" if d else "collapsed" if c else "" for d, c in zip(found.dead, found.collapsed, strict=True)]
    rows = [
        f"<tr><td>{i}</td><td>{entropy:.3f}</td><td>{n}</td><td>{state}</td></tr>"
        for i, (entropy, n, state) in enumerate(zip(found.entropy, found.distinct, states, strict=True))
    ]
    title = html.escape(f"{model.path.name}: {model.arch}")
    text = PAGE.format(title=title, line=found.line(), png=base64.b64encode(png).decode(), rows="\n".join(rows))
    return text.encode(errors="backslashreplace")

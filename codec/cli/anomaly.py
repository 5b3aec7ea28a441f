"""`aec anomaly`: which of many small pictures are unusual, and where in them."""

import json
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..failures import message
from ..io import InputError, refuse_existing, write_bytes
from . import runner, streams
from .jobs import UsageError

if TYPE_CHECKING:
    import numpy as np

    from ..small.inputs import SmallPictures
    from ..small.model import SmallModel

# As good as the best in bench/results/anomaly.md, to a few hundredths, and not large for large pictures.
DEFAULT_ARCH = "denoising"
SIDE = 240  # pixels, about, of a picture in a heat map's file
MOST_USUAL = 2000  # pictures of --train from which the usual error is measured


@dataclass(frozen=True)
class Found:
    """What is printed of a picture; `error` is the mean squared error, and `score` and `bits` are in bits."""

    picture: str
    score: float
    bits: float
    error: float
    map: str | None = None


def anomaly(args: Namespace) -> int:
    from ..small.model import level_of

    if args.train is None and (args.arch, args.latents, args.minutes, args.epochs, args.output) != (None,) * 5:
        raise UsageError("--arch, --latents, --minutes, --epochs and -o need --train: they say how to train")
    if args.minutes is not None and args.epochs is not None:
        raise UsageError("give --minutes or --epochs, not both")
    model, usual = _model(args)
    names, pictures, problems = read(args.inputs, model, args.recursive)
    for problem in problems:
        streams.complain(f"aec: {problem}")
    rows = _scored(args, model, level_of(args.quality), usual, names, pictures) if names else []
    for problem in problems if args.json else ():
        streams.say(json.dumps({"picture": None, "status": "failed", "error": problem}))
    if not args.json and rows:
        streams.say(f"{'score':>10} {'bits':>8} {'error':>9}  picture")
    for row in rows:
        if args.json:
            facts = {"picture": row.picture, "status": "done", "score": row.score, "bits": row.bits}
            streams.say(json.dumps(facts | {"squared_error": row.error, "map": row.map, "error": None}))
        else:
            streams.say(streams.shown(f"{row.score:10.1f} {row.bits:8.1f} {row.error:9.6f}  {row.picture}"))
    if problems:
        return runner.EXIT_SOME_FAILED if names else runner.EXIT_INPUT
    return 0


def _model(args: Namespace) -> "tuple[SmallModel, float | None]":
    """Return the model, and the usual error of the pictures of --train; None without --train."""
    from ..small.model import find, level_of, load

    if args.train is None:
        return find(args.model), None
    from ..extras import need

    need("torch", "aec anomaly --train")
    from ..small import anomaly
    from ..train import family_command
    from ..train.family_run import Options

    target = args.output and Path(args.output)
    if target is not None:
        refuse_existing(target, args.force)
    minutes = 0.5 if args.minutes is None else args.minutes
    options = Options(args.arch or DEFAULT_ARCH, minutes=minutes, latents=args.latents, seed=args.seed)
    report = streams.complain if not args.quiet else lambda line: None
    normal = family_command.read([Path(args.train)], report)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "anomaly.safetensors")
        family_command.fit(normal, None, path, options, None, report, args.epochs)
        model = load(path)
        if target is not None:
            write_bytes(target, path.read_bytes(), args.force)
    some = normal[:: -(-len(normal) // MOST_USUAL)]
    found = anomaly.scores(model, some, level_of(args.quality))
    return model, float(found.error.mean())


def read(paths: list[str], model: "SmallModel", recursive: bool) -> "tuple[list[str], np.ndarray, list[str]]":
    """Read the pictures of a model's size in files: (a name for each, uint8 [N, H, W, C], what was left out)."""
    import numpy as np

    from ..small import inputs

    names: list[str] = []
    problems: list[str] = []
    parts = [np.zeros((0, *model.shape), np.uint8)]
    for name in paths:
        try:
            found = inputs.read([Path(name)], model.shape, recursive)
        except (OSError, ValueError) as e:
            text = message(e, name)
            problems.append(text if text.startswith(name) else f"{name}: {text}")
            continue
        names += _names(Path(name), found)
        parts.append(found.pictures)
        problems += found.left_out
    return names, np.concatenate(parts), problems


def _names(path: Path, found: "SmallPictures") -> Iterator[str]:
    if len(found.pictures) == 1 and not path.is_dir():
        yield path.as_posix()
        return
    for i in range(len(found.pictures)):
        yield f"{path.as_posix()}/{found.name_of(i)}"


def _scored(
    args: Namespace, model: "SmallModel", level: int, usual: float | None, names: list[str], pictures: "np.ndarray"
) -> list[Found]:
    """Return the rows to print, the most unusual first, and write their maps."""
    import numpy as np

    from ..small import anomaly

    found = anomaly.scores(model, pictures, level)
    if usual is None:  # most of the pictures are taken to be usual ones
        usual = float(np.median(found.error))
    total = found.lengths(usual)
    order = np.argsort(-total, kind="stable")[: args.top]
    rows = [Found(names[i], float(total[i]), float(found.bits[i]), float(found.error[i])) for i in order]
    if args.maps is None:
        return rows
    targets = _targets(Path(args.maps), [row.picture for row in rows])
    for target in targets:
        refuse_existing(target, args.force)
    _, made = anomaly.reconstructed(model, pictures[order], level)
    heat = anomaly.colours(anomaly.squared_errors(pictures[order], made), usual)
    for target, picture, one in zip(targets, pictures[order], heat, strict=True):
        write_bytes(target, _png(picture, one), args.force)
    return [replace(row, map=str(target)) for row, target in zip(rows, targets, strict=True)]


def _targets(folder: Path, names: list[str]) -> list[Path]:
    """Return a path below the folder for each map: names in archives may have .. in them, and may be there twice."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        inside = "/".join(part for part in PurePosixPath(name).parts if part not in ("/", ".."))
        seen[inside] = seen.get(inside, 0) + 1
        out.append(folder / f"{inside}{'' if seen[inside] == 1 else f'-{seen[inside]}'}.png")
    if len(set(out)) < len(out):
        raise InputError("two pictures would have the same map: give them other names")
    return out


def _png(picture: "np.ndarray", heat: "np.ndarray") -> bytes:
    """Return a PNG of a picture, uint8 [H, W, 1 or 3], and beside it its heat map, uint8 [H, W, 3], both enlarged."""
    import numpy as np
    from PIL import Image

    from ..container.metadata import NONE
    from ..picture import export

    factor = max(1, SIDE // max(heat.shape[:2]))
    both = np.concatenate([np.broadcast_to(picture, heat.shape), heat], 1)
    large = both.repeat(factor, 0).repeat(factor, 1)
    return export.encoded(Image.fromarray(large), "PNG", NONE, exact=True)

"""Curves that others published, to be compared with those measured here: from JSON, by options on the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .curves import Curve


@dataclass(frozen=True)
class Published:
    """Curves that others measured on one of our sets."""

    image_set: str
    curves: dict[str, Curve]  # of bpp and psnr

    def on(self, image_set: str) -> dict[str, Curve]:
        """The curves to compare with those of a set: none, if it is another set's."""
        return self.curves if image_set == self.image_set else {}


def read_published(path: Path, names: Sequence[str] | None, image_set: str) -> Published:
    """Published curves: {name: {"bpp": [...], "psnr": [...]}} as JSON.

    Args:
        names: which to take, each of which must be there and have PSNRs; None: all that have.
        image_set: what they were measured on.

    Raises:
        OSError: the file cannot be read.
        ValueError: not JSON of that form, or a name is not in it.
    """
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an object of curves, found {type(found).__name__}")
    known = {
        name: entry for name, entry in found.items() if isinstance(entry, dict) and {"bpp", "psnr"} <= entry.keys()
    }
    curves = {}
    for name in known if names is None else names:
        if name not in known:
            raise ValueError(f"{path}: no PSNR curve {name!r}; there are: {', '.join(known)}")
        entry = known[name]
        if len(entry["bpp"]) != len(entry["psnr"]):
            raise ValueError(f"{path}: {name}: {len(entry['bpp'])} rates but {len(entry['psnr'])} PSNRs")
        curves[name] = [{"bpp": bpp, "psnr": psnr} for bpp, psnr in zip(entry["bpp"], entry["psnr"], strict=True)]
    return Published(image_set, curves)


def add_published_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `published_of` reads."""
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="JSON of published curves to compare with too")
    parser.add_argument("--anchor-names", metavar="LIST", help="which of them (default: all)")
    parser.add_argument("--anchor-set", metavar="SET", help="which set they were measured on (default: the only one)")


def published_of(args: argparse.Namespace, sets: Sequence[str]) -> Published | None:
    """The published curves that were asked for, if any.

    Args:
        sets: the names of those at hand.

    Raises:
        OSError, ValueError: as `read_published`; ValueError too if it is not clear which set they belong to.
    """
    if args.anchors is None:
        return None
    image_set = args.anchor_set or (sets[0] if len(sets) == 1 else None)
    if image_set not in sets:
        raise ValueError(f"--anchor-set must say which of the sets they belong to: {', '.join(sets)}")
    names = None if args.anchor_names is None else args.anchor_names.split(",")
    return read_published(args.anchors, names, image_set)

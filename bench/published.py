"""Reads curves that others have published from a JSON file, to compare them with those that are measured here."""

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
    curves: dict[str, Curve]  # their points have "bpp" and "psnr"

    def on(self, image_set: str) -> dict[str, Curve]:
        """The curves to compare with those of this set: none if they were measured on another set."""
        return self.curves if image_set == self.image_set else {}


def read_published(path: Path, names: Sequence[str] | None, image_set: str) -> Published:
    """Read curves from a JSON file of the form {name: {"bpp": [...], "psnr": [...]}}.

    Args:
        names: the curves to read, which must have PSNRs; None: all that have PSNRs.
        image_set: the set that they were measured on.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file has another form, or does not contain one of the names.
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
    """Add the options that `published_of` reads to the parser."""
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="JSON file of published curves to compare with")
    parser.add_argument("--anchor-names", metavar="LIST", help="curves of that file to use (default: all)")
    parser.add_argument("--anchor-set", metavar="SET", help="set that they were measured on (default: the only one)")


def published_of(args: argparse.Namespace, sets: Sequence[str]) -> Published | None:
    """The published curves that the user asked for, if any.

    Args:
        sets: the names of the sets that are measured.

    Raises:
        OSError, ValueError: as in `read_published`; ValueError also if it is not clear which set they belong to.
    """
    if args.anchors is None:
        return None
    image_set = args.anchor_set or (sets[0] if len(sets) == 1 else None)
    if image_set not in sets:
        raise ValueError(f"--anchor-set must say which of the sets they belong to: {', '.join(sets)}")
    names = None if args.anchor_names is None else args.anchor_names.split(",")
    return read_published(args.anchors, names, image_set)

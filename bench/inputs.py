"""Pictures to measure on: folders and files, or those at hand when none is named."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = (".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".jpg", ".jpeg")
LOSSY_SUFFIXES = (".webp", ".avif", ".jpg", ".jpeg")
# Of those inside scikit-image's wheel (the others it would download): photographs, in colour, from lossless files.
SCIKIT_IMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")


def load_image(path: Path) -> np.ndarray:
    """Pixels of an 8-bit image as [H, W, 3] uint8, as stored (no EXIF turn); alpha is dropped, gray spread.

    Raises:
        ValueError: more than 8 bits a sample, or an animation.
        Exception: whatever Pillow raises for a bad file.
    """
    from codec.image import open_checked

    with Image.open(path) as image:
        open_checked(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(f"mode {image.mode}: more than 8 bits a sample")
        return np.array(image.convert("RGB"))


def find_sets(inputs: Sequence[str]) -> tuple[dict[str, list[Path]], list[Path]]:
    """({set: its images}, inputs that gave none).

    A folder is a set of its own, without the folders inside it. Files that are named, whatever their suffixes, are
    together the set "files".
    """
    found: dict[Path, list[Path]] = {}
    empty = []
    for path in dict.fromkeys(map(Path, inputs)):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            inside = [path] if path.is_file() else []
        if inside:
            found.setdefault(path if path.is_dir() else Path("files"), []).extend(inside)
        else:
            empty.append(path)
    return dict(zip(short_names(list(found)), found.values(), strict=True)), empty


def default_set() -> tuple[str, list[Path]]:
    """(name, images) where none is named: scikit-image's, else the package's own."""
    spec = importlib.util.find_spec("skimage")
    if spec and spec.origin:
        paths = [Path(spec.origin).parent / "data" / name for name in SCIKIT_IMAGE]
        if all(path.is_file() for path in paths):
            return "scikit-image", paths
    return "aec", sorted((Path(__file__).parent / "samples").glob("*.png"))


def short_names(paths: Sequence[Path]) -> list[str]:
    """Last parts of the paths where these differ, else the paths."""
    short = [path.absolute().name for path in paths]
    return short if len(set(short)) == len(short) else [path.as_posix() for path in paths]

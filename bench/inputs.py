"""Pictures to measure on: folders and files, or those at hand when none is named."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.cli.files import open_picture
from codec.io import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from PIL import Image

    from codec.picture.pixels import Pixels

LOSSY_SUFFIXES = (".webp", ".avif", ".jpg", ".jpeg", ".jfif", ".jp2")
# Of those inside scikit-image's wheel (the others it would download): photographs, in colour, from lossless files.
SCIKIT_IMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")


def load_image(path: Path) -> np.ndarray:
    """[H, W, 3] uint8: the pixels that `aec compress` takes, turned as the EXIF says; gray is spread.

    Raises:
        OSError: it cannot be read.
        InputError, LimitError, ValueError: as `open_picture` and `to_pixels` of the package raise them, such as for
            transparency, an animation, or more than 8 bits a sample.
    """
    return rgb_pixels(open_picture(path.read_bytes()))


def rgb_pixels(picture: Image.Image | Pixels) -> np.ndarray:
    """[H, W, 3] uint8 of a picture, as `load_image`."""
    from codec.picture.pixels import as_rgb, to_pixels

    pixels = to_pixels(picture)
    if pixels.alpha is not None or pixels.depth != 8:
        raise ValueError("transparency, or more than 8 bits a sample: the bench compares opaque 8-bit pictures")
    return np.ascontiguousarray(as_rgb(pixels.data))


def find_sets(inputs: Sequence[str]) -> tuple[dict[str, list[Path]], list[Path]]:
    """({set: its images}, inputs that gave none).

    A folder is a set of its own, without the folders inside it. Files that are named, whatever their suffixes, are
    together the set "files" ("named files" beside a folder of that name).
    """
    found: dict[Path | None, list[Path]] = {}  # None: the named files
    empty = []
    for path in dict.fromkeys(map(Path, inputs)):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        else:
            inside = [path] if path.is_file() else []
        if inside:
            found.setdefault(path if path.is_dir() else None, []).extend(inside)
        else:
            empty.append(path)
    folders = [path for path in found if path]
    names: dict[Path | None, str] = dict(zip(folders, short_names(folders), strict=True))
    names[None] = "named files" if "files" in names.values() else "files"
    return {names[path]: inside for path, inside in found.items()}, empty


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

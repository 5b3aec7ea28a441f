"""The pictures to measure on: those that the user names, or else some that are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.given import open_picture
from codec.io import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from PIL import Image

    from codec.picture.samples import Pixels

LOSSY_SUFFIXES = (".webp", ".avif", ".jpg", ".jpeg", ".jfif", ".jp2")
# The photographs in colour, from lossless files, that scikit-image's wheel contains. It would download others.
SCIKIT_IMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")


def load_image(path: Path) -> np.ndarray:
    """The pixels of a file as `aec compress` reads them, uint8 [H, W, 3]: rotated by the EXIF orientation, with a gray
    picture as three equal channels.

    Raises:
        OSError: the file cannot be read.
        InputError, LimitError, ValueError: as in `open_picture` and `to_pixels`; also for a picture with transparency
            or with more than 8 bits per sample.
    """
    return rgb_pixels(open_picture(path.read_bytes()))


def rgb_pixels(picture: Image.Image | Pixels) -> np.ndarray:
    """The pixels of a picture, uint8 [H, W, 3], as in `load_image`."""
    from codec.picture.pixels import to_pixels
    from codec.picture.samples import as_rgb

    pixels = to_pixels(picture)
    found = ["transparency"] if pixels.alpha is not None else []
    found += [f"{pixels.depth} bits a sample"] if pixels.depth != 8 else []
    if found:
        raise ValueError(f"a picture with {' and '.join(found)}: only opaque pictures of 8 bits a sample are compared")
    return np.ascontiguousarray(as_rgb(pixels.data))


def find_sets(inputs: Sequence[str]) -> tuple[dict[str, list[Path]], list[Path]]:
    """({set: its images}, the inputs without any image).

    Each folder is a set, which does not include the folders inside it. The files that are named, whatever their
    suffixes, make one set called "files", or "named files" if there is a folder called "files".
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
    """(name, images) of the set that is used if the user names none: scikit-image's pictures, else aec's own."""
    spec = importlib.util.find_spec("skimage")
    if spec and spec.origin:
        paths = [Path(spec.origin).parent / "data" / name for name in SCIKIT_IMAGE]
        if all(path.is_file() for path in paths):
            return "scikit-image", paths
    return "aec", sorted((Path(__file__).parent / "samples").glob("*.png"))


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths if these all differ, else the whole paths."""
    short = [path.absolute().name for path in paths]
    return short if len(set(short)) == len(short) else [path.as_posix() for path in paths]

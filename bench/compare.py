"""`aec compare`: an HTML page that shows a picture beside files that it was compressed to."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import api
from codec.container.format import MAGIC
from codec.given import open_picture
from codec.io import InputError, read_bytes

from .inputs import rgb_pixels
from .metrics import METRICS
from .page import Picture, Version, comparison_page

SHOWN = ("psnr", "ms-ssim")

READERS = {
    ".heic": ("pillow_heif", "pillow-heif"),
    ".heif": ("pillow_heif", "pillow-heif"),
    ".jxl": ("pillow_jxl", "pillow-jxl-plugin"),
}


@dataclass(frozen=True)
class File:
    """A file and its decoded pixels.

    Args:
        n_bytes: size of the file.
        quality: 1..100 for an aec file; None: the format does not store it.
        pixels: uint8 [H, W, 3].
    """

    path: Path
    n_bytes: int
    quality: int | None
    pixels: np.ndarray


def read(path: Path, device: str, model: str | None, original: File | None) -> File:
    """Read and decode a file: an aec file with `codec.decode`, any other with Pillow and those of its plugins that are
    installed.

    Args:
        device, model: as in `codec.decode`.
        original: a file whose width and height this one must have; None: it may have any size.

    Raises:
        OSError: the file cannot be opened.
        AecError, InputError: it cannot be decoded.
        InputError: it has another width or height than the original.
        ValueError: as in `codec.picture.pixels.to_pixels`.
    """
    data = read_bytes(path)
    quality = None
    if data.startswith(MAGIC) or path.suffix.lower() == ".aec":
        picture = api.decode(data, device, model)
        quality = api.inspect(data).quality
    else:
        _register_reader(path.suffix.lower())
        picture = open_picture(data)
    pixels = rgb_pixels(picture)
    if original is not None and pixels.shape != original.pixels.shape:
        (height, width), (its_height, its_width) = pixels.shape[:2], original.pixels.shape[:2]
        raise InputError(
            f"{width}x{height} pixels, but {original.path} has {its_width}x{its_height}: sizes must be equal"
        )
    return File(path, len(data), quality, pixels)


def _register_reader(suffix: str) -> None:
    """Load the package that lets Pillow read files of this suffix, if it needs one."""
    if suffix not in READERS:
        return
    module, package = READERS[suffix]
    if not importlib.util.find_spec(module):
        raise InputError(f"{suffix} files need {package}; try: pip install 'aec-codec[bench]'")
    reader = importlib.import_module(module)
    if hasattr(reader, "register_heif_opener"):  # pillow_jxl registers itself
        reader.register_heif_opener()


def page(original: File, files: Sequence[File]) -> bytes:
    """The HTML page, encoded as UTF-8.

    Args:
        files: at least one, each with the original's width and height.
    """
    missing = {key: METRICS[key].missing() for key in SHOWN}
    notes = [
        f"{METRICS[key].name} is left out: {reason}; try: pip install 'aec-codec[bench]'"
        for key, reason in missing.items()
        if reason
    ]
    shown = [METRICS[key] for key, reason in missing.items() if not reason]
    names = [file.path.name for file in files]
    if len(set(names)) < len(names):
        names = [str(file.path) for file in files]
    versions = []
    for name, file in zip(names, files, strict=True):
        figures = {metric.key: metric.measure(original.pixels, file.pixels) for metric in shown}
        versions.append(Version(name, file.quality, file.n_bytes, file.pixels, figures))
    title = f"{original.path.name}: {len(files)} file{'s' if len(files) > 1 else ''} compared"
    described = [{"key": m.key, "name": m.name, "unit": m.unit, "digits": m.digits} for m in shown]
    return comparison_page(title, notes, described, Picture("", original.path.name, original.pixels, versions))

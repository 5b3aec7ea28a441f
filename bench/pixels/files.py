"""Which files are decoded: photographs of Kodak at five qualities, and small pictures of odd sizes."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.io import write_bytes

from ..inputs import load_image
from ..promises.exactness import ODD_SIZES, QUALITIES
from ..promises.pictures import photo
from .worker import coded

# (rows, columns, side of tiles): just over the borders between tiles, and just under them.
AT_BORDERS = (
    (70, 9, 64),
    (65, 65, 64),
    (64, 129, 64),
    (191, 66, 64),
    (257, 130, 128),
    (130, 257, 256),
    (1025, 33, 1024),
)
FILES_OF_A_PHOTO = len(QUALITIES) + 1  # with `eye` at all qualities, and one with `psnr`
CROP = (97, 145)  # rows and columns of a part of each photograph, for what is too slow for whole ones


@dataclass(frozen=True)
class File:
    """A file of the comparison, and what it is made from.

    Args:
        name: of the files in the folder, without a suffix.
        is_photo: whether it is a whole photograph.
        picture: uint8 or uint16 [H, W, 3].
        quality, side, model: as of `worker.coded`.
    """

    name: str
    is_photo: bool
    picture: np.ndarray
    quality: int
    side: int
    model: str

    def write(self, folder: Path) -> None:
        """Write the picture and its .aec file, unless they are there."""
        for path, make in ((self.source(folder), self._as_array), (self.path(folder), self._coded)):
            if not path.exists():
                write_bytes(path, make(), force=True)  # another run may write the same

    def _as_array(self) -> bytes:
        out = io.BytesIO()
        np.save(out, self.picture)
        return out.getvalue()

    def _coded(self) -> bytes:
        return coded(self.picture, self.quality, self.side, self.model)

    def source(self, folder: Path) -> Path:
        return folder / f"{self.name}.npy"

    def path(self, folder: Path) -> Path:
        return folder / f"{self.name}.aec"


def small_files(crops: Sequence[np.ndarray]) -> list[File]:
    """Odd sizes at all qualities, and crops at one quality each, of which every third has 16 bits a sample."""
    sizes = [(*size, 64) for size in ODD_SIZES] + list(AT_BORDERS)
    found = [
        File(f"{h}x{w}-{side}-q{q}", False, photo(h, w, seed=i), q, side, "eye")
        for i, (h, w, side) in enumerate(sizes)
        for q in QUALITIES
    ]
    for i, crop in enumerate(crops):
        quality, model, deep = QUALITIES[i % 5], ("eye", "psnr")[i % 2], i % 3 == 0
        picture = crop.astype(np.uint16) * 257 + np.arange(3, dtype=np.uint16) if deep else crop
        found.append(File(f"crop{i:02}-{model}-q{quality}", False, picture, quality, 64, model))
    return found


def files(photographs: Sequence[Path]) -> list[File]:
    """All files. Every other photograph has tiles of 256x256; at one quality each, they are coded with `psnr` too."""
    crops, whole = [], []
    for i, path in enumerate(photographs):
        picture = load_image(path)
        y, x = (size // 3 for size in picture.shape[:2])
        crops.append(picture[y : y + CROP[0], x : x + CROP[1]])
        pairs = [(q, "eye") for q in QUALITIES] + [(QUALITIES[i % 5], "psnr")]
        whole += [File(f"{path.stem}-{m}-q{q}", True, picture, q, (256, 1024)[i % 2], m) for q, m in pairs]
    return small_files(crops) + whole


@dataclass(frozen=True)
class Way:
    """A way to decode a picture.

    Args:
        threads: at most so many.
        order: "whole"; "regions": four, which are put together; "tiles": each by itself, in a random order.
        depth: 8 or 16 bits a sample.
    """

    threads: int
    order: str
    depth: int

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.order}, {self.depth} bits"

    def areas(self, width: int, height: int, side: int) -> list[tuple[int, int, int, int]]:
        """(x, y, width, height) of what is decoded by itself, in this order. side: of the file's tiles."""
        if self.order == "whole":
            return [(0, 0, width, height)]
        if self.order == "regions":  # which begin within tiles, and within latents
            rows, columns = (dict.fromkeys((0, size * 2 // 5, size)) for size in (height, width))
        else:
            rows, columns = (dict.fromkeys((*range(0, size, side), size)) for size in (height, width))
        ys, xs = (list(zip(lines, list(lines)[1:], strict=False)) for lines in (rows, columns))
        found = [(x0, y0, x1 - x0, y1 - y0) for y0, y1 in ys for x0, x1 in xs]
        random.Random(width).shuffle(found)
        return found


# Each pair of two things is among them: threads and order, order and depth, depth and threads.
WAYS = (
    Way(1, "whole", 8),
    Way(2, "whole", 16),
    Way(2, "regions", 8),
    Way(1, "tiles", 16),
    Way(1, "regions", 16),
    Way(2, "tiles", 8),
)

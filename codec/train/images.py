"""Training images: decoded once, kept on the training device as one uint8 tensor, and cropped and flipped there.

Decoding JPEG or AVIF files inside the training loop would be too slow for a GPU. A gigapixel takes only 3 GB.
"""

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from lzma import LZMAError
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..io import IMAGE_SUFFIXES, search
from ..picture.pixels import of_file
from ..picture.samples import as_rgb, to_depth
from .distributed import ALONE, Processes

Encoded = tuple[str, bytes | OSError | ValueError]  # name and bytes of an image, or why it cannot be read
ALLOWED = {*IMAGE_SUFFIXES, ".tar"}


def is_shard(path: Path) -> bool:
    return path.suffix.lower() == ".tar"


def encoded(path: Path) -> Iterator[Encoded]:
    """Yield name and bytes of every image in a tar shard or a folder (recursively, with its shards), or of one image.

    For files and folders within a folder that cannot be read, the error is yielded in place of the bytes.

    Raises:
        OSError: `path` itself cannot be read.
        ValueError: a tar archive, or what compresses it, is damaged.
    """
    if path.is_dir():
        found = search(path, ALLOWED)
        yield from ((str(e.filename), e) for e in found.problems)
        for p in found.files:
            try:
                yield from encoded(p)
            except OSError as e:
                yield str(p), e
    elif is_shard(path):
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    right = member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES
                    if right and (file := tar.extractfile(member)) is not None:
                        yield f"{path.name}/{member.name}", file.read()
        except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError) as e:
            if isinstance(e, OSError) and e.errno is not None:  # gzip and bz2 raise OSError without a number for damage
                raise
            raise ValueError(f"{path}: not a whole tar archive ({e})") from e
    else:
        yield path.name, path.read_bytes()


def decode(item: Encoded, min_side: int) -> np.ndarray | str:
    """Return an item of `encoded` as pixels, uint8 [H, W, 3], or the reason why it is left out.

    Args:
        min_side: images with a side below this are left out.
    """
    name, data = item
    if isinstance(data, OSError):
        return f"{name}: {data.strerror}"
    if isinstance(data, ValueError):
        return str(data)
    try:
        image = np.ascontiguousarray(as_rgb(to_depth(of_file(data).data, 8)))
    except Exception as e:  # for damaged files Pillow raises many kinds of errors; none of them may stop the training
        return f"{name}: {e}"
    height, width = image.shape[:2]
    return image if min(height, width) >= min_side else f"{name} of {width}x{height}: smaller than {min_side}"


def check_exist(paths: list[Path]) -> None:
    """Raise FileNotFoundError for the first path where nothing is."""
    for p in paths:
        if not p.exists():
            raise FileNotFoundError(f"{p}: no such file or folder")


def load_images(paths: list[Path], min_side: int) -> tuple[list[np.ndarray], list[str]]:
    """Decode all images in some files, folders and tar shards.

    Args:
        paths: of images, folders or tar shards.
        min_side: images with a side below this are left out.

    Returns:
        (images uint8 [H, W, 3], a message for each image that was left out)

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: there is no usable image in any path.
    """
    check_exist(paths)
    images, left_out = [], []
    with ThreadPoolExecutor() as pool:
        for item in pool.map(decode, (item for p in paths for item in encoded(p)), repeat(min_side)):
            if isinstance(item, str):
                left_out.append(item)
            else:
                images.append(item)
    if not images:
        raise ValueError(f"no usable image in {', '.join(map(str, paths))} ({len(left_out)} left out)")
    return images, left_out


class Crops:
    """Draws random square crops, flipped and transposed at random, on a device.

    Args:
        images: uint8 [H, W, 3] each; sizes may differ. The probability of an image is proportional to its area.
        device: where the pixels are kept.
        seed: of the random numbers.
        processes: those that share each batch. All of them must have the same images and the same seed.
    """

    def __init__(self, images: Sequence[np.ndarray], device: torch.device, seed: int = 0, processes: Processes = ALONE):
        self.sizes = np.array([im.shape[:2] for im in images], dtype=np.int64)
        area = self.sizes.prod(1)
        self.starts = np.concatenate([[0], area.cumsum()[:-1]])
        self.weights = area / area.sum()
        self.pixels = torch.empty(int(area.sum()), 3, dtype=torch.uint8, device=device)
        for im, start in zip(images, self.starts, strict=True):
            flat = torch.from_numpy(np.ascontiguousarray(im)).view(-1, 3)
            self.pixels[start : start + len(flat)] = flat.to(device)
        self.rng = np.random.default_rng(seed)
        self.processes = processes

    def draw(self, batch: int, side: int) -> Tensor:
        """Draw crops for all processes, and return this one's share: uint8 [share, 3, side, side], channels-last."""
        rng, device = self.rng, self.pixels.device
        which = rng.choice(len(self.sizes), batch, p=self.weights)
        height, width = self.sizes[which].T
        top = (rng.random(batch) * (height - side + 1)).astype(np.int64)
        left = (rng.random(batch) * (width - side + 1)).astype(np.int64)
        first = self.starts[which] + top * width + left
        # The address of a pixel is first + i * down + j * across, so flips and transposition only change three numbers.
        down, across = width, np.ones_like(width)
        flip_i, flip_j, swap = rng.random((3, batch)) < 0.5
        first = first + flip_i * (side - 1) * down + flip_j * (side - 1) * across
        down, across = np.where(flip_i, -down, down), np.where(flip_j, -across, across)
        down, across = np.where(swap, across, down), np.where(swap, down, across)
        first, down, across = (
            torch.from_numpy(self.processes.share(v)).to(device, non_blocking=True)[:, None, None]
            for v in (first, down, across)
        )
        span = torch.arange(side, device=device)
        address = first + span[:, None] * down + span * across
        return self.pixels[address].permute(0, 3, 1, 2)

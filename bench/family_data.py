"""The public data sets of small pictures that `bench.family` and `bench.anomaly` measure, as arrays.

They lie in `../shared/data/family`, whose README says what each is and how exact it is.
"""

import gzip
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from codec.small.inputs import of_idx

ROOT = Path(__file__).parents[1].parent / "shared" / "data" / "family"


@dataclass(frozen=True)
class Split:
    """Pictures and labels: uint8 [N, H, W, C], uint8 [N]."""

    pictures: np.ndarray
    labels: np.ndarray


def _idx_split(folder: Path, name: str) -> Split:
    files = (folder / f"{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    pictures, labels = (of_idx(gzip.decompress(file.read_bytes())) for file in files)
    return Split(pictures[..., None], labels)


def _jpegs(path: Path) -> Split:
    """Read pictures that are stored as JPEG files with one common header."""
    file = np.load(path, allow_pickle=False)
    header, data, offset = file["header"].tobytes(), file["data"].tobytes(), file["offset"]
    streams = (header + data[a:b] for a, b in zip(offset, offset[1:], strict=False))
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(stream))) for stream in streams])
    return Split(pictures if pictures.ndim == 4 else pictures[..., None], file["label"])


@lru_cache(maxsize=4)
def read(name: str) -> tuple[Split, Split]:
    """Return the pictures to train on and those to test on.

    Args:
        name: "mnist", "fashion-mnist", "cifar10" (JPEG-compressed pictures, both parts) or "solar" (every fifth picture
            is for the test).

    Raises:
        FileNotFoundError: the data are not there.
    """
    if name == "cifar10":
        train, test = (_jpegs(ROOT / name / f"cifar10-{part}-jpeg.npz") for part in ("train", "test"))
        return train, test
    if name == "solar":
        whole = _jpegs(ROOT / name / "infrared-solar-modules-jpeg.npz")
        held = np.arange(len(whole.labels)) % 5 == 0
        return Split(whole.pictures[~held], whole.labels[~held]), Split(whole.pictures[held], whole.labels[held])
    return _idx_split(ROOT / name, "train"), _idx_split(ROOT / name, "t10k")

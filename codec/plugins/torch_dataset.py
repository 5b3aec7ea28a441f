"""`AecDataset`: .aec files as a map-style dataset for `torch.utils.data.DataLoader`.

Importing this module raises MissingPackageError (an ImportError) if torch is not installed.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..coding.device import resolve_device
from ..coding.threads import available, pool_of
from ..extras import need
from ..io import search
from .picture_decoder import PictureDecoder

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset
else:
    Dataset = need("torch.utils.data", "AecDataset").Dataset


class AecDataset(Dataset):
    """A dataset of .aec files. Item i is the decoded picture i, a tensor uint8 [C, H, W] on `device`.

    C is 1 for gray, 2 for gray with alpha, 3 for RGB, and 4 for RGBA. Samples of 16 bits are reduced to 8. The pictures
    keep their sizes and channels, so use `transform` to make them equal if they are to be collated into batches. The
    metadata is not returned; `Image.open` gives it.

    With `device="cpu"`, any number of worker processes may decode, forked or spawned; each loads the model once. With
    `num_workers=0`, a DataLoader decodes the pictures of a batch at the same time, in as many threads as there are
    cores. With a GPU, use `num_workers=0`, because only one process should use it; it decodes them one by one.

    Args:
        files: a folder, in which all .aec files are found, including its subfolders, and sorted; or paths, whose order
            is kept.
        transform: called with each tensor, by the thread that asks for the item; its result is the item. None: the
            tensor itself is the item.
        device: "auto", "cpu", "cuda" or "cuda:N".
        region: (x, y, width, height) of the part to decode of every picture, in pixels of the whole; None: all.
        scale: 1, 1/2, 1/4 or 1/8: decode at a fraction of the size, which takes less time.
        at_least: (width, height): of each picture, or of its region, choose the smallest scale at which it is not
            smaller than this, for trainings that make the pictures smaller anyway. None: `scale` counts.

    Raises:
        FileNotFoundError: the folder does not exist, or has no .aec file in it.
        OSError: the folder, or a subfolder, cannot be listed.
        AecError, ValueError: raised when an item is decoded; the message names the file.
    """

    def __init__(
        self,
        files: str | os.PathLike | Iterable[str | os.PathLike],
        transform: "Callable[[Tensor], Any] | None" = None,
        *,
        device: str = "cpu",
        region: tuple[int, int, int, int] | None = None,
        scale: float = 1,
        at_least: tuple[int, int] | None = None,
    ):
        if isinstance(files, (str, os.PathLike)):
            found = search(Path(files), {".aec"})
            if found.problems and Path(files).exists():
                raise found.problems[0]
            self.paths = found.files
            if not self.paths:
                raise FileNotFoundError(f"{os.fspath(files)}: no file ending in .aec in this folder")
        else:
            self.paths = [Path(p) for p in files]
        self.transform = transform
        self.decode = PictureDecoder("torch", device, region, scale, at_least)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return self._transformed(self.decode.of_file(self.paths[index]))

    def __getitems__(self, indexes: Sequence[int]) -> list[Any]:
        """Return the items at some indexes; a DataLoader calls this for each batch. Errors are as of single items."""
        paths = [self.paths[index] for index in indexes]
        # In its worker processes a DataLoader leaves one thread to torch, and `available` follows that.
        workers = min(len(paths), available()) if resolve_device(self.decode.device) == "cpu" else 1
        if workers <= 1:
            return [self._transformed(self.decode.of_file(path)) for path in paths]
        with pool_of(workers) as pool:
            return [self._transformed(image) for image in pool.map(self.decode.of_file, paths)]

    def _transformed(self, image: "Tensor") -> Any:
        return image if self.transform is None else self.transform(image)

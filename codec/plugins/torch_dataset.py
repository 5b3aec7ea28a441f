"""`AecDataset`: .aec files as a map-style dataset for `torch.utils.data.DataLoader`.

Importing this raises MissingPackageError, an ImportError, where torch is not installed.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import api
from ..errors import AecError
from ..extras import need
from ..io import search

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset
else:
    Dataset = need("torch.utils.data", "AecDataset").Dataset


class AecDataset(Dataset):
    """Item i is picture i: uint8 [C, H, W] on `device`, C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; 16 bits become 8.

    Pictures come in their own sizes and channels; `transform` is the place to make them alike before they are
    collated. The metadata stays behind: `Image.open` shows it.

    With `device="cpu"` any number of workers may decode, forked or spawned; each loads the model once. A GPU belongs to
    one process: use `num_workers=0` with it.

    Args:
        files: a folder, searched with all folders in it for names ending in .aec and sorted; or paths, kept in order.
        transform: what is done to each tensor; None: nothing.
        device: "auto", "cpu", "cuda" or "cuda:N".
        region: (x, y, width, height) to decode of every picture, in pixels of the whole; None: all.
        scale: 1, 1/2, 1/4 or 1/8: decode to a fraction of the size.

    Raises:
        FileNotFoundError: the folder has no .aec file in it, or is not there.
        OSError: it cannot be searched, or a folder in it.
        AecError, ValueError: from an item; the message names the file.
    """

    def __init__(
        self,
        files: str | os.PathLike | Iterable[str | os.PathLike],
        transform: "Callable[[Tensor], Any] | None" = None,
        *,
        device: str = "cpu",
        region: tuple[int, int, int, int] | None = None,
        scale: float = 1,
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
        self.transform, self.device, self.region, self.scale = transform, device, region, scale

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        path = self.paths[index]
        try:
            image = api.decode(
                path.read_bytes(), self.device, output="torch", region=self.region, scale=self.scale, depth=8
            )
        except (AecError, ValueError) as e:
            raise type(e)(f"{path}: {e}") from e
        return image if self.transform is None else self.transform(image)

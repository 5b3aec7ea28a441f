"""`PictureDecoder`: what the plugins for data loaders do with the bytes of one .aec file."""

import os
from dataclasses import dataclass
from typing import Any, Literal

from .. import api
from ..errors import AecError
from ..opened import Output, Region, Source


@dataclass(frozen=True)
class PictureDecoder:
    """A function from an .aec file to its picture, with options. It can be pickled, so worker processes may get it.

    A worker process that was spawned imports `codec` when it unpickles such a function.

    Args:
        output: "numpy" for arrays [H, W] or [H, W, 2|3|4]; "torch" for tensors [1|2|3|4, H, W]; "pil" for PIL images.
        device: "cpu", which any number of worker processes may use; or "auto", "cuda" or "cuda:N".
        region: (x, y, width, height) of the part to decode, in pixels of the whole picture; None: all.
        scale: 1, 1/2, 1/4 or 1/8: decode at a fraction of the size, which takes less time.
        at_least: (width, height): of each picture, or of its region, choose the smallest scale at which it is not
            smaller than this. None: `scale` counts.
        depth: bits a sample, 8 or 16; None: as in the file.

    Raises:
        ValueError: both `at_least` and `scale` are given. The options are checked further when a picture is decoded.
    """

    output: Output = "numpy"
    device: str = "cpu"
    region: Region | None = None
    scale: float = 1
    at_least: tuple[int, int] | None = None
    depth: Literal[8, 16] | None = 8

    def __post_init__(self) -> None:
        if self.at_least is not None and self.scale != 1:
            raise ValueError(f"at_least {self.at_least} and scale {self.scale}: each sets the scale; give one of them")

    def __call__(self, data: Source) -> Any:
        """Return the picture in an .aec file: an array, a tensor or an image, as `output` says.

        `data` and the errors are those of `codec.decode`.
        """
        file = api.open(data)
        scale = self.scale if self.at_least is None else file.scale_above(self.at_least, self.region)
        return file.decode(self.device, output=self.output, region=self.region, scale=scale, depth=self.depth)

    def of_file(self, path: str | os.PathLike) -> Any:
        """Return the picture in a file. The messages of AecError and ValueError name the file; OSError is possible."""
        try:
            return self(path)
        except (AecError, ValueError) as e:
            raise type(e)(f"{os.fspath(path)}: {e}") from e

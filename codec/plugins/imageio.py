"""`import codec.imageio_plugin`, and imageio knows .aec: `iio.imread("x.aec")`, `iio.imwrite("x.aec", array)`.

With `import codec` alone imageio goes through Pillow, which serves for 8 bits but has no mode for 16-bit colour. This
plugin is `codec.decode` and `codec.encode` themselves and takes their options: `iio.imread("x.aec", scale=1 / 4)`.
"""

from collections.abc import Iterator
from dataclasses import replace
from types import EllipsisType
from typing import Any

import numpy as np
from imageio.config import FileExtension, PluginConfig, known_extensions, known_plugins
from imageio.core.request import InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3
from numpy.typing import ArrayLike
from PIL import Image

from .. import api
from ..container import format
from ..errors import FormatError
from ..picture.pixels import to_depth, to_pil, to_pixels

Index = int | None | EllipsisType


class AecPlugin(PluginV3):
    """One picture a file. Arrays are [H, W] or [H, W, 2|3|4], uint8 or uint16.

    Raises:
        InitializationError: what is to be read is not an .aec file; imageio then tries other plugins.
        AecError, ValueError, TypeError: later, as `codec.decode` and `codec.encode` do.
    """

    def __init__(self, request: Request):
        super().__init__(request)
        if request.mode.io_mode == IOMode.read:
            data = request.get_file().read()
            try:
                self._header = format.read_header(data)
            except FormatError as e:
                raise InitializationError(str(e)) from e
            self._data = data
        elif request.extension not in (None, ".aec"):
            raise InitializationError(f"{request.extension} files are not written by aec")

    def read(self, *, index: Index = 0, mode: str | None = None, **options: Any) -> np.ndarray:
        """The picture.

        Args:
            index: 0 or None; Ellipsis for all pictures, which is one, along a first axis.
            mode: Pillow's, such as "L" or "RGBA", to which it is converted, 16 bits to 8; None: as it is.
            options: those of `codec.decode`, but for `output`.
        """
        _check_index(index)
        if mode is None:
            array = api.decode(self._data, output="numpy", **options)
        else:
            array = np.array(api.decode(self._data, **({"depth": 8} | options)).convert(mode))
        return array[None] if index is Ellipsis else array

    def iter(self, **options: Any) -> Iterator[np.ndarray]:
        yield self.read(**options)

    def write(
        self, ndimage: ArrayLike | list[ArrayLike], *, mode: str | None = None, is_batch: bool = False, **options: Any
    ) -> bytes | None:
        """Write a picture; bytes if it is written to "<bytes>".

        Args:
            ndimage: uint8 or uint16 [H, W] or [H, W, 1|2|3|4]; or one such along a first axis, or in a list.
            mode: Pillow's, to which it is converted first, 16 bits to 8; None: as it is.
            is_batch: the first axis of an array counts pictures.
            options: those of `codec.encode`.

        Raises:
            ValueError: more than one picture.
        """
        several = ndimage if isinstance(ndimage, list) else list(np.asarray(ndimage)) if is_batch else [ndimage]
        if len(several) != 1:
            raise ValueError(f"{len(several)} pictures: an .aec file holds one")
        array = np.asarray(several[0])
        data = api.encode(array if mode is None else _as_pil(array).convert(mode), **options)
        self.request.get_file().write(data)
        return data if self.request.raw_uri == "<bytes>" else None

    def properties(self, index: Index = 0) -> ImageProperties:
        _check_index(index)
        h = self._header
        channels = (1 if h.gray else 3) + h.alpha
        shape = (h.height, h.width, channels) if channels > 1 else (h.height, h.width)
        if index is Ellipsis:
            return ImageProperties((1, *shape), np.dtype(f"uint{h.depth}"), n_images=1, is_batch=True)
        return ImageProperties(shape, np.dtype(f"uint{h.depth}"))

    def metadata(self, index: Index = 0, exclude_applied: bool = True) -> dict[str, Any]:
        """icc, exif and xmp where the file has them, and the quality it was made with."""
        _check_index(index)
        blocks = api.read_metadata(self._data).blocks()
        return {"quality": self._header.quality, **blocks}


def _as_pil(array: np.ndarray) -> Image.Image:
    """Of 8 bits."""
    pixels = to_pixels(array)
    alpha = None if pixels.alpha is None else to_depth(pixels.alpha, 8)
    return to_pil(replace(pixels, data=to_depth(pixels.data, 8), alpha=alpha))


def _check_index(index: Index) -> None:
    if index not in (0, None, ...):
        raise ValueError(f"index {index}: an .aec file holds one picture")


known_plugins["aec"] = PluginConfig("aec", class_name=AecPlugin.__name__, module_name=__name__)
known_extensions[".aec"] = [FileExtension(name="aec learned image", extension=".aec", priority=["aec", "pillow"])]

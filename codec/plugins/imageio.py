"""The imageio plugin. After `import codec.imageio_plugin`, imageio reads and writes .aec files.

For example, `iio.imread("x.aec")` and `iio.imwrite("x.aec", array)`. After `import codec` alone, imageio uses the
Pillow plugin, which is enough for 8 bits but has no mode for 16-bit colour. This plugin calls `codec.decode` and
`codec.encode` directly and accepts their options, as in `iio.imread("x.aec", scale=1 / 4)`.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
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
from ..picture.pixels import to_pixels
from ..picture.samples import to_depth, to_pil

Index = int | None | EllipsisType


class AecPlugin(PluginV3):
    """Reads and writes .aec files, which hold one picture each. Arrays are [H, W] or [H, W, 2|3|4], uint8 or uint16.

    Raises:
        InitializationError: the file to read is not an .aec file, or the file to write has another suffix. imageio then
            tries other plugins.
        AecError, ValueError, TypeError: raised by the methods, as by `codec.decode` and `codec.encode`.
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
        """Decode the picture.

        Args:
            index: 0 or None for the picture; Ellipsis to add a first axis of length 1, which counts pictures.
            mode: a Pillow mode, such as "L" or "RGBA", to which the picture is converted, with 8 bits; None: no
                conversion.
            options: the options of `codec.decode`, except `output`.

        Raises:
            ValueError: another index.
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
        """Encode and write a picture. Returns the file's bytes if the target is "<bytes>", else None.

        Args:
            ndimage: uint8 or uint16 [H, W] or [H, W, 1|2|3|4]; or a list of one such array; or, with `is_batch`, an
                array with one more axis, of length 1, in front.
            mode: a Pillow mode to which the picture is converted first, with 8 bits; None: no conversion.
            is_batch: whether the first axis of the array counts pictures.
            options: the options of `codec.encode`.

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
        """Return icc, exif, xmp, cicp and bits, as far as the file has them, and its quality (0 if stored)."""
        _check_index(index)
        found = {k: v for k, v in asdict(api.read_metadata(self._data)).items() if v}
        return {"quality": self._header.quality, **found}


def _as_pil(array: np.ndarray) -> Image.Image:
    """Convert an array to a PIL image with 8 bits."""
    pixels = to_pixels(array)
    alpha = None if pixels.alpha is None else to_depth(pixels.alpha, 8)
    return to_pil(replace(pixels, data=to_depth(pixels.data, 8), alpha=alpha))


def _check_index(index: Index) -> None:
    if index not in (0, None, ...):
        raise ValueError(f"index {index}: an .aec file holds one picture")


known_plugins["aec"] = PluginConfig("aec", class_name=AecPlugin.__name__, module_name=__name__)
known_extensions[".aec"] = [FileExtension(name="aec learned image", extension=".aec", priority=["aec", "pillow"])]

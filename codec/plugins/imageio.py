"""`import codec.imageio_plugin`, and imageio knows .aec: `iio.imread("x.aec")`, `iio.imwrite("x.aec", array)`.

With `import codec` alone imageio goes through Pillow, which serves for 8 bits but has no mode for 16-bit colour. This
plugin is `codec.decode` and `codec.encode` themselves and takes their options: `iio.imread("x.aec", scale=1 / 4)`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from imageio.config import FileExtension, PluginConfig, known_extensions, known_plugins
from imageio.core.request import InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3
from numpy.typing import ArrayLike

from .. import api
from ..container import format
from ..errors import FormatError


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

    def read(self, *, index: int | None = 0, **options: Any) -> np.ndarray:
        """The picture; options are those of `codec.decode`."""
        if index not in (0, None, ...):
            raise ValueError(f"index {index}: an .aec file holds one picture")
        return api.decode(self._data, output="numpy", **options)

    def iter(self, **options: Any) -> Iterator[np.ndarray]:
        yield self.read(**options)

    def write(self, ndimage: ArrayLike | list[ArrayLike], **options: Any) -> bytes | None:
        """Options are those of `codec.encode`."""
        data = api.encode(np.asarray(ndimage), **options)
        self.request.get_file().write(data)
        return data if self.request.raw_uri == "<bytes>" else None

    def properties(self, index: int | None = 0) -> ImageProperties:
        h = self._header
        channels = (1 if h.gray else 3) + h.alpha
        shape = (h.height, h.width, channels) if channels > 1 else (h.height, h.width)
        return ImageProperties(shape, np.dtype(f"uint{h.depth}"))

    def metadata(self, index: int | None = 0, exclude_applied: bool = True) -> dict[str, Any]:
        """icc, exif and xmp where the file has them, and the quality it was made with."""
        blocks = api.read_metadata(self._data).blocks()
        return {"quality": self._header.quality, **blocks}


known_plugins["aec"] = PluginConfig("aec", class_name=AecPlugin.__name__, module_name=__name__)
known_extensions[".aec"] = [FileExtension(name="aec learned image", extension=".aec", priority=["aec", "pillow"])]

"""The webdataset plugin: `webdataset.WebDataset("shard.tar").decode(codec.plugins.webdataset.handler)`.

It needs no package but `codec`: a handler of webdataset is any function of a member's name and bytes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .picture_decoder import PictureDecoder


def decoder(**options: Any) -> Callable[[str, bytes], Any]:
    """Return a handler for `WebDataset.decode` that decodes the members whose names end in .aec.

    It can be given together with other handlers, as in `decode(decoder(output="torch"), "torchrgb8")`. It can be
    pickled.

    Args:
        options: those of `PictureDecoder`: output, device, region, scale, at_least and depth.

    Returns:
        A function (name, bytes of the member) -> the picture, or None if the name has another suffix.

    Raises:
        TypeError, ValueError: as `PictureDecoder`. The handler raises the errors of `codec.decode`.
    """
    return partial(_handle, PictureDecoder(**options))


def _handle(decode: PictureDecoder, key: str, data: bytes) -> Any:
    """Decode a member.

    Args:
        key: the member's name from its first dot on, such as ".aec" or ".left.aec".
    """
    return decode(data) if key.lower().endswith(".aec") else None


handler = decoder()  # arrays, uint8 [H, W] or [H, W, 2|3|4]

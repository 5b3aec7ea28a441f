"""Pictures that a command was given, opened without trust."""

import io
from typing import TYPE_CHECKING

from .. import errors
from ..container import format
from ..io import InputError

if TYPE_CHECKING:
    from ..picture.pixels import Pixels


def open_picture(data: bytes) -> "Pixels":
    """A still picture for `codec.encode`, its size checked before its pixels are touched.

    Raises:
        LimitError: too large.
        InputError: not a picture, a damaged one, or an animation.
        MemoryError: too large for this machine.
    """
    from PIL import Image, UnidentifiedImageError

    from ..picture.pixels import read_tiff, to_pixels, upright
    from ..picture.tiff_directory import is_tiff

    if data.startswith(format.MAGIC):
        raise InputError("an .aec file already: aec decompress reads it")
    Image.MAX_IMAGE_PIXELS = None  # the format's own limit is the one that is checked
    try:
        if is_tiff(data):
            return upright(*read_tiff(data))
        return to_pixels(Image.open(io.BytesIO(data)))
    except UnidentifiedImageError as e:
        raise InputError("not a picture that Pillow can read") from e
    except (errors.LimitError, MemoryError):
        raise
    except Exception as e:  # Pillow's readers raise all kinds on damaged files: struct.error, OverflowError ..
        raise InputError(f"cannot read the picture: {str(e).removeprefix('cannot read the picture: ')}") from e

"""Pictures that a command was given, opened without trust."""

import io
from typing import TYPE_CHECKING

from .. import errors
from ..container import format
from ..io import InputError

if TYPE_CHECKING:
    from PIL import Image


def open_picture(data: bytes) -> "Image.Image":
    """A still picture for `codec.encode`, its size checked before its pixels are touched.

    It is decoded, unless it has 16-bit colour, which `codec.encode` has to see while it still lies in the file.

    Raises:
        LimitError: too large.
        InputError: not a picture, a damaged one, or an animation.
        MemoryError: too large for this machine.
    """
    from PIL import Image, UnidentifiedImageError

    from ..picture.pixels import open_checked

    if data.startswith(format.MAGIC):
        raise InputError("an .aec file already: aec decompress reads it")
    Image.MAX_IMAGE_PIXELS = None  # the format's own limit is the one that is checked
    try:
        picture = Image.open(io.BytesIO(data))
        open_checked(picture)
    except UnidentifiedImageError as e:
        raise InputError("not a picture that Pillow can read") from e
    except (errors.LimitError, MemoryError):
        raise
    except Exception as e:  # Pillow's readers raise all kinds on damaged files: struct.error, OverflowError ..
        raise InputError(f"cannot read the picture: {e}") from e
    return picture

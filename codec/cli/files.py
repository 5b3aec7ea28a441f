"""Pictures that a command was given, opened without trust."""

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
    from PIL import UnidentifiedImageError

    from ..picture.pixels import of_file

    if data.startswith(format.MAGIC):
        raise InputError("an .aec file already: aec decompress reads it")
    try:
        return of_file(data)
    except UnidentifiedImageError as e:
        raise InputError(str(e)) from e
    except (errors.LimitError, MemoryError):
        raise
    except Exception as e:  # Pillow's readers raise all kinds on damaged files: struct.error, OverflowError ..
        raise InputError(f"cannot read the picture: {str(e).removeprefix('cannot read the picture: ')}") from e

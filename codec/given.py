"""Opening of the pictures that a command or a batch job was given. They may be damaged or malicious."""

from typing import TYPE_CHECKING

from . import errors
from .container import format
from .io import InputError

if TYPE_CHECKING:
    from .picture.samples import Pixels


def open_picture(data: bytes) -> "Pixels":
    """Open a still picture for `codec.encode`. Its size is checked before its pixels are decoded.

    Args:
        data: the bytes of the picture's file.

    Raises:
        LimitError: the picture is larger than the format allows.
        InputError: the data is not a picture, or is damaged or an animation.
        MemoryError: the picture does not fit into the memory of this machine.
    """
    from PIL import UnidentifiedImageError

    from .picture.pixels import of_file

    if data.startswith(format.MAGIC):
        raise InputError("an .aec file already: aec decompress reads it")
    try:
        return of_file(data)
    except UnidentifiedImageError as e:
        raise InputError(str(e)) from e
    except (errors.LimitError, MemoryError):
        raise
    except Exception as e:  # for damaged files, Pillow raises many kinds of errors: struct.error, OverflowError ..
        raise InputError(f"cannot read the picture: {str(e).removeprefix('cannot read the picture: ')}") from e

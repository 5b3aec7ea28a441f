"""Samples of a picture -> the input of the analysis transform."""

import numpy as np

from .. import _C
from ..container.format import Tile
from ..picture.samples import Pixels
from .model_tensors import PIXEL_UNIT
from .threads import available

WHITE = 255 * PIXEL_UNIT  # the distance between black and white


def box(area: Tile) -> tuple[int, int, int, int]:
    """Return an area as `_C` takes it."""
    return area.x, area.y, area.width, area.height


def tile_input(pixels: Pixels, area: Tile) -> np.ndarray:
    """Return an area of a picture as the analysis transform reads it (csrc/tile/tile_input.h).

    Where alpha is 0, colours are replaced by such that cost few bits. Beyond the picture's right and bottom edges, the
    edge pixels are repeated.

    Returns:
        int16 [height, width, 3] with sides rounded up to multiples of 16, in units of 1/32 of an 8-bit level; 0 is
        mid-gray.
    """
    return _C.tile_input(pixels.data, pixels.alpha, box(area), available())

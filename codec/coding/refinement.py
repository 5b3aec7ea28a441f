"""Refinement: the encoder decodes its own symbols and improves the latents by the errors that it finds.

csrc/tile/refinement.h explains and implements it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _C


@dataclass(frozen=True)
class Symbols:
    """The chosen symbols of one tile, one segment after the other.

    Args:
        symbols, indexes: [N] int16 and [N] uint8, arrays or tensors on the encoder's device.
        segments: lengths of the segments.
        latents: the decoder's latents, int16 [h, w, M] in units of 2^-12.
    """

    symbols: Any
    indexes: Any
    segments: list[int]
    latents: np.ndarray


def iterations(tune: str, effort: int) -> int:
    """Return the number of iterations at an effort, 1..9, for a model trained for `tune`, one of TUNES."""
    return _C.iterations(tune, effort)

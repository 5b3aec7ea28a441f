"""Samples that are integers of any number of bits, spread over the whole range of the type that holds them."""

import numpy as np


def whole_range(values: np.ndarray, bits: int) -> np.ndarray:
    """0 stays 0, and 2^bits - 1 becomes the type's largest value, 255 or 65535; between them it is rounded.

    The upper bits of what results are the integer that was given, so that nothing is lost.

    Args:
        values: uint8 or uint16 of any shape, 0 to 2^bits - 1.
        bits: 1 to the type's.
    """
    full, top = np.iinfo(values.dtype).max, 2**bits - 1
    if top == full:
        return values
    return ((values.astype(np.uint32) * full + top // 2) // top).astype(values.dtype)

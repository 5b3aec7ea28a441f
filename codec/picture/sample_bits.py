"""Scaling of samples with any number of bits to the whole range of the type that holds them."""

import numpy as np


def whole_range(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale samples so that 2^bits - 1 becomes the largest value of their type, 255 or 65535. Values are rounded.

    The upper `bits` bits of the results are the original integers, so nothing is lost.

    Args:
        values: uint8 or uint16 of any shape, 0 to 2^bits - 1.
        bits: from 1 to the number of bits of the type.
    """
    full, top = np.iinfo(values.dtype).max, 2**bits - 1
    if top == full:
        return values
    return ((values.astype(np.uint32) * full + top // 2) // top).astype(values.dtype)

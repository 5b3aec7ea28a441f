"""What JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

INFINITE = "∞"  # the PSNR of equal pictures, which must not be taken for one that is not known


def finite(value: object) -> object:
    """The value, with INFINITE for numbers that are +inf and None for those that are NaN or -inf."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return INFINITE if value > 0 else None
    return value

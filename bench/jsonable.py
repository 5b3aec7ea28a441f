"""Makes values representable in JSON, which has no infinities and no NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping

INFINITE = "∞"  # stands for the PSNR of equal pictures, so that it differs from one that is not defined (None)


def finite(value: object) -> object:
    """A copy of the value in which numbers that are +inf are INFINITE, and those that are NaN or -inf are None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return INFINITE if value > 0 else None
    return value

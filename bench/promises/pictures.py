"""Pictures for the checks: the same in every run and on every machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..inputs import load_image

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


@cache
def _samples() -> list[np.ndarray]:
    return [load_image(path) for path in sorted(SAMPLES.glob("*.png"))]


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A part of a photograph with a little noise, or all of it repeated, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    sample = _samples()[seed % len(_samples())]
    rows, columns = (-(-side // have) + 1 for side, have in zip((height, width), sample.shape, strict=False))
    mosaic = np.tile(sample, (rows, columns, 1))
    y, x = rng.integers(0, sample.shape[0]), rng.integers(0, sample.shape[1])
    part = mosaic[y : y + height, x : x + width]
    return np.clip(part + rng.integers(-2, 3, part.shape, np.int16), 0, 255).astype(np.uint8)


def gradient(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth ramp with a little grain, uint8 [height, width, 3]: seams would be seen there first."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(40, 216, (2, 2, 3), np.uint8)
    ramp = np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))
    return np.clip(ramp + rng.normal(0, 1.5, ramp.shape), 0, 255).round().astype(np.uint8)

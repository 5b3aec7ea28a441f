"""Pictures for the tests: synthetic ones, the same everywhere, and the real ones that happen to be there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ASTRONAUT = ROOT / "tests" / "pictures" / "astronaut.png"
KODAK = ROOT / ".." / "shared" / "data" / "test" / "kodak"


def _smooth(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation of a grid, [n, m] -> [height, width]."""
    y, x = np.linspace(0, grid.shape[0] - 1.001, height), np.linspace(0, grid.shape[1] - 1.001, width)
    i, j = y.astype(int), x.astype(int)
    fy, fx = (y - i)[:, None], (x - j)[None, :]
    top = grid[i][:, j] * (1 - fx) + grid[i][:, j + 1] * fx
    bottom = grid[i + 1][:, j] * (1 - fx) + grid[i + 1][:, j + 1] * fx
    return top * (1 - fy) + bottom * fy


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Photo-like uint8 [height, width, 3]: noise with the 1/f spectrum of photographs, and a few hard edges."""
    rng = np.random.default_rng(seed)
    luma = np.zeros((height, width))
    chroma = np.zeros((height, width, 2))
    for octave in range(1, 8):
        n = 2**octave + 1
        luma += _smooth(rng.normal(size=(n, n)), height, width) * 60 / 2 ** (0.9 * octave)
        if octave < 4:
            chroma += np.stack([_smooth(rng.normal(size=(n, n)), height, width) for _ in range(2)], -1) * 30 / 2**octave
    y, x = np.mgrid[:height, :width]
    for _ in range(6):
        cy, cx, r = rng.random() * height, rng.random() * width, (0.1 + 0.2 * rng.random()) * min(height, width)
        luma[(y - cy) ** 2 + (x - cx) ** 2 < r * r] += rng.normal() * 30
    red, blue = chroma[..., 0], chroma[..., 1]
    rgb = np.stack([luma + red, luma - 0.4 * red - 0.3 * blue, luma + blue], -1) + 120
    return np.clip(rgb, 0, 255).round().astype(np.uint8)


def gradient(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth ramps with a little grain: where a seam would be seen first. uint8 [height, width, 3]."""
    y, x = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(-100, 100, (3, 3))
    ramps = np.stack([128 + a[i] * (x - 0.5) + b[i] / 2 * (y - 0.5) + c[i] * (x * y - 0.25) for i in range(3)], -1)
    return np.clip(ramps + rng.normal(0, 1.5, ramps.shape), 0, 255).round().astype(np.uint8)


def astronaut() -> np.ndarray:
    """A real photograph, uint8 [H, W, 3]."""
    return np.array(Image.open(ASTRONAUT).convert("RGB"))


def kodak(number: int) -> np.ndarray:
    """Kodak picture 1..24, uint8 [H, W, 3]; skips the test where the set is not at hand."""
    path = KODAK / f"kodim{number:02}.png"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return np.array(Image.open(path).convert("RGB"))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between uint8 images, at most 100."""
    return float(10 * np.log10(255**2 / max(1e-5, np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))))

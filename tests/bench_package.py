"""The bench under test, and pictures for it."""

import importlib

import numpy as np

try:
    import bench  # the tree
except ImportError:
    from codec import bench  # the wheel


def module(name):
    return importlib.import_module(f"{bench.__name__}.{name}")


def picture(height, width, seed=0):
    """Smooth shapes with a little noise, so that quality matters. uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = [127 + 90 * np.sin(x / (5 + c) + seed) * np.cos(y / (7 - c)) for c in range(3)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)

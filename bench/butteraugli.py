"""Butteraugli, the perceptual distance that libjxl's encoder minimises, measured by libjxl's own program."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

PROGRAM = "butteraugli_main"  # of Debian's package libjxl-devtools
MIN_SIDE = 8  # pixels; for smaller pictures the program always answers 0


def butteraugli(original: np.ndarray, decoded: np.ndarray) -> float:
    """The 3-norm of the map of differences, for a screen of 80 nits.

    The program also gives the largest difference, which is not used because it depends on a single spot.

    Args:
        original, decoded: uint8 [H, W, 3], sRGB, both sides at least MIN_SIDE.

    Returns:
        0 for equal pictures, about 0.5 where a difference is hard to see, 3 where it is plain.

    Raises:
        RuntimeError: the program fails; the message has the last line of its output.
    """
    with tempfile.TemporaryDirectory(prefix="aec-bench-") as folder:
        paths = [Path(folder) / name for name in ("original.png", "decoded.png")]
        for path, pixels in zip(paths, (original, decoded), strict=True):
            Image.fromarray(pixels).save(path, compress_level=1)
        done = subprocess.run([PROGRAM, *paths], capture_output=True, text=True)
    found = re.search(r"^3-norm: ([\d.]+)$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{PROGRAM} ended with {done.returncode}: {said[-1] if said else 'it said nothing'}")
    return float(found[1])

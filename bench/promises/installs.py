"""It can be installed: a wheel, into an environment that has nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from .check import ROOT, Check, Extent, Measured, NotHere

SCRIPT = """
import numpy as np, codec
image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
assert codec.decode(codec.encode(image, 50), output="numpy").shape == image.shape
"""


def megabytes(folder: Path) -> float:
    """The size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def here(extent: Extent) -> Measured:
    """Build a wheel, install it where nothing is installed, and take the time of importing and one round trip."""
    if not (ROOT / "setup.py").is_file():
        raise NotHere("this is an installed package already; a clone can build a wheel")
    if not extent.long:
        raise NotHere("minutes of compiling, and a network for numpy and Pillow: --long, or .ci/run")
    with tempfile.TemporaryDirectory() as name:
        build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", name, str(ROOT)]
        done = subprocess.run(build, capture_output=True, text=True)
        if done.returncode:
            raise NotHere(f"no wheel can be built: {done.stderr.strip()[-200:]}")
        (wheel,) = Path(name).glob("*.whl")
        venv.create(f"{name}/env", with_pip=True)
        python, empty = str(Path(name, "env", "bin", "python")), megabytes(Path(name, "env"))
        done = subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], capture_output=True, text=True)
        if done.returncode:
            raise NotHere(f"it cannot be installed: {done.stderr.strip()[-200:]}")
        size = megabytes(Path(name, "env")) - empty
        start = time.perf_counter()
        done = subprocess.run([python, "-c", SCRIPT], capture_output=True, text=True, cwd=name, env={"PATH": ""})
        seconds = time.perf_counter() - start
    version = ".".join(map(str, sys.version_info[:2]))
    figure = f"Linux, Python {version}, no compiler on the path: import and a round trip in {seconds:.1f} s; "
    figure += f"{size:.0f} MB with all that it needs"
    return Measured(figure if done.returncode == 0 else done.stderr[-200:], done.returncode == 0 and seconds < 60)


def elsewhere(extent: Extent) -> Measured:
    raise NotHere("macOS, Windows and other Pythons each need a machine or an installation of their own")


CHECKS = [
    Check(19, "a wheel in a clean environment, without a compiler", here),
    Check(19, "macOS, Windows, other versions of Python", elsewhere),
]

"""The npm package, built once for all tests, and calls of it in node."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec.coding import model_search

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"


def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package, with the page to try it and one model, once for all processes that run tests.

    The test is skipped where emscripten is not installed.
    """
    if shutil.which("em++") is None:
        pytest.skip("em++ is not installed (Debian: apt-get install emscripten)")
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "web-package"
    with open(f"{out}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "models").exists():
            command = [sys.executable, ROOT / "csrc" / "web" / "build.py", out, "--model=eye", "--page"]
            environment = os.environ | {"AEC_WEB_OBJECTS": str(objects_of(out))}
            subprocess.run(command, check=True, env=environment, timeout=550)
    return out


def objects_of(package: Path) -> Path:
    """The folder of the object files that a package was linked of: ROOM-NAME.o."""
    return Path(os.environ.get("AEC_WEB_OBJECTS", f"{package}-objects"))


def in_node(package: Path, jobs: list[dict], workers: int = 2) -> list[dict]:
    """Run calls of the package in node. The models of the golden files are given as they are, not packed."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    ids = {path: model_search.id_in(model_search.header_of(path)) for path in GOLDEN.glob("tiny?.safetensors")}
    models = {id.hex(): str(path) for path, id in ids.items()}
    work = json.dumps({"models": models, "workers": workers, "jobs": jobs}).encode()
    command = ["node", str(ROOT / "tests" / "web" / "run.mjs"), str(package)]
    run = subprocess.run(command, input=work, capture_output=True, timeout=500)
    assert run.returncode == 0, run.stderr.decode()
    return json.loads(run.stdout)


def rgba(samples: np.ndarray) -> np.ndarray:
    """What the package makes of a picture that Python has decoded: red, green, blue and alpha."""
    if samples.ndim == 2:
        samples = samples[..., None]
    colours, alpha = samples, np.full((*samples.shape[:2], 1), np.iinfo(samples.dtype).max, samples.dtype)
    if samples.shape[2] in (2, 4):
        colours, alpha = samples[..., :-1], samples[..., -1:]
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    return np.concatenate([colours, alpha], axis=2)


def hash_of(samples: np.ndarray) -> str:
    return hashlib.sha256(rgba(samples).tobytes()).hexdigest()

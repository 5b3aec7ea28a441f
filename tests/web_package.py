"""The npm package, built once for all tests of a file, and calls of it in node."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from codec.coding import model_search

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"


def build(out: Path, models: list[str]) -> Path:
    """Build the package into a folder; the test is skipped where emscripten is not installed."""
    if shutil.which("em++") is None:
        pytest.skip("em++ is not installed (Debian: apt-get install emscripten)")
    script = ROOT / "csrc" / "web" / "build.py"
    if not script.exists():
        pytest.skip("the sources of the package are not here")
    spec = importlib.util.spec_from_file_location("web_build", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(out), *(f"--model={model}" for model in models)])
    return out


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

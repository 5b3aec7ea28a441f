"""The package's annotations hold, and tell those who call it what they get: mypy, as pyproject.toml sets it."""

import ast
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from codec import _C

ROOT = Path(__file__).parent.parent
# What a user may write, checked as by `mypy --strict`: these are what our own settings leave out of it.
USER = """\
# mypy: disallow-any-generics, warn-return-any, disallow-untyped-calls
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from typing_extensions import assert_type

import codec

data = codec.encode(Image.new("RGB", (8, 8)), quality=60)
assert_type(data, bytes)
assert_type(codec.encode(np.zeros((8, 8, 3), np.uint8), effort=3, lossless=True), bytes)

assert_type(codec.decode(data), Image.Image)
assert_type(codec.decode(Path("x.aec"), "cpu", None, "pil", 10**6, fit=(640, 480)), Image.Image)
assert_type(codec.decode(data, output="numpy"), np.ndarray[tuple[Any, ...], np.dtype[Any]])
assert_type(codec.decode("x.aec", "cpu", output="numpy", max_pixels=None, depth=16).ndim, int)
assert_type(codec.decode(data, "cuda:0", output="torch"), torch.Tensor)

with open("x.aec", "rb") as file:
    opened = codec.open(file)
assert_type(opened, codec.AecFile)
assert_type(opened.decode(), Image.Image)
assert_type(opened.decode(output="numpy"), np.ndarray[tuple[Any, ...], np.dtype[Any]])
assert_type(opened.decode(output="torch", region=(0, 0, 4, 4), scale=1 / 2), torch.Tensor)
assert_type(opened.metadata.icc, bytes | None)
assert_type(opened.n_bytes, int)

header = codec.inspect(Path("x.aec"))
assert_type(header, codec.Header)
assert_type(header.width, int)
assert_type(codec.read_metadata(data), codec.Metadata)
assert_type(codec.features(data), np.ndarray[tuple[Any, ...], np.dtype[Any]])
codec.features(opened, model="eye") @ codec.features(Image.new("RGB", (8, 8)))

# What is wrong is said to be: an ignore that nothing needs is an error.
codec.decode(data, output="jpeg")  # type: ignore[call-overload]
codec.decode(data, "cpu", None, 10**6)  # type: ignore[call-overload]
codec.decode(data, scale="1/2")  # type: ignore[call-overload]
codec.encode(data)  # type: ignore[arg-type]
codec.inspect(7)  # type: ignore[arg-type]
codec.features(7)  # type: ignore[arg-type]
"""


def _missing() -> list[str]:
    missing = []
    for name in ("mypy", "types-tqdm", "imageio", "torch"):
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing


@pytest.fixture(scope="module")
def complaints(tmp_path_factory) -> list[str]:
    """What mypy says of the package and of the user's program, both in one run, for it takes 20 s."""
    if missing := _missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("types")
    (folder / "users_program.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), "-p", "codec", "-m", "users_program"]
    environment = {**os.environ, "MYPYPATH": str(folder)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    *lines, total = run.stdout.splitlines()
    assert total.startswith(("Success", "Found")), run.stdout
    return lines


def test_the_package_type_checks(complaints):
    assert [line for line in complaints if "users_program.py" not in line] == []


def test_a_strict_users_program_knows_what_calls_give(complaints):
    assert [line for line in complaints if "users_program.py" in line] == []


def test_the_stub_names_all_that_the_extension_has():
    stub = {}
    for node in ast.parse((ROOT / "codec" / "_C.pyi").read_text()).body:
        if isinstance(node, ast.ClassDef):
            methods = {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
            attributes = {member.target.id for member in node.body if isinstance(member, ast.AnnAssign)}
            stub[node.name] = methods | attributes
        elif isinstance(node, ast.FunctionDef):
            stub[node.name] = set()
        elif isinstance(node, ast.AnnAssign):
            stub[node.target.id] = set()
    for name in (name for name in dir(_C) if not name.startswith("__")):
        assert name in stub
        if isinstance(value := getattr(_C, name), type) and not issubclass(value, Exception):
            assert {member for member in vars(value) if not member.startswith("_")} <= stub[name]

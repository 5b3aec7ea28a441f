"""The tests marked `kernels` without a GPU: the .cu files, compiled by g++ with the sanitizers, run on the CPU.

In a process of its own, because the address sanitizer must be the first library that a process loads.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "emulation"  # kept: the next run compiles what has changed
SANITIZERS = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"


CXX = os.environ.get("CXX", "c++")


def run(*command: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)


@pytest.fixture(scope="module", autouse=True)
def compiler():
    if sys.platform != "linux" or shutil.which(CXX) is None:
        pytest.skip(f"the emulation needs Linux and a C++ compiler ({CXX})")


@pytest.fixture(scope="module")
def extension() -> Path:
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", str(BUILD / "lib")]
    built = run(*command, "--build-temp", str(BUILD / "temp"), AEC_CUDA="emulate", CXXFLAGS=SANITIZERS)
    assert built.returncode == 0, built.stdout + built.stderr
    return next((BUILD / "lib" / "codec").glob("_C.*.so"))


def test_emulation_runs_kernels_and_finds_their_mistakes(tmp_path):
    here = ROOT / "tests" / "cuda_emulation"
    flags = ["-std=c++17", "-Wall", "-Wextra", *SANITIZERS.split(), f"-I{here}", f"-I{ROOT / 'csrc'}"]
    built = run(CXX, *flags, *map(str, here.glob("*.cpp")), "-o", str(tmp_path / "selftest"))
    assert built.returncode == 0, built.stderr
    tests = run(str(tmp_path / "selftest"))
    assert (tests.returncode, tests.stdout) == (0, "ok\n"), tests.stdout + tests.stderr


def test_kernels_pass_their_tests_in_emulation(extension):
    # The sanitizer looks for __cxa_throw when it starts, so libstdc++ must be there by then.
    libraries = [run(CXX, f"-print-file-name={name}").stdout.strip() for name in ("libasan.so", "libstdc++.so.6")]
    modules = [str(path) for path in Path(__file__).parent.glob("test_*.py") if "mark.kernels" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "--capture=sys", "-m", "kernels", *modules]
    tests = run(*command, AEC_EMULATION=str(extension), LD_PRELOAD=" ".join(libraries), ASAN_OPTIONS="detect_leaks=0")
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert " passed" in tests.stdout and " skipped" not in tests.stdout

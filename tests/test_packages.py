"""What is in the archives: the source's has all that its tests need, the wheel what runs and no more."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import codec

ROOT = Path(__file__).resolve().parents[1]
EXTRA = "codec/models/extra/"  # models that are packages of their own
pytest.importorskip("setuptools", reason="setuptools is not installed")


@pytest.fixture(scope="module")
def tracked():
    """Paths of the files in the repository."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not in a clone")
    done = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


def setup(*arguments) -> None:
    done = subprocess.run([sys.executable, "setup.py", "-q", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_source_archive_has_all_files_but_results_of_the_bench(tracked, tmp_path):
    setup("egg_info", "--egg-base", str(tmp_path))
    packed = set((tmp_path / "aec_codec.egg-info/SOURCES.txt").read_text().splitlines())
    assert f"\nVersion: {codec.__version__}\n" in (tmp_path / "aec_codec.egg-info/PKG-INFO").read_text()
    folders = ("bench/results/", ".ci/", EXTRA)
    left_out = {name for name in tracked if name.startswith(folders) or name == ".gitignore"}
    assert tracked - packed == left_out


def test_the_wheel_has_the_package_and_no_tests_results_or_notes(tracked, tmp_path):
    setup("build_py", "--build-lib", str(tmp_path))
    packed = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    code = {name for name in tracked if name.startswith(("codec/", "aec_command")) and not name.startswith(EXTRA)}
    bench = {name for name in tracked if name.endswith((".py", ".mjs")) and name.startswith("bench/")}
    bench |= {name for name in tracked if name.startswith(("bench/assets/", "bench/samples/"))}
    assert packed == code | {f"codec/{name}" for name in bench}

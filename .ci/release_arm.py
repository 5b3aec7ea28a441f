"""Pythons for aarch64 that run here: Debian's packages for it, unpacked into a folder, and qemu's user mode.

Each Debian has one version of Python, so wheels for two versions are run. Nothing is installed: apt keeps its lists in
the same folder, and the packages' scripts are not run.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# By tag of Python: its Debian, and what it needs of that beside Python itself.
_COMMON = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5")
SUITES = {
    "cp311": ("bookworm", (*_COMMON, "libssl3")),
    "cp313": ("trixie", (*_COMMON, "libssl3t64", "libzstd1", "libmpdec4")),
}
PLATFORMS = [f"manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_34")]
QEMU = "qemu-aarch64-static"
# Programs of Debian 13 sign the addresses that they return to. qemu computes the signature of the Arm architecture in
# many steps, and then takes four times as long for Python as with a signature of its own, which an Arm processor may
# have as well.
CPU = "max,pauth-impdef=on"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Missing(Exception):
    """What this machine lacks to run programs for aarch64."""


@dataclass(frozen=True)
class System:
    root: Path
    version: str  # of Python, such as 3.11

    @property
    def python(self) -> list:
        return [QEMU, "-cpu", CPU, "-L", self.root, self.root / f"usr/bin/python{self.version}"]


def system(folder: Path, tag: str) -> System:
    """Download and unpack the Python of a tag of SUITES. Raises Missing."""
    for tool in (QEMU, "apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")
    suite, packages = SUITES[tag]
    version = f"{tag[2]}.{tag[3:]}"
    lists, root = folder / "apt", folder / "root"
    for path in (lists / "lists/partial", lists / "cache/archives/partial", root):
        path.mkdir(parents=True)
    (lists / "status").touch()
    (lists / "sources.list").write_text(f"deb [signed-by={KEYS}] {_mirror()} {suite} main\n")
    settings = {"APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "root"}
    settings |= {"Dir::State": lists, "Dir::State::status": lists / "status", "Dir::Cache": lists / "cache"}
    settings |= {"Dir::Etc::sourcelist": lists / "sources.list", "Dir::Etc::sourceparts": "/dev/null"}
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items())]
    _run([*apt, "update"], lists)
    of_python = (f"libpython{version}-minimal", f"libpython{version}-stdlib", f"python{version}-minimal")
    _run([*apt, "download", *of_python, *packages], lists)
    for package in lists.glob("*.deb"):
        _run(["dpkg-deb", "-x", package, root], lists)
    if not (root / "lib").exists():  # from trixie on, packages leave this link to base-files
        (root / "lib").symlink_to("usr/lib")
    return System(root, version)


def _mirror() -> str:
    """The address of Debian's packages that this machine's apt uses."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in (p for p in sources if p.is_file()):
        for line in path.read_text().splitlines():
            if not line.startswith("#") and (found := re.search(r"\bhttps?://\S+/debian(?=/?(\s|$))", line)):
                return found[0]
    raise Missing("apt has no source of Debian's packages")


def _run(command: list, folder: Path) -> None:
    done = subprocess.run([str(c) for c in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command[-2:]))}: {done.stderr[-500:]}")

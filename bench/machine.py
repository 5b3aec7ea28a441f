"""Describes the machine and the version of the source code, for the reports."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from codec.coding.threads import cores


def machine_line(with_gpu: bool) -> str:
    """The processor, its number of cores, the GPU, and versions of Python and libraries, as one line of text.

    Args:
        with_gpu: whether to name the GPU, for which torch is imported.
    """
    parts = [f"{_cpu_model()}, {cores()} cores"]
    if with_gpu:
        import torch

        if torch.cuda.is_available():
            parts.append(torch.cuda.get_device_name())
    parts.append(f"Python {platform.python_version()}")
    for package in ("torch", "pillow"):
        try:
            parts.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"no {package}")
    return ", ".join(parts)


def source_commit() -> str:
    """The commit of the source tree that this file is in, followed by "+" if the tree has changes; "" if it is in no
    repository."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        # An installed package may lie inside another project's repository. So git must know this very file.
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()

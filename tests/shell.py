"""The `aec` command for its tests: as a process of its own, and, where that says as much, in this one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import codec
from codec.cli import parser
from codec.container import format

INSTALLED = shutil.which("aec", path=Path(sys.executable).parent)  # beside this Python, not just anywhere on the path
AEC = [INSTALLED] if INSTALLED else [sys.executable, "-m", "codec.cli"]


def aec(*arguments, stdin: bytes = b"", cwd=None, **environment) -> subprocess.CompletedProcess:
    """stdout is bytes, stderr text."""
    done = subprocess.run(
        [*AEC, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=os.environ | environment,
        timeout=600,  # a machine may be busy
    )
    done.stderr = done.stderr.decode()
    return done


def here(*arguments) -> int:
    """The same in this process, where torch is loaded already: for what needs no process of its own."""
    try:
        return parser.main([str(a) for a in arguments])
    except SystemExit as e:
        return e.code


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def damage(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 4]) + data[-2:]


def of_another_model(data: bytes) -> bytes:
    header = format.read(data).header
    return format.write(
        codec.Header(header.width, header.height, header.quality, b"\xde\xad\xbe\xef"),
        [bytes(p) for p in format.read(data).payloads],
    )

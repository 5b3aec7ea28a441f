"""Files: found, read, written whole or not at all, not replaced by accident; and the suffixes that pictures have."""

import errno
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# By which pictures are told from other files in folders and archives: what Pillow reads and people keep.
IMAGE_SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".gif", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".ico", ".icns", ".cur", ".psd", ".pcx", ".dcx", ".dds"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi", ".sgi", ".rgb", ".rgba", ".bw", ".im", ".xbm", ".xpm"),
}


class OutputError(Exception):
    """The output exists already, or cannot be written."""


class ExistsError(OutputError):
    """There is something where the output is to be."""


class InputError(Exception):
    """The input cannot be read as what it should be."""


@dataclass(frozen=True)
class Found:
    """What is in a folder.

    Args:
        files: whose names end as was asked, sorted; a link that leads nowhere is one too, for reading it says so.
        problems: folders that cannot be listed.
        left_out: the others; above all links to folders, which are not followed, and what is neither file nor folder.
    """

    files: list[Path]
    problems: list[OSError]
    left_out: list[Path]


def search(folder: Path, suffixes: Collection[str], recursive: bool = True) -> Found:
    """Files of these suffixes, which are lower-case, in a folder and, if so asked, in all that are in it."""
    files: list[Path] = []
    problems: list[OSError] = []
    left_out: list[Path] = []
    for here, folders, names in os.walk(folder, onerror=problems.append):
        left_out += [path for name in folders if (path := Path(here, name)).is_symlink()]
        for path in (Path(here, name) for name in names):
            right = path.suffix.lower() in suffixes and (path.is_file() or not path.exists())
            (files if right else left_out).append(path)
        if not recursive:
            break
    return Found(sorted(files), problems, left_out)


def read_bytes(path: Path | None) -> bytes:
    """Of a file; None: of standard input. Raises OSError, or InputError if standard input is closed."""
    if path is not None:
        return path.read_bytes()
    if sys.stdin is None:
        raise InputError("closed, so that nothing can be read from it")
    return sys.stdin.buffer.read()


def write_bytes(
    path: Path | None,
    data: bytes,
    force: bool,
    times: tuple[int, int] | None = None,
    mode: int = 0o666,
) -> None:
    """Write a file whole or not at all: it gets its name when all of it is on the disk.

    Until then it has no name where the system can do so (Linux), and one that ends in .part elsewhere, which a process
    that is killed leaves behind.

    Args:
        path: None: standard output. Where a link points, the file there is written. A device or a pipe is written to.
        force: replace what is there, but for its permissions, its owner and its extended attributes, as far as the
            system lets us. Else it is an error, also if it comes to be while this writes.
        times: of the last access and change that the file is to have, in ns; None: now.
        mode: permissions of a new file, of which umask takes its part.

    Raises:
        OutputError: it exists already, or cannot be written.
    """
    if path is None:
        _write_out(data)
        return
    try:
        refuse_existing(path, force)
        target = Path(os.path.realpath(path))  # a symbolic link stays, its target is replaced
        if target.is_symlink():  # which only a circle of links still is
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.exists() and not target.is_file():
            target.write_bytes(data)  # a device or a pipe is written to, never replaced
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(target, data, force, times, mode)
    except FileExistsError as e:
        raise _exists(path) from e
    except OSError as e:
        raise OutputError(f"cannot write {path}: {e.strerror or e}") from e


def _write_out(data: bytes) -> None:
    """To standard output."""
    if sys.stdout is None:
        raise OutputError("cannot write standard output: it is closed")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as e:
        raise OutputError(f"cannot write standard output: {e.strerror or e}") from e


def permissions(status: os.stat_result | None) -> int:
    """What a file that is made of another, or a folder, gets of that one's: not more people are to read it.

    Those of a new file where it is made of none, of a device or of a pipe.
    """
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return 0o666
    return status.st_mode & 0o777


def refuse_existing(path: Path | None, force: bool) -> None:
    """Raise OutputError if there is something that would be lost, or a link along which something would be written."""
    if path is None or force:
        return
    if path.is_file() or path.is_dir():  # of a device nothing would be lost
        raise _exists(path)
    if path.is_symlink() and not path.exists():
        raise OutputError(f"{path} is a link to {os.readlink(path)}, where nothing is: -f writes there")


def _exists(path: Path) -> ExistsError:
    return ExistsError(f"{path} exists already: -f overwrites it")


def _write_whole(path: Path, data: bytes, force: bool, times: tuple[int, int] | None, mode: int) -> None:
    """Raises FileExistsError if there is a file, and not `force`; OSError."""
    mode = 0o600 if path.exists() else mode  # what replaces a file gets that one's mode in the end
    part = path.with_name(f".{secrets.token_hex(8)}.part")  # short: the target's name may be as long as names get
    if (file := _open_nameless(path.parent, mode)) is not None:
        with file:
            _fill(file, data)
            try:
                _publish(file, part, path, force, times)
                return
            except FileExistsError:
                raise
            except OSError:
                pass  # a system that gives such a file no name: once more, with one from the beginning
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            _fill(file, data)
        _publish(None, part, path, force, times)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


def _open_nameless(folder: Path, mode: int) -> BinaryIO | None:
    """A new file in a folder, which is gone when it is closed before it got a name. None: the system has none such."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_WRONLY, mode), "wb")
    except OSError:  # this file system has none; or there is an error, which the file with a name runs into as well
        return None


def _fill(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _publish(nameless: BinaryIO | None, part: Path, path: Path, force: bool, times: tuple[int, int] | None) -> None:
    """Give what was written its name, `path`. It lies at `part`, or is the open file without a name."""
    made = f"/proc/self/fd/{nameless.fileno()}" if nameless else str(part)

    def link(name: Path) -> None:
        # The descriptor is of no use but that Python then calls linkat, which follows the link in /proc, and not link.
        if nameless:
            os.link(made, name, src_dir_fd=nameless.fileno())
        else:
            os.link(made, name)

    times = times or (time.time_ns(),) * 2
    os.utime(made, ns=times)
    try:
        link(path)  # which replaces nothing, whoever comes first
        return
    except FileExistsError:
        if not force:
            raise
    except OSError:
        if nameless:
            raise
        if not force:  # no hard links here: who makes the empty file may replace it
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    if force:
        with suppress(FileNotFoundError):
            _keep(path, made)
        os.utime(made, ns=times)
        if nameless:
            link(part)
    os.replace(part, path)


def _keep(path: Path, made: str) -> None:
    """Give `made` permissions, owner and extended attributes of the file at `path`, as far as the system lets us."""
    before = path.stat()
    if hasattr(os, "chown"):
        for owner in (before.st_uid, -1):
            with suppress(PermissionError):
                os.chown(made, owner, before.st_gid)
                break
    shutil.copystat(path, made)
    after = os.stat(made)
    if (after.st_uid, after.st_gid) != (before.st_uid, before.st_gid):  # then nobody gains a right by that
        os.chmod(made, stat.S_IMODE(before.st_mode) & (0o777 if after.st_gid == before.st_gid else 0o707))

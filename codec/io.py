"""Finding, reading and writing files. A file is written completely or not at all, and never replaced by accident."""

import errno
import io
import os
import shutil
import stat
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .container.format import DEFAULT_MAX_PIXELS
from .errors import LimitError

# File names with these suffixes are taken for pictures in folders and archives: common formats that Pillow can read.
IMAGE_SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".gif", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".ico", ".icns", ".cur", ".psd", ".pcx", ".dcx", ".dds"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi", ".sgi", ".rgb", ".rgba", ".bw", ".im", ".xbm", ".xpm"),
}

# An input with more bytes is refused, so that one without an end, such as /dev/zero, does not fill the memory. As many
# are the samples of the largest picture, RGBA of 16 bits, and 256 MiB for what else its file has.
MOST_BYTES = 8 * DEFAULT_MAX_PIXELS + (1 << 28)
_AT_ONCE = 1 << 20  # bytes that are read at a time from what has no size


class OutputError(Exception):
    """The output exists already, or cannot be written."""


class ExistsError(OutputError):
    """A file or folder already exists at the path of the output."""


class InputError(Exception):
    """The input cannot be read, or is not of the expected kind."""


@dataclass(frozen=True)
class Found:
    """The result of `search`.

    Args:
        files: files with one of the wanted suffixes, sorted. A broken symbolic link with such a suffix is included, so
            that the attempt to read it reports the error.
        problems: the errors of folders that could not be listed.
        left_out: everything else except folders: files with other suffixes, symbolic links to folders (which are not
            followed), devices, pipes and sockets.
    """

    files: list[Path]
    problems: list[OSError]
    left_out: list[Path]


def search(folder: Path, suffixes: Collection[str], recursive: bool = True) -> Found:
    """Find the files with one of these suffixes in a folder and, if `recursive`, in all folders below it.

    Args:
        suffixes: in lower case, with the dot; the case of file names does not matter.
    """
    files: list[Path] = []
    problems: list[OSError] = []
    left_out: list[Path] = []
    for here, folders, names in os.walk(folder, onerror=problems.append):
        left_out += [path for name in folders if (path := Path(here, name)).is_symlink() or not recursive]
        for path in (Path(here, name) for name in names):
            right = path.suffix.lower() in suffixes and (path.is_file() or not path.exists())
            (files if right else left_out).append(path)
        if not recursive:
            break
    return Found(sorted(files), problems, left_out)


def read_bytes(path: Path | None) -> bytes:
    """Read all bytes of a file, or of standard input if `path` is None.

    Raises:
        OSError: it cannot be read.
        InputError: standard input is closed.
        LimitError: it has more than MOST_BYTES bytes.
    """
    if path is not None:
        with open(path, "rb") as file:
            return _whole(file)
    if sys.stdin is None:
        raise InputError("closed, so that nothing can be read from it")
    return _whole(sys.stdin.buffer)


def _whole(file: BinaryIO) -> bytes:
    size = _size(file)
    check_length(size)
    held = io.BytesIO(file.read(size))  # which is all of a file that does not grow
    held.seek(0, io.SEEK_END)
    while chunk := file.read(_AT_ONCE):
        held.write(chunk)
        check_length(held.tell())
    return held.getvalue()  # which does not copy what was just written


def _size(file: BinaryIO) -> int:
    """Return the size of a regular file. That of pipes and devices is not known, and 0 here."""
    try:
        status = os.fstat(file.fileno())
    except OSError:  # an object that stands for a file
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def check_length(n_bytes: int) -> None:
    """Raise LimitError if an input is longer than MOST_BYTES."""
    if n_bytes > MOST_BYTES:
        raise LimitError(
            f"more than {MOST_BYTES} bytes, which is the most that is read: the largest picture needs no more"
        )


def write_bytes(
    path: Path | None,
    data: bytes,
    force: bool,
    times: tuple[int, int] | None = None,
    mode: int = 0o666,
) -> None:
    """Write a file completely or not at all: it gets its name only when all of its data is on the disk.

    On Linux the unfinished file has no name (O_TMPFILE). Elsewhere, and on file systems without that, its name ends in
    .part, and a process that is killed leaves it behind.

    Args:
        path: where to write; None: standard output. If it is a symbolic link, the file that it points to is written. A
            device or a pipe is written to directly.
        force: replace an existing file. The new file takes over its permissions, owner and extended attributes, as far
            as the system permits. Without `force`, an existing file is an error, even if it appears during the writing.
        times: access time and modification time of the file, in ns; None: now.
        mode: permissions of a new file, before the umask is applied.

    Raises:
        OutputError: the file exists already (ExistsError), or cannot be written.
    """
    if path is None:
        _write_out(data)
        return
    try:
        refuse_existing(path, force)
        target = Path(os.path.realpath(path))  # a symbolic link stays, its target is replaced
        if target.is_symlink():  # after realpath, only a loop of links is still a link
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.exists() and not target.is_file():
            target.write_bytes(data)  # a device or a pipe must not be replaced by a file
            return
        _make_folder(target.parent)
        _write_whole(target, data, force, times, mode)
    except FileExistsError as e:
        raise _exists(path) from e
    except OSError as e:
        raise OutputError(f"cannot write {path}: {e.strerror or e}") from e


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as e:  # which would seem to be of the file that is to be written
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from e


def _write_out(data: bytes) -> None:
    """Write to standard output. Raises OutputError if it is closed or cannot be written."""
    if sys.stdout is None:
        raise OutputError("cannot write standard output: it is closed")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as e:
        raise OutputError(f"cannot write standard output: {e.strerror or e}") from e


def permissions(status: os.stat_result | None) -> int:
    """Return the permissions for an output, so that no more people can read it than its input.

    Args:
        status: of the file or folder that the output is made from; None: there is none.

    Returns:
        The permission bits of a file or folder; 0o666 if there is none, or if it is a device or a pipe.
    """
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return 0o666
    return status.st_mode & 0o777


def refuse_existing(path: Path | None, force: bool) -> None:
    """Raise an error, unless `force`, if writing to `path` would replace something or follow a broken link.

    Raises:
        ExistsError: there is a file or a folder at `path`.
        OutputError: `path` is a symbolic link to a file that does not exist.
    """
    if path is None or force:
        return
    if path.is_file() or path.is_dir():  # devices and pipes pass: writing to them replaces nothing
        raise _exists(path)
    if path.is_symlink() and not path.exists():
        raise OutputError(f"{path} is a link to {os.readlink(path)}, where nothing is: -f writes there")


def _exists(path: Path) -> ExistsError:
    return ExistsError(f"{path} exists already: -f overwrites it")


def _write_whole(path: Path, data: bytes, force: bool, times: tuple[int, int] | None, mode: int) -> None:
    """Write the data to a temporary file in the same folder, and then move it to `path`.

    Raises:
        FileExistsError: there is a file, and not `force`.
        OSError: it cannot be written.
    """
    # A file that replaces another is private until `_keep` gives it the other's permissions.
    mode = 0o600 if path.exists() else mode
    # The temporary name does not contain the target's name, which may already have the maximum length.
    part = path.with_name(f".{os.urandom(8).hex()}.part")
    if (file := _open_nameless(path.parent, mode)) is not None:
        with file:
            _fill(file, data)
            try:
                _publish(file, part, path, force, times)
                return
            except FileExistsError:
                raise
            except OSError:
                pass  # this system cannot link a nameless file, so the data is written again, to a file with a name
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            _fill(file, data)
        _publish(None, part, path, force, times)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


def _open_nameless(folder: Path, mode: int) -> BinaryIO | None:
    """Create a file without a name in a folder (O_TMPFILE); it vanishes when it is closed without getting a name.

    Returns None if the system or the file system does not support this.
    """
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_WRONLY, mode), "wb")
    except OSError:  # not supported, or another error, which writing to a file with a name will report
        return None


def _fill(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _publish(nameless: BinaryIO | None, part: Path, path: Path, force: bool, times: tuple[int, int] | None) -> None:
    """Give the written file its name, `path`. The file is the open `nameless`, or else lies at `part`."""
    made = f"/proc/self/fd/{nameless.fileno()}" if nameless else str(part)

    def link(name: Path) -> None:
        # A directory descriptor makes Python call linkat instead of link; linkat follows the symbolic link in /proc.
        # The descriptor itself has no effect, because `made` is absolute.
        if nameless:
            os.link(made, name, src_dir_fd=nameless.fileno())
        else:
            os.link(made, name)

    times = times or (time.time_ns(),) * 2
    os.utime(made, ns=times)
    try:
        link(path)  # fails if the file exists by now, even if another process has just made it
        return
    except FileExistsError:
        if not force:
            raise
    except OSError:
        if nameless:
            raise
        # This file system has no hard links. An empty file is created exclusively, and then replaced.
        if not force:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    if force:
        with suppress(FileNotFoundError):
            _keep(path, made)
        os.utime(made, ns=times)
        if nameless:
            link(part)
    os.replace(part, path)


def _keep(path: Path, made: str) -> None:
    """Copy permissions, owner and extended attributes of the file at `path` to `made`, as far as the system permits."""
    before = path.stat()
    if hasattr(os, "chown"):
        for owner in (before.st_uid, -1):
            with suppress(PermissionError):
                os.chown(made, owner, before.st_gid)
                break
    shutil.copystat(path, made)
    after = os.stat(made)
    # If owner or group could not be kept, their permissions would now belong to somebody else. So setuid and setgid are
    # dropped, and the group's permissions are too if the group changed.
    if (after.st_uid, after.st_gid) != (before.st_uid, before.st_gid):
        os.chmod(made, stat.S_IMODE(before.st_mode) & (0o777 if after.st_gid == before.st_gid else 0o707))

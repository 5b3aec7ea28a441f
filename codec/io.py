"""Files: read, written whole or not at all, not replaced by accident; and the suffixes that pictures have."""

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

# By which pictures are told from other files in folders and archives: what Pillow reads and people keep.
IMAGE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi"),
}


class OutputError(Exception):
    """The output exists already, or cannot be written."""


class InputError(Exception):
    """The input cannot be read as what it should be."""


def read_bytes(path: Path | None) -> bytes:
    return sys.stdin.buffer.read() if path is None else path.read_bytes()


def write_bytes(path: Path | None, data: bytes, force: bool, times: tuple[int, int] | None = None) -> None:
    """Write through a temporary file beside the target, so that no half-written file is ever seen.

    Args:
        force: replace what is there.
        times: of the last access and change that the file is to have, in ns; None: now.

    Raises:
        OutputError: it exists already, or cannot be written.
    """
    try:
        if path is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        refuse_existing(path, force)
        path = path.resolve()  # a symbolic link stays, its target is replaced
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device or a pipe is written to, never replaced
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(
            f".{secrets.token_hex(8)}.part"
        )  # short: the target's name may be as long as names get
        try:
            with open(temporary, "xb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            if times is not None:
                os.utime(temporary, ns=times)
            os.replace(temporary, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    except OSError as e:
        raise OutputError(f"cannot write {path or 'standard output'}: {e.strerror or e}") from e


def refuse_existing(path: Path | None, force: bool) -> None:
    if path is not None and (path.is_file() or path.is_dir()) and not force:  # of a device nothing would be lost
        raise OutputError(f"{path} exists already: -f overwrites it")

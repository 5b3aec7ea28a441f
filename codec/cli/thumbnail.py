"""`aec thumbnail`, which file managers call."""

import errno
import os
from argparse import Namespace
from pathlib import Path

from ..desktop.thumbnail import path_of, thumbnail_of
from ..failures import FAILURES
from ..io import OutputError, write_bytes
from .jobs import refuse_own_inputs
from .runner import failed


def thumbnail(args: Namespace) -> int:
    output = None if args.output == "-" else Path(args.output)
    try:
        path = path_of(args.input)
        refuse_own_inputs(output, [path])
        data = thumbnail_of(path, args.size)
    except FAILURES as e:
        return failed(e, args.input, args.debug)
    if output is not None and output.is_file():
        _write_into(output, data)
    else:  # thumbnails are private: they show what private pictures show
        write_bytes(output, data, force=True, mode=0o600)
    return 0


def _write_into(path: Path, data: bytes) -> None:
    """Write into a file that is there. It must stay the same file, for Tumbler has opened it, and reads on in that.

    Raises OutputError if it cannot be written; then it is empty, as those who call this have made it.
    """
    try:
        with open(path, "r+b", buffering=0) as file:
            file.truncate(0)
            try:
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(0)
                raise
    except OSError as e:
        raise OutputError(f"cannot write {path}: {e.strerror or e}") from e

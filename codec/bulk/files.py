"""Files of shards: local paths, and URLs such as s3://bucket/name by the optional package fsspec."""

import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from ..extras import need
from ..io import write_bytes

_LOCAL = "file://"


def is_remote(path: str) -> bool:
    """Return whether a path is a URL that fsspec must open. file:// is local."""
    return "://" in path and not path.startswith(_LOCAL)


def local(path: str) -> str:
    return path.removeprefix(_LOCAL)


def real(path: str) -> str:
    """Return the name that all names of one file have in common."""
    return path if is_remote(path) else os.path.realpath(local(path))


def system(url: str) -> tuple[Any, str]:
    """Return (the file system of a URL, the path in it). Raises MissingPackageError without fsspec, or its driver."""
    fsspec = need("fsspec", f"{url.partition('://')[0]}://", "bulk")
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as e:  # such as s3fs, which fsspec's message names
        from ..errors import MissingPackageError

        raise MissingPackageError(f"{url}: {e}") from e


def glob(url: str) -> list[str]:
    """Return the URLs of the files that match a pattern, sorted."""
    fs, path = system(url)
    return sorted(fs.unstrip_protocol(found) for found in fs.glob(path))


def opened(path: str) -> IO[bytes]:
    """Open a file for reading, from its beginning to its end. Raises OSError."""
    if not is_remote(path):
        return open(local(path), "rb")
    fs, name = system(path)
    return fs.open(name, "rb", cache_type="readahead")


def exists(path: str) -> bool:
    if not is_remote(path):
        return os.path.lexists(local(path))
    fs, name = system(path)
    return fs.exists(name)


def inode(path: str) -> int | None:
    """Return what a local file or folder keeps when it is moved; None if there is none, or if the path is a URL."""
    return None if is_remote(path) or not exists(path) else os.lstat(local(path)).st_ino


def fingerprint(path: str) -> dict[str, Any]:
    """Return what tells one version of a file from another without reading it: name, size and time or tag.

    Raises:
        OSError: there is no such file.
    """
    if not is_remote(path):
        status = os.stat(local(path))
        return {"name": os.path.basename(path), "bytes": status.st_size, "version": status.st_mtime_ns}
    fs, name = system(path)
    info = fs.info(name)
    version = next((str(info[k]) for k in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(k)), None)
    return {"name": os.path.basename(path), "bytes": info["size"], "version": version}


def read_json(path: str) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if there is no such file. Raises ValueError if it holds something else."""
    try:
        with opened(path) as file:
            found = json.loads(file.read())
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: not the statistics of a shard")
    return found


def write(path: str, data: bytes) -> None:
    """Write a file, which is there as a whole or not at all. A file that is there already is replaced."""
    if is_remote(path):
        fs, name = system(path)
        fs.pipe_file(name, data)
    else:
        write_bytes(Path(local(path)), data, force=True)


def write_json(path: str, value: dict[str, Any]) -> None:
    """Write an object to a JSON file, as `write`."""
    write(path, (json.dumps(value, indent=1) + "\n").encode())


def publish(made: Path, path: str) -> None:
    """Move a finished local file or folder to its place, where it replaces a thing of its own kind.

    It may be called again after it was interrupted: what is moved already is not there any more.

    Raises:
        OSError: it cannot be moved, as where a file is at the place of a folder, or the other way round.
    """
    if is_remote(path):
        fs, name = system(path)
        if made.is_dir():
            if fs.exists(name):
                fs.rm(name, recursive=True)
            for file in sorted(p for p in made.rglob("*") if p.is_file()):
                target = f"{name}/{file.relative_to(made).as_posix()}"
                fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                fs.put_file(str(file), target)
        elif made.exists():
            fs.makedirs(name.rpartition("/")[0], exist_ok=True)
            fs.put_file(str(made), name)
    elif made.exists():
        if made.is_dir() and os.path.isdir(local(path)):
            shutil.rmtree(local(path))
        os.replace(made, local(path))


def remove(path: str) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if is_remote(path):
        fs, name = system(path)
        if fs.exists(name):
            fs.rm(name, recursive=True)
    elif os.path.isdir(local(path)):
        shutil.rmtree(local(path))
    else:
        Path(local(path)).unlink(missing_ok=True)

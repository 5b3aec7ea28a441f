"""Reading and writing of the members of tar files, one after the other."""

import bz2
import copy
import ctypes
import errno
import gzip
import io
import itertools
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from ..io import InputError
from .names import inside

_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
_AT_ONCE = 1 << 20  # bytes
_LAST_TIME = 2.0**33  # seconds; in the year 2242, which file systems can tell
_COMPRESSIONS: dict[bytes, Any] = {  # by what such a file begins with
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


class _Strict(tarfile.TarInfo):
    """A header that does not take damage for the end of the file, as tarfile does, which would lose what follows."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Strict":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as e:
            if type(e).__name__ == "EOFHeaderError":  # the mark of the end; tarfile does not publish the class
                raise
            raise tarfile.ReadError(f"it is cut off, damaged, or no tar file ({e})") from e


class _Forward:
    """A stream for tarfile, which is read to its end once. Those of tarfile go on for years behind the end of a file if
    a damaged size leads there."""

    def __init__(self, file: IO[bytes]):
        self._file, self._at = file, 0

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        parts, end = [], self._at + size
        while part := self._file.read(max(0, min(end - self._at, _AT_ONCE))):
            self._at += len(part)
            parts.append(part)
        return b"".join(parts)

    def seek(self, to: int) -> None:
        if to < self._at:
            raise tarfile.StreamError("a member begins before the end of the one before it")
        while self._at < to:
            if not (part := self._file.read(min(to - self._at, _AT_ONCE))):
                raise EOFError
            self._at += len(part)


def members(file: IO[bytes], begin: int = 0) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Read a tar file, which may be compressed by gzip, bzip2 or xz, from its beginning to its end.

    Args:
        begin: the number of members whose data is not wanted, and given as no bytes.

    Yields:
        (header of a member, its data); the data is None unless it `is_file`. A time that no file can have is 0.

    Raises:
        InputError: it is no tar file, or damaged, or cut off.
        OSError: it cannot be read.
    """
    buffered = io.BufferedReader(file)  # type: ignore[type-var]
    begins = buffered.peek(8)
    unpack = next((opened for magic, opened in _COMPRESSIONS.items() if begins.startswith(magic)), None)
    plain = buffered if unpack is None else unpack(buffered)
    forward: Any = _Forward(plain)  # which has as much of a file as tarfile uses
    try:
        with tarfile.open(fileobj=forward, mode="r:", tarinfo=_Strict, encoding="utf-8") as tar:
            for index in itertools.count():
                if (info := tar.next()) is None:
                    break
                data = None
                if not abs(info.mtime) < _LAST_TIME:  # nor if it is no number
                    info.mtime = 0
                if is_file(info):
                    content = tar.extractfile(info) if index >= begin else None
                    data = content.read() if content else b""
                yield info, data
                tar.members = []  # type: ignore[attr-defined]  # which would grow with the file
        if unpack is not None:
            while plain.read(_AT_ONCE):  # at the end is the checksum
                pass
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OverflowError, ValueError) as e:
        why = "it is cut off" if isinstance(e, EOFError) or "unexpected end of data" in str(e) else str(e)
        raise InputError(f"the shard cannot be read: {why}") from e
    except OSError as e:
        if unpack is None or e.errno is not None:  # gzip and bz2 raise an OSError without a number for damaged data
            raise
        raise InputError(f"the shard cannot be read: {e}") from e


def is_file(info: tarfile.TarInfo) -> bool:
    """Return whether a member is a file with data. Sparse files, a few bytes of which may stand for terabytes, are not
    taken for such."""
    return info.isreg() and not info.issparse()


class Output(Protocol):
    """What the members of a shard are written to."""

    def add(self, info: tarfile.TarInfo, name: str, data: bytes) -> None:
        """Add a file with the header of a member, but for its name and its size.

        Raises:
            ValueError: the name is not allowed. OSError: the file cannot be written.
        """

    def position(self) -> int:
        """Return where to go on, after all that was added is safe on the disk."""

    def finish(self) -> int:
        """Write what belongs at the end, close the output, and return its position."""


class TarOutput:
    """A tar file whose bytes depend on nothing but the members.

    Args:
        path: of the file.
        position: where to go on; all behind it is cut off.
    """

    def __init__(self, path: Path, position: int):
        self._file = open(path, "r+b" if position else "wb")
        self._file.truncate(position)
        self._file.seek(position)

    def add(self, info: tarfile.TarInfo, name: str, data: bytes) -> None:
        header = copy.copy(info)
        header.name, header.size, header.type = name, len(data), tarfile.REGTYPE
        header.pax_headers = {}  # they may hold the old name and size; mtime has its fraction by itself
        self._file.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        self._file.write(data)
        self._file.write(bytes(-len(data) % _BLOCK))

    def position(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def finish(self) -> int:
        size = self._file.tell() + 2 * _BLOCK  # two empty blocks mark the end
        self._file.write(bytes(2 * _BLOCK + -size % _RECORD))
        position = self.position()
        self._file.close()
        return position


class FolderOutput:
    """A folder of files. What is written twice is the same both times."""

    def __init__(self, path: Path):
        self._path = path
        path.mkdir(exist_ok=True)

    def add(self, info: tarfile.TarInfo, name: str, data: bytes) -> None:
        if (relative := inside(name)) is None:
            raise ValueError(f"the name {name!r} leads out of the folder")
        target = self._path / relative
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as e:
            raise ValueError(f"{name!r} is the name of a file and of a folder in this shard") from e
        except OSError as e:
            if e.errno != errno.ENAMETOOLONG:
                raise
            raise ValueError(f"the name {name!r} is too long for a file") from e
        os.utime(target, (info.mtime, info.mtime))

    def position(self) -> int:
        _sync(self._path)
        return 0

    def finish(self) -> int:
        return self.position()


def _sync(folder: Path) -> None:
    """Make everything on the file system of a folder safe on the disk. Python only has the call for all disks."""
    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):  # not Linux
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if call(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)

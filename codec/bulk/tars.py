"""Reading and writing of the members of tar files, one after the other."""

import copy
import itertools
import os
import tarfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from typing import IO, Protocol

from ..io import InputError
from .names import inside

_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE


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


def members(file: IO[bytes], begin: int = 0) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Read a tar file, which may be compressed by gzip, bzip2 or xz, from its beginning to its end.

    Args:
        begin: the number of members whose data is not wanted, and given as no bytes.

    Yields:
        (header of a member, its data); the data is None for links, folders and devices.

    Raises:
        InputError: it is no tar file, or damaged, or cut off.
        OSError: it cannot be read.
    """
    try:
        with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Strict, encoding="utf-8") as tar:
            for index in itertools.count():
                if (info := tar.next()) is None:
                    break
                data = None
                if info.isreg():
                    stream = tar.extractfile(info) if index >= begin else None
                    data = stream.read() if stream else b""
                yield info, data
                tar.members = []  # type: ignore[attr-defined]  # which would grow with the file
    except (tarfile.TarError, EOFError, zlib.error, LZMAError) as e:
        why = "it is cut off" if isinstance(e, EOFError) or "unexpected end of data" in str(e) else str(e)
        raise InputError(f"the shard cannot be read: {why}") from e


class Output(Protocol):
    """What the members of a shard are written to."""

    def add(self, info: tarfile.TarInfo, name: str, data: bytes) -> None:
        """Add a file with the header of a member, but for its name and its size.

        Raises:
            ValueError: the name is not allowed. OSError: the file cannot be written.
        """

    def position(self) -> int:
        """Return where to go on, after all that was added is safe on the disk."""

    def finish(self) -> None:
        """Write what belongs at the end, and close the output."""


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

    def finish(self) -> None:
        size = self._file.tell() + 2 * _BLOCK  # two empty blocks mark the end
        self._file.write(bytes(2 * _BLOCK + -size % _RECORD))
        self.position()
        self._file.close()


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
        os.utime(target, (info.mtime, info.mtime))

    def position(self) -> int:
        os.sync()
        return 0

    def finish(self) -> None:
        self.position()

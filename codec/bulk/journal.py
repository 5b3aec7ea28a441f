"""What a run has done of one shard, so that another run goes on where it was killed."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from ..io import ExistsError, OutputError

_BEGIN = b'{"identity": '  # of every journal, which tells it from other files


class Journal:
    """A file of lines of JSON, which is locked while it is open, so that two processes never make the same shard.

    Its first line says what is made of what. Each following one is a state that is safe on the disk.

    Args:
        path: of the file, which is made if it is not there.

    Raises:
        OutputError: another process has it open, or it is a file of something else (ExistsError).
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path):
        while True:
            self._file = open(path, "a+b")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(self._file.fileno())):
                    break  # else the process that had it has just finished the shard, and removed the file
            except BlockingIOError as e:
                self._file.close()
                raise OutputError(f"another process is at work on this shard: {path} is locked") from e
            self._file.close()
        self._path = path
        self._file.seek(0)
        data = self._file.read()
        if data[: len(_BEGIN)] != _BEGIN[: len(data)]:
            self._file.close()
            raise ExistsError(f"{path} exists already, and is not of aec: remove it, or name another target")
        self._lines: list[dict[str, Any]] = []
        whole = 0
        for line in data.splitlines(keepends=True):  # up to the first one that a killed process left incomplete
            try:
                self._lines.append(json.loads(line if line.endswith(b"\n") else b""))
            except ValueError:
                break
            whole += len(line)
        self._file.truncate(whole)  # else the next line would be glued to a torn one

    @property
    def first(self) -> dict[str, Any] | None:
        return self._lines[0] if self._lines else None

    @property
    def last(self) -> dict[str, Any]:
        """The last state, empty if there is none."""
        return self._lines[-1] if len(self._lines) > 1 else {}

    def drop_if_empty(self) -> None:
        """Remove the file if nothing was begun."""
        if not self._lines:
            self._path.unlink()

    def begin(self, first: dict[str, Any]) -> None:
        """Forget everything, and write the first line, whose first entry is "identity"."""
        self._lines = []
        self._file.truncate(0)
        self.append(first)

    def append(self, state: dict[str, Any]) -> None:
        """Add a line, which is safe on the disk afterwards."""
        self._lines.append(state)
        self._file.write(json.dumps(state).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()

"""What a run has done of one shard, so that another run goes on where it was killed."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from ..io import OutputError


class Journal:
    """A file of lines of JSON, which is locked while it is open, so that two processes never make the same shard.

    Its first line says what is made of what. Each following one is a state that is safe on the disk.

    Args:
        path: of the file, which is made if it is not there.

    Raises:
        OutputError: another process has it open.
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
        self._file.seek(0)
        self._lines = list(self._whole(self._file.read()))

    @staticmethod
    def _whole(data: bytes) -> list[dict[str, Any]]:
        """Return the lines up to the first one that a killed process left incomplete."""
        found = []
        for line in data.split(b"\n")[:-1]:
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    @property
    def first(self) -> dict[str, Any] | None:
        return self._lines[0] if self._lines else None

    @property
    def last(self) -> dict[str, Any]:
        """The last state, empty if there is none."""
        return self._lines[-1] if len(self._lines) > 1 else {}

    def begin(self, first: dict[str, Any]) -> None:
        """Forget everything, and write the first line."""
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

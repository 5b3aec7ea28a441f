"""Keeps measurements on disk, each as a small JSON file, so that the same measurement is not made twice.

The key of an entry contains everything that the measurement depends on, such as the pixels, the codec's version and
the machine. So an entry never becomes outdated, and times of another machine are never used. Files are replaced
atomically, so that an interrupted run leaves no incomplete file.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from codec.io import write_bytes

MOST_BYTES = 1 << 28  # a run deletes the oldest measurements above this size, which is some 200,000 points


def default_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aec" / "bench"


def prune(folder: Path, most: int = MOST_BYTES) -> None:
    """Remove the oldest measurements, until the rest takes at most `most` bytes."""
    files = [(status.st_mtime, status.st_size, path) for path in folder.glob("*/*.json") if (status := _status(path))]
    size = sum(size for _, size, _ in files)
    for _, n_bytes, path in sorted(files):
        if size <= most:
            return
        path.unlink(missing_ok=True)  # another run may have removed it at the same time
        size -= n_bytes


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def hash_of_pixels(image: np.ndarray) -> str:
    """SHA-256, as hex, of the shape and the pixels of an image: uint8 [H, W, 3]."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


class Cache:
    """A persistent mapping whose keys and values are dicts that JSON can hold. Without a folder it is always empty."""

    def __init__(self, folder: Path | None):
        self._folder = folder

    def get(self, key: dict) -> dict | None:
        """The value that was stored under an equal key, or None."""
        if self._folder is None:
            return None
        try:
            entry = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it does not exist or is damaged, so the caller measures again
            return None
        return entry["value"] if isinstance(entry, dict) and entry.get("key") == key and "value" in entry else None

    def put(self, key: dict, value: dict) -> None:
        if self._folder is None:
            return
        write_bytes(self._path(key), json.dumps({"key": key, "value": value}).encode(), force=True)

    def _path(self, key: dict) -> Path:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"

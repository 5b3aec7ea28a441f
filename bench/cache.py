"""Measurements kept on disk, a small JSON file each, so that none is made twice.

The key has everything that a measurement depends on, so nothing is ever stale, and a time is only ever taken for one
of the same machine. Files are replaced at one stroke: an interrupted run leaves no half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from codec.io import write_bytes

MOST_BYTES = 1 << 28  # that a run leaves of earlier ones: some 200,000 points


def default_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aec" / "bench"


def prune(folder: Path, most: int = MOST_BYTES) -> None:
    """Remove what was measured longest ago, until the rest takes no more than so many bytes."""
    files = [(status.st_mtime, status.st_size, path) for path in folder.glob("*/*.json") if (status := _status(path))]
    size = sum(size for _, size, _ in files)
    for _, n_bytes, path in sorted(files):
        if size <= most:
            return
        path.unlink(missing_ok=True)  # another run may do the same
        size -= n_bytes


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def hash_of_pixels(image: np.ndarray) -> str:
    """Of [H, W, 3] uint8, shape included."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


class Cache:
    """Mappings that JSON can hold, by others. Without a folder it is always empty."""

    def __init__(self, folder: Path | None):
        self._folder = folder

    def get(self, key: dict) -> dict | None:
        """What was put under an equal key, or None."""
        if self._folder is None:
            return None
        try:
            entry = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or damaged: it is measured again
            return None
        return entry["value"] if isinstance(entry, dict) and entry.get("key") == key and "value" in entry else None

    def put(self, key: dict, value: dict) -> None:
        if self._folder is None:
            return
        write_bytes(self._path(key), json.dumps({"key": key, "value": value}).encode(), force=True)

    def _path(self, key: dict) -> Path:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"

"""Loading of models by the extension. It needs no numpy, so a model can be loaded while numpy is imported."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from .. import _C
from ..errors import ModelError
from . import model_search
from .threads import available, lock_across_forks

_LOADING = lock_across_forks()


def load(path: Path) -> _C.Model:
    """Load the decoder's half of a model, and verify it; cached by path and modification time.

    Raises:
        ModelError: the file is not a model, its hash does not match, or it breaks a rule of FORMAT §7 or §8.
    """
    with _LOADING:  # so that threads that start together load it only once
        return _load(path, path.stat().st_mtime)


def begin(model_id: bytes) -> None:
    """Begin to load the model with this id in another thread, if the caller is still to import numpy.

    Errors are not reported: who needs the model calls `load`, and meets them then.
    """
    if "numpy" not in sys.modules:
        with suppress(RuntimeError):  # no further thread can be started
            threading.Thread(target=_try, args=(model_id,), name="aec model").start()


def _try(model_id: bytes) -> None:
    with suppress(ModelError, OSError, MemoryError):
        load(model_search.find_id(model_id))


@lru_cache(maxsize=4)
def _load(path: Path, modified: float) -> _C.Model:
    model_search.header_of(path, model_search.CODEC)  # says what a file is that is not such a model
    with bytes_of(path) as data:
        return _C.Model(data, available())


@contextmanager
def bytes_of(path: Path) -> Iterator[bytes]:
    """Context manager: the bytes of a model file. A ValueError about them becomes a ModelError, which names the file.

    They are read, not mapped: of a mapped file that becomes shorter meanwhile, a process would die.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        yield path.read_bytes()
    except ValueError as e:
        raise ModelError(f"{path}: {e}") from e

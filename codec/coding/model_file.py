"""The codec's model files: loading them, and writing; no torch.

A file holds the decoder's half (entropy nets, coding tables, synthesis) and the encoder's transforms, all as integers,
the level of each quality, and the configuration as JSON. The extension reads and verifies them (csrc/model). Who asks
for the tensors themselves, as torch does, has them read once more.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from .. import _C
from ..errors import ModelError
from . import loading, model_search, rans
from .model_config import Config
from .threads import available, lock_across_forks

TABLES = ("freqs", "limits", "raw_bits")
ENCODER = ("analysis.", "hyper_analysis.")

_LOADING, _READING = lock_across_forks(), lock_across_forks()


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model whose decoder's half is loaded and verified. It is immutable, and threads may share it.

    Args:
        config: the sizes of the nets.
        id: the model id, 4 bytes, by which .aec files name the model.
        path: of the file.
        loaded: the decoder's half.
        tune: the distortion that the model was trained for, one of TUNES.
        tables: the CDF tables for the entropy coder.
        levels: the level of each quality, at which it runs the nets: float32 [100], read-only.
        dead_zones: by how much the interval of latents that become the symbol 0 is widened, for each index: int16 [64],
            in units of 2^-12 quantisation steps, read-only.
        data: the bytes of a file that is not on the disk.
    """

    config: Config
    id: bytes
    path: Path
    loaded: _C.Model
    tune: str
    tables: rans.Tables
    levels: np.ndarray
    dead_zones: np.ndarray
    data: bytes | None = None

    def encoder(self) -> _C.Encoder:
        """Load the encoder's half, and verify it.

        Raises:
            ModelError: it is damaged or not as it should be, or the file has changed.
            OSError: the file cannot be read.
        """
        if self.data is not None:
            return _C.Encoder(self.data, self.loaded, available())
        with loading.bytes_of(self.path) as data:
            return _C.Encoder(data, self.loaded, available())

    @property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """All tensors in `model_tensors.forms`, by name, read-only. They are read at the first use.

        Raises:
            ModelError: the encoder's half is damaged or not as it should be, or the file has changed.
        """
        with _READING:  # so that threads that ask together read them only once
            if "tensors" not in self.__dict__:
                self.__dict__["tensors"] = self._read()
            return self.__dict__["tensors"]

    def _read(self) -> Mapping[str, np.ndarray]:
        from . import tensor_file
        from .model_tensors import check_forms

        metadata = model_search.header_of(self.path, model_search.CODEC)
        try:
            if model_search.id_in(metadata) != self.id:
                raise ValueError("the file holds another model than before")
            tensors = tensor_file.read(self.path, metadata, model_search.CODEC, ENCODER)
            check_forms(self.config, tensors)
        except ValueError as e:
            raise ModelError(f"{self.path}: not a model this aec can run: {e}") from e
        return MappingProxyType(tensors)


def load(path: Path) -> ModelFile:
    """Load a model, and verify its decoder's half; cached by path and modification time.

    Raises:
        ModelError: the file is not a model, its hash does not match, or it breaks a rule of FORMAT §7 or §8.
    """
    with _LOADING:  # so that threads that start together get the same model
        return _made(loading.load(path), path)


def load_for(model_id: bytes, model: str | os.PathLike | None) -> ModelFile:
    """Load the model that wrote an .aec file.

    Args:
        model_id: the model id in the file's header, 4 bytes.
        model: name or path of the model, as in `model_search.find`; None: it is found by its id.

    Raises:
        ModelError: there is no such model, or `model` has a different id.
    """
    return model_search.load_for(load, model_id, model)


def of_tensors(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], path: Path) -> ModelFile:
    """Make a model without a file. Arguments and errors are as of `write` and `load`."""
    from . import tensor_file

    data, _ = tensor_file.serialised(tensors, metadata, model_search.CODEC, ENCODER)
    file = _made(_C.Model(data, available()), path, data)
    file.__dict__["tensors"] = MappingProxyType(dict(tensors))  # which cannot be read of the disk
    return file


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Write a model file and return its model id. An existing file is replaced; it is never left half-written.

    Args:
        tensors: all tensors in `model_tensors.forms` of the configuration.
        metadata: `aec_model` (the configuration as JSON) and `tune`. The hashes are added here.

    Raises:
        OutputError: the file cannot be written.
    """
    from . import tensor_file

    return tensor_file.write(path, tensors, metadata, model_search.CODEC, ENCODER)


@lru_cache(maxsize=4)
def _made(loaded: _C.Model, path: Path, data: bytes | None = None) -> ModelFile:
    return ModelFile(
        Config(**loaded.config),
        loaded.id,
        path,
        loaded,
        loaded.tune,
        rans.Tables.of_model(loaded),
        np.frombuffer(loaded.levels, np.float32),
        np.frombuffer(loaded.dead_zones, np.int16),
        data,
    )

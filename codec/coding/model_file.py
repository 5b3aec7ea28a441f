"""Reading of the codec's model files, verified by hashes (`tensor_file`), and writing; no torch.

A file holds the decoder's half (entropy nets, coding tables, synthesis) and the encoder's transforms, all as integers,
the level of each quality, and the configuration as JSON.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from safetensors import SafetensorError

from ..errors import ModelError
from . import model_search, rans, tensor_file
from .cdf_tables import dead_zones
from .model_config import MAX_LEVEL, TUNES, Config
from .model_tensors import check_forms, check_integers
from .threads import lock_across_forks

TABLES = ("freqs", "limits", "raw_bits")
ENCODER = ("analysis.", "hyper_analysis.")
_LOADING = lock_across_forks()


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The verified contents of a model file. It is immutable, and threads may share it.

    Args:
        config: the sizes of the nets.
        id: the model id, 4 bytes, by which .aec files name the model.
        path: of the file.
        tensors: all tensors in `model_tensors.forms`, by name, read-only.
        tune: the distortion that the model was trained for, one of TUNES.
        tables: the CDF tables for the entropy coder.
        dead_zones: int16 [64], `cdf_tables.dead_zones` of the tables, read-only.
    """

    config: Config
    id: bytes
    path: Path
    tensors: Mapping[str, np.ndarray]
    tune: str
    tables: rans.Tables
    dead_zones: np.ndarray

    @property
    def levels(self) -> np.ndarray:
        """The level of each quality, at which it runs the nets: float32 [100] (`train.quality_levels`)."""
        return self.tensors["levels"]


def load(path: Path) -> ModelFile:
    """Read and verify a model file; cached by path and modification time.

    Raises:
        ModelError: the file is not a model, its hashes do not match, or it breaks a rule of FORMAT §7 or §8.
    """
    with _LOADING:  # so that threads that start together load it only once
        return _load(path, path.stat().st_mtime)


def load_for(model_id: bytes, model: str | os.PathLike | None) -> ModelFile:
    """Load the model that wrote an .aec file.

    Args:
        model_id: the model id in the file's header, 4 bytes.
        model: name or path of the model, as in `model_search.find`; None: it is found by its id.

    Raises:
        ModelError: there is no such model, or `model` has a different id.
    """
    return model_search.load_for(load, model_id, model)


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Write a model file and return its model id. An existing file is replaced; it is never left half-written.

    Args:
        tensors: all tensors in `model_tensors.forms` of the configuration.
        metadata: `aec_model` (the configuration as JSON) and `tune`. The hashes are added here.

    Raises:
        OutputError: the file cannot be written.
    """
    return tensor_file.write(path, tensors, metadata, model_search.CODEC, ENCODER)


@lru_cache(maxsize=4)
def _load(path: Path, modified: float) -> ModelFile:
    metadata = model_search.header_of(path, model_search.CODEC)
    try:
        tensors = tensor_file.read(path, metadata, model_search.CODEC, ENCODER)
        return _model_file(path, metadata, tensors)
    # JSON that is nested too deeply raises RecursionError.
    except (KeyError, TypeError, ValueError, RecursionError, SafetensorError) as e:
        raise ModelError(f"{path}: not a model this aec can run: {e}") from e


def _model_file(path: Path, metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> ModelFile:
    config = Config(**json.loads(metadata["aec_model"]))
    if (tune := metadata.get("tune", "mse")) not in TUNES:
        raise ValueError(f"tune {tune!r}: allowed are {', '.join(TUNES)}")
    check_forms(config, tensors)
    check_integers(tensors)
    _check_levels(tensors["levels"])
    tables = [tensors[f"tables.{name}"] for name in TABLES]
    coder, zones = rans.Tables(*tables), dead_zones(*tables)
    for array in (zones, *tensors.values()):
        array.flags.writeable = False
    return ModelFile(config, model_search.id_in(metadata), path, MappingProxyType(tensors), tune, coder, zones)


def _check_levels(levels: np.ndarray) -> None:
    right = np.append(levels[0] >= 1, (levels[1:] > levels[:-1]) & (levels[1:] <= MAX_LEVEL))
    if not right.all():
        wrong = int(right.argmin())
        raise ValueError(f"levels[{wrong}] is {levels[wrong]:g}: levels must rise, within 1 to {MAX_LEVEL:g}")

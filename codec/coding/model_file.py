"""Reading of model files, with verification by hashes, and writing. They are safetensors, never pickle; no torch.

A file holds the decoder's half (entropy nets, coding tables, synthesis) and the encoder's transforms, all as integers,
the level of each quality, and the configuration as JSON. It also holds two SHA-256 hashes: one of everything that
affects how a file decodes, whose first 4 bytes are the model id in .aec files, and one of the encoder's half.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from ..errors import ModelError
from ..io import write_bytes
from . import model_search, rans
from .cdf_tables import dead_zones
from .model_config import MAX_LEVEL, TUNES, Config
from .model_tensors import check_forms, check_integers
from .threads import lock_across_forks

TABLES = ("freqs", "limits", "raw_bits")
_ENCODER = ("analysis.", "hyper_analysis.")
_TYPES = {"F16": "float16", "F32": "float32", "I8": "int8", "I16": "int16", "I32": "int32"} | {
    "U8": "uint8",
    "U16": "uint16",
}
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
    path = model_search.find_id(model_id) if model is None else model_search.find(model)
    file = load(path)
    if file.id != model_id:
        raise ModelError(f"the file was written with model {model_id.hex()}, not {file.id.hex()} ({path})")
    return file


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Write a model file and return its model id. An existing file is replaced; it is never left half-written.

    Args:
        tensors: all tensors in `model_tensors.forms` of the configuration.
        metadata: `aec_model` (the configuration as JSON) and `tune`. The hashes are added here.

    Raises:
        OutputError: the file cannot be written.
    """
    hashes = _hashes(tensors, metadata["aec_model"])
    write_bytes(path, serialise(dict(tensors), {**metadata, **hashes}), force=True)
    return model_search.id_in(hashes)


def _hashes(tensors: Mapping[str, np.ndarray], config: str) -> dict[str, str]:
    """The two hashes of a model file, as its metadata holds them."""
    halves = {"decoder_sha256": False, "encoder_sha256": True}
    return {name: _digest(tensors, config, encoder) for name, encoder in halves.items()}


def _digest(tensors: Mapping[str, np.ndarray], config: str, encoder: bool) -> str:
    """SHA-256 over name, dtype, shape and bytes of the encoder's or the decoder's tensors, in order of name."""
    h = hashlib.sha256(config.encode())
    for name in sorted(tensors):
        if name.startswith(_ENCODER) == encoder:
            t = tensors[name]
            h.update(f"\n{name} {t.dtype} {list(t.shape)}\n".encode())
            h.update(t.reshape(-1).view(np.uint8).data)
    return h.hexdigest()


@lru_cache(maxsize=4)
def _load(path: Path, modified: float) -> ModelFile:
    metadata = model_search.header_of(path)
    try:
        tensors = _tensors(path)
        for name, value in _hashes(tensors, metadata["aec_model"]).items():
            if metadata.get(name) != value:
                raise ModelError(f"{path}: {name} does not match: the file was changed or damaged")
        return _model_file(path, metadata, tensors)
    # JSON that is nested too deeply raises RecursionError.
    except (KeyError, TypeError, ValueError, RecursionError, SafetensorError) as e:
        raise ModelError(f"{path}: not a model this aec can run: {e}") from e


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """Read all tensors, as read-only views of the file's bytes.

    safetensors stores them without gaps after its header, in the order of `offset_keys`.
    """
    data, tensors = path.read_bytes(), {}
    start = 8 + int.from_bytes(data[:8], "little")
    with safe_open(path, "np") as f:
        for name in f.offset_keys():
            part = f.get_slice(name)
            if (kind := part.get_dtype()) not in _TYPES:
                raise ValueError(f"{name} holds {kind}: allowed are {', '.join(_TYPES)}")
            shape = part.get_shape()
            tensors[name] = np.frombuffer(data, _TYPES[kind], math.prod(shape), start).reshape(shape)
            start += tensors[name].nbytes
    return tensors


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

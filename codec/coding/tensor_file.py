"""Files of tensors that are verified by hashes: what the files of all kinds of models have in common.

They are safetensors, never pickle. Two SHA-256 hashes are in their metadata: one of everything that affects how a file
decodes, whose first 4 bytes are the model id in .aec files, and one of the encoder's half.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from ..errors import ModelError
from ..io import write_bytes
from . import model_search

_TYPES = {
    "F16": "float16",
    "F32": "float32",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
}


def write(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], config: str, encoder: tuple[str, ...]
) -> bytes:
    """Write a model file and return its model id. An existing file is replaced; it is never left half-written.

    Args:
        tensors: of the model, by name.
        metadata: strings by name; the hashes are added here.
        config: the name of the entry in `metadata` that the hashes cover, beside the tensors.
        encoder: what the names of the encoder's tensors begin with.

    Raises:
        OutputError: the file cannot be written.
    """
    data, model_id = serialised(tensors, metadata, config, encoder)
    write_bytes(path, data, force=True)
    return model_id


def serialised(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], config: str, encoder: tuple[str, ...]
) -> tuple[bytes, bytes]:
    """Return the bytes of a model file, and its model id. Arguments are as in `write`."""
    hashes = _hashes(tensors, metadata[config], encoder)
    return serialise(dict(tensors), {**metadata, **hashes}), model_search.id_in(hashes)


def read(path: Path, metadata: Mapping[str, str], config: str, encoder: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read all tensors, as read-only views of the file's bytes, and compare the hashes.

    Args:
        metadata: of the file, as `model_search.header_of` reads it.
        config, encoder: as in `write`.

    Raises:
        ModelError: a hash does not match.
        ValueError: the file is not as it should be.
    """
    data, tensors = path.read_bytes(), {}
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        with safe_open(path, "np") as f:
            for name in f.offset_keys():  # safetensors stores them in this order and without gaps, after its header
                part = f.get_slice(name)
                if (kind := part.get_dtype()) not in _TYPES:
                    raise ValueError(f"{name} holds {kind}: allowed are {', '.join(_TYPES)}")
                shape = part.get_shape()
                tensors[name] = np.frombuffer(data, _TYPES[kind], math.prod(shape), start).reshape(shape)
                start += tensors[name].nbytes
    except SafetensorError as e:
        raise ValueError(str(e)) from e
    if not any(name.startswith(encoder) for name in tensors):
        raise ValueError(f"it has the decoder's half only, without tensors {' and '.join(f'{e}*' for e in encoder)}")
    for name, value in _hashes(tensors, metadata[config], encoder).items():
        if metadata.get(name) != value:
            raise ModelError(f"{path}: {name} does not match: the file was changed or damaged")
    return tensors


def _hashes(tensors: Mapping[str, np.ndarray], config: str, encoder: tuple[str, ...]) -> dict[str, str]:
    """The two hashes of a model file, as its metadata holds them."""
    halves = {"decoder_sha256": False, "encoder_sha256": True}
    return {name: _digest(tensors, config, encoder, half) for name, half in halves.items()}


def _digest(tensors: Mapping[str, np.ndarray], config: str, encoder: tuple[str, ...], encoders: bool) -> str:
    """SHA-256 over name, dtype, shape and bytes of the encoder's or the decoder's tensors, in order of name."""
    h = hashlib.sha256(config.encode())
    for name in sorted(tensors):
        if name.startswith(encoder) == encoders:
            t = tensors[name]
            h.update(f"\n{name} {t.dtype} {list(t.shape)}\n".encode())
            h.update(t.reshape(-1).view(np.uint8).data)
    return h.hexdigest()

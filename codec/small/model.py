"""Model files for collections of small pictures: integer nets, the steps of the quantiser and the coding tables.

They are verified by hashes like the codec's own model files (`coding.tensor_file`), and are found in the same folders.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..coding import model_search, rans, tensor_file
from ..coding.model_search import COLLECTION
from ..container.collection import MAX_SAMPLES, MAX_SIDE
from ..errors import ModelError
from .layers import LARGEST, Net

ENCODER = ("encoder.",)
LEVELS = 10  # qualities 1..10 are level 0, and so on: each level has its own steps and tables
MOST_LATENTS = 2**16  # of one picture


@dataclass(frozen=True, eq=False)
class SmallModel:
    """The verified contents of a model file. It is immutable, and threads may share it.

    Args:
        arch: the kind of autoencoder, such as "undercomplete".
        shape: (height, width, channels) of the pictures.
        id: the model id, 4 bytes, by which collections name the model.
        path: of the file.
        encoder, decoder: integer nets. The encoder takes samples 0..255 as [C, H, W]; its outputs are the latents.
            The decoder takes latents, and gives C * H * W values in the same order.
        thresholds: float64 [255] of integers, not falling: a value becomes the number of thresholds that it reaches.
        centres: float64 [D] of integers: the latent that symbol 0 stands for.
        steps: float64 [LEVELS, D] of integers: the latents between two neighbouring symbols.
        indexes: uint8 [LEVELS, D]: the coding table of each latent; with index 0 its symbol is always 0.
        tables: the coding tables of each level.
        tensors: all tensors of the file, by name, read-only.
    """

    arch: str
    shape: tuple[int, int, int]
    id: bytes
    path: Path
    encoder: Net
    decoder: Net
    thresholds: np.ndarray
    centres: np.ndarray
    steps: np.ndarray
    indexes: np.ndarray
    tables: tuple[rans.Tables, ...]
    tensors: Mapping[str, np.ndarray]

    @property
    def n_latents(self) -> int:
        return len(self.centres)


def level_of(quality: int) -> int:
    """Return the level of a quality 1..100: 0 for 1..10, up to 9 for 91..100."""
    return -(-quality * LEVELS // 100) - 1


def find(model: str | os.PathLike) -> SmallModel:
    """Load a model by path or name. Raises ModelError if there is none, or it is of another kind."""
    return load(model_search.find(model))


def find_id(model_id: bytes, model: str | os.PathLike | None = None) -> SmallModel:
    """Load the model that wrote a collection.

    Args:
        model: path or name of the model; None: it is found by its id.

    Raises:
        ModelError: there is no such model, or `model` has a different id.
    """
    return model_search.load_for(load, model_id, model)


def write(path: Path, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> bytes:
    """Write a model file and return its model id.

    Args:
        config: arch, shape, and the descriptions of the layers of encoder and decoder.
        tensors: see `SmallModel`; those of the nets as `layers` names them, `thresholds`, `centres`, `steps`,
            `indexes`, and for each level `freqs`, `limits` and `raw_bits` as `rans.Tables` takes them.

    Raises:
        OutputError: the file cannot be written.
    """
    return tensor_file.write(path, tensors, {COLLECTION: json.dumps(config)}, COLLECTION, ENCODER)


def load(path: Path) -> SmallModel:
    """Read and verify a model file; cached by path and modification time.

    Raises:
        ModelError: the file is not such a model, its hashes do not match, or something in it does not fit.
    """
    return _load(path, path.stat().st_mtime)


@lru_cache(maxsize=8)
def _load(path: Path, modified: float) -> SmallModel:
    metadata = model_search.header_of(path, COLLECTION)
    try:
        tensors = tensor_file.read(path, metadata, COLLECTION, ENCODER)
        return of_tensors(path, json.loads(metadata[COLLECTION]), tensors, model_search.id_in(metadata))
    # JSON that is nested too deeply raises RecursionError.
    except (KeyError, TypeError, ValueError, RecursionError) as e:
        raise ModelError(f"{path}: not a model this aec can run: {e}") from e


def of_tensors(
    path: Path, config: Mapping[str, Any], tensors: dict[str, np.ndarray], model_id: bytes = bytes(4)
) -> SmallModel:
    """Make a model of what its file holds (see `write`), and check that everything fits together.

    Raises:
        KeyError, TypeError, ValueError: something does not fit.
    """
    height, width, channels = shape = tuple(config["shape"])
    sides_fit = all(type(side) is int and 1 <= side <= MAX_SIDE for side in shape)
    if not sides_fit or channels not in (1, 3) or height * width * channels > MAX_SAMPLES:
        raise ValueError(f"pictures of {shape}: allowed are [height, width, 1 or 3] of at most {MAX_SAMPLES} samples")
    encoder = Net(config["encoder"], tensors, "encoder", (channels, height, width))
    d = math.prod(encoder.shape)
    decoder = Net(config["decoder"], tensors, "decoder", encoder.shape)
    if d > MOST_LATENTS or math.prod(decoder.shape) != channels * height * width:
        raise ValueError(f"a decoder from {encoder.shape} to {decoder.shape} for pictures of {shape}")
    forms = {
        "thresholds": (np.int16, (255,)),
        "centres": (np.int16, (d,)),
        "steps": (np.uint16, (LEVELS, d)),
        "indexes": (np.uint8, (LEVELS, d)),
        "freqs": (np.uint16, (LEVELS, rans.INDEX_COUNT, 64)),
        "limits": (np.uint8, (LEVELS, rans.INDEX_COUNT)),
        "raw_bits": (np.uint8, (LEVELS, rans.INDEX_COUNT)),
    }
    for name, (dtype, right) in forms.items():
        if tensors[name].dtype != dtype or tensors[name].shape != right:
            raise ValueError(f"{name} is {tensors[name].dtype} {tensors[name].shape}, not {np.dtype(dtype)} {right}")
    if (np.diff(tensors["thresholds"].astype(np.int32)) < 0).any():
        raise ValueError("thresholds must not fall")
    if tensors["indexes"].max() >= rans.INDEX_COUNT or tensors["steps"].min() < 1:
        raise ValueError(f"an index above {rans.INDEX_COUNT - 1}, or a step of 0")
    tables = [rans.Tables(*(tensors[name][i] for name in ("freqs", "limits", "raw_bits"))) for i in range(LEVELS)]
    return SmallModel(
        str(config["arch"]),
        (height, width, channels),
        model_id,
        path,
        encoder,
        decoder,
        tensors["thresholds"].astype(np.float64),
        tensors["centres"].astype(np.float64),
        tensors["steps"].astype(np.float64),
        tensors["indexes"],
        tuple(tables),
        MappingProxyType(tensors),
    )


def dequantise(model: SmallModel, symbols: np.ndarray, level: int) -> np.ndarray:
    """Return the latents of symbols: int16 [N, D] -> float64 [N, D] of integers, saturated to int16."""
    return (model.centres + symbols * model.steps[level]).clip(-LARGEST, LARGEST)

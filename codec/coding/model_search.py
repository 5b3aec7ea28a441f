"""Where model files are, and which is which: by name, or by the id that .aec files hold. Reads no tensors.

It needs nothing but Python itself, so that `aec info` and Pillow's plugin can name a model without loading numpy.
"""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..container.format import MODEL_ID_BYTES
from ..errors import ModelError

MODELS = Path(__file__).parents[1] / "models"
SEARCH_PATH = "AEC_MODELS"  # environment: more folders of models, separated as in PATH
DEFAULT = "eye"
_LENGTH_BYTES = 8  # of a safetensors file: the length of its header, which is JSON
_MOST_HEADER = 1 << 26  # bytes: those of ours have 2^17


def available() -> list[Path]:
    """Model files in the package and in the folders of $AEC_MODELS."""
    folders = [MODELS, *(Path(p) for p in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if p)]
    return [p for folder in folders for p in sorted(folder.glob("*.safetensors")) if p.is_file()]


def find(model: str | os.PathLike | None) -> Path:
    """Path of a model given by file name, by name (the file's stem), or None: the default.

    Raises:
        ModelError: there is none.
    """
    name = DEFAULT if model is None else os.fspath(model)
    if os.sep in name or name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise ModelError(f"model file {name} does not exist")
        return Path(name)
    for path in available():
        if path.stem == name:
            return path
    raise ModelError(f"no model {name!r}: available are {', '.join(p.stem for p in available()) or 'none'}")


def find_id(model_id: bytes) -> Path:
    """Path of the model that a file names. Raises ModelError if it is not at hand."""
    for path in available():
        if _id_of(path, path.stat().st_mtime) == model_id:
            return path
    raise ModelError(
        f"the file needs model {model_id.hex()}, which is not at hand: "
        f"name its file as the model, or put its folder on ${SEARCH_PATH}"
    )


def name_of(model_id: bytes) -> str | None:
    """Name of the model with this id, as `find` takes it; None: it is not at hand."""
    try:
        return find_id(model_id).stem
    except ModelError:
        return None


def is_model(path: Path) -> bool:
    """Whether its header says so: a checkpoint's does not."""
    return path.is_file() and _id_of(path, path.stat().st_mtime) is not None


def header_of(path: Path) -> dict[str, str]:
    """The metadata in a model file's header.

    Raises:
        ModelError: it cannot be read, or is no model file.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > _MOST_HEADER:
                raise ValueError(f"a header of {length} bytes: at most {_MOST_HEADER} are allowed")
            header = json.loads(file.read(length))
        metadata = header.get("__metadata__", {})
        if not isinstance(metadata, dict):
            raise ValueError("its metadata are no table of names")
    # RecursionError: of JSON that is nested too deeply.
    except (OSError, ValueError, AttributeError, RecursionError) as e:
        raise ModelError(f"{path}: not a model file ({e})") from e
    if "aec_model" not in metadata:
        raise ModelError(f"{path}: a safetensors file, but not a model of aec")
    return metadata


def id_in(metadata: Mapping[str, str]) -> bytes:
    """The id of the model whose header this is: the first bytes of the hash of all that decides how files decode."""
    return bytes.fromhex(metadata["decoder_sha256"])[:MODEL_ID_BYTES]


@lru_cache(maxsize=32)
def _id_of(path: Path, modified: float) -> bytes | None:
    """None for a file that is no model: checkpoints may lie beside models, and must not hide them."""
    try:
        return id_in(header_of(path))
    except (ModelError, KeyError, ValueError, TypeError):
        return None

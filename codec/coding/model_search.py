"""Finding model files by name, or by the model id in an .aec file. Only the headers of model files are read.

The default model comes with this package, the others with packages of their own or from the user; and a clone has all
that were ever published. They are looked for in that order, and no further than until one is found: most files are of
the default model, which is in the first folder.

This module imports only the standard library, so that `aec info` and the Pillow plugin can name a model without loading
numpy.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeVar

from ..container.format import MODEL_ID_BYTES
from ..errors import ModelError

MODELS = Path(__file__).parents[1] / "models"
NAMESPACE = "aec_models"  # a folder beside the installed packages, into which each package of a model puts its file
EXTRA = "extra"  # a folder in MODELS, in clones only: a package of its own installs each model of it
SEARCH_PATH = "AEC_MODELS"  # environment variable with more folders of models, separated as in PATH
DEFAULT = "eye"
# The package of each published model that `aec-codec` need not hold, by name and id. A file can only be read
# with the model that wrote it, so no line may ever go, and a package keeps its model (docs/releasing.md).
PACKAGES = {("psnr", "f53a405e"): "aec-codec-psnr", ("eye-1", "563817ea"): "aec-codec-eye-1"}
_IN_A_CLONE = f"; a clone of aec has it in codec/models/{EXTRA}: name that folder in ${SEARCH_PATH}"
# The names of the entries that hold the configuration, and tell what kind of model a file is. Each kind has a phrase.
CODEC, COLLECTION = "aec_model", "aec_collection_model"
KINDS = {CODEC: "for pictures of any size", COLLECTION: "for collections of small pictures of one size"}
_LENGTH_BYTES = 8  # a safetensors file begins with the length of its JSON header, in this many bytes
_MOST_HEADER = 1 << 26  # largest header in bytes; those of our models have about 2^17


class _HasId(Protocol):
    @property
    def id(self) -> bytes: ...


Loaded = TypeVar("Loaded", bound=_HasId)


def available() -> list[Path]:
    """Return the paths of the model files that are looked through."""
    return list(_files())


def _files() -> Iterator[Path]:
    for folder in _folders():
        yield from (p for p in sorted(folder.glob("*.safetensors")) if p.is_file())


def _folders() -> Iterator[Path]:
    yield MODELS
    if (installed := find_spec(NAMESPACE)) is not None:
        yield from map(Path, installed.submodule_search_locations or ())
    yield from (Path(p) for p in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if p)
    yield MODELS / EXTRA


def find(model: str | os.PathLike | None) -> Path:
    """Return the path of a model file.

    Args:
        model: the path of a file, or the name of an available model (its file name without suffix); None: the default.

    Raises:
        ModelError: there is no such model.
        TypeError: `model` is something else.
    """
    if not isinstance(model, str | os.PathLike | None):
        raise TypeError(f"model of type {type(model).__name__}: must be the name of a model, or the path of its file")
    name = DEFAULT if model is None else os.fspath(model)
    if os.sep in name or name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise ModelError(f"model file {name} {'is no file' if Path(name).exists() else 'does not exist'}")
        return Path(name)
    for path in _files():
        if path.stem == name:
            return path
    there = ", ".join(p.stem for p in available()) or "none"
    package = next((package for (known, _), package in PACKAGES.items() if known == name), None)
    hint = f"; {name} is installed by: {installs(package)}{_IN_A_CLONE}" if package else ""
    raise ModelError(f"no model {name!r}: available are {there}, and files ending in .safetensors{hint}")


def find_id(model_id: bytes) -> Path:
    """Return the path of the available model with this id, 4 bytes. Raises ModelError if there is none."""
    for path in _with_id(model_id):
        return path
    raise _missing(model_id)


def _with_id(model_id: bytes) -> Iterator[Path]:
    """Yield the available files that claim this id; whether it is theirs is verified when they are loaded."""
    for path in _files():
        try:
            modified = path.stat().st_mtime
        except OSError:  # it has gone since its folder was listed
            continue
        if _id_of(path, modified) == model_id:
            yield path


def _missing(model_id: bytes) -> ModelError:
    by_hand = f"give its file (--model, or model= in Python), or put its folder on ${SEARCH_PATH}"
    package = package_of(model_id)
    todo = f"it is installed by: {installs(package)}{_IN_A_CLONE}" if package else by_hand
    return ModelError(f"the file needs model {model_id.hex()}, which is not at hand: {todo}")


def package_of(model_id: bytes) -> str | None:
    """Return the package that installs the model with this id; None if no package is known to."""
    return next((package for (_, known), package in PACKAGES.items() if known == model_id.hex()), None)


def installs(package: str) -> str:
    """Return the command that installs a package."""
    return f"pip install {package}"


def load_for(load: Callable[[Path], Loaded], model_id: bytes, model: str | os.PathLike | None) -> Loaded:
    """Find and load the model that wrote a file.

    Args:
        load: loads the model in a file.
        model_id: the model id in the file's header, 4 bytes.
        model: name or path of the model, as in `find`; None: it is found by its id.

    Raises:
        ModelError: there is no such model, or `model` has a different id.
    """
    if model is None:
        return _first_that_loads(load, model_id)
    path = find(model)
    found = load(path)
    if found.id != model_id:
        raise ModelError(f"the file was written with model {model_id.hex()}, not {found.id.hex()} ({path})")
    return found


def _first_that_loads(load: Callable[[Path], Loaded], model_id: bytes) -> Loaded:
    """Load the model with this id. A file that only claims the id must not keep the right one from being found.

    Raises ModelError: there is none; or, where files claim the id, what is wrong with the first of them.
    """
    fault = None
    for path in _with_id(model_id):
        try:
            found = load(path)
        except ModelError as e:
            fault = fault or e
            continue
        except OSError:  # it has gone since it was found
            continue
        if found.id == model_id:
            return found
    raise fault or _missing(model_id)


def name_of(model_id: bytes) -> str | None:
    """Return the name of the available model with this id, as `find` takes it; None if there is none."""
    try:
        return find_id(model_id).stem
    except ModelError:
        return None


def is_model(path: Path) -> bool:
    """Return whether a file is a model file by its header. Checkpoints are safetensors too, but no models."""
    return path.is_file() and kind_of(path) is not None


def kind_of(path: Path) -> str | None:
    """Return the kind of a model file, one of KINDS; None for another file, such as a checkpoint."""
    try:
        metadata = header_of(path)
    except ModelError:
        return None
    return next(kind for kind in KINDS if kind in metadata)


def header_of(path: Path, kind: str | None = None) -> dict[str, str]:
    """Read the metadata in the header of a model file.

    Args:
        kind: the wanted kind of model, one of KINDS; None: any.

    Raises:
        ModelError: the file cannot be read, or is not a model file, or one of another kind.
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
    # JSON that is nested too deeply raises RecursionError.
    except (OSError, ValueError, AttributeError, RecursionError) as e:
        raise ModelError(f"{path}: not a model file ({e})") from e
    found = [known for known in KINDS if known in metadata]
    if not found:
        raise ModelError(f"{path}: a safetensors file, but not a model of aec")
    if kind is not None and kind not in found:
        raise ModelError(f"{path}: a model {KINDS[found[0]]}, where one {KINDS[kind]} is needed")
    return metadata


def id_in(metadata: Mapping[str, str]) -> bytes:
    """Return the id of the model with this metadata: 4 bytes of the hash of everything that affects decoding."""
    return bytes.fromhex(metadata["decoder_sha256"])[:MODEL_ID_BYTES]


@lru_cache(maxsize=32)
def _id_of(path: Path, modified: float) -> bytes | None:
    """Return the id of a model file, or None for another file, such as a checkpoint in the same folder.

    Args:
        modified: modification time of the file; it is only a key of the cache.
    """
    try:
        return id_in(header_of(path))
    except (ModelError, KeyError, ValueError, TypeError):
        return None

"""Model files: write, find, load and verify by hash. safetensors only, never pickle.

A file holds the integer entropy nets and coding tables as integers, the transforms as float16, the configuration as
JSON, and two SHA-256: of all that decides how a file decodes (its first 4 bytes are the model id in every .aec file),
and of the encoder's half.
"""

import hashlib
import json
import os
import re
import threading
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ..container.format import MODEL_ID_BYTES
from ..errors import BackendError, ModelError
from ..io import write_bytes
from ..nets.cdf_tables import dead_zones, fitted_tables, gaussian_tables
from ..nets.integer import PLAIN_LEVELS, IntegerEntropyNet
from ..nets.layers import QUALITIES
from ..nets.model import MAX_LEVEL, TUNES, Analysis, Config, HyperAnalysis, Model, Synthesis
from . import rans
from .segment_walk import NETS, Start, starter

MAX_CHANNELS = 1 << 14  # of the configuration (FORMAT §7): sums of the nets' integers stay provable
MAX_BLOCKS = 64  # at 1/8 and at 1/16 of the pixels

MODELS = Path(__file__).parents[1] / "models"
SEARCH_PATH = "AEC_MODELS"  # environment: more folders of models, separated as in PATH
DEFAULT = "eye"
_ENCODER = ("analysis.", "hyper_analysis.")
_FLOAT = ("analysis", "hyper_analysis", "synthesis")
_LOADING = threading.Lock()


@dataclass(frozen=True)
class Codec:
    """A model ready to run, all on one device."""

    config: Config
    id: bytes
    path: Path
    analysis: Analysis
    hyper_analysis: HyperAnalysis
    synthesis: Synthesis
    net: IntegerEntropyNet
    walk: Start
    tables: rans.Tables
    dead_zones: Tensor  # int16 [64], tables.dead_zones
    levels: Tensor  # of each quality, float32 [100]: how finely the nets are told to code (`train.quality_levels`)
    tune: str  # the distortion it was trained for, one of TUNES
    device: torch.device

    def level(self, quality: int) -> Tensor:
        """What the float nets are told for a quality 1..100: float32 [1]."""
        return self.levels[quality - 1 : quality]


def _digest(tensors: dict[str, Tensor], config: str, encoder: bool) -> str:
    """SHA-256 over name, dtype, shape and bytes of the encoder's or the decoder's tensors, in order of name."""
    h = hashlib.sha256(config.encode())
    for name in sorted(tensors):
        if name.startswith(_ENCODER) == encoder:
            t = tensors[name]
            h.update(f"\n{name} {str(t.dtype).removeprefix('torch.')} {list(t.shape)}\n".encode())
            h.update(t.reshape(-1).view(torch.uint8).numpy().data)
    return h.hexdigest()


def _hashes(tensors: dict[str, Tensor], config: str) -> dict[str, str]:
    """The two hashes of a model file, as its metadata holds them."""
    halves = {"decoder_sha256": False, "encoder_sha256": True}
    return {name: _digest(tensors, config, encoder) for name, encoder in halves.items()}


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file, whole or not at all, in place of what is there. Raises OutputError."""
    write_bytes(path, serialise({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata), force=True)


def save(
    path: Path,
    model: Model,
    counts: np.ndarray | None = None,
    tune: str = "mse",
    levels: Tensor = PLAIN_LEVELS,
) -> bytes:
    """Export a trained model to integers and write its file; returns the model id.

    Args:
        counts: of its symbols (`symbol_counts.symbol_counts`), to fit the coding tables to; None: they are Gaussians'.
        tune: the distortion it was trained for, one of TUNES.
        levels: of each quality, float [100], rising within 1..MAX_LEVEL.

    Raises:
        ValueError: weights too large for the integer arithmetic (`IntegerConv.from_float`).
    """
    model = model.with_hyper_steps_in_range()
    tensors = {f"{name}.{k}": v.half() for name in _FLOAT for k, v in getattr(model, name).state_dict().items()}
    tensors |= {f"entropy.{k}": v for k, v in IntegerEntropyNet.from_float(model, levels).state_dict().items()}
    tensors["levels"] = levels.float()
    tables = gaussian_tables() if counts is None else fitted_tables(counts)
    for name, table in zip(("freqs", "limits", "raw_bits"), tables, strict=True):
        tensors[f"tables.{name}"] = torch.from_numpy(table)
    config = json.dumps(asdict(model.config), sort_keys=True)
    metadata = {"aec_model": config, "tune": tune} | _hashes(tensors, config)
    write_tensors(path, tensors, metadata)
    return bytes.fromhex(metadata["decoder_sha256"])[:MODEL_ID_BYTES]


def float_model(path: Path) -> Model:
    """The model that was saved, up to its export's rounding: to be trained further. Raises ModelError as `load`."""
    codec = load(path, torch.device("cpu"))
    state = codec.net.floats(codec.levels)
    for name in _FLOAT:
        state |= {f"{name}.{k}": v for k, v in getattr(codec, name).state_dict().items()}
    model = Model(codec.config)
    model.load_state_dict(state)
    return model.eval()


def is_model(path: Path) -> bool:
    """Whether its header says so: a checkpoint's does not."""
    return path.is_file() and _id_of(path, path.stat().st_mtime) is not None


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as f:
            metadata = f.metadata() or {}
    except (OSError, SafetensorError) as e:
        raise ModelError(f"{path}: not a model file ({e})") from e
    if "aec_model" not in metadata:
        raise ModelError(f"{path}: a safetensors file, but not a model of aec")
    return metadata


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


@lru_cache(maxsize=32)
def _id_of(path: Path, modified: float) -> bytes | None:
    """None for a file that is no model: checkpoints may lie beside models, and must not hide them."""
    try:
        return bytes.fromhex(_metadata(path)["decoder_sha256"])[:MODEL_ID_BYTES]
    except (ModelError, KeyError, ValueError):
        return None


def find_id(model_id: bytes) -> Path:
    """Path of the model that a file names. Raises ModelError if it is not at hand."""
    for path in available():
        if _id_of(path, path.stat().st_mtime) == model_id:
            return path
    raise ModelError(
        f"the file needs model {model_id.hex()}, which is not at hand: "
        f"name its file as the model, or put its folder on ${SEARCH_PATH}"
    )


def resolve_device(device: str) -> torch.device:
    """auto, cpu, cuda or cuda:N -> torch device; of CUDA with its number, as tensors name theirs.

    Raises:
        BackendError: CUDA was asked for and there is none.
        ValueError: another word.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", device)
    if not found:
        raise ValueError(f"device {device!r}: allowed are auto, cpu, cuda and cuda:N")
    if device == "cpu":
        return torch.device(device)
    if int(found[1] or 0) >= torch.cuda.device_count():
        raise BackendError(f"device {device!r}: {torch.cuda.device_count()} CUDA devices answer")
    return torch.device("cuda", int(found[1]) if found[1] else torch.cuda.current_device())


def load(path: Path, device: torch.device, nets: str = "native") -> Codec:
    """Load and verify a model; cached by path, modification time, device and nets.

    Args:
        path: a model file.
        device: where all of it runs.
        nets: one of walk.NETS, the arithmetic of the entropy nets; no file depends on it.

    Raises:
        ModelError: not a model, or its bytes are not those that were hashed.
        ValueError: another word for `nets`.
    """
    if nets not in NETS:
        raise ValueError(f"nets {nets!r}: allowed are {' and '.join(NETS)}")
    with _LOADING:  # threads that begin together are to load it once
        return _load(path, path.stat().st_mtime, device, nets)


def load_for(model_id: bytes, model: str | os.PathLike | None, device: torch.device) -> Codec:
    """The model that wrote a file, found by its id, or `model` (as in `find`) if it is that one.

    Raises:
        ModelError: it is another one, or not at hand.
    """
    path = find_id(model_id) if model is None else find(model)
    codec = load(path, device)
    if codec.id != model_id:
        raise ModelError(f"the file was written with model {model_id.hex()}, not {codec.id.hex()} ({path})")
    return codec


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # what is kept must serve refinement's gradients too, whoever was first to load it
def _load(path: Path, modified: float, device: torch.device, nets: str) -> Codec:
    metadata = _metadata(path)
    try:
        with safe_open(path, "pt") as f:
            tensors = {k: f.get_tensor(k) for k in f.keys()}
        for name, value in _hashes(tensors, metadata["aec_model"]).items():
            if metadata.get(name) != value:
                raise ModelError(f"{path}: {name} does not match: the file was changed or damaged")
        return _assemble(path, metadata, tensors, device, nets)
    # RuntimeError: load_state_dict's, on names and shapes; SafetensorError: types of numbers that torch has not.
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as e:
        raise ModelError(f"{path}: not a model this aec can run: {e}") from e


def _neutral(module: nn.Module) -> dict[str, Tensor]:
    """What the transforms of older models lack, at values that change nothing (FORMAT §8)."""
    values = {"quality8.knots": 0.0, "quality16.knots": 0.0, "log_gain.knots": 0.0, "whiten": 1.0}
    shapes = {k: v.shape for k, v in module.state_dict().items() if k in values}
    return {k: torch.full(shape, values[k]) for k, shape in shapes.items()}


def _assemble(
    path: Path, metadata: dict[str, str], tensors: dict[str, Tensor], device: torch.device, nets: str
) -> Codec:
    config = Config(**json.loads(metadata["aec_model"]))
    if config.steps not in (2, 4):
        raise ValueError(f"{config.steps} context steps: 2 or 4 are allowed")
    if config.latents % config.steps:
        raise ValueError(f"{config.latents} latents are not a multiple of {config.steps} context steps")
    for name in ("latents", "hyper", "context", "wide8", "wide16"):
        if not 1 <= getattr(config, name) <= MAX_CHANNELS:
            raise ValueError(f"{name} is {getattr(config, name)}: 1 to {MAX_CHANNELS} channels are allowed")
    for name in ("blocks8", "blocks16"):
        if not 0 <= getattr(config, name) <= MAX_BLOCKS:
            raise ValueError(f"{name} is {getattr(config, name)}: 0 to {MAX_BLOCKS} are allowed")
    if (tune := metadata.get("tune", "mse")) not in TUNES:
        raise ValueError(f"tune {tune!r}: allowed are {', '.join(TUNES)}")

    levels = tensors.get("levels", PLAIN_LEVELS)  # models of before 2026-11-29 have none
    if levels.dtype != torch.float32 or levels.shape != PLAIN_LEVELS.shape:
        raise ValueError(f"levels are {levels.dtype} {list(levels.shape)}: float32 [{QUALITIES}] is allowed")
    if not (1 <= levels[0] and levels[-1] <= MAX_LEVEL and (levels.diff() > 0).all()):
        right = torch.cat([levels[:1] >= 1, (levels.diff() > 0) & (levels[1:] <= MAX_LEVEL)])
        wrong = int((~right).nonzero()[0])
        raise ValueError(f"levels[{wrong}] is {levels[wrong]:g}: levels must rise, within 1 to {MAX_LEVEL:g}")

    def fill(module: nn.Module, name: str) -> nn.Module:
        state = {k.removeprefix(name + "."): v for k, v in tensors.items() if k.startswith(name + ".")}
        if name in _FLOAT:
            if odd := sorted({str(v.dtype) for v in state.values()} - {"torch.float16"}):
                raise ValueError(f"{name} holds {', '.join(odd)}: float16 is allowed")
            state = _neutral(module) | {k: v.float() for k, v in state.items()}
        module.load_state_dict(state, assign=True)
        if isinstance(module, IntegerEntropyNet):
            module.check()
        return module.to(device).eval().requires_grad_(False)

    with torch.device("meta"):
        analysis, hyper_analysis, synthesis = Analysis(config), HyperAnalysis(config), Synthesis(config)
        net = IntegerEntropyNet(config)
    net = fill(net, "entropy")
    tables = [tensors[f"tables.{n}"].numpy() for n in ("freqs", "limits", "raw_bits")]
    return Codec(
        config=config,
        id=bytes.fromhex(metadata["decoder_sha256"])[:MODEL_ID_BYTES],
        path=path,
        analysis=fill(analysis, "analysis").to(memory_format=torch.channels_last),
        hyper_analysis=fill(hyper_analysis, "hyper_analysis"),
        synthesis=fill(synthesis, "synthesis").to(memory_format=torch.channels_last),
        net=net,
        walk=starter(net, nets),
        tables=rans.Tables(*tables),
        dead_zones=torch.from_numpy(dead_zones(*tables)).to(device),
        levels=levels.to(device),
        tune=tune,
        device=device,
    )

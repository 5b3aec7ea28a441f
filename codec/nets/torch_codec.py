"""A model file's networks in torch, ready to run on one device: for GPUs, for refinement, and as the tests' oracle.

They are integers: the entropy nets in the arithmetic that `segment_walk.starter` chooses, and the transforms, which on
the CPU are the engine's. Floats are made of the integers for those who ask for them.
"""

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from ..coding import engine, model_file, rans
from ..coding.decoder import Decoder
from ..coding.model_config import Config
from ..coding.model_file import ModelFile
from ..coding.segment_walk import NETS, Start, starter
from ..coding.threads import lock_across_forks
from .integer import IntegerEntropyNet
from .integer_analysis import IntegerAnalysis, IntegerHyperAnalysis
from .integer_synthesis import IntegerSynthesis
from .model import Synthesis
from .torch_decoder import TorchDecoder

if TYPE_CHECKING:
    from ..coding.tiles import Encoder

TWINS = {"analysis": IntegerAnalysis, "hyper_analysis": IntegerHyperAnalysis, "synthesis": IntegerSynthesis}

AnyModule = TypeVar("AnyModule", bound=nn.Module)
_LOADING = lock_across_forks()


@dataclass(frozen=True)
class Codec:
    """A model ready to run, all on one device."""

    file: ModelFile
    integers: dict[str, Any]  # by TWINS, each of the class there
    net: IntegerEntropyNet
    walk: Start
    dead_zones: Tensor  # int16 [64], ModelFile.dead_zones
    levels: Tensor  # of each quality, float32 [100], ModelFile.levels
    device: torch.device
    nets: str  # one of segment_walk.NETS

    @property
    def config(self) -> Config:
        return self.file.config

    @property
    def id(self) -> bytes:
        return self.file.id

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def tables(self) -> rans.Tables:
        return self.file.tables

    @property
    def tune(self) -> str:
        """The distortion it was trained for, one of TUNES."""
        return self.file.tune

    @property
    def native(self) -> "engine.Encoder | None":
        """What runs the encoder's transforms on the CPU; None where the text of their arithmetic is to run."""
        return engine.encoder(self.path) if self.nets == "native" and self.device.type == "cpu" else None

    @cached_property
    @torch.inference_mode(False)  # refinement takes gradients through it, whoever was first to ask
    def synthesis(self) -> Synthesis:
        """In float32, which no pixel hangs on."""
        return self.float_net("synthesis").to(memory_format=torch.channels_last)

    def float_net(self, name: str) -> Any:
        """A transform, by TWINS, in float32: what was trained, but for rounding. Without gradients."""
        twin = self.integers[name]
        with torch.device("meta"):
            net = type(twin).float_net(self.config)
        net.load_state_dict({k: v.to(self.device) for k, v in twin.floats(self.levels.cpu()).items()}, assign=True)
        return net.eval().requires_grad_(False)

    @cached_property
    def decoder(self) -> Decoder:
        """What becomes of a payload; made when it is first asked for, which encoding need not."""
        if self.native is not None:
            return engine.load(self.path)
        return TorchDecoder(self.walk, self.tables, self.integers["synthesis"], self.file.levels)

    @property
    def encoder(self) -> "Encoder":
        """What writes files: on the CPU the engine."""
        from .torch_encoder import TorchEncoder

        return self.native or TorchEncoder(self)

    def level(self, quality: int) -> Tensor:
        """What the float nets are told for a quality 1..100: float32 [1]."""
        return self.levels[quality - 1 : quality]


def load(path: Path, device: torch.device, nets: str = "native") -> Codec:
    """Load and verify a model; cached as `model_file.load`, by device and nets.

    Args:
        path: a model file.
        device: where all of it runs.
        nets: one of segment_walk.NETS, the arithmetic of what decodes; no file and no pixel depends on it.

    Raises:
        ModelError: as `model_file.load`.
        ValueError: another word for `nets`.
    """
    return of_file(model_file.load(path), device, nets)


def load_for(model_id: bytes, model: str | os.PathLike | None, device: torch.device) -> Codec:
    """`model_file.load_for`, ready to run. Raises ModelError as that does."""
    return of_file(model_file.load_for(model_id, model), device)


def of_file(file: ModelFile, device: torch.device, nets: str = "native") -> Codec:
    """A model that was read, ready to run; cached. Raises ValueError as `load`."""
    if nets not in NETS:
        raise ValueError(f"nets {nets!r}: allowed are {' and '.join(NETS)}")
    with _LOADING:  # threads that begin together are to assemble it once
        return _assembled(file, device, nets)


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # what is kept must serve refinement's gradients too, whoever was first to load it
def _assembled(file: ModelFile, device: torch.device, nets: str) -> Codec:
    def fill(module: AnyModule, name: str) -> AnyModule:
        arrays = {k.removeprefix(f"{name}."): v for k, v in file.tensors.items() if k.startswith(f"{name}.")}
        # Copies, for the file's arrays are read-only, which tensors cannot be.
        module.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()}, assign=True)
        return module.to(device).eval()

    config = file.config
    with torch.device("meta"):
        net, integers = IntegerEntropyNet(config), {name: twin(config) for name, twin in TWINS.items()}
    net = fill(net, "entropy")
    return Codec(
        file=file,
        integers={name: fill(twin, name) for name, twin in integers.items()},
        net=net,
        walk=starter(net, nets),
        dead_zones=torch.tensor(file.dead_zones, device=device),
        levels=torch.tensor(file.levels, device=device),
        device=device,
        nets=nets,
    )

"""A model file's networks in torch, ready to run on one device: what codes pictures today.

The encoder's transforms are float32, exact conversions of the file's float16. What decodes is integers: the entropy
nets in the arithmetic that `segment_walk.starter` chooses, and `decoder`, which on the CPU is the engine. A float
synthesis is made of the integers, for encoders that ask what becomes of their symbols.
"""

import os
import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..coding import engine, model_file, rans
from ..coding.decoder import Decoder
from ..coding.model_config import Config
from ..coding.model_file import ModelFile
from ..coding.segment_walk import NETS, Start, starter
from .integer import IntegerEntropyNet
from .integer_synthesis import IntegerSynthesis
from .model import Analysis, HyperAnalysis, Synthesis
from .torch_decoder import TorchDecoder

_LOADING = threading.Lock()


@dataclass(frozen=True)
class Codec:
    """A model ready to run, all on one device."""

    config: Config
    id: bytes
    path: Path
    analysis: Analysis
    hyper_analysis: HyperAnalysis
    synthesis: Synthesis  # float32, which pixels do not hang on
    integer_synthesis: IntegerSynthesis  # which they do
    net: IntegerEntropyNet
    walk: Start
    tables: rans.Tables
    dead_zones: Tensor  # int16 [64], ModelFile.dead_zones
    levels: Tensor  # of each quality, float32 [100], ModelFile.levels
    tune: str  # the distortion it was trained for, one of TUNES
    device: torch.device
    nets: str  # one of segment_walk.NETS

    @cached_property
    def decoder(self) -> Decoder:
        """What becomes of a payload; made when it is first asked for, which encoding need not."""
        if self.nets == "native" and self.device.type == "cpu":
            return engine.load(self.path)
        return TorchDecoder(self.walk, self.tables, self.integer_synthesis, self.levels.cpu().numpy())

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
    return _load(model_file.load(path), device, nets)


def load_for(model_id: bytes, model: str | os.PathLike | None, device: torch.device) -> Codec:
    """`model_file.load_for`, ready to run. Raises ModelError as that does."""
    return _load(model_file.load_for(model_id, model), device, "native")


def _load(file: ModelFile, device: torch.device, nets: str) -> Codec:
    if nets not in NETS:
        raise ValueError(f"nets {nets!r}: allowed are {' and '.join(NETS)}")
    with _LOADING:  # threads that begin together are to assemble it once
        return _assembled(file, device, nets)


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # what is kept must serve refinement's gradients too, whoever was first to load it
def _assembled(file: ModelFile, device: torch.device, nets: str) -> Codec:
    def fill(module: nn.Module, name: str) -> nn.Module:
        arrays = {k.removeprefix(f"{name}."): v for k, v in file.tensors.items() if k.startswith(f"{name}.")}
        # Copies, for the file's arrays are read-only, which tensors cannot be.
        state = {k: torch.tensor(v, dtype=torch.float32 if v.dtype == np.float16 else None) for k, v in arrays.items()}
        return ready(module, state)

    def ready(module: nn.Module, state: dict[str, Tensor]) -> nn.Module:
        module.load_state_dict(state, assign=True)
        return module.to(device).eval().requires_grad_(False)

    config = file.config
    with torch.device("meta"):
        analysis, hyper_analysis, synthesis = Analysis(config), HyperAnalysis(config), Synthesis(config)
        net, integer_synthesis = IntegerEntropyNet(config), IntegerSynthesis(config)
    net, integer_synthesis = fill(net, "entropy"), fill(integer_synthesis, "synthesis")
    floats = integer_synthesis.floats(torch.tensor(file.levels))
    return Codec(
        config=config,
        id=file.id,
        path=file.path,
        analysis=fill(analysis, "analysis").to(memory_format=torch.channels_last),
        hyper_analysis=fill(hyper_analysis, "hyper_analysis"),
        synthesis=ready(synthesis, floats).to(memory_format=torch.channels_last),
        integer_synthesis=integer_synthesis,
        net=net,
        walk=starter(net, nets),
        tables=file.tables,
        dead_zones=torch.tensor(file.dead_zones, device=device),
        levels=torch.tensor(file.levels, device=device),
        tune=file.tune,
        device=device,
        nets=nets,
    )

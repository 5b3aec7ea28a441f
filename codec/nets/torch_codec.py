"""The networks of a model file in torch, ready to run on one device: for GPUs, and as the oracle of the tests.

They compute with integers. `segment_walk.starter` chooses the implementation of the entropy nets. On the CPU, the
transforms are those of the C++ engine. Float versions of the networks are converted from the integers on request.
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
from .torch_analysis import Analysis, analyser
from .torch_decoder import TorchDecoder, synthesiser

if TYPE_CHECKING:
    from ..coding.tiles import Encoder

TWINS = {"analysis": IntegerAnalysis, "hyper_analysis": IntegerHyperAnalysis, "synthesis": IntegerSynthesis}

AnyModule = TypeVar("AnyModule", bound=nn.Module)
_LOADING = lock_across_forks()


@dataclass(frozen=True)
class Codec:
    """A model that is ready to run, with everything on one device."""

    file: ModelFile
    integers: dict[str, Any]  # the integer transforms, with the keys and classes of TWINS
    net: IntegerEntropyNet
    walk: Start
    dead_zones: Tensor  # int16 [64], ModelFile.dead_zones
    levels: Tensor  # level of each quality, float32 [100], ModelFile.levels
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
        """The distortion that the model was trained for, one of TUNES."""
        return self.file.tune

    @property
    def native(self) -> "engine.Encoder | None":
        """The C++ engine's encoder, if the codec is on the CPU and `nets` is "native"; else None."""
        return engine.encoder(self.path) if self.nets == "native" and self.device.type == "cpu" else None

    @cached_property
    @torch.inference_mode(False)  # so that gradients can be taken, even if the first call is within inference mode
    def synthesis(self) -> Synthesis:
        """The synthesis in float32. Decoded pixels do not depend on it."""
        return self.float_net("synthesis").to(memory_format=torch.channels_last)

    def float_net(self, name: str) -> Any:
        """Return a transform (a key of TWINS) as a float32 net, which is the trained one except for rounding.

        Its parameters do not require gradients.
        """
        twin = self.integers[name]
        with torch.device("meta"):
            net = type(twin).float_net(self.config)
        net.load_state_dict({k: v.to(self.device) for k, v in twin.floats(self.levels.cpu()).items()}, assign=True)
        return net.eval().requires_grad_(False)

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder. It is created on first use, because encoding may not need it."""
        if self.native is not None:
            return engine.load(self.path)
        with _LOADING:  # so that threads that start together copy the weights to a GPU only once
            synthesis = synthesiser(self.integers["synthesis"], self.file, self.nets)
        return TorchDecoder(self.walk, self.file, synthesis, self.device)

    @cached_property
    def analysis(self) -> Analysis:
        """The transforms of a `TorchEncoder`. They are created on first use, because decoding does not need them."""
        with _LOADING:
            return analyser(self.integers, self.file, self.nets)

    @property
    def encoder(self) -> "Encoder":
        """The encoder: the C++ engine's on the CPU, else a TorchEncoder."""
        from .torch_encoder import TorchEncoder

        return self.native or TorchEncoder(self)

    def level(self, quality: int) -> Tensor:
        """Return the level of a quality 1..100, the input of the float nets: float32 [1]."""
        return self.levels[quality - 1 : quality]


def load(path: Path, device: torch.device, nets: str = "native") -> Codec:
    """Load and verify a model; cached like `model_file.load`, for each device and `nets`.

    Args:
        path: of the model file.
        device: where everything runs.
        nets: the implementation of the nets, one of segment_walk.NETS. Files and pixels do not depend on it.

    Raises:
        ModelError: as in `model_file.load`.
        ValueError: `nets` is another word.
    """
    return of_file(model_file.load(path), device, nets)


def load_for(model_id: bytes, model: str | os.PathLike | None, device: torch.device) -> Codec:
    """Load the model that wrote a file. Arguments and errors are as in `model_file.load_for`."""
    return of_file(model_file.load_for(model_id, model), device)


def of_file(file: ModelFile, device: torch.device, nets: str = "native") -> Codec:
    """Prepare a loaded model file to run; cached. Raises ValueError if `nets` is not one of segment_walk.NETS."""
    if nets not in NETS:
        raise ValueError(f"nets {nets!r}: allowed are {' and '.join(NETS)}")
    with _LOADING:  # so that threads that start together assemble it only once
        return _assembled(file, device, nets)


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # so that gradients can be taken, even if the first call is within inference mode
def _assembled(file: ModelFile, device: torch.device, nets: str) -> Codec:
    def fill(module: AnyModule, name: str) -> AnyModule:
        arrays = {k.removeprefix(f"{name}."): v for k, v in file.tensors.items() if k.startswith(f"{name}.")}
        # Copies, because the file's arrays are read-only, and tensors cannot be. Weights of 8 bits are widened.
        values = {k: torch.tensor(v).to(torch.int16 if k.endswith(".weight") else None) for k, v in arrays.items()}
        module.load_state_dict(values, assign=True)
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

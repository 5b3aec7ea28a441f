"""Decoding with torch on any device: used on GPUs, and as the oracle of the tests, which follows FORMAT.md directly."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..coding import decoder, engine, payloads, rans_cuda
from ..coding.decoder import CodedTile, Place
from ..coding.engine import Levels
from ..coding.model_config import LATENT_STRIDE
from ..coding.model_file import ModelFile
from ..coding.quality_map import at_latents, highest
from ..coding.segment_walk import Start
from ..coding.synthesis_cuda import CudaSynthesis
from .integer import quality_tensor
from .integer_synthesis import IntegerSynthesis, samples
from .layers import FRACTION_BITS


class ReferenceSynthesis(Levels):
    """The implementation of `decoder.Synthesis` by `IntegerSynthesis`, which keeps integers in float64.

    It runs on the device of the net: as the oracle of the tests, and on GPUs if this build has no kernels
    for the GPU, or none that the net fits.
    """

    def __init__(self, net: IntegerSynthesis, levels: np.ndarray):
        super().__init__(net.config, levels)
        self._net = net

    @torch.inference_mode()
    def run(self, latents: Any, place: Place, shrink: int, origin: tuple[int, int], out: Any) -> None:
        y = torch.as_tensor(latents, device=self._net.shortcut.weight.device).permute(2, 0, 1)[None].double()
        on_device = isinstance(out, Tensor)
        rows, columns, channels = (*out.shape[1:], out.shape[0]) if on_device else out.shape
        q = quality_tensor(at_latents(place.quality, place.at, (y.shape[2], y.shape[3])), y.device)
        values = self._net.values(y, q, float(self.levels[highest(place.quality) - 1]), shrink)
        top, left = (o - n * LATENT_STRIDE // shrink for o, n in zip(origin, place.at, strict=True))
        values = values[:, :, top : top + rows, left : left + columns]
        made = samples(values, 8 * out.itemsize, gray=channels == 1)[0].to(
            {1: torch.uint8, 2: torch.uint16}[out.itemsize]
        )
        out[...] = made if on_device else made.permute(1, 2, 0).cpu().numpy()


def synthesiser(net: IntegerSynthesis, file: ModelFile, nets: str) -> decoder.Synthesis:
    """Choose the implementation of the synthesis for the device of a net.

    Args:
        net: the synthesis, on its device.
        file: the model that it is of.
        nets: one of segment_walk.NETS.
    """
    device = net.shortcut.weight.device
    if nets == "native" and rans_cuda.serves(device):
        on_device = _in_cuda(file, device)
        if on_device.fits:
            return on_device
    return ReferenceSynthesis(net, file.levels)


@lru_cache(maxsize=4)
def _in_cuda(file: ModelFile, device: torch.device) -> CudaSynthesis:
    return CudaSynthesis(file.config, file.levels, engine.of_model(file).synthesis.handle, device)


class TorchDecoder:
    """The implementation of `decoder.Decoder` with torch, on the device of its nets.

    Args:
        walk: starts runs of the entropy nets.
        file: the model.
        synthesis: of the same model, on the same device.
        device: of both.
    """

    def __init__(self, walk: Start, file: ModelFile, synthesis: decoder.Synthesis, device: torch.device):
        self.config, self._walk = file.config, walk
        self.tables, self.steps = file.tables, file.tensors["entropy.step"]
        self.synthesis = synthesis
        self._device = device
        self.one_at_a_time = self._device.type != "cpu"

    @torch.inference_mode()
    def read(self, coded: CodedTile) -> Tensor:
        walk = self._walk(coded.quality, *coded.size, coded.first)
        y = payloads.read(walk, self.tables, coded.payload, coded.is_prefix)
        return (y.permute(1, 2, 0) * 2**FRACTION_BITS).to(torch.int16)  # exact, and half the size of float32

    def empty(self, rows: int, columns: int) -> Tensor:
        return torch.empty(rows, columns, self.config.latents, dtype=torch.int16, device=self._device)

    def samples(self, channels: int, rows: int, columns: int, kind: str) -> Tensor | None:
        if self._device.type == "cpu":
            return None
        with torch.inference_mode(False):  # the caller gets this tensor, and may modify it or train with it
            return torch.empty(channels, rows, columns, dtype=getattr(torch, kind), device=self._device)

"""An encoder's transforms with torch on any device: used on GPUs, and as the oracle of the tests."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..coding import rans_cuda
from ..coding.analysis_cuda import CudaAnalysis
from ..coding.decoder import Place
from ..coding.model_config import LATENT_STRIDE
from ..coding.model_file import ModelFile
from ..coding.quality_map import Quality, at_latents
from .integer import quality_tensor


class Analysis(Protocol):
    """The analysis and the hyper-analysis of a model. `CudaAnalysis` describes the methods."""

    def latents(self, pixels: np.ndarray, place: Place, area: tuple[int, int, int, int]) -> Tensor: ...

    def hyperlatents(self, y: np.ndarray, quality: Quality) -> Tensor: ...


class ReferenceAnalysis:
    """The implementation of `Analysis` by `IntegerAnalysis` and `IntegerHyperAnalysis`, in float64.

    It runs on the device of the nets: as the oracle of the tests, and on GPUs if this build has no kernels for the GPU,
    or none that the nets fit.

    Args:
        integers: the nets, with the keys "analysis" and "hyper_analysis".
    """

    def __init__(self, integers: Mapping[str, Any]):
        self._analysis, self._hyper_analysis = integers["analysis"], integers["hyper_analysis"]
        self._device = self._analysis.shortcut.weight.device

    @torch.inference_mode()
    def latents(self, pixels: np.ndarray, place: Place, area: tuple[int, int, int, int]) -> Tensor:
        x = self._channels_first(pixels)
        size = x.shape[2] // LATENT_STRIDE, x.shape[3] // LATENT_STRIDE
        q = quality_tensor(at_latents(place.quality, place.at, size), self._device)
        top, left = area[0] - place.at[0], area[1] - place.at[1]
        y = self._analysis(x, q)[0, :, top : top + area[2], left : left + area[3]]
        return y.permute(1, 2, 0).to(torch.int16)

    @torch.inference_mode()
    def hyperlatents(self, y: np.ndarray, quality: Quality) -> Tensor:
        z = self._hyper_analysis(self._channels_first(y), quality_tensor(quality, self._device))
        return z[0].permute(1, 2, 0).to(torch.int16)

    def _channels_first(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(self._device).permute(2, 0, 1)[None].double()


def analyser(integers: Mapping[str, Any], file: ModelFile, nets: str) -> Analysis:
    """Choose the implementation for the device of a model's nets.

    Args:
        integers: as of `ReferenceAnalysis`.
        file: the model.
        nets: one of segment_walk.NETS.
    """
    device = integers["analysis"].shortcut.weight.device
    if nets == "native" and rans_cuda.serves(device):
        on_device = _in_cuda(file, device)
        if on_device.fits:
            return on_device
    return ReferenceAnalysis(integers)


@lru_cache(maxsize=4)
def _in_cuda(file: ModelFile, device: torch.device) -> CudaAnalysis:
    on_cpu = file.encoder()
    return CudaAnalysis(on_cpu.analysis, on_cpu.hyper_analysis, device)

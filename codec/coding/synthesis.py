"""Latents -> samples (FORMAT §8), in interchangeable arithmetics that give the same integers.

`CpuSynthesis` is csrc; `ReferenceSynthesis` is the text of the format in torch, on any device.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .. import _C
from ..nets.integer_synthesis import IntegerSynthesis, samples
from .model_config import LATENT_STRIDE, LINEAR_FROM, Config
from .model_file import ModelFile


class Synthesiser(Protocol):
    """What makes the samples of pictures. For many threads at once."""

    def halo(self, quality: int, shrink: int) -> int:
        """Latents beyond its own that a sample depends on, each way."""

    def run(
        self,
        latents: np.ndarray | Tensor,
        at: tuple[int, int],
        size: tuple[int, int],
        quality: int,
        shrink: int,
        origin: tuple[int, int],
        out: np.ndarray | Tensor,
    ) -> None:
        """Make some of a picture's samples.

        Args:
            latents: int16 [h, w, M] in units of 2^-12, on the device: those of the samples and as many around them as
                `halo` says, where the picture has them.
            at: row and column of the first of them, among the picture's latents.
            size: rows and columns of the picture's latents.
            quality: 1..100.
            shrink: 1, 2, 4 or 8: samples are means over squares of so many pixels a side.
            origin: row and column of the first sample that is wanted, in samples.
            out: uint8 or uint16, takes the samples: an array [rows, columns, C] or, on a device, a tensor
                [C, rows, columns]; C = 1 for a gray picture, else 3.
        """


class _Levels:
    """Whether the branch is heard, which hangs on the level of a quality."""

    def __init__(self, config: Config, levels: np.ndarray):
        self.config, self.levels = config, levels

    def has_branch(self, quality: int, shrink: int) -> bool:
        return float(self.levels[quality - 1]) < LINEAR_FROM.get(shrink, math.inf)

    def halo(self, quality: int, shrink: int) -> int:
        return self.config.halo if self.has_branch(quality, shrink) else 0


class CpuSynthesis(_Levels):
    """`Synthesiser` in csrc/engine/synthesis.h, on as many threads as torch uses."""

    def __init__(self, config: Config, levels: np.ndarray, tensors: Mapping[str, np.ndarray]):
        super().__init__(config, levels)
        integers = {k.removeprefix("synthesis."): v for k, v in tensors.items() if k.startswith("synthesis.")}
        self._handle = _C.Synthesis(
            {k: v for k, v in integers.items() if not k.endswith(".fraction")},  # which say nothing of samples
            latents=config.latents,
            wide8=config.wide8,
            blocks8=config.blocks8,
            wide16=config.wide16,
            blocks16=config.blocks16,
        )

    def run(self, latents, at, size, quality, shrink, origin, out) -> None:
        self._handle.run(
            latents.numpy() if isinstance(latents, Tensor) else latents,
            at=at,
            picture=size,
            quality=quality,
            shrink=shrink,
            branch=self.has_branch(quality, shrink),
            origin=origin,
            out=out,
            threads=torch.get_num_threads(),
        )


class ReferenceSynthesis(_Levels):
    """`Synthesiser` on `IntegerSynthesis`: float64 that carries integers, on the net's device."""

    def __init__(self, net: IntegerSynthesis, levels: np.ndarray):
        super().__init__(net.config, levels)
        self._net = net

    @torch.inference_mode()
    def run(self, latents, at, size, quality, shrink, origin, out) -> None:
        y = torch.as_tensor(latents).permute(2, 0, 1)[None].double()
        on_device = isinstance(out, Tensor)
        rows, columns, channels = (*out.shape[1:], out.shape[0]) if on_device else out.shape
        values = self._net.values(y, quality, float(self.levels[quality - 1]), shrink)
        top, left = (o - n * LATENT_STRIDE // shrink for o, n in zip(origin, at, strict=True))
        values = values[:, :, top : top + rows, left : left + columns]
        made = samples(values, 8 * out.itemsize, gray=channels == 1)[0].to(
            {1: torch.uint8, 2: torch.uint16}[out.itemsize]
        )
        out[...] = made if on_device else made.permute(1, 2, 0).cpu().numpy()


def synthesiser(net: IntegerSynthesis, file: ModelFile, nets: str) -> Synthesiser:
    """The one place that decides which arithmetic makes samples; `nets` is one of segment_walk.NETS.

    Args:
        net: of the file, on the device that the latents are on.
    """
    if nets == "native" and net.shortcut.weight.device.type == "cpu":
        return CpuSynthesis(file.config, file.levels, file.tensors)
    return ReferenceSynthesis(net, file.levels)

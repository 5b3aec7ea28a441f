"""The implementation of `decoder.Synthesis` on a GPU, by csrc/engine/synthesis_cuda.cu.

torch allocates all memory. Nothing waits for the device, unless the samples are wanted in the CPU's memory.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _C
from .decoder import Place
from .engine import Levels
from .model_config import Config
from .segment_walk_cuda import LARGE
from .transform_cuda import CudaTransform, padded


class CudaSynthesis(Levels):
    """The synthesis transform of a model in device memory.

    Args:
        config: of the model.
        levels: the level of each quality, float [100].
        packed: the transform, packed for the CPU.
        device, large: as of `CudaTransform`.
    """

    def __init__(
        self, config: Config, levels: np.ndarray, packed: _C.Synthesis, device: torch.device, large: int = LARGE
    ):
        super().__init__(config, levels)
        self._handle = _C.SynthesisImage(packed)
        self._on_device = CudaTransform(self._handle, device, large)

    @property
    def fits(self) -> bool:
        """Whether a tile fits into the shared memory of a multiprocessor; if not, `run` raises ValueError."""
        return self._handle.fits

    def run(self, latents: Any, place: Place, shrink: int, origin: tuple[int, int], out: Any) -> None:
        """Do as `decoder.Synthesis`. Arrays are copied to the device, and from it."""
        on_device = isinstance(out, Tensor)
        rows, columns, channels = (*out.shape[1:], out.shape[0]) if on_device else out.shape
        dtype = {1: torch.uint8, 2: torch.uint16}[out.itemsize]
        made = out.permute(1, 2, 0) if on_device else self._on_device.empty((rows, columns, channels), dtype)
        device, n_latents = self._on_device.device, self.config.latents
        y = torch.as_tensor(latents, device=device)
        if y.dtype != torch.int16 or y.dim() != 3 or y.shape[2] != n_latents or made.device != device:
            raise ValueError(f"expected int16 [h, w, {n_latents}] and samples on {device}")
        if channels not in (1, 3):
            raise ValueError(f"samples of {channels} channels: must have 1 or 3 channels")
        y = padded(y)
        job = _C.CudaSynthesis(
            self._handle,
            at=place.at,
            given=(y.shape[0], y.shape[1]),
            picture=place.picture,
            quality=place.quality,
            shrink=shrink,
            branch=self.has_branch(place.quality, shrink),
            origin=origin,
            size=(rows, columns),
            gray=channels == 1,
        )
        row, column, channel = made.stride()
        self._on_device.launch(
            job,
            place.quality,
            latents=y.data_ptr(),
            channels=y.shape[2],
            out=made.data_ptr(),
            depth=8 * out.itemsize,
            strides=(channel, row, column),
        )
        if not on_device:
            out[...] = made.cpu().numpy()

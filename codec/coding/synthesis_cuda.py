"""The implementation of `decoder.Synthesis` on a GPU, by csrc/engine/synthesis_cuda.cu.

torch allocates all memory. Nothing waits for the device, unless the samples are wanted in the CPU's memory.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _C
from .decoder import Place
from .engine import Levels
from .model_config import Config
from .rans_cuda import launch_site
from .segment_walk_cuda import LARGE

READ_TOGETHER = 8  # channels that a thread of a kernel loads at a time


class CudaSynthesis(Levels):
    """The synthesis transform of a model in device memory.

    Args:
        config: of the model.
        levels: the level of each quality, float [100].
        packed: the transform, packed for the CPU.
        device: where it will run. It is the CPU only in the emulation of CUDA (tests/cuda_emulation).
        large: more positions than this are cut into larger tiles, which does not change the results.
    """

    def __init__(
        self, config: Config, levels: np.ndarray, packed: _C.Synthesis, device: torch.device, large: int = LARGE
    ):
        super().__init__(config, levels)
        self.handle = _C.SynthesisImage(packed)
        self._image = torch.from_numpy(self.handle.bytes()).to(device)
        self.device = self._image.device  # unlike `device`, this always has an index
        self._large = large

    @property
    def fits(self) -> bool:
        """Whether a tile fits into the shared memory of a multiprocessor; if not, `run` raises ValueError."""
        return self.handle.fits

    def run(self, latents: Any, place: Place, shrink: int, origin: tuple[int, int], out: Any) -> None:
        """Do as `decoder.Synthesis`. Arrays are copied to the device, and from it."""
        on_device = isinstance(out, Tensor)
        rows, columns, channels = (*out.shape[1:], out.shape[0]) if on_device else out.shape
        dtype = {1: torch.uint8, 2: torch.uint16}[out.itemsize]
        made = out.permute(1, 2, 0) if on_device else self._empty((rows, columns, channels), dtype)
        y = torch.as_tensor(latents, device=self.device)
        if y.dtype != torch.int16 or y.dim() != 3 or y.shape[2] != self.config.latents or made.device != self.device:
            raise ValueError(f"expected int16 [h, w, {self.config.latents}] and samples on {self.device}")
        if channels not in (1, 3):
            raise ValueError(f"samples of {channels} channels: must have 1 or 3 channels")
        y = F.pad(y, (0, -y.shape[2] % READ_TOGETHER)).contiguous()
        quality = place.quality
        blocks = torch.tensor(quality, device=self.device) if isinstance(quality, np.ndarray) else None
        job = _C.CudaSynthesis(
            self.handle,
            at=place.at,
            given=(y.shape[0], y.shape[1]),
            picture=place.picture,
            quality=quality,
            shrink=shrink,
            branch=self.has_branch(quality, shrink),
            origin=origin,
            size=(rows, columns),
            gray=channels == 1,
        )
        workspace = self._empty((job.workspace_bytes,), torch.uint8)
        device, stream = launch_site(self.device)
        row, column, channel = made.stride()
        job.run(
            image=self._image.data_ptr(),
            map=0 if blocks is None else blocks.data_ptr(),
            latents=y.data_ptr(),
            channels=y.shape[2],
            workspace=workspace.data_ptr(),
            large=self._large,
            out=made.data_ptr(),
            depth=8 * out.itemsize,
            strides=(channel, row, column),
            device=device,
            stream=stream,
        )
        if not on_device:
            out[...] = made.cpu().numpy()

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

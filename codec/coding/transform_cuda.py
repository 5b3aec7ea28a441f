"""A transform of a model in device memory, and how its kernels are launched.

torch allocates all memory, and nothing waits for the device.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .quality_map import Quality
from .rans_cuda import launch_site

_READ_TOGETHER = 8  # channels that a thread of a kernel loads at a time


class Packed(Protocol):
    """A transform that is packed for a GPU, such as `_C.SynthesisImage`."""

    def bytes(self) -> np.ndarray: ...


class Job(Protocol):
    """What is to be computed, such as `_C.CudaSynthesis`."""

    @property
    def workspace_bytes(self) -> int: ...

    @property
    def run(self) -> Callable[..., None]: ...


class CudaTransform:
    """A transform in device memory.

    Args:
        packed: the transform.
        device: where it will run. It is the CPU only in the emulation of CUDA (tests/cuda_emulation).
        large: more positions than this are cut into larger tiles, which does not change the results.
    """

    def __init__(self, packed: Packed, device: torch.device, large: int):
        self._image = torch.from_numpy(packed.bytes()).to(device)
        self.device = self._image.device  # unlike `device`, this always has an index
        self._large = large

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    def launch(self, job: Job, quality: Quality, **given: int | tuple[int, ...]) -> Tensor:
        """Start a job on the current stream.

        Args:
            quality: as the job has it.
            given: the arguments of `job.run` that not all jobs have.

        Returns:
            The workspace of the job, uint8.
        """
        workspace = self.empty((job.workspace_bytes,), torch.uint8)
        blocks = torch.tensor(quality, device=self.device) if isinstance(quality, np.ndarray) else None
        device, stream = launch_site(self.device)
        job.run(
            image=self._image.data_ptr(),
            map=0 if blocks is None else blocks.data_ptr(),
            workspace=workspace.data_ptr(),
            large=self._large,
            device=device,
            stream=stream,
            **given,
        )
        return workspace


def padded(latents: Tensor) -> Tensor:
    """Return latents [h, w, M] as the kernels load them: contiguous, with M padded to a multiple of 8."""
    return F.pad(latents, (0, -latents.shape[2] % _READ_TOGETHER)).contiguous()

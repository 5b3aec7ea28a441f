"""An encoder's transforms on a GPU, by csrc/engine/analysis_cuda.cu.

torch allocates all memory, and no call waits for the device.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _C
from .decoder import Place
from .model_config import HYPER_STRIDE, LATENT_STRIDE
from .quality_map import Quality
from .rans_cuda import launch_site
from .segment_walk_cuda import LARGE
from .synthesis_cuda import READ_TOGETHER


class CudaAnalysis:
    """The analysis and the hyper-analysis of a model in device memory.

    Args:
        analysis, hyper_analysis: packed for the CPU.
        device: where they will run. It is the CPU only in the emulation of CUDA (tests/cuda_emulation).
        large: more positions than this are cut into larger tiles, which does not change the results.
    """

    def __init__(
        self, analysis: _C.Analysis, hyper_analysis: _C.HyperAnalysis, device: torch.device, large: int = LARGE
    ):
        self._handle, self._hyper_handle = _C.AnalysisImage(analysis), _C.HyperAnalysisImage(hyper_analysis)
        self._image = torch.from_numpy(self._handle.bytes()).to(device)
        self._hyper_image = torch.from_numpy(self._hyper_handle.bytes()).to(device)
        self.device = self._image.device  # unlike `device`, this always has an index
        self._n_latents, self._n_hyper = self._handle.latents, self._hyper_handle.hyper
        self._large = large

    @property
    def fits(self) -> bool:
        """Whether tiles fit into the shared memory of a multiprocessor; if not, the other methods raise ValueError."""
        return self._handle.fits and self._hyper_handle.fits

    def latents(self, pixels: np.ndarray, place: Place, area: tuple[int, int, int, int]) -> Tensor:
        """Compute the latents of an area: int16 [h, w, M] on the device.

        Args:
            pixels: of the area and the model's halo around it, as far as the picture goes, as `tile_input` returns
                them: int16 [16 rows, 16 columns, 3].
            place: where they are.
            area: (row, column, rows, columns) in latents.
        """
        x = torch.from_numpy(pixels).to(self.device)
        rows, columns = x.shape[0] // LATENT_STRIDE, x.shape[1] // LATENT_STRIDE
        if x.dtype != torch.int16 or x.shape != (LATENT_STRIDE * rows, LATENT_STRIDE * columns, 3):
            raise ValueError(f"expected int16 [16 rows, 16 columns, 3], not {x.dtype} {list(x.shape)}")
        job = _C.CudaAnalysis(
            self._handle, given=(*place.at, rows, columns), picture=place.picture, quality=place.quality, area=area
        )
        out = self._empty((*area[2:], self._n_latents), torch.int16)
        workspace, blocks = self._empty((job.workspace_bytes,), torch.uint8), self._map(place.quality)
        device, stream = launch_site(self.device)
        x = x.contiguous()
        job.run(
            image=self._image.data_ptr(),
            map=0 if blocks is None else blocks.data_ptr(),
            workspace=workspace.data_ptr(),
            large=self._large,
            pixels=x.data_ptr(),
            out=out.data_ptr(),
            device=device,
            stream=stream,
        )
        return out

    def hyperlatents(self, y: np.ndarray, quality: Quality) -> Tensor:
        """Compute the hyperlatents of a tile from its latents: int16 [h / 4, w / 4, Z] on the device.

        Args:
            y: int16 [h, w, M]; h and w are multiples of 4.
            quality: of the tile.
        """
        rows, columns = y.shape[0] // HYPER_STRIDE, y.shape[1] // HYPER_STRIDE
        shape = HYPER_STRIDE * rows, HYPER_STRIDE * columns, self._n_latents
        if y.dtype != np.int16 or y.shape != shape:
            raise ValueError(f"expected int16 [4 rows, 4 columns, {self._n_latents}], not {y.dtype} {list(y.shape)}")
        job = _C.CudaHyperAnalysis(self._hyper_handle, rows=rows, columns=columns, quality=quality)
        latents = F.pad(torch.from_numpy(y).to(self.device), (0, -self._n_latents % READ_TOGETHER)).contiguous()
        workspace, blocks = self._empty((job.workspace_bytes,), torch.uint8), self._map(quality)
        device, stream = launch_site(self.device)
        job.run(
            image=self._hyper_image.data_ptr(),
            map=0 if blocks is None else blocks.data_ptr(),
            workspace=workspace.data_ptr(),
            large=self._large,
            latents=latents.data_ptr(),
            channels=latents.shape[2],
            device=device,
            stream=stream,
        )
        offset, channels = job.output
        z = workspace[offset:][: 2 * rows * columns * channels].view(torch.int16).view(rows, columns, channels)
        return z[..., : self._n_hyper]

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    def _map(self, quality: Quality) -> Tensor | None:
        return torch.tensor(quality, device=self.device) if isinstance(quality, np.ndarray) else None

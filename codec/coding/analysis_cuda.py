"""An encoder's transforms on a GPU, by csrc/engine/analysis_cuda.cu.

torch allocates all memory, and no call waits for the device.
"""

import numpy as np
import torch
from torch import Tensor

from .. import _C
from .decoder import Place
from .model_config import HYPER_STRIDE, LATENT_STRIDE
from .quality_map import Quality
from .segment_walk_cuda import LARGE
from .transform_cuda import CudaTransform, padded


class CudaAnalysis:
    """The analysis and the hyper-analysis of a model in device memory.

    Args:
        analysis, hyper_analysis: packed for the CPU.
        device, large: as of `CudaTransform`.
    """

    def __init__(
        self, analysis: _C.Analysis, hyper_analysis: _C.HyperAnalysis, device: torch.device, large: int = LARGE
    ):
        self._handle, self._hyper_handle = _C.AnalysisImage(analysis), _C.HyperAnalysisImage(hyper_analysis)
        self._analysis = CudaTransform(self._handle, device, large)
        self._hyper_analysis = CudaTransform(self._hyper_handle, device, large)
        self._n_latents, self._n_hyper = self._handle.latents, self._hyper_handle.hyper

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
        x = torch.from_numpy(pixels).to(self._analysis.device)
        rows, columns = x.shape[0] // LATENT_STRIDE, x.shape[1] // LATENT_STRIDE
        if x.dtype != torch.int16 or x.shape != (LATENT_STRIDE * rows, LATENT_STRIDE * columns, 3):
            raise ValueError(f"expected int16 [16 rows, 16 columns, 3], not {x.dtype} {list(x.shape)}")
        job = _C.CudaAnalysis(
            self._handle, given=(*place.at, rows, columns), picture=place.picture, quality=place.quality, area=area
        )
        out, x = self._analysis.empty((*area[2:], self._n_latents), torch.int16), x.contiguous()
        self._analysis.launch(job, place.quality, pixels=x.data_ptr(), out=out.data_ptr())
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
        latents = padded(torch.from_numpy(y).to(self._hyper_analysis.device))
        workspace = self._hyper_analysis.launch(job, quality, latents=latents.data_ptr(), channels=latents.shape[2])
        offset, channels = job.output
        z = workspace[offset:][: 2 * rows * columns * channels].view(torch.int16).view(rows, columns, channels)
        return z[..., : self._n_hyper]

"""The implementation of `Walk` on a GPU, by csrc/engine/nets_cuda.cu.

torch allocates all memory, and no call waits for the device.
"""

import torch
from torch import Tensor

from .. import _C
from ..nets.integer import to_fixed
from .model_config import HYPER_STRIDE, Config
from .rans_cuda import launch_site

# The kernels cut a plane into tiles of 16, 32 or 64 positions. Larger tiles load the weights less often. Tiles of 32
# are used for planes with more positions than this, which keep all multiprocessors of a large GPU busy (an H100 has
# 132), and tiles of 64 for planes with more than four times as many.
LARGE = 16 * 132


class CudaNets:
    """The entropy nets of a model in device memory. They are immutable, and walks may share them.

    Args:
        config: of the model.
        nets: the nets, packed for the CPU.
        device: where walks will run. It is the CPU only in the emulation of CUDA (tests/cuda_emulation).
    """

    def __init__(self, config: Config, nets: _C.Nets, device: torch.device):
        self.config = config
        self.handle = _C.NetImage(nets)
        self.image = torch.from_numpy(self.handle.bytes()).to(device)
        self.device = self.image.device  # unlike `device`, this always has an index

    @property
    def fits(self) -> bool:
        """Whether a tile fits into the shared memory of a multiprocessor; if not, `CudaWalk` raises ValueError."""
        return self.handle.fits


class CudaWalk:
    """The implementation of `Walk` on a GPU. Kernels run on the stream that is current when a method is called.

    Args:
        nets: of the model.
        quality: 1..100.
        height, width: size of the tile in latents, 1..4096.
        large: planes with more positions than this are cut into larger tiles, which does not change the results.
    """

    def __init__(self, nets: CudaNets, quality: int, height: int, width: int, large: int = LARGE):
        self._image, self.device = nets.image, nets.device
        self.segments = 1 + nets.config.steps
        self._hyper_shape = nets.config.hyper, -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE)
        self._workspace = self._empty((nets.handle.workspace_bytes(height, width),), torch.uint8)
        self._latents = self._empty((nets.config.latents, height, width), torch.float32)
        tensors = (self._image, self._workspace, self._latents)
        self._handle = _C.CudaWalk(nets.handle, quality, height, width, large, *(t.data_ptr() for t in tensors))
        self._next = "predict", 0

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    def _expect(self, call: str, k: int) -> None:
        if self._next != (call, k):
            raise ValueError(f"{call} segment {k} out of order")
        self._next = ("fill", k) if call == "predict" else ("predict", k + 1)

    def predict(self, k: int) -> Tensor:
        self._expect("predict", k)
        self._indexes = self._empty((self._handle.segment_size(k),), torch.uint8)
        self._handle.predict(k, self._indexes.data_ptr(), *launch_site(self.device))
        return self._indexes

    def choose(self, k: int, values: Tensor, dead_zones: Tensor) -> Tensor:
        self._check(values, torch.float32, self._latents.shape if k else torch.Size(self._hyper_shape))
        self._check(dead_zones, torch.int16, torch.Size([_C.INDEX_COUNT]))
        self._expect("fill", k)
        symbols = self._empty(self._indexes.shape, torch.int16)
        # Hold references to the copies: the kernel reads them after this call returns.
        values, dead_zones = to_fixed(values).to(torch.int16), dead_zones.contiguous()
        given = self._indexes.data_ptr(), values.data_ptr(), values.stride(), dead_zones.data_ptr()
        self._handle.choose(k, *given, symbols.data_ptr(), *launch_site(self.device))
        return symbols

    def accept(self, k: int, symbols: Tensor) -> None:
        self._check(symbols, torch.int16, self._indexes.shape)
        self._expect("fill", k)
        symbols = symbols.contiguous()  # hold a reference: the kernel reads it after this call returns
        self._handle.accept(k, symbols.data_ptr(), *launch_site(self.device))

    def latents(self) -> Tensor:
        if self._next[1] < self.segments:
            raise ValueError(f"segments are left: next is {self._next}")
        return self._latents

    def _check(self, tensor: Tensor, dtype: torch.dtype, shape: torch.Size) -> None:
        if tensor.dtype != dtype or tensor.shape != shape or tensor.device != self.device:
            found = f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}"
            raise ValueError(f"expected {dtype} {list(shape)} on {self.device}, not {found}")

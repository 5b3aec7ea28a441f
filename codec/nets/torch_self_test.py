"""The self-test `codec.coding.self_test` with torch: the reference on the CPU, and the code that GPUs run."""

from collections.abc import Callable

import numpy as np
import torch

from ..coding import rans, rans_cuda
from ..coding.self_test import COLUMNS, LANES_LOG2, QUALITY, ROWS, fixed_model
from . import torch_codec
from .torch_encoder import TorchEncoder


class InTorch:
    """The `self_test.Arithmetic` of torch: on the CPU it is the reference, and on a GPU the fastest implementation."""

    def __init__(self, device: torch.device):
        self._codec = torch_codec.of_file(fixed_model(), device, "reference" if device.type == "cpu" else "native")
        self.decoder, self.encoder = self._codec.decoder, TorchEncoder(self._codec)

    @torch.inference_mode()
    def payload(self, symbols: Callable[[int, np.ndarray], np.ndarray]) -> bytes:
        walk, tables, coded, by = self._codec.walk(QUALITY, ROWS, COLUMNS), self._codec.tables, [], []
        for k in range(walk.segments):
            by.append(walk.predict(k))
            coded.append(torch.from_numpy(symbols(k, by[-1].cpu().numpy())).to(walk.device))
            walk.accept(k, coded[-1])
        segments, chosen, indexes = list(map(len, coded)), torch.cat(coded), torch.cat(by)
        if rans_cuda.serves(walk.device):
            return rans_cuda.encode(chosen, indexes, segments, tables, LANES_LOG2)
        return rans.encode(chosen.cpu().numpy(), indexes.cpu().numpy(), segments, tables, LANES_LOG2)


def devices() -> list[torch.device]:
    """Return the CPU and all GPUs."""
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.device("cpu"), *(torch.device("cuda", i) for i in range(n))]


def about_gpus() -> tuple[bool | None, str]:
    """Return (True, a description of the GPUs), or (None, a message) if there is none."""
    found = devices()[1:]
    if not found:
        return None, "no device answers"
    properties = map(torch.cuda.get_device_properties, found)
    names = "; ".join(
        f"{d.name}, compute capability {d.major}.{d.minor}, {d.total_memory >> 20} MiB" for d in properties
    )
    if not all(map(rans_cuda.serves, found)):
        return True, f"{names}; without kernels for it in this build: entropy nets run in torch, the coder on the CPU"
    return True, names

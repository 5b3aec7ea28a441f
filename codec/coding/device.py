"""Where the networks run: the word that a caller gives for it."""

import re
from typing import TYPE_CHECKING

from ..errors import BackendError

if TYPE_CHECKING:
    import torch


def resolve_device(device: str) -> "torch.device":
    """auto, cpu, cuda or cuda:N -> torch device; of CUDA with its number, as tensors name theirs.

    Raises:
        BackendError: CUDA was asked for and there is none.
        ValueError: another word.
    """
    found = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if not found:
        raise ValueError(f"device {device!r}: allowed are auto, cpu, cuda and cuda:N")
    import torch

    if device == "cpu" or device == "auto" and not torch.cuda.is_available():
        return torch.device("cpu")
    if int(found[1] or 0) >= torch.cuda.device_count():
        raise BackendError(f"device {device!r}: {torch.cuda.device_count()} CUDA devices answer")
    return torch.device("cuda", int(found[1]) if found[1] else torch.cuda.current_device())

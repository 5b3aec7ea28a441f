"""Where the networks run: the word that a caller gives for it."""

import re
from typing import TYPE_CHECKING

from ..errors import BackendError

if TYPE_CHECKING:
    import torch


_WORDS = re.compile(r"auto|cpu|cuda(?::(\d+))?")


def check_device(device: str) -> None:
    """Raise ValueError unless it is one of the words; whether there is such a device is not asked."""
    if not _WORDS.fullmatch(device):
        raise ValueError(f"device {device!r}: allowed are auto, cpu, cuda and cuda:N")


def resolve_device(device: str) -> "torch.device":
    """auto, cpu, cuda or cuda:N -> torch device; of CUDA with its number, as tensors name theirs.

    Raises:
        BackendError: CUDA was asked for and there is none.
        ValueError: another word.
    """
    check_device(device)
    number = _WORDS.fullmatch(device)[1]
    import torch

    if device == "cpu" or device == "auto" and not torch.cuda.is_available():
        return torch.device("cpu")
    if int(number or 0) >= torch.cuda.device_count():
        raise BackendError(f"device {device!r}: {torch.cuda.device_count()} CUDA devices answer")
    return torch.device("cuda", int(number) if number else torch.cuda.current_device())

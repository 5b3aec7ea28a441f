"""Where the networks run: the word that a caller gives for it."""

import re
import sys

from ..errors import BackendError
from ..extras import need

_WORDS = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_device(device: str) -> None:
    """Raise ValueError unless it is one of the words; whether there is such a device is not asked."""
    if not _WORDS.fullmatch(device):
        raise ValueError(f"device {device!r}: allowed are auto, cpu, cuda and cuda:N")


def resolve_device(device: str) -> str:
    """auto, cpu, cuda or cuda:N -> "cpu" or "cuda:N", as torch's tensors name their devices.

    "auto" means a GPU only where the caller has imported torch: to import it takes longer than to decode a picture.

    Raises:
        BackendError: CUDA was asked for and there is none; or not for this process, for it was forked from one that had
            used it. MissingPackageError, which is one, if torch is missing.
        ValueError: another word.
    """
    check_device(device)
    if device == "cpu" or device == "auto" and sys.modules.get("torch") is None:
        return "cpu"
    torch = need("torch", f"device {device!r}")
    if device == "auto" and not torch.cuda.is_available():
        return "cpu"
    number = int(device.partition(":")[2] or 0)
    if number >= torch.cuda.device_count():
        raise BackendError(f"device {device!r}: {torch.cuda.device_count()} CUDA devices answer")
    try:
        torch.cuda.init()
    except RuntimeError as e:  # torch says it of such a child
        if device == "auto":
            return "cpu"
        raise BackendError(f"device {device!r}: {e}") from e
    return f"cuda:{number if ':' in device else torch.cuda.current_device()}"

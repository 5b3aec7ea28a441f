"""The `device` argument, which says where the networks run."""

import re
import sys

from ..errors import BackendError
from ..extras import need

_WORDS = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_device(device: str) -> None:
    """Raise an error unless `device` is auto, cpu, cuda or cuda:N. Whether the device exists is not checked.

    Raises:
        TypeError: it is no string. ValueError: it is another word.
    """
    if not isinstance(device, str):
        raise TypeError(f"device {device!r}: must be a string: auto, cpu, cuda or cuda:N")
    if not _WORDS.fullmatch(device):
        raise ValueError(f"device {device!r}: allowed are auto, cpu, cuda and cuda:N")


def resolve_device(device: str) -> str:
    """Turn auto, cpu, cuda or cuda:N into "cpu" or "cuda:N", as torch names devices.

    "auto" means a GPU only if torch was already imported, because importing it takes longer than decoding a picture.

    Raises:
        BackendError: CUDA was asked for, but there is no such GPU, or this process cannot use it because it was forked
            from one that had used it. MissingPackageError (a BackendError): torch is not installed.
        ValueError: `device` is another word.
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
    except RuntimeError as e:  # CUDA does not work in a child that was forked after its parent had used CUDA
        if device == "auto":
            return "cpu"
        raise BackendError(f"device {device!r}: {e}") from e
    return f"cuda:{number if ':' in device else torch.cuda.current_device()}"

"""`encode`, `decode`, `inspect`: what the package is imported for. torch is imported when a network first runs."""

import operator
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, SupportsIndex

from . import format
from .format import DEFAULT_MAX_PIXELS, Header

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

TILE = 1024
QUALITIES, EFFORTS = range(1, 101), range(1, 10)


def encode(
    image: "Image.Image | np.ndarray | torch.Tensor",
    quality: int = 75,
    device: str = "auto",
    model: str | os.PathLike | None = None,
    *,
    effort: int = 2,
    progress: Callable[[float], None] = lambda share: None,
) -> bytes:
    """Compress a picture.

    Args:
        image: PIL image, numpy uint8 [H, W, 3] or [H, W], or torch uint8 [3, H, W] or [1, H, W]; 1x1 up to 2^28
            pixels with sides up to 65535. What other PIL modes become: `codec.image.to_pixels`.
        quality: 1 (smallest) .. 100 (best).
        device: "auto", "cpu", "cuda" or "cuda:N".
        model: name of a shipped model or path of a model file; None: the default.
        effort: how symbols are chosen; decoders need not know. 1: the nearest to the latents. 2: a 0 where that saves
            more bits than its error is worth, `codec.tables.dead_zones`; 10 % smaller files at equal PSNR. 3..9:
            symbols tried out in the decoder's synthesis, more often the higher, `codec.refine`.
        progress: called now and then from effort 3 on, with the share of the work that is done, up to 1.

    Returns:
        The bytes of an .aec file (codec/FORMAT.md).

    Raises:
        TypeError, ValueError: an argument is not as above; LimitError (a ValueError) for the size.
        ModelError: no such model.
        BackendError: CUDA asked for, but not there.
    """
    quality, effort = _int_of("quality", quality, QUALITIES), _int_of("effort", effort, EFFORTS)
    from . import pipeline, weights
    from .image import to_pixels

    pixels = to_pixels(image)
    format.check_size(pixels.data.shape[2], pixels.data.shape[1])
    codec = weights.load(weights.find(model), weights.resolve_device(device))
    return pipeline.encode(codec, pixels, quality, TILE, effort, progress)


def _int_of(name: str, value: SupportsIndex, allowed: range) -> int:
    limits = f"{allowed[0]}..{allowed[-1]}"
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} {value!r}: must be an int, {limits}")
    if operator.index(value) not in allowed:
        raise ValueError(f"{name} {value}: allowed are {limits}")
    return operator.index(value)


def decode(
    data: bytes | bytearray | memoryview,
    device: str = "auto",
    model: str | os.PathLike | None = None,
    output: Literal["pil", "numpy", "torch"] = "pil",
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> "Image.Image | np.ndarray | torch.Tensor":
    """Decompress a picture.

    Args:
        data: the bytes of an .aec file.
        device: as in `encode`; the pixels of two devices differ by at most one level.
        model: path or name of the model that wrote the file; None: found by the id in the file.
        output: "pil": image of mode RGB or L; "numpy": uint8 [H, W, 3] or [H, W]; "torch": uint8 [3, H, W] or
            [1, H, W], on the device.
        max_pixels: refuse larger images; None: no limit but the format's.

    Raises:
        FormatError: the data is not a whole, undamaged .aec file (its subclasses say what is wrong).
        ModelError: the model that wrote it is not at hand, or `model` is another one.
        BackendError, ValueError: as in `encode`.
    """
    if output not in ("pil", "numpy", "torch"):
        raise ValueError(f"output {output!r}: allowed are pil, numpy and torch")
    layout = format.read(data, max_pixels)
    from . import image, pipeline, weights
    from .errors import ModelError

    path = weights.find_id(layout.header.model_id) if model is None else weights.find(model)
    codec = weights.load(path, weights.resolve_device(device))
    if codec.id != layout.header.model_id:
        raise ModelError(
            f"the file was written with model {layout.header.model_id.hex()}, not {codec.id.hex()} ({path})"
        )
    pixels = pipeline.decode(codec, layout)
    return {"pil": image.to_pil, "numpy": image.to_numpy, "torch": lambda x: x}[output](pixels)


def inspect(data: bytes | bytearray | memoryview) -> Header:
    """Parse and verify a file without decoding it; needs neither torch nor a model.

    Raises:
        FormatError: as `decode`.
    """
    return format.read(data, max_pixels=None).header

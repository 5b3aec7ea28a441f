"""The codecs that `bench` compares: the class that describes one, and their names on the command line.

A codec must be picklable, because it is sent to another process to decode. aec takes options, so that several variants
of it can be compared: `aec`, `aec+e=7`, `aec+model=mine.safetensors`, `aec+device=cuda+e=1`.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from .rivals import RIVALS, About, rgb

AEC_KEYS = {"e": "effort", "effort": "effort", "model": "model", "device": "device"}
AEC_QUALITIES = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)


@dataclass(frozen=True)
class Resident:
    """How to time a codec on pixels that are already on the GPU, and stay there after decoding."""

    upload: Callable[[np.ndarray], object]  # [H, W, 3] uint8 -> the picture on the GPU, which `encode` takes too
    decode: Callable[[bytes], object]  # leaves the pixels on the GPU
    wait: Callable[[], None]  # returns when the GPU has finished all work


@dataclass(frozen=True)
class Codec:
    """A codec with all settings fixed except the quality."""

    name: str
    qualities: tuple[int, ...]  # in rising order; the default qualities to measure
    encode: Callable[[np.ndarray, int], bytes]  # ([H, W, 3] uint8, quality) -> the file's bytes
    decode: Callable[[bytes], np.ndarray]  # -> [H, W, 3] uint8
    about: Callable[[], About]  # may raise an exception if `missing` gives a reason
    missing: Callable[[], str | None]  # why the codec cannot run here, or None if it can
    resident: Callable[[], Resident | None]  # None: the codec does not run on a GPU


def names() -> str:
    """The allowed names as text, for messages."""
    return f"aec[+e=1..9][+model=NAME|FILE][+device=cpu|cuda|cuda:N], {', '.join(RIVALS)}"


def make_codec(name: str) -> Codec:
    """The codec with this name. This does not import torch.

    Raises:
        ValueError: there is no such codec, or it does not take an option.
    """
    kind, *options = name.split("+")
    if kind == "aec":
        return _aec(name, options)
    if kind not in RIVALS:
        raise ValueError(f"unknown codec {name!r}; allowed: {names()}")
    if options:
        raise ValueError(f"{name}: {kind} takes no options; only aec does")
    rival = RIVALS[kind]
    return Codec(name, rival.qualities, rival.encode, rival.decode, rival.about, rival.missing, _not_resident)


def is_aec(name: str) -> bool:
    return name.split("+")[0] == "aec"


def _not_resident() -> None:
    return None


# ---------------------------------------------------------------------------------------------------------- aec


@dataclass(frozen=True)
class _Options:
    effort: int | None = None  # None: the default effort
    model: str | None = None  # None: the default model
    device: str = "cpu"  # not "auto", because its meaning depends on whether anything has imported torch, as metrics do


def _aec(name: str, options: list[str]) -> Codec:
    from codec.api import EFFORTS

    found: dict[str, object] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in AEC_KEYS or not value:
            raise ValueError(f"{name}: {option!r} is not KEY=VALUE of aec; keys: e (effort), model, device")
        key = AEC_KEYS[key]
        if key in found:
            raise ValueError(f"{name}: {key} is given twice")
        if key == "effort":
            if not value.isdecimal() or int(value) not in EFFORTS:
                raise ValueError(f"{name}: effort {value!r}: allowed are {EFFORTS[0]}..{EFFORTS[-1]}")
            found[key] = int(value)
        else:
            found[key] = value
    chosen = _Options(**found)
    return Codec(
        name=name,
        qualities=AEC_QUALITIES,
        encode=partial(_aec_encode, chosen),
        decode=partial(_aec_decode, chosen),
        about=partial(_aec_about, chosen),
        missing=partial(_aec_missing, chosen),
        resident=partial(_aec_resident, chosen),
    )


def _aec_encode(options: _Options, image: np.ndarray, quality: int) -> bytes:
    import codec

    effort = {} if options.effort is None else {"effort": options.effort}
    return codec.encode(image, quality=quality, device=options.device, model=options.model, **effort)


def _aec_decode(options: _Options, data: bytes) -> np.ndarray:
    import codec

    return rgb(codec.decode(data, device=options.device, model=options.model))


def _aec_about(options: _Options) -> About:
    """Identify the code and the model by hashes, so that measurements of other code or models are kept apart."""
    from codec import __version__, api
    from codec.coding import model_file, model_search
    from codec.coding.device import resolve_device
    from codec.coding.threads import available

    path = model_search.find(options.model)
    device = resolve_device(options.device)
    code, where = f"code {_code_hash()}", device
    if device != "cpu":
        import torch

        code, where = f"{code}, torch {torch.__version__}", f"{device} ({torch.cuda.get_device_name(device)})"
    # The id is a hash of the decoder's tensors, and is how `aec info` and bench/training.md name the model. The hash of
    # the whole file also covers the encoder's tensors.
    identity = f"{model_file.load(path).id.hex()}, {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    effort = options.effort or api.DEFAULT_EFFORT
    return About(
        version=f"aec {__version__}, {code}",
        settings=f"device={where} model={path.stem} ({identity}) effort={effort}",
        threads=available(),
    )


@cache
def _code_hash() -> str:
    """A hash of the package's source files and extension, since encoders change between commits of the same version."""
    import codec

    digest = hashlib.sha256(platform.python_version().encode())
    folder = Path(codec.__file__).parent
    rooms = [p for p in folder.rglob("*.py") if p.relative_to(folder).parts[0] != "bench"]
    for path in sorted([*rooms, *folder.glob("_C*")]):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _aec_missing(options: _Options) -> str | None:
    try:
        from codec import errors
        from codec.coding import model_search
        from codec.coding.device import resolve_device
    except ImportError as error:
        return f"aec does not import: {error}"
    try:
        model_search.find(options.model)
        resolve_device(options.device)
    except (errors.AecError, ValueError) as error:
        return str(error)
    return None


def _aec_resident(options: _Options) -> Resident | None:
    import codec
    from codec.coding.device import resolve_device

    device = resolve_device(options.device)
    if device == "cpu":
        return None
    import torch

    return Resident(
        upload=lambda image: torch.from_numpy(image.copy()).permute(2, 0, 1).to(device),
        decode=lambda data: codec.decode(data, device=device, model=options.model, output="torch"),
        wait=lambda: torch.cuda.synchronize(device),
    )

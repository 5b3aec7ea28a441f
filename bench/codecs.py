"""The codecs that `bench` compares: what one is, and how it is named on the command line.

A codec can be pickled, because it decodes in another process. aec takes options, so that several of it can compete:
`aec`, `aec+e=7`, `aec+model=mine.safetensors`, `aec+device=cuda+e=1`.
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
    """How to time a codec whose pixels begin and end on the GPU."""

    upload: Callable[[np.ndarray], object]  # [H, W, 3] uint8 -> what `encode` takes too
    decode: Callable[[bytes], object]  # leaves the pixels there
    wait: Callable[[], None]  # until the GPU is done


@dataclass(frozen=True)
class Codec:
    """One codec at fixed settings; only the quality varies."""

    name: str
    qualities: tuple[int, ...]  # in rising order; what is measured unless the user says otherwise
    encode: Callable[[np.ndarray, int], bytes]  # ([H, W, 3] uint8, quality) -> the file's bytes
    decode: Callable[[bytes], np.ndarray]  # -> [H, W, 3] uint8
    about: Callable[[], About]  # may raise what `missing` would have told
    missing: Callable[[], str | None]  # why it cannot run here, or None
    resident: Callable[[], Resident | None]


def names() -> str:
    """The allowed names, for messages."""
    return f"aec[+e=1..9][+model=NAME|FILE][+device=cpu|cuda|cuda:N], {', '.join(RIVALS)}"


def make_codec(name: str) -> Codec:
    """The codec of that name. Imports no torch.

    Raises:
        ValueError: no such codec, or an option that it does not take.
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
    effort: int | None = None  # None: the default one
    model: str | None = None
    device: str = "cpu"  # not "auto", which hangs on whether something, such as a metric, has imported torch


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
    """The code and the model go by their contents: what was measured with others is another codec's."""
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
    # The id is the decoder's, by which `aec info` and bench/training.md name the model; the hash is the encoder's too.
    identity = f"{model_file.load(path).id.hex()}, {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    effort = options.effort or api.DEFAULT_EFFORT
    return About(
        version=f"aec {__version__}, {code}",
        settings=f"device={where} model={path.stem} ({identity}) effort={effort}",
        threads=available(),
    )


@cache
def _code_hash() -> str:
    """Of the package's sources and extension: encoders change from commit to commit while the version stays."""
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

"""Conversion of command line arguments: each function takes text and returns a value.

A wrong argument raises ArgumentTypeError, with a message that says what is allowed.
"""

import math
import re
from argparse import ArgumentTypeError, _ActionsContainer
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .. import api
from ..coding.device import check_device
from ..container import format
from ..opened import SCALES

UNITS = {"": 1, "k": 10**3, "m": 10**6, "ki": 2**10, "mi": 2**20}
MEASURES = ("mse", "ms-ssim", "ssimulacra2", "xyb")  # as in losses.py, which is not imported here, as it needs torch
_Number = TypeVar("_Number", int, float)


def quality(text: str) -> int:
    return _int_of(text, api.QUALITIES)


def alpha_quality(text: str) -> int:
    return _int_of(text, api.ALPHA_QUALITIES)


def max_error(text: str) -> int:
    return _int_of(text, api.MAX_ERRORS)


def effort(text: str) -> int:
    return _int_of(text, api.EFFORTS)


def bits(text: str) -> int:
    return _int_of(text, api.BITS)


def _int_of(text: str, allowed: range) -> int:
    limits = f"allowed are {allowed[0]}..{allowed[-1]}"
    value = _number(int, text, limits)
    if value not in allowed:
        raise ArgumentTypeError(f"{text}: {limits}")
    return value


def _number(kind: type[_Number], text: str, limits: str) -> _Number:
    try:
        return kind(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r}: {limits}") from None


def name(text: str) -> str:
    """The name of a file or folder. pathlib takes an empty one, such as an unset variable, for the folder one is in."""
    if not text:
        raise ArgumentTypeError("an empty name; the folder that you are in is called .")
    return text


def device(text: str) -> str:
    try:
        check_device(text)
    except ValueError as e:
        raise ArgumentTypeError(str(e).removeprefix("device ")) from None
    return text


def count(text: str) -> int:
    return _at_least(text, 1)


def natural(text: str) -> int:
    return _at_least(text, 0)


def _at_least(text: str, least: int) -> int:
    limits = f"must be a whole number, at least {least}"
    value = _number(int, text, limits)
    if value < least:
        raise ArgumentTypeError(f"{text}: {limits}")
    return value


def workers(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return count(text)
    except ArgumentTypeError as e:
        raise ArgumentTypeError(f"{e}, or all") from None


def positive(text: str) -> float:
    return _within(text, "a finite number above 0", lambda value: value > 0)


def score(text: str) -> float:
    """A SSIMULACRA 2 score, above 0 and at most 100."""
    return _within(text, "a number above 0, at most 100", lambda value: 0 < value <= 100)


def similarity(text: str) -> float:
    """A similarity of two pictures, -1 to 1."""
    return _within(text, "a number of at least -1, at most 1", lambda value: -1 <= value <= 1)


def _within(text: str, allowed: str, test: Callable[[float], bool]) -> float:
    """Return the number, which is finite and passes the test; `allowed` says of an error what does."""
    value = _number(float, text, f"must be {allowed}")
    if not (math.isfinite(value) and test(value)):
        raise ArgumentTypeError(f"{text}: must be {allowed}")
    return value


def shares(text: str) -> dict[str, float]:
    """The mixture of a distortion, such as mse=0.3,ssimulacra2=0.7; the shares sum to 1."""
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in MEASURES:
            raise ArgumentTypeError(f"{part!r}: NAME=SHARE, where NAME is one of {', '.join(MEASURES)}")
        if name in found:
            raise ArgumentTypeError(f"{text!r}: {name} is there twice")
        try:
            found[name] = positive(value)
        except ArgumentTypeError:
            raise ArgumentTypeError(f"{part!r}: the share must be a number above 0") from None
    if abs(sum(found.values()) - 1) > 1e-6:
        raise ArgumentTypeError(f"{text!r}: the shares are {sum(found.values()):g} together, and must be 1")
    return found


def not_negative(text: str) -> float:
    return _within(text, "a number, at least 0", lambda value: value >= 0)


def size(text: str) -> int:
    """A size in bytes, such as 80000, 80k, 1.5M or 64KiB."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([km]?|[km]i)b?", text, re.ASCII | re.IGNORECASE)
    value = int(min(float(match[1]) * UNITS[match[2].lower()], api.MAX_TARGET)) if match else 0
    if value < 1:
        raise ArgumentTypeError(f"{text!r}: bytes, as in 80000, 80k, 1.5M (of 1000) or 64KiB, 1MiB (of 1024)")
    return value


def metadata(text: str) -> tuple[str, ...]:
    """The kinds of metadata to keep: all, none, or a list such as icc,exif."""
    kinds = {"all": format.METADATA, "none": ()}.get(text, tuple(text.split(",")))
    if not set(kinds) <= set(format.METADATA):
        raise ArgumentTypeError(f"{text!r}: allowed are all, none, or some of icc,exif,xmp")
    return kinds


def region(text: str) -> tuple[int, int, int, int]:
    match = re.fullmatch(r"(\d+),(\d+),([1-9]\d*),([1-9]\d*)", text, re.ASCII)
    if not match:
        raise ArgumentTypeError(f"{text!r}: X,Y,W,H in pixels, as in 0,0,640,480; X and Y are at least 0, W and H 1")
    x, y, width, height = map(int, match.groups())
    return x, y, width, height


def roi(text: str) -> tuple[tuple[int, int, int, int], int]:
    """A rectangle and the difference of its quality, such as 0,0,640,480:+20."""
    where, _, difference = text.rpartition(":")
    try:
        return region(where), _difference(difference)
    except ArgumentTypeError:
        raise ArgumentTypeError(f"{text!r}: X,Y,W,H:+N or X,Y,W,H:-N, as in 0,0,640,480:+20; N is 1..99") from None


def roi_mask(text: str) -> tuple[Path, int]:
    """A file and the difference of quality where it is white, such as mask.png:+20."""
    name, _, difference = text.rpartition(":")
    try:
        return Path(name), _difference(difference)
    except ArgumentTypeError:
        raise ArgumentTypeError(f"{text!r}: FILE:+N or FILE:-N, as in mask.png:+20; N is 1..99") from None


def _difference(text: str) -> int:
    if not re.fullmatch(r"[+-]?[1-9]\d?", text, re.ASCII):
        raise ArgumentTypeError(text)
    return int(text)


def scale(text: str) -> float:
    """A scale, such as 1/2, 0.5 or 50%."""
    match = re.fullmatch(r"(?:1/([1-9]\d*)|(\d*\.?\d+)(%?))", text, re.ASCII)
    value = 0.0
    if match:
        value = 1 / int(match[1]) if match[1] else float(match[2]) / (100 if match[3] else 1)
    if value not in SCALES:
        raise ArgumentTypeError(f"{text!r}: allowed are 1, 1/2, 1/4 and 1/8, also as 0.5 or 50%; --fit takes any size")
    return value


def fit(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)[x,]([1-9]\d*)", text, re.ASCII | re.IGNORECASE)
    if not match:
        raise ArgumentTypeError(f"{text!r}: WIDTHxHEIGHT in pixels, as in 640x480; both at least 1")
    return int(match[1]), int(match[2])


def depth(text: str) -> int:
    if text not in ("8", "16"):
        raise ArgumentTypeError(f"{text!r}: allowed are 8 and 16")
    return int(text)


def device_option(p: _ActionsContainer, help: str) -> None:
    p.add_argument("--device", type=device, default="auto", help=help)


def debug(p: _ActionsContainer) -> None:
    p.add_argument("--debug", action="store_true", help="show where an error came from")

"""Common code of the integer transforms: the synthesis, the analysis and the hyper-analysis.

The arithmetic is that of `integer.py`, but each stored tensor has its own unit, 2^-f with f from -7 to 20. In a chain
of blocks, all tensors on the residual path (called the stream) share one unit, and each tensor between the convolutions
of a block has its own. The units are chosen at export, from the largest magnitudes that photographs and synthetic
pictures cause in the float net, with a margin. Running the integer net does not need the units, because they are part
of the shifts and tables. They are needed to convert it back to floats.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from ..coding.model_config import QUALITIES, Config
from ..coding.model_tensors import HIGH, LOW, MAX_FRACTION, MAX_GAIN_SHIFT, MIN_FRACTION, heaviest_weight
from .integer import (
    PLAIN_LEVELS,
    IntegerConv,
    IntegerQualityVector,
    Layer,
    at_levels,
    knots_of,
    rows_of,
    saturate16,
    swap,
    weights_of,
)
from .layers import FRACTION_BITS, QualityVector

# The factor by which the range must exceed the largest magnitude in calibration. It is 1, so there is no margin,
# because calibration includes synthetic pictures, which reach 3 to 9 times the magnitudes of photographs. Other
# pictures reach at most 1.4 times those of the synthetic ones. Such saturation costs little, whereas one bit less would
# double the loss by rounding for all pictures.
MARGIN = 1
SUM_LIMIT = 2**23  # limit for the magnitude of a shortcut's or a branch's result, in units finer than those of int16


@dataclass(frozen=True)
class Planes:
    """The stored tensors of a net, called planes, by name.

    In a chain of blocks, the tensors of the residual path are one plane named after the chain, such as "stream8". Every
    other tensor is a plane named after the convolution that computes it.

    Args:
        ends: for each convolution outside of blocks, the planes that it reads and writes.
        fractions: fractional bits of planes for which they are fixed, and not chosen by calibration.
        units: for planes in another unit than the float net's: the integer value of 1 in the float net.
        limits: largest magnitudes of planes, where they are not those of int16.
        margins: margins of planes, where they are not MARGIN.
    """

    ends: Mapping[str, tuple[str, str]]
    fractions: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> tuple[str, str]:
        """Return the planes that a convolution, other than the shortcut, reads and writes."""
        block, _, layer = name.rpartition(".")
        if not block:
            return self.ends[name]
        stream = "stream" + block.split(".")[0].removeprefix("body")
        return {
            "space_in": (stream, name),
            "space": (f"{block}.space_in", name),
            "space_out": (f"{block}.space", stream),
            "mix_in": (stream, name),
            "mix_out": (f"{block}.mix_in", stream),
        }[layer]

    def unit(self, plane: str) -> float:
        return self.units.get(plane, 1.0)

    def chosen(self, largest: Mapping[str, float]) -> dict[str, int]:
        """Choose the fractional bits of all planes by their largest magnitudes. Raises ValueError if there are none."""
        if not largest:
            raise ValueError("nothing to calibrate with")
        found = {plane: fraction_for(value, self.margins.get(plane, MARGIN)) for plane, value in largest.items()}
        return found | dict(self.fractions)


def fraction_for(largest: float, margin: float = MARGIN) -> int:
    """Return the largest number of fractional bits with which margin * largest fits into int16.

    The result is within MIN_FRACTION..MAX_FRACTION.
    """
    for fraction in range(MAX_FRACTION, MIN_FRACTION, -1):
        if margin * largest * 2.0**fraction <= HIGH:
            return fraction
    return MIN_FRACTION


@contextmanager
def largest_magnitudes(net: nn.Module, planes: Planes) -> Iterator[dict[str, float]]:
    """Context manager: records the largest magnitude of each plane while a float net runs, in the plane's unit.

    Raises:
        ValueError: the net computes a value that is not finite.
    """
    found: dict[str, float] = {}
    last = {made for _, made in planes.ends.values()} - {read for read, _ in planes.ends.values()}

    def note(plane: str, x: Tensor) -> None:
        value = float(x.detach().abs().max()) * planes.unit(plane)
        if not math.isfinite(value):
            raise ValueError(f"{plane} is not finite")
        found[plane] = max(found.get(plane, 0.0), value)

    with ExitStack() as hooks:
        for name, module in net.named_modules():
            if not isinstance(module, nn.Conv2d) or name == "shortcut":
                continue
            read, made = planes.of(name)
            hook = module.register_forward_pre_hook(lambda _, args, plane=read: note(plane, args[0]))
            hooks.callback(hook.remove)
            if made in last and not made.startswith("stream"):
                hook = module.register_forward_hook(lambda _, args, out, plane=made: note(plane, out))
                hooks.callback(hook.remove)
        yield found


AnyScaledConv = TypeVar("AnyScaledConv", bound="ScaledConv")


class ScaledConv(IntegerConv):
    """An `IntegerConv` that stores the unit of its output: buffer fraction int8 [1], the number of fractional bits."""

    fraction: Tensor

    def __init__(self, out_channels: int, in_per_group: int, kernel: int):
        super().__init__(out_channels, in_per_group, kernel)
        self.register_buffer("fraction", torch.zeros(1, dtype=torch.int8))

    @classmethod
    def from_weights(
        cls: type[AnyScaledConv],
        w: Tensor,
        b: Tensor,
        f_in: int = FRACTION_BITS,
        f_out: int = FRACTION_BITS,
        largest: int = -LOW,
        heaviest: int = HIGH,
        moments: Tensor | None = None,
    ) -> AnyScaledConv:
        self = super().from_weights(w, b, f_in, f_out, largest, heaviest, moments)
        self.fraction.fill_(f_out)
        return self


class IntegerGain(nn.Module):
    """The gain of a branch: multiplication by table[quality] * 2^-shift.

    Buffers: table int16 [100, C], shift uint8 [1] or [C], 1..30.
    """

    table: Tensor
    shift: Tensor

    def __init__(self, channels: int, shifts: int = 1):
        super().__init__()
        self.register_buffer("table", torch.zeros(QUALITIES, channels, dtype=torch.int16))
        self.register_buffer("shift", torch.ones(shifts, dtype=torch.uint8))

    @classmethod
    def from_float(
        cls, log_gain: QualityVector, levels: Tensor, f_in: int, f_out: int, shifts: int = 1
    ) -> "IntegerGain":
        """Quantise a gain with the largest shifts for which the table fits into int16.

        Args:
            log_gain: logarithm of the gain.
            levels: the level of each quality, float [100].
            f_in, f_out: fractional bits of the input and of the output.
            shifts: number of shifts: 1 for all channels together, or C for one in each channel.

        Raises:
            ValueError: the gains are too large for any shift.
        """
        gains = at_levels(log_gain, levels).exp()
        self = cls(gains.shape[1], shifts)
        done = torch.zeros(gains.shape[1], dtype=torch.bool)
        for shift in range(MAX_GAIN_SHIFT, 0, -1):
            table = (gains * 2.0 ** (f_out - f_in + shift)).round()
            fits = table.amax(0) <= HIGH
            take = (fits if shifts > 1 else fits.all().expand_as(fits)) & ~done
            self.table[:, take] = table[:, take].to(torch.int16)
            self.shift[take if shifts > 1 else take[:1]] = shift
            done |= take
        if not done.all():
            raise ValueError("gains too large for int16")
        return self

    def to_float(self, levels: Tensor, f_in: int, f_out: int) -> Tensor:
        """Return the knots of the float `log_gain`, except for rounding: float64. Gains of 0 count as half a unit."""
        gains = self.table.double().clamp(min=0.5) / torch.exp2(f_out - f_in + self.shift.double())
        return knots_of(gains.log(), levels)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """Multiply x float64 [B, C, h, w], which is saturated first, by the gains of q (`rows_of`), to a finer unit."""
        shift = self.shift.double()[:, None, None]
        product = rows_of(self.table, q, x) * saturate16(x) + torch.exp2(shift - 1)
        return (product * torch.exp2(-shift)).floor_().clamp_(-SUM_LIMIT, SUM_LIMIT)


class ScaledNet(nn.Module):
    """The integer twin of a float transform. Its layers have the same names, except that `log_gain` becomes `gain`."""

    name: str  # with which the names of its tensors begin
    float_net: type[nn.Module]  # the class of the float transform
    planes: Planes
    layers: tuple[str, ...]  # names of the layers, except `log_gain`
    has_gain = True
    decodes = False  # whether decoders have it

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        with torch.device("meta"):
            net = self.float_net(config)
        self._take(swap(net, self._empty))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Tell type checkers about the layers, which `_take` sets by name."""

    def _empty(self, name: str, layer: Layer) -> nn.Module:
        """Return an integer twin of a layer with zeros, to be filled."""
        if isinstance(layer, nn.Conv2d):
            return ScaledConv(*layer.weight.shape[:3])
        return (IntegerGain if name == "log_gain" else IntegerQualityVector)(layer.knots.shape[1])

    def _take(self, net: Any) -> None:
        for name in self.layers:
            setattr(self, name, getattr(net, name))
        if self.has_gain:
            self.gain = net.log_gain

    @classmethod
    def from_float(
        cls,
        config: Config,
        net: nn.Module,
        levels: Tensor,
        largest: Mapping[str, float],
        moments: Mapping[str, Tensor] | None = None,
    ) -> "ScaledNet":
        """Export a trained net.

        Args:
            config: sizes of the nets.
            net: the float net.
            levels: the level of each quality, float [100].
            largest: the largest magnitude of each plane, to choose the units by.
            moments: of the inputs of 1x1 convolutions, by name (`rounding.input_moments`), to give most of them weights
                of 8 bits; None: all weights of a decoder have 16 bits, and those of an encoder are rounded to nearest.

        Raises:
            ValueError: the weights of a layer are too large for the integers (the message names it), or `largest` is
                empty.
        """
        fractions = cls.planes.chosen(largest)

        def twin(name: str, layer: Layer) -> nn.Module:
            if (special := cls._special(name, layer, levels, fractions)) is not None:
                return special
            if isinstance(layer, QualityVector):
                return IntegerQualityVector.from_float(layer, levels, fractions[_stream_of(name)])
            read, made = cls.planes.of(name)
            w, b = weights_of(layer)
            unit = cls.planes.unit(made)
            w, b = cls._prepared(name, w, net) * (unit / cls.planes.unit(read)), b * unit
            limit = cls.planes.limits.get(read, -LOW)
            heaviest = heaviest_weight(f"{cls.name}.{name}", layer.kernel_size[0])
            if heaviest == HIGH or (moments is None and cls.decodes):
                return ScaledConv.from_weights(w, b, fractions[read], fractions[made], limit)
            by = None if moments is None else moments[name]
            return ScaledConv.from_weights(w, b, fractions[read], fractions[made], limit, heaviest, by)

        self = cls(config)
        self._take(swap(copy.deepcopy(net).cpu(), twin))
        return self.eval()

    @classmethod
    def _special(cls, name: str, layer: Any, levels: Tensor, fractions: Mapping[str, int]) -> nn.Module | None:
        """Return the twin of a layer that needs special treatment, such as the shortcut; None for ordinary layers."""
        return None

    @staticmethod
    def _prepared(name: str, weight: Tensor, net: Any) -> Tensor:
        """Return a convolution's weight, float64, combined with any linear operation before it in the float net."""
        return weight

    def fractions(self) -> dict[str, int]:
        """Return the fractional bits of each plane."""
        made = {self.planes.of(name)[1]: int(conv.fraction) for name, conv in self._convolutions().items()}
        return made | dict(self.planes.fractions)

    def _convolutions(self) -> dict[str, ScaledConv]:
        """Return all convolutions except the shortcut, by name."""
        return {n: m for n, m in self.named_modules() if isinstance(m, ScaledConv) and n != "shortcut"}

    def floats(self, levels: Tensor = PLAIN_LEVELS) -> dict[str, Tensor]:
        """Return the state dict of the float net that `from_float` was given, except for rounding: float32."""
        fractions, state = self.fractions(), self._special_floats(levels)
        for name, conv in self._convolutions().items():
            read, made = self.planes.of(name)
            w, b = conv.to_weights(fractions[read], fractions[made])
            unit = self.planes.unit(made)
            state[f"{name}.weight"], state[f"{name}.bias"] = w * (self.planes.unit(read) / unit), b / unit
        for name, vector in self.named_modules():
            if isinstance(vector, IntegerQualityVector):
                state[f"{name}.knots"] = knots_of(vector.table * 2.0 ** -fractions[_stream_of(name)], levels)
        return {name: value.float() for name, value in state.items()}

    def _special_floats(self, levels: Tensor) -> dict[str, Tensor]:
        """Return the float parameters of the layers that `_special` makes."""
        return {}


def _stream_of(quality_vector: str) -> str:
    return quality_vector.replace("quality", "stream")

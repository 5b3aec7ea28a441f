"""What the transforms in integers share: the synthesis, the analysis and the hyper-analysis.

The arithmetic is that of `integer.py`, but each stored tensor has a unit of its own, 2^-f with f from -7 to 20: a body
keeps one unit for its stream, x, and one for each tensor between a block's convolutions. The units are chosen at
export, from the largest magnitudes that photographs and synthetic pictures reach in floats, with a margin. What runs
needs none of them, for shifts and tables say all; they lead back to floats.
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
from ..coding.model_tensors import HIGH, LOW, MAX_FRACTION, MAX_GAIN_SHIFT, MIN_FRACTION
from .integer import (
    PLAIN_LEVELS,
    IntegerConv,
    IntegerQualityVector,
    Layer,
    at_levels,
    knots_of,
    saturate16,
    swap,
    weights_of,
)
from .layers import FRACTION_BITS, QualityVector

# Between the largest magnitude seen in calibration and the range. Synthetic pictures are seen there, which reach 3 to 9
# times what photographs do, and others at most 1.4 times what those do; what saturates then costs little, while each
# bit less of all pictures doubles the loss.
MARGIN = 1
SUM_LIMIT = 2**23  # of what a shortcut or a branch adds, each way, in units finer than int16 has


@dataclass(frozen=True)
class Planes:
    """The stored tensors of a net, by name. Those of a body are a stream's, or bear their maker's name.

    Args:
        ends: which of them the net's own convolutions, not those of its bodies, read and make.
        fractions: fractional bits, where they are not for calibration to choose.
        units: what 1 in floats is, where it is not 1.
        limits: magnitudes that are never passed, where that is not int16's.
        margins: where they are not MARGIN.
    """

    ends: Mapping[str, tuple[str, str]]
    fractions: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> tuple[str, str]:
        """What a convolution, but for the shortcut, reads and makes."""
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
        """Fractional bits of all, given what `largest_magnitudes` found. Raises ValueError if that is nothing."""
        if not largest:
            raise ValueError("nothing to calibrate with")
        found = {plane: fraction_for(value, self.margins.get(plane, MARGIN)) for plane, value in largest.items()}
        return found | dict(self.fractions)


def fraction_for(largest: float, margin: float = MARGIN) -> int:
    """The most fractional bits with which int16 holds `largest` and its margin, within MIN_FRACTION..MAX_FRACTION."""
    for fraction in range(MAX_FRACTION, MIN_FRACTION, -1):
        if margin * largest * 2.0**fraction <= HIGH:
            return fraction
    return MIN_FRACTION


@contextmanager
def largest_magnitudes(net: nn.Module, planes: Planes) -> Iterator[dict[str, float]]:
    """While it is open: the largest magnitude of each stored tensor in what a float net computes, in its unit.

    Raises:
        ValueError: the net makes what is not finite.
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
    """`IntegerConv` that knows its unit: buffer fraction int8 [1], the fractional bits of what it makes."""

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
    ) -> AnyScaledConv:
        self = super().from_weights(w, b, f_in, f_out, largest, heaviest)
        self.fraction.fill_(f_out)
        return self


class IntegerGain(nn.Module):
    """What a branch is multiplied by: buffers table int16 [100, C], by quality, and shift uint8 [1 or C], 1..30."""

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
        """Quantise with the largest shifts that int16 allows.

        Args:
            levels: of each quality, float [100].
            f_in, f_out: fractional bits of the branch, and of what it adds.
            shifts: one for all channels, or one for each.

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
        """Knots of the logarithms, float64, but for rounding. Gains that were rounded to 0 count as half a unit."""
        gains = self.table.double().clamp(min=0.5) / torch.exp2(f_out - f_in + self.shift.double())
        return knots_of(gains.log(), levels)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """float64 [B, C, h, w], once saturated, and q int64 [B] -> the same shape, in finer units."""
        shift = self.shift.double()[:, None, None]
        product = self.table[q - 1].double()[:, :, None, None] * saturate16(x) + torch.exp2(shift - 1)
        return (product * torch.exp2(-shift)).floor_().clamp_(-SUM_LIMIT, SUM_LIMIT)


class ScaledNet(nn.Module):
    """A float transform's twin. Its layers are those of the float net, but `gain`, which was the logarithm of one."""

    float_net: type[nn.Module]  # of which it is the twin
    planes: Planes
    layers: tuple[str, ...]  # of the float net, without `log_gain`
    has_gain = True
    heaviest = HIGH  # magnitude of a weight of 1x1 convolutions, but for the shortcut's

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        with torch.device("meta"):
            net = self.float_net(config)
        self._take(swap(net, self._empty))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Its layers, which `_take` sets by name."""

    def _empty(self, name: str, layer: Layer) -> nn.Module:
        """A layer's twin, to be filled."""
        if isinstance(layer, nn.Conv2d):
            return ScaledConv(*layer.weight.shape[:3])
        return (IntegerGain if name == "log_gain" else IntegerQualityVector)(layer.knots.shape[1])

    def _take(self, net: Any) -> None:
        for name in self.layers:
            setattr(self, name, getattr(net, name))
        if self.has_gain:
            self.gain = net.log_gain

    @classmethod
    def from_float(cls, config: Config, net: nn.Module, levels: Tensor, largest: Mapping[str, float]) -> "ScaledNet":
        """Export a trained net.

        Args:
            levels: of each quality, float [100].
            largest: to choose the units by, `calibration.magnitudes` of this net.

        Raises:
            ValueError: weights of a layer, which is named, are too large for the integers, or nothing was calibrated.
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
            heaviest = cls.heaviest if layer.kernel_size == (1, 1) else HIGH
            return ScaledConv.from_weights(w, b, fractions[read], fractions[made], limit, heaviest)

        self = cls(config)
        self._take(swap(copy.deepcopy(net).cpu(), twin))
        return self.eval()

    @classmethod
    def _special(cls, name: str, layer: Any, levels: Tensor, fractions: Mapping[str, int]) -> nn.Module | None:
        """The twin of a layer that is not like others, a convolution or a quality vector; None for those that are."""
        return None

    @staticmethod
    def _prepared(name: str, weight: Tensor, net: Any) -> Tensor:
        """A convolution's weight, float64, with what comes before it in the float net."""
        return weight

    def fractions(self) -> dict[str, int]:
        """Fractional bits of each stored tensor."""
        made = {self.planes.of(name)[1]: int(conv.fraction) for name, conv in self._convolutions().items()}
        return made | dict(self.planes.fractions)

    def _convolutions(self) -> dict[str, ScaledConv]:
        """All but the shortcut, by name."""
        return {n: m for n, m in self.named_modules() if isinstance(m, ScaledConv) and n != "shortcut"}

    def floats(self, levels: Tensor = PLAIN_LEVELS) -> dict[str, Tensor]:
        """What `from_float` was given, but for rounding: the state of the float net, float32."""
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
        """Those of the layers that are not like others."""
        return {}


def _stream_of(quality_vector: str) -> str:
    return quality_vector.replace("quality", "stream")

"""The synthesis in integers: latents to samples, the same on every machine (FORMAT §8). The readable reference.

The arithmetic is that of `integer.py`, but each stored tensor has a unit of its own, 2^-f with f from -7 to 20:
`body16` and `body8` keep one unit each for their stream, x, and one for each tensor between a block's convolutions. The
units are chosen at export, from the largest magnitudes that latents of photographs and of synthetic pictures reach in
floats, with a margin. Decoders need none of them, for shifts and tables say all; they lead back to floats.

The two sums that make a pixel are finer than int16: the shortcut, which reads the latents themselves, and the branch,
which is `tail8` times a gain of the quality. Both are int32 in units of 2^-10 of a level of 8 bits, so that samples are
rounded once, at the end.
"""

import copy
import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.model_config import LATENT_STRIDE, QUALITIES, Config, has_branch
from ..coding.model_tensors import (
    ACCUMULATOR_LIMIT,
    HIGH,
    MAX_FRACTION,
    MAX_GAIN_SHIFT,
    MAX_SHIFT,
    MIN_FRACTION,
    MIN_SHORTCUT_SHIFT,
    PIXEL_BITS,
    check_integers,
    shortcut_bound,
)
from .integer import PLAIN_LEVELS, IntegerConv, IntegerQualityVector, at_levels, knots_of, saturate16, swap
from .layers import FRACTION_BITS, QualityVector
from .model import Synthesis

# Between the largest magnitude seen in calibration and the range. Synthetic pictures are seen there, which reach 3 to 9
# times what photographs do, and others at most 1.4 times what those do; what saturates then costs little, while each
# bit less of all pictures doubles the loss. A bit less of `tail8` costs nothing, and photographs come near its largest.
MARGIN, TAIL8_MARGIN = 1, 2
LEVEL = 255  # levels of 8 bits from black to white
HIGHEST = LEVEL << PIXEL_BITS  # white
SUM_LIMIT = 2**23  # of the shortcut and of the branch, each way: 8192 levels
SHRINKS = (1, 2, 4, 8)
_LAYERS = ("shortcut", "head16", "body16", "tail16", "body8", "tail8", "quality16", "quality8")


class ScaledConv(IntegerConv):
    """`IntegerConv` that knows its unit: buffer fraction int8 [1], the fractional bits of what it makes."""

    def __init__(self, out_channels: int, in_per_group: int, kernel: int):
        super().__init__(out_channels, in_per_group, kernel)
        self.register_buffer("fraction", torch.zeros(1, dtype=torch.int8))

    @classmethod
    def from_weights(cls, w: Tensor, b: Tensor, f_in: int, f_out: int) -> "ScaledConv":
        self = super().from_weights(w, b, f_in, f_out)
        self.fraction.fill_(f_out)
        return self


class IntegerShortcut(ScaledConv):
    """The linear transform of latents into squares of 16 pixels, one shift for all outputs.

    Decoders split a latent into two planes, y = 256 * hi + lo: (sum of w * y) >> 8 is (sum of w * hi) +
    ((sum of w * lo) >> 8). `model_tensors.shortcut_bound` proves that these sums fit int32.
    """

    @classmethod
    def from_float(cls, conv: nn.Conv2d) -> "IntegerShortcut":
        """Quantise with the largest shift that the proof allows. Raises ValueError if none does."""
        w = LEVEL * conv.weight.detach().double().cpu()
        b = LEVEL * (conv.bias.detach().double().cpu() + 0.5)
        self = cls(*w.shape[:3])
        self.fraction.fill_(PIXEL_BITS)
        for shift in range(MAX_SHIFT, MIN_SHORTCUT_SHIFT - 1, -1):
            scale = self._scale(shift)
            wi, bi = (w * scale).round(), (b * 16 * scale).round()
            if wi.abs().max() <= HIGH and bi.abs().max() < 2**31:
                if shortcut_bound(wi.numpy(), bi.numpy(), shift) >= ACCUMULATOR_LIMIT:
                    continue
                self.weight.copy_(wi)
                self.bias.copy_(bi)
                self.shift.fill_(shift)
                return self
        raise ValueError("weights too large for int16 arithmetic")

    @staticmethod
    def _scale(shift: int) -> float:
        """Of the weights, whose sums have 12 more fractional bits, of which 8 and then `shift` are dropped."""
        return 2.0 ** (shift + PIXEL_BITS + 8 - FRACTION_BITS)

    def to_float(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the float layer, float64, but for rounding."""
        scale = self._scale(int(self.shift[0]))
        return self.weight / (LEVEL * scale), self.bias / (LEVEL * 16 * scale) - 0.5

    def means(self, shrink: int) -> tuple[Tensor, Tensor]:
        """Weight [O, M] and bias [O] of means over squares of `shrink` samples: float64, O = 3 * (16 / shrink)^2."""
        n = LATENT_STRIDE // shrink

        def mean(values: Tensor) -> Tensor:
            return _mean(values.double().unflatten(0, (3, n, shrink, n, shrink)), (2, 4), shrink).flatten(0, 2)

        return mean(self.weight[:, :, 0, 0]), mean(self.bias)

    def forward(self, y: Tensor, shrink: int = 1) -> Tensor:
        """Latents float64 [B, M, h, w] -> sums float64 [B, 3 * (16 / shrink)^2, h, w], in units of 2^-10 level."""
        weight, bias = self.means(shrink)
        shift = int(self.shift[0])
        total = (weight @ saturate16(y).flatten(2)).unflatten(2, y.shape[2:])
        total = (total * 2.0**-8).floor_() + bias[:, None, None] + (2**shift >> 1)
        return (total * 2.0**-shift).floor_().clamp_(-SUM_LIMIT, SUM_LIMIT)


class IntegerGain(nn.Module):
    """What the branch is multiplied by: buffers table int16 [100, 192], by quality, and shift uint8 [1], 1..30."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("table", torch.zeros(QUALITIES, channels, dtype=torch.int16))
        self.register_buffer("shift", torch.ones(1, dtype=torch.uint8))

    @classmethod
    def from_float(cls, log_gain: QualityVector, levels: Tensor, fraction: int) -> "IntegerGain":
        """Quantise with the largest shift that int16 allows, for a branch in units of 2^-fraction level.

        Raises:
            ValueError: the gains are too large for any shift.
        """
        gains = at_levels(log_gain, levels).exp()
        self = cls(gains.shape[1])
        for shift in range(MAX_GAIN_SHIFT, 0, -1):
            table = (gains * cls._scale(shift, fraction)).round()
            if table.max() <= HIGH:
                self.table.copy_(table)
                self.shift.fill_(shift)
                return self
        raise ValueError("gains too large for int16")

    @staticmethod
    def _scale(shift: int, fraction: int) -> float:
        return 2.0 ** (PIXEL_BITS - fraction + shift)

    def to_float(self, levels: Tensor, fraction: int) -> Tensor:
        """Knots of the logarithms, float64, but for rounding. Gains that were rounded to 0 count as half a unit."""
        gains = self.table.double().clamp(min=0.5) / self._scale(int(self.shift), fraction)
        return knots_of(gains.log(), levels)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """float64 [B, 192, h, w], once saturated, and q int64 [B] -> the same shape, in units of 2^-10 level."""
        shift = int(self.shift)
        product = self.table[q - 1].double()[:, :, None, None] * saturate16(x) + 2.0 ** (shift - 1)
        return (product * 2.0**-shift).floor_().clamp_(-SUM_LIMIT, SUM_LIMIT)


def _mean(x: Tensor, dims: tuple[int, int], shrink: int) -> Tensor:
    """Mean over two dimensions of `shrink`, a power of 2, halves up; integers in float64."""
    return ((x.sum(dims) + shrink * shrink // 2) / shrink**2).floor_()


def _planes(name: str) -> tuple[str, str]:
    """Which stored tensors a convolution reads and makes. A stream is named so, others bear their maker's name."""
    block, _, layer = name.rpartition(".")
    if not block:
        return {
            "head16": ("latents", "stream16"),
            "tail16": ("stream16", "stream8"),
            "tail8": ("stream8", "tail8"),
        }[name]
    stream = "stream" + block.split(".")[0].removeprefix("body")
    return {
        "space_in": (stream, name),
        "space": (f"{block}.space_in", name),
        "space_out": (f"{block}.space", stream),
        "mix_in": (stream, name),
        "mix_out": (f"{block}.mix_in", stream),
    }[layer]


def largest_magnitudes(synthesis: Synthesis, latents: Iterable[tuple[Tensor, float]]) -> dict[str, float]:
    """Of each stored tensor (`_planes`) over all latents, which are pairs of float [M, h, w] and level.

    Raises:
        ValueError: there are no latents, or the synthesis makes what is not finite of them.
    """
    found: dict[str, float] = {}

    def note(plane: str, x: Tensor) -> None:
        value = float(x.abs().max())
        if not math.isfinite(value):
            raise ValueError(f"{plane} is not finite")
        found[plane] = max(found.get(plane, 0.0), value)

    synthesis = copy.deepcopy(synthesis).float().cpu().eval()
    for name, module in synthesis.named_modules():
        if isinstance(module, nn.Conv2d) and name != "shortcut":
            plane = _planes(name)[0]
            module.register_forward_pre_hook(lambda _, args, plane=plane: note(plane, args[0]))
    with torch.no_grad():
        for y, level in latents:
            note("tail8", LEVEL * synthesis.tail8(synthesis.features(y.float().cpu()[None], torch.tensor([level]))))
    if not found:
        raise ValueError("no latents to calibrate with")
    return found


def fraction_for(plane: str, largest: float) -> int:
    """The most fractional bits with which int16 holds `largest` and its margin, within MIN_FRACTION..MAX_FRACTION."""
    largest *= TAIL8_MARGIN if plane == "tail8" else MARGIN
    for fraction in range(MAX_FRACTION, MIN_FRACTION, -1):
        if largest * 2.0**fraction <= HIGH:
            return fraction
    return MIN_FRACTION


class IntegerSynthesis(nn.Module):
    """Latents to samples, in integers. The layers are those of `Synthesis`, but `gain`; `whiten` is in `head16`."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        with torch.device("meta"):
            net = Synthesis(config)

        def empty(name: str, layer: nn.Module) -> nn.Module:
            if isinstance(layer, nn.Conv2d):
                return (IntegerShortcut if name == "shortcut" else ScaledConv)(*layer.weight.shape[:3])
            return (IntegerGain if name == "log_gain" else IntegerQualityVector)(layer.knots.shape[1])

        self._take(swap(net, empty))

    def _take(self, net: Synthesis) -> None:
        for name in _LAYERS:
            setattr(self, name, getattr(net, name))
        self.gain = net.log_gain

    @classmethod
    def from_float(
        cls, synthesis: Synthesis, levels: Tensor, latents: Iterable[tuple[Tensor, float]]
    ) -> "IntegerSynthesis":
        """Export a trained synthesis.

        Args:
            levels: of each quality, float [100].
            latents: to choose the units by, `calibration.calibration_latents`: pairs of float [M, h, w] and a level.

        Raises:
            ValueError: weights of a layer, which is named, are too large for the integers, or there are no latents.
        """
        seen = largest_magnitudes(synthesis, latents)
        fractions = {plane: fraction_for(plane, value) for plane, value in seen.items()}
        fractions["latents"] = FRACTION_BITS

        def twin(name: str, layer: nn.Module) -> nn.Module:
            if name == "shortcut":
                return IntegerShortcut.from_float(layer)
            if name == "log_gain":
                return IntegerGain.from_float(layer, levels, fractions["tail8"])
            if isinstance(layer, QualityVector):
                stream = name.replace("quality", "stream")
                return IntegerQualityVector.from_float(layer, levels, fractions[stream])
            w, b = layer.weight.detach().double().cpu(), layer.bias.detach().double().cpu()
            if name == "head16":
                w = w * synthesis.whiten.double().cpu()[:, None, None]
            elif name == "tail8":
                w, b = w * LEVEL, b * LEVEL
            return ScaledConv.from_weights(w, b, *(fractions[plane] for plane in _planes(name)))

        config = Config(
            latents=synthesis.shortcut.in_channels,
            wide8=synthesis.tail8.in_channels,
            blocks8=len(synthesis.body8),
            wide16=synthesis.head16.out_channels,
            blocks16=len(synthesis.body16),
        )
        self = cls(config)
        self._take(swap(copy.deepcopy(synthesis).cpu(), twin))
        return self.eval()

    def _convolutions(self) -> dict[str, ScaledConv]:
        """All but the shortcut, by name."""
        return {n: m for n, m in self.named_modules() if isinstance(m, ScaledConv) and n != "shortcut"}

    def fractions(self) -> dict[str, int]:
        """Fractional bits of the latents and of each stored tensor: `_planes`."""
        found = {_planes(name)[1]: int(conv.fraction) for name, conv in self._convolutions().items()}
        return {"latents": FRACTION_BITS} | found

    def floats(self, levels: Tensor = PLAIN_LEVELS) -> dict[str, Tensor]:
        """What `from_float` was given, but for rounding: the state of a `Synthesis`, float32. Its `whiten` is 1."""
        fractions = self.fractions()
        state = {
            "whiten": torch.ones(self.config.latents),
            "log_gain.knots": self.gain.to_float(levels, fractions["tail8"]),
            "quality16.knots": knots_of(self.quality16.table * 2.0 ** -fractions["stream16"], levels),
            "quality8.knots": knots_of(self.quality8.table * 2.0 ** -fractions["stream8"], levels),
        }
        state["shortcut.weight"], state["shortcut.bias"] = self.shortcut.to_float()
        for name, conv in self._convolutions().items():
            unit = LEVEL if name == "tail8" else 1
            w, b = conv.to_weights(*(fractions[plane] for plane in _planes(name)))
            state[f"{name}.weight"], state[f"{name}.bias"] = w / unit, b / unit
        return {name: value.float() for name, value in state.items()}

    def check(self) -> None:
        """Raise ValueError unless FORMAT §7 and §8 hold: ranges, and no accumulator that could overflow."""
        check_integers({f"synthesis.{name}": value.cpu().numpy() for name, value in self.state_dict().items()})

    def features(self, y: Tensor, q: Tensor) -> Tensor:
        """The branch but for `tail8`: float64 [B, wide8, 2h, 2w] of int32, which its reader saturates."""
        h = self.body16(self.head16(y) + self.quality16(q))
        return self.body8(F.pixel_shuffle(self.tail16(h), 2) + self.quality8(q))

    def values(self, y: Tensor, quality: int, level: float, shrink: int = 1) -> Tensor:
        """Latents to what samples are rounded from, zero padded at the latents' edges, which are the picture's.

        Args:
            y: float64 [B, M, h, w] that holds int16, in units of 2^-12.
            quality: 1..100.
            level: of that quality, for `has_branch`.
            shrink: 1, 2, 4 or 8: values are means over squares of so many pixels a side.

        Returns:
            int32 [B, 3, 16 h / shrink, 16 w / shrink], in units of 2^-10 of a level of 8 bits: |v| <= 2^24.
        """
        v = F.pixel_shuffle(self.shortcut(y, shrink), LATENT_STRIDE // shrink)
        if has_branch(level, shrink):
            q = torch.tensor([quality], device=y.device)
            branch = F.pixel_shuffle(self.gain(self.tail8(self.features(y, q)), q), 8)
            if shrink > 1:
                height, width = (n // shrink for n in branch.shape[2:])
                branch = branch.unflatten(3, (width, shrink)).unflatten(2, (height, shrink))
                branch = _mean(branch, (3, 5), shrink)
            v = v + branch
        return v.to(torch.int32)


def samples(values: Tensor, bits: int = 8, gray: bool = False) -> Tensor:
    """Round what `IntegerSynthesis.values` returned to samples, halves up.

    Args:
        values: int32 [B, 3, H, W].
        bits: 8 or 16.
        gray: the mean of the three channels instead.

    Returns:
        int32 [B, 3, H, W], or [B, 1, H, W] of gray: 0..255 or 0..65535.
    """
    scale = {8: 1, 16: 257}[bits]
    n = 3 if gray else 1
    v = values.long()
    if gray:
        v = v.sum(1, keepdim=True)
    one = n << PIXEL_BITS
    return (scale * v.clamp(0, n * HIGHEST) + one // 2).div(one, rounding_mode="floor").to(torch.int32)

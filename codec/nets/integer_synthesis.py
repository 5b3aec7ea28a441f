"""The synthesis in integers: latents -> samples, the same on every machine (FORMAT §8). This is the readable reference.

A pixel is the sum of two terms: the shortcut, a linear function of the latents, and the branch, which is the output of
`tail8` times a gain that depends on the quality. Both are int32 in units of 2^-10 of an 8-bit level, so that samples
are only rounded once, at the end.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.model_config import LATENT_STRIDE, has_branch
from ..coding.model_tensors import (
    ACCUMULATOR_LIMIT,
    HIGH,
    MAX_SHIFT,
    MIN_SHORTCUT_SHIFT,
    PIXEL_BITS,
    check_integers,
    shortcut_bound,
)
from .integer import Layer, saturate16, weights_of
from .layers import FRACTION_BITS
from .model import Synthesis
from .scaled import SUM_LIMIT, IntegerGain, Planes, ScaledConv, ScaledNet

TAIL8_MARGIN = 2  # more than MARGIN: one bit less costs nothing here, and photographs come near the largest magnitude
LEVEL = 255  # 8-bit levels between black and white
HIGHEST = LEVEL << PIXEL_BITS  # the value of white
SHRINKS = (1, 2, 4, 8)


class IntegerShortcut(ScaledConv):
    """The linear transform of latents into squares of 16x16 pixels, with one shift for all outputs.

    Fast decoders split each latent into y = 256 * hi + lo and use that (sum of w * y) >> 8 equals (sum of w * hi) +
    ((sum of w * lo) >> 8). `model_tensors.shortcut_bound` proves that these sums fit into int32.
    """

    @classmethod
    def from_float(cls, conv: nn.Conv2d) -> "IntegerShortcut":
        """Quantise a layer with the largest shift for which no sum can overflow. Raises ValueError if there is none."""
        weight, bias = weights_of(conv)
        w, b = LEVEL * weight, LEVEL * (bias + 0.5)
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
        """Return the scale of the quantised weights.

        Their sums have 12 more fractional bits, from the latents. The lowest 8 bits and then `shift` bits are dropped.
        """
        return 2.0 ** (shift + PIXEL_BITS + 8 - FRACTION_BITS)

    def to_float(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the float layer, except for rounding: float64."""
        scale = self._scale(int(self.shift[0]))
        return self.weight / (LEVEL * scale), self.bias / (LEVEL * 16 * scale) - 0.5

    def means(self, shrink: int) -> tuple[Tensor, Tensor]:
        """Return weight [O, M] and bias [O] for means over squares of shrink x shrink samples: O = 3 * (16 / shrink)^2.

        Both are float64 that holds integers.
        """
        n = LATENT_STRIDE // shrink

        def mean(values: Tensor) -> Tensor:
            return _mean(values.double().unflatten(0, (3, n, shrink, n, shrink)), (2, 4), shrink).flatten(0, 2)

        return mean(self.weight[:, :, 0, 0]), mean(self.bias)

    def forward(self, y: Tensor, shrink: int = 1) -> Tensor:
        """Transform latents float64 [B, M, h, w] to float64 [B, 3 * (16 / shrink)^2, h, w], in units of 2^-10 level."""
        weight, bias = self.means(shrink)
        shift = int(self.shift[0])
        total = (weight @ saturate16(y).flatten(2)).unflatten(2, y.shape[2:])
        total = (total * 2.0**-8).floor_() + bias[:, None, None] + (2**shift >> 1)
        return (total * 2.0**-shift).floor_().clamp_(-SUM_LIMIT, SUM_LIMIT)


def _mean(x: Tensor, dims: tuple[int, int], shrink: int) -> Tensor:
    """Average integers over two dimensions of size `shrink`, a power of 2, and round halves up; all in float64."""
    return ((x.sum(dims) + shrink * shrink // 2) / shrink**2).floor_()


class IntegerSynthesis(ScaledNet):
    """The synthesis in integers: latents -> samples. The factors `whiten` of the float net are part of `head16`."""

    planes = Planes(
        ends={"head16": ("latents", "stream16"), "tail16": ("stream16", "stream8"), "tail8": ("stream8", "tail8")},
        fractions={"latents": FRACTION_BITS},
        units={"tail8": LEVEL},
        margins={"tail8": TAIL8_MARGIN},
    )
    layers = ("shortcut", "head16", "body16", "tail16", "body8", "tail8", "quality16", "quality8")
    name = "synthesis"
    decodes = True
    float_net = Synthesis

    def _empty(self, name: str, layer: Layer) -> nn.Module:
        if name == "shortcut" and isinstance(layer, nn.Conv2d):
            return IntegerShortcut(*layer.weight.shape[:3])
        return super()._empty(name, layer)

    @classmethod
    def _special(cls, name: str, layer: Any, levels: Tensor, fractions: Mapping[str, int]) -> nn.Module | None:
        if name == "shortcut":
            return IntegerShortcut.from_float(layer)
        if name == "log_gain":
            return IntegerGain.from_float(layer, levels, fractions["tail8"], PIXEL_BITS)
        return None

    @staticmethod
    def _prepared(name: str, weight: Tensor, net: Any) -> Tensor:
        return weight * net.whiten.double().cpu()[:, None, None] if name == "head16" else weight

    def _special_floats(self, levels: Tensor) -> dict[str, Tensor]:
        state = {"whiten": torch.ones(self.config.latents)}
        state["log_gain.knots"] = self.gain.to_float(levels, self.fractions()["tail8"], PIXEL_BITS)
        state["shortcut.weight"], state["shortcut.bias"] = self.shortcut.to_float()
        return state

    def check(self) -> None:
        """Raise ValueError if a value is out of its range, or an accumulator could overflow (FORMAT §7 and §8)."""
        check_integers({f"synthesis.{name}": value.cpu().numpy() for name, value in self.state_dict().items()})

    def features(self, y: Tensor, q: Tensor) -> Tensor:
        """Compute the branch up to the input of `tail8`: float64 [B, wide8, 2h, 2w] that holds int32, not saturated."""
        h = self.head16(y)
        h = self.body16(h + self.quality16(q, h))
        h = F.pixel_shuffle(self.tail16(h), 2)
        return self.body8(h + self.quality8(q, h))

    def values(self, y: Tensor, q: Tensor, level: float, shrink: int = 1) -> Tensor:
        """Compute the values of samples before they are rounded.

        Args:
            y: latents, float64 [B, M, h, w] that holds int16, in units of 2^-12. The edges of y are treated as edges of
                the picture, with zeros beyond them.
            q: int64 [B], 1..100; or a map of one picture, int64 [h, w] or with a number for each square of latents.
            level: of the highest quality, for `has_branch`.
            shrink: 1, 2, 4 or 8: each value is the mean over a square with sides of this many pixels.

        Returns:
            int32 [B, 3, 16 h / shrink, 16 w / shrink], in units of 2^-10 of an 8-bit level; |v| <= 2^24.
        """
        v = F.pixel_shuffle(self.shortcut(y, shrink), LATENT_STRIDE // shrink)
        if has_branch(level, shrink):
            branch = F.pixel_shuffle(self.gain(self.tail8(self.features(y, q)), q), 8)
            if shrink > 1:
                height, width = (n // shrink for n in branch.shape[2:])
                branch = branch.unflatten(3, (width, shrink)).unflatten(2, (height, shrink))
                branch = _mean(branch, (3, 5), shrink)
            v = v + branch
        return v.to(torch.int32)


def samples(values: Tensor, bits: int = 8, gray: bool = False) -> Tensor:
    """Round the values from `IntegerSynthesis.values` to samples; halves are rounded up.

    Args:
        values: int32 [B, 3, H, W].
        bits: 8 or 16.
        gray: whether to return the mean of the three channels.

    Returns:
        int32 [B, 3, H, W], or [B, 1, H, W] if `gray`: 0..255 or 0..65535.
    """
    scale = {8: 1, 16: 257}[bits]
    n = 3 if gray else 1
    v = values.long()
    if gray:
        v = v.sum(1, keepdim=True)
    one = n << PIXEL_BITS
    return (scale * v.clamp(0, n * HIGHEST) + one // 2).div(one, rounding_mode="floor").to(torch.int32)

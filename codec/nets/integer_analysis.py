"""The analysis and the hyper-analysis in integers: samples -> latents -> hyperlatents. This is the readable reference.

Only encoders run them, so they do not affect how a file decodes. They are exact all the same, so that an encoder makes
the same file on every machine.

Samples are in units of 1/32 of an 8-bit level, and 0 is mid-gray. A finer unit would gain nothing, and the smaller
range leaves more bits for the weights.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.model_config import LATENT_STRIDE
from ..coding.model_tensors import LARGEST_PIXEL, PIXEL_UNIT
from .integer import Layer, saturate16, weights_of
from .layers import FRACTION_BITS
from .model import Analysis, HyperAnalysis
from .scaled import SUM_LIMIT, IntegerGain, Planes, ScaledConv, ScaledNet

PIXEL_RANGE = 255 * PIXEL_UNIT  # the distance between black and white
LATENT_BITS = 4  # the two sums that are added to a latent have this many more fractional bits than the latent


class IntegerAnalysis(ScaledNet):
    """The analysis in integers: samples -> latents.

    The gain has a separate shift for each latent channel, because their quantisation steps differ widely.
    """

    planes = Planes(
        ends={"head8": ("pixels", "stream8"), "head16": ("stream8", "stream16"), "tail": ("stream16", "tail")},
        fractions={"pixels": 0},
        units={"pixels": PIXEL_RANGE},
        limits={"pixels": LARGEST_PIXEL},
    )
    layers = ("shortcut", "head8", "body8", "head16", "body16", "tail", "quality8", "quality16")
    name = "analysis"
    float_net = Analysis

    def _empty(self, name: str, layer: Layer) -> nn.Module:
        if name == "log_gain":
            return IntegerGain(self.config.latents, self.config.latents)
        return super()._empty(name, layer)

    @classmethod
    def _special(cls, name: str, layer: Any, levels: Tensor, fractions: Mapping[str, int]) -> nn.Module | None:
        finest = FRACTION_BITS + LATENT_BITS
        if name == "shortcut":
            w, b = weights_of(layer)
            return ScaledConv.from_weights(w / PIXEL_RANGE, b, 0, finest, LARGEST_PIXEL)
        if name == "log_gain":
            return IntegerGain.from_float(layer, levels, fractions["tail"], finest, layer.knots.shape[1])
        return None

    def _special_floats(self, levels: Tensor) -> dict[str, Tensor]:
        w, b = self.shortcut.to_weights(0, FRACTION_BITS + LATENT_BITS)
        gain = self.gain.to_float(levels, self.fractions()["tail"], FRACTION_BITS + LATENT_BITS)
        return {"shortcut.weight": w * PIXEL_RANGE, "shortcut.bias": b, "log_gain.knots": gain}

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """Compute latents from samples.

        Args:
            x: float64 [B, 3, H, W] that holds integers of magnitude at most LARGEST_PIXEL; H and W are multiples of 16.
                The edges of x are treated as edges of the picture.
            q: int64 [B], 1..100; or a map of one picture, with a number for each square of pixels.

        Returns:
            float64 [B, M, H / 16, W / 16] that holds int16, in units of 2^-12.
        """
        h = self.head8(F.pixel_unshuffle(x, 8))
        h = self.body8(h + self.quality8(q, h))
        h = self.head16(F.pixel_unshuffle(saturate16(h), 2))
        h = self.body16(h + self.quality16(q, h))
        shortcut = self.shortcut(F.pixel_unshuffle(x, LATENT_STRIDE)).clamp_(-SUM_LIMIT, SUM_LIMIT)
        total = shortcut + self.gain(self.tail(h), q) + 2 ** (LATENT_BITS - 1)
        return saturate16((total * 2.0**-LATENT_BITS).floor_())


class IntegerHyperAnalysis(ScaledNet):
    """The hyper-analysis in integers: latents -> hyperlatents, both in units of 2^-12."""

    planes = Planes(
        ends={
            "head": ("latents", "stream"),
            "down2": ("stream", "stream2"),
            "down4": ("stream2", "stream4"),
            "tail": ("stream4", "hyperlatents"),
        },
        fractions={"latents": FRACTION_BITS, "hyperlatents": FRACTION_BITS},
    )
    layers = ("head", "quality", "body", "down2", "body2", "down4", "body4", "tail")
    has_gain = False
    name = "hyper_analysis"
    float_net = HyperAnalysis

    def forward(self, y: Tensor, q: Tensor) -> Tensor:
        """Compute hyperlatents from latents.

        Args:
            y: float64 [B, M, h, w] that holds int16; h and w are multiples of 4.
            q: int64 [B], 1..100; or a map of one picture, int64 [h / 4, w / 4].

        Returns:
            float64 [B, Z, h / 4, w / 4] that holds int16.
        """
        h = self.head(y)
        h = self.body(h + self.quality(q, h))
        h = self.body2(self.down2(F.pixel_unshuffle(saturate16(h), 2)))
        h = self.body4(self.down4(F.pixel_unshuffle(saturate16(h), 2)))
        return saturate16(self.tail(h))

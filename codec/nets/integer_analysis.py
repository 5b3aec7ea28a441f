"""The analysis and the hyper-analysis in integers: samples to latents to hyperlatents. The readable reference.

Only encoders run them, so that no file's meaning hangs on them. But like all that decodes they are exact, and so one
encoder's files are the same wherever they are made.

Samples come in units of 1/32 of a level of 8 bits, 0 between black and white: 16 bits are more than that is worth, and
with a smaller range weights keep more of theirs. Weights of 1x1 convolutions have 8 bits, but the shortcut's: that
costs nothing that can be measured (bench/ablations.md), and makes model files 4 MB smaller.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.model_config import LATENT_STRIDE
from ..coding.model_tensors import HIGH8, LARGEST_PIXEL, PIXEL_UNIT
from .integer import Layer, saturate16, weights_of
from .layers import FRACTION_BITS
from .model import Analysis, HyperAnalysis
from .scaled import SUM_LIMIT, IntegerGain, Planes, ScaledConv, ScaledNet

PIXEL_RANGE = 255 * PIXEL_UNIT  # from black to white
LATENT_BITS = 4  # by which the two sums that make a latent are finer than it


class IntegerAnalysis(ScaledNet):
    """Samples to latents, in integers. The gain has a shift for each latent channel, for their steps differ much."""

    planes = Planes(
        ends={"head8": ("pixels", "stream8"), "head16": ("stream8", "stream16"), "tail": ("stream16", "tail")},
        fractions={"pixels": 0},
        units={"pixels": PIXEL_RANGE},
        limits={"pixels": LARGEST_PIXEL},
    )
    layers = ("shortcut", "head8", "body8", "head16", "body16", "tail", "quality8", "quality16")
    heaviest = HIGH8
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
        """Latents in units of 2^-12, once saturated, of samples.

        Args:
            x: float64 [B, 3, H, W] that holds integers, H and W multiples of 16, magnitudes at most LARGEST_PIXEL. Its
                edges are the picture's.
            q: int64 [B], 1..100.

        Returns:
            float64 [B, M, H / 16, W / 16].
        """
        h = self.body8(self.head8(F.pixel_unshuffle(x, 8)) + self.quality8(q))
        h = self.body16(self.head16(F.pixel_unshuffle(saturate16(h), 2)) + self.quality16(q))
        shortcut = self.shortcut(F.pixel_unshuffle(x, LATENT_STRIDE)).clamp_(-SUM_LIMIT, SUM_LIMIT)
        total = shortcut + self.gain(self.tail(h), q) + 2 ** (LATENT_BITS - 1)
        return saturate16((total * 2.0**-LATENT_BITS).floor_())


class IntegerHyperAnalysis(ScaledNet):
    """Latents to hyperlatents, in integers, both in units of 2^-12."""

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
    heaviest = HIGH8
    float_net = HyperAnalysis

    def forward(self, y: Tensor, q: Tensor) -> Tensor:
        """float64 [B, M, h, w] that holds int16, h and w multiples of 4, and q int64 [B] -> [B, Z, h/4, w/4]."""
        h = self.body(self.head(y) + self.quality(q))
        h = self.body2(self.down2(F.pixel_unshuffle(saturate16(h), 2)))
        h = self.body4(self.down4(F.pixel_unshuffle(saturate16(h), 2)))
        return saturate16(self.tail(h))

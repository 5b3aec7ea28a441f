"""The integer arithmetic of the networks, and the entropy nets in it. This is the readable reference, exact everywhere.

The integers are kept in float64 tensors. All products of int16 weights and int16 activations, and all partial sums,
stay below 2^31 (which is proved at export, FORMAT §8), far below 2^53, and scaling by a power of two is exact too. So
every order of summation, every BLAS and every device give the same sums, and `floor` gives the same integers.

A stored tensor is int16; in the entropy nets it has FRACTION_BITS = 12 fractional bits. The format computes it as
((sum of w * x + b + r) >> shift), plus a quality vector, plus another stored tensor, all in int32, then Leaky, and
saturates the result once, at the end. The modules below do the same in another arrangement: the outputs of
convolutions, additions and Leaky are int32, and the modules that read a stored tensor (convolutions and additions)
saturate it first.
"""

import copy
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.cdf_tables import INDEX_COUNT
from ..coding.model_config import KNOTS, QUALITIES, Config
from ..coding.model_tensors import (
    ACCUMULATOR_LIMIT,
    HIGH,
    LOW,
    MAX_SHIFT,
    accumulator_bound,
    check_integers,
    heaviest_weight,
)
from ..coding.quality_map import Quality
from .layers import FRACTION_BITS, LEAK_BITS, Add, AddVector, FreeAdd, Leaky, QualityVector
from .model import INDEX_UNIT, EntropyNet, Model
from .rounding import rounded

PLAIN_LEVELS = torch.arange(1.0, QUALITIES + 1)  # levels of the qualities before calibration: the quality itself
_POWERS = torch.tensor([2.0**-shift for shift in range(MAX_SHIFT + 1)], dtype=torch.float64)


AnyConv = TypeVar("AnyConv", bound="IntegerConv")
AnyModule = TypeVar("AnyModule", bound=nn.Module)
Layer = nn.Conv2d | QualityVector  # float layers with parameters, which an integer twin is made from


class IntegerConv(nn.Module):
    """A 1x1 or depthwise 3x3 convolution in integers: (sum of w * x + b + r) >> shift, where r rounds to nearest.

    The input is saturated to int16 first; the output is int32. Both are held in float64.

    Buffers: weight int16 [O, I / groups, k, k], bias int32 [O], shift uint8 [O], 0..MAX_SHIFT.
    """

    weight: Tensor
    bias: Tensor
    shift: Tensor

    def __init__(self, out_channels: int, in_per_group: int, kernel: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(out_channels, in_per_group, kernel, kernel, dtype=torch.int16))
        self.register_buffer("bias", torch.zeros(out_channels, dtype=torch.int32))
        self.register_buffer("shift", torch.zeros(out_channels, dtype=torch.uint8))

    @classmethod
    def from_weights(
        cls: type[AnyConv],
        w: Tensor,
        b: Tensor,
        f_in: int = FRACTION_BITS,
        f_out: int = FRACTION_BITS,
        largest: int = -LOW,
        heaviest: int = HIGH,
        moments: Tensor | None = None,
    ) -> AnyConv:
        """Quantise weights, with the largest shift for each output channel for which no accumulator can overflow.

        Args:
            w, b: weight float64 [O, I / groups, k, k], and bias float64 [O].
            f_in, f_out: fractional bits of the input and of the output.
            largest: largest magnitude of the input, in units of 2^-f_in.
            heaviest: largest magnitude of a quantised weight.
            moments: of the inputs of a 1x1 convolution, to round by (`rounding.rounded`); None: to the nearest.

        Raises:
            ValueError: a channel's weights are too large for any shift.
        """
        self = cls(w.shape[0], w.shape[1], w.shape[2])
        done = torch.zeros(len(w), dtype=torch.bool)
        for shift in range(MAX_SHIFT, -1, -1):
            wi, bi = (w * 2.0 ** (shift + f_out - f_in)).round(), (b * 2.0 ** (shift + f_out)).round()
            bound = torch.from_numpy(accumulator_bound(wi.numpy(), bi.numpy(), np.array(shift), largest))
            fits = (bound < ACCUMULATOR_LIMIT) & (wi.abs().amax((1, 2, 3)) <= heaviest)
            take = fits & ~done
            self.weight[take] = wi[take].to(torch.int16)
            self.bias[take] = bi[take].to(torch.int32)
            self.shift[take] = shift
            done |= fits
            if done.all():
                if moments is not None:
                    self._compensate(w, f_out - f_in, largest, heaviest, moments)
                return self
        raise ValueError(f"{int((~done).sum())} output channels have weights too large for int16 arithmetic")

    def _compensate(self, w: Tensor, fraction: int, largest: int, heaviest: int, moments: Tensor) -> None:
        """Round the weights again, by the moments of the inputs, where no accumulator can overflow then."""
        better = rounded(
            (w * torch.exp2(self.shift.double() + fraction)[:, None, None, None])[:, :, 0, 0], moments, heaviest
        )
        better = better[:, :, None, None]
        bound = accumulator_bound(better.numpy(), self.bias.numpy(), self.shift.numpy(), largest)
        fits = torch.from_numpy(bound < ACCUMULATOR_LIMIT)
        self.weight[fits] = better[fits].to(torch.int16)

    def to_weights(self, f_in: int = FRACTION_BITS, f_out: int = FRACTION_BITS) -> tuple[Tensor, Tensor]:
        """Return the weight and the bias that `from_weights` was given, except for rounding: float64."""
        scale = torch.exp2(-self.shift.double())
        return self.weight * scale[:, None, None, None] * 2.0 ** (f_in - f_out), self.bias * scale * 2.0**-f_out

    def forward(self, x: Tensor) -> Tensor:
        x = saturate16(x)
        scale = _POWERS.to(self.shift.device)[self.shift.long()]
        w = self.weight.double() * scale[:, None, None, None]
        b = self.bias.double() * scale + 0.5 * (self.shift > 0)
        if self.weight.shape[1:] == (1, 3, 3):
            out = _depthwise(x, w, b)
        else:
            out = torch.baddbmm(b[:, None], w[None, :, :, 0, 0].expand(len(x), -1, -1), x.flatten(2)).unflatten(
                2, x.shape[2:]
            )
        return out.floor_()


def weights_of(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a float layer as float64, on the CPU. Raises ValueError if the layer has no bias."""
    if conv.bias is None:
        raise ValueError("a convolution without a bias")
    return conv.weight.detach().double().cpu(), conv.bias.detach().double().cpu()


def _depthwise(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """3x3 depthwise convolution with zero padding, float64 (torch's own has no fast path for it)."""
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    out = b[:, None, None].expand_as(x).clone()
    for i in range(3):
        for j in range(3):
            out.addcmul_(padded[:, :, i : i + height, j : j + width], w[:, 0, i, j, None, None])
    return out


def saturate16(x: Tensor) -> Tensor:
    """Clamp to the range of int16, which all stored tensors have."""
    return x.clamp(LOW, HIGH)


def to_fixed(x: Tensor) -> Tensor:
    """Convert floats to int16 in units of 2^-12, held in float64. Halves are rounded to even, and NaN becomes 0."""
    return (x.double().nan_to_num(nan=0.0) * 2**FRACTION_BITS).round_().clamp_(LOW, HIGH)


def to_float(x: Tensor) -> Tensor:
    """Invert `to_fixed`: exact float32."""
    return x.float() * 2.0**-FRACTION_BITS


class IntegerLeaky(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, (x * 2.0**-LEAK_BITS + 0.5).floor_())


class IntegerAdd(nn.Module):
    """Addition of the output of a convolution and a stored tensor, which is saturated first."""

    def forward(self, stored: Tensor, fresh: Tensor) -> Tensor:
        return saturate16(stored) + fresh


def quality_tensor(quality: Quality, device: torch.device) -> Tensor:
    """Return a quality as the integer nets take it: int64 [1], or [rows, columns] of a map."""
    return torch.tensor(quality if isinstance(quality, np.ndarray) else [quality], dtype=torch.int64, device=device)


def rows_of(table: Tensor, q: Tensor, like: Tensor | None = None) -> Tensor:
    """Look up the rows of a table by quality.

    Args:
        table: [100, C].
        q: int64 [B], 1..100; or a map, int64 [rows, columns], whose numbers each hold for a square of positions.
        like: a tensor [B, C, h, w], to whose positions a map is spread: its squares have the smallest side that is a
            power of two and makes them cover all positions. None: the map is not spread.

    Returns:
        float64 [B, C, 1, 1]; or of a map [1, C, h, w].
    """
    rows = table[q - 1].double()
    if q.dim() == 1:
        return rows[:, :, None, None]
    return spread(rows.permute(2, 0, 1)[None], like)


def spread(x: Tensor, like: Tensor | None) -> Tensor:
    """Repeat the numbers of a map [1, C, rows, columns], as `rows_of` says."""
    if like is None or x.dim() < 4 or x.shape[2:] == (1, 1):
        return x
    height, width = like.shape[2:]
    side = 1
    while side * x.shape[2] < height or side * x.shape[3] < width:
        side *= 2
    return x.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :height, :width]


class IntegerAddVector(nn.Module):
    """Addition of the output of a convolution and a quality vector."""

    def forward(self, fresh: Tensor, vector: Tensor) -> Tensor:
        return fresh + spread(vector, fresh)


class IntegerQualityVector(nn.Module):
    """A table with a row of int16 for each quality. `forward` is `rows_of`."""

    table: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("table", torch.zeros(QUALITIES, channels, dtype=torch.int16))

    @classmethod
    def from_float(
        cls, vector: QualityVector, levels: Tensor = PLAIN_LEVELS, fraction: int = FRACTION_BITS
    ) -> "IntegerQualityVector":
        """Evaluate a vector at the level of each quality, and quantise it in units of 2^-fraction, saturated."""
        self = cls(vector.knots.shape[1])
        self.table.copy_((at_levels(vector, levels) * 2.0**fraction).round().clamp(LOW, HIGH))
        return self

    def forward(self, q: Tensor, like: Tensor | None = None) -> Tensor:
        return rows_of(self.table, q, like)


def at_levels(vector: QualityVector, levels: Tensor = PLAIN_LEVELS) -> Tensor:
    """Evaluate a vector at the level of each quality: float64 [100, C]."""
    vector = copy.deepcopy(vector).double().cpu()
    return vector(levels.double())[:, :, 0, 0].detach()


def knots_of(values: Tensor, levels: Tensor = PLAIN_LEVELS) -> Tensor:
    """Invert `at_levels` by least squares: float64 [100, C] -> float64 [KNOTS, C]."""
    hats = QualityVector(KNOTS)
    hats.knots.data.copy_(torch.eye(KNOTS))
    return torch.linalg.lstsq(at_levels(hats, levels), values.double().cpu()).solution


_TWINS = {Leaky: IntegerLeaky, Add: IntegerAdd, FreeAdd: IntegerAdd, AddVector: IntegerAddVector}


def swap(module: AnyModule, twin: Callable[[str, Layer], nn.Module], prefix: str = "") -> AnyModule:
    """Replace every float layer below `module` by its integer twin.

    Args:
        twin: takes the name of a convolution or a quality vector below `module`, and the layer, and returns its integer
            twin. The name is put in front of the message of a ValueError that it raises.

    Returns:
        `module` itself.
    """
    for name, child in module.named_children():
        path = prefix + name
        if type(child) in _TWINS:
            setattr(module, name, _TWINS[type(child)]())
        elif isinstance(child, (nn.Conv2d, QualityVector)):
            try:
                setattr(module, name, twin(path, child))
            except ValueError as e:
                raise ValueError(f"{path}: {e}") from e
        else:
            swap(child, twin, path + ".")
    return module


def empty_twin(_: str, layer: Layer) -> nn.Module:
    """Return an integer twin of a layer with zeros, to be filled from a file."""
    if isinstance(layer, nn.Conv2d):
        return IntegerConv(*layer.weight.shape[:3])
    return IntegerQualityVector(layer.knots.shape[1])


class IntegerEntropyNet(nn.Module):
    """The entropy nets in integers: they determine the mean, the quantisation step and the table index of each symbol.

    Buffers: step int16 [100, M] and hyper_step int16 [100, Z], quantisation steps in units of 2^-12, at least 1;
    hyper_index uint8 [100, Z].
    """

    step: Tensor
    hyper_step: Tensor
    hyper_index: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        with torch.device("meta"):
            net = EntropyNet(config)
        self.net = swap(net, empty_twin)
        self.register_buffer("step", torch.ones(QUALITIES, config.latents, dtype=torch.int16))
        self.register_buffer("hyper_step", torch.ones(QUALITIES, config.hyper, dtype=torch.int16))
        self.register_buffer("hyper_index", torch.zeros(QUALITIES, config.hyper, dtype=torch.uint8))

    @classmethod
    def from_float(
        cls, model: Model, levels: Tensor = PLAIN_LEVELS, moments: Mapping[str, Tensor] | None = None
    ) -> "IntegerEntropyNet":
        """Export a trained model.

        Args:
            model: the float model.
            levels: the level of each quality, float [100].
            moments: of the inputs of 1x1 convolutions, by their names in `model.entropy` (`rounding.input_moments`), to
                give most of them weights of 8 bits; None: all weights have 16 bits.

        Raises:
            ValueError: as `IntegerConv.from_weights` does, with the layer's name.
        """

        def twin(name: str, layer: Layer) -> nn.Module:
            if isinstance(layer, nn.Conv2d):
                if (
                    moments is None
                    or (heaviest := heaviest_weight(f"entropy.net.{name}", layer.kernel_size[0])) == HIGH
                ):
                    return IntegerConv.from_weights(*weights_of(layer))
                return IntegerConv.from_weights(*weights_of(layer), heaviest=heaviest, moments=moments[name])
            return IntegerQualityVector.from_float(layer, levels)

        self = cls(model.config)
        self.net = swap(copy.deepcopy(model.entropy).cpu(), twin)
        for buffer, vector in ((self.step, model.log_step), (self.hyper_step, model.hyper_log_step)):
            buffer.copy_((at_levels(vector, levels).exp() * 2**FRACTION_BITS).round().clamp(1, HIGH))
        index = at_levels(model.hyper_index, levels) * INDEX_UNIT
        # At least 1, because symbols with index 0 are not coded; hyperlatents are few, and each of them matters.
        self.hyper_index.copy_(index.round().clamp(1, INDEX_COUNT - 1))
        return self.eval()

    def floats(self, levels: Tensor = PLAIN_LEVELS) -> dict[str, Tensor]:
        """Return the float parameters that `from_float` was given, except for rounding and clamping.

        They are the state dict of a `Model` without its transforms.
        """
        state = {
            "log_step.knots": knots_of((self.step.double() / 2**FRACTION_BITS).log(), levels),
            "hyper_log_step.knots": knots_of((self.hyper_step.double() / 2**FRACTION_BITS).log(), levels),
            "hyper_index.knots": knots_of(self.hyper_index.double() / INDEX_UNIT, levels),
        }
        for name, module in self.net.named_modules():
            if isinstance(module, IntegerConv):
                state[f"entropy.{name}.weight"], state[f"entropy.{name}.bias"] = module.to_weights()
            elif isinstance(module, IntegerQualityVector):
                state[f"entropy.{name}.knots"] = knots_of(module.table / 2**FRACTION_BITS, levels)
        return {name: value.float() for name, value in state.items()}

    def check(self) -> None:
        """Raise ValueError if a value is out of its range, or an accumulator could overflow (FORMAT §7 and §8)."""
        check_integers({f"entropy.{name}": value.cpu().numpy() for name, value in self.state_dict().items()})

    def prior(self, z_hat: Tensor, q: Tensor, height: int, width: int) -> Tensor:
        """Hyperlatents float64 [B, Z, h/4, w/4] and q -> features [B, N, height, width], all int16.

        q is int64 [B], or a map of one picture, int64 [h/4, w/4]; also in `predict`.
        """
        return saturate16(self.net.prior(z_hat, q, height, width))

    def predict(self, k: int, prior: Tensor, y_hat: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Predict mean (in units of 2^-12) and index 0..63 of every latent: float64 [B, M, h, w] each.

        Only the values for the latents of step k are meaningful.
        """
        mean, head = self.net.step(k, prior, y_hat, q)
        index = (saturate16(head) * (INDEX_UNIT / 2**FRACTION_BITS) + 0.5).floor_().clamp_(0, INDEX_COUNT - 1)
        return saturate16(mean), index

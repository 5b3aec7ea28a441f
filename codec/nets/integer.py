"""The entropy nets in integers: the readable reference, exact on every device.

Float64 tensors carry the integers. Every product of an int16 weight and an int16 activation and every partial sum stays
below 2^31 (proved at export, FORMAT §8), far below 2^53; scaling by a power of two is exact too. So any order of
summation, any BLAS and any device give the same sums, and `floor` the same integers.

Every tensor between the layers is int16 with FRACTION_BITS = 12 fractional bits. A convolution's weights have a shift
per output channel: weight = w * 2^shift; result = saturate((sum + bias + 2^(shift-1)) >> shift).
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.cdf_tables import INDEX_COUNT
from ..coding.model_config import KNOTS, QUALITIES
from ..coding.model_tensors import ACCUMULATOR_LIMIT, HIGH, LOW, MAX_SHIFT, accumulator_bound, check_integers
from .layers import FRACTION_BITS, LEAK_BITS, Add, Leaky, QualityVector
from .model import INDEX_UNIT, EntropyNet, Model

PLAIN_LEVELS = torch.arange(1.0, QUALITIES + 1)  # of each quality, where nobody has calibrated them: the quality itself
_POWERS = torch.tensor([2.0**-shift for shift in range(MAX_SHIFT + 1)], dtype=torch.float64)


class IntegerConv(nn.Module):
    """1x1 or depthwise 3x3 convolution, as the module's text says. Weight int16, bias int32 [O], shift uint8 [O]."""

    def __init__(self, out_channels: int, in_per_group: int, kernel: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(out_channels, in_per_group, kernel, kernel, dtype=torch.int16))
        self.register_buffer("bias", torch.zeros(out_channels, dtype=torch.int32))
        self.register_buffer("shift", torch.zeros(out_channels, dtype=torch.uint8))

    @classmethod
    def from_float(cls, conv: nn.Conv2d) -> "IntegerConv":
        """Quantise with, per output channel, the largest shift for which no accumulator can overflow.

        Raises:
            ValueError: a channel's weights are too large for any shift.
        """
        w, b = conv.weight.detach().double().cpu(), conv.bias.detach().double().cpu()
        self = cls(w.shape[0], w.shape[1], w.shape[2])
        done = torch.zeros(len(w), dtype=torch.bool)
        for shift in range(MAX_SHIFT, -1, -1):
            wi, bi = (w * 2.0**shift).round(), (b * 2.0 ** (shift + FRACTION_BITS)).round()
            bound = torch.from_numpy(accumulator_bound(wi.numpy(), bi.numpy(), 2.0**shift / 2))
            fits = (bound < ACCUMULATOR_LIMIT) & (wi.abs().amax((1, 2, 3)) <= HIGH)
            take = fits & ~done
            self.weight[take] = wi[take].to(torch.int16)
            self.bias[take] = bi[take].to(torch.int32)
            self.shift[take] = shift
            done |= fits
        if not done.all():
            raise ValueError(f"{int((~done).sum())} output channels have weights too large for int16 arithmetic")
        return self

    def forward(self, x: Tensor) -> Tensor:
        scale = _POWERS.to(self.shift.device)[self.shift.long()]
        w = self.weight.double() * scale[:, None, None, None]
        b = self.bias.double() * scale + 0.5 * (self.shift > 0)
        if self.weight.shape[1:] == (1, 3, 3):
            out = _depthwise(x, w, b)
        else:
            out = torch.baddbmm(b[:, None], w[None, :, :, 0, 0].expand(len(x), -1, -1), x.flatten(2)).unflatten(
                2, x.shape[2:]
            )
        return out.floor_().clamp_(LOW, HIGH)


def _depthwise(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """3x3 depthwise convolution with zero padding, float64 (torch's own has no fast path for it)."""
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    out = b[:, None, None].expand_as(x).clone()
    for i in range(3):
        for j in range(3):
            out.addcmul_(padded[:, :, i : i + height, j : j + width], w[:, 0, i, j, None, None])
    return out


def to_fixed(x: Tensor) -> Tensor:
    """Floats -> float64 holding int16 in units of 2^-12, halves to even; NaN, which no file can express, -> 0."""
    return (x.double().nan_to_num(nan=0.0) * 2**FRACTION_BITS).round_().clamp_(LOW, HIGH)


def to_float(x: Tensor) -> Tensor:
    """Inverse of `to_fixed`: float32, exact."""
    return x.float() * 2.0**-FRACTION_BITS


class IntegerLeaky(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, (x * 2.0**-LEAK_BITS).floor_())


class IntegerAdd(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a + b).clamp_(LOW, HIGH)


class IntegerQualityVector(nn.Module):
    """A row of int16 for each quality; q is int64 [B], 1..100."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("table", torch.zeros(QUALITIES, channels, dtype=torch.int16))

    @classmethod
    def from_float(cls, vector: QualityVector, levels: Tensor = PLAIN_LEVELS) -> "IntegerQualityVector":
        self = cls(vector.knots.shape[1])
        self.table.copy_((at_levels(vector, levels) * 2**FRACTION_BITS).round().clamp(LOW, HIGH))
        return self

    def forward(self, q: Tensor) -> Tensor:
        return self.table[q - 1].double()[:, :, None, None]


def at_levels(vector: QualityVector, levels: Tensor = PLAIN_LEVELS) -> Tensor:
    """The vector at the level of each quality: float64 [100, C]."""
    vector = copy.deepcopy(vector).double().cpu()
    return vector(levels.double())[:, :, 0, 0].detach()


def knots_of(values: Tensor, levels: Tensor = PLAIN_LEVELS) -> Tensor:
    """Inverse of `at_levels`, by least squares: float64 [100, C] -> float64 [KNOTS, C]."""
    hats = QualityVector(KNOTS)
    hats.knots.data.copy_(torch.eye(KNOTS))
    return torch.linalg.lstsq(at_levels(hats, levels), values.double().cpu()).solution


def _swap(module: nn.Module, levels: Tensor | None) -> nn.Module:
    """Replace every float layer below `module` by its integer twin: quantised, or empty, to be filled from a file.

    Args:
        levels: of each quality, float [100]; None: the twins are empty.
    """
    empty = levels is None
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            twin = IntegerConv(*child.weight.shape[:3]) if empty else IntegerConv.from_float(child)
        elif isinstance(child, QualityVector):
            channels = child.knots.shape[1]
            twin = IntegerQualityVector(channels) if empty else IntegerQualityVector.from_float(child, levels)
        elif isinstance(child, Leaky):
            twin = IntegerLeaky()
        elif isinstance(child, Add):
            twin = IntegerAdd()
        else:
            _swap(child, levels)
            continue
        setattr(module, name, twin)
    return module


class IntegerEntropyNet(nn.Module):
    """All that decides a symbol's mean, step and table index, in integers.

    Buffers: step int16 [100, M] and hyper_step int16 [100, Z], quantisation steps in units of 2^-12, at least 1;
    hyper_index uint8 [100, Z].
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        with torch.device("meta"):
            net = EntropyNet(config)
        self.net = _swap(net, None)
        self.register_buffer("step", torch.ones(QUALITIES, config.latents, dtype=torch.int16))
        self.register_buffer("hyper_step", torch.ones(QUALITIES, config.hyper, dtype=torch.int16))
        self.register_buffer("hyper_index", torch.zeros(QUALITIES, config.hyper, dtype=torch.uint8))

    @classmethod
    def from_float(cls, model: Model, levels: Tensor = PLAIN_LEVELS) -> "IntegerEntropyNet":
        """Export a trained model, given the level of each quality, float [100].

        Raises ValueError as `IntegerConv.from_float` does.
        """
        self = cls(model.config)
        self.net = _swap(copy.deepcopy(model.entropy).cpu(), levels)
        for buffer, vector in ((self.step, model.log_step), (self.hyper_step, model.hyper_log_step)):
            buffer.copy_((at_levels(vector, levels).exp() * 2**FRACTION_BITS).round().clamp(1, HIGH))
        index = at_levels(model.hyper_index, levels) * INDEX_UNIT
        self.hyper_index.copy_(index.round().clamp(1, INDEX_COUNT - 1))  # never skipped: z is small and matters
        return self.eval()

    def floats(self, levels: Tensor = PLAIN_LEVELS) -> dict[str, Tensor]:
        """What `from_float` was given, but for rounding and clamping: the state of a `Model` without its transforms."""
        state = {
            "log_step.knots": knots_of((self.step.double() / 2**FRACTION_BITS).log(), levels),
            "hyper_log_step.knots": knots_of((self.hyper_step.double() / 2**FRACTION_BITS).log(), levels),
            "hyper_index.knots": knots_of(self.hyper_index.double() / INDEX_UNIT, levels),
        }
        for name, module in self.net.named_modules():
            if isinstance(module, IntegerConv):
                scale = torch.exp2(-module.shift.double())
                state[f"entropy.{name}.weight"] = module.weight * scale[:, None, None, None]
                state[f"entropy.{name}.bias"] = module.bias * scale / 2**FRACTION_BITS
            elif isinstance(module, IntegerQualityVector):
                state[f"entropy.{name}.knots"] = knots_of(module.table / 2**FRACTION_BITS, levels)
        return {name: value.float() for name, value in state.items()}

    def check(self) -> None:
        """Raise ValueError unless FORMAT §7 and §8 hold: ranges, and no accumulator that could overflow."""
        check_integers({f"entropy.{name}": value.cpu().numpy() for name, value in self.state_dict().items()})

    def prior(self, z_hat: Tensor, q: Tensor, height: int, width: int) -> Tensor:
        return self.net.prior(z_hat, q, height, width)

    def predict(self, k: int, prior: Tensor, y_hat: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (units of 2^-12) and index 0..63 of every latent, float64 [B, M, h, w]; only step k's are meant."""
        mean, index = self.net.step(k, prior, y_hat, q)
        index = (index * (INDEX_UNIT / 2**FRACTION_BITS) + 0.5).floor_().clamp_(0, INDEX_COUNT - 1)
        return mean, index

"""The operations all networks of aec are made of: 1x1 and depthwise convolution, leaky ReLU, add, pixel shuffle.

Two arithmetics share one description: the modules here compute in float for training, and `integer.py` swaps each of
`nn.Conv2d`, `Leaky`, the additions and `QualityVector` for a twin that computes the same on integers. That is why even
an addition is a module.
"""

from contextlib import ContextDecorator, suppress

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.model_config import KNOTS, TOP_LEVEL
from ..coding.threads import lock_across_forks

# Latents and every tensor inside the entropy nets are signed fixed point with 12 fractional bits in 16 bits, so they
# saturate at +-8. The float modules saturate too: training then sees what the integers will do.
FRACTION_BITS = 12
SATURATION = 8.0
LEAK_BITS = 3  # slope 2^-3 below zero: an arithmetic shift


def saturate(x: Tensor) -> Tensor:
    return x.clamp(-SATURATION, SATURATION)


class _ExactConvolutions(ContextDecorator):
    """The settings are the process's: the first thread to come in changes them, the last to leave undoes that."""

    def __init__(self) -> None:
        self.lock, self.users = lock_across_forks(), 0
        self.before: list[tuple[object, str, object]] = []

    def __enter__(self) -> None:
        with self.lock:
            self.users += 1
            cudnn = torch.backends.cudnn
            if self.users > 1 or not cudnn.is_available():
                return
            self._set(cudnn, "benchmark", False)  # else algorithms race on every new size, and not always the same wins
            with suppress(RuntimeError):  # torch refuses if the caller goes by the name below, which is torch 2.9's
                self._set(cudnn, "allow_tf32", False)
            if hasattr(cudnn, "conv") and cudnn.conv.fp32_precision == "tf32":
                self._set(cudnn.conv, "fp32_precision", "ieee")

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.users -= 1
            while not self.users and self.before:
                setattr(*self.before.pop())

    def _set(self, owner: object, name: str, value: object) -> None:
        self.before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)


# Context or decorator: float32 convolutions on CUDA stay float32, and the same in every call; cuDNN's default rounds
# inputs to 10 bits.
exact_convolutions = _ExactConvolutions()


def multiplies_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster there than float32. Processors without AVX512_BF16 take several times as long with it."""
    if device.type != "cpu":
        return True
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # private, and newer than the oldest torch
    return bool(torch.backends.mkldnn.enabled and known())


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """1x1 convolution, float [B, C, H, W] by [O, C, 1, 1] -> [B, O, H, W]; of float32 on a CPU always by oneDNN.

    torch itself goes by the number of threads: one thread gets another library's product, whose last bits differ, so
    that symbols could too, and which takes twice the time. In training, where no bits need to agree, it is a plain
    product of matrices, whose gradient takes a quarter of the time of a convolution's.
    """
    ours = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if ours and weight.requires_grad and torch.is_grad_enabled():
        return F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)
    if ours and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled:
        return torch.mkldnn_convolution(x, weight, bias, (0, 0), (1, 1), (1, 1), 1)
    return F.conv2d(x, weight, bias)


class Pointwise(nn.Conv2d):
    """`pointwise` as a layer."""

    bias: nn.Parameter

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return pointwise(x, weight, bias)


class Leaky(nn.Module):
    """Leaky ReLU with a slope that integers can take: 2^-LEAK_BITS."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, 2.0**-LEAK_BITS)


class Add(nn.Module):
    """Saturating addition of a tensor that is stored, first, and one that is fresh from a convolution."""

    def forward(self, stored: Tensor, fresh: Tensor) -> Tensor:
        return saturate(stored + fresh)


class AddVector(nn.Module):
    """Saturating addition of a quality vector. In floats it is `Add`; integers saturate elsewhere."""

    def forward(self, fresh: Tensor, vector: Tensor) -> Tensor:
        return saturate(fresh + vector)


class FreeAdd(nn.Module):
    """Addition in the transforms, which have no range to keep in floats. The sum has a's dtype.

    Under autocast a float32 vector would else turn the bf16 stream into float32, and all of it that is no product would
    take twice as long.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b.to(a.dtype)


class QualityVector(nn.Module):
    """One learned number per channel as a piecewise linear function of the level, which says how finely to code.

    `forward(level)` takes float [B], 1..MAX_LEVEL, and returns [B, C, 1, 1]. Beyond TOP_LEVEL the line between
    the last two knots goes on.
    """

    def __init__(self, channels: int, value: float = 0.0):
        super().__init__()
        self.knots = nn.Parameter(torch.full((KNOTS, channels), value))

    def forward(self, level: Tensor) -> Tensor:
        t = (level.to(self.knots.dtype) - 1) / (TOP_LEVEL - 1) * (KNOTS - 1)
        left = t.floor().clamp(0, KNOTS - 2).long()
        f = (t - left)[:, None]
        return (self.knots[left] * (1 - f) + self.knots[left + 1] * f)[:, :, None, None]


class Block(nn.Module):
    """Mix space, then channels: x + pw(dw3x3(act(pw x))), then x + pw(act(pw x)).

    Source: the depthwise blocks of DCVC-RT (arXiv:2502.20762, section 3), reduced to the allowed operations.
    """

    def __init__(self, channels: int, expansion: int = 2, add: type[nn.Module] = FreeAdd):
        super().__init__()
        wide = expansion * channels
        self.space_in = Pointwise(channels, channels)
        self.space = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.space_out = Pointwise(channels, channels)
        self.mix_in = Pointwise(channels, wide)
        self.mix_out = Pointwise(wide, channels)
        self.act = Leaky()
        self.add = add()
        for last in (self.space_out, self.mix_out):  # a fresh block is the identity
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.add(x, self.space_out(self.space(self.act(self.space_in(x)))))
        return self.add(x, self.mix_out(self.act(self.mix_in(x))))


def blocks(channels: int, n: int, add: type[nn.Module] = FreeAdd) -> nn.Sequential:
    return nn.Sequential(*(Block(channels, add=add) for _ in range(n)))

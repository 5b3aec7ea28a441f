"""The layers of all networks: 1x1 and depthwise convolution, leaky ReLU, addition, pixel shuffle, quality vectors.

The networks are described once, for two kinds of arithmetic. The modules here compute in floating point, for training.
`integer.py` replaces each `nn.Conv2d`, `Leaky`, addition and `QualityVector` by an integer version, called its twin.
This is why even an addition is a module.
"""

from contextlib import ContextDecorator, suppress

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding.model_config import KNOTS, TOP_LEVEL
from ..coding.threads import lock_across_forks

# Latents, and all tensors inside the entropy nets, are signed 16-bit fixed point with 12 fractional bits, so that they
# saturate at +-8. The float modules saturate too, so that training sees the same effect.
FRACTION_BITS = 12
SATURATION = 8.0
LEAK_BITS = 3  # slope 2^-3 below zero: an arithmetic shift


def saturate(x: Tensor) -> Tensor:
    return x.clamp(-SATURATION, SATURATION)


class _ExactConvolutions(ContextDecorator):
    """Changes settings of cuDNN for the process: the first thread that enters sets them, the last one restores them."""

    def __init__(self) -> None:
        self.lock, self.users = lock_across_forks(), 0
        self.before: list[tuple[object, str, object]] = []

    def __enter__(self) -> None:
        with self.lock:
            self.users += 1
            cudnn = torch.backends.cudnn
            if self.users > 1 or not cudnn.is_available():
                return
            # With benchmark, cuDNN times its algorithms for every new size, and may choose another one each time.
            self._set(cudnn, "benchmark", False)
            # torch raises RuntimeError if the caller has used the newer setting below, which came with torch 2.9.
            with suppress(RuntimeError):
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


# A context manager and decorator within which float32 convolutions on CUDA are computed in full float32, and in the
# same way in every call. By default, cuDNN rounds their inputs to 10 bits (TF32).
exact_convolutions = _ExactConvolutions()


def multiplies_bf16(device: torch.device) -> bool:
    """Return whether bf16 is faster than float32 on a device. On CPUs without AVX512_BF16 it is much slower."""
    if device.type != "cpu":
        return True
    # This function is private, and missing in the oldest versions of torch that we support.
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(torch.backends.mkldnn.enabled and known())


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """1x1 convolution, float [B, C, H, W] by [O, C, 1, 1] -> [B, O, H, W]. For float32 on a CPU it uses oneDNN.

    torch itself would choose by the number of threads: with one thread it uses another library, whose results differ in
    the last bits, so that symbols could differ too, and which takes twice the time. In training, where results need not
    be reproducible to the bit, a plain matrix product is used instead: its gradient takes a quarter of the time.
    """
    ours = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if ours and weight.requires_grad and torch.is_grad_enabled():
        return F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)
    if ours and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled:
        return torch.mkldnn_convolution(x, weight, bias, (0, 0), (1, 1), (1, 1), 1)
    return F.conv2d(x, weight, bias)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution layer with bias, computed by `pointwise`."""

    bias: nn.Parameter

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return pointwise(x, weight, bias)


class Leaky(nn.Module):
    """Leaky ReLU with the slope 2^-LEAK_BITS, which is a shift in integers."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, 2.0**-LEAK_BITS)


class Add(nn.Module):
    """Saturating addition of a stored tensor (the first argument) and the output of a convolution."""

    def forward(self, stored: Tensor, fresh: Tensor) -> Tensor:
        return saturate(stored + fresh)


class AddVector(nn.Module):
    """Saturating addition of a quality vector. It equals `Add` in floating point, but has another integer twin."""

    def forward(self, fresh: Tensor, vector: Tensor) -> Tensor:
        return saturate(fresh + vector)


class FreeAdd(nn.Module):
    """Addition without saturation, for the transforms, whose range is not fixed in floating point.

    The sum has the dtype of `a`. Otherwise, under autocast, adding a float32 vector to a bf16 tensor would give
    float32, and all following elementwise operations would take twice as long.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b.to(a.dtype)


class QualityVector(nn.Module):
    """One learned number for each channel, as a piecewise linear function of the level (`model_config`).

    `forward(level)` takes float [B], 1..MAX_LEVEL, and returns [B, C, 1, 1]. Above TOP_LEVEL, the line through the last
    two knots is continued.
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
    """A residual block: spatial mixing, x + pw(dw3x3(act(pw x))), and then channel mixing, x + pw(act(pw x)).

    pw is a 1x1 convolution, and dw3x3 a depthwise one.

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
        for last in (self.space_out, self.mix_out):  # so that a new block is the identity
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.add(x, self.space_out(self.space(self.act(self.space_in(x)))))
        return self.add(x, self.mix_out(self.act(self.mix_in(x))))


def blocks(channels: int, n: int, add: type[nn.Module] = FreeAdd) -> nn.Sequential:
    return nn.Sequential(*(Block(channels, add=add) for _ in range(n)))

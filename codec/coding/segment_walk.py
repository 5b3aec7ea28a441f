"""Walks: runs of the entropy nets over one tile, segment by segment (FORMAT §8). All implementations agree bit for bit.

`ReferenceWalk` follows the text of the format with torch's operations, on any device. It is the oracle of the tests,
and the fallback. `CpuWalk` and `segment_walk_cuda.CudaWalk` run the C++ and CUDA code in csrc.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .. import _C
from ..nets.coding_order import positions
from ..nets.integer import IntegerEntropyNet, quality_tensor, rows_of, to_fixed, to_float
from ..nets.layers import FRACTION_BITS
from . import rans, rans_cuda
from .model_config import HYPER_STRIDE
from .model_tensors import HIGH, LOW
from .quality_map import Quality
from .segment_walk_cuda import CudaNets, CudaWalk
from .threads import available

NETS = ("native", "reference")  # "native" is the fastest implementation for the net's device


class Walk(Protocol):
    """A run of the entropy nets over one tile, by an encoder or a decoder.

    Segment 0 holds the hyperlatents, and segments 1..steps the latents of the context steps. If there are two passes,
    the context steps come twice, first for some of the channels and then for the others. The segments are processed in
    this order: for each k, first `predict(k)`, then `choose(k)` in an encoder or `accept(k)` in a decoder. After the
    last segment, `latents()` may be called. A call out of order raises ValueError.

    All tensors are on the walk's device. Within a segment, values are ordered by channel, row, column.
    """

    segments: int  # number of segments: 1 + steps * passes
    device: torch.device

    def predict(self, k: int) -> Tensor:
        """Return the CDF table index of each symbol in segment k: uint8 [n_k]."""

    def choose(self, k: int, values: Tensor, dead_zones: Tensor) -> Tensor:
        """In an encoder: choose the symbols for `values`, and continue with them as `accept` would.

        With v = (value - mean) / step, the symbol is the integer nearest to v, except that it is 0 up to
        |v| = 0.5 + dead zone.

        Args:
            k: the segment.
            values: float32, z [Z, ceil(h/4), ceil(w/4)] for k = 0, else y [M, h, w]. A NaN counts as 0.
            dead_zones: for each index, int16 [64], at least 0, in units of 2^-12; zeros choose the nearest symbols.

        Returns:
            The symbols, int16 [n_k].
        """

    def accept(self, k: int, symbols: Tensor) -> None:
        """In a decoder: continue with the decoded symbols of segment k, int16 [n_k]."""

    def latents(self) -> Tensor:
        """Return the latents y as the decoder reconstructs them: float32 [M, h, w], multiples of 2^-12."""


class Start(Protocol):
    """Starts a walk."""

    def __call__(self, quality: Quality, height: int, width: int, first: Sequence[bool] = (), /) -> Walk:
        """Start one, given the quality, rows and columns of latents, and which channels the first pass codes.

        `first` has an item for each channel; it is empty if there is one pass.
        """


def starter(net: IntegerEntropyNet, nets: str) -> Start:
    """Choose the implementation for a net, and return a function that starts walks.

    On a processor without vector instructions the reference is used, because its BLAS is four times as fast as the
    plain C++ code.

    Args:
        net: the entropy nets, on their device.
        nets: one of NETS.
    """
    device = net.step.device
    if nets == "native" and device.type == "cpu" and _C.isa() != "scalar":
        return partial(CpuWalk, cpu_nets(net))
    if nets == "native" and rans_cuda.serves(device):
        on_device = CudaNets(net.config, cpu_nets(net), device)
        if on_device.fits:
            # The kernels know one quality and one pass only. Pictures with more are rare, and the reference codes them.
            return lambda quality, height, width, first=(): (
                CudaWalk(on_device, quality, height, width)
                if isinstance(quality, int) and not first
                else ReferenceWalk(net, quality, height, width, first)
            )
    return partial(ReferenceWalk, net)


class ReferenceWalk:
    """The implementation of `Walk` by `IntegerEntropyNet`, which keeps integers in float64, on the net's device."""

    def __init__(self, net: IntegerEntropyNet, quality: Quality, height: int, width: int, first: Sequence[bool] = ()):
        config, device = net.config, net.step.device
        self._first = torch.tensor(first, dtype=torch.bool, device=device)
        self.segments, self.device = 1 + config.steps * (2 if first else 1), device
        self._net, self._q = net, quality_tensor(quality, device)
        z_shape = (config.hyper, -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE))
        self._z_hat = torch.zeros(1, *z_shape, dtype=torch.float64, device=device)
        self._y_hat = torch.zeros(1, config.latents, height, width, dtype=torch.float64, device=device)
        self._order = [(call, k) for k in range(self.segments) for call in ("predict", "fill")]

    def _expect(self, call: str, k: int) -> None:
        if self._order[:1] != [(call, k)]:
            raise ValueError(f"{call} segment {k} out of order")

    def predict(self, k: int) -> Tensor:
        self._expect("predict", k)
        self._order.pop(0)
        net = self._net
        if k == 0:
            self._target, steps = self._z_hat, net.hyper_step
            self._position = torch.arange(self._z_hat.numel(), device=self._q.device)
            self._mean = torch.zeros_like(self._z_hat).flatten()
            index = rows_of(net.hyper_index, self._q, self._z_hat).expand_as(self._z_hat).flatten()
        else:
            if k == 1:
                self._prior = net.prior(self._z_hat, self._q, *self._y_hat.shape[2:])
            self._target, config = self._y_hat, net.config
            second, step = divmod(k - 1, config.steps)
            of_steps = positions(config.steps, tuple(self._y_hat.shape[1:]), self._q.device)
            self._position, before = of_steps[step], self._y_hat
            if second:  # what the first pass has read of this step and of later ones is not looked at
                before = self._y_hat.clone()
                before.view(-1)[torch.cat(of_steps[step:])] = 0
            mean, index = (t.flatten() for t in net.predict(step, self._prior, before, self._q))
            self._mean, index, steps = mean[self._position], index[self._position], net.step
            if len(self._first):
                height, width = self._y_hat.shape[2:]
                self._coded = self._first[self._position // (height * width)] ^ bool(second)
                index = index * self._coded
        self._step = rows_of(steps, self._q, self._target).expand_as(self._target).flatten()[self._position]
        self._index = index
        return index.to(torch.uint8)

    def choose(self, k: int, values: Tensor, dead_zones: Tensor) -> Tensor:
        self._expect("fill", k)
        _check(values, torch.float32, self._target.shape[1:])
        _check(dead_zones, torch.int16, torch.Size([rans.INDEX_COUNT]))
        difference = to_fixed(values).flatten()[self._position] - self._mean
        s = (difference / self._step).round_().clamp_(-rans.MAX_SYMBOL, rans.MAX_SYMBOL)
        # This compares products instead of a quotient, whose rounding would matter at the edge of a dead zone.
        zone = self._step * (2**FRACTION_BITS // 2 + dead_zones.double()[self._index.long()])
        s *= (self._index > 0) & (difference.abs() * 2**FRACTION_BITS > zone)
        self._fill(s)
        return s.to(torch.int16)

    def accept(self, k: int, symbols: Tensor) -> None:
        self._expect("fill", k)
        _check(symbols, torch.int16, self._position.shape)
        self._fill(symbols.double())

    def _fill(self, symbols: Tensor) -> None:
        k = self._order.pop(0)[1]
        values = (self._mean + symbols * self._step).clamp_(LOW, HIGH)
        if k and len(self._first):  # the latents of the other pass stay as they are
            values = torch.where(self._coded, values, self._target.view(-1)[self._position])
        self._target.view(-1)[self._position] = values

    def latents(self) -> Tensor:
        if self._order:
            raise ValueError(f"segments are left: {self._order}")
        return to_float(self._y_hat[0])


def cpu_nets(net: IntegerEntropyNet) -> _C.Nets:
    """Pack a net for `CpuWalk`. Raises ValueError if `IntegerEntropyNet.check` would."""
    c = net.config
    arrays = {name: tensor.cpu().contiguous().numpy() for name, tensor in net.state_dict().items()}
    return _C.Nets(arrays, latents=c.latents, hyper=c.hyper, context=c.context, steps=c.steps)


class CpuWalk:
    """The implementation of `Walk` by csrc/engine/nets_cpu.h, on as many threads as are available."""

    def __init__(self, nets: _C.Nets, quality: Quality, height: int, width: int, first: Sequence[bool] = ()):
        self._handle = _C.Walk(nets, quality, height, width, available(), first)
        self.segments, self.device = self._handle.segments, torch.device("cpu")

    def predict(self, k: int) -> Tensor:
        index = np.empty(self._handle.segment_size(k), np.uint8)
        self._handle.predict(k, index)
        return torch.from_numpy(index)

    def choose(self, k: int, values: Tensor, dead_zones: Tensor) -> Tensor:
        if values.dtype != torch.float32 or values.dim() != 3:  # the C++ code checks the sizes
            raise ValueError(f"expected torch.float32 of 3 dimensions, not {values.dtype} {list(values.shape)}")
        symbols = np.empty(self._handle.segment_size(k), np.int16)
        fixed = to_fixed(values).permute(1, 2, 0).to(torch.int16).contiguous()
        self._handle.choose(k, fixed.numpy(), dead_zones.numpy(), symbols)
        return torch.from_numpy(symbols)

    def accept(self, k: int, symbols: Tensor) -> None:
        self._handle.accept(k, symbols.contiguous().numpy())

    def latents(self) -> Tensor:
        return to_float(torch.from_numpy(self._handle.latents()).permute(2, 0, 1))


def _check(tensor: Tensor, dtype: torch.dtype, shape: torch.Size) -> None:
    if tensor.dtype != dtype or tensor.shape != shape:
        found = f"{str(tensor.dtype)} {list(tensor.shape)}"
        raise ValueError(f"expected {dtype} {list(shape)}, not {found}")

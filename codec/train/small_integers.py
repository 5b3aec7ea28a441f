"""From a trained autoencoder's `nn.Sequential` to the integer layers of `small.layers`.

Each activation gets a power-of-two unit, from the largest value that a set of pictures produces, with room for twice as
much. Weights get the shift with which the largest of them just fits int16.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..family.member import Last, Repeat, Rows, TransposedOf
from ..small.layers import LARGEST, TABLE

MARGIN = 2.0
MOST_FRACTION = 14  # fraction bits of an activation; more would not be seen in 8-bit samples
STATE_UNIT = 2.0**-14  # of a recurrent net's state
GATE_UNIT = 2.0**-10  # of the values that its sigmoid and tanh take
REACH = 8.0  # tables reach from -8 to 8

Specs = list[dict[str, Any]]
Tensors = dict[str, np.ndarray]


def unit_of(values: Tensor) -> float:
    """Return the power of two that an integer of these activations stands for."""
    largest = MARGIN * max(float(values.abs().max()), 1e-6)
    return 2.0 ** -min(MOST_FRACTION, math.floor(math.log2(LARGEST / largest)))


def _rounded_weights(weight: Any, bias: Any, given: float, made: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Return weight int16, bias int64 and shift, for inputs of the unit `given` and outputs of the unit `made`."""
    relative = weight.detach().double().cpu().numpy() * (given / made)
    shift = math.floor(math.log2(LARGEST / max(np.abs(relative).max(), 2.0**-20)))
    offset = np.rint(bias.detach().double().cpu().numpy() / made * 2.0**shift).astype(np.int64)
    return np.ascontiguousarray(np.rint(relative * 2.0**shift), np.int16), offset, shift


def _table(function: nn.Module) -> np.ndarray:
    """The values of a sigmoid or tanh at TABLE places between -REACH and REACH, as int16 of 14 fraction bits."""
    places = (torch.arange(TABLE, dtype=torch.float64) - TABLE // 2) * (2 * REACH / TABLE)
    return np.rint(function(places).numpy() * 2**14).astype(np.int16)


@torch.no_grad()
def integers(net: nn.Sequential, x: Tensor, unit: float, name: str) -> tuple[Specs, Tensors, float]:
    """Turn a net into integer layers. A sigmoid at its very end is left out, for `thresholds` does its work.

    Args:
        net: of the layers of `family.member` and of torch that `small.layers` knows.
        x: inputs, float [N, ..], which show how large the activations become.
        unit: what an integer of the input stands for.
        name: "encoder" or "decoder", with which the names of the tensors begin.

    Returns:
        (descriptions of the layers, their tensors, what an integer of the output stands for)

    Raises:
        ValueError: a layer is of another kind.
    """
    specs: Specs = []
    tensors: Tensors = {}
    modules = list(net)
    if name == "decoder" and isinstance(modules[-1], nn.Sigmoid):
        modules.pop()
    for module in modules:
        x = module(x)
        place = f"{name}.{len(specs)}"
        if isinstance(module, (nn.Linear, TransposedOf, nn.Conv2d, nn.ConvTranspose2d)):
            _check_geometry(module)
            made = unit_of(x)
            weight, bias, shift = _rounded_weights(module.weight, module.bias, unit, made)
            kinds = {nn.Conv2d: "conv", nn.ConvTranspose2d: "transposed"}
            specs.append({"kind": kinds.get(type(module), "dense"), "shift": shift})
            tensors |= {f"{place}.weight": weight, f"{place}.bias": bias}
            unit = made
        elif isinstance(module, (nn.Sigmoid, nn.Tanh)):
            shift = round(math.log2(2 * REACH / TABLE / unit))
            specs.append({"kind": "table", "shift": shift})
            tensors[f"{place}.table"] = _table(module)
            unit = 2.0**-14
        elif isinstance(module, Rows):
            spec, parts = _gru(module.gru, unit)
            specs.append(spec)
            tensors |= {f"{place}.{key}": value for key, value in parts.items()}
            unit = STATE_UNIT
        elif isinstance(module, nn.ReLU):
            specs.append({"kind": "relu"})
        elif isinstance(module, nn.MaxPool2d):
            specs.append({"kind": "pool"})
        elif isinstance(module, (nn.Flatten, nn.Unflatten)):
            specs.append({"kind": "reshape", "shape": list(x.shape[1:])})
        elif isinstance(module, Last):
            specs.append({"kind": "last"})
        elif isinstance(module, Repeat):
            specs.append({"kind": "repeat", "times": module.times})
        else:
            raise ValueError(f"{type(module).__name__}: there is no integer layer of this kind")
    return specs, tensors, unit


def _check_geometry(module: nn.Module) -> None:
    """Raise ValueError if a convolution has another stride, padding or kernel than its integer layer."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        size = module.kernel_size[0]
        # (kernel, stride, padding), as they must be
        right = (4, 2, 1) if isinstance(module, nn.ConvTranspose2d) else (size | 1, 1, size // 2)
        found = {(k, s, p) for k, s, p in zip(module.kernel_size, module.stride, module.padding, strict=True)}
        if found != {right} or {*module.dilation, module.groups} != {1} or any(module.output_padding):
            raise ValueError(f"{module}: there is no integer layer of this geometry")


def _gru(gru: nn.GRU, unit: float) -> tuple[dict[str, Any], Tensors]:
    weight, bias, input_shift = _rounded_weights(gru.weight_ih_l0, gru.bias_ih_l0, unit, GATE_UNIT)
    deep, deep_bias, state_shift = _rounded_weights(gru.weight_hh_l0, gru.bias_hh_l0, STATE_UNIT, GATE_UNIT)
    gate_shift = round(math.log2(2 * REACH / TABLE / GATE_UNIT))
    spec = {"kind": "gru", "input_shift": input_shift, "state_shift": state_shift, "gate_shift": gate_shift}
    parts = {"input.weight": weight, "input.bias": bias, "state.weight": deep, "state.bias": deep_bias}
    return spec, parts | {"sigmoid.table": _table(nn.Sigmoid()), "tanh.table": _table(nn.Tanh())}


def thresholds(last: nn.Module, unit: float) -> np.ndarray:
    """Return the integers at which the sample of a decoder's output rises by 1: int16 [255].

    Args:
        last: the decoder's last layer. If it is a sigmoid, the integer net ends before it, and its output is what the
            sigmoid would be given; else the output is samples in 0..1.
        unit: what an integer of the output stands for.
    """
    edges = (np.arange(1, 256) - 0.5) / 255
    if isinstance(last, nn.Sigmoid):
        edges = np.log(edges / (1 - edges))
    return np.ceil(edges / unit).clip(-LARGEST, LARGEST).astype(np.int16)

"""Nets of integers, run exactly by numpy: the same result on every machine (COLLECTION.md §4).

Activations are int16 and weights are int16, but both are kept in float64 arrays, because then numpy multiplies matrices
by BLAS. That is exact: every sum of products is an integer below 2^52 (checked when a net is loaded), so no order of
summation rounds anything. A scale is always a power of two, and rounding is `floor(x / 2^shift + 1/2)`.

A net is a list of layers of the kinds in LAYERS. Each one is described in the model's file by its kind and a few
integers, and checked against the shapes of what it is given before anything runs.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LARGEST = 32767  # activations saturate at +-LARGEST
TABLE = 4096  # entries of the table of a sigmoid or a tanh
EXACT = 2**52
MOST_LAYERS = 32
MOST_KERNEL = 15
MOST_ACTIVATIONS = 2**20  # values of one picture between two layers
Shape = tuple[int, ...]


def rounded(x: np.ndarray, shift: int) -> np.ndarray:
    """Divide by 2^shift, round to nearest (halves up), and saturate to int16; float64 arrays of integers."""
    return np.floor(x * 2.0**-shift + 0.5).clip(-LARGEST, LARGEST)


def _need(right: bool, message: str) -> None:
    if not right:
        raise ValueError(message)


def _shift(spec: Mapping[str, Any], name: str = "shift") -> int:
    value = spec[name]
    _need(type(value) is int and -30 <= value <= 50, f"{name} {value!r}: allowed are -30..50")
    return value


def _prove(weight: np.ndarray, bias: np.ndarray, axes: tuple[int, ...]) -> None:
    """Check that no sum of a layer can leave the integers that float64 holds exactly."""
    most = np.abs(weight.astype(np.float64)).sum(axes) * LARGEST + np.abs(bias.astype(np.float64)) + LARGEST
    _need(bool((most < EXACT).all()), "its sums may leave the range of exact integers")


def _weights(tensors: Mapping[str, np.ndarray], name: str, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    right = weight.dtype == np.int16 and bias.dtype == np.int64 and weight.ndim == ndim and bias.ndim == 1
    _need(right and weight.size > 0, f"{name}: weights {weight.dtype} {list(weight.shape)}, bias {bias.dtype}")
    return weight, bias


class Layer(ABC):
    """One layer: it checks itself against the shape of its input when it is made, and then runs.

    Args:
        spec: its `kind`, its shifts and its sizes.
        tensors: of the model; its own begin with `name`.
        shape: of one input, without the axis of the batch.

    Attributes:
        shape: of one output.
    """

    shape: Shape

    @abstractmethod
    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape): ...

    @abstractmethod
    def __call__(self, x: np.ndarray) -> np.ndarray: ...


class Dense(Layer):
    """A matrix on the last axis: [.., in] -> [.., out]."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        weight, bias = _weights(tensors, name, 2)
        _need(weight.shape[1] == shape[-1] and len(bias) == len(weight), f"{name}: {weight.shape} for {shape}")
        _prove(weight, bias, (1,))
        self.shift, self.bias = _shift(spec), bias.astype(np.float64)
        self.weight = np.ascontiguousarray(weight.T, np.float64)
        self.shape = (*shape[:-1], len(weight))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return rounded(x @ self.weight + self.bias, self.shift)


class Conv(Layer):
    """A convolution of odd kernel and stride 1, with zeros around: [C, H, W] -> [D, H, W]."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        weight, bias = _weights(tensors, name, 4)  # [D, C, k, k]
        _need(len(shape) == 3 and weight.shape[1] == shape[0], f"{name}: {weight.shape} for {shape}")
        kernel = weight.shape[2]
        _need(kernel == weight.shape[3] and kernel % 2 == 1 and kernel <= MOST_KERNEL, f"{name}: {weight.shape}")
        _need(len(bias) == len(weight), f"{name}: {len(bias)} biases for {len(weight)} channels")
        _prove(weight, bias, (1, 2, 3))
        self.shift, self.bias = _shift(spec), bias.astype(np.float64)[:, None, None]
        self.kernel = kernel
        self.weight = weight.transpose(2, 3, 0, 1).astype(np.float64)  # [k, k, D, C]
        self.shape = (len(weight), *shape[1:])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        n, _, height, width = x.shape
        edge = self.kernel // 2
        wide = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
        total = np.zeros((n, self.shape[0], height * width))
        for i in range(self.kernel):
            for j in range(self.kernel):
                part = wide[:, :, i : i + height, j : j + width].reshape(n, x.shape[1], -1)
                total += self.weight[i, j] @ part
        return rounded(total.reshape(n, -1, height, width) + self.bias, self.shift)


class Transposed(Layer):
    """A transposed convolution of kernel 4, stride 2 and padding 1: [C, H, W] -> [D, 2 H, 2 W]."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        weight, bias = _weights(tensors, name, 4)  # [C, D, 4, 4]
        _need(len(shape) == 3 and weight.shape[0] == shape[0], f"{name}: {weight.shape} for {shape}")
        _need(weight.shape[2:] == (4, 4) and len(bias) == weight.shape[1], f"{name}: kernel {weight.shape[2:]}")
        _prove(weight, bias, (0, 2, 3))
        self.shift, self.bias = _shift(spec), bias.astype(np.float64)[:, None, None]
        self.weight = weight.transpose(2, 3, 1, 0).astype(np.float64)  # [4, 4, D, C]
        self.shape = (weight.shape[1], 2 * shape[1], 2 * shape[2])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        n, channels, height, width = x.shape
        flat = x.reshape(n, channels, -1)
        total = np.zeros((n, self.shape[0], 2 * height + 2, 2 * width + 2))
        for i in range(4):
            for j in range(4):
                part = (self.weight[i, j] @ flat).reshape(n, -1, height, width)
                total[:, :, i : i + 2 * height : 2, j : j + 2 * width : 2] += part
        return rounded(total[:, :, 1:-1, 1:-1] + self.bias, self.shift)


class Relu(Layer):
    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        self.shape = shape

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x.clip(0)


class Pool(Layer):
    """The largest of each square of 2x2: [C, H, W] -> [C, H/2, W/2]; sides must be even."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        _need(len(shape) == 3 and shape[1] % 2 == shape[2] % 2 == 0, f"{name}: pools {shape}, not [C, even, even]")
        self.shape = (shape[0], shape[1] // 2, shape[2] // 2)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        n, channels, height, width = x.shape
        return x.reshape(n, channels, height // 2, 2, width // 2, 2).max((3, 5))


class Reshape(Layer):
    """The same values in another shape."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        self.shape = tuple(spec["shape"])
        right = 1 <= len(self.shape) <= 3 and all(type(side) is int and side > 0 for side in self.shape)
        _need(right and math.prod(self.shape) == math.prod(shape), f"{name}: {shape} as {self.shape}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), *self.shape)


class Table(Layer):
    """A function of each value, such as a sigmoid, by a table of TABLE entries around 0."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        table = tensors[f"{name}.table"]
        right = table.dtype == np.int16 and table.shape == (TABLE,)
        _need(right, f"{name}: a table of {table.dtype} {list(table.shape)}, not int16 [{TABLE}]")
        _need(int(table.min()) >= -LARGEST, f"{name}: a table of values below {-LARGEST}")
        self.table = table.astype(np.float64)
        self.shift, self.shape = _shift(spec), shape

    def __call__(self, x: np.ndarray) -> np.ndarray:
        place = np.floor(x * 2.0**-self.shift + 0.5).clip(-TABLE // 2, TABLE // 2 - 1)
        return self.table[(place + TABLE // 2).astype(np.intp)]


class Gru(Layer):
    """A gated recurrent unit over rows: [T, in] -> [T, hidden] (Cho 2014, arXiv:1406.1078, as torch computes it).

    The state has 14 fraction bits, as the tables of its sigmoid and tanh give it.
    """

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        wide, bias = _weights(tensors, f"{name}.input", 2)  # [3 hidden, in]
        deep, deep_bias = _weights(tensors, f"{name}.state", 2)  # [3 hidden, hidden]
        hidden = deep.shape[1]
        right = len(shape) == 2 and wide.shape == (3 * hidden, shape[1]) and deep.shape == (3 * hidden, hidden)
        _need(right and len(bias) == len(deep_bias) == 3 * hidden, f"{name}: {wide.shape}, {deep.shape} for {shape}")
        _prove(wide, bias, (1,))
        _prove(deep, deep_bias, (1,))
        self.input, self.bias = np.ascontiguousarray(wide.T, np.float64), bias.astype(np.float64)
        self.state, self.state_bias = np.ascontiguousarray(deep.T, np.float64), deep_bias.astype(np.float64)
        self.input_shift, self.state_shift = _shift(spec, "input_shift"), _shift(spec, "state_shift")
        self.sigmoid = Table({"shift": spec["gate_shift"]}, tensors, f"{name}.sigmoid", shape)
        self.tanh = Table({"shift": spec["gate_shift"]}, tensors, f"{name}.tanh", shape)
        self.hidden = hidden
        self.shape = (shape[0], hidden)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        state, states, h = np.zeros((len(x), self.hidden)), [], self.hidden
        given = rounded(x @ self.input + self.bias, self.input_shift)
        for t in range(x.shape[1]):
            row, old = given[:, t], rounded(state @ self.state + self.state_bias, self.state_shift)
            reset, update = self.sigmoid(row[:, :h] + old[:, :h]), self.sigmoid(row[:, h : 2 * h] + old[:, h : 2 * h])
            new = self.tanh(row[:, 2 * h :] + rounded(reset * old[:, 2 * h :], 14))
            state = rounded(new * 2**14 + update * (state - new), 14)
            states.append(state)
        return np.stack(states, 1)


class Last(Layer):
    """The last row: [T, C] -> [C]."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        _need(len(shape) == 2, f"{name}: the last row of {shape}")
        self.shape = shape[1:]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x[:, -1]


class Repeat(Layer):
    """The same row many times: [C] -> [T, C]."""

    def __init__(self, spec: Mapping[str, Any], tensors: Mapping[str, np.ndarray], name: str, shape: Shape):
        self.times = spec["times"]
        _need(len(shape) == 1 and type(self.times) is int and 1 <= self.times <= 1024, f"{name}: repeats {shape}")
        self.shape = (self.times, *shape)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.repeat(x[:, None], self.times, 1)


LAYERS: dict[str, type[Layer]] = {
    "dense": Dense,
    "conv": Conv,
    "transposed": Transposed,
    "relu": Relu,
    "pool": Pool,
    "reshape": Reshape,
    "table": Table,
    "gru": Gru,
    "last": Last,
    "repeat": Repeat,
}


class Net:
    """A list of layers, checked and ready to run.

    Args:
        specs: the description of each layer: its `kind`, a key of LAYERS, and its shifts and sizes.
        tensors: of the model; those of layer i begin with "<name>.<i>".
        name: "encoder" or "decoder".
        shape: of one input, without the axis of the batch.

    Attributes:
        shape: of one output.
        largest: the largest number of values between two layers, input and output included.

    Raises:
        KeyError, TypeError, ValueError: a layer does not fit (the message names it).
    """

    def __init__(
        self, specs: Sequence[Mapping[str, Any]], tensors: Mapping[str, np.ndarray], name: str, shape: Sequence[int]
    ):
        _need(len(specs) <= MOST_LAYERS, f"{name} of {len(specs)} layers: at most {MOST_LAYERS} are allowed")
        self.layers: list[Layer] = []
        self.shape: Shape = tuple(shape)
        self.largest = math.prod(self.shape)
        for i, spec in enumerate(specs):
            layer = LAYERS[spec["kind"]](spec, tensors, f"{name}.{i}", self.shape)
            self.layers.append(layer)
            self.shape = layer.shape
            self.largest = max(self.largest, math.prod(self.shape))
            _need(self.largest <= MOST_ACTIVATIONS, f"{name}.{i}: {self.shape} is too large")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Run the net on a batch: float64 [N, *shape], integers in -32767..32767; and returns such an array."""
        for layer in self.layers:
            x = layer(x)
        return x

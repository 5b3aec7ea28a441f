"""Integer nets: like the float nets they come from, and exactly what COLLECTION.md §4 says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from codec.family.linear import Tied
from codec.family.member import Last, Repeat, Rows
from codec.small import layers
from codec.small.layers import LARGEST, Net
from codec.train.small_integers import integers, thresholds

# ------------------------------------------------------------------ beside their torch twins

TWINS = {
    "dense": ((30,), lambda: [nn.Linear(30, 20)]),
    "dense of rows": ((4, 30), lambda: [nn.Linear(30, 20), nn.ReLU()]),
    "conv": ((3, 8, 6), lambda: [nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]),
    "conv of 5": ((2, 8, 8), lambda: [nn.Conv2d(2, 4, 5, padding=2)]),
    "transposed": ((3, 4, 5), lambda: [nn.ConvTranspose2d(3, 4, 4, 2, 1)]),
    "sigmoid": ((30,), lambda: [nn.Linear(30, 20), nn.Sigmoid(), nn.Linear(20, 7)]),
    "tanh": ((30,), lambda: [nn.Linear(30, 20), nn.Tanh()]),
    "reshape": ((2, 3, 4), lambda: [nn.Flatten(), nn.Linear(24, 24), nn.Unflatten(1, (4, 6))]),
    "gru": ((7, 6), lambda: [Rows(6, 9), Last(), nn.Linear(9, 4)]),
    "gru that writes": ((6,), lambda: [Repeat(7), Rows(6, 9), nn.Linear(9, 4)]),
}


@pytest.mark.parametrize("kind", TWINS)
def test_integer_net_is_close_to_its_torch_twin(kind):
    """Within 1 % of the largest output: weights and units have at least 14 bits, and tables steps of 2^-8."""
    torch.manual_seed(1)
    shape, make = TWINS[kind]
    net = nn.Sequential(*make()).eval()
    x = torch.rand(40, *shape)
    specs, tensors, unit = integers(net, x, 1 / 255, "encoder")
    given_ = (x * 255).round()
    with torch.no_grad():
        wanted = net(given_ / 255).numpy()
    made = Net(specs, tensors, "encoder", shape)(given_.double().numpy()) * unit
    assert made.shape == wanted.shape
    assert np.abs(made - wanted).max() <= 0.01 * np.abs(wanted).max()


def test_tied_decoder_is_close_to_its_torch_twin():
    member = Tied((1, 4, 4), 5)
    z = torch.randn(40, 5)
    specs, tensors, unit = integers(member.decoder, z, 2.0**-10, "decoder")
    with torch.no_grad():
        wanted = member.decoder(z).numpy()
    made = Net(specs, tensors, "decoder", (5,))(np.rint(z.double().numpy() * 2**10)) * unit
    assert np.abs(made - wanted).max() <= 0.01 * np.abs(wanted).max()


def test_a_sigmoid_at_the_end_becomes_thresholds():
    last = nn.Sigmoid()
    values = torch.arange(-9000, 9000)
    samples = np.searchsorted(thresholds(last, 2.0**-10), values.numpy(), side="right")
    wanted = (255 * last(values.double() * 2.0**-10)).numpy()
    assert np.abs(samples - wanted).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(1, 1, 3, stride=2, padding=1),
        nn.Conv2d(1, 1, 3, padding=2, dilation=2),
        nn.ConvTranspose2d(1, 1, 2, 2),
        nn.LeakyReLU(),
    ],
)
def test_a_layer_without_an_integer_twin_is_refused(layer):
    with pytest.raises(ValueError, match="no integer layer"):
        integers(nn.Sequential(layer), torch.rand(2, 1, 8, 8), 1 / 255, "encoder")


# ------------------------------------------------------------------ exactly, beside integers of Python


def r(x: int, shift: int) -> int:
    """R(x, s) of COLLECTION.md."""
    whole = (2 * x + (1 << shift)) >> shift + 1 if shift >= 0 else x << -shift
    return max(-LARGEST, min(LARGEST, whole))


def look_up(table, x: int, shift: int) -> int:
    whole = (2 * x + (1 << shift)) >> shift + 1 if shift >= 0 else x << -shift
    return int(table[max(-2048, min(2047, whole)) + 2048])


def dense(x, weight, bias, shift):
    return [
        r(sum(int(w) * v for w, v in zip(row, x, strict=True)) + int(b), shift)
        for row, b in zip(weight, bias, strict=True)
    ]


def conv(x, weight, bias, shift):
    c, height, width = x.shape
    d, _, k, _ = weight.shape
    out = np.zeros((d, height, width), np.int64)
    for o, i, j in np.ndindex(out.shape):
        total = int(bias[o])
        for a, m, n in np.ndindex(c, k, k):
            y, z = i + m - k // 2, j + n - k // 2
            if 0 <= y < height and 0 <= z < width:
                total += int(weight[o, a, m, n]) * int(x[a, y, z])
        out[o, i, j] = r(total, shift)
    return out


def transposed(x, weight, bias, shift):
    c, height, width = x.shape
    d = weight.shape[1]
    sums = [[[int(bias[o])] * (2 * width) for _ in range(2 * height)] for o in range(d)]
    for a, i, j, o, m, n in np.ndindex(c, height, width, d, 4, 4):
        y, z = 2 * i + m - 1, 2 * j + n - 1
        if 0 <= y < 2 * height and 0 <= z < 2 * width:
            sums[o][y][z] += int(weight[a, o, m, n]) * int(x[a, i, j])
    return np.array([[[r(v, shift) for v in row] for row in plane] for plane in sums])


def gru(x, wide, bias, deep, deep_bias, spec, sigmoid, tanh):
    n, state, out = deep.shape[1], [0] * deep.shape[1], []
    for row in x:
        g = dense([int(v) for v in row], wide, bias, spec["input_shift"])
        o = dense(state, deep, deep_bias, spec["state_shift"])
        shift = spec["gate_shift"]
        for i, h in enumerate(list(state)):
            reset = look_up(sigmoid, g[i] + o[i], shift)
            update = look_up(sigmoid, g[n + i] + o[n + i], shift)
            new = look_up(tanh, g[2 * n + i] + r(reset * o[2 * n + i], 14), shift)
            state[i] = r(2**14 * new + update * (h - new), 14)
        out.append(list(state))
    return np.array(out)


def random_weights(rng, shape, outputs, large):
    """Weights and biases of a layer; large: as large as they may be, so that sums saturate."""
    most = 32767 if large else 300
    bias = rng.integers(-(2**40), 2**40, outputs) if large else rng.integers(-(10**5), 10**5, outputs)
    return rng.integers(-most - 1, most + 1, shape).astype(np.int16), bias.astype(np.int64)


SEEDS = st.integers(0, 2**32 - 1)
SHIFTS = st.integers(-3, 45)


@settings(max_examples=40)
@given(SEEDS, SHIFTS, st.booleans())
def test_dense_is_exact(seed, shift, large):
    rng = np.random.default_rng(seed)
    weight, bias = random_weights(rng, (4, 9), 4, large)
    x = rng.integers(-LARGEST, LARGEST + 1, (3, 2, 9))
    net = Net([{"kind": "dense", "shift": shift}], {"n.0.weight": weight, "n.0.bias": bias}, "n", (2, 9))
    wanted = [[dense(row.tolist(), weight, bias, shift) for row in one] for one in x]
    assert np.array_equal(net(x.astype(np.float64)), wanted)


@settings(max_examples=15)
@given(SEEDS, SHIFTS, st.booleans(), st.sampled_from([1, 3, 5]))
def test_convolution_is_exact(seed, shift, large, kernel):
    rng = np.random.default_rng(seed)
    weight, bias = random_weights(rng, (2, 3, kernel, kernel), 2, large)
    x = rng.integers(-LARGEST, LARGEST + 1, (2, 3, 4, 3))
    net = Net([{"kind": "conv", "shift": shift}], {"n.0.weight": weight, "n.0.bias": bias}, "n", (3, 4, 3))
    assert np.array_equal(net(x.astype(np.float64)), [conv(one, weight, bias, shift) for one in x])


@settings(max_examples=15)
@given(SEEDS, SHIFTS, st.booleans())
def test_transposed_convolution_is_exact(seed, shift, large):
    rng = np.random.default_rng(seed)
    weight, bias = random_weights(rng, (3, 2, 4, 4), 2, large)
    x = rng.integers(-LARGEST, LARGEST + 1, (2, 3, 2, 3))
    net = Net([{"kind": "transposed", "shift": shift}], {"n.0.weight": weight, "n.0.bias": bias}, "n", (3, 2, 3))
    assert np.array_equal(net(x.astype(np.float64)), [transposed(one, weight, bias, shift) for one in x])


@settings(max_examples=15)
@given(SEEDS, st.integers(0, 20), st.booleans())
def test_gru_is_exact(seed, shift, large):
    rng = np.random.default_rng(seed)
    wide, bias = random_weights(rng, (9, 4), 9, large)
    deep, deep_bias = random_weights(rng, (9, 3), 9, large)
    tables = rng.integers(-LARGEST, LARGEST + 1, (2, 4096)).astype(np.int16)
    spec = {"kind": "gru", "input_shift": shift + 8, "state_shift": shift, "gate_shift": int(rng.integers(-2, 10))}
    names = ("input.weight", "input.bias", "state.weight", "state.bias", "sigmoid.table", "tanh.table")
    tensors = {f"n.0.{n}": t for n, t in zip(names, (wide, bias, deep, deep_bias, *tables), strict=True)}
    x = rng.integers(-LARGEST, LARGEST + 1, (2, 5, 4))
    net = Net([spec], tensors, "n", (5, 4))
    assert np.array_equal(
        net(x.astype(np.float64)), [gru(one, wide, bias, deep, deep_bias, spec, *tables) for one in x]
    )


@given(SEEDS, st.integers(-30, 50))
def test_table_is_exact(seed, shift):
    rng = np.random.default_rng(seed)
    table = rng.integers(-LARGEST, LARGEST + 1, 4096).astype(np.int16)
    x = rng.integers(-LARGEST, LARGEST + 1, (4, 9))
    net = Net([{"kind": "table", "shift": shift}], {"n.0.table": table}, "n", (9,))
    assert np.array_equal(net(x.astype(np.float64)), [[look_up(table, int(v), shift) for v in row] for row in x])


@given(st.integers(-(2**52) + 1, 2**52 - 1), st.integers(-30, 50))
def test_rounding_is_exact_for_every_sum_that_is_allowed(x, shift):
    assert int(layers.rounded(np.array([float(x)]), shift)[0]) == r(x, shift)


def test_pool_relu_last_and_repeat():
    x = np.arange(-8.0, 8).reshape(1, 1, 4, 4)
    assert Net([{"kind": "pool"}], {}, "n", (1, 4, 4))(x).tolist() == [[[[-3, -1], [5, 7]]]]
    assert Net([{"kind": "relu"}], {}, "n", (1, 4, 4))(x).min() == 0
    assert Net([{"kind": "last"}], {}, "n", (4, 4))(x[0]).tolist() == [[4, 5, 6, 7]]
    assert Net([{"kind": "repeat", "times": 3}], {}, "n", (4,))(x[0, 0]).shape == (4, 3, 4)


def test_results_do_not_depend_on_the_batch():
    rng = np.random.default_rng(3)
    tensors = {"n.0.weight": rng.integers(-32768, 32768, (6, 4, 3, 3)).astype(np.int16)}
    tensors |= {"n.0.bias": np.zeros(6, np.int64), "n.2.bias": np.zeros(70, np.int64)}
    tensors |= {"n.2.weight": rng.integers(-32768, 32768, (70, 6 * 64)).astype(np.int16)}
    specs = [{"kind": "conv", "shift": 16}, {"kind": "reshape", "shape": [6 * 64]}, {"kind": "dense", "shift": 18}]
    net = Net(specs, tensors, "n", (4, 8, 8))
    x = rng.integers(-LARGEST, LARGEST + 1, (33, 4, 8, 8)).astype(np.float64)
    assert np.array_equal(net(x), np.concatenate([net(x[i : i + 1]) for i in range(33)]))


# ------------------------------------------------------------------ what a model's file may not ask for


def test_weights_whose_sums_could_leave_the_exact_integers_are_refused():
    n = 2**52 // (LARGEST * 32768)
    weight = np.full((1, n + 10), -32768, np.int16)
    with pytest.raises(ValueError, match="exact"):
        Net([{"kind": "dense", "shift": 0}], {"n.0.weight": weight, "n.0.bias": np.zeros(1, np.int64)}, "n", (n + 10,))
    for bias in (2**52, -(2**52), 2**63 - 1, -(2**63)):
        tensors = {"n.0.weight": np.ones((1, 2), np.int16), "n.0.bias": np.array([bias])}
        with pytest.raises(ValueError, match="exact"):
            Net([{"kind": "dense", "shift": 0}], tensors, "n", (2,))


GOOD = {"n.0.weight": np.ones((2, 3), np.int16), "n.0.bias": np.zeros(2, np.int64)}
FOUR = {"n.0.weight": np.ones((2, 3, 17, 17), np.int16), "n.0.bias": np.zeros(2, np.int64)}


@pytest.mark.parametrize(
    ("specs", "tensors", "shape"),
    [
        ([{"kind": "magic"}], {}, (3,)),
        ([{}], {}, (3,)),
        ([[]], {}, (3,)),
        ([{"kind": ["dense"]}], GOOD, (3,)),
        ([{"kind": "dense"}], GOOD, (3,)),
        ([{"kind": "dense", "shift": 51}], GOOD, (3,)),
        ([{"kind": "dense", "shift": -31}], GOOD, (3,)),
        ([{"kind": "dense", "shift": 1.0}], GOOD, (3,)),
        ([{"kind": "dense", "shift": True}], GOOD, (3,)),
        ([{"kind": "dense", "shift": 0}], GOOD, (4,)),
        ([{"kind": "dense", "shift": 0}], {}, (3,)),
        ([{"kind": "dense", "shift": 0}], GOOD | {"n.0.bias": np.zeros(2)}, (3,)),
        ([{"kind": "dense", "shift": 0}], GOOD | {"n.0.bias": np.zeros(3, np.int64)}, (3,)),
        ([{"kind": "dense", "shift": 0}], GOOD | {"n.0.weight": np.ones((2, 3), np.int32)}, (3,)),
        ([{"kind": "dense", "shift": 0}], GOOD | {"n.0.weight": np.ones((0, 3), np.int16)}, (3,)),
        ([{"kind": "conv", "shift": 0}], FOUR, (3, 20, 20)),
        ([{"kind": "conv", "shift": 0}], FOUR | {"n.0.weight": np.ones((2, 3, 2, 2), np.int16)}, (3, 4, 4)),
        ([{"kind": "transposed", "shift": 0}], FOUR, (2, 4, 4)),
        ([{"kind": "pool"}], {}, (1, 3, 4)),
        ([{"kind": "pool"}], {}, (4,)),
        ([{"kind": "last"}], {}, (4,)),
        ([{"kind": "repeat", "times": 1025}], {}, (4,)),
        ([{"kind": "repeat", "times": 0}], {}, (4,)),
        ([{"kind": "repeat", "times": 1024}], {}, (1025,)),
        ([{"kind": "reshape", "shape": [2, 3]}], {}, (5,)),
        ([{"kind": "reshape", "shape": [-2, -3]}], {}, (6,)),
        ([{"kind": "reshape", "shape": []}], {}, (1,)),
        ([{"kind": "table", "shift": 0}], {"n.0.table": np.zeros(4095, np.int16)}, (5,)),
        ([{"kind": "table", "shift": 0}], {"n.0.table": np.full(4096, 0.5)}, (5,)),
        ([{"kind": "table", "shift": 0}], {"n.0.table": np.full(4096, -32768, np.int16)}, (5,)),
        ([{"kind": "relu"}] * 33, {}, (5,)),
    ],
)
def test_a_description_that_does_not_fit_is_refused_when_it_is_loaded(specs, tensors, shape):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Net(specs, tensors, "n", shape)


def test_largest_is_what_limits_a_batch():
    net = Net([{"kind": "repeat", "times": 10}, {"kind": "last"}], {}, "n", (7,))
    assert net.largest == 70 == math.prod((10, 7))

"""Integer arithmetic against Python's own integers, and the exported nets against the float ones they came from."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from codec.coding import model_search
from codec.coding.model_config import Config
from codec.coding.model_tensors import ACCUMULATOR_LIMIT, HIGH, LOW, MAX_SHIFT, accumulator_bound
from codec.nets import torch_codec
from codec.nets.coding_order import step_of
from codec.nets.integer import (
    PLAIN_LEVELS,
    IntegerAdd,
    IntegerAddVector,
    IntegerConv,
    IntegerEntropyNet,
    IntegerLeaky,
    IntegerQualityVector,
    at_levels,
    swap,
    weights_of,
)
from codec.nets.layers import FRACTION_BITS, LEAK_BITS, Add, Block, QualityVector
from codec.nets.model import Model
from codec.train import export

int16 = st.one_of(st.integers(LOW, HIGH), st.sampled_from([LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH]), st.integers(-9, 9))
ONE = 2**FRACTION_BITS


def clamp(value: int) -> int:
    return max(-32768, min(32767, value))


def conv_reference(x, weight, bias, shift):
    """FORMAT §8 on nested lists of Python ints: x [C][H][W], weight [O][I][k][k] (k = 3: depthwise) -> [O][H][W].

    Not saturated: that is the stage's affair, after its additions.
    """
    height, width = len(x[0]), len(x[0][0])
    out = []
    for o, kernel in enumerate(weight):
        k = len(kernel[0])
        inputs = x if k == 1 else [x[o]]
        r = 1 << (shift[o] - 1) if shift[o] else 0
        plane = []
        for i in range(height):
            row = []
            for j in range(width):
                total = bias[o] + r
                for source, taps in zip(inputs, kernel, strict=True):
                    for di in range(k):
                        for dj in range(k):
                            y, z = i + di - k // 2, j + dj - k // 2
                            if 0 <= y < height and 0 <= z < width:
                                total += taps[di][dj] * source[y][z]
                assert abs(total) < 2**31 - 2**17
                row.append(total >> shift[o])
            plane.append(row)
        out.append(plane)
    return out


def make_conv(weight, bias, shift):
    conv = IntegerConv(len(weight), len(weight[0]), len(weight[0][0]))
    conv.weight.copy_(torch.tensor(weight, dtype=torch.int16))
    conv.bias.copy_(torch.tensor(bias, dtype=torch.int32))
    conv.shift.copy_(torch.tensor(shift, dtype=torch.uint8))
    return conv


@st.composite
def convolutions(draw, kernel):
    """A convolution whose accumulators are proved to fit, and an input for it."""
    channels = draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    out, inside = (draw(st.integers(1, 4)), channels) if kernel == 1 else (channels, 1)
    taps = inside * kernel * kernel
    size = draw(st.sampled_from([3, 100, 2**31 // (2 * 32768 * taps) - 1]))
    tap = st.integers(-min(size, HIGH), min(size, HIGH))

    def plane(element, a, b):
        return st.lists(st.lists(element, min_size=b, max_size=b), min_size=a, max_size=a)

    weight = [[draw(plane(tap, kernel, kernel)) for _ in range(inside)] for _ in range(out)]
    bias = draw(st.lists(st.integers(-(2**29), 2**29), min_size=out, max_size=out))
    shift = draw(st.lists(st.integers(0, MAX_SHIFT), min_size=out, max_size=out))
    x = [draw(plane(int16, height, width)) for _ in range(channels)]
    return x, weight, bias, shift


@pytest.mark.parametrize("kernel", [1, 3])
def test_convolution_equals_python_integers(kernel):
    @settings(max_examples=150)
    @given(convolutions(kernel))
    def check(case):
        x, weight, bias, shift = case
        conv = make_conv(weight, bias, shift)
        assert (accumulator_bound(conv.weight.numpy(), conv.bias.numpy(), conv.shift.numpy()) < ACCUMULATOR_LIMIT).all()
        out = conv(torch.tensor([x], dtype=torch.float64))
        assert out[0].tolist() == conv_reference(x, weight, bias, shift)

    check()


@pytest.mark.parametrize(
    ("total", "shift", "expected"),
    [
        # Halves go up, towards +infinity, below zero too: (v + 2^(s-1)) >> s.
        *((5, 1, 3), (-5, 1, -2), (3, 1, 2), (-3, 1, -1), (-1, 1, 0), (-2, 2, 0), (-3, 2, -1), (2, 2, 1)),
        *((-7, 0, -7), (7, 0, 7), (2**14, 15, 1), (-(2**14), 15, 0), (-(2**14) - 1, 15, -1)),
        *((2**19, 20, 1), (2**19 - 1, 20, 0), (-(2**19), 20, 0), (-(2**19) - 1, 20, -1)),
        *((32768, 0, 32768), (-32769, 0, -32769), (2**30, 3, 2**27), (-(2**30), 3, -(2**27))),  # not saturated yet
    ],
)
def test_rounding_is_as_the_format_says(total, shift, expected):
    conv = make_conv([[[[0]]]], [total], [shift])
    assert conv(torch.zeros(1, 1, 1, 1, dtype=torch.float64)).item() == expected


@pytest.mark.parametrize(("x", "expected"), [(40000, 32767), (-40000, -32768), (2**31, 32767), (-5, -5)])
def test_a_convolution_reads_what_was_stored_and_so_saturated(x, expected):
    conv = make_conv([[[[1]]]], [0], [0])
    assert conv(torch.full((1, 1, 1, 1), x, dtype=torch.float64)).item() == expected


def test_zero_padding_of_the_depthwise_convolution_is_zero():
    conv = make_conv([[[[1, 2, 4], [8, 16, 32], [64, 128, 256]]]], [0], [0])
    assert conv(torch.ones(1, 1, 1, 1, dtype=torch.float64)).item() == 16
    out = conv(torch.ones(1, 1, 3, 3, dtype=torch.float64))[0, 0]
    assert out.tolist() == [[16 + 32 + 128 + 256, 8 + 16 + 32 + 64 + 128 + 256, 8 + 16 + 64 + 128],
                            [2 + 4 + 16 + 32 + 128 + 256, 511, 1 + 2 + 8 + 16 + 64 + 128],
                            [2 + 4 + 16 + 32, 1 + 2 + 4 + 8 + 16 + 32, 1 + 2 + 8 + 16]]  # fmt: skip


def test_leaky_and_additions_equal_python_integers():
    x = torch.cat([torch.arange(LOW, HIGH + 1), torch.tensor([LOW - 1, HIGH + 1, 2**31 - 1, -(2**31)])]).double()
    values = [int(v) for v in x.tolist()]
    assert LEAK_BITS == 3
    assert IntegerLeaky()(x).tolist() == [v if v >= 0 else (v + 4) >> 3 for v in values]
    for other in (-(2**30), LOW, -1, 0, 1, 12345, HIGH, 2**30):
        fresh = torch.tensor(float(other))
        assert IntegerAdd()(x, fresh).tolist() == [clamp(v) + other for v in values]
        assert IntegerAddVector()(fresh, x).tolist() == [v + other for v in values]


def test_a_stage_saturates_once_after_its_additions_and_leaky():
    conv, reader = make_conv([[[[0]]]], [40000], [0]), make_conv([[[[1]]]], [0], [0])
    nothing = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    add, add_vector, leaky = IntegerAdd(), IntegerAddVector(), IntegerLeaky()
    assert reader(add_vector(conv(nothing), nothing - 20000)).item() == 20000
    assert reader(add(nothing - 30000, conv(nothing))).item() == 10000
    assert reader(add(nothing - 50000, conv(nothing))).item() == 40000 - 32768  # the stored one was saturated before
    assert reader(leaky(add_vector(conv(nothing), nothing - 140000))).item() == -12500
    assert reader(leaky(add_vector(conv(nothing), nothing - 400000))).item() == -32768


@pytest.mark.parametrize("seed", range(4))
def test_a_block_equals_python_integers_with_saturation_where_tensors_are_stored(seed):
    rng = np.random.default_rng(seed)

    def random_conv(_, layer):
        outputs, inputs, kernel = layer.weight.shape[:3]
        weight = rng.integers(-9000, 9000, (outputs, inputs, kernel, kernel)).tolist()
        bias = rng.integers(-(2**28), 2**28, outputs).tolist()
        return make_conv(weight, bias, rng.integers(11, 14, outputs).tolist())

    def stage(conv, x, stored=None, leaky=False):
        out = conv_reference(x, conv.weight.tolist(), conv.bias.tolist(), conv.shift.tolist())
        out = np.array(out, dtype=object) + (0 if stored is None else np.array(stored, dtype=object))
        out = np.where((out < 0) & leaky, (out + 4) // 8, out)
        beyond.append(np.mean((out < -32768) | (out > 32767)))
        return np.clip(out, -32768, 32767).tolist()

    beyond = []
    block = swap(Block(3, add=Add), random_conv)
    x = rng.integers(LOW, HIGH + 1, (3, 4, 5)).tolist()
    got = block(torch.tensor([x], dtype=torch.float64))[0]
    x = stage(block.space_out, stage(block.space, stage(block.space_in, x, leaky=True)), stored=x)
    x = stage(block.mix_out, stage(block.mix_in, x, leaky=True), stored=x)
    assert got.clamp(LOW, HIGH).tolist() == x
    assert 0.1 < max(beyond) and min(beyond) < 0.5  # saturation happens, and not everywhere


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.floats(0, 20))
def test_quality_vector_is_the_float_one_on_the_grid_of_its_units(seed, gain):
    torch.manual_seed(seed)
    vector = QualityVector(5)
    with torch.no_grad():
        vector.knots.normal_(0, gain)
    twin = IntegerQualityVector.from_float(vector)
    knots = vector.knots.detach().double().numpy()
    for q in (1, 2, 50, 99, 100):
        got = twin(torch.tensor([q]))[0, :, 0, 0].tolist()
        at = (q - 1) / 99 * (len(knots) - 1)
        exact = [float(np.interp(at, np.arange(len(knots)), knots[:, c])) for c in range(5)]
        for g, e in zip(got, exact, strict=True):
            assert LOW <= g <= HIGH and g == int(g)
            # Half a unit of rounding; the rest is the last bits of double in `exact`.
            assert abs(g - max(LOW, min(HIGH, e * ONE))) <= 0.5 + 1e-6


def test_quality_vector_takes_a_quality_for_each_image():
    torch.manual_seed(0)
    vector = QualityVector(3)
    nn.init.normal_(vector.knots)
    twin = IntegerQualityVector.from_float(vector)
    both = twin(torch.tensor([7, 93]))
    assert torch.equal(both, torch.cat([twin(torch.tensor([7])), twin(torch.tensor([93]))]))
    assert not torch.equal(both[0], both[1])


# ------------------------------------------------------------------ export of one layer


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from([1, 3]), st.floats(-12, 1.0), st.floats(0, 8))
def test_export_takes_the_largest_shift_that_cannot_overflow(seed, kernel, log2_gain, offset):
    rng = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(6, 6, kernel, groups=6 if kernel == 3 else 1, padding=kernel // 2)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=rng) * 2**log2_gain)
        conv.bias.copy_(torch.randn(6, generator=rng) * offset)
    twin = IntegerConv.from_weights(*weights_of(conv))
    for o in range(6):
        shift = int(twin.shift[o])
        taps = [int(v) for v in twin.weight[o].flatten()]
        floats = conv.weight[o].double().flatten().tolist()

        def fits(shift, floats=floats, o=o):
            taps = [round(w * 2**shift) for w in floats]
            bias = round(conv.bias[o].item() * 2 ** (shift + 12))
            bound = sum(map(abs, taps)) * 32768 + abs(bias) + 2**shift // 2
            return bound < 2**31 - 2**17 and max(map(abs, taps)) <= 32767

        assert taps == [round(w * 2**shift) for w in floats]
        assert int(twin.bias[o]) == round(conv.bias[o].item() * 2 ** (shift + 12))
        assert fits(shift) and (shift == 20 or not fits(shift + 1))


@pytest.mark.parametrize("weight", [70000.0, -1e9, math.inf, math.nan])
def test_export_refuses_weights_that_no_shift_can_hold(weight):
    conv = nn.Conv2d(3, 4, 1)
    with torch.no_grad():
        conv.weight[2, 1] = weight
    with pytest.raises(ValueError, match="1 output channels have weights too large"):
        IntegerConv.from_weights(*weights_of(conv))


def test_export_of_a_model_with_too_large_weights_leaves_no_file(tmp_path):
    model = Model(TINY[0])
    with torch.no_grad():
        model.entropy.steps[0].from_hyper.weight.fill_(1e7)
    with pytest.raises(ValueError, match="steps.0.from_hyper: .* too large"):
        export.save(tmp_path / "m.safetensors", model)
    assert list(tmp_path.iterdir()) == []


def test_export_is_close_to_the_float_layer():
    torch.manual_seed(1)
    conv = nn.Conv2d(16, 8, 1)
    x = torch.randint(-8000, 8000, (1, 16, 9, 9)).double()
    got = IntegerConv.from_weights(*weights_of(conv))(x)
    want = conv.double()(x / ONE) * ONE
    assert (got - want).abs().max() <= 2  # units of 2^-12


# ------------------------------------------------------------------ whole nets

TINY = [
    Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2),
    Config(latents=16, hyper=6, wide8=8, blocks8=1, wide16=8, blocks16=1, context=12, steps=4),
]


def lively(config: Config, seed: int) -> Model:
    """A random model whose every layer matters (fresh blocks are the identity, and fresh heads say nothing)."""
    torch.manual_seed(seed)
    model = Model(config)
    with torch.no_grad():
        for module in model.entropy.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, 0.7 / math.sqrt(fan_in))
                module.bias.normal_(0, 0.1)
            elif isinstance(module, QualityVector):
                module.knots.normal_(0, 0.3)
        for step in model.entropy.steps:
            step.index_quality.knots.add_(3.5)
    return model


@pytest.mark.parametrize("config", TINY)
@pytest.mark.parametrize("seed", range(3))
def test_integer_nets_agree_with_the_float_nets_they_came_from(config, seed):
    model = lively(config, seed)
    net = IntegerEntropyNet.from_float(model)
    q, height, width = torch.tensor([1 + 33 * seed]), 11, 13
    z = torch.randint(-ONE, ONE, (1, config.hyper, 3, 4)).double()
    y = torch.randint(-ONE, ONE, (1, config.latents, height, width)).double()
    floating = model.entropy.double()
    with torch.no_grad():
        prior = floating.prior(z / ONE, q.double(), height, width)
        exact = net.prior(z, q, height, width)
        assert (prior * ONE - exact).abs().max() < 40  # 0.01: some twenty roundings of half a unit, and their gains
        for k in range(config.steps):
            mean, index = floating.step(k, prior, y / ONE, q.double())
            mean_i, index_i = net.predict(k, exact, y, q)
            assert (mean * ONE - mean_i).abs().mean() < 10
            assert (mean * ONE - mean_i).abs().max() < 80
            index = (8 * index).clamp(0, 63)
            assert (index.round() - index_i).abs().max() <= 1
            assert (index.round() == index_i).double().mean() > 0.9
            assert index_i.std() > 1 and mean_i.std() > 100  # or there would be nothing to agree on


@pytest.mark.parametrize("config", TINY)
def test_steps_and_hyper_tables_are_exported_on_their_grids(config):
    model = lively(config, 0)
    with torch.no_grad():
        model.log_step.knots.normal_(-3, 3)
        model.hyper_index.knots.normal_(3, 4)
    net = IntegerEntropyNet.from_float(model)
    steps = at_levels(model.log_step).exp() * ONE
    assert torch.equal(net.step.double(), steps.round().clamp(1, 32767))
    assert net.step.min() >= 1 and net.hyper_step.min() >= 1
    assert net.hyper_index.min() >= 1 and net.hyper_index.max() <= 63


@torch.no_grad()
def test_hyperlatents_with_steps_beyond_the_integers_range_are_exported_smaller_and_mean_the_same(tmp_path):
    model = lively(TINY[1], 2)
    model.hyper_log_step.knots.uniform_(math.log(0.01), math.log(0.1))
    model.hyper_log_step.knots[3, :2] = torch.tensor([8.5, 100.0]).log()
    scaled = model.with_hyper_steps_in_range()
    steps = scaled.hyper_log_step.knots.exp()
    assert steps.max() < 32767 / ONE and model.hyper_log_step.knots[3, 1].exp() > 99
    x, q = torch.rand(2, 3, 128, 64), torch.tensor([20.0, 50.0])
    for before, after in zip(model.eval()(x, q), scaled.eval()(x, q), strict=True):
        assert torch.allclose(before, after, rtol=1e-4, atol=1e-4)
    export.save(tmp_path / "m.safetensors", model)
    net = torch_codec.load(tmp_path / "m.safetensors", torch.device("cpu")).net
    expected = (at_levels(scaled.hyper_log_step).exp() * ONE).round().clamp(min=1)  # nothing is cut off at the top
    assert torch.equal(net.hyper_step.double(), expected)
    again = scaled.with_hyper_steps_in_range()
    assert all(torch.equal(a, b) for a, b in zip(scaled.parameters(), again.parameters(), strict=True))


def test_export_then_load_gives_the_same_integers(tmp_path):
    model = lively(TINY[1], 5)
    export.save(tmp_path / "m.safetensors", model)
    loaded = torch_codec.load(tmp_path / "m.safetensors", torch.device("cpu")).net.state_dict()
    moments = export.calibration(model, PLAIN_LEVELS, []).moments["entropy"]
    exported = IntegerEntropyNet.from_float(model, moments=moments).state_dict()
    assert loaded.keys() == exported.keys()
    assert all(loaded[k].dtype == v.dtype and torch.equal(loaded[k], v) for k, v in exported.items())


# ------------------------------------------------------------------ the model that ships


@pytest.fixture(scope="module")
def shipped():
    return torch_codec.load(model_search.find(None), torch.device("cpu"))


def layers(net):
    return {name: m for name, m in net.named_modules() if isinstance(m, IntegerConv)}


def test_no_accumulator_of_the_shipped_model_can_overflow(shipped):
    found = layers(shipped.net)
    assert len(found) > 20
    for name, conv in found.items():
        assert conv.weight.dtype == torch.int16 and conv.bias.dtype == torch.int32 and conv.shift.dtype == torch.uint8
        weight, bias, shift = (t.long().numpy() for t in (conv.weight.flatten(1), conv.bias, conv.shift))
        assert shift.min() >= 0 and shift.max() <= 20, name
        assert np.all(np.abs(weight).sum(1) * 32768 + np.abs(bias) + ((1 << shift) >> 1) < 2**31 - 2**17), name


def conv_int64(conv: IntegerConv, x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """The layer in int64, its terms summed in the given order; x int64 [1, C, H, W]."""
    w, shift = conv.weight.long(), conv.shift.long()
    r = torch.where(shift > 0, 1 << (shift - 1).clamp(min=0), 0)
    if conv.weight.shape[2] == 1:
        total = torch.einsum("oi,bihw->bohw", w[:, order, 0, 0], x[:, order])
    else:
        padded = nn.functional.pad(x, (1, 1, 1, 1))
        total = torch.zeros_like(x)
        for tap in order.tolist():
            i, j = divmod(tap, 3)
            total += w[:, 0, i, j, None, None] * padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
    total = total + (conv.bias.long() + r)[:, None, None]
    return total >> shift[:, None, None]


def test_every_layer_of_the_shipped_model_gives_the_integers_of_int64_in_any_order_of_summation(shipped):
    rng = torch.Generator().manual_seed(0)
    for name, conv in layers(shipped.net).items():
        channels = conv.weight.shape[1] if conv.weight.shape[2] == 1 else conv.weight.shape[0]
        terms = channels if conv.weight.shape[2] == 1 else 9
        x = torch.randint(LOW, HIGH + 1, (1, channels, 3, 5), generator=rng)
        x[..., 0] = torch.where(torch.rand(x[..., 0].shape, generator=rng) < 0.5, LOW, HIGH)  # as far as it goes
        got = conv(x.double())
        for order in (torch.arange(terms), torch.randperm(terms, generator=rng)):
            assert torch.equal(conv_int64(conv, x, order).double(), got), name


def test_permuting_the_channels_of_the_float64_carrier_changes_nothing(shipped):
    """The carrier's own sums, reordered: what another BLAS would do."""
    rng = torch.Generator().manual_seed(1)
    for name, conv in layers(shipped.net).items():
        if conv.weight.shape[2] != 1:
            continue
        order = torch.randperm(conv.weight.shape[1], generator=rng)
        twin = IntegerConv(*conv.weight.shape[:3])
        twin.weight, twin.bias, twin.shift = conv.weight[:, order], conv.bias, conv.shift
        x = torch.randint(LOW, HIGH + 1, (2, conv.weight.shape[1], 4, 4), generator=rng).double()
        assert torch.equal(conv(x), twin(x[:, order])), name


def test_the_nets_of_the_shipped_model_give_int16_and_indexes(shipped):
    config, net = shipped.config, shipped.net
    rng = torch.Generator().manual_seed(2)
    z = torch.randint(LOW, HIGH + 1, (1, config.hyper, 2, 3), generator=rng).double()
    y = torch.randint(LOW, HIGH + 1, (1, config.latents, 7, 10), generator=rng).double()
    for quality in (1, 50, 100):
        q = torch.tensor([quality])
        prior = net.prior(z, q, 7, 10)
        assert torch.equal(prior, prior.round()) and prior.min() >= LOW and prior.max() <= HIGH
        for k in range(config.steps):
            mean, index = net.predict(k, prior, y, q)
            assert torch.equal(mean, mean.round()) and mean.min() >= LOW and mean.max() <= HIGH
            assert torch.equal(index, index.round()) and index.min() >= 0 and index.max() <= 63


def test_a_step_says_the_same_of_its_latents_whatever_the_later_ones_are(shipped):
    """What decoding in steps rests on: the first step looks at no latents, the later ones only at those before."""
    config, net = shipped.config, shipped.net
    rng = torch.Generator().manual_seed(3)
    shape = (config.latents, 6, 6)
    order = step_of(config.steps, *shape)
    q = torch.tensor([60])
    prior = net.prior(torch.randint(-ONE, ONE, (1, config.hyper, 2, 2), generator=rng).double(), q, 6, 6)
    y = torch.randint(-ONE, ONE, (1, *shape), generator=rng).double()
    first = net.predict(0, prior, y, q)
    other = net.predict(0, prior, torch.zeros_like(y), q)
    assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))  # step 0 sees no latents at all
    seen = [net.predict(k, prior, torch.where(order < k, y, 0.0), q) for k in range(config.steps)]
    assert not torch.equal(seen[1][0], net.predict(1, prior, torch.zeros_like(y), q)[0])  # and later ones do see them

"""The fast entropy nets against the float64 reference: every integer equal, whatever the machine can do."""

import itertools
import math

import coded
import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spoiled import changed, filled, without

from codec import _C
from codec.coding import rans_cuda, segment_walk
from codec.coding.model_config import Config
from codec.coding.model_tensors import ACCUMULATOR_LIMIT, HIGH, LOW
from codec.coding.tiles import TileTask
from codec.container import format
from codec.nets import torch_codec, torch_encoder
from codec.nets.coding_order import step_of
from codec.nets.integer import IntegerConv, IntegerEntropyNet, IntegerQualityVector
from codec.picture.pixels import to_pixels

SMALLEST = dict(wide8=8, blocks8=1, wide16=8, blocks16=1)


@pytest.fixture(autouse=True)
def isa_and_threads_as_before():
    isa, threads = _C.isa(), torch.get_num_threads()
    yield
    _C.set_isa(isa)
    torch.set_num_threads(threads)


def extreme_net(config: Config, seed: int) -> IntegerEntropyNet:
    """Random integers as far as FORMAT §8 lets them go: sums up to the accumulator's bound, all shifts, saturation."""
    rng = np.random.default_rng(seed)
    net = IntegerEntropyNet(config)

    def fill(buffer: torch.Tensor, values: np.ndarray) -> None:
        buffer.copy_(torch.from_numpy(values.reshape(buffer.shape)))

    for module in net.net.modules():
        if isinstance(module, IntegerQualityVector):
            fill(module.table, rng.integers(LOW, HIGH + 1, module.table.numel()))
        elif isinstance(module, IntegerConv):
            outputs, terms = len(module.weight), module.weight[0].numel()
            shift = rng.choice([0, 1, 7, 12, 14, 15, 20], outputs)
            half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
            room = ACCUMULATOR_LIMIT - 1 - half
            bias = np.trunc(room * rng.choice([0, 0.001, -0.5, 0.5, 1, -1], outputs)).astype(np.int64)
            # What the bias leaves is shared out between the weights, evenly, or nearly all of it for one or two.
            share = rng.dirichlet(np.full(terms, rng.choice([0.05, 1.0])), outputs)
            gain = rng.choice([1.0, 0.3, 2.0**-6], (outputs, 1))
            weight = np.trunc(gain * share * (room - abs(bias))[:, None] / -LOW) * rng.choice([-1, 1], share.shape)
            fill(module.weight, np.clip(weight, LOW, HIGH).astype(np.int64))
            fill(module.bias, bias)
            fill(module.shift, shift)
    fill(net.step, rng.choice([1, 2, 3, 100, 4096, HIGH], net.step.numel()))
    fill(net.hyper_step, rng.choice([1, 5, 1000, HIGH], net.hyper_step.numel()))
    fill(net.hyper_index, rng.integers(0, 64, net.hyper_index.numel()))
    net.check()
    return net.eval().requires_grad_(False)


def values_for(config: Config, height: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """y and z, mostly in range; ties of to_fixed, both ends, infinities and NaN among them. And dead zones, or none."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> torch.Tensor:
        x = rng.normal(0, rng.choice([0.01, 1, 5]), shape)
        odd = rng.choice([0.5 / 4096, -1.5 / 4096, 8.0, -8.0, 1e30, -math.inf, math.inf, math.nan], shape)
        return torch.from_numpy(np.where(rng.random(shape) < 0.05, odd, x).astype(np.float32))

    zones = rng.choice([0, 1, 1024, HIGH], 64) if rng.random() < 0.5 else rng.integers(0, rng.choice([1, 4096]), 64)
    y, z = some(config.latents, height, width), some(config.hyper, -(-height // 4), -(-width // 4))
    return y, z, torch.from_numpy(zones.astype(np.int16))


def encode(at: segment_walk.Walk, y: torch.Tensor, z: torch.Tensor, dead_zones: torch.Tensor) -> list[torch.Tensor]:
    """All that a walk says: indexes and symbols of each segment, then the latents."""
    said = []
    for k in range(at.segments):
        said += [at.predict(k), at.choose(k, y if k else z, dead_zones)]
    return [*said, at.latents()]


def decode(at: segment_walk.Walk, symbols: list[torch.Tensor]) -> list[torch.Tensor]:
    said = []
    for k, s in enumerate(symbols):
        said.append(at.predict(k))
        at.accept(k, s)
    return [*said, at.latents()]


def assert_equal(got: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b)


def assert_same_as_reference(net: IntegerEntropyNet, quality: int, height: int, width: int, seed: int) -> None:
    y, z, dead_zones = values_for(net.config, height, width, seed)
    nets, shape = segment_walk.cpu_nets(net), (quality, height, width)
    expected = encode(segment_walk.ReferenceWalk(net, *shape), y, z, dead_zones)
    # What a decoder may read: any int16, also where no encoder would write it.
    rng = torch.Generator().manual_seed(seed)
    wild = [torch.randint(LOW, HIGH + 1, s.shape, generator=rng).to(torch.int16) for s in expected[1:-1:2]]
    expected_wild = decode(segment_walk.ReferenceWalk(net, *shape), wild)
    layouts = [(y, z), tuple(t.permute(1, 2, 0).contiguous().permute(2, 0, 1) for t in (y, z))]
    for isa in _C.isas():
        _C.set_isa(isa)
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert_equal(encode(segment_walk.CpuWalk(nets, *shape), *layouts[threads % 2], dead_zones), expected)
            assert_equal(decode(segment_walk.CpuWalk(nets, *shape), wild), expected_wild)
            assert_equal(decode(segment_walk.CpuWalk(nets, *shape), expected[1:-1:2]), expected[:-1:2] + expected[-1:])


@settings(max_examples=80)
@given(
    steps=st.sampled_from([2, 4]),
    group=st.integers(1, 23),
    hyper=st.integers(1, 40),
    context=st.sampled_from([1, 2, 7, 8, 24, 33, 64]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    quality=st.sampled_from([1, 2, 50, 99, 100]),
    seed=st.integers(0, 2**31),
)
def test_every_integer_equals_the_reference(steps, group, hyper, context, height, width, quality, seed):
    config = Config(latents=steps * group, hyper=hyper, context=context, steps=steps, **SMALLEST)
    assert_same_as_reference(extreme_net(config, seed), quality, height, width, seed)


@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize(("height", "width"), [(33, 48), (1, 130), (130, 1), (2, 97)])
def test_larger_tiles_equal_the_reference(steps, height, width):
    config = Config(latents=steps * 10, hyper=12, context=40, steps=steps, **SMALLEST)
    assert_same_as_reference(extreme_net(config, height), 37, height, width, width)


@pytest.mark.parametrize("steps", [2, 4])
def test_widths_of_the_shipped_model_with_extreme_weights(steps):
    config = Config(latents=320, hyper=64, context=128, steps=steps, **SMALLEST)
    assert_same_as_reference(extreme_net(config, 5), 100, 10, 13, 6)


def test_the_extremes_are_extreme():
    """Or the tests above would show less than they say: saturation, every index, symbols at both ends."""
    config = Config(latents=40, hyper=12, context=24, steps=4, **SMALLEST)
    net = extreme_net(config, 6)
    said = encode(segment_walk.ReferenceWalk(net, 50, 20, 20), *values_for(config, 20, 20, 1))
    indexes, symbols = torch.cat(said[:-1:2]), torch.cat(said[1:-1:2])
    assert len(indexes.unique()) > 32 and indexes.min() == 0 and indexes.max() == 63
    assert symbols.min() == -16383 and symbols.max() == 16383
    assert said[-1].min() == -8 and said[-1].max() == HIGH / 4096


def nearest_outside_zone(fixed: np.ndarray, step: int, zone: int) -> np.ndarray:
    """The rule of `Walk.choose` for a mean of 0, in integers and by no division's rounding."""
    whole, rest = np.divmod(abs(fixed), step)
    nearest = whole + (2 * rest + whole % 2 > step)  # halves to even
    nearest[8192 * abs(fixed) <= step * (4096 + 2 * zone)] = 0
    return np.sign(fixed) * np.minimum(nearest, 16383)


def test_every_latent_becomes_the_nearest_symbol_or_the_zero_of_its_zone():
    """All int16, steps and zones at both ends and between, edges of zones and ties among them."""
    choices = list(itertools.product([1, 2, 3, 1000, 4096, HIGH], [0, 1, 184, 1024, 2048, HIGH]))
    config = Config(latents=len(choices), hyper=1, context=8, steps=2, **SMALLEST)
    net = IntegerEntropyNet(config)  # all means are 0
    net.step.copy_(torch.tensor([step for step, _ in choices]))
    for step in net.net.steps:
        step.index.bias.copy_(torch.arange(1, 1 + len(choices)) * (4096 // 8))  # channel c has index c + 1
    dead_zones = torch.zeros(64, dtype=torch.int16)
    dead_zones[1 : 1 + len(choices)] = torch.tensor([zone for _, zone in choices])
    fixed = np.arange(LOW, HIGH + 1).reshape(256, 256)
    y = torch.from_numpy(fixed / 4096).float().expand(len(choices), -1, -1)
    symbols = torch.from_numpy(np.stack([nearest_outside_zone(fixed, *choice) for choice in choices])).to(torch.int16)
    order = step_of(2, *y.shape)
    nets, starts = segment_walk.cpu_nets(net), [segment_walk.ReferenceWalk(net, 50, 256, 256)]
    for isa in _C.isas():
        _C.set_isa(isa)
        starts.append(segment_walk.CpuWalk(nets, 50, 256, 256))
    for at in starts:
        said = encode(at, y, torch.zeros(1, 64, 64), dead_zones)
        assert_equal(said[3:-1:2], [symbols[order == k] for k in range(2)])


@pytest.mark.parametrize("hyper", [3, 32, 127])
def test_an_accumulator_one_below_its_limit(hyper):
    """And a quality vector that is added to it: 32 bits hold both, at either end."""
    config = Config(latents=8, hyper=hyper, context=8, steps=2, **SMALLEST)
    net = IntegerEntropyNet(config)
    total = -LOW * 2 - 5  # of |weight|: 65531 * 32768 + 32767 = 2^31 - 2^17 - 1
    weight = torch.tensor([total // hyper + (i < total % hyper) for i in range(hyper)])
    signs = torch.tensor([-1, 1] * 4)  # weights of -1 and an input of -32768 make a positive sum
    net.net.head.weight.copy_((signs[:, None] * weight)[:, :, None, None])
    net.net.head.bias.copy_(-signs * HIGH)
    net.net.quality.table.copy_((-signs * HIGH).expand(100, -1))
    for up in (net.net.up2, net.net.up1):  # from there on, the identity
        up.weight.copy_(torch.eye(8, dtype=torch.int16).repeat_interleave(4, 0)[:, :, None, None])
    for step in net.net.steps:
        for conv in (step.from_hyper, step.mean):
            conv.weight.copy_(torch.eye(8, dtype=torch.int16)[:, :, None, None])
    net.check()
    nets = segment_walk.cpu_nets(net)
    for isa in _C.isas():
        _C.set_isa(isa)
        for at in (segment_walk.CpuWalk(nets, 1, 3, 5), segment_walk.ReferenceWalk(net, 1, 3, 5)):
            lowest = torch.full((hyper * 2,), LOW, dtype=torch.int16)
            *_, latents = decode(at, [lowest, torch.zeros(60, dtype=torch.int16), torch.zeros(60, dtype=torch.int16)])
            assert (latents[0::2] * 4096 == HIGH).all() and (latents[1::2] * 4096 == LOW >> 3).all()
    net.net.head.bias.copy_(-signs * (HIGH + 1))
    with pytest.raises(ValueError, match="net.head could overflow"):
        net.check()
    with pytest.raises(ValueError, match="net.head could overflow"):
        segment_walk.cpu_nets(net)


@pytest.mark.parametrize("quality", [1, 30, 60, 100])
def test_the_shipped_model_on_photos_equals_the_reference(shipped, quality):
    nets = segment_walk.cpu_nets(shipped.net)
    for image in (photos.astronaut(), photos.photo(200, 312, seed=4), photos.gradient(75, 50)):
        pixels = to_pixels(image)
        (tile,) = format.Header(image.shape[1], image.shape[0], quality, shipped.id).tiles
        y, z = torch_encoder.analyse(shipped, TileTask(pixels, tile, quality, effort=1))
        expected = encode(segment_walk.ReferenceWalk(shipped.net, quality, *y.shape[1:]), y, z, shipped.dead_zones)
        for isa in _C.isas():
            _C.set_isa(isa)
            assert_equal(encode(segment_walk.CpuWalk(nets, quality, *y.shape[1:]), y, z, shipped.dead_zones), expected)


def test_without_vectors_the_reference_runs(shipped):
    for isa in _C.isas():
        _C.set_isa(isa)
        expected = segment_walk.ReferenceWalk if isa == "scalar" else segment_walk.CpuWalk
        assert isinstance(segment_walk.starter(shipped.net, "native")(50, 2, 3), expected)


def test_files_do_not_depend_on_the_arithmetic(shipped):
    reference = torch_codec.load(shipped.path, torch.device("cpu"), nets="reference")
    assert isinstance(reference.walk(1, 1, 1), segment_walk.ReferenceWalk)
    picture = photos.photo(100, 70, seed=8)
    for quality in (1, 60, 100):
        data = coded.file(shipped, picture, quality, 64)
        assert data == coded.file(reference, picture, quality, 64)
        ours, theirs = (list(coded.latents(m, data)) for m in (shipped, reference))
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


# ------------------------------------------------------------------ misuse

TINY = Config(latents=8, hyper=4, context=8, steps=2, **SMALLEST)


@pytest.fixture(scope="module")
def tiny():
    net = extreme_net(TINY, 0)
    return [
        lambda: segment_walk.ReferenceWalk(net, 50, 5, 6),
        lambda: segment_walk.CpuWalk(segment_walk.cpu_nets(net), 50, 5, 6),
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_calls_out_of_order_raise(tiny, which):
    y, z, zones = values_for(TINY, 5, 6, 0)
    at = tiny[which]()
    for call in (lambda: at.predict(1), lambda: at.choose(0, z, zones), at.latents):
        with pytest.raises(ValueError):
            call()
    index = at.predict(0)
    for call in (lambda: at.predict(0), lambda: at.predict(1), lambda: at.choose(1, y, zones), at.latents):
        with pytest.raises(ValueError):
            call()
    at.accept(0, torch.zeros(len(index), dtype=torch.int16))
    with pytest.raises(ValueError):
        at.accept(0, torch.zeros(len(index), dtype=torch.int16))
    for k in (1, 2):
        at.predict(k)
        at.choose(k, y, zones)
    at.latents()
    for k in (-1, 0, 2, 3):
        with pytest.raises(ValueError):
            at.predict(k)


@pytest.mark.parametrize("which", [0, 1])
def test_tensors_of_another_shape_or_type_raise_and_leave_the_walk_as_it_was(tiny, which):
    y, z, zones = values_for(TINY, 5, 6, 0)
    at, other = tiny[which](), tiny[which]()
    n = len(at.predict(0))
    wrong_symbols = [torch.zeros(n - 1, dtype=torch.int16), torch.zeros(n, dtype=torch.int32)]
    wrong_symbols += [torch.zeros(n + 1, dtype=torch.int16), torch.zeros(1, n, dtype=torch.int16)]
    for symbols in wrong_symbols:
        with pytest.raises((ValueError, TypeError)):
            at.accept(0, symbols)
    for values in (z.double(), z[1:], z[:, :1], z[None], y):
        with pytest.raises((ValueError, TypeError)):
            at.choose(0, values, zones)
    for wrong in (zones.int(), zones[1:], zones[None]):
        with pytest.raises((ValueError, TypeError)):
            at.choose(0, z, wrong)
    other.predict(0)
    assert_equal([at.choose(0, z, zones)], [other.choose(0, z, zones)])


@pytest.mark.parametrize(
    ("quality", "height", "width", "threads"),
    [(0, 1, 1, 1), (101, 1, 1, 1), (1, 0, 1, 1), (1, 1, -1, 1), (1, 4097, 1, 1), (1, 1, 1, 0), (-5, 2**30, 2**30, 1)],
)
def test_a_walk_of_no_such_quality_or_size_raises(quality, height, width, threads):
    nets = segment_walk.cpu_nets(extreme_net(TINY, 0))
    with pytest.raises(ValueError, match="allowed are"):
        _C.Walk(nets, quality, height, width, threads)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("net.head.bias"), "net.head.bias is missing"),
        (without("net.steps.1.from_latents.weight"), "from_latents.weight is missing"),
        (changed("net.up2.weight", lambda a: a[:-1]), "net.up2.weight has shape .*, must have"),
        (changed("net.up2.weight", lambda a: a[..., None]), "net.up2.weight has shape .*, must have"),
        (changed("step", lambda a: a.astype(np.int32)), "step is int32, must be int16"),
        (changed("step", lambda a: a.astype(np.float32)), "step must be int16"),
        (changed("step", filled(0)), "step has 0: 1 to 32767 are allowed"),
        (changed("hyper_step", filled(-1)), "hyper_step has -1: 1 to 32767 are allowed"),
        (changed("hyper_index", filled(64)), "hyper_index has 64: 0 to 63 are allowed"),
        (changed("net.body1.space.shift", filled(21)), "net.body1.space has a shift above 20"),
        (changed("net.steps.0.index.bias", filled(-(2**31))), "net.steps.0.index could overflow"),
    ],
)
def test_a_model_that_breaks_a_rule_is_refused(change, words):
    arrays = {name: t.numpy() for name, t in extreme_net(TINY, 0).state_dict().items()}
    change(arrays)
    with pytest.raises(ValueError, match=words):
        _C.Nets(arrays, latents=8, hyper=4, context=8, steps=2)


@pytest.mark.parametrize("change", [{"steps": 3}, {"latents": 7}, {"hyper": 0}, {"context": -1}, {"context": 2**20}])
def test_a_configuration_that_breaks_a_rule_is_refused(change):
    arrays = {name: t.numpy() for name, t in extreme_net(TINY, 0).state_dict().items()}
    with pytest.raises(ValueError):
        _C.Nets(arrays, **(dict(latents=8, hyper=4, context=8, steps=2) | change))


def test_only_known_nets_are_loaded(shipped):
    with pytest.raises(ValueError, match="allowed are native and reference"):
        torch_codec.load(shipped.path, torch.device("cpu"), nets="fast")


@pytest.mark.parametrize(
    ("archs", "runs", "does_not"),
    [
        ("sm_80 sm_90 compute_90", [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)], [(7, 0), (7, 5)]),
        ("sm_90 compute_90", [(9, 0), (12, 0)], [(8, 0), (8, 9)]),
        ("sm_86", [(8, 6), (8, 9)], [(8, 0), (9, 0)]),
    ],
)
def test_gpus_that_the_build_has_no_code_for_are_left_to_torch(archs, runs, does_not):
    assert all(rans_cuda.runs_on(archs, capability) for capability in runs)
    assert not any(rans_cuda.runs_on(archs, capability) for capability in does_not)

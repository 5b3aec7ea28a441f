"""The synthesis of csrc against the reference: every sample equal, whatever the machine, the part and the threads."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from extremes import SIZES, TINY, config_of, extreme, latents
from hypothesis import given, settings
from hypothesis import strategies as st
from spoiled import changed, filled

from codec import _C
from codec.coding.model_config import Config
from codec.coding.model_tensors import ACCUMULATOR_LIMIT, HIGH, LOW
from codec.nets.integer_synthesis import SHRINKS, SUM_LIMIT, IntegerSynthesis, ScaledConv, samples

UNTOUCHED = 77


@pytest.fixture(autouse=True)
def isa_as_before():
    isa = _C.isa()
    yield
    _C.set_isa(isa)


def sizes(config: Config) -> dict[str, int]:
    return {name: getattr(config, name) for name in ("latents", "wide8", "blocks8", "wide16", "blocks16")}


def tensors_of(net: IntegerSynthesis) -> dict[str, np.ndarray]:
    return {name: t.numpy().copy() for name, t in net.state_dict().items() if not name.endswith(".fraction")}


def native(net: IntegerSynthesis) -> _C.Synthesis:
    return _C.Synthesis(tensors_of(net), **sizes(net.config))


def values(net: IntegerSynthesis, y: np.ndarray, quality: int, shrink: int, branch: bool) -> torch.Tensor:
    """Of the reference: y is [M, h, w]."""
    y = torch.from_numpy(y).double()[None]
    if branch:
        return net.values(y, torch.tensor([quality]), 1.0, shrink)  # of the lowest level, at which it is never left out
    return F.pixel_shuffle(net.shortcut(y, shrink), 16 // shrink).to(torch.int32)


def around(area: tuple[int, int, int, int], side: int, halo: int, rows: int, columns: int) -> tuple[slice, slice]:
    """The latents that an area of samples y0, y1, x0, x1 needs."""
    y0, y1, x0, x1 = area
    return (
        slice(max(y0 // side - halo, 0), min(-(-y1 // side) + halo, rows)),
        slice(max(x0 // side - halo, 0), min(-(-x1 // side) + halo, columns)),
    )


def assert_same_as_reference(
    net: IntegerSynthesis, rows: int, columns: int, quality: int, seed: int, isas=None
) -> None:
    """All shrinks, with and without the branch, whole and in part; gray, bits, part and threads are drawn."""
    rng = np.random.default_rng(seed)
    y, synthesis = latents(seed, net.config.latents, rows, columns), native(net)
    ours = np.ascontiguousarray(y.transpose(1, 2, 0).astype(np.int16))
    for shrink in SHRINKS:
        for branch in (True, False):
            gray, dtype, side = rng.random() < 0.3, rng.choice([np.uint8, np.uint16]), 16 // shrink
            made = values(net, y, quality, shrink, branch)
            want = samples(made, 8 * np.dtype(dtype).itemsize, gray)[0].permute(1, 2, 0).numpy()
            height, width, channels = want.shape
            (y0, y1), (x0, x1) = (np.sort(rng.choice(n + 1, 2, replace=False)).tolist() for n in (height, width))
            for isa in isas or _C.isas():
                _C.set_isa(isa)
                for area, part in (
                    ((0, height, 0, width), (slice(0, rows), slice(0, columns))),
                    ((y0, y1, x0, x1), around((y0, y1, x0, x1), side, net.config.halo if branch else 0, rows, columns)),
                ):
                    expected = np.full((area[1] - area[0] + 2, area[3] - area[2] + 3, channels), UNTOUCHED, dtype)
                    canvas = expected.copy()
                    expected[1:-1, 1:-2] = want[area[0] : area[1], area[2] : area[3]]
                    synthesis.run(
                        ours[part],
                        at=(part[0].start, part[1].start),
                        picture=(rows, columns),
                        quality=quality,
                        shrink=shrink,
                        branch=branch,
                        origin=(area[0], area[2]),
                        out=canvas[1:-1, 1:-2],
                        threads=int(rng.integers(1, 4)),
                    )
                    assert np.array_equal(canvas, expected), (isa, shrink, branch, gray, dtype, area)


@settings(max_examples=150)
@given(group=st.integers(1, 20), **SIZES)
def test_every_sample_equals_the_reference(group, wide8, blocks8, wide16, blocks16, rows, columns, quality, seed):
    config = config_of(2 * group, wide8, blocks8, wide16, blocks16)
    assert_same_as_reference(extreme(seed, config), rows, columns, quality, seed)


@pytest.mark.parametrize(("rows", "columns"), [(1, 65), (2, 131), (1, 257), (70, 1), (19, 23)])
def test_rows_of_several_segments_equal_the_reference(rows, columns):
    """A segment has up to 128 positions, of which a latent has one at 1/16 of the pixels and two at 1/8."""
    assert_same_as_reference(extreme(rows, config_of(6, 5, 2, 3, 2)), rows, columns, 37, columns)


def test_widths_of_the_shipped_model_with_extreme_weights_equal_the_reference():
    assert_same_as_reference(extreme(5, config_of(512, 176, 1, 288, 1)), 2, 3, 100, 6)


def test_many_blocks_equal_the_reference():
    """Threads wait for each other in front of every one."""
    assert_same_as_reference(extreme(3, config_of(4, 2, 21, 3, 17)), 2, 3, 1, 8)


def test_the_extremes_are_extreme():
    """Or the tests above would show less than they say: tensors, sums and samples saturate at both ends."""
    below, above, ends = Counter(), Counter(), set()

    def note(name, x, low, high):
        below[name] += int((x < low).sum())
        above[name] += int((x > high).sum())

    for seed in range(8):
        net = extreme(seed)
        for name, module in net.named_modules():
            if isinstance(module, ScaledConv) and name not in ("shortcut", "head16"):  # these read latents
                module.register_forward_pre_hook(lambda _, args, name=name: note(name, args[0], LOW, HIGH))
        net.gain.register_forward_pre_hook(lambda _, args: note("gain", args[0], LOW, HIGH))
        for name in ("shortcut", "gain"):
            getattr(net, name).register_forward_hook(  # what comes out was clamped
                lambda *args, name=name: note(f"{name} made", args[2], 1 - SUM_LIMIT, SUM_LIMIT - 1)
            )
        made = samples(values(net, latents(seed, TINY.latents, 3, 4), 50, 1, branch=True))
        ends |= {int(made.min()), int(made.max())} - set(range(1, 255))
    assert len(below) == 5 * 3 + 2 + 3  # all convolutions but head16 and the shortcut, and what else is counted
    assert all(count > 0 for counts in (below, above) for count in counts.values()), (below, above)
    assert ends == {0, 255}


@pytest.mark.parametrize("inputs", [2, 34, 128])
def test_an_accumulator_one_below_its_limit(inputs):
    """And a quality vector that is added to it: 32 bits hold both, at either end."""
    net = extreme(0, config_of(inputs, 3, 0, 8, 0))
    total = -LOW * 2 - 5  # of |weight|: 65531 * 32768 + 32767 = 2^31 - 2^17 - 1
    weight = torch.tensor([total // inputs + (i < total % inputs) for i in range(inputs)])
    signs = torch.tensor([-1, 1] * 4)  # weights of -1 and an input of -32768 make a positive sum
    net.head16.weight.copy_((signs[:, None] * weight)[:, :, None, None])
    net.head16.bias.copy_(-signs * HIGH)
    net.head16.shift.zero_()
    net.quality16.table.copy_((-signs * HIGH).expand(100, -1))
    net.tail16.weight.copy_(signs.repeat(12, 1)[:, :, None, None])
    net.tail16.bias.zero_()
    net.tail16.shift.fill_(7)
    net.check()
    y = np.full((1, 2, inputs), LOW, np.int16)
    want = samples(values(net, y.transpose(2, 0, 1), 50, 1, branch=True))[0].permute(1, 2, 0).numpy()
    for isa in _C.isas():
        _C.set_isa(isa)
        out = np.zeros((16, 32, 3), np.uint8)
        run(native(net), y, (1, 2), out)
        assert np.array_equal(out, want)
    net.head16.bias.copy_(-signs * (HIGH + 1))
    with pytest.raises(ValueError, match="head16 could overflow"):
        native(net)


def test_the_shortcuts_sums_one_below_their_limit():
    """Of weights and of their means, which are rounded up by a half each."""
    inputs = 300
    net = extreme(0, config_of(inputs, 1, 0, 1, 0))
    most = (ACCUMULATOR_LIMIT - 1) // 255
    weight = torch.tensor([most // inputs + (i < most % inputs) for i in range(inputs)])
    net.shortcut.weight.copy_(weight.expand(768, -1)[:, :, None, None])
    # Half of each square's outputs have one less of an input, so that the mean is a half and is rounded up again.
    net.shortcut.weight[0::2, 0::2] -= 1
    net.shortcut.weight[1::2, 1::2] -= 1
    net.shortcut.bias.fill_(-12345)
    net.shortcut.shift.fill_(8)
    net.check()
    low_bytes = np.array([255, -1, HIGH, LOW + 255, LOW], np.int16)  # four of 255, which low sums are largest of
    y = np.repeat(low_bytes[None, :, None], inputs, 2)
    for shrink in SHRINKS:
        want = samples(values(net, y.transpose(2, 0, 1), 1, shrink, branch=False), 16)[0].permute(1, 2, 0).numpy()
        for isa in _C.isas():
            _C.set_isa(isa)
            out = np.zeros(want.shape, np.uint16)
            run(native(net), y, (1, 5), out, shrink=shrink, branch=False)
            assert np.array_equal(out, want)
    net.shortcut.weight[0, 0] += 1
    for refuses in (net.check, lambda: native(net)):
        with pytest.raises(ValueError, match="shortcut could overflow"):
            refuses()


def test_one_synthesis_serves_many_threads_at_once():
    net = extreme(1)
    synthesis, y = native(net), latents(1, TINY.latents, 5, 6).transpose(1, 2, 0).astype(np.int16)
    y = np.ascontiguousarray(y)

    def make(quality):
        out = np.zeros((80, 96, 3), np.uint8)
        for _ in range(5):
            run(synthesis, y, (5, 6), out, quality=quality, threads=2)
        return out

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(make, range(1, 9)))
    assert all(np.array_equal(a, make(quality)) for quality, a in enumerate(together, 1))


# ------------------------------------------------------------------ tensors that are refused


LAYERS = [name for name, module in IntegerSynthesis(TINY).named_modules() if isinstance(module, ScaledConv)]
TABLES = ["quality16.table", "quality8.table", "gain.table"]
NAMES = [f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias", "shift")] + [*TABLES, "gain.shift"]


@pytest.fixture(scope="module")
def some_tensors():
    return tensors_of(extreme(0))


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_that_is_missing_or_of_another_type_or_shape_is_refused(some_tensors, name):
    right = some_tensors[name]
    wrong = [
        (
            r"is (int16|int32|uint8), must be (int16|int32|uint8)",
            right.astype({"int16": np.int32, "int32": np.int16, "uint8": np.int16}[str(right.dtype)]),
        ),
        ("must be int16, int32 or uint8", right.astype(np.float32)),
        ("must be int16, int32 or uint8", right.astype(">i2")),
        ("has shape .*, must have ", right[:-1]),
        ("has shape .*, must have ", right[..., None]),
        ("has shape .*, must have ", right.reshape(-1, 1, 1)),
    ]
    if len(right) > 1:
        wrong.append(("must be contiguous", np.repeat(right, 2, 0)[::2]))
    for words, array in wrong:
        with pytest.raises(ValueError, match=f"^{name} {words}"):
            _C.Synthesis(some_tensors | {name: array}, **sizes(TINY))
    with pytest.raises(ValueError, match=f"^{name} is missing"):
        _C.Synthesis({k: v for k, v in some_tensors.items() if k != name}, **sizes(TINY))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("body8.1.space.shift", filled(21)), "body8.1.space has a shift above 20"),
        (changed("head16.shift", filled(255)), "head16 has a shift above 20"),
        (changed("tail8.bias", filled(-(2**31))), "tail8 could overflow its accumulator"),
        (changed("body16.0.mix_out.bias", filled(2**31 - 2**17)), "body16.0.mix_out could overflow its accumulator"),
        (changed("shortcut.bias", filled(-(2**31))), "shortcut could overflow its accumulator"),
        (changed("shortcut.shift", lambda a: a * 0 + 1), "shortcut has shifts that are not one from 2 to 20"),
        (changed("shortcut.shift", lambda a: a * 0 + 21), "shortcut has shifts that are not one from 2 to 20"),
        (changed("shortcut.shift", lambda a: np.where(np.arange(768) == 767, 3, 4).astype(a.dtype)), "are not one"),
        (changed("gain.shift", filled(0)), "gain.shift is 0: 1 to 30 are allowed"),
        (changed("gain.shift", filled(31)), "gain.shift is 31: 1 to 30 are allowed"),
        (changed("gain.table", lambda a: np.zeros(a.shape, "V0")), "gain.table must be int16, int32 or uint8"),
        (
            changed("gain.table", lambda a: np.zeros(2 * a.size + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)),
            "aligned",
        ),
    ],
)
def test_tensors_that_break_a_rule_are_refused(some_tensors, change, words):
    tensors = {name: array.copy() for name, array in some_tensors.items()}
    change(tensors)
    with pytest.raises(ValueError, match=words):
        _C.Synthesis(tensors, **sizes(TINY))


@pytest.mark.parametrize(
    "change",
    [
        *({name: value} for name in ("latents", "wide8", "wide16") for value in (0, -1, 2**14 + 1, 2**31 - 1)),
        *({name: value} for name in ("blocks8", "blocks16") for value in (-1, 65, 3)),
        {"latents": 7},
        {"latents": 10},
    ],
)
def test_a_configuration_that_breaks_a_rule_or_has_other_tensors_is_refused(some_tensors, change):
    with pytest.raises(ValueError):
        _C.Synthesis(some_tensors, **(sizes(TINY) | change))


# ------------------------------------------------------------------ calls that are refused


def run(synthesis, y, picture, out, **changes):
    given = dict(at=(0, 0), quality=50, shrink=1, branch=True, origin=(0, 0), threads=1)
    synthesis.run(y, picture=picture, out=out, **(given | changes))


@pytest.fixture(scope="module")
def synthesis():
    return native(extreme(0))


def strided(array, **options):
    return np.lib.stride_tricks.as_strided(array, **options)


Y = np.zeros((3, 4, TINY.latents), np.int16)
OUT = np.full((48, 64, 3), UNTOUCHED, np.uint8)
READ_ONLY = OUT.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(quality=0), "quality is 0, allowed are 1 to 100"),
        (dict(quality=101), "quality is 101"),
        (dict(shrink=0), "shrink must be 1, 2, 4 or 8"),
        (dict(shrink=3), "shrink must be"),
        (dict(shrink=16), "shrink must be"),
        (dict(shrink=-1), "shrink must be"),
        (dict(threads=0), "threads is 0"),
        (dict(threads=-(2**31)), "threads is"),
        (dict(picture=(0, 4)), "rows is 0"),
        (dict(picture=(3, 4097)), "columns is 4097"),
        (dict(at=(-1, 0)), "at is -1"),
        (dict(at=(0, 2**31 - 1)), "at is"),
        (dict(y=Y[..., :-1]), r"latents must be \[rows, columns, 8\]"),
        (dict(y=Y[0]), "latents must be"),
        (dict(y=Y[None]), "latents must be"),
        (dict(y=Y.transpose(1, 0, 2)), "latents must be contiguous but for its rows"),
        (dict(y=np.zeros((3, 4, 16), np.int16)[..., ::2]), "latents must be contiguous but for its rows"),
        (dict(y=np.zeros(2 * Y.size + 1, np.uint8)[1:].view(np.int16).reshape(Y.shape)), "latents is not aligned"),
        (dict(y=strided(Y, shape=(2**32 + 3, 4, 8), strides=(0, 16, 2))), "latents is larger than any picture"),
        (dict(out=OUT[..., :2]), r"out must be \[rows, columns, 3\]"),
        (dict(out=OUT[..., 0]), "out must be"),
        (dict(out=OUT[None]), "out must be"),
        (dict(out=OUT.astype(np.int16)), "out must be uint8 or uint16"),
        (dict(out=OUT.astype(np.float32)), "out must be uint8 or uint16"),
        (dict(out=OUT.astype(">u2")), "out must be uint8 or uint16"),
        (dict(out=OUT[:, ::-1]), "out must be contiguous but for its rows"),
        (dict(out=OUT[:, :, ::-1]), "out must be contiguous but for its rows"),
        (dict(out=OUT[:, ::2]), "out must be contiguous but for its rows"),
        (dict(out=READ_ONLY), "not writeable"),
        (dict(out=strided(OUT, shape=(2**32 + 1, 64, 3), strides=(0, 3, 1))), "out is larger than any picture"),
        (dict(out=np.zeros(2 * OUT.size + 1, np.uint8)[1:].view(np.uint16).reshape(OUT.shape)), "out is not aligned"),
        (dict(origin=(1, 0)), "the area is not within the picture"),
        (dict(origin=(0, 1)), "the area is not within the picture"),
        (dict(origin=(-1, 0)), "origin is -1"),
        (dict(origin=(2**31 - 1, 0)), "origin is"),
        (dict(shrink=2), "the area is not within the picture"),
        (dict(at=(1, 0)), "the latents do not cover the area"),
        (dict(y=Y[:, :-1]), "the latents do not cover the area"),
        (dict(y=Y[:0]), "the latents do not cover the area"),
        (
            dict(y=Y[:2], out=OUT[:16]),
            "the latents do not cover the area",
        ),  # the branch looks further
        (dict(y=Y[1:], at=(1, 0), out=OUT[:16], origin=(15, 0), branch=False), "do not cover the area"),
    ],
)
def test_arguments_that_break_a_rule_are_refused_and_nothing_is_written(synthesis, changes, words):
    given = dict(y=Y, picture=(3, 4), out=OUT) | changes
    with pytest.raises(ValueError, match=words):
        run(synthesis, **given)
    assert (OUT == UNTOUCHED).all() and (READ_ONLY == UNTOUCHED).all()


@pytest.mark.parametrize(
    "changes", [dict(y=Y.astype(np.int32)), dict(y=Y.tolist()), dict(out=None), dict(quality=2**40), dict(at=3)]
)
def test_arguments_of_another_type_are_refused(synthesis, changes):
    with pytest.raises(TypeError):
        run(synthesis, **(dict(y=Y, picture=(3, 4), out=OUT) | changes))
    assert (OUT == UNTOUCHED).all()


def test_an_empty_area_is_within_every_picture(synthesis):
    for out in (OUT[:0], OUT[:, :0]):
        run(synthesis, Y, (3, 4), out)


def test_latents_and_samples_may_lie_bottom_up_in_memory():
    net = extreme(2)
    y = np.ascontiguousarray(latents(2, TINY.latents, 3, 4).transpose(1, 2, 0).astype(np.int16))
    whole, flipped = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)
    run(native(net), y, (3, 4), whole)
    run(native(net), y[::-1].copy()[::-1], (3, 4), flipped[::-1])
    assert np.array_equal(whole, flipped[::-1])

"""The analysis and the hyper-analysis of csrc against the reference: every latent equal, whatever the machine."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from extremes import OF_PIXELS, SIZES, TINY, config_of, extreme_analysis, extreme_hyper_analysis, latents, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import _C
from codec.coding.model_tensors import ACCUMULATOR_LIMIT, HIGH, LARGEST_PIXEL, LOW
from codec.nets.integer_analysis import IntegerAnalysis, IntegerHyperAnalysis
from codec.nets.scaled import SUM_LIMIT, ScaledConv, ScaledNet


@pytest.fixture(autouse=True)
def isa_as_before():
    isa = _C.isa()
    yield
    _C.set_isa(isa)


def sizes(net: ScaledNet) -> dict[str, int]:
    of_hyper = ("latents", "context", "hyper")
    names = of_hyper if isinstance(net, IntegerHyperAnalysis) else ("latents", "wide8", "blocks8", "wide16", "blocks16")
    return {name: getattr(net.config, name) for name in names}


def kind_of(net: ScaledNet) -> type:
    return _C.HyperAnalysis if isinstance(net, IntegerHyperAnalysis) else _C.Analysis


def tensors_of(net: ScaledNet) -> dict[str, np.ndarray]:
    """As csrc takes them: weights that a file has with 8 bits are int16."""
    kept = {name: t.numpy() for name, t in net.state_dict().items() if not name.endswith(".fraction")}
    return {name: v.astype(np.int16 if v.dtype == np.int8 else v.dtype) for name, v in kept.items()}


def native(net: ScaledNet) -> "_C.Analysis | _C.HyperAnalysis":
    return kind_of(net)(tensors_of(net), **sizes(net))


def reference(net: ScaledNet, x: np.ndarray, quality: int) -> np.ndarray:
    """What the readable integers make of [height, width, channels]: int16, likewise."""
    made = net(torch.from_numpy(x).permute(2, 0, 1)[None].double(), torch.tensor([quality]))[0].permute(1, 2, 0)
    return np.ascontiguousarray(made.to(torch.int16).numpy())


def analyse(analysis: "_C.Analysis", x: np.ndarray, quality: int, threads: int = 1) -> np.ndarray:
    """All latents of a picture."""
    picture = x.shape[0] // 16, x.shape[1] // 16
    return analysis.run(x, at=(0, 0), picture=picture, quality=quality, area=(0, 0, *picture), threads=threads)


def around(start: int, length: int, whole: int, halo: int) -> tuple[int, int]:
    """The latents whose pixels some latents of a row or a column look at."""
    return max(start - halo, 0), min(start + length + halo, whole)


def assert_same_latents(net: IntegerAnalysis, rows: int, columns: int, quality: int, seed: int) -> None:
    """Of the whole picture and of a part, given no more pixels than the halo says, with some number of threads."""
    rng = np.random.default_rng(seed)
    x, analysis = pixels(seed, rows, columns), native(net)
    want = reference(net, x, quality)
    (y0, y1), (x0, x1) = (np.sort(rng.choice(n + 1, 2, replace=False)).tolist() for n in (rows, columns))
    top, bottom = around(y0, y1 - y0, rows, net.config.halo)
    left, right = around(x0, x1 - x0, columns, net.config.halo)
    part = x[16 * top : 16 * bottom, 16 * left : 16 * right].copy()
    for isa in _C.isas():
        _C.set_isa(isa)
        threads = int(rng.integers(1, 4))
        got = analyse(analysis, x, quality, threads)
        assert got.dtype == np.int16 and np.array_equal(got, want), isa
        got = analysis.run(
            part,
            at=(top, left),
            picture=(rows, columns),
            quality=quality,
            area=(y0, x0, y1 - y0, x1 - x0),
            threads=threads,
        )
        assert np.array_equal(got, want[y0:y1, x0:x1]), (isa, y0, y1, x0, x1)


def assert_same_hyperlatents(net: IntegerHyperAnalysis, rows: int, columns: int, quality: int, seed: int) -> None:
    """`rows`, `columns`: of the hyperlatents."""
    y = latents(seed, net.config.latents, 4 * rows, 4 * columns).transpose(1, 2, 0).astype(np.int16)
    y, analysis = np.ascontiguousarray(y), native(net)
    want = reference(net, y, quality)
    for isa in _C.isas():
        _C.set_isa(isa)
        for threads in (1, 3):
            got = analysis.run(y, quality=quality, threads=threads)
            assert got.dtype == np.int16 and np.array_equal(got, want), (isa, threads)


@settings(max_examples=100)
@given(pairs=st.integers(1, 20), **SIZES)
def test_every_latent_equals_the_reference(pairs, wide8, blocks8, wide16, blocks16, rows, columns, quality, seed):
    config = config_of(2 * pairs, wide8, blocks8, wide16, blocks16)
    assert_same_latents(extreme_analysis(seed, config), rows, columns, quality, seed)


@settings(max_examples=60)
@given(
    pairs=st.integers(1, 20),
    context=st.sampled_from([1, 2, 3, 7, 16, 31, 33]),
    hyper=st.sampled_from([1, 2, 5, 16, 17]),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    quality=st.sampled_from([1, 2, 50, 99, 100]),
    seed=st.integers(0, 2**31),
)
def test_every_hyperlatent_equals_the_reference(pairs, context, hyper, rows, columns, quality, seed):
    config = replace(TINY, latents=2 * pairs, context=context, hyper=hyper)
    assert_same_hyperlatents(extreme_hyper_analysis(seed, config), rows, columns, quality, seed)


@pytest.mark.parametrize(("rows", "columns"), [(1, 65), (2, 131), (1, 257), (70, 1), (19, 23)])
def test_rows_of_several_segments_equal_the_reference(rows, columns):
    """A segment has up to 128 positions, of which a latent has one at 1/16 of the pixels and two at 1/8."""
    assert_same_latents(extreme_analysis(rows, config_of(6, 5, 2, 3, 2)), rows, columns, 37, columns)
    assert_same_hyperlatents(extreme_hyper_analysis(rows), -(-rows // 4), -(-columns // 4), 37, columns)


def test_widths_of_the_shipped_model_with_extreme_weights_equal_the_reference():
    assert_same_latents(extreme_analysis(5, config_of(512, 176, 1, 288, 1)), 2, 3, 100, 6)
    config = replace(TINY, latents=512, context=128, hyper=64)
    assert_same_hyperlatents(extreme_hyper_analysis(5, config), 1, 2, 100, 6)


def test_many_blocks_equal_the_reference():
    """Threads wait for each other in front of every one."""
    assert_same_latents(extreme_analysis(3, config_of(4, 2, 21, 3, 17)), 2, 3, 1, 8)


@pytest.mark.parametrize("quality", [1, 55, 100])
def test_the_shipped_models_on_photographs_equal_the_reference(shipped, quality):
    """With the numbers that training leaves, too."""
    import photos

    from codec.coding.tile_input import tile_input
    from codec.container.format import Tile
    from codec.picture.pixels import to_pixels

    x = tile_input(to_pixels(photos.photo(70, 120, seed=quality)), Tile(0, 0, 120, 70))
    y = reference(shipped.integers["analysis"], x, quality)
    for isa in _C.isas():
        _C.set_isa(isa)
        assert np.array_equal(analyse(native(shipped.integers["analysis"]), x, quality, 2), y)
    hyper, y = shipped.integers["hyper_analysis"], np.pad(y, ((0, 3), (0, 0), (0, 0)), "edge")
    for isa in _C.isas():
        _C.set_isa(isa)
        assert np.array_equal(native(hyper).run(y, quality=quality), reference(hyper, y, quality))


def test_the_extremes_are_extreme():
    """Or the tests above would show less than they say: tensors, sums and latents saturate at both ends."""
    below, above, ends = Counter(), Counter(), set()

    def note(name, x, low, high):
        below[name] += int((x < low).sum())
        above[name] += int((x > high).sum())

    def watch(net, prefix, elsewhere):
        """What convolutions read, but for those of the input, and those that an unshuffle precedes."""
        for name, module in net.named_modules():
            if isinstance(module, ScaledConv) and name not in elsewhere:
                name = prefix + name
                module.register_forward_pre_hook(lambda _, args, name=name: note(name, args[0], LOW, HIGH))
        for name in elsewhere & {"body8", "body", "body2"}:
            made = prefix + name
            net.get_submodule(name).register_forward_hook(lambda *args, made=made: note(made, args[2], LOW, HIGH))

    for seed in range(8):
        net, hyper = extreme_analysis(seed), extreme_hyper_analysis(seed)
        watch(net, "", {*OF_PIXELS, "head16", "body8"})
        watch(hyper, "hyper.", {"head", "down2", "body", "down4", "body2"})
        net.gain.register_forward_pre_hook(lambda _, args: note("gain", args[0], LOW, HIGH))
        net.gain.register_forward_hook(lambda *args: note("gain made", args[2], 1 - SUM_LIMIT, SUM_LIMIT - 1))
        net.shortcut.register_forward_hook(lambda *args: note("shortcut made", args[2], 1 - SUM_LIMIT, SUM_LIMIT - 1))
        made = reference(net, pixels(seed, 3, 4), 50)
        y = latents(seed, TINY.latents, 8, 4).transpose(1, 2, 0)
        ends |= {int(v) for array in (made, reference(hyper, y, 50)) for v in (array.min(), array.max())}
    # The blocks of the analysis, body8, tail, gain and two sums; the blocks of the hyper-analysis, two bodies and tail.
    assert len(below) == 5 * 3 + 2 + 3 + 5 * 3 + 3
    assert all(count > 0 for counts in (below, above) for count in counts.values()), (below, above)
    assert {LOW, HIGH} <= ends


@pytest.mark.parametrize(("name", "terms"), [("head8", 192), ("shortcut", 768)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_accumulator_of_pixels_one_below_its_limit(name, terms, sign):
    """Pixels have magnitudes up to 4096 only, and so weights may be larger than those of other convolutions."""
    net = extreme_analysis(0, config_of(4, 3, 0, 8, 0))
    conv = net.get_submodule(name)
    total = (ACCUMULATOR_LIMIT - 1) // LARGEST_PIXEL  # of |weight|
    weight = torch.tensor([total // terms + (i < total % terms) for i in range(terms)])
    conv.weight.copy_(sign * weight[:, None, None])
    conv.bias.fill_(sign * (ACCUMULATOR_LIMIT - 1 - total * LARGEST_PIXEL))
    conv.shift.zero_()
    net.quality8.table.fill_(HIGH)
    for value in (-LARGEST_PIXEL, LARGEST_PIXEL):
        x = np.full((16, 32, 3), value, np.int16)
        want = reference(net, x, 50)
        for isa in _C.isas():
            _C.set_isa(isa)
            assert np.array_equal(analyse(native(net), x, 50), want)
    conv.bias += sign
    with pytest.raises(ValueError, match=f"{name} could overflow its accumulator"):
        native(net)


def test_one_analysis_serves_many_threads_at_once():
    net, hyper = extreme_analysis(1), extreme_hyper_analysis(1)
    analyses, x = (native(net), native(hyper)), pixels(1, 8, 4)
    y = reference(net, x, 1)

    def make(quality):
        for _ in range(5):
            made = analyse(analyses[0], x, quality, 2), analyses[1].run(y, quality=quality, threads=2)
        return made

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(make, range(1, 9)))
    for quality, (ours, theirs) in enumerate(together, 1):
        assert np.array_equal(ours, reference(net, x, quality))
        assert np.array_equal(theirs, reference(hyper, y, quality))


@pytest.mark.parametrize("blocks8", range(4))
@pytest.mark.parametrize("blocks16", range(3))
def test_the_halo_is_all_that_is_read_and_no_more(blocks8, blocks16):
    """One latent's pixels less, on any side, is refused; and what lies beyond the halo changes nothing."""
    net = extreme_analysis(7, config_of(4, 3, blocks8, 5, blocks16))
    analysis, halo, n = native(net), net.config.halo, 13
    x, at = pixels(7, n, n), n // 2
    want = reference(net, x, 20)[at : at + 1, at : at + 1]
    low, high = at - halo, at + 1 + halo

    def run(top, bottom, left, right):
        part = x[16 * top : 16 * bottom, 16 * left : 16 * right].copy()
        return analysis.run(part, at=(top, left), picture=(n, n), quality=20, area=(at, at, 1, 1))

    assert np.array_equal(run(low, high, low, high), want)
    for change in ((1, 0, 0, 0), (0, -1, 0, 0), (0, 0, 1, 0), (0, 0, 0, -1)):
        with pytest.raises(ValueError, match="the pixels do not cover the area"):
            run(*np.add((low, high, low, high), change))


# ------------------------------------------------------------------ tensors that are refused


NETS = {"analysis": extreme_analysis(0), "hyper_analysis": extreme_hyper_analysis(0)}
NAMES = [(net, name) for net in NETS for name in tensors_of(NETS[net])]


@pytest.mark.parametrize(("net", "name"), NAMES)
def test_a_tensor_that_is_missing_or_of_another_type_or_shape_is_refused(net, name):
    net = NETS[net]
    tensors = tensors_of(net)
    right = tensors[name]
    other = {"int16": np.int32, "int32": np.int16, "uint8": np.int16}[str(right.dtype)]
    wrong = [
        (r"is (int16|int32|uint8), must be (int16|int32|uint8)", right.astype(other)),
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
            kind_of(net)(tensors | {name: array}, **sizes(net))
    with pytest.raises(ValueError, match=f"^{name} is missing"):
        kind_of(net)({k: v for k, v in tensors.items() if k != name}, **sizes(net))


@pytest.mark.parametrize(
    ("net", "name", "value", "words"),
    [
        ("analysis", "body8.1.space.shift", 21, "body8.1.space has a shift above 20"),
        ("analysis", "shortcut.shift", 255, "shortcut has a shift above 20"),
        ("analysis", "tail.bias", -(2**31), "tail could overflow its accumulator"),
        ("analysis", "body16.0.mix_out.bias", ACCUMULATOR_LIMIT, "body16.0.mix_out could overflow its accumulator"),
        ("analysis", "shortcut.bias", -(2**31), "shortcut could overflow its accumulator"),
        ("analysis", "gain.shift", 0, "gain.shift has 0: 1 to 30 are allowed"),
        ("analysis", "gain.shift", 31, "gain.shift has 31: 1 to 30 are allowed"),
        ("hyper_analysis", "down2.shift", 21, "down2 has a shift above 20"),
        ("hyper_analysis", "down4.bias", 2**31 - 1, "down4 could overflow its accumulator"),
        ("hyper_analysis", "body4.space.bias", ACCUMULATOR_LIMIT, "body4.space could overflow its accumulator"),
    ],
)
def test_tensors_that_break_a_rule_are_refused(net, name, value, words):
    tensors = tensors_of(NETS[net])
    tensors[name].flat[-1] = value  # one output of many
    with pytest.raises(ValueError, match=words):
        kind_of(NETS[net])(tensors, **sizes(NETS[net]))


@pytest.mark.parametrize(
    ("net", "change"),
    [
        *(("analysis", {k: v}) for k in ("latents", "wide8", "wide16") for v in (0, -1, 2**14 + 1, 2**31 - 1)),
        *(("analysis", {k: v}) for k in ("blocks8", "blocks16") for v in (-1, 65, 3)),
        *(("analysis", {"latents": n}) for n in (7, 10)),
        *(("hyper_analysis", {k: v}) for k in ("latents", "context", "hyper") for v in (0, -1, 2**14 + 1, 2**31 - 1)),
        *(("hyper_analysis", {"latents": n}) for n in (7, 10)),
        ("hyper_analysis", {"hyper": 5}),
    ],
)
def test_a_configuration_that_breaks_a_rule_or_has_other_tensors_is_refused(net, change):
    with pytest.raises(ValueError):
        kind_of(NETS[net])(tensors_of(NETS[net]), **(sizes(NETS[net]) | change))


# ------------------------------------------------------------------ calls that are refused


def unaligned(array):
    return np.zeros(2 * array.size + 1, np.uint8)[1:].view(np.int16).reshape(array.shape)


def endless(array, rows):
    """As if there were so many rows, with no memory behind them."""
    return np.lib.stride_tricks.as_strided(array, shape=(rows, *array.shape[1:]), strides=(0, *array.strides[1:]))


X = np.zeros((48, 64, 3), np.int16)
Y = np.zeros((8, 12, TINY.latents), np.int16)
RUN = dict(pixels=X, at=(0, 0), picture=(3, 4), quality=50, area=(0, 0, 3, 4), threads=1)
RUN_HYPER = dict(latents=Y, quality=50, threads=1)
NOT_ALL = "the pixels do not cover the area"
OF_SHAPE = r"pixels must be \[rows, columns, 3\], rows and columns multiples of 16"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(quality=0), "quality is 0, allowed are 1 to 100"),
        (dict(quality=101), "quality is 101"),
        (dict(threads=0), "threads is 0"),
        (dict(threads=-(2**31)), "threads is"),
        (dict(threads=2**31 - 1), "threads is"),
        (dict(picture=(0, 4)), "rows is 0"),
        (dict(picture=(3, 4097)), "columns is 4097"),
        (dict(at=(-1, 0)), "at is -1"),
        (dict(at=(0, 2**31 - 1)), "at is"),
        (dict(area=(0, 0, 3, -1)), "area is -1"),
        (dict(area=(-1, 0, 3, 4)), "area is -1"),
        (dict(area=(0, 0, 3, 2**31 - 1)), "area is"),
        (dict(area=(0, 0, 4, 4)), "the area is not within the picture"),
        (dict(area=(0, 1, 3, 4)), "the area is not within the picture"),
        (dict(area=(3, 0, 1, 1)), "the area is not within the picture"),
        (dict(pixels=X[..., :2]), "pixels has shape"),
        (dict(pixels=np.full((48, 64, 3), 4097, np.int16)), "pixels have 4097: magnitudes up to 4096"),
        (dict(pixels=np.full((48, 64, 3), -4097, np.int16)), "pixels have -4097"),
        (dict(pixels=np.zeros((48, 64, 4), np.int16)), "pixels has shape"),
        (dict(pixels=X[..., 0]), OF_SHAPE),
        (dict(pixels=X[None]), OF_SHAPE),
        (dict(pixels=X[:-1]), OF_SHAPE),
        (dict(pixels=X[:, :-1]), OF_SHAPE),
        (dict(pixels=endless(X, 2**32)), OF_SHAPE),
        (dict(pixels=endless(X, 2**17)), OF_SHAPE),
        (dict(pixels=X[::-1]), "pixels must be contiguous"),
        (dict(pixels=X[:, ::-1]), "pixels must be contiguous"),
        (dict(pixels=X[:, :, ::-1]), "pixels must be contiguous"),
        (dict(pixels=endless(X, 48)), "pixels must be contiguous"),
        (dict(pixels=unaligned(X)), "pixels is not aligned"),
        (dict(pixels=X[:0]), NOT_ALL),
        (dict(pixels=X[:32]), NOT_ALL),
        (dict(pixels=np.zeros((48, 48, 3), np.int16)), NOT_ALL),
        (dict(at=(1, 0)), NOT_ALL),
        (dict(at=(0, 1)), NOT_ALL),
        (dict(pixels=X[:16], area=(0, 0, 1, 4)), NOT_ALL),  # the branch looks further
        (dict(pixels=X[16:], at=(1, 0), area=(2, 0, 1, 1)), NOT_ALL),
    ],
)
def test_arguments_of_the_analysis_that_break_a_rule_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        native(NETS["analysis"]).run(**(RUN | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(quality=0), "quality is 0, allowed are 1 to 100"),
        (dict(quality=101), "quality is 101"),
        (dict(threads=0), "threads is 0"),
        (dict(latents=Y[..., :-1]), "latents has shape"),
        (dict(latents=Y[:0]), r"latents must be \[rows, columns, channels\], rows and columns multiples of 4"),
        (dict(latents=Y[:, :0]), "latents must be"),
        (dict(latents=Y[:7]), "latents must be"),
        (dict(latents=Y[:, :10]), "latents must be"),
        (dict(latents=Y[0]), "latents must be"),
        (dict(latents=Y[None]), "latents must be"),
        (dict(latents=endless(Y, 2**32)), "latents must be"),
        (dict(latents=endless(Y, 4100)), "latents must be"),
        (dict(latents=Y[::-1]), "latents must be contiguous"),
        (dict(latents=Y.transpose(1, 0, 2)), "latents must be contiguous"),
        (dict(latents=unaligned(Y)), "latents is not aligned"),
    ],
)
def test_arguments_of_the_hyper_analysis_that_break_a_rule_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        native(NETS["hyper_analysis"]).run(**(RUN_HYPER | changes))


@pytest.mark.parametrize(
    ("net", "changes"),
    [
        *(("analysis", dict(pixels=x)) for x in (X.astype(np.int32), X.astype(np.uint8), X.astype(">i2"), X.tolist())),
        *(("analysis", c) for c in (dict(pixels=None), dict(quality=2**40), dict(at=3), dict(area=(0, 0, 3)))),
        *(("hyper_analysis", dict(latents=y)) for y in (Y.astype(np.float32), Y.tolist(), None)),
        ("hyper_analysis", dict(quality=1.5)),
    ],
)
def test_arguments_of_another_type_are_refused(net, changes):
    with pytest.raises(TypeError):
        native(NETS[net]).run(**((RUN if net == "analysis" else RUN_HYPER) | changes))


def test_an_empty_area_is_within_every_picture():
    for area in ((0, 0, 0, 4), (3, 4, 0, 0), (1, 2, 2, 0)):
        assert native(NETS["analysis"]).run(**(RUN | dict(area=area))).shape == (*area[2:], TINY.latents)

"""The integer synthesis against a slow oracle on plain integers, and against the float synthesis it came from."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from extremes import TINY, extreme, latents
from photos import kodak, photo, psnr
from torch import nn

from codec.coding import model_search
from codec.coding.model_config import LINEAR_FROM, Config
from codec.nets import torch_codec
from codec.nets.calibration import calibration_latents, synthetic_pictures
from codec.nets.integer import to_fixed
from codec.nets.integer_synthesis import TAIL8_MARGIN, IntegerSynthesis, samples
from codec.nets.layers import QualityVector, saturate
from codec.nets.model import Model
from codec.nets.scaled import MARGIN, IntegerGain, ScaledConv, fraction_for, largest_magnitudes
from codec.train import export

LEVELS = torch.linspace(1, 120, 100)
MARGINS = {"tail8": TAIL8_MARGIN}


# ------------------------------------------------------------------ the oracle: FORMAT §8 in int64, loop by loop


class Oracle:
    """Written from the rule alone. Tensors are int64 [C, h, w]; every sum is checked to fit int32."""

    def __init__(self, state: dict[str, torch.Tensor], blocks8: int, blocks16: int):
        self.t = {name: value.numpy().astype(np.int64) for name, value in state.items()}
        self.blocks = {"body8": blocks8, "body16": blocks16}
        self.beyond = 0  # values that saturation changed

    def store(self, v: np.ndarray) -> np.ndarray:
        assert np.abs(v).max() < 2**31
        self.beyond += int(((v < -32768) | (v > 32767)).sum())
        return v.clip(-32768, 32767)

    def stage(self, name, x, vector=None, stored=None, leaky=False, shuffle=1):
        w, b, shift = (self.t[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        outputs, kernel, (height, width) = len(w), w.shape[2], x.shape[1:]
        v = np.zeros((outputs, height, width), np.int64)
        for o, i, j in itertools.product(range(outputs), range(height), range(width)):
            total = int(b[o]) + (1 << int(shift[o]) - 1 if shift[o] else 0)
            for di, dj in itertools.product(range(kernel), repeat=2):
                y, z = i + di - kernel // 2, j + dj - kernel // 2
                if 0 <= y < height and 0 <= z < width:
                    column = x[:, y, z] if kernel == 1 else x[o : o + 1, y, z]
                    total += int((w[o, :, di, dj] * column).sum())
            assert abs(total) < 2**31
            v[o, i, j] = total >> int(shift[o])
        v = self.shuffle(v, shuffle)
        if vector is not None:
            v = v + vector[:, None, None]
        if stored is not None:
            v = v + stored
        if leaky:
            v = np.where(v >= 0, v, (v + 4) >> 3)
        return self.store(v)

    @staticmethod
    def shuffle(x, n):
        channels, height, width = x.shape
        out = np.zeros((channels // n**2, height * n, width * n), np.int64)
        for c, i, j in itertools.product(range(channels // n**2), range(n), range(n)):
            out[c, i::n, j::n] = x[c * n * n + i * n + j]
        return out

    def body(self, name, x):
        for i in range(self.blocks[name]):
            block = f"{name}.{i}."
            t = self.stage(block + "space_in", x, leaky=True)
            t = self.stage(block + "space", t)
            x = self.stage(block + "space_out", t, stored=x)
            t = self.stage(block + "mix_in", x, leaky=True)
            x = self.stage(block + "mix_out", t, stored=x)
        return x

    def branch(self, y, q):
        x = self.body("body16", self.stage("head16", y, vector=self.t["quality16.table"][q - 1]))
        x = self.body("body8", self.stage("tail16", x, vector=self.t["quality8.table"][q - 1], shuffle=2))
        t8, g = self.stage("tail8", x), int(self.t["gain.shift"][0])
        product = self.t["gain.table"][q - 1][:, None, None] * t8 + (1 << g - 1)
        assert np.abs(product).max() < 2**31
        return (product >> g).clip(-(2**23), 2**23)

    def shortcut(self, y, shrink):
        w, b = self.t["shortcut.weight"][:, :, 0, 0], self.t["shortcut.bias"]
        n, bits = 16 // shrink, 2 * int(math.log2(shrink))
        means_w, means_b = np.zeros((3 * n * n, w.shape[1]), np.int64), np.zeros(3 * n * n, np.int64)
        for c, i, j in itertools.product(range(3), range(n), range(n)):
            rows = [
                c * 256 + (i * shrink + di) * 16 + j * shrink + dj
                for di, dj in itertools.product(range(shrink), repeat=2)
            ]
            half = shrink * shrink // 2
            means_w[c * n * n + i * n + j] = (w[rows].sum(0) + half) >> bits
            means_b[c * n * n + i * n + j] = (b[rows].sum() + half) >> bits
        shift = int(self.t["shortcut.shift"][0])
        high, low = y >> 8, y & 255
        total_high = np.einsum("om,mhw->ohw", means_w, high)
        total_low = np.einsum("om,mhw->ohw", means_w, low)
        assert np.abs(total_low).max() < 2**31
        total = total_high + (total_low >> 8) + means_b[:, None, None] + (1 << shift - 1)
        assert np.abs(total).max() < 2**31
        return (total >> shift).clip(-(2**23), 2**23)

    def values(self, y, q, shrink, with_branch):
        v = self.shuffle(self.shortcut(y, shrink), 16 // shrink)
        if with_branch:
            b = self.shuffle(self.branch(y, q), 8)
            total = sum(b[:, i::shrink, j::shrink] for i, j in itertools.product(range(shrink), repeat=2))
            v = v + ((total + shrink * shrink // 2) >> 2 * int(math.log2(shrink)))
        return v

    @staticmethod
    def sample(v: list[int], bits: int, gray: bool) -> list[int]:
        """v: the three channels at one position, Python ints."""
        scale = 1 if bits == 8 else 257
        if gray:
            return [(scale * max(0, min(783360, sum(v))) + 1536) // 3072]
        return [(scale * max(0, min(261120, c)) + 512) >> 10 for c in v]


@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
@pytest.mark.parametrize("seed", range(4))
def test_values_equal_the_oracle(seed, shrink):
    net = extreme(seed)
    oracle = Oracle(net.state_dict(), TINY.blocks8, TINY.blocks16)
    y, quality = latents(seed, TINY.latents, 2, 3), (1, 42, 99, 100)[seed]
    for level, with_branch in ((1.0, True), (120.0, shrink < 4)):
        got = net.values(torch.from_numpy(y).double()[None], torch.tensor([quality]), level, shrink)
        assert got.dtype == torch.int32
        assert np.array_equal(got[0].numpy(), oracle.values(y, quality, shrink, with_branch))
    assert oracle.beyond > 100


def test_the_branch_is_left_out_from_the_levels_of_the_float_synthesis_on():
    net = extreme(0)
    y = torch.from_numpy(latents(0, TINY.latents, 2, 3)).double()[None]
    for shrink, level in ((4, 32.0), (8, 10.0)):
        with_branch, without = (net.values(y, torch.tensor([50]), at, shrink) for at in (level - 0.01, level))
        assert not torch.equal(with_branch, without)
        assert torch.equal(without, net.values(y, torch.tensor([1]), 120.0, shrink))  # which no quality's table changes


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("gray", [False, True])
def test_samples_equal_python_integers(bits, gray):
    rng = np.random.default_rng(bits + gray)
    ties = [512 * k + d for k in (0, 1, 2, 255, 509, 510) for d in (-1, 0, 1)]
    ends = [-(2**24), -1, 0, 1, 511, 512, 261119, 261120, 261121, 2**24]
    v = np.concatenate([rng.choice([*ties, *ends], (500, 3)), rng.integers(-2000, 264000, (1500, 3))])
    got = samples(torch.from_numpy(v.T.reshape(1, 3, 50, 40)).to(torch.int32), bits, gray)
    want = [Oracle.sample([int(c) for c in row], bits, gray) for row in v]
    assert got.dtype == torch.int32 and got.shape == (1, 1 if gray else 3, 50, 40)
    assert got[0].flatten(1).T.tolist() == want
    assert got.min() == 0 and got.max() == 2**bits - 1


def test_a_gray_sample_of_equal_channels_is_theirs():
    v = torch.arange(-600, 262000, 7, dtype=torch.int32).expand(1, 3, 1, -1)
    for bits in (8, 16):
        assert torch.equal(samples(v, bits, gray=True), samples(v, bits)[:, :1])


# ------------------------------------------------------------------ export


def lively(seed: int, config: Config = TINY) -> Model:
    """A random model whose every layer of the synthesis matters, with samples in range."""
    torch.manual_seed(seed)
    model = Model(config).eval()
    with torch.no_grad():
        for name, module in model.synthesis.named_modules():
            if isinstance(module, nn.Conv2d):
                size = 0.3 if name == "shortcut" else 1.0
                module.weight.normal_(0, size / math.sqrt(module.weight[0].numel()))
                module.bias.normal_(0, 0.1)
            elif isinstance(module, QualityVector):
                module.knots.normal_(-5.0 if name == "log_gain" else 0.0, 0.2)
        model.synthesis.whiten.uniform_(0.5, 4)
    return model


def some_latents(seed: int, config: Config = TINY) -> list[tuple[torch.Tensor, float]]:
    rng = torch.Generator().manual_seed(seed)
    return [(torch.randn(config.latents, 5, 4, generator=rng), level) for level in (1.0, 60.0, 120.0)]


@torch.no_grad()
def largest_of(model: Model, pairs: list[tuple[torch.Tensor, float]]) -> dict[str, float]:
    """What the synthesis' stored tensors reach with these latents."""
    with largest_magnitudes(model.synthesis, IntegerSynthesis.planes) as largest:
        for y, level in pairs:
            model.synthesis(y[None], torch.tensor([level]))
    return largest


def exported(model: Model, pairs: list[tuple[torch.Tensor, float]]) -> IntegerSynthesis:
    return IntegerSynthesis.from_float(model.config, model.synthesis, LEVELS, largest_of(model, pairs))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
def test_values_are_near_those_of_the_float_synthesis(seed, shrink):
    model, pairs = lively(seed), some_latents(seed)
    net = exported(model, pairs)
    net.check()
    for quality in (1, 20, 100):
        level = LEVELS[quality - 1 : quality]
        y = to_fixed(pairs[0][0])[None]
        want = 255 * model.synthesis((y / 4096).float(), level)
        if float(level) >= LINEAR_FROM.get(shrink, math.inf):
            want = 255 * F.pixel_shuffle(model.synthesis.shortcut((y / 4096).float()), 16)
        want = F.avg_pool2d(want, shrink) + 127.5
        got = net.values(y, torch.tensor([quality]), float(level), shrink) / 1024
        assert (got - want).abs().max() < 0.5 and want.std() > 5


def test_units_hold_what_calibration_saw_with_a_margin():
    model, pairs = lively(0), some_latents(0)
    net, seen = exported(model, pairs), largest_of(model, pairs)
    for plane, fraction in net.fractions().items():
        if plane != "latents":
            assert seen[plane] > 0
            assert fraction == fraction_for(seen[plane], MARGINS.get(plane, MARGIN))
    assert net.fractions()["latents"] == 12
    for largest in (0.0, 1e-9, 0.3, 1.0, 511.9, 512.0, 3e5, 1e30):
        for margin in (MARGIN, TAIL8_MARGIN):
            held = [f for f in range(-7, 21) if margin * largest * 2.0**f <= 32767]
            assert fraction_for(largest, margin) == max(held, default=-7)


def test_weights_have_the_largest_shift_for_which_the_proof_holds():
    model = lively(1)
    net = exported(model, some_latents(1))
    f = net.fractions()
    conv, layer = net.head16, model.synthesis.head16
    w = (layer.weight.double() * model.synthesis.whiten.double()[:, None, None]).detach()[:, :, 0, 0]
    for o, (row, bias) in enumerate(zip(w.tolist(), layer.bias.tolist(), strict=True)):

        def fits(shift, row=row, bias=bias):
            taps = [round(v * 2.0 ** (shift + f["stream16"] - 12)) for v in row]
            total = sum(map(abs, taps)) * 32768 + abs(round(bias * 2.0 ** (shift + f["stream16"]))) + 2**shift // 2
            return total < 2**31 - 2**17 and max(map(abs, taps)) <= 32767

        shift = int(conv.shift[o])
        assert fits(shift) and (shift == 20 or not fits(shift + 1))


@torch.no_grad()
@pytest.mark.parametrize("name", ["head16", "body8.1.mix_out", "shortcut"])
def test_export_names_the_layer_whose_weights_no_shift_can_hold(name):
    model, pairs = lively(2), some_latents(2)
    for y, _ in pairs:
        y[0] = 0  # so that calibration sees nothing of what head16 makes of it
    quiet = model.synthesis.body8[1].mix_in
    quiet.weight[0], quiet.bias[0] = 0, 0
    model.synthesis.get_submodule(name).weight[0, 0] = 1e9
    with pytest.raises(ValueError, match=f"^{name}: .*too large"):
        exported(model, pairs)


def test_export_refuses_what_it_cannot_calibrate():
    model = lively(3)
    with pytest.raises(ValueError, match="nothing to calibrate with"):
        exported(model, [])
    with torch.no_grad():
        model.synthesis.body16[0].mix_in.bias[0] = math.nan
    with pytest.raises(ValueError, match="body16.0.mix_in is not finite"):
        exported(model, some_latents(3))
    with torch.no_grad():
        model = lively(3)
        model.synthesis.log_gain.knots.fill_(60.0)
        model.synthesis.tail8.weight.zero_()
        model.synthesis.tail8.bias.zero_()
    with pytest.raises(ValueError, match="log_gain: gains too large"):
        exported(model, some_latents(3))


def test_floats_lead_back_to_the_same_integers():
    model, pairs = lively(4), some_latents(4)
    net = exported(model, pairs)
    other = lively(5)
    other.synthesis.load_state_dict(net.floats(LEVELS))
    for level in (1.0, 60.0, 120.0):
        want, got = (m.synthesis(pairs[0][0][None], torch.tensor([level])) for m in (model, other))
        assert (want - got).abs().max() < 0.5 / 255
    again = exported(other, pairs)
    assert again.fractions() == net.fractions()
    y = to_fixed(pairs[1][0])[None]
    for quality in (1, 50, 100):
        first, second = (n.values(y, torch.tensor([quality]), float(LEVELS[quality - 1])) for n in (net, again))
        assert (first - second).abs().max() < 300  # 0.3 level: rounded weights, rounded once more
    for name in ("head16", "body8.0.space", "tail8"):
        a, b = net.get_submodule(name), again.get_submodule(name)
        scale = torch.exp2(a.shift.double() - b.shift.double())[:, None, None, None]
        assert torch.equal(b.weight * scale, a.weight.double())


def test_gains_that_round_to_nothing_come_back_as_half_a_unit():
    gain = IntegerGain(2)
    gain.table[:, 0], gain.table[:, 1] = 0, 1000
    gain.shift.fill_(4)
    knots = gain.to_float(LEVELS, 3, 10)
    assert torch.allclose(knots.exp() * 2.0 ** (10 - 3 + 4), torch.tensor([0.5, 1000.0]).double())


# ------------------------------------------------------------------ files that lie


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("head16.shift", 21, "head16 could overflow"),
        ("head16.shift", 255, "head16 could overflow"),
        ("body8.1.mix_in.weight", 32767, "body8.1.mix_in could overflow"),
        ("tail16.bias", 2**31 - 1, "tail16 could overflow"),
        ("tail16.bias", -(2**31), "tail16 could overflow"),
        ("shortcut.shift", 1, "shortcut has shifts"),
        ("shortcut.shift", 21, "shortcut has shifts"),
        ("shortcut.bias", -(2**31), "shortcut could overflow"),
        ("shortcut.fraction", 9, "shortcut.fraction is 9"),
        ("gain.shift", 0, "gain.shift is 0"),
        ("gain.shift", 31, "gain.shift is 31"),
        ("head16.fraction", -8, "head16.fraction is -8|stream"),
        ("body16.0.space.fraction", 21, "body16.0.space.fraction is 21"),
        ("body16.0.space_out.fraction", 3, "body16.0.space_out.fraction is 3"),
    ],
)
def test_check_refuses_what_is_out_of_range(name, value, message):
    wide = Config(latents=300, wide8=20, blocks8=2, wide16=40, blocks16=1)
    net = IntegerSynthesis(wide)
    for conv in net.modules():
        if isinstance(conv, ScaledConv):
            conv.shift.fill_(2)
    net.shortcut.fraction.fill_(10)
    net.check()
    net.state_dict()[name].fill_(value)
    with pytest.raises(ValueError, match=message):
        net.check()


def test_check_refuses_shifts_of_the_shortcut_that_differ_and_sums_of_either_plane_that_overflow():
    net = extreme(0)
    net.shortcut.shift[700] ^= 1
    with pytest.raises(ValueError, match="shortcut has shifts"):
        net.check()
    net = IntegerSynthesis(Config(latents=300, wide8=8, blocks8=0, wide16=8, blocks16=0))
    net.shortcut.shift.fill_(2)
    net.shortcut.fraction.fill_(10)
    net.shortcut.weight[5, :256] = -32767
    net.shortcut.weight[5, 256] = 32488  # their sum and a half for each, times 255, is just below the limit
    net.check()
    net.shortcut.weight[5, 256] += 1
    with pytest.raises(ValueError, match="shortcut could overflow"):
        net.check()


# ------------------------------------------------------------------ calibration


def test_calibration_has_each_picture_at_five_levels_on_the_models_steps():
    model = lively(6)
    found = list(calibration_latents(model, LEVELS, [photo(40, 33), photo(530, 600)]))
    assert len(found) == 5 * 2
    assert found[0][0].shape == (TINY.latents, 3, 3) and found[5][0].shape == (TINY.latents, 32, 32)
    assert [level for _, level in found[:5]] == [float(LEVELS[q - 1]) for q in (1, 25, 50, 75, 100)]
    for y, level in found[:5]:
        symbols = y / model.log_step(torch.tensor([level])).exp()[0]
        assert (symbols - symbols.round())[y.abs() < 8].abs().max() < 1e-3 and y.abs().max() <= 8
    assert all(p.shape == (256, 256, 3) and p.dtype == np.uint8 for p in synthetic_pictures())
    assert all(np.array_equal(a, b) for a, b in zip(synthetic_pictures(), synthetic_pictures(), strict=True))


# ------------------------------------------------------------------ the models that ship


@pytest.fixture(scope="module", params=["eye", "psnr"])
def shipped(request):
    """The float model, its levels, and the integers of the file itself."""
    path = model_search.find(request.param)
    file = torch_codec.load(path, torch.device("cpu"))
    return export.float_model(path), file.levels, file.integers["synthesis"]


def test_no_accumulator_of_the_shipped_models_can_overflow(shipped):
    net = shipped[2]
    net.check()
    for name, conv in net.named_modules():
        if not isinstance(conv, ScaledConv):
            continue
        weight, bias, shift = (t.double().numpy() for t in (conv.weight.flatten(1), conv.bias, conv.shift))
        total, r = np.abs(weight).sum(1), np.floor(2.0 ** (shift - 1))
        assert shift.min() >= 0 and shift.max() <= 20 and np.abs(weight).max() <= 32767, name
        if name == "shortcut":
            total += weight.shape[1] / 2
            assert np.all(total * 255 < 2**31 - 2**17) and np.all(total * 129 + np.abs(bias) + r < 2**31 - 2**17)
        else:
            assert np.all(total * 32768 + np.abs(bias) + r < 2**31 - 2**17), name


@torch.no_grad()
def test_pixels_of_photographs_are_those_of_the_float_synthesis_within_a_level(shipped):
    model, levels, net = shipped
    pictures = [photo(256, 256, seed=3), kodak(4)[100:356, 200:456], kodak(19)[100:356, 200:456]]
    for quality in (50, 100):
        level, losses = levels[quality - 1 : quality], []
        step = model.log_step(level).exp()
        for picture in pictures:
            x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255 - 0.5
            y = to_fixed(saturate(step * (model.analysis(x, level) / step).round()))
            floating = (255 * (model.synthesis((y / 4096).float(), level) + 0.5)).round().clamp(0, 255)
            whole = samples(net.values(y, torch.tensor([quality]), float(level)))
            assert (whole - floating).abs().max() <= 1
            before, after = (t[0].permute(1, 2, 0).numpy() for t in (floating, whole))
            losses.append(psnr(picture, before) - psnr(picture, after))
        assert np.mean(losses) < 0.005, losses

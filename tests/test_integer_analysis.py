"""The encoder's transforms in integers against the float ones that they came from, and back."""

import math
from collections.abc import Iterator

import pytest
import torch
from extremes import TINY
from photos import astronaut, kodak, photo
from torch import Tensor, nn

from codec.coding import model_search
from codec.coding.model_tensors import ACCUMULATOR_LIMIT, LARGEST_PIXEL, LOW
from codec.coding.tile_input import WHITE, tile_input
from codec.container.format import Tile
from codec.nets import torch_codec
from codec.nets.integer_analysis import IntegerAnalysis, IntegerHyperAnalysis
from codec.nets.layers import QualityVector
from codec.nets.model import Analysis, HyperAnalysis
from codec.nets.scaled import MARGIN, IntegerGain, ScaledConv, ScaledNet, fraction_for, largest_magnitudes
from codec.picture.pixels import to_pixels

LEVELS = torch.linspace(1, 120, 100)
SEEN = (1, 20, 100)  # qualities that are calibrated with
KINDS = (IntegerAnalysis, IntegerHyperAnalysis)


def lively(kind: type[ScaledNet], seed: int) -> nn.Module:
    """A random float net whose every layer matters, with latents or hyperlatents in range."""
    torch.manual_seed(seed)
    net = kind.float_net(TINY).eval()
    with torch.no_grad():
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d):
                size = {"shortcut": 4.0, "tail": 0.5}.get(name, 1.0)
                module.weight.normal_(0, size / math.sqrt(module.weight[0].numel()))
                module.bias.normal_(0, 0.1)
            elif isinstance(module, QualityVector):
                module.knots.normal_(-1.0 if name == "log_gain" else 0.0, 0.2)
    return net


def inputs(kind: type[ScaledNet], seed: int) -> Tensor:
    """Float64 that holds the integers which the net reads: [1, C, 32, 48] of pixels, [1, M, 8, 12] of latents."""
    rng = torch.Generator().manual_seed(seed)
    if kind is IntegerAnalysis:
        return torch.randint(-WHITE // 2, WHITE // 2 + 1, (1, 3, 32, 48), generator=rng).double()
    return (4096 * torch.randn(1, TINY.latents, 8, 12, generator=rng)).round().double()


def in_floats(kind: type[ScaledNet], x: Tensor) -> Tensor:
    """The same as the float net reads it."""
    return (x / (WHITE if kind is IntegerAnalysis else 4096)).float()


@torch.no_grad()
def largest_of(kind: type[ScaledNet], net: nn.Module, seed: int) -> dict[str, float]:
    with largest_magnitudes(net, kind.planes) as largest:
        for quality in SEEN:
            net(in_floats(kind, inputs(kind, seed)), LEVELS[quality - 1 : quality])
    return largest


def exported(kind: type[ScaledNet], net: nn.Module, seed: int) -> ScaledNet:
    return kind.from_float(TINY, net, LEVELS, largest_of(kind, net, seed))


def both(kind: type[ScaledNet], floating: nn.Module, whole: ScaledNet, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """What the two nets say, in floats, by quality."""
    x = inputs(kind, seed)
    for quality in SEEN:
        with torch.no_grad():
            want = floating(in_floats(kind, x), LEVELS[quality - 1 : quality])
        yield want, whole(x, torch.tensor([quality])) / 4096


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_what_integers_say_is_near_what_floats_say(kind, seed):
    net, rounded = lively(kind, seed), lively(kind, seed)
    whole = exported(kind, net, seed)
    rounded.load_state_dict(whole.floats(LEVELS))
    for want, got in both(kind, rounded, whole, seed):
        assert want.abs().max() < 7.9 and want.std() > 0.2
        assert (got - want).abs().max() < 0.005  # 20 units of latents; a step at the best quality is some 100
    for want, got in both(kind, net, whole, seed):  # whose weights have more than 8 bits
        assert (got - want).square().mean().sqrt() < 0.05 * want.std()


@pytest.mark.parametrize("kind", KINDS)
def test_units_hold_what_calibration_saw(kind):
    net = lively(kind, 0)
    whole, seen = exported(kind, net, 0), largest_of(kind, net, 0)
    fixed = {"pixels": 0, "latents": 12, "hyperlatents": 12}
    assert whole.fractions().keys() == seen.keys() | kind.planes.fractions.keys()
    for plane, fraction in whole.fractions().items():
        assert fraction == (fixed[plane] if plane in fixed else fraction_for(seen[plane], MARGIN)), plane


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_the_largest_shift_for_which_no_sum_can_overflow(kind):
    """Pixels have magnitudes up to 4096 only, and so what reads them has larger weights."""
    whole = exported(kind, lively(kind, 1), 1)
    for name, conv in whole.named_modules():
        if not isinstance(conv, ScaledConv):
            continue
        largest = LARGEST_PIXEL if kind is IntegerAnalysis and name in ("shortcut", "head8") else -LOW
        weight, bias, shift = (t.double() for t in (conv.weight.flatten(1), conv.bias, conv.shift))
        half = (2.0 ** (shift - 1)).floor()
        bound = weight.abs().sum(1) * largest + bias.abs() + half
        assert bound.max() < ACCUMULATOR_LIMIT and shift.max() <= 20, name
        # Twice the weights would be too large, but for what rounding may have made smaller.
        twice = 2 * bound + largest * weight.shape[1]
        more = 2 * weight.abs().amax(1) + 1
        heaviest = 127 if conv.weight.shape[2] == 1 and name != "shortcut" else 32767
        assert weight.abs().max() <= heaviest
        assert ((shift == 20) | (twice >= ACCUMULATOR_LIMIT) | (more > heaviest)).all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_floats_lead_back_to_the_same_integers(kind):
    net, other = lively(kind, 4), lively(kind, 5)
    whole = exported(kind, net, 4)
    other.load_state_dict(whole.floats(LEVELS))
    again = exported(kind, other, 4)
    assert again.fractions() == whole.fractions()
    for (want, first), (_, second) in zip(both(kind, other, whole, 4), both(kind, other, again, 4), strict=True):
        assert (first - want).abs().max() < 0.005
        assert (second - first).abs().max() < 0.005
    for name, a in whole.named_modules():
        if isinstance(a, ScaledConv):
            b = again.get_submodule(name)
            scale = torch.exp2(a.shift.double() - b.shift.double())[:, None, None, None]
            assert torch.equal(b.weight * scale, a.weight.double()), name
        elif isinstance(a, IntegerGain):
            b = again.get_submodule(name)
            gains = [g.table.double() / torch.exp2(g.shift.double()) for g in (a, b)]
            assert torch.allclose(*gains, rtol=1e-3)


@torch.no_grad()
def test_gains_of_the_analysis_have_a_shift_for_each_channel():
    """Their steps differ much: one shift for all would leave the small ones few bits."""
    net = lively(IntegerAnalysis, 0)
    net.log_gain.knots += torch.linspace(-8, 0, TINY.latents)
    gain = exported(IntegerAnalysis, net, 0).gain
    assert len(set(gain.shift.tolist())) > 4
    assert ((gain.table.amax(0) > 2**14) | (gain.shift == 30)).all()


@torch.no_grad()
def test_export_names_what_is_too_large_and_refuses_what_is_not_finite():
    for kind, name in ((IntegerAnalysis, "shortcut"), (IntegerHyperAnalysis, "tail")):
        net = lively(kind, 2)
        net.get_submodule(name).weight[0, 0] = 1e9
        with pytest.raises(ValueError, match=f"^{name}: .*too large"):
            exported(kind, net, 2)
        with pytest.raises(ValueError, match="nothing to calibrate with"):
            kind.from_float(TINY, net, LEVELS, {})
    net = lively(IntegerAnalysis, 3)
    net.body16[0].mix_in.bias[0] = math.nan
    with pytest.raises(ValueError, match="body16.0.mix_in is not finite"):
        exported(IntegerAnalysis, net, 3)


# ------------------------------------------------------------------ the models that ship


@pytest.fixture(scope="module", params=["eye", "psnr"])
def model(request):
    return torch_codec.load(model_search.find(request.param), torch.device("cpu"))


@torch.no_grad()
def test_latents_of_photographs_are_near_those_of_the_floats(model):
    """Within a small part of a step on average, where quantisation itself moves them by a quarter of one."""
    analysis, hyper_analysis = model.float_net("analysis"), model.float_net("hyper_analysis")
    assert isinstance(analysis, Analysis) and isinstance(hyper_analysis, HyperAnalysis)
    pictures = [photo(128, 128, seed=3), kodak(4)[200:328, 200:328], astronaut()[64:192, 128:256]]
    for quality in (1, 50, 100):
        level, q = model.level(quality), torch.tensor([quality])
        steps = model.net.step[quality - 1].double()[:, None, None]
        hyper_steps = model.net.hyper_step[quality - 1].double()[:, None, None]
        for picture in pictures:
            x = torch.from_numpy(tile_input(to_pixels(picture), Tile(0, 0, 128, 128))).permute(2, 0, 1)[None]
            y = model.integers["analysis"](x.double(), q)
            exact = (4096 * analysis(x / WHITE, level)).clamp(-32768, 32767)
            assert ((y - exact) / steps).abs().mean() < 0.05
            z = model.integers["hyper_analysis"](y, q)
            exact = (4096 * hyper_analysis((y / 4096).float(), level)).clamp(-32768, 32767)
            assert ((z - exact) / hyper_steps).abs().mean() < 0.1

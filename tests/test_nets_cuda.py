"""The CUDA entropy nets against the reference, integer for integer: on a GPU, or emulated (tests/cuda_emulation)."""

import math

import numpy as np
import pytest
import torch

from codec import _C
from codec.integer import ACCUMULATOR_LIMIT, HIGH, LOW, MAX_SHIFT, IntegerConv, IntegerEntropyNet, IntegerQualityVector
from codec.layers import FRACTION_BITS
from codec.model import Config
from codec.walk import ReferenceWalk, cpu_nets
from codec.walk_cuda import CudaNets, CudaWalk

pytestmark = pytest.mark.kernels


def config(latents: int, hyper: int, context: int, steps: int) -> Config:
    return Config(latents, hyper, wide8=8, blocks8=1, wide16=8, blocks16=1, context=context, steps=steps)


def extreme_net(config: Config, seed: int) -> IntegerEntropyNet:
    """Random integers up to the edge of what FORMAT §8 allows: accumulators that fill 32 bits, results that saturate."""
    rng = np.random.default_rng(seed)
    net = IntegerEntropyNet(config)
    for module in net.modules():
        if isinstance(module, IntegerConv):
            for o, weight in enumerate(module.weight):
                shift = int(rng.integers(MAX_SHIFT - 3, MAX_SHIFT + 1) if rng.random() < 0.8 else rng.integers(16))
                left = ACCUMULATOR_LIMIT - 1 - (1 << shift >> 1)
                bias = int(rng.integers(-(1 << 29), 1 << 29) * rng.random() ** 4)
                share = rng.dirichlet(np.full(weight.numel(), rng.choice([0.05, 1.0])))
                taps = np.floor(share * ((left - abs(bias)) // -LOW)).clip(0, -LOW) * rng.choice([-1, 1], weight.numel())
                taps = torch.from_numpy(taps.clip(LOW, HIGH))
                if rng.random() < 0.3:  # up to the very edge
                    bias = int(math.copysign(left - int(taps.abs().sum()) * -LOW, bias or 1))
                weight.copy_(taps.view(weight.shape))
                module.bias[o], module.shift[o] = bias, shift
        elif isinstance(module, IntegerQualityVector):
            bound = 1 << int(rng.integers(8, 16))
            module.table.copy_(torch.from_numpy(rng.integers(-bound, bound, module.table.shape)))
    for step in (net.step, net.hyper_step):
        step.copy_(torch.from_numpy(np.exp2(rng.uniform(0, 15, step.shape)).clip(1, HIGH).astype(np.int16)))
    net.hyper_index.copy_(torch.from_numpy(rng.integers(0, 64, net.hyper_index.shape)))
    net.check()
    return net.eval()


def on(device: torch.device, net: IntegerEntropyNet) -> CudaNets:
    return CudaNets(net.config, cpu_nets(net), device)


def values(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    """Floats of all kinds: usual ones, halves of a unit, and what no encoder should see."""
    v = torch.randn(shape, generator=rng) * 2.0 ** torch.randint(-3, 3, shape, generator=rng)
    v.view(-1)[::5] = (v.view(-1)[::5] * 2**FRACTION_BITS).round() / 2**FRACTION_BITS + 2.0 ** -(FRACTION_BITS + 1)
    strange = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -8.0, 7.9998779296875, 0.0, -0.0, 1e-42])
    v.view(-1)[3::7] = strange[torch.randint(len(strange), v.view(-1)[3::7].shape, generator=rng)]
    return v


def compare(net: IntegerEntropyNet, nets: CudaNets, quality: int, height: int, width: int, large: int, seed: int):
    """Both walks in step, choosing and accepting in turn."""
    rng = torch.Generator().manual_seed(seed)
    c, device = net.config, nets.device
    z = values((c.hyper, -(-height // 4), -(-width // 4)), rng)
    y = values((height, width, c.latents), rng).permute(2, 0, 1)  # strides, as the analysis gives them
    reference, walk = ReferenceWalk(net, quality, height, width), CudaWalk(nets, quality, height, width, large)
    for k in range(walk.segments):
        indexes = reference.predict(k)
        assert torch.equal(walk.predict(k).cpu(), indexes), (k, "indexes")
        if (k + seed) % 2:
            chosen = reference.choose(k, y if k else z)
            assert torch.equal(walk.choose(k, (y if k else z).to(device)).cpu(), chosen), (k, "symbols")
        else:
            bound = (24575, 3, 100)[(k + seed) // 2 % 3]
            symbols = torch.randint(-bound, bound, indexes.shape, generator=rng).to(torch.int16)
            reference.accept(k, symbols)
            walk.accept(k, symbols.to(device))
    assert torch.equal(walk.latents().cpu(), reference.latents())


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((8, 4, 8, 2), [(1, 1), (2, 1), (1, 3), (7, 9), (8, 8)]),
        ((16, 6, 12, 4), [(1, 1), (1, 2), (3, 1), (5, 4), (9, 7)]),
        ((72, 40, 64, 2), [(3, 5)]),  # more than one k step, two column tiles for some warps only
        ((264, 72, 136, 4), [(4, 3)]),  # as `base`: a last chunk of k steps that is not full; more pairs than warps
    ],
)
@pytest.mark.parametrize("large", [0, 10**6])
def test_random_nets_give_the_integers_of_the_reference(shape, sizes, large, device):
    for seed, (height, width) in enumerate(sizes):
        net = extreme_net(config(*shape), seed)
        compare(net, on(device, net), 1 + 24 * seed, height, width, large, seed)


def test_more_than_one_tile_of_each_class(device):
    net = extreme_net(config(8, 4, 8, 4), 1)
    compare(net, on(device, net), 100, 13, 12, 10**6, 0)


@pytest.mark.parametrize("large", [0, 10**6])
def test_the_shipped_model_gives_the_integers_of_the_reference(shipped, large, device):
    compare(shipped.net, on(device, shipped.net), 50, 3, 4, large, 0)


def test_calls_out_of_order_and_wrong_tensors_raise(device):
    nets = on(device, extreme_net(config(8, 4, 8, 2), 0))
    walk = CudaWalk(nets, 50, 3, 5)
    z = torch.zeros(4, 1, 2, device=device)
    with pytest.raises(ValueError, match="out of order"):
        walk.predict(1)
    with pytest.raises(ValueError, match="segments are left"):
        walk.latents()
    walk.predict(0)
    for wrong in (z.double(), z[:2]):
        with pytest.raises(ValueError, match="expected"):
            walk.choose(0, wrong)
    with pytest.raises(ValueError, match="expected"):
        walk.accept(0, torch.zeros(7, dtype=torch.int16, device=device))
    walk.choose(0, z)
    with pytest.raises(ValueError, match="out of order"):
        walk.choose(0, z)
    for quality, height, width in ((0, 1, 1), (101, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1 << 13, 1)):
        with pytest.raises(ValueError, match="out of range"):
            CudaWalk(nets, quality, height, width)


def test_nets_too_wide_for_shared_memory_are_refused(device):
    nets = on(device, IntegerEntropyNet(config(8, 4, 1056, 4)))
    assert not nets.fits
    with pytest.raises(ValueError, match="too wide for shared memory"):
        CudaWalk(nets, 50, 1, 1)

"""The order of coding that all of it rests on, and that training codes by it what the format says."""

import itertools

import pytest
import torch
from bench_package import module
from hypothesis import given
from hypothesis import strategies as st

from codec.coding.model_config import Config
from codec.nets.coding_order import Corners, step_of
from codec.nets.model import Model

code_by_maps = module("ablations").code_by_maps


@given(st.sampled_from([2, 4]), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_every_latent_is_in_exactly_one_step_the_one_of_the_format(steps, groups, height, width):
    channels = steps * groups
    order = step_of(steps, channels, height, width)
    assert order.shape == (channels, height, width) and order.dtype == torch.int64
    for c, y, x in itertools.product(range(channels), range(height), range(width)):
        phase = (y ^ x) % 2 if steps == 2 else 2 * ((y ^ x) % 2) + (y % 2)  # FORMAT §8
        assert order[c, y, x] == (c % steps) ^ phase
    assert sum(int((order == k).sum()) for k in range(steps)) == order.numel()


@pytest.mark.parametrize("steps", [2, 4])
def test_steps_are_of_equal_size_and_every_step_reads_each_group_at_another_phase(steps):
    order = step_of(steps, 8, 6, 10)
    assert {int((order == k).sum()) for k in range(steps)} == {order.numel() // steps}
    for k in range(steps):
        planes = [(order[c] == k) for c in range(steps)]
        assert sum(p.int() for p in planes).eq(1).all()  # the groups of one step share no position, and leave none out


def test_patterns_of_the_first_channels_are_these():
    assert step_of(2, 2, 2, 4).tolist() == [[[0, 1, 0, 1], [1, 0, 1, 0]], [[1, 0, 1, 0], [0, 1, 0, 1]]]
    assert step_of(4, 4, 2, 2).tolist() == [[[0, 2], [3, 1]], [[1, 3], [2, 0]], [[2, 0], [1, 3]], [[3, 1], [0, 2]]]


@given(
    steps=st.sampled_from([2, 4]),
    groups=st.integers(1, 3),
    batch=st.integers(1, 3),
    h=st.integers(1, 3),
    w=st.integers(1, 3),
    n=st.integers(1, 3),
)
def test_latents_taken_apart_by_steps_are_those_of_the_steps_and_go_together_again(steps, groups, batch, h, w, n):
    y = torch.arange(batch * steps * groups * 4 * h * w, dtype=torch.float64).view(batch, steps * groups, 2 * h, 2 * w)
    corners, order = Corners(steps, y.shape), step_of(steps, *y.shape[1:])
    parts = corners.latents_of_steps(y)
    assert [p.shape for p in parts] == [(4, batch * h * w, groups)] * steps
    for k, part in enumerate(parts):
        assert sorted(part.flatten().tolist()) == sorted(y[:, order == k].flatten().tolist())
        assert torch.equal(corners.sums(part), y[:, order == k].sum(1))
    assert torch.equal(corners.latents(parts), y)
    vector = torch.rand(batch, steps * groups, 1, 1)
    parts = corners.latents_of_steps(vector.expand(y.shape))
    assert all(torch.equal(corners.of_samples(vector, k), part) for k, part in enumerate(parts))
    maps = torch.rand(batch, n, 2 * h, 2 * w)
    assert torch.equal(corners.join(corners.split(maps)), maps)


@pytest.mark.parametrize("steps", [2, 4])
def test_training_codes_the_latents_of_each_step_as_the_formats_whole_maps_do(steps, monkeypatch):
    """Latents, bits and all gradients, in training, where noise is added: the same everywhere, to be comparable."""
    monkeypatch.setattr(torch, "rand_like", lambda t: torch.full_like(t, 0.8))
    torch.manual_seed(3)
    config = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=steps)
    model = Model(config).double().train()
    for p in model.parameters():  # heads begin at zero
        p.data.add_(0.1 * torch.randn_like(p))
    y, prior = torch.randn(3, 8, 4, 6, dtype=torch.float64), torch.randn(3, 8, 4, 6, dtype=torch.float64)
    q = torch.tensor([1.0, 33.3, 100.0])
    learned = (y.requires_grad_(), prior.requires_grad_(), model.log_step.knots, *model.entropy.steps.parameters())
    results = []
    for code in (Model._code, code_by_maps):
        y_hat, bits = code(model, y, prior, q)
        results.append((y_hat, bits, *torch.autograd.grad((y_hat * y_hat.detach().cos()).sum() + bits.sum(), learned)))
    for fast, whole in zip(*results, strict=True):
        assert fast.shape == whole.shape and (fast - whole).abs().max() <= 1e-4 * whole.abs().max()
        assert whole.any()
    assert not torch.allclose(results[0][0], y, atol=1e-3)

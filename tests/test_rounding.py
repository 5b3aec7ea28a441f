"""Weights are rounded by the moments of their inputs, and models with weights of 8 bits are models like others."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photos import photo
from torch import nn

import codec
from codec.coding import model_file
from codec.coding.model_tensors import ACCUMULATOR_LIMIT, accumulator_bound
from codec.nets.integer import IntegerConv
from codec.nets.rounding import input_moments, rounded


def correlated(n: int, positions: int, seed: int) -> torch.Tensor:
    """Inputs [positions, n] that share few causes, as the channels of a feature map do."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(positions, max(1, n // 4)))
    return torch.from_numpy(causes @ rng.normal(size=(causes.shape[1], n)) + 0.1 * rng.normal(size=(positions, n)))


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from([1, 7, 127]), st.integers(0, 2**32 - 1))
def test_rounded_weights_are_integers_in_range_and_near(n, outputs, heaviest, seed):
    x = correlated(n, 50, seed)
    weight = torch.from_numpy(np.random.default_rng(seed).uniform(-heaviest, heaviest, (outputs, n)))
    before = weight.clone()
    got = rounded(weight, x.T @ x, heaviest)
    assert torch.equal(got, got.round()) and got.abs().max() <= heaviest
    assert torch.equal(weight, before)


@pytest.mark.parametrize("seed", range(3))
def test_outputs_come_nearer_than_by_rounding_to_the_nearest(seed):
    x = correlated(64, 400, seed)
    weight = torch.from_numpy(np.random.default_rng(seed).uniform(-100, 100, (32, 64)))
    nearest, compensated = (
        ((w - weight) @ x.T).square().mean() for w in (weight.round(), rounded(weight, x.T @ x, 127))
    )
    assert compensated < 0.3 * nearest


def test_integers_stay_what_they_are():
    x = correlated(20, 100, 0)
    weight = torch.from_numpy(np.random.default_rng(0).integers(-127, 128, (9, 20)).astype(np.float64))
    assert torch.equal(rounded(weight, x.T @ x, 127), weight)


def test_without_inputs_weights_are_rounded_to_the_nearest():
    weight = torch.tensor([[0.4, -1.6, 200.0]], dtype=torch.float64)
    assert rounded(weight, torch.zeros(3, 3), 127).tolist() == [[0.0, -2.0, 127.0]]


def test_moments_are_sums_over_positions_of_all_calls():
    net = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 3, padding=1, groups=5))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 4, 6))).float()
    with input_moments(net) as moments:
        net(x)
        net(2 * x)
    rows = x.permute(0, 2, 3, 1).reshape(-1, 3).double()
    assert list(moments) == ["0"]
    assert torch.allclose(moments["0"], 5 * rows.T @ rows, rtol=1e-5)
    net(x)
    assert torch.allclose(moments["0"], 5 * rows.T @ rows, rtol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_no_accumulator_overflows_after_rounding_by_moments(seed):
    rng = np.random.default_rng(seed)
    weight = torch.from_numpy(rng.uniform(-1, 1, (8, 600, 1, 1)))
    x = correlated(600, 300, seed)
    conv = IntegerConv.from_weights(weight, torch.zeros(8).double(), heaviest=127, moments=x.T @ x)
    bound = accumulator_bound(conv.weight.numpy(), conv.bias.numpy(), conv.shift.numpy())
    assert (bound < ACCUMULATOR_LIMIT).all() and conv.weight.abs().max() <= 127


def test_models_of_8_and_16_bits_with_the_same_weights_make_the_same_files_and_pixels(tiny_model, tmp_path):
    narrow, _ = tiny_model
    eight = model_file.load(narrow)
    assert eight.tensors["synthesis.tail8.weight"].dtype == np.int8
    tensors = {
        name: value.astype(np.int16) if value.dtype == np.int8 and value.ndim == 4 and "analysis" not in name else value
        for name, value in eight.tensors.items()
    }
    wide = tmp_path / "wide.safetensors"
    metadata = {"aec_model": json.dumps(vars(eight.config), sort_keys=True), "tune": eight.tune}
    wide_id = model_file.write(wide, tensors, metadata)
    assert wide_id != eight.id
    picture = photo(70, 90)
    for quality in (5, 50, 95):
        files = [codec.encode(picture, quality, model=model) for model in (narrow, wide)]
        assert files[0][20:] == files[1][20:]  # the head has the model's id and a checksum
        pixels = [codec.decode(f, model=m, output="numpy") for f, m in zip(files, (narrow, wide), strict=True)]
        assert np.array_equal(*pixels)

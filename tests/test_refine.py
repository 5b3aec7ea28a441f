"""Refinement: lower real loss, same format, the same bytes each time. Its seams: test_api.py."""

import dataclasses
import math
from contextlib import nullcontext

import coded
import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import astronaut, photo

import codec
from codec.api import EFFORTS
from codec.coding import refinement
from codec.coding.efforts import ITERATIONS
from codec.coding.model_config import TUNES
from codec.coding.refinement import THOROUGH
from codec.container import format
from codec.nets import torch_codec, torch_encoder
from codec.nets.coding_order import positions
from codec.nets.model import bits_of, level_lambda
from codec.picture.pixels import to_pixels


def compress(model, image, quality, effort):
    return coded.file(model, image, quality, 1024, effort)


def decompress(model, data):
    return coded.colours(model, data).astype(np.float64)


def loss_of(model, image, quality, data):
    """Bits of a file and lambda * 255^2 * error of its decoded pixels, per pixel."""
    error = np.square(decompress(model, data) - image.reshape(*image.shape[:2], -1)).mean()
    return 8 * len(data) / image[..., 0].size + float(level_lambda(model.level(quality))) * error


def real_loss(model, image, quality, effort):
    return loss_of(model, image, quality, compress(model, image, quality, effort))


def unrefined_loss(model, image, quality, dead_zones=True):
    """Of latents as the analysis gives them."""
    pixels = to_pixels(image)
    header = pixels.header(quality, model.id)
    (tile,) = header.tiles
    zones = model.dead_zones if dead_zones else torch.zeros_like(model.dead_zones)
    payload, _ = torch_encoder.code(
        model, quality, *torch_encoder.analyse(model, pixels, tile, quality, effort=1), zones
    )
    return loss_of(model, image, quality, format.write(header, [payload]))


PLACES = ((100, 150), (250, 20), (0, 0), (300, 200))
PICTURES = {
    "odd": lambda: photo(123, 85),
    "gradient": lambda: photos.gradient(128, 160),
    "gray": lambda: photo(128, 128, seed=3)[..., :1].copy(),
    "noise": lambda: np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8),
    "white": lambda: np.where(photo(96, 128) > 128, 255, 0).astype(np.uint8),
}


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("effort", [2, THOROUGH, 6])
def test_refinement_lowers_the_real_loss_of_photographs(psnr_model, effort, quality):
    for y, x in PLACES:
        image = astronaut()[y : y + 128, x : x + 128]
        assert real_loss(psnr_model, image, quality, effort) < unrefined_loss(psnr_model, image, quality)


@pytest.mark.parametrize("quality", [10, 50, 95])
@pytest.mark.parametrize("effort", [2, THOROUGH])
@pytest.mark.parametrize("picture", PICTURES)
def test_refinement_harms_no_picture(psnr_model, picture, effort, quality):
    """Effort 2 is not checked: in pictures of few symbols it may lose a little. Above, what is checked is an estimate,
    in bf16 and without the rounding to samples, which at the gradient's 50 dB is much of the error.
    """
    image = PICTURES[picture]()
    most = 1.02 if effort < THOROUGH else 1.003
    assert real_loss(psnr_model, image, quality, effort) <= most * unrefined_loss(psnr_model, image, quality)


@pytest.mark.parametrize("effort", [2, 6])
def test_refinement_pays_at_high_quality(psnr_model, effort):
    image = astronaut()[100:228, 150:278]
    assert real_loss(psnr_model, image, 95, effort) < 0.99 * unrefined_loss(psnr_model, image, 95)


@pytest.mark.parametrize("quality", [5, 50, 95])
def test_dead_zones_save_more_bits_than_their_error_is_worth(psnr_model, quality):
    image = astronaut()[:192, 128:320]
    with_zones, without = (unrefined_loss(psnr_model, image, quality, zones) for zones in (True, False))
    assert with_zones < 0.995 * without


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_the_gradient_finds_more_than_the_shortcut(psnr_model, quality):
    images = [astronaut()[y : y + 128, x : x + 128] for y, x in PLACES]
    quick, thorough = (sum(real_loss(psnr_model, image, quality, effort) for image in images) for effort in (2, 6))
    assert thorough < quick


@settings(max_examples=200)
@given(st.floats(-6, 6, width=32), st.integers(1, 63), st.floats(1, 40, width=32))
def test_the_cheapest_of_0_and_the_nearest_symbols_is_taken(wanted, index, curvature):
    every = torch.tensor([0.0, math.floor(wanted), math.ceil(wanted)])
    (found,) = refinement._cheapest(torch.tensor([wanted]), torch.tensor([index]), torch.tensor([curvature]))
    assert found in every
    symbols = torch.stack([found, *every])
    cost = bits_of(symbols, torch.full_like(symbols, index)) + curvature / 2 * (symbols - wanted).square()
    assert cost[0] <= cost.min() + 1e-3


def test_latents_move_by_their_own_slope_and_step():
    """Each latent's slope is made from where it lies, so that one that is taken for another would move elsewhere."""
    m, h, w = 8, 3, 5
    place = torch.arange(m * h * w)
    channel = place // (h * w)
    order = torch.cat(positions(4, (m, h, w), torch.device("cpu")))
    indexes = torch.full((m * h * w,), 40)
    indexes[::7] = 0  # of the coding order: surely zero
    step, curvature = 0.1 + torch.arange(m) / 10, 10.0 + torch.arange(m)
    wanted = (place % 41 - 20) / 50  # steps from the symbol, 0: near enough to stay
    slope = -wanted * (curvature / step)[channel]
    decoded = place.float().view(m, h, w) / 100
    symbols = torch.zeros(m * h * w, dtype=torch.int16)
    got = refinement._moved(4, symbols, indexes, decoded, slope.view(m, h, w), step, curvature)
    live = torch.zeros(m * h * w, dtype=torch.bool)
    live[order[indexes > 0]] = True
    expected = decoded.flatten() + live * step[channel] * wanted
    assert torch.allclose(got.flatten(), expected, atol=1e-6)


def test_a_first_call_in_inference_mode_spoils_nothing_that_autograd_needs():
    """Neither the model nor what is cached."""
    image = photo(40, 50, seed=8)
    torch_codec._assembled.cache_clear()
    for model in ("psnr", "eye"):
        with torch.inference_mode():
            data = codec.encode(image, 50, model=model)
        assert codec.encode(image, 50, model=model) == data
        assert codec.decode(codec.encode(image, 50, model=model, effort=4), output="numpy").shape == image.shape


@pytest.mark.parametrize("height, width", [(1, 1), (17, 33), (70, 15)])
@pytest.mark.parametrize("gray", [False, True])
def test_odd_sizes_decode(psnr_model, height, width, gray):
    image = photo(height, width)
    image = image[..., 0].copy() if gray else image
    files = [compress(psnr_model, image, 85, effort) for effort in (1, 2, 5)]
    error = [np.square(decompress(psnr_model, data) - image.reshape(height, width, -1)).mean() for data in files]
    assert max(error[1:]) <= 1.2 * error[0] + 1  # a bit may be worth some error, never the picture


@pytest.mark.parametrize("effort", [2, 5])
def test_same_picture_same_bytes(psnr_model, effort):
    image = photo(64, 80)
    assert compress(psnr_model, image, 70, effort) == compress(psnr_model, image, 70, effort)


def test_effort_1_is_the_analysis_alone(psnr_model):
    pixels = to_pixels(photo(48, 64))
    tile = format.Header(64, 48, 50, psnr_model.id).tiles[0]
    y, _ = torch_encoder.analyse(psnr_model, pixels, tile, 50, 1, pytest.fail)
    refined, _ = torch_encoder.analyse(psnr_model, pixels, tile, 50, 2)
    assert y.shape == refined.shape and not torch.equal(y, refined)


def test_the_slope_through_the_shortcut_is_that_of_a_synthesis_without_a_branch(psnr_model, monkeypatch):
    """Of all sizes and of gray: blocks at the edge count the pixels that are there."""
    monkeypatch.setattr(refinement, "fast_convolutions", lambda device: nullcontext())
    q = torch.tensor([50.0])
    silent = dataclasses.replace(psnr_model)  # which makes a synthesis of its own
    silent.synthesis.silence_branch()
    for channels, height, width in ((3, 32, 48), (3, 17, 31), (1, 20, 16)):
        generator = torch.Generator().manual_seed(height)
        x = torch.rand(channels, height, width, generator=generator)
        y = 0.02 * torch.randn(psnr_model.config.latents, -(-height // 16), -(-width // 16), generator=generator)
        slope = refinement._through_shortcut(silent, y, q, x)
        _, expected = refinement._through_synthesis(silent, y, q, x)
        assert torch.allclose(slope, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().mean()))


def test_every_kind_of_model_has_every_effort():
    assert set(ITERATIONS) == set(TUNES)
    for numbers in ITERATIONS.values():
        assert list(numbers) == list(EFFORTS) and list(numbers.values()) == sorted(numbers.values())


def test_progress_is_called_after_each_iteration(psnr_model):
    for effort, n in ITERATIONS["mse"].items():
        pixels, calls = to_pixels(photo(20, 30)), []
        tile = format.Header(30, 20, 50, psnr_model.id).tiles[0]
        torch_encoder.analyse(psnr_model, pixels, tile, 50, effort, lambda: calls.append(1))  # noqa: B023
        assert len(calls) == n


@pytest.mark.parametrize("effort", [1, 2, 3, 5])
def test_encode_tells_how_far_it_is_over_all_tiles(psnr_model, effort):
    shares = []
    coded.file(psnr_model, photo(64, 100), 50, 64, effort, shares.append)
    n = 2 * max(1, ITERATIONS["mse"][effort])
    assert shares == [(i + 1) / n for i in range(n)]

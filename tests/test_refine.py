"""Refinement: lower real loss, same format, the same bytes each time. Its seams: test_api.py."""

import copy
import dataclasses

import coded
import numpy as np
import pytest
import torch
from photos import astronaut, photo

from codec import format, pipeline, refine
from codec.image import to_pixels
from codec.model import quality_lambda
from codec.refine import ITERATIONS, THOROUGH


def compress(codec, image, quality, effort):
    return coded.file(codec, image, quality, 1024, effort)


def decompress(codec, data):
    return coded.colours(codec, data).permute(1, 2, 0).numpy().astype(np.float64)


def real_loss(codec, image, quality, effort):
    """Bits of the file and lambda * 255^2 * error of its decoded pixels, per pixel."""
    data = compress(codec, image, quality, effort)
    error = np.square(decompress(codec, data) - image.reshape(*image.shape[:2], -1)).mean()
    return 8 * len(data) / image[..., 0].size + quality_lambda(quality) * error


def unrefined_loss(codec, image, quality):
    """The same, of latents as the analysis gives them, dead zones and all."""
    pixels = to_pixels(image)
    header = pixels.header(quality, codec.id)
    (tile,) = header.tiles
    payload, _ = pipeline.code(codec, quality, *pipeline.analyse(codec, pixels, tile, quality), codec.dead_zones)
    error = np.square(decompress(codec, format.write(header, [payload])) - image).mean()
    return 8 * len(format.write(header, [payload])) / image[..., 0].size + quality_lambda(quality) * error


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("effort", [2, THOROUGH, 6])
def test_refinement_lowers_the_real_loss(shipped, quality, effort):
    image = astronaut()[100:228, 150:278]
    assert real_loss(shipped, image, quality, effort) < unrefined_loss(shipped, image, quality)


@pytest.mark.parametrize("effort", [2, 6])
def test_refinement_pays_at_high_quality(shipped, effort):
    image = astronaut()[100:228, 150:278]
    assert real_loss(shipped, image, 95, effort) < 0.99 * unrefined_loss(shipped, image, 95)


@pytest.mark.parametrize("height, width", [(1, 1), (17, 33), (70, 15)])
@pytest.mark.parametrize("gray", [False, True])
def test_odd_sizes_decode(shipped, height, width, gray):
    image = photo(height, width)
    image = image[..., 0].copy() if gray else image
    error = [
        np.square(decompress(shipped, compress(shipped, image, 80, n)) - image.reshape(height, width, -1)).mean()
        for n in (1, 2, 5)
    ]
    assert max(error) <= 1.2 * error[0] + 1  # a bit may be worth some error, never the picture


@pytest.mark.parametrize("effort", [2, 5])
def test_same_picture_same_bytes(shipped, effort):
    image = photo(64, 80)
    assert compress(shipped, image, 70, effort) == compress(shipped, image, 70, effort)


def test_effort_1_is_the_analysis_alone(shipped):
    pixels = to_pixels(photo(48, 64))
    tile = format.Header(64, 48, 50, shipped.id).tiles[0]
    y, _ = pipeline.analyse(shipped, pixels, tile, 50)
    again, _ = pipeline.analyse(shipped, pixels, tile, 50, 1, pytest.fail)
    corrected, _ = pipeline.analyse(shipped, pixels, tile, 50, 2)
    assert torch.equal(y, again) and not torch.equal(y, corrected)


def test_the_slope_through_the_shortcut_is_that_of_a_synthesis_without_a_branch(shipped):
    """Of all sizes and of gray: blocks at the edge count the pixels that are there."""
    q = torch.tensor([50.0])
    silent = dataclasses.replace(shipped, synthesis=copy.deepcopy(shipped.synthesis))
    silent.synthesis.silence_branch()
    for channels, height, width in ((3, 32, 48), (3, 17, 31), (1, 20, 16)):
        generator = torch.Generator().manual_seed(height)
        x = torch.rand(channels, height, width, generator=generator)
        y = torch.randn(shipped.config.latents, -(-height // 16), -(-width // 16), generator=generator)
        error, slope = refine._through_shortcut(silent, y, q, x)
        expected_error, expected = refine._through_synthesis(silent, y.clone(), q, x)
        assert error == pytest.approx(expected_error, rel=1e-5)
        assert torch.allclose(slope, expected, rtol=0.02, atol=0.02 * float(expected.abs().mean()))  # bf16


def test_progress_is_called_after_each_iteration(shipped):
    for effort, n in ITERATIONS.items():
        pixels, calls = to_pixels(photo(20, 30)), []
        tile = format.Header(30, 20, 50, shipped.id).tiles[0]
        pipeline.analyse(shipped, pixels, tile, 50, effort, lambda: calls.append(1))  # noqa: B023
        assert len(calls) == n


@pytest.mark.parametrize("effort", [1, 2, 3, 5])
def test_encode_tells_how_far_it_is_over_all_tiles(shipped, effort):
    shares = []
    coded.file(shipped, photo(64, 100), 50, 64, effort, shares.append)
    n = 2 * max(1, ITERATIONS[effort])
    assert shares == [(i + 1) / n for i in range(n)]

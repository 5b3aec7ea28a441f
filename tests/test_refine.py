"""Refinement: lower real loss, same format, the same bytes each time. Its seams: test_api.py."""

import coded
import numpy as np
import pytest
import torch
from photos import astronaut, photo

from codec import format, pipeline
from codec.image import to_pixels
from codec.model import quality_lambda
from codec.refine import ITERATIONS


def compress(codec, image, quality, iterations, tile=1024):
    effort = {0: 2, **{n: effort for effort, n in ITERATIONS.items()}}[iterations]
    return coded.file(codec, image, quality, tile, effort)


def decompress(codec, data):
    return coded.colours(codec, data).permute(1, 2, 0).numpy().astype(np.float64)


def real_loss(codec, image, quality, iterations):
    """Bits of the file and lambda * 255^2 * error of its decoded pixels, per pixel."""
    data = compress(codec, image, quality, iterations)
    error = np.square(decompress(codec, data) - image.reshape(*image.shape[:2], -1)).mean()
    return 8 * len(data) / image[..., 0].size + quality_lambda(quality) * error


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_refinement_lowers_the_real_loss(shipped, quality):
    image = astronaut()[100:228, 150:278]
    assert real_loss(shipped, image, quality, 4) < real_loss(shipped, image, quality, 0)


def test_refinement_pays_at_high_quality(shipped):
    image = astronaut()[100:228, 150:278]
    assert real_loss(shipped, image, 95, 4) < 0.99 * real_loss(shipped, image, 95, 0)


@pytest.mark.parametrize("height, width", [(1, 1), (17, 33), (70, 15)])
@pytest.mark.parametrize("gray", [False, True])
def test_odd_sizes_decode(shipped, height, width, gray):
    image = photo(height, width)
    image = image[..., 0].copy() if gray else image
    error = [
        np.square(decompress(shipped, compress(shipped, image, 80, n)) - image.reshape(height, width, -1)).mean()
        for n in (0, 3)
    ]
    assert error[1] <= 1.2 * error[0] + 1  # a bit may be worth some error, never the picture


def test_same_picture_same_bytes(shipped):
    image = photo(64, 80)
    assert compress(shipped, image, 70, 3) == compress(shipped, image, 70, 3)


def test_no_iterations_change_nothing(shipped):
    pixels = to_pixels(photo(48, 64))
    tile = format.Header(64, 48, 50, shipped.id).tiles[0]
    y, z = pipeline.analyse(shipped, pixels, tile, 50)
    again, _ = pipeline.analyse(shipped, pixels, tile, 50, 0, pytest.fail)
    assert torch.equal(y, again)


def test_progress_is_called_after_each_iteration(shipped):
    pixels, calls = to_pixels(photo(48, 64)), []
    tile = format.Header(64, 48, 50, shipped.id).tiles[0]
    pipeline.analyse(shipped, pixels, tile, 50, 5, lambda: calls.append(1))
    assert len(calls) == 5


@pytest.mark.parametrize("effort", [1, 2, 3, 5])
def test_encode_tells_how_far_it_is_over_all_tiles(shipped, effort):
    shares = []
    coded.file(shipped, photo(64, 100), 50, 64, effort, shares.append)
    n = 2 * ITERATIONS.get(effort, 1)
    assert shares == [(i + 1) / n for i in range(n)]

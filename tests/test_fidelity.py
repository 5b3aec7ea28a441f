"""What a decoded picture is worth: as the metrics say, and what cannot be seen does not count."""

import math
from dataclasses import replace

import numpy as np
import photos
import pytest

from codec import metrics
from codec.picture import fidelity
from codec.picture.pixels import to_pixels
from codec.picture.ssimulacra2 import ssimulacra2


def noisy(image, most=9):
    noise = np.random.default_rng(0).integers(-most, most, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)


def samples(image):
    return to_pixels(image).data


def test_psnr_is_that_of_the_metrics_and_hidden_colours_do_not_count():
    a = photos.photo(300, 70)
    b = noisy(a)
    pixels, other = to_pixels(a), samples(b)
    assert math.isclose(fidelity.psnr(pixels, other), metrics.psnr(a, b), rel_tol=1e-12)
    alpha = np.zeros((300, 70), np.uint8)
    alpha[:, 30:] = 1
    hidden = replace(pixels, alpha=alpha)
    assert math.isclose(fidelity.psnr(hidden, other), metrics.psnr(a[:, 30:], b[:, 30:]), rel_tol=1e-12)
    assert fidelity.psnr(pixels, pixels.data) == math.inf
    deep, other = (to_pixels(x.astype(np.uint16) * 257) for x in (a, b))
    assert math.isclose(fidelity.psnr(deep, other.data), metrics.psnr(a, b), rel_tol=1e-12)


def test_a_score_is_that_of_the_picture_with_three_channels_and_8_bits():
    a = photos.photo(70, 90)
    b = noisy(a)
    assert fidelity.score(to_pixels(a), samples(b)) == ssimulacra2(a, b)
    assert fidelity.score(to_pixels(a), samples(a)) == 100
    deep = to_pixels(a.astype(np.uint16) * 257 + 100)
    assert fidelity.score(deep, samples(b)) == ssimulacra2(a, b)
    gray, other = a[..., 1].copy(), b[..., 1].copy()
    expected = ssimulacra2(*(np.stack([x, x, x], -1) for x in (gray, other)))
    assert fidelity.score(to_pixels(gray), samples(other)) == expected


@pytest.mark.parametrize("gray", [False, True])
def test_a_score_with_alpha_is_the_lower_one_of_a_dark_and_a_bright_background(gray):
    a = photos.photo(300, 60)[..., : 1 if gray else 3]
    b = noisy(a)
    alpha = photos.photo(300, 60, seed=1)[..., :1]
    blended = []
    for background in (0.1, 0.9):
        pair = [np.rint(alpha / 255 * x + (1 - alpha / 255) * 255 * background).astype(np.uint8) for x in (a, b)]
        blended.append(ssimulacra2(*(np.broadcast_to(x, (300, 60, 3)) for x in pair)))
    assert math.isclose(fidelity.score(to_pixels(np.dstack([a, alpha])), samples(b)), min(blended), abs_tol=0.02)


def test_colours_that_alpha_hides_do_not_count_in_a_score():
    a = photos.photo(40, 50)
    b = a.copy()
    b[:, :20] = 255 - b[:, :20]
    alpha = np.full((40, 50, 1), 255, np.uint8)
    alpha[:, :20] = 0
    assert fidelity.score(to_pixels(np.dstack([a, alpha])), samples(b)) == 100

"""codec.metrics against hand values, the published curves, and algebra."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.metrics import bd_rate, ms_ssim, psnr, psnr_at, psnr_overlap, rate_at

ANCHORS = Path(__file__).resolve().parents[2] / "shared/anchors/kodak_curves.json"

RATES = [0.1, 0.25, 0.5, 1.0, 2.0]
PSNR = [27.0, 30.0, 33.0, 36.5, 40.0]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_psnr_of_a_hand_value():
    original = np.zeros((2, 2, 3), np.uint8)
    decoded = original.copy()
    decoded[0, 0] = (6, 0, 0)  # MSE = 36 / 12 = 3
    assert psnr(original, decoded) == pytest.approx(10 * math.log10(65025 / 3), abs=1e-12)
    assert psnr(decoded, original) == psnr(original, decoded)  # 0 - 6 must not wrap round in uint8


def test_psnr_of_black_and_white_is_zero():
    assert psnr(np.zeros((3, 3, 3), np.uint8), np.full((3, 3, 3), 255, np.uint8)) == 0


def test_psnr_of_equal_images_is_infinite():
    assert psnr(noise(4, 5), noise(4, 5)) == math.inf


def test_psnr_refuses_other_shapes_and_types():
    with pytest.raises(ValueError, match=r"\[4, 5, 3\].*\[5, 4, 3\]"):
        psnr(noise(4, 5), noise(5, 4))
    with pytest.raises(TypeError, match="float64"):
        psnr(noise(4, 5), noise(4, 5) / 255)
    with pytest.raises(ValueError, match="empty"):
        psnr(noise(0, 5), noise(0, 5))


def test_ms_ssim_of_equal_images_is_one():
    pytest.importorskip("pytorch_msssim")
    assert ms_ssim(noise(161, 170), noise(161, 170)) == pytest.approx(1, abs=1e-6)


def test_ms_ssim_falls_with_noise_and_equals_the_package_on_rgb():
    package = pytest.importorskip("pytorch_msssim")
    import torch

    original = np.kron(noise(23, 24), np.ones((8, 8, 1), np.uint8))
    worse = (original // 2 + noise(184, 192, seed=1) // 2).astype(np.uint8)
    value = ms_ssim(original, worse)
    a, b = (torch.tensor(x).permute(2, 0, 1)[None].double() for x in (original, worse))
    assert 0 < value < 0.99
    assert value == pytest.approx(float(package.ms_ssim(a, b, data_range=255)), abs=1e-4)


def test_ms_ssim_of_small_images_is_absent():
    assert ms_ssim(noise(160, 500), noise(160, 500)) is None


def test_bd_rate_of_one_curve_with_itself_is_zero():
    assert bd_rate(RATES, PSNR, RATES, PSNR) == pytest.approx(0, abs=1e-9)


def test_bd_rate_of_half_the_rate_is_minus_fifty():
    assert bd_rate(RATES, PSNR, [r / 2 for r in RATES], PSNR) == pytest.approx(-50, abs=1e-9)


def test_bd_rate_between_straight_lines_by_hand():
    # log2(rate) = psnr / 6 and psnr / 3 over 30..36 dB, both through rate 1 at 30: the mean of the log2 ratio is 1/2.
    psnr_points = [30, 32, 34, 36]
    anchor = [2 ** ((p - 30) / 6) for p in psnr_points]
    other = [2 ** ((p - 30) / 3) for p in psnr_points]
    assert bd_rate(anchor, psnr_points, other, psnr_points) == pytest.approx(100 * (2**0.5 - 1), abs=1e-9)
    # ... and over the first half of it, 1/4
    assert bd_rate(anchor, psnr_points, other, psnr_points, 20, 33) == pytest.approx(100 * (2**0.25 - 1), abs=1e-9)


def test_bd_rate_takes_points_in_any_order():
    assert bd_rate(RATES[::-1], PSNR[::-1], RATES, PSNR) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "percent"),
    [
        ("webp", -36),
        ("bpg_444_x265_ycbcr", -56),
        ("av1", -60),
        ("vtm", -65),
        ("paper-elic2022_mse", -68),
        ("mlicplusplus", -70),
        ("hpcm-large", -72),
    ],
)
def test_bd_rate_of_published_curves(name, percent):
    if not ANCHORS.exists():
        pytest.skip(f"{ANCHORS} is not here")
    curves = json.loads(ANCHORS.read_text())
    jpeg, other = curves["jpeg"], curves[name]
    value = bd_rate(jpeg["bpp"], jpeg["psnr"], other["bpp"], other["psnr"], 29.5, 37.3)
    assert value == pytest.approx(percent, abs=0.6)  # published rounded to whole percents


def test_bd_rate_without_overlap_says_both_ranges():
    with pytest.raises(ValueError, match=r"27\.00\.\.40\.00.*47\.00\.\.60\.00"):
        bd_rate(RATES, PSNR, RATES, [p + 20 for p in PSNR])
    with pytest.raises(ValueError, match=r"within 41\.\.None dB"):
        bd_rate(RATES, PSNR, RATES, PSNR, lo=41)


@pytest.mark.parametrize(
    ("rates", "psnr_points"),
    [
        ([1, 2, 3], [30, 33, 32]),  # more bits, worse
        ([1, 2, 3], [30, 31, 31]),  # more bits for nothing
        ([1, 1, 3], [30, 31, 32]),  # one rate, two qualities
    ],
)
def test_bd_rate_refuses_curves_that_are_not_monotone(rates, psnr_points):
    with pytest.raises(ValueError, match="^curve is not monotone"):
        bd_rate(RATES, PSNR, rates, psnr_points)
    with pytest.raises(ValueError, match="^anchor curve is not monotone"):
        bd_rate(rates, psnr_points, RATES, PSNR)


@pytest.mark.parametrize(
    ("rates", "psnr_points"),
    [([1], [30]), ([1, 2, 3], [30, 31]), ([0, 1], [30, 31]), ([1, 2], [30, math.inf]), ([], [])],
)
def test_bd_rate_refuses_what_is_no_curve(rates, psnr_points):
    with pytest.raises(ValueError):
        bd_rate(RATES, PSNR, rates, psnr_points)


def test_overlap_is_cut_to_the_range():
    assert psnr_overlap(PSNR, [29, 38]) == (29, 38)
    assert psnr_overlap(PSNR, [29, 38], 29.5, 37.3) == (29.5, 37.3)
    assert psnr_overlap(PSNR, [32, 35], 29.5, 37.3) == (32, 35)


def test_interpolation_goes_through_the_points_and_ends_with_them():
    assert rate_at(RATES, PSNR, PSNR) == pytest.approx(RATES)
    assert psnr_at(RATES, PSNR, RATES) == pytest.approx(PSNR, abs=1e-9)
    between = np.linspace(0.11, 1.9, 50)
    assert rate_at(RATES, PSNR, psnr_at(RATES, PSNR, between)) == pytest.approx(between, rel=1e-5)
    assert np.isnan(rate_at(RATES, PSNR, [26.9, 40.1])).all()
    assert np.isnan(psnr_at(RATES, PSNR, [0.09, 2.1])).all()


steps = st.lists(st.tuples(st.floats(0.05, 2), st.floats(0.1, 4)), min_size=2, max_size=8)


def curve_of(start, steps):
    rate, quality = start
    points = [(rate, quality)]
    for factor, gain in steps:
        rate, quality = rate * (1 + factor), quality + gain
        points.append((rate, quality))
    return zip(*points, strict=True)


@settings(max_examples=60, deadline=None)
@given(steps, steps, st.floats(1e-3, 1e3))
def test_bd_rate_does_not_depend_on_the_unit_of_rate(a, b, scale):
    anchor_rates, anchor_psnr = curve_of((0.1, 30.0), a)
    rates, psnr_points = curve_of((0.12, 30.0), b)
    value = bd_rate(anchor_rates, anchor_psnr, rates, psnr_points)
    scaled = bd_rate([r * scale for r in anchor_rates], anchor_psnr, [r * scale for r in rates], psnr_points)
    assert scaled == pytest.approx(value, rel=1e-6, abs=1e-6)
    # Swapping the roles inverts the ratio.
    swapped = bd_rate(rates, psnr_points, anchor_rates, anchor_psnr)
    assert (1 + swapped / 100) * (1 + value / 100) == pytest.approx(1, rel=1e-6)

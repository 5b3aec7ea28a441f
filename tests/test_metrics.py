"""The metrics against hand values, other implementations, published curves, and algebra."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_package import module
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import astronaut
from PIL import Image

from codec.metrics import bd_quality, bd_rate, ms_ssim, overlap, psnr, psnr_y, quality_at, rate_at
from codec.picture import ssimulacra2

METRICS = module("metrics").METRICS
butteraugli, clock, nlpd = map(module, ("butteraugli", "clock", "nlpd"))

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


def test_psnr_y_of_hand_values():
    original = np.full((2, 2, 3), 100, np.uint8)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):  # BT.601, as in JFIF
        decoded = original.copy()
        decoded[..., channel] += 10
        assert psnr_y(original, decoded) == pytest.approx(20 * math.log10(255 / (10 * weight)), abs=1e-9)
    gray = original + np.uint8(7)
    assert psnr_y(original, gray) == pytest.approx(psnr(original, gray), abs=1e-9)


def test_psnr_y_is_that_of_pillows_luma():
    original, decoded = noise(64, 80), noise(64, 80, seed=1)
    luma = [np.array(Image.fromarray(x).convert("L")) for x in (original, decoded)]  # BT.601 too, but rounded
    assert psnr_y(original, decoded) == pytest.approx(psnr(*luma), abs=0.01)


def test_psnr_y_of_equal_images_is_infinite_and_gray_ones_are_refused():
    assert psnr_y(noise(4, 5), noise(4, 5)) == math.inf
    with pytest.raises(ValueError, match=r"\[4, 5\]"):
        psnr_y(noise(4, 5)[..., 0], noise(4, 5)[..., 0])


def distorted(kind, image):
    if kind == "levels":
        return image // 32 * 32 + 16
    if kind == "noise":
        return np.clip(image + np.random.RandomState(0).randint(-8, 9, image.shape), 0, 255).astype(np.uint8)
    if kind == "shift":
        return np.roll(image, 1, 1)
    if kind == "gray":
        return np.repeat(image[..., 1:2], 3, 2)
    height, width = (side // 4 * 4 for side in image.shape[:2])
    means = image[:height, :width].reshape(height // 4, 4, width // 4, 4, 3).mean((1, 3)).astype(np.uint8)
    blocks = image.copy()
    blocks[:height, :width] = means.repeat(4, 0).repeat(4, 1)
    return blocks


# Answers of Debian's `ssimulacra2` (libjxl-devtools 0.11.2-0.1~deb13u2): top, left, height, width of the astronaut.
LIBJXL = [
    ((0, 0, 256, 256), {"levels": 16.933, "noise": 76.808, "shift": 22.692, "gray": -13.470, "blocks": 46.025}),
    ((60, 100, 171, 257), {"levels": 21.591, "noise": 74.884, "shift": 28.569, "gray": 35.440, "blocks": 44.608}),
    ((100, 60, 30, 61), {"levels": 1.304, "noise": 10.778, "shift": 59.188, "gray": 67.845, "blocks": 70.413}),
]


@pytest.mark.parametrize(("box", "answers"), LIBJXL)
def test_ssimulacra2_is_libjxls(box, answers):
    top, left, height, width = box
    image = astronaut()[top : top + height, left : left + width]
    for kind, answer in answers.items():
        # libjxl sums its blur recursively in float32, and takes cube roots by approximation.
        assert METRICS["ssimulacra2"].measure(image, distorted(kind, image)) == pytest.approx(answer, abs=0.1)
    assert METRICS["ssimulacra2"].measure(image, image) == 100


def test_ssimulacra2_does_not_depend_on_where_strips_end(monkeypatch):
    image = astronaut()[:171, :93]
    worse = distorted("noise", image)
    whole = ssimulacra2.ssimulacra2(image, worse)
    for rows in (2, 24, 86, 1000):
        monkeypatch.setattr(ssimulacra2, "ROWS", rows)
        assert ssimulacra2.ssimulacra2(image, worse) == pytest.approx(whole, abs=1e-3)  # sums of float32


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_ssimulacra2_of_a_large_picture_takes_little_memory():
    tall = np.tile(astronaut()[:64, :64], (96, 4, 1))
    _, peak = clock.peak_bytes(lambda: ssimulacra2.ssimulacra2(tall, tall))
    assert peak < 24 * tall[..., 0].size  # bytes a pixel; both pictures as float32 would be 24


def test_ssimulacra2_refuses_other_types():
    with pytest.raises(TypeError, match="uint8 and float64"):
        ssimulacra2.ssimulacra2(noise(16, 16), noise(16, 16) / 255)


def test_a_metric_is_absent_where_it_is_not_defined():
    small = noise(7, 200)
    for key in ("ssimulacra2", "ms-ssim", "butteraugli", "nlpd"):
        assert METRICS[key].measure(small, small) is None


@pytest.mark.parametrize("metric", [metric for metric in METRICS.values() if metric.range], ids=lambda m: m.key)
def test_a_metrics_range_has_sizes_in_it_and_is_not_short(metric):
    low, high = metric.range
    assert high - low > 4 * metric.least
    assert list(metric.targets) == sorted(metric.targets) and sum(low <= t <= high for t in metric.targets) >= 3


def test_distances_of_the_bench_are_infinite_for_equal_pictures_alone(monkeypatch):
    image = astronaut()[:180, :200]
    monkeypatch.setattr(butteraugli, "butteraugli", lambda a, b: float((a != b).mean()))
    for key in ("psnr", "psnr-y", "nlpd", "butteraugli"):
        assert METRICS[key].measure(image, image) == math.inf
        worse = image.copy()
        worse[90, 90] ^= 1
        assert math.isfinite(METRICS[key].measure(image, worse))


# ------------------------------------------------------------------------------------------------- butteraugli


def program(folder, monkeypatch, text):
    """A program of butteraugli's name on the PATH that does what the text says."""
    path = folder / butteraugli.PROGRAM
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_butteraugli_falls_as_a_picture_gets_worse():
    metric = METRICS["butteraugli"]
    if metric.missing():
        pytest.skip(metric.missing())
    image = astronaut()[:96, :128]
    coarser = [image // n * n + np.uint8(n // 2) for n in (4, 16, 64)]
    measured = [metric.measure(image, worse) for worse in coarser]
    assert 5 > measured[0] > measured[1] + 1 > measured[2] + 2 > -10
    assert metric.measure(image, image) == math.inf


def test_butteraugli_is_the_programs_3_norm_of_these_pictures(tmp_path, monkeypatch):
    copies = f'for x; do /bin/cp "$x" "{tmp_path}"; done'
    program(tmp_path, monkeypatch, f"{copies}; echo 5.2128095627; echo 3-norm: 1.590573; echo warning >&2")
    original, decoded = noise(9, 10), noise(9, 10, seed=1)
    assert METRICS["butteraugli"].measure(original, decoded) == pytest.approx(-10 * math.log10(1.590573))
    for name, pixels in (("original.png", original), ("decoded.png", decoded)):
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(np.array(image), pixels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo 3-norm: 1.5; echo no memory >&2; exit 3", "ended with 3: no memory"),
        ("echo 5.2", "ended with 0: 5.2"),
        ("exit 1", "ended with 1: it said nothing"),
    ],
)
def test_a_butteraugli_that_fails_is_an_error(tmp_path, monkeypatch, text, message):
    program(tmp_path, monkeypatch, text)
    with pytest.raises(RuntimeError, match=message):
        butteraugli.butteraugli(noise(9, 9), noise(9, 9))


def test_a_metric_without_its_program_or_package_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no program butteraugli_main; libjxl's tools have it" in METRICS["butteraugli"].missing()
    assert replace(METRICS["ms-ssim"], packages=("no-such-package",)).missing() == "no-such-package is not installed"
    assert METRICS["ssimulacra2"].missing() is None


def test_another_program_is_another_metric_for_the_cache(tmp_path, monkeypatch):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        program(tmp_path / name, monkeypatch, f"echo {name}")
        found.append(METRICS["butteraugli"].identity())
    assert found[0] != found[1] and all(identity.startswith("butteraugli 1 butteraugli_main ") for identity in found)
    assert METRICS["ssimulacra2"].identity() == "ssimulacra2 2"


# -------------------------------------------------------------------------------------------------------- NLPD


def slow_levels(x):
    """Normalised levels by two-dimensional filters, as the paper has them."""
    from scipy.ndimage import convolve, correlate

    smooth = np.outer([0.05, 0.25, 0.4, 0.25, 0.05], [0.05, 0.25, 0.4, 0.25, 0.05])
    for i, (expected, neighbours) in enumerate(nlpd.LEVELS):
        level, half = x, None
        if i < len(nlpd.LEVELS) - 1:
            half = convolve(x, smooth, mode="reflect")[::2, ::2]
            framed = np.pad(half, 1, mode="edge")
            spread = np.zeros([2 * side for side in framed.shape])
            spread[::2, ::2] = 4 * framed
            level = x - convolve(spread, smooth, mode="constant")[2:, 2:][: x.shape[0], : x.shape[1]]
        weights = np.zeros((5, 5))
        for (down, right), weight in neighbours.items():
            weights[2 + down, 2 + right] = weight
        yield level / (expected + correlate(np.abs(level), weights, mode="constant"))
        x = half


@pytest.mark.parametrize("size", [(128, 192), (75, 93), (32, 33)])
def test_nlpd_equals_a_slow_one(size):
    pytest.importorskip("scipy")
    image = astronaut()[60 : 60 + size[0], 100 : 100 + size[1]]
    a, b = (x.mean(2) / 255 for x in (image, distorted("noise", image)))
    slow = np.mean([np.sqrt(np.mean((p - q) ** 2)) for p, q in zip(slow_levels(a), slow_levels(b), strict=True)])
    assert nlpd.nlpd(a, b) == pytest.approx(slow, rel=1e-12)


def test_nlpd_of_flat_pictures_by_hand():
    # Only what is left at last differs, 2 x 3 pixels of it, each with a right neighbour, a left one, or both.
    gray, white = ([x / (0.2782 + w * x) for w in (0.2215, 0.2215 + 0.0717, 0.0717)] for x in (0.5, 1.0))
    by_hand = math.sqrt(sum((a - b) ** 2 for a, b in zip(gray, white, strict=True)) / 3) / 6
    assert nlpd.nlpd(np.full((64, 96), 0.5), np.ones((64, 96))) == pytest.approx(by_hand, rel=1e-9)


def test_nlpd_of_the_bench_is_of_luma_in_decibels():
    image = astronaut()[:96, :128]
    worse = distorted("levels", image)
    luma = [x @ [0.299, 0.587, 0.114] / 255 for x in (image, worse)]
    assert METRICS["nlpd"].measure(image, worse) == pytest.approx(-10 * math.log10(nlpd.nlpd(*luma)))
    assert METRICS["nlpd"].measure(image, distorted("noise", image)) > METRICS["nlpd"].measure(image, worse)


# ----------------------------------------------------------------------------------------------------- MS-SSIM


def test_ms_ssim_of_the_bench_is_in_decibels():
    pytest.importorskip("pytorch_msssim")
    image = astronaut()[:180, :200]
    worse = distorted("levels", image)
    measured = METRICS["ms-ssim"].measure(image, worse)
    assert measured == pytest.approx(-10 * math.log10(1 - ms_ssim(image, worse)), abs=1e-9) and 5 < measured < 40


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


@pytest.mark.parametrize("seed", range(5))
def test_bd_rate_and_quality_are_those_of_the_package_bjontegaard(seed):
    bjontegaard = pytest.importorskip("bjontegaard")  # its PCHIP is checked against the sheets of JCT-VC and JVET
    rng = np.random.default_rng(seed)
    (anchor_rates, anchor_quality), (rates, quality) = (
        (np.cumsum(rng.uniform(0.1, 1, n)), 28 + np.cumsum(rng.uniform(0.5, 3, n))) for n in (4, 6)
    )
    curves = (list(anchor_rates), list(anchor_quality), list(rates), list(quality))
    loose = {"method": "pchip", "require_matching_points": False, "min_overlap": 0}
    assert bd_rate(*curves) == pytest.approx(bjontegaard.bd_rate(*curves, **loose), rel=1e-9)
    assert bd_quality(*curves) == pytest.approx(bjontegaard.bd_psnr(*curves, **loose), rel=1e-9)


def test_bd_quality_of_one_decibel_more_at_every_rate_is_one():
    assert bd_quality(RATES, PSNR, RATES, [p + 1 for p in PSNR]) == pytest.approx(1, abs=1e-9)
    assert bd_quality(RATES, PSNR, [r * 2 for r in RATES], PSNR) < 0
    with pytest.raises(ValueError, match="no overlap"):
        bd_quality(RATES, PSNR, [r * 100 for r in RATES], PSNR)


def test_bd_rate_without_overlap_says_both_ranges():
    with pytest.raises(ValueError, match=r"27\.00\.\.40\.00.*47\.00\.\.60\.00"):
        bd_rate(RATES, PSNR, RATES, [p + 20 for p in PSNR])
    with pytest.raises(ValueError, match=r"within 41\.\.None"):
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
    assert overlap(PSNR, [29, 38]) == (29, 38)
    assert overlap(PSNR, [29, 38], 29.5, 37.3) == (29.5, 37.3)
    assert overlap(PSNR, [32, 35], 29.5, 37.3) == (32, 35)


def test_interpolation_goes_through_the_points_and_ends_with_them():
    assert rate_at(RATES, PSNR, PSNR) == pytest.approx(RATES)
    assert quality_at(RATES, PSNR, RATES) == pytest.approx(PSNR, abs=1e-9)
    between = np.linspace(0.11, 1.9, 50)
    assert rate_at(RATES, PSNR, quality_at(RATES, PSNR, between)) == pytest.approx(between, rel=1e-5)
    assert np.isnan(rate_at(RATES, PSNR, [26.9, 40.1])).all()
    assert np.isnan(quality_at(RATES, PSNR, [0.09, 2.1])).all()


steps = st.lists(st.tuples(st.floats(0.05, 2), st.floats(0.1, 4)), min_size=2, max_size=8)


def curve_of(start, steps):
    rate, quality = start
    points = [(rate, quality)]
    for factor, gain in steps:
        rate, quality = rate * (1 + factor), quality + gain
        points.append((rate, quality))
    return zip(*points, strict=True)


@settings(max_examples=60)
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

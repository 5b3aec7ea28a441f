"""Refinement: a lower loss, by real bytes and what they decode to; the same bytes each time. Its seams: test_api.py."""

import coded
import numpy as np
import photos
import pytest
import torch
from photos import astronaut, photo

from codec import _C
from codec.api import EFFORTS
from codec.coding import engine, model_file, model_search, tiles
from codec.coding.model_config import TUNES, Config, level_lambda
from codec.coding.refinement import iterations
from codec.container import format
from codec.nets import losses, torch_codec
from codec.nets.model import Model
from codec.picture.pixels import to_pixels
from codec.picture.ssimulacra2 import ssimulacra2
from codec.train import export

SHARES = {"mse": {"mse": 1.0}, "eye": {"mse": _C.SQUARED_ERROR, "ssimulacra2": _C.PERCEIVED_ERROR}}
PLACES = ((100, 150), (250, 20), (0, 0), (300, 200))
PICTURES = {
    "odd": lambda: photo(123, 85),
    "gradient": lambda: photos.gradient(128, 160),
    "gray": lambda: photo(128, 128, seed=3)[..., :1].copy(),
    "noise": lambda: np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8),
    "white": lambda: np.where(photo(96, 128) > 128, 255, 0).astype(np.uint8),
}


@pytest.fixture(scope="module")
def models(frozen_eye, frozen_psnr):
    return {"mse": frozen_psnr, "eye": frozen_eye}


def loss_of(model, image, quality, data):
    """Bits of a file and lambda * D of its decoded pixels, per pixel."""
    x_hat, x = (
        torch.from_numpy(v.reshape(*image.shape[:2], -1)).permute(2, 0, 1)[None].float() / 255
        for v in (coded.colours(model, data), image)
    )
    error = float(losses.distortion(x_hat.expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1), SHARES[model.tune]))
    return 8 * len(data) / image[..., 0].size + level_lambda(float(model.level(quality))) * error


def real_loss(model, image, quality, effort):
    return loss_of(model, image, quality, coded.file(model, image, quality, effort=effort))


def unrefined_loss(model, image, quality, dead_zones=True):
    """Of latents as the analysis gives them."""
    pixels, encoder = to_pixels(image), engine.encoder(model.path)
    header = pixels.header(quality, model.id)
    (tile,) = header.tiles
    if not dead_zones:
        encoder = encoder.with_dead_zones(np.zeros_like(encoder.dead_zones))
    payload = encoder.pack(encoder.quantise(quality, *encoder.analyse(tiles.TileTask(pixels, tile, quality, effort=1))))
    return loss_of(model, image, quality, tiles.file(encoder, header, [payload]))


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize(("tune", "effort"), [("mse", 2), ("mse", 6), ("eye", 3), ("eye", 5)])
def test_refinement_lowers_the_real_loss_of_photographs(models, tune, effort, quality):
    """Of all together; it never raises that of one, but for the rounding to samples."""
    before, after = [], []
    for y, x in PLACES:
        image = astronaut()[y : y + 128, x : x + 128].copy()
        before.append(unrefined_loss(models[tune], image, quality))
        after.append(real_loss(models[tune], image, quality, effort))
        assert after[-1] <= 1.003 * before[-1]
    assert sum(after) < 0.998 * sum(before)


@pytest.mark.parametrize("quality", [10, 50, 95])
@pytest.mark.parametrize(("tune", "effort"), [("mse", 2), ("eye", 4)])
@pytest.mark.parametrize("picture", PICTURES)
def test_refinement_harms_no_picture(models, picture, tune, effort, quality):
    """What is checked is 16 bits deep: of flat pictures, with their 50 dB, rounding to 8 is much of the error."""
    image = PICTURES[picture]()
    assert real_loss(models[tune], image, quality, effort) <= 1.003 * unrefined_loss(models[tune], image, quality)


@pytest.mark.parametrize("effort", [2, 6])
def test_refinement_pays_at_high_quality(models, effort):
    image = astronaut()[100:228, 150:278].copy()
    assert real_loss(models["mse"], image, 95, effort) < 0.99 * unrefined_loss(models["mse"], image, 95)


@pytest.mark.parametrize("quality", [5, 50, 95])
def test_dead_zones_save_more_bits_than_their_error_is_worth(models, quality):
    image = astronaut()[:192, 128:320].copy()
    with_zones, without = (unrefined_loss(models["mse"], image, quality, zones) for zones in (True, False))
    assert with_zones < 0.995 * without


def test_effort_buys_bits_at_equal_ssimulacra2(models):
    """At 5 and at 2: the scores of the larger effort's file, and of plain ones of about as many bytes."""
    eye, image = models["eye"], astronaut()[64:320, 100:356].copy()
    files = {q: coded.file(eye, image, q, effort=2) for q in range(40, 61)}
    best = coded.file(eye, image, 50, effort=5)
    score = ssimulacra2(image, coded.colours(eye, best))
    needed = min(len(data) for data in files.values() if ssimulacra2(image, coded.colours(eye, data)) >= score)
    assert len(best) < 0.97 * needed


@pytest.mark.parametrize("tune", SHARES)
@pytest.mark.parametrize("height, width", [(1, 1), (17, 33), (70, 15), (150, 5)])
@pytest.mark.parametrize("gray", [False, True])
def test_odd_sizes_decode(models, tune, height, width, gray):
    image = photo(height, width)
    image = image[..., :1].copy() if gray else image
    files = [coded.file(models[tune], image, 85, effort=effort) for effort in (1, 2, 5)]
    error = [np.square(coded.colours(models[tune], data).astype(float) - image).mean() for data in files]
    assert max(error[1:]) <= 1.5 * error[0] + 1  # a bit may be worth some error, never the picture


@pytest.mark.parametrize(("tune", "effort"), [("mse", 2), ("eye", 3)])
def test_refined_files_are_the_same_each_time_for_all_arithmetics(models, tune, effort):
    """The errors' slope for the eye is in floats, whose operations have one order."""
    image, before = photo(64, 80), _C.isa()
    files = set()
    try:
        for isa in _C.isas():
            _C.set_isa(isa)
            files.add(coded.file(models[tune], image, 70, 64, effort))
    finally:
        _C.set_isa(before)
    reference = torch_codec.load(models[tune].path, torch.device("cpu"), "reference")
    files.add(coded.file(reference, image, 70, 64, effort))
    assert len(files) == 1


def test_effort_1_is_the_analysis_alone(models):
    encoder, pixels = engine.encoder(models["mse"].path), to_pixels(photo(48, 64))
    tile = format.Header(64, 48, 50, models["mse"].id).tiles[0]
    y, _ = encoder.analyse(tiles.TileTask(pixels, tile, 50, 1, pytest.fail))
    refined, _ = encoder.analyse(tiles.TileTask(pixels, tile, 50, 2))
    assert y.shape == refined.shape and np.array_equal(y, encoder.latents(pixels, tile, 50)) and (y != refined).any()


@pytest.mark.parametrize("tune", TUNES)
def test_a_larger_effort_never_refines_less(tune):
    numbers = [iterations(tune, effort) for effort in EFFORTS]
    assert numbers[0] == 0 and numbers == sorted(numbers)


@pytest.mark.parametrize(("tune", "effort"), [("mse", 0), ("mse", 10), ("mse ", 1), ("", 1)])
def test_other_efforts_and_kinds_of_models_are_refused(tune, effort):
    with pytest.raises(ValueError, match="effort|tune"):
        iterations(tune, effort)


@pytest.mark.parametrize("level", [1.0, 17.3, 100.0, 120.0])
def test_bits_are_worth_what_they_were_in_training(level):
    assert _C.level_lambda(level) == pytest.approx(level_lambda(level), rel=1e-12)


@pytest.mark.parametrize("tune", SHARES)
@pytest.mark.parametrize("effort", [1, 2, 3, 5])
def test_encode_tells_how_far_it_is_over_all_tiles(models, tune, effort):
    shares = []
    coded.file(models[tune], photo(64, 100), 50, 64, effort, shares.append)
    n = 2 * max(1, iterations(tune, effort))
    assert shares == [(i + 1) / n for i in range(n)]


def test_a_model_for_ms_ssim_is_left_as_it_is(tmp_path):
    torch.manual_seed(0)
    config = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)
    export.save(tmp_path / "m.safetensors", Model(config), tune="ms-ssim")
    model = torch_codec.load(tmp_path / "m.safetensors", torch.device("cpu"))
    image = photo(40, 50)
    assert coded.file(model, image, 50, effort=9) == coded.file(model, image, 50, effort=2)


# ------------------------------------------------------------------ what it stands on


@pytest.mark.parametrize("tune", SHARES)
def test_the_projection_is_the_least_squares_change_of_each_latent_alone(models, tune):
    model = models[tune]
    projection = engine.projection_of(model.file)
    weight = model.synthesis.shortcut.weight[:, :, 0, 0].double()  # pixels of [0, 1] for each latent
    errors = np.random.default_rng(0).integers(-4000, 4000, (32, 48, 3)).astype(np.int16)
    blocks = torch.nn.functional.pixel_unshuffle(torch.tensor(errors).permute(2, 0, 1)[None].double() / 8160, 16)
    expected = torch.einsum("om,bohw->bhwm", weight, blocks)[0] / weight.square().sum(0)
    found = projection.run(errors)
    wanted = (expected * 4096).clamp(-32768, 32767).numpy()
    assert np.abs(found - wanted).max() < 1 + 2e-3 * np.abs(wanted).max()
    before, same = _C.isa(), []
    try:
        for isa in _C.isas():
            _C.set_isa(isa)
            same += [np.array_equal(projection.run(errors, threads=n), found) for n in (1, 3)]
    finally:
        _C.set_isa(before)
    assert all(same)


@pytest.mark.parametrize(
    ("errors", "error"),
    [
        (np.zeros((16, 16), np.int16), ValueError),
        (np.zeros((16, 15, 3), np.int16), ValueError),
        (np.zeros((16, 16, 4), np.int16), ValueError),
        (np.zeros((16, 16, 3), np.int32), TypeError),
        (np.zeros((32, 16, 3), np.int16)[::2], ValueError),
        (np.full((16, 16, 3), 8193, np.int16), ValueError),
        (np.full((16, 16, 3), -8193, np.int16), ValueError),
    ],
)
def test_errors_that_break_a_rule_are_refused(errors, error):
    with pytest.raises(error):
        engine.projection_of(model_file.load(model_search.find("eye"))).run(errors)


@pytest.mark.parametrize("height, width, noise", [(171, 203, 20), (64, 40, 2), (8, 8, 9), (9, 300, 0)])
def test_the_slope_of_ssimulacra2_is_the_one_that_torch_finds(height, width, noise):
    x = photo(height, width, seed=1)
    noisy = x + np.random.default_rng(0).normal(0, noise, x.shape)
    y = np.rint(noisy.clip(0, 255) * 257).astype(np.uint16)
    error, slope = _C.perceived_error(as_input(x), y)
    a, b = (
        torch.from_numpy((v / white).astype(np.float32)).permute(2, 0, 1)[None] for v, white in ((x, 255), (y, 65535))
    )
    b.requires_grad_()
    expected = losses.perceived_error(b, a).sum() / losses.SSIMULACRA2_WEIGHT
    (by_torch,) = torch.autograd.grad(expected, b)
    by_torch = by_torch[0].numpy()
    assert error == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-4)
    assert np.abs(slope - by_torch).max() <= 2e-3 * np.abs(by_torch).max() + 1e-9
    assert _C.perceived_error(as_input(x), y, with_slope=False) == (error, None)


def as_input(picture):
    return picture.astype(np.int16) * 32 - 4080


def test_gray_has_the_perceived_error_of_the_same_colours():
    x, y = (np.repeat(photo(50, 70, seed=seed)[..., :1], 3, 2) for seed in (1, 2))
    decoded = y.astype(np.uint16) * 257
    gray, colours = (_C.perceived_error(as_input(x), np.ascontiguousarray(v)) for v in (decoded[..., :1], decoded))
    assert gray[0] == colours[0] and np.array_equal(gray[1], colours[1])


def test_the_errors_of_ssimulacra2_are_the_same_numbers_with_all_instruction_sets_and_threads():
    original = as_input(photo(101, 77, seed=1))
    decoded = photo(101, 77, seed=2).astype(np.uint16) * 257
    before, found = _C.isa(), []
    try:
        for isa in _C.isas():
            _C.set_isa(isa)
            found += [_C.perceived_error(original, decoded, threads=n) for n in (1, 3)]
    finally:
        _C.set_isa(before)
    assert all(error == found[0][0] and np.array_equal(slope, found[0][1]) for error, slope in found)


def test_equal_pictures_have_no_perceived_error():
    x = photo(40, 50)
    error, slope = _C.perceived_error(as_input(x), x.astype(np.uint16) * 257)
    assert error == pytest.approx(0, abs=0.06) and np.isfinite(slope).all()

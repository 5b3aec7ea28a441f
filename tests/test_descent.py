"""Refinement of a model for the eye: a lower loss, by real bytes and what they decode to."""

import coded
import numpy as np
import photos
import pytest
import torch
from photos import astronaut

from codec.coding import model_file
from codec.coding.efforts import ITERATIONS
from codec.coding.model_config import Config
from codec.coding.perceptual_refinement import REFINED_FOR
from codec.container import format
from codec.nets import losses, torch_codec, torch_encoder
from codec.nets.model import Model, level_lambda
from codec.picture.pixels import to_pixels
from codec.picture.ssimulacra2 import ssimulacra2
from codec.train import export


@pytest.fixture(scope="module")
def eye():
    model = torch_codec.load(model_file.find("eye"), torch.device("cpu"))
    assert model.tune == "eye"
    return model


def decoded(model, data):
    return coded.colours(model, data)


def loss_of(model, image, quality, data):
    """Bits of a file and lambda * D of its decoded pixels, per pixel."""
    x_hat, x = (torch.from_numpy(v).permute(2, 0, 1)[None].float() / 255 for v in (decoded(model, data), image))
    x_hat, x = x_hat.expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1)
    lam = float(level_lambda(model.level(quality)))
    return 8 * len(data) / image[..., 0].size + lam * float(losses.distortion(x_hat, x, REFINED_FOR))


@pytest.mark.parametrize("quality", [20, 60, 95])
def test_more_effort_never_raises_the_real_loss_of_photographs(eye, quality):
    for y, x in ((100, 150), (250, 20)):
        image = astronaut()[y : y + 128, x : x + 160].copy()
        quick, thorough = (loss_of(eye, image, quality, coded.file(eye, image, quality, effort=e)) for e in (2, 5))
        assert thorough <= 1.003 * quick  # what is checked on the way is not rounded to samples


def test_effort_buys_bits_at_equal_ssimulacra2(eye):
    """At 5 and at 2: the scores of the larger effort's file, and of plain ones of about as many bytes."""
    image = astronaut()[64:320, 100:356].copy()
    files = {q: coded.file(eye, image, q, effort=2) for q in range(40, 61)}
    best = coded.file(eye, image, 50, effort=5)
    score = ssimulacra2(image, decoded(eye, best))
    needed = min(len(data) for data in files.values() if ssimulacra2(image, decoded(eye, data)) >= score)
    assert len(best) < 0.97 * needed


@pytest.mark.parametrize("picture", ["gray", "white", "noise", "tall", "1x1"])
def test_odd_pictures_are_refined_and_decode(eye, picture):
    image = {
        "gray": lambda: photos.photo(70, 90, seed=3)[..., :1].copy(),
        "white": lambda: np.full((64, 64, 3), 255, np.uint8),
        "noise": lambda: np.random.default_rng(0).integers(0, 256, (72, 80, 3), np.uint8),
        "tall": lambda: photos.photo(150, 5),
        "1x1": lambda: photos.photo(1, 1),
    }[picture]()
    errors = []
    for effort in (2, 4):
        data = coded.file(eye, image, 60, effort=effort)
        errors.append(np.square(decoded(eye, data).astype(float) - image).mean())
    assert errors[1] <= 1.2 * errors[0] + 1


def test_tiles_are_refined_apart_and_repeatably(eye):
    image = photos.photo(100, 150, seed=4)
    files = [coded.file(eye, image, 50, 64, effort=3) for _ in range(2)]
    assert files[0] == files[1] != coded.file(eye, image, 50, 64, effort=2)


@pytest.mark.parametrize("effort", [2, 3, 5])
def test_progress_is_called_after_each_step(eye, effort):
    pixels, calls = to_pixels(photos.photo(20, 30)), []
    (tile,) = format.Header(30, 20, 50, eye.id).tiles
    torch_encoder.analyse(eye, pixels, tile, 50, effort, lambda: calls.append(1))
    assert len(calls) == ITERATIONS["eye"][effort]


def test_a_model_for_ms_ssim_is_left_as_it_is(tmp_path):
    torch.manual_seed(0)
    config = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)
    export.save(tmp_path / "m.safetensors", Model(config), tune="ms-ssim")
    model = torch_codec.load(tmp_path / "m.safetensors", torch.device("cpu"))
    image = photos.photo(40, 50)
    assert coded.file(model, image, 50, effort=9) == coded.file(model, image, 50, effort=2)

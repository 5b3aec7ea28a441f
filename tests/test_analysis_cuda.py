"""An encoder's transforms in CUDA against those of the CPU, integer for integer: on a GPU, or emulated without one."""

from dataclasses import replace

import numpy as np
import photos
import pytest
import torch
from extremes import TINY, config_of, extreme_analysis, extreme_hyper_analysis, latents, pixels
from test_analysis import around, native

from codec.coding import engine, model_search
from codec.coding.analysis_cuda import CudaAnalysis
from codec.coding.decoder import Place
from codec.coding.model_config import Config
from codec.coding.rans_cuda import DEVICE_TYPE
from codec.container.format import Tile
from codec.nets import torch_codec
from codec.nets.torch_encoder import TorchEncoder
from codec.picture.pixels import to_pixels

DEVICE = torch.device(DEVICE_TYPE)
SIXTEEN, THIRTY_TWO, SIXTY_FOUR = 10**6, 5, 0  # `large` for tiles of so many positions, of planes of 6 to 20


def some_qualities(rng: np.random.Generator, rows: int, columns: int) -> "int | np.ndarray":
    if rng.random() < 0.5:
        return int(rng.integers(1, 101))
    return rng.integers(1, 101, (-(-rows // 4), -(-columns // 4)), np.uint8)


def both(config: Config, seed: int, large: int) -> tuple:
    """The transforms of the CPU, and those of the device."""
    on_cpu = native(extreme_analysis(seed, config)), native(extreme_hyper_analysis(seed, config))
    return *on_cpu, CudaAnalysis(*on_cpu, DEVICE, large)


@pytest.mark.kernels
@pytest.mark.parametrize("large", [SIXTEEN, THIRTY_TWO, SIXTY_FOUR])
@pytest.mark.parametrize(
    ("config", "rows", "columns"),
    [(config_of(2, 1, 0, 1, 0), 1, 1), (config_of(10, 33, 1, 15, 2), 2, 3), (config_of(6, 4, 2, 3, 1), 5, 6)],
)
def test_random_nets_give_the_latents_of_the_cpu(config, rows, columns, large):
    rng = np.random.default_rng(rows)
    x, (analysis, _, on_device) = pixels(rows, rows, columns), both(config, rows, large)
    quality = some_qualities(rng, rows, columns)
    (y0, y1), (x0, x1) = (np.sort(rng.choice(n + 1, 2, replace=False)).tolist() for n in (rows, columns))
    for area in ((0, 0, rows, columns), (y0, x0, y1 - y0, x1 - x0)):
        top, bottom = around(area[0], area[2], rows, config.halo)
        left, right = around(area[1], area[3], columns, config.halo)
        part = x[16 * top : 16 * bottom, 16 * left : 16 * right].copy()
        want = analysis.run(part, at=(top, left), picture=(rows, columns), quality=quality, area=area)
        made = on_device.latents(part, Place((top, left), (rows, columns), quality), area)
        assert np.array_equal(made.cpu(), want), area


@pytest.mark.kernels
@pytest.mark.parametrize("large", [SIXTEEN, SIXTY_FOUR])
@pytest.mark.parametrize(("n_latents", "rows", "columns"), [(2, 1, 1), (8, 1, 2), (34, 2, 1)])
def test_random_nets_give_the_hyperlatents_of_the_cpu(n_latents, rows, columns, large):
    rng = np.random.default_rng(n_latents)
    _, analysis, on_device = both(config_of(n_latents, 1, 0, 1, 0), n_latents, large)
    y = latents(n_latents, n_latents, 4 * rows, 4 * columns).transpose(1, 2, 0).astype(np.int16)
    y, quality = np.ascontiguousarray(y), some_qualities(rng, 4 * rows, 4 * columns)
    assert np.array_equal(on_device.hyperlatents(y, quality).cpu(), analysis.run(y, quality=quality))


@pytest.mark.kernels
def test_a_small_photo_has_the_latents_of_the_cpu(shipped):
    on_cpu = engine.encoder(shipped.path)
    codec = replace(shipped)
    half = shipped.file.encoder()
    codec.__dict__["analysis"] = CudaAnalysis(half.analysis, half.hyper_analysis, DEVICE)
    on_device, image = TorchEncoder(codec), to_pixels(photos.photo(35, 20))
    tile = Tile(0, 0, 20, 35)
    y = on_device.latents(image, tile, 60)
    assert np.array_equal(y, on_cpu.latents(image, tile, 60))
    assert np.array_equal(on_device.hyperlatents(y, 60), on_cpu.hyperlatents(y, 60))


@pytest.mark.needs_cuda
@pytest.mark.parametrize("quality", [5, 60, 95])
def test_photos_of_several_tiles_have_the_latents_of_the_cpu(shipped, quality):
    model, on_cpu = torch_codec.load(model_search.find(None), DEVICE), engine.encoder(shipped.path)
    assert isinstance(model.analysis, CudaAnalysis)
    image = to_pixels(photos.photo(1100, 1300, seed=quality))
    for tile in image.header(quality, model.id).tiles:
        y = model.encoder.latents(image, tile, quality)
        assert np.array_equal(y, on_cpu.latents(image, tile, quality))
        assert np.array_equal(model.encoder.hyperlatents(y, quality), on_cpu.hyperlatents(y, quality))


PIXELS, Y = np.zeros((48, 64, 3), np.int16), np.zeros((8, 4, TINY.latents), np.int16)


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(quality=101), "quality is 101"),
        (dict(picture=(0, 4)), "rows is 0"),
        (dict(picture=(2, 4)), "the area is not within the picture"),
        (dict(area=(0, 0, 3, 5)), "the area is not within the picture"),
        (dict(area=(0, 0, -1, 4)), "area is -1"),
        (dict(at=(-1, 0)), "given is -1"),
        (dict(at=(1, 0)), "the pixels do not cover the area and the halo"),
        (dict(pixels=PIXELS[:, :48], area=(0, 0, 3, 3)), "the pixels do not cover the area and the halo"),
        (dict(pixels=PIXELS[1:]), "expected int16"),
        (dict(pixels=PIXELS[..., :2]), "expected int16"),
        (dict(pixels=PIXELS.astype(np.int32)), "expected int16"),
    ],
)
def test_arguments_of_the_analysis_that_break_a_rule_are_refused(changes, words):
    given = dict(pixels=PIXELS, at=(0, 0), picture=(3, 4), quality=50, area=(0, 0, 3, 4)) | changes
    place = Place(*map(given.pop, ("at", "picture", "quality")))
    with pytest.raises(ValueError, match=words):
        both(TINY, 0, SIXTEEN)[2].latents(place=place, **given)


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(quality=0), "quality is 0"),
        (dict(quality=np.full((1, 1), 50, np.uint8)), r"a map of qualities has shape \[1, 1\]"),
        (dict(y=Y[:7]), "expected int16"),
        (dict(y=Y[..., 1:]), "expected int16"),
        (dict(y=Y.astype(np.float32)), "expected int16"),
        (dict(y=Y[:0]), "rows is 0"),
    ],
)
def test_arguments_of_the_hyper_analysis_that_break_a_rule_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        both(TINY, 0, SIXTEEN)[2].hyperlatents(**(dict(y=Y, quality=50) | changes))

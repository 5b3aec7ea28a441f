"""The synthesis in CUDA against that of the CPU, sample for sample: on a GPU, or emulated without one."""

import coded
import numpy as np
import photos
import pytest
import torch
from extremes import TINY, config_of, extreme, latents
from test_synthesis import UNTOUCHED, around, native

from codec.coding import decoder, engine, model_search, segment_walk
from codec.coding.decoder import Place
from codec.coding.rans_cuda import DEVICE_TYPE
from codec.coding.segment_walk_cuda import CudaNets, CudaWalk
from codec.coding.synthesis_cuda import CudaSynthesis
from codec.container import format
from codec.nets import torch_codec
from codec.nets.integer_synthesis import IntegerSynthesis
from codec.nets.torch_decoder import TorchDecoder

DEVICE = torch.device(DEVICE_TYPE)
SIXTEEN, THIRTY_TWO, SIXTY_FOUR = 10**6, 5, 0  # `large` for tiles of so many positions, of planes of 6 to 20


def of(net, large: int, levels: np.ndarray | None = None) -> CudaSynthesis:
    # At the lowest level the branch is never left out.
    return CudaSynthesis(net.config, np.ones(100) if levels is None else levels, native(net), DEVICE, large)


def assert_same_as_cpu(
    net, rows: int, columns: int, seed: int, large: int, shrinks=(1, 2, 4, 8), branches=(True, False), mapped=False
) -> None:
    """For all that is asked for: part, depth, gray, where the samples go and the quality are drawn."""
    rng = np.random.default_rng(seed)
    y = np.ascontiguousarray(latents(seed, net.config.latents, rows, columns).transpose(1, 2, 0).astype(np.int16))
    on_cpu = native(net)
    for shrink in shrinks:
        for branch in branches:
            on_device = of(net, large, None if branch else np.full(100, 1e9))
            branch = on_device.has_branch(1, shrink)
            quality = int(rng.integers(1, 101))
            if mapped:
                quality = rng.integers(1, 101, (-(-rows // 4), -(-columns // 4)), np.uint8)
            (y0, y1), (x0, x1) = (
                np.sort(rng.choice(n * 16 // shrink + 1, 2, replace=False)).tolist() for n in (rows, columns)
            )
            if rng.random() < 0.5:
                y0, y1, x0, x1 = 0, rows * 16 // shrink, 0, columns * 16 // shrink
            part = around((y0, y1, x0, x1), 16 // shrink, net.config.halo if branch else 0, rows, columns)
            dtype, channels = rng.choice([np.uint8, np.uint16]), int(rng.choice([1, 3]))
            want = np.full((y1 - y0 + 2, x1 - x0 + 3, channels), UNTOUCHED, dtype)
            made = want.copy()
            place = Place((part[0].start, part[1].start), (rows, columns), quality)
            on_cpu.run(
                y[part], at=place.at, picture=place.picture, quality=quality, shrink=shrink, branch=branch,
                origin=(y0, x0), out=want[1:-1, 1:-2],
            )  # fmt: skip
            if rng.random() < 0.5:
                on_device.run(y[part], place, shrink, (y0, x0), made[1:-1, 1:-2])
            else:
                tensor = torch.from_numpy(made).permute(2, 0, 1).contiguous().to(DEVICE)
                on_device.run(torch.from_numpy(y[part]).to(DEVICE), place, shrink, (y0, x0), tensor[:, 1:-1, 1:-2])
                made = tensor.permute(1, 2, 0).cpu().numpy()
            assert np.array_equal(made, want), (shrink, branch, quality, dtype, (y0, y1, x0, x1))


@pytest.mark.kernels
@pytest.mark.parametrize("large", [SIXTEEN, THIRTY_TWO, SIXTY_FOUR])
@pytest.mark.parametrize(
    ("config", "rows", "columns"),
    [
        (config_of(2, 1, 0, 1, 0), 1, 1),
        (config_of(8, 4, 2, 6, 1), 2, 3),
        (config_of(10, 33, 1, 15, 2), 3, 2),  # not a multiple of what is loaded together, and more than a k step
    ],
)
def test_random_nets_make_the_samples_of_the_cpu(config, rows, columns, large):
    assert_same_as_cpu(extreme(rows, config), rows, columns, columns + large, large)


@pytest.mark.kernels
def test_parts_of_a_wide_picture_and_maps_of_qualities_make_the_samples_of_the_cpu():
    net = extreme(3, config_of(6, 5, 1, 3, 1))
    for seed in range(4):
        assert_same_as_cpu(net, 5, 9, seed, SIXTEEN, (1, 4), (True,), mapped=seed % 2 == 0)


@pytest.mark.kernels
def test_widths_of_the_shipped_model_with_extreme_weights_make_the_samples_of_the_cpu():
    assert_same_as_cpu(extreme(5, config_of(512, 176, 1, 288, 1)), 1, 2, 6, SIXTEEN, (1,), (True,))


@pytest.mark.kernels
def test_a_small_photo_has_the_pixels_of_the_cpu(shipped):
    """From its payload to its pixels, whole, in part and reduced."""
    nets = CudaNets(shipped.config, segment_walk.cpu_nets(shipped.net), DEVICE)
    packed = engine.of_model(shipped.file).synthesis.handle
    on_device = TorchDecoder(
        lambda quality, rows, columns, first=(): CudaWalk(nets, quality, rows, columns),
        shipped.file,
        CudaSynthesis(shipped.config, shipped.file.levels, packed, DEVICE),
        DEVICE,
    )
    layout = format.read(coded.file(shipped, photos.photo(34, 40), 60))
    for asked in ({}, {"region": format.Tile(7, 3, 20, 11), "shrink": 2}):
        made, want = (decoder.decode(by, decoder.Coded.of(by, layout), **asked) for by in (on_device, shipped.decoder))
        assert np.array_equal(made, want)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("quality", [5, 60, 95])
def test_photos_of_several_windows_have_the_pixels_of_the_cpu(shipped, quality):
    model = torch_codec.load(model_search.find(None), DEVICE)
    assert isinstance(model.decoder.synthesis, CudaSynthesis)
    data = coded.file(shipped, photos.photo(1100, 1300, seed=quality), quality)
    assert np.array_equal(coded.colours(model, data), coded.colours(shipped, data))


Y = torch.zeros(3, 4, TINY.latents, dtype=torch.int16)
OUT = torch.full((3, 48, 64), UNTOUCHED, dtype=torch.uint8)


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(quality=0), "quality is 0, allowed are 1 to 100"),
        (dict(quality=np.full((1, 2), 50, np.uint8)), r"a map of qualities has shape \[1, 2\]"),
        (dict(shrink=3), "shrink must be 1, 2, 4 or 8"),
        (dict(picture=(0, 4)), "rows is 0"),
        (dict(picture=(3, 4097)), "columns is 4097"),
        (dict(at=(-1, 0)), "at is -1"),
        (dict(origin=(1, 0)), "the area is not within the picture"),
        (dict(origin=(0, -1)), "origin is -1"),
        (dict(shrink=2), "the area is not within the picture"),
        (dict(at=(1, 0)), "the latents do not cover the area"),
        (dict(latents=Y[:2], out=OUT[:, :16]), "the latents do not cover the area and the halo"),
        (dict(latents=Y[..., 1:]), r"expected int16 \[h, w, 8\]"),
        (dict(latents=Y.int()), r"expected int16 \[h, w, 8\]"),
        (dict(latents=Y[0]), r"expected int16 \[h, w, 8\]"),
        (dict(out=OUT[:2]), "1 or 3 channels"),
    ],
)
def test_arguments_that_break_a_rule_are_refused_and_nothing_is_written(changes, words):
    given = dict(latents=Y, at=(0, 0), picture=(3, 4), quality=50, shrink=1, origin=(0, 0), out=OUT) | changes
    given["out"] = given["out"].to(DEVICE)
    place = Place(*map(given.pop, ("at", "picture", "quality")))
    with pytest.raises(ValueError, match=words):
        of(extreme(0), SIXTEEN).run(place=place, **given)
    assert (given["out"] == UNTOUCHED).all()


@pytest.mark.kernels
def test_a_synthesis_too_wide_for_shared_memory_is_refused():
    for config in (config_of(2, 1, 0, 1100, 1), config_of(3000, 1, 0, 1, 0)):
        net = IntegerSynthesis(config)
        net.shortcut.shift.fill_(2)
        net.gain.shift.fill_(1)
        wide, y = of(net, SIXTEEN), np.zeros((1, 1, config.latents), np.int16)
        assert not wide.fits
        with pytest.raises(ValueError, match="too wide for shared memory"):
            wide.run(y, Place((0, 0), (1, 1), 1), 1, (0, 0), np.zeros((16, 16, 3), np.uint8))

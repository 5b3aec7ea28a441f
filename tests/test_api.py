"""encode, decode and inspect as a user calls them, with the model that ships: whichever that is."""

import coded
import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec.api import EFFORTS, TILE
from codec.coding import decoder, payloads, rans
from codec.coding.cdf_tables import cost_bits
from codec.coding.model_config import level_lambda
from codec.coding.tiles import TileTask
from codec.container import format
from codec.nets import torch_encoder
from codec.nets.integer import to_fixed
from codec.picture import fidelity
from codec.picture.pixels import to_pixels
from codec.picture.ssimulacra2 import ssimulacra2

CPU = torch.device("cpu")


def test_inspect_says_what_was_encoded(shipped):
    data = codec.encode(photos.photo(20, 70), 33)
    assert codec.inspect(data) == codec.Header(70, 20, 33, shipped.id, False, 1024)


# ------------------------------------------------------------------ sizes


@settings(max_examples=40)
@given(st.integers(1, 65), st.integers(1, 65), st.booleans(), st.integers(1, 100))
def test_any_small_size_comes_back_in_its_size(height, width, gray, quality):
    image = photos.photo(height, width)
    image = image[..., 0] if gray else image
    out = codec.decode(codec.encode(image, quality), output="numpy")
    assert out.shape == image.shape
    assert photos.psnr(out, image) > 10


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (17, 3), (64, 64), (65, 65), (63, 16)])
def test_awkward_sizes_come_back_close(size):
    image = np.full((*size, 3), (90, 140, 60), np.uint8)
    out = codec.decode(codec.encode(image, 90), output="numpy")
    assert out.shape == image.shape
    assert np.abs(out.astype(int) - image).mean() < 12


@pytest.mark.parametrize(
    ("size", "side"), [((130, 200), 64), ((64, 65), 64), ((129, 257), 128), ((1, 300), 64), ((100, 129), 128)]
)
@pytest.mark.parametrize("gray", [False, True])
def test_tiled_files_come_back_whole(frozen_eye, size, side, gray):
    image = photos.photo(*size, seed=2)
    image = image[..., 0].copy() if gray else image
    data = coded.file(frozen_eye, image, 80, side)
    assert len(codec.inspect(data).tiles) == -(-size[0] // side) * -(-size[1] // side)
    tiled = codec.decode(data, output="numpy")
    whole = codec.decode(coded.file(frozen_eye, image, 80, 4096), output="numpy")
    assert tiled.shape == image.shape
    # A tile's entropy net does not see its neighbours, so symbols differ by roundings; the transforms do see them.
    assert photos.psnr(tiled, image) > photos.psnr(whole, image) - 1.0


def boundary_and_interior_error(out, image, side):
    error = np.abs(out.astype(np.float64) - image).mean(-1)
    y, x = np.mgrid[: error.shape[0], : error.shape[1]]
    near = np.zeros(error.shape, bool)
    for position, end in ((y, error.shape[0]), (x, error.shape[1])):
        near |= ((position % side < 2) & (position >= side)) | (
            (position % side >= side - 2) & (position < end // side * side)
        )
    # Inside, the same columns and rows of the 16-pixel grid: blocks have edges in untiled files too.
    grid = ((y % 16 < 2) | (y % 16 >= 14) | (x % 16 < 2) | (x % 16 >= 14)) & ~near
    return error[near].mean(), error[grid].mean()


def error_near_boundaries(model, image, quality, side, effort=2) -> tuple[float, float]:
    """Of a tiled file against the same picture untiled: (error at tile boundaries relative to inside, PSNR lost in dB).

    Relative to untiled, for a picture need not be equally hard everywhere.
    """
    tiled, whole = (
        codec.decode(coded.file(model, image, quality, s, effort), output="numpy") for s in (side, format.MIN_TILE << 6)
    )
    near, inside = boundary_and_interior_error(tiled, image, side)
    untiled_near, untiled_inside = boundary_and_interior_error(whole, image, side)
    return (near / inside) / (untiled_near / untiled_inside), photos.psnr(whole, image) - photos.psnr(tiled, image)


@pytest.mark.parametrize("effort", [2, 5])
@pytest.mark.parametrize(("quality", "n"), [(20, 12), (70, 4)])  # at 20 one picture's ratio deviates by 0.1
def test_no_seam_between_tiles_of_the_side_that_encode_uses(frozen_eye, quality, n, effort):
    ratio, lost = np.mean(
        [error_near_boundaries(frozen_eye, photos.gradient(112, 2048, i), quality, TILE, effort) for i in range(n)],
        axis=0,
    )
    assert ratio <= 1.05 and lost <= 0.02


@pytest.mark.parametrize(("quality", "n"), [(20, 12), (65, 1), (88, 1)])  # at 20 one picture's loss deviates by 0.4 dB
@pytest.mark.parametrize("kind", [photos.gradient, photos.photo])
@pytest.mark.parametrize("effort", [1, 2])
def test_even_small_tiles_have_hardly_a_seam(frozen_eye, kind, quality, n, effort):
    # Their latents are predicted from less, most so in smooth pictures of few bits; what a dead zone makes 0 is as far
    # off as its prediction. There effort 2 sells error for bytes as well: 10 % of them in tiles, 7 % untiled.
    ratio, lost = np.mean(
        [error_near_boundaries(frozen_eye, kind(384, 384, i), quality, 128, effort) for i in range(n)], axis=0
    )
    assert ratio <= 1.25 and lost <= (0.7 if (kind, quality, effort) == (photos.gradient, 20, 2) else 0.2)


def test_the_same_latents_give_the_same_pixels_however_they_are_tiled(shipped, monkeypatch):
    """Synthesis sees as much of the neighbours as its receptive field: seams are not small, they are absent."""
    monkeypatch.setattr(decoder, "WINDOW", 64)
    data = coded.file(shipped, photos.photo(256, 192, seed=3), 70, 64)
    header = codec.inspect(data)
    latents, whole = shipped.decoder.empty(16, 12), np.empty((256, 192, 3), np.uint8)
    for tile, part in zip(header.tiles, coded.latents(shipped, data), strict=True):
        latents[tile.y // 16 :, tile.x // 16 :][: part.shape[0], : part.shape[1]] = part
    shipped.decoder.synthesis.run(latents, decoder.Place((0, 0), (16, 12), header.quality), 1, (0, 0), whole)
    assert np.array_equal(whole, coded.colours(shipped, data))


# ------------------------------------------------------------------ rate and distortion


def test_the_default_model_is_for_the_eye_and_the_other_for_psnr():
    image = photos.astronaut()
    exact = codec.encode(image, 40, model="psnr")
    seen = codec.encode(image, target_size=len(exact))
    assert codec.encode(image, 40) == codec.encode(image, 40, model="eye") != exact
    assert 0.9 * len(exact) < len(seen) <= len(exact)
    exact, seen = (codec.decode(data, output="numpy") for data in (exact, seen))  # the model is found by its id
    assert ssimulacra2(image, seen) > ssimulacra2(image, exact) + 2
    assert photos.psnr(seen, image) < photos.psnr(exact, image)


@pytest.mark.parametrize("picture", ["synthetic", "gray", "astronaut", "kodak"])
def test_more_quality_costs_more_bytes_and_less_error(frozen_eye, picture):
    image = {
        "synthetic": lambda: photos.photo(192, 256),
        "gray": lambda: photos.photo(192, 256, seed=5)[..., 1].copy(),
        "astronaut": lambda: photos.astronaut()[:256, 128:384],
        "kodak": lambda: photos.kodak(19)[100:292, 200:456],
    }[picture]()
    sizes, figures = [], []
    for quality in (1, 20, 40, 60, 80, 100):
        data = codec.encode(image, quality, model=frozen_eye.path)
        sizes.append(len(data))
        figures.append(photos.psnr(codec.decode(data, output="numpy"), image))
    assert sizes == sorted(sizes) and figures == sorted(figures)
    assert figures[0] > 18 and figures[-1] > figures[0] + 5
    assert sizes[-1] < image.size  # smaller than the raw pixels even at its best


def test_gray_pictures_stay_gray(frozen_eye):
    gray = Image.fromarray(photos.photo(48, 64)[..., 0].copy())
    data = codec.encode(gray, 80, model=frozen_eye.path)
    out = codec.decode(data)
    assert out.mode == "L"
    assert codec.decode(data, output="torch").shape[0] == 1
    assert photos.psnr(np.array(out), np.array(gray)) > 25


@pytest.mark.parametrize("quality", [5, 50, 95])
@pytest.mark.parametrize("lanes_log2", [0, rans.AUTO_LANES])
def test_file_size_is_what_the_tables_say_it_costs(shipped, quality, lanes_log2):
    pixels = to_pixels(photos.photo(200, 312, seed=4))
    header = codec.Header(312, 200, quality, shipped.id, tile=1024)
    y, z = torch_encoder.analyse(shipped, TileTask(pixels, header.tiles[0], quality, effort=2))
    walk = shipped.walk(quality, *y.shape[1:])
    symbols, indexes, segments, _ = payloads.quantise(walk, y, z, shipped.dead_zones)
    symbols, indexes = symbols.numpy(), indexes.numpy()
    payload = rans.encode(symbols, indexes, segments, shipped.tables, lanes_log2)
    data = format.write(header, [payload])
    if lanes_log2 == rans.AUTO_LANES:
        assert data == codec.encode(photos.photo(200, 312, seed=4), quality)
    ideal = cost_bits(*model_tables(shipped), symbols, indexes).sum() / 8
    header_bytes = len(data) - len(payload)
    assert ideal <= len(payload)
    assert len(data) <= 1.01 * ideal + 16 + header_bytes
    assert header_bytes <= 24


def model_tables(shipped):
    from safetensors import safe_open

    with safe_open(shipped.path, "np") as f:
        return tuple(f.get_tensor(f"tables.{n}") for n in ("freqs", "limits", "raw_bits"))


def test_encoding_is_repeatable():
    image = photos.photo(90, 110)
    assert len({codec.encode(image, 75) for _ in range(3)}) == 1
    data = codec.encode(image, 75)
    assert np.array_equal(*(codec.decode(data, output="numpy") for _ in range(2)))


@pytest.mark.parametrize("effort", [1, 2, 3])
def test_every_quality_decodes_to_what_the_encoder_meant(shipped, effort):
    """Latents out of the file are bit for bit the latents that the encoder saw, at all 100 qualities."""
    dead_zones = shipped.dead_zones if effort > 1 else torch.zeros_like(shipped.dead_zones)
    pixels = to_pixels(photos.photo(33, 47, seed=6))
    for quality in range(1, 101):
        header = codec.Header(47, 33, quality, shipped.id)
        y, z = torch_encoder.analyse(shipped, TileTask(pixels, header.tiles[0], quality, effort))
        *_, meant = payloads.quantise(shipped.walk(quality, *y.shape[1:]), y, z, dead_zones)
        (got,) = coded.latents(shipped, coded.file(shipped, photos.photo(33, 47, seed=6), quality, effort=effort))
        assert np.array_equal(got, to_fixed(meant).permute(1, 2, 0)), quality


# ------------------------------------------------------------------ effort


@pytest.mark.parametrize("quality", [5, 50, 95])
@pytest.mark.parametrize("picture", ["synthetic", "astronaut"])
def test_effort_2_saves_more_bits_than_its_error_is_worth(frozen_psnr, picture, quality):
    image = photos.photo(192, 256) if picture == "synthetic" else photos.astronaut()[:256, 128:384]
    worth = float(level_lambda(frozen_psnr.level(quality)))  # of squared error in bits, as the model was trained
    bits, loss = {}, {}
    for effort in (1, 2):
        data = codec.encode(image, quality, effort=effort, model=frozen_psnr.path)
        error = np.square(codec.decode(data, output="numpy").astype(float) - image).mean()
        bits[effort] = 8 * len(data) / image[..., 0].size
        loss[effort] = bits[effort] + worth * error
    assert bits[2] < 0.96 * bits[1] and loss[2] < 0.99 * loss[1]


def test_dead_zones_are_for_latents_not_for_hyperlatents(shipped):
    pixels = to_pixels(photos.photo(100, 120, seed=9))
    (tile,) = codec.Header(120, 100, 50, shipped.id).tiles
    y, z = torch_encoder.analyse(shipped, TileTask(pixels, tile, 50, effort=1))
    of_no_zone, of_widest = (
        payloads.quantise(shipped.walk(50, *y.shape[1:]), y, z, torch.full((64,), width, dtype=torch.int16))
        for width in (0, 2**15 - 1)
    )
    n = of_no_zone[2][0]  # hyperlatents
    assert of_no_zone[0][:n].any() and torch.equal(of_no_zone[0][:n], of_widest[0][:n])
    small, none = ((symbols[n:].abs().clamp(0, 8) % 8 > 0).sum() for symbols in (of_no_zone[0], of_widest[0]))
    assert small > 0 and none == 0  # of 1 to 7: the widest zone reaches to 8.5 - 2^-12, so an 8 may remain


def test_two_is_the_default_effort():
    image = photos.photo(60, 70)
    assert codec.encode(image, 50) == codec.encode(image, 50, effort=2) != codec.encode(image, 50, effort=1)


# ------------------------------------------------------------------ targets


def test_a_target_size_counts_all_of_the_file(frozen_eye):
    image = photos.astronaut()[:160, :200]
    alpha = photos.photo(160, 200)[..., :1]
    metadata = codec.Metadata(icc=np.random.default_rng(0).bytes(700))
    for options in ({"target_size": 14_000}, {"target_bpp": 3.5}):
        data = codec.encode(np.dstack([image, alpha]), metadata=metadata, model=frozen_eye.path, **options)
        assert 0.97 * 14_000 <= len(data) <= 14_000 and not codec.inspect(data).stored
        assert np.array_equal(codec.decode(data, output="numpy")[..., 3:], alpha)


def test_a_target_psnr_is_reached(frozen_eye):
    image = photos.astronaut()[:160, :200]
    data = codec.encode(image, target_psnr=32.0, model=frozen_eye.path)
    assert 32.0 <= photos.psnr(codec.decode(data, output="numpy"), image) < 32.3


def test_a_target_ssimulacra2_is_reached(frozen_eye):
    image = photos.astronaut()[:160, :200]
    data = codec.encode(image, target_ssimulacra2=64, model=frozen_eye.path)
    assert 64 <= ssimulacra2(image, codec.decode(data, output="numpy")) <= 64.7
    assert codec.encode(image, target_ssimulacra2=64.0, model=frozen_eye.path) == data


def test_a_target_ssimulacra2_is_for_8_bits_and_what_alpha_shows(frozen_eye):
    eight = photos.astronaut()[:160, 100:300]
    deep = eight.astype(np.uint16) * 257 + 100
    data = codec.encode(deep, target_ssimulacra2=60, model=frozen_eye.path)
    assert codec.inspect(data).depth == 16
    assert 60 <= ssimulacra2(eight, codec.decode(data, output="numpy", depth=8)) <= 61.5  # test_targets has how near
    alpha = np.full((160, 200, 1), 255, np.uint8)
    alpha[:, :80] = 0
    shown = np.dstack([eight, alpha])
    decoded = codec.decode(codec.encode(shown, target_ssimulacra2=60, model=frozen_eye.path), output="numpy")
    pixels, colours = to_pixels(shown), decoded[..., :3]
    assert np.array_equal(decoded[..., 3:], alpha) and 60 <= fidelity.score(pixels, colours) <= 60.7


@pytest.mark.parametrize(("size", "wanted"), [((24, 30), 99.5), ((24, 30), 100), ((7, 40), 1), ((40, 7), 50)])
def test_a_picture_that_no_quality_gives_a_score_is_kept_exactly(size, wanted):
    image = photos.photo(*size)
    data = codec.encode(image, target_ssimulacra2=wanted)
    header = codec.inspect(data)
    assert (header.stored or header.exact) and np.array_equal(codec.decode(data, output="numpy"), image)


def test_a_target_ssimulacra2_is_at_most_100():
    with pytest.raises(ValueError, match="target_ssimulacra2 100.5: must be above 0, at most 100"):
        codec.encode(photos.photo(8, 8), target_ssimulacra2=100.5)


def test_a_size_that_holds_the_picture_exactly_is_used_for_that():
    image = np.full((64, 64, 3), 90, np.uint8)
    image[10:20, 30:50] = (200, 10, 10)
    data = codec.encode(image, target_size=3000)
    assert codec.inspect(data).stored and np.array_equal(codec.decode(data, output="numpy"), image)


@pytest.mark.parametrize("psnr", [60.0, 1e308])
def test_a_psnr_that_no_quality_has_is_that_of_the_picture_itself(psnr):
    image = photos.photo(24, 30)
    assert np.array_equal(codec.decode(codec.encode(image, target_psnr=psnr), output="numpy"), image)


@pytest.mark.parametrize("target", [{"target_size": 10**400}, {"target_bpp": 1e308}])
def test_targets_beyond_all_files_are_met(target):
    image = photos.photo(90, 100)
    assert np.array_equal(codec.decode(codec.encode(image, **target), output="numpy"), image)


@pytest.mark.parametrize("name", ["target_size", "target_bpp", "target_psnr", "target_ssimulacra2"])
def test_targets_are_numbers_above_0_and_exclude_each_other(name):
    image = photos.photo(8, 8)
    for wrong, error in (
        (0, ValueError),
        (-1, ValueError),
        (float("inf"), TypeError if name == "target_size" else ValueError),
        ("9", TypeError),
        (True, TypeError),
    ):
        with pytest.raises(error, match=name):
            codec.encode(image, **{name: wrong})
    with pytest.raises(ValueError, match=f"quality and {name}"):
        codec.encode(image, 50, **{name: 30})
    with pytest.raises(ValueError, match="only one"):
        codec.encode(image, target_psnr=30.0, **({name: 30} if name != "target_psnr" else {"target_bpp": 1.0}))


def test_a_target_size_is_a_whole_number_of_bytes():
    with pytest.raises(TypeError, match="target_size"):
        codec.encode(photos.photo(8, 8), target_size=99.5)


# ------------------------------------------------------------------ wrong arguments


@pytest.mark.parametrize(
    ("quality", "error"),
    [
        (0, ValueError),
        (101, ValueError),
        (-5, ValueError),
        (1.5, TypeError),
        (True, TypeError),
        ("75", TypeError),
    ],
)
def test_quality_other_than_1_to_100_is_refused(quality, error):
    with pytest.raises(error, match=f"{quality}.*1..100"):
        codec.encode(photos.photo(8, 8), quality)


@pytest.mark.parametrize(
    ("effort", "error"),
    [(0, ValueError), (EFFORTS[-1] + 1, ValueError), (2.0, TypeError), (True, TypeError), (None, TypeError)],
)
def test_effort_out_of_its_range_is_refused(effort, error):
    with pytest.raises(error, match=f"effort {effort}: .*1..{EFFORTS[-1]}"):
        codec.encode(photos.photo(8, 8), effort=effort)


def test_pictures_over_the_size_limits_are_refused_before_any_work():
    wide = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1, 65536, 3))
    with pytest.raises(codec.LimitError, match="65536x1"):
        codec.encode(wide)
    large = torch.zeros(1, dtype=torch.uint8).expand(3, 16385, 16384)
    with pytest.raises(codec.LimitError, match=str(2**28)):
        codec.encode(large)


def test_decode_refuses_more_pixels_than_the_caller_allows():
    data = codec.encode(photos.photo(10, 20))
    assert codec.decode(data, max_pixels=200).size == (20, 10)
    with pytest.raises(codec.LimitError, match="at most 199"):
        codec.decode(data, max_pixels=199)
    assert codec.inspect(data).width == 20


def test_unknown_words_are_refused():
    data = codec.encode(photos.photo(8, 8))
    with pytest.raises(ValueError, match="jpeg"):
        codec.decode(data, output="jpeg")
    for call in (lambda d: codec.encode(photos.photo(8, 8), device=d), lambda d: codec.decode(data, device=d)):
        with pytest.raises(ValueError, match="tpu"):
            call("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(codec.BackendError, match="cuda"):
            codec.decode(data, device="cuda")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"region": (0, 0, 9, 8)}, ValueError, "9x8 at \\(0, 0\\): must be within the picture of 8x8"),
        ({"region": (-1, 0, 4, 4)}, ValueError, "within"),
        ({"region": (0, 0, 0, 4)}, ValueError, "within"),
        ({"region": (0, 0, 4)}, TypeError, "four ints"),
        ({"region": (0, 0, 4, 4.0)}, TypeError, "four ints"),
        ({"region": 4}, TypeError, "four ints"),
        ({"scale": 2}, ValueError, "scale 2: allowed are 1, 1/2, 1/4 and 1/8"),
        ({"scale": 0.3}, ValueError, "scale 0.3"),
        ({"depth": 12}, ValueError, "depth 12: allowed are 8 and 16"),
    ],
)
@pytest.mark.parametrize("lossless", [False, True])
def test_regions_scales_and_depths_that_are_not_there_are_refused(options, error, words, lossless):
    data = codec.encode(photos.photo(8, 8), lossless=lossless)
    with pytest.raises(error, match=words):
        codec.decode(data, **options)

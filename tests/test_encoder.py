"""Encoders on the CPU and in torch: what they read of a picture, and that all of them write the same bytes."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import coded
import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import codec
from codec import _C
from codec.coding import engine, rans, rans_cuda, tiles
from codec.coding.decoder import CodedTile, latent_size
from codec.coding.model_tensors import PIXEL_UNIT
from codec.coding.refinement import iterations
from codec.coding.tile_input import WHITE, tile_input
from codec.coding.tiles import TileTask
from codec.container.format import Tile
from codec.nets import torch_analysis, torch_codec, torch_decoder, torch_encoder
from codec.nets.integer import to_float
from codec.picture.pixels import to_pixels
from codec.picture.samples import Pixels

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def isa_as_before():
    isa = _C.isa()
    yield
    _C.set_isa(isa)


@pytest.fixture(scope="module")
def encoder(shipped):
    return engine.encoder(shipped.path)


@pytest.fixture(scope="module")
def tiny(tiny_model):
    """Of a model whose transforms see one latent further each way."""
    return engine.encoder(tiny_model[0])


def whole_of(pixels: Pixels) -> Tile:
    return Tile(0, 0, pixels.width, pixels.height)


def with_alpha(image: np.ndarray, seed: int) -> np.ndarray:
    """RGBA with holes, and with every alpha at their edges."""
    rng = np.random.default_rng(seed)
    alpha = rng.integers(0, 256, (*image.shape[:2], 1))
    alpha[5:30, 3:41] = 0
    return np.concatenate([image, alpha], 2).astype(np.uint8)


KINDS = {
    "colours": lambda image: image,
    "gray": lambda image: image[..., 0].copy(),
    "16 bits": lambda image: image.astype(np.uint16) * 257 + np.arange(3, dtype=np.uint16),
    "alpha": lambda image: with_alpha(image, 0),
    "gray, alpha, 16 bits": lambda image: with_alpha(image, 1)[..., 2:].astype(np.uint16) * 257,
}


# ------------------------------------------------------------------ what the analysis reads


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([8, 16]), st.booleans(), st.integers(0, 2**31))
def test_samples_become_32nds_of_a_level_and_edges_are_repeated(height, width, bits, gray, seed):
    largest = 2**bits - 1
    image = np.random.default_rng(seed).integers(0, largest + 1, (height, width, 3), f"u{bits // 8}")
    if gray:
        image[...] = image[..., :1]
    x = tile_input(to_pixels(image[..., 0].copy() if gray else image), Tile(0, 0, width, height))
    assert x.dtype == np.int16 and x.shape == (-(-height // 16) * 16, -(-width // 16) * 16, 3)
    exact = image.astype(np.float64) * (255 * PIXEL_UNIT / largest) - 255 * PIXEL_UNIT / 2
    assert np.abs(x[:height, :width] - exact).max() <= (0 if bits == 8 else 0.5)
    padding = ((0, x.shape[0] - height), (0, x.shape[1] - width), (0, 0))
    assert np.array_equal(x, np.pad(x[:height, :width], padding, "edge"))


def test_black_and_white_are_as_far_from_0():
    for value, expected in ((0, -WHITE // 2), (255, WHITE // 2)):
        assert (tile_input(Pixels(np.full((1, 1, 1), value, np.uint8)), Tile(0, 0, 1, 1)) == expected).all()


@pytest.mark.parametrize("kind", ["colours", "gray", "alpha"])
def test_8_and_16_bits_of_the_same_picture_have_the_same_latents(encoder, kind):
    image = KINDS[kind](photos.photo(50, 70))
    if kind == "alpha":
        image[..., 3] |= 1  # made-up colours are floats
    narrow, wide = (to_pixels(array) for array in (image, image.astype(np.uint16) * 257))
    assert (narrow.depth, wide.depth) == (8, 16)
    assert np.array_equal(tile_input(narrow, whole_of(narrow)), tile_input(wide, whole_of(wide)))
    for quality in (1, 60, 100):
        ours, theirs = (encoder.analyse(TileTask(p, whole_of(p), quality, 1)) for p in (narrow, wide))
        assert all(map(np.array_equal, ours, theirs))


def test_gray_has_the_latents_of_the_same_colours(encoder):
    gray = photos.photo(50, 70)[..., 1].copy()
    ours, theirs = (to_pixels(array) for array in (gray, np.repeat(gray[..., None], 3, 2)))
    assert (ours.gray, theirs.gray) == (True, False)
    assert all(map(np.array_equal, *(encoder.analyse(TileTask(p, whole_of(p), 60, 1)) for p in (ours, theirs))))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_where_alpha_is_0_do_not_matter(encoder, dtype):
    image = with_alpha(photos.photo(50, 70), 2).astype(dtype) * (1 if dtype == np.uint8 else 257)
    hidden = image[..., 3] == 0
    other = image.copy()
    other[hidden, :3] = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (hidden.sum(), 3))
    x, y = (tile_input(p, whole_of(p)) for p in map(to_pixels, (image, other)))
    assert hidden.sum() > 900 and np.array_equal(x, y)
    opaque = to_pixels(image[..., :3].copy())
    assert np.array_equal(x[:50, :70][~hidden], tile_input(opaque, whole_of(opaque))[:50, :70][~hidden])
    shown = x[:50, :70][~hidden]
    assert (x.min((0, 1)) >= shown.min(0)).all() and (x.max((0, 1)) <= shown.max(0)).all()  # nothing glares
    assert codec.encode(image, 50) == codec.encode(other, 50)


def test_a_picture_that_is_all_transparent_is_gray_in_the_middle():
    pixels = to_pixels(np.dstack([photos.photo(33, 20), np.zeros((33, 20), np.uint8)]))
    assert (np.abs(tile_input(pixels, whole_of(pixels))) <= 1).all()


# ------------------------------------------------------------------ areas


@settings(max_examples=40)
@given(st.data(), st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 40, 100]))
def test_an_area_has_the_latents_that_the_whole_picture_has_there(tiny, data, height, width, quality):
    pixels = to_pixels(photos.photo(height, width, seed=height))
    rows, columns = latent_size(whole_of(pixels))
    y, x = (data.draw(st.integers(0, n - 1), label=label) for n, label in ((rows, "y"), (columns, "x")))
    h, w = data.draw(st.integers(1, rows - y)), data.draw(st.integers(1, columns - x))
    area = Tile(16 * x, 16 * y, min(16 * w, width - 16 * x), min(16 * h, height - 16 * y))
    whole = tiny.latents(pixels, whole_of(pixels), quality)
    assert whole.shape == (rows, columns, tiny.config.latents)
    assert np.array_equal(tiny.latents(pixels, area, quality), whole[y : y + h, x : x + w])


# ------------------------------------------------------------------ bytes


def payload_of(encoder: tiles.Encoder, quality: int, y: np.ndarray, z: np.ndarray) -> bytes:
    return rans.join(encoder.pack(encoder.quantise(quality, y, z)))


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_the_same_bytes_for_all_instruction_sets_and_numbers_of_threads(kind, threads):
    image = KINDS[kind](photos.photo(75, 100, seed=1))
    want = codec.encode(image, 60)
    for isa in _C.isas():
        _C.set_isa(isa)
        for n in (1, 2, 5):
            threads(n)
            assert codec.encode(image, 60) == want, (isa, n)


@pytest.mark.parametrize("effort", [1, 2])
def test_tiles_are_the_same_bytes_for_all_arithmetics_and_numbers_of_threads(shipped, encoder, threads, effort):
    """Tiles at once, over threads that share what there is; and torch's own text of the arithmetic."""
    pixels = to_pixels(photos.photo(100, 150, seed=2))
    header = pixels.header(45, shipped.id, 64)
    want = tiles.encode(encoder, pixels, header, effort)
    assert len(want) == 6
    reference = torch_codec.load(shipped.path, CPU, "reference")
    for other in (encoder, shipped.encoder, reference.encoder):
        for n in (1, 3):
            threads(n)
            assert tiles.encode(other, pixels, header, effort) == want


def test_both_encoders_have_the_same_latents_and_payloads_of_any_quality(shipped, encoder):
    pixels = to_pixels(photos.photo(37, 90, seed=5))
    tile = whole_of(pixels)
    for quality in (1, 33, 100):
        task = TileTask(pixels, tile, quality, 1)
        y, z = encoder.analyse(task)
        assert (y.dtype, z.dtype, y.shape[:2], z.shape[:2]) == (np.int16, np.int16, (3, 6), (1, 2))
        assert all(map(np.array_equal, (y, z), shipped.encoder.analyse(task)))
        for share in (0, 0.5, 2):
            zones = (share * shipped.file.dead_zones).astype(np.int16)
            ours, theirs = (payload_of(e.with_dead_zones(zones), quality, y, z) for e in (encoder, shipped.encoder))
            assert ours == theirs
            floats = (to_float(torch.from_numpy(v)).permute(2, 0, 1) for v in (y, z))
            assert torch_encoder.code(shipped, quality, *floats, torch.from_numpy(zones))[0] == ours


def test_effort_1_has_no_dead_zones(shipped, encoder):
    pixels = to_pixels(photos.photo(64, 64, seed=7))
    header = pixels.header(40, shipped.id)
    plain = encoder.with_dead_zones(np.zeros_like(shipped.file.dead_zones))
    first, second = (tiles.encode(encoder, pixels, header, effort) for effort in (1, 2))
    assert first == tiles.encode(plain, pixels, header, 2) != second


def test_what_was_encoded_is_read_back(encoder, shipped):
    """The walk chooses symbols as a decoder reads them: latents come back within half a step, but for those that the
    entropy nets say are not worth a symbol.
    """
    pixels = to_pixels(photos.photo(60, 44, seed=8))
    y, z = encoder.analyse(TileTask(pixels, whole_of(pixels), 80, 1))
    plain = encoder.with_dead_zones(np.zeros_like(shipped.file.dead_zones))
    back = encoder.decoder.read(CodedTile(payload_of(plain, 80, y, z), 80, y.shape[:2]))
    steps = shipped.net.step[79].numpy()
    near = np.abs(back.astype(int) - y) <= steps // 2 + 1
    assert near.mean() > 0.98
    (got,) = coded.latents(shipped, coded.file(shipped, pixels.data, 80, effort=1))
    assert np.array_equal(got, back)


# ------------------------------------------------------------------ what the extension refuses


def arguments(encoder, **changed):
    """Of `_C.EncoderModel.encode`, for a picture of 70x50 pixels."""
    zones = np.zeros(64, np.int16)
    given = {"data": photos.photo(50, 70), "alpha": None, "tile": (0, 0, 70, 50), "quality": 50, "effort": 2}
    given |= {"dead_zones": zones, "first": [], "threads": 2, "progress": lambda: None} | changed
    return encoder._model, (given.pop("data"), given.pop("alpha")), given


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"data": photos.photo(50, 70).astype(np.int16)}, TypeError, "uint8 or uint16"),
        ({"data": photos.photo(50, 70)[..., :2]}, ValueError, r"\[50, 70, 2\]"),
        ({"data": photos.photo(50, 70)[..., 0]}, ValueError, r"\[50, 70\]"),
        ({"data": np.zeros((0, 70, 3), np.uint8)}, ValueError, "height is 0"),
        ({"alpha": np.zeros((50, 70), np.uint16)}, TypeError, "alpha"),
        ({"alpha": np.zeros((50, 71), np.uint8)}, ValueError, r"\[50, 71\]"),
        ({"tile": (0, 0, 71, 50)}, ValueError, "width is 71"),
        ({"tile": (0, 16, 70, 34)}, ValueError, "multiples of 64"),
        ({"quality": 0}, ValueError, "quality is 0"),
        ({"quality": np.full((1, 1), 50, np.uint8)}, ValueError, r"\[1, 1\]"),
        ({"effort": 10}, ValueError, "effort is 10"),
        ({"dead_zones": np.zeros(63, np.int16)}, ValueError, "dead_zones has 63"),
        ({"dead_zones": np.zeros(64, np.int32)}, TypeError, "dead_zones"),
        ({"first": [True]}, ValueError, "first"),
        ({"threads": 0}, ValueError, "threads is 0"),
    ],
)
def test_wrong_arguments_of_the_extension_are_named(tiny, changed, error, message):
    model, positional, named = arguments(tiny, **changed)
    with pytest.raises(error, match=message):
        model.encode(*positional, **named)


@pytest.mark.parametrize("effort", [1, 5])
def test_an_error_of_the_callers_progress_stops_the_encoder(tiny, effort):
    class Stopped(BaseException):
        pass

    def stop(share):
        raise Stopped

    pixels = to_pixels(photos.photo(70, 150))
    with pytest.raises(Stopped):
        tiles.encode(tiny, pixels, pixels.header(50, tiny.file.id, 64), effort, stop)


def test_samples_may_have_any_strides(tiny):
    image = with_alpha(photos.photo(70, 90), 3).astype(np.uint16) * 257
    whole = Pixels(np.ascontiguousarray(image[..., :3]), np.ascontiguousarray(image[..., 3]))
    turned = np.ascontiguousarray(image[::-1, ::-1].transpose(2, 1, 0))  # channels first, columns before rows
    odd = turned.transpose(2, 1, 0)[::-1, ::-1]
    other = Pixels(odd[..., :3], odd[..., 3])
    assert other.data.strides != whole.data.strides
    ours, theirs = (tiny.analyse(TileTask(p, whole_of(p), 60, 2)) for p in (whole, other))
    assert all(map(np.array_equal, ours, theirs))


def test_copies_of_an_encoder_share_what_is_made_for_it_once(tiny_model):
    encoder = engine.encoder(tiny_model[0])
    copies = [encoder.with_first([]), encoder.with_dead_zones(np.zeros_like(encoder.dead_zones))]
    assert {copy._model for copy in copies} == {encoder._model}


def test_threads_that_start_together_load_a_model_once(tiny_model, tmp_path):
    path = tmp_path / "own.safetensors"
    shutil.copy(tiny_model[0], path)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: engine.encoder(path), range(40)))) == 1
        assert len(set(pool.map(lambda _: engine.load(path), range(40)))) == 1


def test_threads_that_start_together_copy_the_weights_to_a_gpu_once(tiny_model, tmp_path, monkeypatch):
    """There need not be one: it is counted how often what does so is asked."""
    path, asked = tmp_path / "own.safetensors", []
    shutil.copy(tiny_model[0], path)
    model = torch_codec.load(path, torch.device("cpu"))

    def slow(*arguments):
        asked.append(arguments)
        time.sleep(0.1)  # in which the other threads come
        return SimpleNamespace(fits=True)

    monkeypatch.setattr(torch_codec.Codec, "native", None)
    monkeypatch.setattr(rans_cuda, "serves", lambda device: True)
    monkeypatch.setattr(torch_analysis, "CudaAnalysis", slow)
    monkeypatch.setattr(torch_decoder, "CudaSynthesis", slow)
    decoder, analysis = torch_codec.Codec.decoder.func, torch_codec.Codec.analysis.func  # since Python 3.12 not locked
    with ThreadPoolExecutor(4) as pool:
        assert len({id(made.synthesis) for made in pool.map(decoder, [model] * 4)}) == 1
        assert len({id(made) for made in pool.map(analysis, [model] * 4)}) == 1
    assert len(asked) == 2


def test_threads_may_share_a_refinement(tiny):
    """They take turns, and each sees whole latents."""
    pixels = to_pixels(photos.photo(64, 64))
    y = tiny.latents(pixels, whole_of(pixels), 50)
    refinement = _C.Refinement(
        engine.projection_of(tiny.file),
        tile_input(pixels, whole_of(pixels)),
        size=(64, 64),
        tile=(0, 0, 64, 64),
        tune="mse",
        effort=9,
        level=50.0,
        latents=y,
    )
    decoded = np.zeros((64, 64, 3), np.uint16)
    with ThreadPoolExecutor(4) as pool:
        accepted = [pool.submit(refinement.accept, 10, decoded, y) for _ in range(40)]
        seen = list(pool.map(lambda _: refinement.target, range(40)))
    assert sum(future.result() for future in accepted) == iterations("mse", 9)
    assert {target.shape for target in seen} == {y.shape}

"""`codec.features`: what stays the same between copies of a picture, and what does not."""

import io
from pathlib import Path

import coded
import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shell import damage, of_another_model

import codec
from codec.coding import model_search
from codec.coding.features import SIZE
from codec.nets import torch_codec
from codec.picture.pixels import to_pixels
from codec.similarity import NEAR

KINDS = ["RGB", "gray", "alpha", "16 bits"]


def of_kind(kind: str, height: int = 80, width: int = 112, seed: int = 0) -> np.ndarray:
    array = photos.photo(height, width, seed)
    if kind == "gray":
        return array[..., 0]
    if kind == "alpha":
        alpha = np.where(np.arange(width) < width // 3, 0, 255) * np.ones((height, 1))
        return np.dstack([array, alpha.astype(np.uint8)])
    return array.astype(np.uint16) * 257 if kind == "16 bits" else array


def in_tiles(array: np.ndarray, side: int) -> bytes:
    return coded.file(torch_codec.load(model_search.find(None), torch.device("cpu")), array, 75, side)


@pytest.fixture(scope="module")
def astronaut():
    return Image.open(photos.ASTRONAUT).convert("RGB").crop((0, 0, 448, 320))


@pytest.fixture(scope="module")
def described(astronaut):
    return codec.features(astronaut)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_has_the_features_of_its_file(kind):
    array = of_kind(kind)
    data = codec.encode(array)
    assert not codec.inspect(data).stored
    of_picture, of_file = codec.features(array), codec.features(data)
    assert (of_file.shape, of_file.dtype) == ((SIZE,), np.float32)
    np.testing.assert_array_equal(of_picture, of_file)
    np.testing.assert_allclose(np.linalg.norm(of_file), 1, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_picture_has_the_features_of_the_picture(kind):
    array = of_kind(kind)
    stored = codec.features(codec.encode(array, lossless=True))
    np.testing.assert_array_equal(stored, codec.features(array))


def test_files_are_taken_as_open_takes_them_and_pictures_as_encode_does(tmp_path):
    array = photos.photo(40, 56)
    data = codec.encode(array, 60)
    path = tmp_path / "x.aec"
    path.write_bytes(data)
    files = [data, bytearray(data), memoryview(data), path, str(path), io.BytesIO(data), codec.open(data)]
    files.append(np.frombuffer(data, np.uint8))
    for one in files[1:]:
        np.testing.assert_array_equal(codec.features(one), codec.features(data))
    pictures = [array, Image.fromarray(array), to_pixels(array)]
    for one in pictures[1:]:
        np.testing.assert_array_equal(codec.features(one), codec.features(array))


@settings(max_examples=6)
@given(st.integers(1, 100), st.integers(0, 3))
def test_the_quality_hardly_matters(quality, seed):
    array = photos.photo(96, 128, seed)
    assert codec.features(codec.encode(array, quality)) @ codec.features(array) > 0.95


@settings(max_examples=6)
@given(st.sampled_from([64, 128, 256, 1024]), st.integers(65, 200), st.integers(65, 200))
def test_tiles_hardly_matter(side, height, width):
    array = photos.photo(height, width)
    tiled = codec.features(in_tiles(array, side))
    assert tiled @ codec.features(array) > 0.998


def test_the_size_hardly_matters(astronaut, described):
    for size in ((336, 240), (224, 160), (112, 80), (56, 40), (301, 407)):
        small = astronaut.resize(size, Image.Resampling.LANCZOS)
        assert codec.features(small) @ described > 0.98, size


def test_the_model_hardly_matters(astronaut, described):
    assert codec.features(codec.encode(astronaut, 50, model="psnr")) @ described > 0.995
    assert codec.features(astronaut, model="psnr") @ described > 0.995


def test_a_damaged_picture_is_refused_as_by_encode(astronaut):
    file = io.BytesIO()
    astronaut.save(file, "PNG")
    for call in (codec.features, codec.encode):
        with pytest.raises(ValueError, match="the PNG file is truncated"):
            call(Image.open(io.BytesIO(file.getvalue()[:2000])))


def test_copies_stay_near_and_other_pictures_do_not(astronaut, described):
    array = np.asarray(astronaut)
    noise = np.random.default_rng(0).normal(0, 5, array.shape)
    copies = {
        "gray": astronaut.convert("L"),
        "brighter": (array * 0.8 + 51).round().astype(np.uint8),
        "darker": (array * 0.7).round().astype(np.uint8),
        "noise": (array + noise).clip(0, 255).round().astype(np.uint8),
        "cut": astronaut.crop((11, 8, 437, 312)),
    }
    for name, copy in copies.items():
        assert codec.features(copy) @ described > NEAR, name
    for seed in range(5):
        assert codec.features(photos.photo(80, 112, seed)) @ described < 0.6


def test_colours_that_cannot_be_seen_do_not_count():
    array = of_kind("alpha")
    other = array.copy()
    other[..., :3][other[..., 3] == 0] = (255, 0, 0)
    np.testing.assert_array_equal(codec.features(array), codec.features(other))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (17, 1), (16, 16), (33, 40)])
def test_pictures_without_layout_have_features_too(size):
    flat = {colour: codec.features(Image.new("RGB", size, colour)) for colour in ("red", "blue", "white", "#f80000")}
    for one in flat.values():
        np.testing.assert_allclose(np.linalg.norm(one), 1, atol=1e-6)
    assert flat["red"] @ flat["#f80000"] > NEAR > flat["red"] @ flat["blue"]
    assert flat["red"] @ flat["white"] < 0.6


def test_errors_say_what_is_wrong(packed, tiny_model):
    data = packed.read_bytes()
    with pytest.raises(codec.CorruptError):
        codec.features(damage(data))
    with pytest.raises(codec.TruncatedError):
        codec.features(data[:100])
    with pytest.raises(codec.NotAecError):
        codec.features(photos.ASTRONAUT)  # a path is that of an .aec file
    with pytest.raises(codec.ModelError, match="deadbeef"):
        codec.features(of_another_model(data))
    with pytest.raises(codec.ModelError, match="was written with model"):
        codec.features(data, model=tiny_model[0])
    with pytest.raises(FileNotFoundError):
        codec.features(Path("absent.aec"))
    for wrong in (None, 5, [1, 2]):
        with pytest.raises(TypeError):
            codec.features(wrong)
    with pytest.raises(TypeError):
        codec.features(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError):
        codec.features(np.zeros((8, 8, 7), np.uint8))


def test_a_payload_that_no_encoder_writes_is_named(packed):
    layout = codec.container.format.read(packed.read_bytes())
    payload = bytearray(layout.payloads[0])
    payload[-1] ^= 0x55
    with pytest.raises(codec.CorruptError, match="tile 0"):
        codec.features(codec.container.format.write(layout.header, [bytes(payload)]))

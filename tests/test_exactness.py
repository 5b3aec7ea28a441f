"""Promise 1: a file means the same whatever computes it. A small part of the matrix of bench/determinism.py."""

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import coded
import numpy as np
import photos
import pytest
import torch
from conftest import all_devices

import codec
from codec.coding import model_search, segment_walk
from codec.nets import integer, layers, torch_codec

try:
    import bench  # the tree
except ImportError:
    from codec import bench  # the wheel

determinism = importlib.import_module(f"{bench.__name__}.determinism")


@pytest.fixture(scope="module")
def rows():
    images = [photos.photo(192, 256, seed=11), photos.photo(256, 192, seed=12)]
    return list(determinism.matrix(images, environments=["ATen plain", "all least"], wide_control=True))


def test_integers_are_equal_in_every_setting(rows):
    assert len(rows) == 3 * len(determinism.VARIATIONS) and len({r.setting for r in rows}) == len(rows)
    assert all(r.images == 2 and r.symbols > 20_000 for r in rows)
    assert [r.setting for r in rows if r.integer_images or r.integer_symbols] == []
    assert len({r.sha256 for r in rows}) == 1


def test_the_same_settings_do_change_what_a_float_net_says(rows):
    """The control: without it the test above might only show that the settings do nothing."""
    print({r.setting: r.float_symbols for r in rows})
    assert any(r.float_symbols > 0 for r in rows)


def test_the_float_control_is_the_same_net():
    shipped = torch_codec.load(model_search.find(None), torch.device("cpu"))
    twin, net, config = determinism.float_twin(shipped.net), shipped.net, shipped.config
    rng = torch.Generator().manual_seed(0)
    z = torch.randint(-2000, 2000, (1, config.hyper, 2, 2), generator=rng).double()
    y = torch.randint(-2000, 2000, (1, config.latents, 8, 8), generator=rng).double()
    q = torch.tensor([60])
    with torch.inference_mode():
        prior, prior_i = twin.prior(z.float() / 4096, q, 8, 8), net.prior(z, q, 8, 8)
        for k in range(config.steps):
            _, index = twin.step(k, prior, y.float() / 4096, q)
            _, index_i = net.predict(k, prior_i, y, q)
            near = ((8 * index).clamp(0, 63) - index_i).abs() < 1
            assert near.float().mean() > 0.95  # all but what integer saturation makes of random latents


@pytest.mark.parametrize("nets", segment_walk.NETS)
@pytest.mark.parametrize("device", all_devices())
def test_a_file_is_the_same_bytes_latents_and_pixels_as_on_the_cpu_on(device, nets):
    """Where symbols are chosen once. With torch's arithmetic, too."""
    shipped = torch_codec.load(model_search.find(None), torch.device("cpu"))
    other = torch_codec.load(model_search.find(None), torch.device(device), nets)
    image = photos.photo(140, 200, seed=13)
    for quality in (1, 60, 100):
        data = coded.file(shipped, image, quality, 128)
        expected = list(coded.latents(shipped, data))
        assert all(np.array_equal(a, b) for a, b in zip(expected, coded.latents(other, data), strict=True))
        assert coded.file(other, image, quality, 128) == data
        assert np.array_equal(coded.colours(shipped, data), coded.colours(other, data))


@pytest.mark.parametrize("nets", segment_walk.NETS)
def test_writing_and_reading_a_file_use_no_float_network_at_all(monkeypatch, nets):
    """Promise 2, poisoned: with float transforms and float32 kernels made useless, bytes, latents and pixels stay.

    Where symbols are chosen once: refinement asks a float synthesis.
    """
    shipped, image = torch_codec.load(model_search.find(None), torch.device("cpu"), nets), photos.photo(70, 90, seed=14)
    data = coded.file(shipped, image, 50)
    expected, pixels = list(coded.latents(shipped, data)), coded.colours(shipped, data)

    def poisoned(function):
        def call(*args, **kwargs):
            out = function(*args, **kwargs)
            assert out.dtype in (torch.float64, torch.int64), f"{function.__name__} in {out.dtype}"
            return out

        return call

    def useless(*args, **kwargs):
        raise AssertionError("a float network ran")

    for name in ("baddbmm", "maximum"):
        monkeypatch.setattr(integer.torch, name, poisoned(getattr(torch, name)))
    for name in ("conv2d", "linear", "leaky_relu"):
        monkeypatch.setattr(torch.nn.functional, name, useless)
    monkeypatch.setattr(torch.nn.Conv2d, "forward", useless)
    assert coded.file(shipped, image, 50) == data
    got = list(coded.latents(shipped, data))
    assert all(np.array_equal(a, b) for a, b in zip(expected, got, strict=True))
    assert np.array_equal(coded.colours(shipped, data), pixels)


@pytest.fixture
def cudnn(monkeypatch):
    """As if there were one: its settings can be read and made without."""
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    return torch.backends.cudnn


def test_exact_convolutions_last_until_the_last_thread_leaves(cudnn):
    before = cudnn.allow_tf32, cudnn.deterministic
    try:
        cudnn.allow_tf32, cudnn.deterministic = True, True
        with ThreadPoolExecutor(1) as other, layers.exact_convolutions:
            other.submit(layers.exact_convolutions.__enter__).result()
            other.submit(layers.exact_convolutions.__exit__, None, None, None).result()
            assert not cudnn.allow_tf32 and cudnn.deterministic
        assert cudnn.allow_tf32
    finally:
        cudnn.allow_tf32, cudnn.deterministic = before


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9")
def test_the_callers_precision_is_neither_in_the_way_nor_changed(cudnn):
    before = torch.backends.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    image = photos.photo(32, 48)
    want = codec.encode(image, 60)
    try:
        for ours in ("tf32", "ieee"):
            torch.backends.fp32_precision, torch.backends.cudnn.conv.fp32_precision = "tf32", ours
            with layers.exact_convolutions:
                assert torch.backends.cudnn.conv.fp32_precision == "ieee"
            assert codec.encode(image, 60) == want
            assert torch.backends.cudnn.conv.fp32_precision == ours
    finally:
        torch.backends.fp32_precision, torch.backends.cudnn.conv.fp32_precision = before


def test_torchs_defaults_change_no_file_and_no_pixel():
    image = photos.photo(64, 96)
    want = codec.encode(image, 75)
    pixels = codec.decode(want, output="numpy")
    dtype = torch.get_default_dtype()
    try:
        for other in (torch.bfloat16, torch.float64):
            torch.set_default_dtype(other)
            assert codec.encode(image, 75) == want
            assert np.array_equal(codec.decode(want, output="numpy"), pixels)
    finally:
        torch.set_default_dtype(dtype)


def test_files_written_by_another_process_are_the_same_bytes(tmp_path):
    image = photos.photo(60, 76, seed=16)
    np.save(tmp_path / "image.npy", image)
    script = "import sys, numpy, codec; sys.stdout.buffer.write(codec.encode(numpy.load(sys.argv[1]), 55))"
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "image.npy"], capture_output=True, check=True)
    assert done.stdout == codec.encode(image, 55)

"""Collections through the package's functions: the same pictures everywhere, each by itself, and clear errors."""

import functools
import hashlib
import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import codec
from codec.container import collection as container
from codec.errors import CorruptError, LimitError, ModelError, NotAecError
from codec.small import coder
from codec.small import model as small_model
from codec.small.model import LEVELS, level_of

GOLDEN = Path(__file__).parent / "golden"
MODEL = GOLDEN / "tiny-collection.safetensors"
SAMPLES = {
    "v1-plain": "9f4f6f69ffa31531b006719327533263ec9580ddfa387eba2fc38d129d2a0b6a",
    "v1-named": "161d65b317949bc94953cd1f6936f463889e310805d72418ff426c212db9da8a",
}


def file(name="v1-plain") -> bytes:
    return (GOLDEN / "collections" / f"{name}.aec").read_bytes()


def opened(name="v1-plain"):
    return codec.open_collection(file(name), MODEL)


@functools.cache
def whole():
    return opened()[:]


@functools.cache
def pictures(n=300, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8), np.uint8)


# ------------------------------------------------------------------ the same pictures everywhere


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_collection_decodes_to_its_pictures(name):
    made = opened(name)[:]
    assert made.shape == (300, 8, 8) and made.dtype == np.uint8
    assert hashlib.sha256(made.tobytes()).hexdigest() == SAMPLES[name]


def test_golden_collection_has_its_names():
    assert opened("v1-named").names == [f"blobs/{i:03}" for i in range(300)] and not opened().names


SCRIPT = """
import hashlib, sys, numpy as np, codec
model, *files = sys.argv[1:]
for file in files:
    print(hashlib.sha256(codec.open_collection(file, model)[:].tobytes()).hexdigest())
pictures = np.random.default_rng(5).integers(0, 256, (300, 8, 8), np.uint8)
print(hashlib.sha256(codec.encode_collection(pictures, model)).hexdigest())
assert "torch" not in sys.modules
"""


def machines() -> list[str]:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    needs = {"NEHALEM": "sse4_2", "HASWELL": "avx2", "SKYLAKEX": "avx512f"}
    return [name for name, flag in needs.items() if f" {flag} " in flags] or [""]


@pytest.mark.parametrize("machine", machines())
def test_other_matrix_products_and_threads_give_the_same_bytes(machine):
    threads = "1" if machine == "NEHALEM" else "3"
    environment = {"OPENBLAS_CORETYPE": machine, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    files = [GOLDEN / "collections" / f"{name}.aec" for name in SAMPLES]
    command = [sys.executable, "-c", SCRIPT, MODEL, *files]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    data = codec.encode_collection(pictures(), MODEL)
    assert done.stdout.split() == [*SAMPLES.values(), hashlib.sha256(data).hexdigest()]


def test_threads_share_a_collection():
    shared = opened()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: shared[i % 300], range(0, 3000, 37)))
    assert all(np.array_equal(made, whole()[i % 300]) for i, made in zip(range(0, 3000, 37), found, strict=True))


# ------------------------------------------------------------------ each by itself


@given(st.integers(-300, 299))
def test_one_picture_is_that_of_the_whole(i):
    assert np.array_equal(opened()[i], whole()[i])


@given(st.slices(300))
def test_a_slice_is_that_of_the_whole(part):
    assert np.array_equal(opened()[part], whole()[part])


@given(st.lists(st.integers(0, 299), max_size=20))
def test_any_pictures_are_decoded_in_the_given_order(which):
    made = opened()
    assert np.array_equal(made.decode(which), whole()[which])
    assert np.array_equal(made.latents(which), made.latents()[which])


def test_numbers_may_be_those_of_numpy():
    made = opened()
    assert np.array_equal(made[np.uint8(7)], whole()[7]) and np.array_equal(made[np.int64(-1)], whole()[-1])
    assert np.array_equal(made.decode(np.array([3, 299], np.uint64)), whole()[[3, 299]])
    assert made.decode([]).shape == made.decode(np.array([], np.int64)).shape == (0, 8, 8)


@pytest.mark.parametrize("which", [[300], [-1], [2**70], np.array([2**64 - 1], np.uint64)])
def test_a_number_that_no_picture_has_is_an_index_error(which):
    with pytest.raises(IndexError, match="there are 300"):
        opened().decode(which)


@pytest.mark.parametrize("which", [[1.0], [True, False], [[1, 2]], np.ones(300, bool), ["1"], [None]])
def test_numbers_that_are_no_integers_are_a_type_error(which):
    with pytest.raises(TypeError):
        opened().decode(which)


@pytest.mark.parametrize("i", [300, -301, np.int64(300)])
def test_an_index_out_of_range_says_how_many_there_are(i):
    with pytest.raises(IndexError, match=f"picture {i}: there are 300"):
        opened()[i]
    with pytest.raises(TypeError):
        opened()["blobs/001"]


def test_a_collection_is_a_sequence():
    made = opened()
    assert len(made) == 300 and sum(1 for _ in made) == 300
    assert [len(numbers) for numbers, _ in made.blocks()] == [256, 44]
    assert np.array_equal(np.concatenate([part for _, part in made.blocks()]), whole())
    assert repr(made) == "<Collection of 300 pictures of 8x8, quality 95, 913 bytes>"


def test_limits_hold_for_pictures_and_latents():
    made = opened()
    for of in (made.decode, made.latents):
        with pytest.raises(LimitError, match="300 pictures of 8x8"):
            of(max_pixels=300 * 64 - 1)
        assert len(of(max_pixels=300 * 64)) == 300
        with pytest.raises(LimitError):
            of([0] * 2, 127)


def test_a_picture_that_is_asked_for_often_takes_little_memory_in_the_net():
    assert np.array_equal(opened().decode([7] * 1000), np.repeat(whole()[7:8], 1000, 0))


# ------------------------------------------------------------------ encoding


@settings(max_examples=20)
@given(st.integers(1, 300), st.integers(1, 100), st.booleans())
def test_what_is_encoded_decodes_to_the_nearest_symbols(n, quality, named):
    names = [f"{i}" for i in range(n)] if named else None
    data = codec.encode_collection(pictures()[:n], MODEL, quality, names)
    made, used = codec.open_collection(data, MODEL), small_model.load(MODEL)
    level = level_of(quality)
    symbols = coder.quantise(used, coder.latents(used, pictures()[:n, ..., None]), level)
    assert np.array_equal(made.latents(), small_model.dequantise(used, symbols, level))
    assert list(made.names) == (names or []) and made.header.quality == quality
    made.verify(deep=True)
    bits = coder.bits(used, symbols, level).sum()
    payloads = sum(p.nbytes for p in made.layout.payloads)
    assert bits / 8 - 1 <= payloads <= bits / 8 + 10 * made.header.n_blocks


def test_ten_qualities_are_one_level():
    assert [level_of(q) for q in range(1, 101)] == [i for i in range(LEVELS) for _ in range(10)]


def test_a_better_quality_takes_more_bytes():
    sizes = [len(codec.encode_collection(whole(), MODEL, q)) for q in (1, 50, 100)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


@pytest.mark.parametrize(
    ("given_", "options", "error", "words"),
    [
        (np.zeros((2, 8, 8)), {}, TypeError, "float64"),
        (np.zeros((0, 8, 8), np.uint8), {}, ValueError, "N above 0"),
        (np.zeros((8, 8), np.uint8), {}, ValueError, "N above 0"),
        (np.zeros((2, 8, 9), np.uint8), {}, ValueError, "9x8x1"),
        (np.zeros((2, 8, 8, 3), np.uint8), {}, ValueError, "8x8x3"),
        (np.zeros((2, 8, 8), np.uint8), {"quality": 0}, ValueError, "quality 0"),
        (np.zeros((2, 8, 8), np.uint8), {"quality": 7.5}, TypeError, "integer"),
        (np.zeros((2, 8, 8), np.uint8), {"names": ["a"]}, ValueError, "1 different names for 2"),
        (np.zeros((2, 8, 8), np.uint8), {"names": ["a", "a"]}, ValueError, "1 different names for 2"),
        (np.zeros((2, 8, 8), np.uint8), {"names": ["a", "../b"]}, ValueError, "relative path"),
        (np.zeros((2, 8, 8), np.uint8), {"names": ["a", "\udcff"]}, ValueError, "relative path"),
        (np.zeros((2, 8, 8), np.uint8), {"names": ["a", 5]}, TypeError, "texts"),
        (np.zeros((2, 8, 8), np.uint8), {"names": "ab"}, TypeError, "texts"),
        (np.zeros((2, 8, 8), np.uint8), {"names": []}, ValueError, "0 different names"),
        (np.zeros((2, 8, 8), np.uint8), {"model": "psnr"}, ModelError, "for pictures of any size"),
        (np.zeros((2, 8, 8), np.uint8), {"model": "nosuch"}, ModelError, "nosuch"),
    ],
)
def test_wrong_arguments_are_named(given_, options, error, words):
    with pytest.raises(error, match=words):
        codec.encode_collection(given_, **{"model": MODEL} | options)


def test_names_may_be_an_array():
    data = codec.encode_collection(pictures()[:2], MODEL, names=np.array(["a", "b/c"]))
    assert codec.open_collection(data).names == ["a", "b/c"]


# ------------------------------------------------------------------ files and models that do not fit


def test_a_model_is_found_by_the_id_in_the_file_or_missed_by_it(monkeypatch, tmp_path):
    with pytest.raises(ModelError, match=container.read(file()).header.model_id.hex()):
        codec.open_collection(file())[0]
    with pytest.raises(ModelError, match="for pictures of any size"):
        codec.open_collection(file(), "psnr")[0]
    monkeypatch.setenv("AEC_MODELS", str(GOLDEN))
    path = tmp_path / "x.aec"
    path.write_bytes(file())
    assert np.array_equal(codec.open_collection(path)[299], whole()[299])


def test_a_payload_that_no_encoder_writes_is_corrupt():
    layout = container.read(file())
    payloads = [bytes(p) for p in layout.payloads]
    payloads[1] = payloads[1][:-3] + bytes(3)
    made = codec.open_collection(container.write(layout.header, payloads), MODEL)
    assert np.array_equal(made[255], whole()[255])
    made.verify()
    for act in (lambda: made[256], lambda: made.verify(deep=True), lambda: made.decode()):
        with pytest.raises(CorruptError):
            act()


def test_pictures_of_a_size_that_the_model_is_not_for_are_corrupt():
    layout = container.read(file())
    header = container.Header(**vars(layout.header) | {"width": 9})
    with pytest.raises(CorruptError, match="9x8x1"):
        codec.open_collection(container.write(header, [bytes(p) for p in layout.payloads]), MODEL)[0]


def test_what_is_given_instead_of_a_collection_is_named():
    with pytest.raises(NotAecError, match="codec.open reads it"):
        codec.open_collection(codec.encode(np.zeros((8, 8, 3), np.uint8), lossless=True))
    with pytest.raises(FileNotFoundError):
        codec.open_collection("absent.aec")
    with pytest.raises(TypeError):
        codec.open_collection(7)


def test_pillow_says_that_a_collection_is_none_of_its_pictures(tmp_path):
    path = tmp_path / "x.aec"
    path.write_bytes(file())
    with pytest.warns(UserWarning, match="codec.open_collection"), pytest.raises(UnidentifiedImageError):
        Image.open(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image.new("L", (8, 8)).save(tmp_path / "sound.png")
        Image.open(tmp_path / "sound.png").load()


CHANGES = {
    "a step of 0": ("steps", lambda t: t * 0),
    "an index above 63": ("indexes", lambda t: t + 64),
    "thresholds that fall": ("thresholds", lambda t: t[::-1].copy()),
    "thresholds of another type": ("thresholds", lambda t: t.astype(np.int32)),
    "centres that are too many": ("centres", lambda t: np.append(t, t)),
    "frequencies that do not sum up": ("freqs", lambda t: t // 2),
    "a limit above 31": ("limits", lambda t: t + 32),
    "no raw bits": ("raw_bits", lambda t: None),
    "a table with fractions": ("decoder.1.table", lambda t: t.astype(np.float32) + 0.5),
    "weights of another size": ("decoder.0.weight", lambda t: t[:, 1:].copy()),
    "a bias out of range": ("decoder.0.bias", lambda t: t * 0 + 2**60),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_file_that_does_not_fit_together_is_a_model_error(change, tmp_path):
    """Its hashes are right: somebody has made it so."""
    config = _config()
    name, changed = CHANGES[change]
    tensors = load_file(MODEL)
    made = changed(tensors.pop(name))
    if made is not None:
        tensors[name] = made
    path = tmp_path / "changed.safetensors"
    small_model.write(path, config, tensors)
    with pytest.raises(ModelError):
        small_model.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [8, 8]},
        {"shape": [8, 8, 2]},
        {"shape": [8.0, 8, 1]},
        {"shape": [2048, 1, 1]},
        {"shape": None},
        {"encoder": None},
        {"decoder": {"kind": "relu"}},
        {"decoder": [{"kind": "relu"}] * 100},
        {"encoder": [{"kind": "repeat", "times": 10**9}]},
        {"encoder": [{"kind": "reshape", "shape": [10**30, 1]}]},
    ],
)
def test_a_configuration_that_makes_no_sense_is_a_model_error(change, tmp_path):
    path = tmp_path / "changed.safetensors"
    small_model.write(path, _config() | change, load_file(MODEL))
    with pytest.raises(ModelError):
        small_model.load(path)


def test_a_model_that_was_changed_or_cut_is_a_model_error(tmp_path):
    path, data = tmp_path / "changed.safetensors", MODEL.read_bytes()
    for changed in (data[:-1], data[:100], b"", data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]):
        path.write_bytes(changed)
        small_model._load.cache_clear()
        with pytest.raises(ModelError):
            codec.open_collection(file(), path)[0]
    with safe_open(MODEL, "np") as f:
        metadata = f.metadata()
    save_file(load_file(MODEL), path, metadata | {"aec_collection_model": "[" * 100_000})
    with pytest.raises(ModelError):
        codec.encode_collection(pictures(), path)


def _config():
    import json

    with safe_open(MODEL, "np") as f:
        return json.loads(f.metadata()["aec_collection_model"])


def test_errors_can_be_sent_to_other_processes():
    try:
        codec.open_collection(file()[:-1])
    except codec.TruncatedError as e:
        assert str(pickle.loads(pickle.dumps(e))) == str(e)
    else:
        pytest.fail("a cut file was read")

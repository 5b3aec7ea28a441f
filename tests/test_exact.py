"""The exact coder (FORMAT §9): every sample comes back, or one within the largest error; damage does no harm."""

import hashlib
import re
from pathlib import Path

import exact_reader
import numpy as np
import photos
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shell import here

import codec
from codec import _C
from codec.coding import exact
from codec.container import format
from codec.errors import CorruptError
from codec.picture.pixels import to_pixels
from codec.picture.sample_bits import whole_range


def picture(height, width, channels, dtype, kind, seed=0):
    """A smooth, noisy, flat, coarse or random picture, or one of all extremes."""
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    shape = (height, width, channels)
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None] * rng.integers(1, 9, channels)
    made = {
        "smooth": slope * (top // 255),
        "noisy": (slope + rng.integers(0, 9, shape)) * (top // 255) + rng.integers(0, 3, shape),
        "flat": np.full(shape, rng.integers(0, top + 1)),
        "coarse": rng.integers(0, 4, shape) * (top // 3),
        "random": rng.integers(0, top + 1, shape),
        "extreme": rng.integers(0, 2, shape) * top,
    }[kind]
    return (made % (top + 1)).astype(dtype)


KINDS = ("smooth", "noisy", "flat", "coarse", "random", "extreme")
pictures = st.builds(
    picture,
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 4),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(KINDS),
    st.integers(0, 99),
)


def decoded(payload, like, error=0):
    return exact.decode_tile(payload, like.shape, 8 * like.itemsize, error)


@settings(max_examples=150, deadline=None)
@given(pictures)
def test_every_sample_comes_back(samples):
    back = decoded(exact.encode(samples), samples)
    assert back.dtype == samples.dtype and np.array_equal(back, samples)


@settings(max_examples=100, deadline=None)
@given(pictures, st.sampled_from([1, 2, 3, 7, 16, 100, 255]))
def test_no_sample_is_further_than_the_largest_error_and_alpha_is_exact(samples, error):
    back = decoded(exact.encode(samples, error), samples, error)
    distance = np.abs(back.astype(int) - samples)
    assert distance.max() <= error
    if samples.shape[2] in (2, 4):
        assert distance[..., -1].max() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "dtype", "error"),
    [((7, 11, 3), np.uint8, 0), ((6, 9, 1), np.uint16, 0), ((5, 10, 4), np.uint8, 2), ((1, 1, 3), np.uint16, 0)],
)
def test_a_reader_written_from_the_specification_gives_the_same(kind, shape, dtype, error):
    samples = picture(*shape, dtype, kind)
    payload = exact.encode(samples, error)
    height, width, channels = shape
    read = exact_reader.read(payload, width, height, channels, 8 * samples.itemsize, error)
    assert np.array_equal(read, decoded(payload, samples, error))


def test_that_reader_reads_a_part_of_a_photograph_too():
    samples = photos.astronaut()[100:112, 200:217]
    payload = exact.encode(samples)
    assert np.array_equal(exact_reader.read(payload, 17, 12, 3, 8), samples)


def test_bytes_never_change():
    """A file must decode for ever, so an encoder of another version or machine makes the same bytes."""
    found = [
        hashlib.sha256(exact.encode(samples, error)).hexdigest()[:16]
        for samples, error in (
            (np.ascontiguousarray(photos.astronaut()[:90, :120]), 0),
            (picture(50, 60, 4, np.uint16, "noisy"), 0),
            (picture(30, 20, 3, np.uint8, "smooth"), 5),
        )
    ]
    assert found == ["0b073507e30a1edd", "07cd8d96a234ceb8", "7cb065d4658c104b"]


@pytest.mark.parametrize("isa", _C.isas())
def test_all_instruction_sets_make_the_same_bytes(isa):
    before, samples = _C.isa(), picture(33, 50, 3, np.uint16, "noisy")
    expected = exact.encode(samples)
    try:
        _C.set_isa(isa)
        payload = exact.encode(samples)
        assert payload == expected and np.array_equal(decoded(payload, samples), samples)
    finally:
        _C.set_isa(before)


@pytest.mark.parametrize("bits", [1, 2, 5, 7, 8, 10, 12, 15])
def test_samples_of_fewer_bits_take_no_more_bytes_in_a_wider_type(bits):
    rng = np.random.default_rng(bits)
    few = np.clip(rng.normal(2**bits / 2, 2**bits / 8, (40, 40, 1)), 0, 2**bits - 1).astype(np.uint16)
    wide = to_pixels(few)
    scaled = whole_range(wide.data, bits)
    payload = exact.encode(scaled)
    assert payload[0] <= bits and len(payload) < 1.1 * few.size * bits / 8 + 20
    assert np.array_equal(decoded(payload, scaled), scaled)


@pytest.mark.parametrize(("colour_bits", "alpha_bits"), [(10, 8), (8, 1), (16, 12), (1, 16)])
def test_colours_and_alpha_may_have_different_bits(colour_bits, alpha_bits):
    rng = np.random.default_rng(colour_bits)
    colours = whole_range(rng.integers(0, 2**colour_bits, (9, 13, 3)).astype(np.uint16), colour_bits)
    alpha = whole_range(rng.integers(0, 2**alpha_bits, (9, 13, 1)).astype(np.uint16), alpha_bits)
    samples = np.dstack([colours, alpha])
    payload = exact.encode(samples)
    assert (payload[0], payload[2]) == (colour_bits, alpha_bits)
    assert np.array_equal(decoded(payload, samples), samples)
    assert np.array_equal(exact_reader.read(payload, 13, 9, 4, 16), samples)


@pytest.mark.parametrize("bits", [1, 4, 7, 10, 12])
@pytest.mark.parametrize("error", [1, 16, 65, 200, 255])
def test_a_largest_error_costs_no_bytes_where_samples_have_few_bits(bits, error):
    rng = np.random.default_rng(bits)
    slope = np.linspace(0, 2**bits - 1, 40) + rng.normal(0, 2**bits / 50, (30, 40))
    samples = whole_range(slope.clip(0, 2**bits - 1).astype(np.uint16), bits)[..., None]
    payload = exact.encode(samples, error)
    assert len(payload) <= len(exact.encode(samples))
    back = decoded(payload, samples, error)
    assert np.abs(back.astype(int) - samples).max() <= error
    assert np.array_equal(exact_reader.read(payload, 40, 30, 1, 16, error), back)


# ------------------------------------------------------------------ damage


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_payload_is_corrupt_or_another_picture(data):
    samples = picture(12, 17, data.draw(st.integers(1, 4)), np.uint8, data.draw(st.sampled_from(KINDS)))
    error = data.draw(st.sampled_from([0, 2]))
    payload = bytearray(exact.encode(samples, error))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    try:
        back = decoded(bytes(payload), samples, error)
    except CorruptError:
        return
    assert back.shape == samples.shape


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.sampled_from([8, 16]))
def test_any_bytes_end_well(data, height, width, channels, depth):
    try:
        exact.decode_tile(data, (height, width, channels), depth)
    except CorruptError:
        pass


def test_every_shortened_and_lengthened_payload_is_corrupt():
    samples = picture(15, 15, 3, np.uint8, "noisy")
    payload = exact.encode(samples)
    for n in range(len(payload)):
        with pytest.raises(CorruptError, match="past the end|no or too many bits"):
            decoded(payload[:n], samples)
    with pytest.raises(CorruptError, match="bytes are left"):
        decoded(payload + b"\0", samples)


@pytest.mark.parametrize(
    ("head", "words"), [(b"\0\0", "bits"), (b"\x09\0", "bits"), (b"\x08\x01", "shifted"), (b"\xff\xff", "bits")]
)
def test_impossible_fields_are_named(head, words):
    with pytest.raises(CorruptError, match=words):
        exact.decode_tile(head + bytes(9), (3, 3, 1), 8)


def test_wrong_arguments_of_the_extension_are_refused():
    for samples, depth, error in (
        (np.full((2, 2, 1), 256, np.uint16), 8, 0),
        (np.zeros((2, 2, 5), np.uint16), 8, 0),
        (np.zeros((0, 2, 1), np.uint16), 8, 0),
        (np.zeros((1, 4097, 1), np.uint16), 8, 0),
        (np.zeros((2, 2), np.uint16), 8, 0),
        (np.zeros((2, 2, 1), np.uint16), 17, 0),
        (np.zeros((2, 2, 1), np.uint16), 8, 256),
    ):
        with pytest.raises(ValueError, match="sample|channels|height|width|depth|largest_error"):
            _C.encode_exact(samples, depth, error)


# ------------------------------------------------------------------ files


def test_a_photograph_is_coded_exactly_in_fewer_bytes_than_as_webp():
    image = np.ascontiguousarray(photos.astronaut()[:256, :256])
    data = codec.encode(image, lossless=True)
    header = codec.inspect(data)
    assert header.exact and not header.stored and header.model_id == format.NO_MODEL and header.quality == 0
    assert len(data) < 0.95 * len(codec.encode(image, lossless=True, effort=1))
    assert np.array_equal(codec.decode(data, output="numpy", model="no such model"), image)
    assert codec.open(data).stored_file is None
    codec.open(data).verify(deep=True)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_any_region_and_scale_of_a_picture_in_tiles(data):
    channels = data.draw(st.integers(1, 4))
    samples = picture(90, 100, channels, data.draw(st.sampled_from([np.uint8, np.uint16])), "noisy")
    file = codec.open(exact.file(to_pixels(samples), 0, 64))
    assert len(file.layout.payloads) == 4 and len(file.layout.alphas) == 0
    x, y = data.draw(st.integers(0, 99)), data.draw(st.integers(0, 89))
    width, height = data.draw(st.integers(1, 100 - x)), data.draw(st.integers(1, 90 - y))
    part = file.decode(output="numpy", region=(x, y, width, height))
    assert np.array_equal(part.reshape(height, width, channels), samples[y : y + height, x : x + width])
    half = file.decode(output="numpy", scale=1 / 2)
    assert half.shape[:2] == (45, 50)


def test_a_damaged_tile_is_named():
    samples = picture(70, 130, 3, np.uint8, "noisy")
    layout = format.read(exact.file(to_pixels(samples), 0, 64))
    payloads = [bytes(p) for p in layout.payloads]
    payloads[4] = payloads[4][:-1]
    file = codec.open(format.write(layout.header, payloads))
    assert np.array_equal(file.decode(output="numpy", region=(0, 0, 64, 64)), samples[:64, :64])
    for broken in (lambda: file.decode(), lambda: file.verify(deep=True)):
        with pytest.raises(CorruptError, match="tile 4: "):
            broken()


def test_near_lossless_keeps_its_promise_in_a_smaller_file():
    image = np.ascontiguousarray(photos.astronaut()[:128, :128])
    sizes = []
    for error in (0, 1, 2, 4, 8):
        data = codec.encode(image, max_error=error)
        assert np.abs(codec.decode(data, output="numpy").astype(int) - image).max() <= error
        sizes.append(len(data))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.5 * sizes[0]
    assert codec.encode(image, max_error=0) == codec.encode(image, lossless=True)


@pytest.mark.parametrize("other", [{"quality": 50}, {"lossless": True}, {"target_size": 999}, {"alpha_quality": 5}])
def test_max_error_contradicts_whatever_else_says_how_good(other):
    with pytest.raises(ValueError, match=f"{next(iter(other))}.*max_error|max_error.*{next(iter(other))}"):
        codec.encode(photos.photo(8, 8), max_error=2, **other)


@pytest.mark.parametrize("error", [-1, 256, 1.5, True])
def test_impossible_largest_errors_are_refused(error):
    with pytest.raises((ValueError, TypeError), match="max_error"):
        codec.encode(photos.photo(8, 8), max_error=error)


def test_the_command_compresses_with_a_largest_error(tmp_path, capsys):
    image = np.ascontiguousarray(photos.astronaut()[:64, :80])
    Image.fromarray(image).save(tmp_path / "a.png")
    assert here("compress", tmp_path / "a.png", "--max-error", 3) == 0
    capsys.readouterr()
    assert here("info", tmp_path / "a.aec") == 0
    assert re.search(r"^max error +3$", capsys.readouterr().out, re.MULTILINE)
    assert here("verify", "--deep", tmp_path / "a.aec") == 0
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / "b.png") == 0
    assert np.abs(np.asarray(Image.open(tmp_path / "b.png")).astype(int) - image).max() in range(1, 4)
    assert here("compress", tmp_path / "a.png", "--max-error", 3, "--alpha-q", 50) == 2
    assert here("compress", tmp_path / "a.png", "--max-error", 300) == 2


GOLDEN = sorted((Path(__file__).parent / "golden").glob("*-exact-*.aec"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_are_read_the_same_by_the_reader_written_from_the_specification(path):
    file = codec.open(path)
    whole, h = file.decode(output="numpy"), file.header
    for tile, payload in zip(h.tiles, file.layout.payloads, strict=True):
        channels = (1 if h.gray else 3) + h.alpha
        read = exact_reader.read(bytes(payload), tile.width, tile.height, channels, h.depth, h.quality)
        part = whole[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        assert np.array_equal(read, part.reshape(tile.height, tile.width, channels))

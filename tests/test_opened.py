"""A file that is opened once: `codec.open`, and what `decode`, `inspect` and `read_metadata` take."""

import array
import contextlib
import io
import mmap

import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec.container import format
from codec.picture.resizing import resized, size_within
from codec.picture.samples import Pixels


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return photos.photo(70, 90)


@pytest.fixture(scope="module")
def data(photo) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a photo"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    return codec.encode(photo, quality=40, metadata=codec.Metadata(exif=block))


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "name", "file"])
def test_a_file_is_opened_from_bytes_a_path_or_an_open_file(data, tmp_path, kind):
    path = tmp_path / "x.aec"
    path.write_bytes(data)
    given = {"bytes": data, "bytearray": bytearray(data), "memoryview": memoryview(data), "path": path}
    given |= {"name": str(path), "file": io.BytesIO(data)}
    file = codec.open(given[kind])
    assert (file.header, file.n_bytes) == (codec.inspect(data), len(data))
    if kind != "file":
        assert codec.inspect(given[kind]) == file.header
        assert codec.read_metadata(given[kind]) == file.metadata
        np.testing.assert_array_equal(codec.decode(given[kind], output="numpy"), file.decode(output="numpy"))


@pytest.mark.parametrize("wrong", [None, 5, [1, 2], memoryview(bytes(10))[::2]])
def test_what_is_no_source_of_bytes_is_a_type_error_that_says_what_is(wrong):
    with pytest.raises(TypeError, match="must be contiguous bytes, a path, or a file"):
        codec.decode(wrong)


def test_whatever_has_a_buffer_is_taken_as_often_as_one_likes(data, tmp_path):
    (tmp_path / "x.aec").write_bytes(data)
    with open(tmp_path / "x.aec", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for _ in range(2):
            assert codec.inspect(mapped) == codec.inspect(data)
        del mapped
    for buffer in (np.frombuffer(data, np.uint8), array.array("B", data), memoryview(np.frombuffer(data, np.int8))):
        assert codec.inspect(buffer) == codec.inspect(data)
    padded = data + bytes(len(data) % 2)
    assert codec.open(memoryview(data[: len(data) // 2 * 2]).cast("H").tobytes() + data[len(data) // 2 * 2 :])
    with pytest.raises(codec.CorruptError) if len(padded) > len(data) else contextlib.nullcontext():
        codec.open(np.frombuffer(padded, np.uint16))


def test_a_file_opened_as_text_is_refused(data, tmp_path):
    with pytest.raises(TypeError, match="binary mode"):
        codec.inspect(io.StringIO("text"))
    (tmp_path / "x.aec").write_bytes(data)
    with open(tmp_path / "x.aec", encoding="utf-8") as file, pytest.raises(TypeError, match="must be opened in binary"):
        codec.inspect(file)


def test_a_device_that_is_no_string_is_refused_by_its_name(photo):
    for device in (torch.device("cpu"), None, 0):
        with pytest.raises(TypeError, match="device .*: must be a string: auto, cpu, cuda or cuda:N"):
            codec.encode(photo, device=device)


def test_a_path_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        codec.decode(tmp_path / "missing.aec")


def test_an_opened_file_decodes_as_often_and_as_variously_as_asked(data):
    file = codec.open(data)
    whole = file.decode(output="numpy")
    np.testing.assert_array_equal(whole, codec.decode(data, output="numpy"))
    np.testing.assert_array_equal(file.decode(output="numpy", region=(10, 20, 30, 40)), whole[20:60, 10:40])
    assert file.decode(scale=1 / 2).size == (45, 35)
    assert file.decode().info["exif"] == b"Exif\0\0" + file.metadata.exif
    assert repr(file) == f"<AecFile 90x70, quality 40, {len(data)} bytes>"


def test_a_file_is_parsed_once_whatever_is_asked_of_it(data, photo, monkeypatch):
    calls = []
    read = format.read
    monkeypatch.setattr(format, "read", lambda *args: calls.append(1) or read(*args))
    for source in (data, codec.encode(photo, lossless=True)):
        file = codec.open(source)
        file.decode(), file.metadata, file.verify(deep=True)
        assert len(calls) == 1
        calls.clear()


def test_a_stored_file_gives_the_file_inside_and_its_metadata(photo):
    stored = codec.open(codec.encode(photo, lossless=True, effort=1))
    inside = np.array(Image.open(io.BytesIO(stored.stored_file)).convert("RGB"))
    np.testing.assert_array_equal(inside, photo)
    assert codec.open(codec.encode(photo)).stored_file is None


def test_verify_accepts_what_is_whole_and_names_what_is_damaged_behind_right_checksums(data):
    codec.open(data).verify(deep=True)
    layout = format.read(data)
    wrong = format.write(layout.header, [bytes(layout.payloads[0])[:-1]], (), {"exif": codec.open(data).metadata.exif})
    codec.open(wrong).verify()
    with pytest.raises(codec.CorruptError, match="tile 0"):
        codec.open(wrong).verify(deep=True)


def test_limits_are_told_before_anything_is_decoded(data):
    with pytest.raises(codec.LimitError):
        codec.open(data, max_pixels=100)


def test_decoding_tells_its_progress_to_the_end(data):
    shares = []
    codec.decode(data, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1


# ------------------------------------------------------------------ fit


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("lossless", [False, True])
def test_fit_makes_a_picture_that_fits_and_keeps_its_shape(channels, depth, lossless):
    image = photos.photo(60, 100)
    image = np.dstack([image, np.tile(np.linspace(0, 255, 100).astype(np.uint8), (60, 1))])
    image = image[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    image = image.astype(np.uint16) * 257 if depth == 16 else image
    out = codec.decode(codec.encode(image, lossless=lossless), output="numpy", fit=(37, 200))
    assert out.shape[:2] == (22, 37) and out.dtype.itemsize * 8 == depth
    assert (out.ndim == 2) == (channels == 1)
    whole = codec.decode(codec.encode(image, lossless=lossless), output="numpy")
    if lossless:  # 37 of 100 pixels: nothing was decoded smaller before
        kept = whole[..., None] if whole.ndim == 2 else whole
        alpha = None if channels % 2 else kept[..., -1]
        same = resized(Pixels(kept if alpha is None else kept[..., :-1], alpha), (37, 22))
        expected = same.data if alpha is None else np.dstack([same.data, same.alpha])
        shrunk = np.abs(out.reshape(expected.shape).astype(float) - expected) / np.iinfo(out.dtype).max
        assert shrunk.mean() < 0.01


@pytest.mark.parametrize("region", [None, (7, 7, 250, 160), (3, 5, 201, 99)])
@pytest.mark.parametrize("fit", [(100, 100), (31, 40), (17, 9)])
@pytest.mark.parametrize("axis", [0, 1])
def test_fit_neither_shifts_nor_stretches_what_it_decodes_smaller(region, fit, axis):
    """A ramp stays the ramp: each sample is where the middle of its pixel lies in the region."""
    height, width = 181, 273
    rows, columns = np.indices((height, width))
    ramp = ((columns if axis else rows) * 200).astype(np.uint16)
    data = codec.encode(ramp, lossless=True)
    out = codec.decode(data, output="numpy", region=region, fit=fit).astype(float)
    x, y, w, h = region or (0, 0, width, height)
    start, length, n = (x, w, out.shape[1]) if axis else (y, h, out.shape[0])
    expected = (start + (np.arange(n) + 0.5) * length / n - 0.5) * 200
    line = out[0] if axis else out[:, 0]
    inner = slice(2, -2)  # at the ends the filter has pixels on one side only
    assert np.abs(line - expected)[inner].max() < 0.06 * 200 * length / n


def test_fit_never_enlarges_and_takes_a_region(data):
    assert codec.decode(data, fit=(1000, 1000)).size == (90, 70)
    assert codec.decode(data, fit=(10, 10), region=(0, 0, 40, 20)).size == (10, 5)


def test_what_cannot_be_seen_leaves_no_fringe_when_a_picture_is_made_smaller():
    colours = np.zeros((40, 40, 3), np.uint8)
    colours[:, :20] = 200  # seen; what is black is not
    alpha = np.zeros((40, 40), np.uint8)
    alpha[:, :20] = 255
    small = resized(Pixels(colours, alpha), (13, 13))
    assert (np.abs(small.data[small.alpha > 0].astype(int) - 200) <= 1).all()


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 500), st.integers(1, 500))
@settings(max_examples=200, deadline=None)
def test_a_size_within_another_is_the_largest_of_the_same_shape(width, height, most_width, most_height):
    w, h = size_within(width, height, (most_width, most_height))
    assert 1 <= w <= min(width, most_width) and 1 <= h <= min(height, most_height)
    assert w == width and h == height or w == most_width or h == most_height


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"fit": (0, 5)}, ValueError, "at least 1"),
        ({"fit": (5,)}, TypeError, "two ints"),
        ({"fit": 5}, TypeError, "two ints"),
        ({"fit": (5, 5), "scale": 1 / 2}, ValueError, "one of them"),
    ],
)
def test_a_fit_that_cannot_be_is_refused(data, options, error, words):
    with pytest.raises(error, match=words):
        codec.decode(data, **options)

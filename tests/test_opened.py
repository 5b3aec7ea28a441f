"""A file that is opened once: `codec.open`, and what `decode`, `inspect` and `read_metadata` take."""

import io

import numpy as np
import photos
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec.container import format
from codec.picture.pixels import Pixels
from codec.picture.resizing import resized, size_within


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


@pytest.mark.parametrize("wrong", [None, 5, [1, 2], np.zeros(3)])
def test_what_is_no_source_of_bytes_is_a_type_error_that_says_what_is(wrong):
    with pytest.raises(TypeError, match="must be bytes, a path, or a file"):
        codec.decode(wrong)


def test_a_file_opened_as_text_is_refused(tmp_path):
    with pytest.raises(TypeError, match="binary mode"):
        codec.inspect(io.StringIO("text"))


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
    stored = codec.open(codec.encode(photo, lossless=True))
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
    small = resized(Pixels(image[..., :3] if channels > 2 else image[..., :1]), (37, 22)).data
    if channels % 2:
        off = np.abs(out.reshape(small.shape).astype(float) - small) / np.iinfo(out.dtype).max
        assert off.mean() < 0.05


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

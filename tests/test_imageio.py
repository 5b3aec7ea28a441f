"""imageio reads and writes .aec files through Pillow, and with a plugin of its own all of them."""

import subprocess
import sys

import numpy as np
import photos
import pytest

import codec

iio = pytest.importorskip("imageio.v3", reason="imageio is not installed")
PHOTO = photos.photo(40, 56)


@pytest.fixture(scope="module")
def plugin():
    from codec.plugins import imageio

    return imageio.AecPlugin


def test_codec_does_not_import_imageio_and_pillow_serves_it(tmp_path):
    script = (
        "import sys, codec; assert 'imageio' not in sys.modules\n"
        "import imageio.v3 as iio, numpy as np\n"
        "image = np.indices((20, 30)).sum(0).astype(np.uint8)\n"
        "iio.imwrite('x.aec', image, quality=90)\n"
        "print(iio.imread('x.aec').shape, iio.improps('x.aec').dtype, iio.imread(open('x.aec', 'rb').read()).shape)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "(20, 30) uint8 (20, 30)\n", done.stderr


def test_reads_and_writes_paths_and_bytes(plugin, tmp_path):
    path = tmp_path / "x.aec"
    iio.imwrite(path, PHOTO, quality=50, effort=1)
    data = codec.encode(PHOTO, 50, effort=1)
    assert path.read_bytes() == data
    assert iio.imwrite("<bytes>", PHOTO, extension=".aec", quality=50, effort=1) == data
    for source in (path, data):
        assert np.array_equal(iio.imread(source, extension=".aec"), codec.decode(data, output="numpy"))
    assert [image.shape for image in iio.imiter(path)] == [PHOTO.shape]
    with iio.imopen(path, "r") as file:
        assert isinstance(file, plugin)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_properties_are_known_before_pixels(plugin, tmp_path, channels, dtype):
    image = (np.arange(24 * 20 * channels) * 97).reshape(24, 20, channels).astype(dtype)
    image = image[..., 0] if channels == 1 else image
    iio.imwrite(tmp_path / "x.aec", image, lossless=True)
    found, said = iio.imread(tmp_path / "x.aec"), iio.improps(tmp_path / "x.aec")
    assert said.shape == found.shape == image.shape and said.dtype == found.dtype == dtype
    assert np.array_equal(found, image)


def test_options_of_decode_and_metadata(plugin, tmp_path):
    path, blocks = tmp_path / "x.aec", codec.Metadata(icc=b"a profile", xmp=b"a packet")
    iio.imwrite(path, PHOTO, metadata=blocks)
    assert iio.immeta(path) == {"quality": 75, "icc": b"a profile", "xmp": b"a packet"}
    assert iio.imread(path, scale=1 / 2).shape == (20, 28, 3)
    assert iio.imread(path, region=(3, 4, 20, 10)).shape == (10, 20, 3)
    with pytest.raises(ValueError, match="one picture"):
        iio.imread(path, index=1)


def test_what_is_no_aec_file_is_left_to_other_plugins(plugin, tmp_path):
    iio.imwrite(tmp_path / "x.png", PHOTO)
    (tmp_path / "x.aec").write_bytes((tmp_path / "x.png").read_bytes())
    assert np.array_equal(iio.imread(tmp_path / "x.aec"), PHOTO)
    with pytest.raises(OSError, match="aec"):
        iio.imread(tmp_path / "x.png", plugin="aec")
    with pytest.raises(OSError, match="aec"):
        iio.imwrite(tmp_path / "y.png", PHOTO, plugin="aec")


def test_the_usual_keywords_of_imageio(plugin, tmp_path):
    path = tmp_path / "x.aec"
    deep = PHOTO.astype(np.uint16) * 257
    iio.imwrite(path, deep, lossless=True)
    assert iio.imread(path, mode="L").shape == (40, 56) and iio.imread(path, mode="RGBA").shape == (40, 56, 4)
    np.testing.assert_array_equal(iio.imread(path, mode="RGB"), PHOTO)
    np.testing.assert_array_equal(iio.imread(path, index=...)[0], deep)
    assert iio.improps(path, index=...).shape == (1, 40, 56, 3) and iio.improps(path, index=...).is_batch
    for given in ([PHOTO], PHOTO[None]):
        iio.imwrite(path, given, is_batch=True, lossless=True)
        np.testing.assert_array_equal(iio.imread(path), PHOTO)
    iio.imwrite(path, deep, mode="L", lossless=True)
    assert iio.improps(path).shape == (40, 56) and iio.improps(path).dtype == np.uint8
    for mode in ("CMYK", "YCbCr", "P", "RGBA"):
        iio.imwrite(path, PHOTO, mode=mode, lossless=True)
        off = np.abs(iio.imread(path)[..., :3].astype(int) - PHOTO)
        assert off.mean() < 40 if mode == "P" else off.max() < 12, mode  # a palette has few colours
    with pytest.raises(ValueError, match="2 pictures: an .aec file holds one"):
        iio.imwrite(path, [PHOTO, PHOTO])

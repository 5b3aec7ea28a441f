"""How many bits of a sample are significant is kept, and told to readers, and to files that can say it."""

import io

import hdr
import numpy as np
import photos
import pytest
import tiffs
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shell import here

import codec
from codec import Metadata
from codec.extras import MissingPackageError
from codec.given import open_picture
from codec.io import InputError
from codec.picture import boxes, stored
from codec.picture.samples import to_numpy


def has_imagecodecs() -> bool:
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def decompressed(tmp_path, data: bytes, suffix: str, *options) -> bytes:
    (tmp_path / "x.aec").write_bytes(data)
    assert here("decompress", "-f", tmp_path / "x.aec", "-o", tmp_path / f"x{suffix}", *options) == 0
    return (tmp_path / f"x{suffix}").read_bytes()


@given(st.integers(1, 16), st.sampled_from([1, 2, 3, 4]), st.booleans(), st.integers(0, 2**32 - 1))
def test_integers_of_any_number_of_bits_come_back_and_the_number_too(bits, channels, wide, seed):
    dtype = np.uint16 if wide or bits > 8 else np.uint8
    depth = 8 * np.dtype(dtype).itemsize
    samples = np.random.default_rng(seed).integers(0, 2**bits, (4, 5, channels)).astype(dtype)
    samples[0, 0] = 0  # so that alpha is not opaque
    data = codec.encode(samples, lossless=True, bits=bits)
    assert codec.read_metadata(data).bits == (bits if bits < depth else None)
    back = codec.decode(data, output="numpy").reshape(samples.shape)
    assert np.array_equal(back >> depth - bits, samples)
    assert back.max() == np.iinfo(dtype).max or samples.max() < 2**bits - 1


def test_the_number_takes_seven_bytes_and_absent_none():
    samples = hdr.gradient(3, 10)
    whole = samples << 6 | samples >> 4  # the same integers, scaled: 65535 / 1023 is a little above 64 * (1 + 1/1024)
    ten, sixteen = codec.encode(samples, lossless=True, bits=10), codec.encode(whole, lossless=True)
    assert len(ten) <= len(sixteen) + 7 + 1 + 40 and codec.read_metadata(sixteen) == Metadata()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_gets_sbit_and_gives_it_back(tmp_path, channels):
    packed = codec.encode(hdr.gradient(channels, 10), lossless=True, bits=10)
    back = decompressed(tmp_path, packed, ".png")
    assert hdr.chunks_of(back)[b"sBIT"] == bytes([10] * channels)
    assert codec.encode(open_picture(back), lossless=True) == packed
    assert codec.encode(Image.open(io.BytesIO(back)), lossless=True) == packed
    assert b"sBIT" not in hdr.chunks_of(decompressed(tmp_path, packed, ".png", "--depth", "8"))


def test_png_of_8_bits_gets_sbit_too(tmp_path):
    packed = codec.encode(photos.photo(8, 9) >> 3, lossless=True, bits=5)
    back = decompressed(tmp_path, packed, ".png")
    assert hdr.chunks_of(back)[b"sBIT"] == bytes([5] * 3)
    assert codec.read_metadata(codec.encode(open_picture(back), lossless=True)).bits == 5
    deep = hdr.chunks_of(decompressed(tmp_path, packed, ".png", "--depth", "16"))
    assert deep[b"sBIT"] == bytes([5] * 3)


@pytest.mark.parametrize(
    ("sbit", "bits"),
    [(b"\5\6\5", 6), (b"\x0a" * 3, 10), (b"\x10" * 3, None), (bytes(3), None), (b"", None), (b"\xff", None)],
)
def test_the_largest_number_of_sbit_counts_if_it_is_one(sbit, bits):
    found = open_picture(hdr.png(hdr.gradient(3), (b"sBIT", sbit))).metadata
    assert found == Metadata(bits=bits)


def test_a_png_stored_as_it_is_says_its_own(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 1024, (20, 20, 3)).astype(np.uint16) << 6
    source = hdr.png(noise, (b"sBIT", b"\x0a" * 3), (b"cICP", bytes(hdr.PQ)))
    packed = stored.original(open_picture(source), source)
    (tmp_path / "x.aec").write_bytes(packed)
    assert source in packed and codec.read_metadata(packed).bits == 10
    assert here("info", tmp_path / "x.aec") == 0
    text = capsys.readouterr().out
    assert "10 of 16 bits" in text and "9/16/0/1 (BT.2020, PQ, full range)" in text


@pytest.mark.parametrize("bits", [4, 8, 9, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("photometric", [0, 1, 2])
def test_tiff_says_it_by_its_bits_per_sample(bits, photometric):
    values = hdr.gradient(3 if photometric == 2 else 1, bits).reshape(24, 40, -1)
    picture = open_picture(tiffs.file(tiffs.picture(values, bits, photometric)))
    assert picture.metadata.bits == (bits if 8 < bits < 16 else None)
    back = codec.decode(codec.encode(picture, lossless=True), output="numpy").reshape(values.shape)
    right = 2**bits - 1 - values if photometric == 0 else values
    assert np.array_equal(back >> 8 * back.itemsize - bits, right)


def test_a_networks_picture_says_it_and_readers_of_pillow_see_it(tmp_path):
    packed = codec.encode(hdr.gradient(1, 12), 75, bits=12)
    if codec.inspect(packed).stored:
        packed = codec.encode(hdr.gradient(1, 12), 30, bits=12)
    assert codec.read_metadata(packed).bits == 12
    assert codec.decode(packed).info["significant_bits"] == 12
    assert "significant_bits" not in codec.decode(packed, depth=8).info
    (tmp_path / "x.aec").write_bytes(packed)
    with Image.open(tmp_path / "x.aec") as image:
        assert image.info["significant_bits"] == 12
        assert codec.read_metadata(codec.encode(image, lossless=True)).bits == 12
        halved = image.resize((20, 12))  # whose samples are others
    assert codec.read_metadata(codec.encode(halved, lossless=True)).bits is None


def test_it_stays_where_metadata_is_left_out_or_replaced():
    picture = open_picture(hdr.png(hdr.gradient(3), (b"sBIT", b"\x0a" * 3)))
    assert picture.metadata.only(()).bits == 10
    assert codec.read_metadata(codec.encode(picture, lossless=True, metadata=Metadata(xmp=b"<x/>"))).bits == 10
    assert codec.read_metadata(codec.encode(picture, lossless=True, metadata=Metadata(bits=11))).bits == 11
    ten = codec.encode(hdr.gradient(3, 10), lossless=True, bits=10, metadata=Metadata(bits=11))
    assert codec.read_metadata(ten).bits == 10
    for wrong in (0, 16, -3):
        with pytest.raises(ValueError, match=r"significant bits: allowed are 1\.\.15"):
            codec.encode(picture, metadata=Metadata(bits=wrong))


# ------------------------------------------------------------------ AVIF and JPEG 2000


RAMP = np.arange(16) * 68


def test_the_bits_of_an_avif_file_are_found_in_its_boxes():
    assert (boxes.avif_bits(hdr.AVIF), boxes.avif_bits(hdr.GRAY_AVIF)) == (10, 12)
    file = io.BytesIO()
    Image.fromarray(photos.photo(8, 9)).save(file, "AVIF")
    assert boxes.avif_bits(file.getvalue()) == 8


@given(st.binary(max_size=60), st.integers(0, 400))
def test_damaged_boxes_are_no_error(junk, at):
    data = hdr.AVIF[:at] + junk + hdr.AVIF[at + len(junk) :]
    assert boxes.avif_bits(data) in (8, 10, 12)
    assert 1 <= boxes.jpeg2000_bits(b"\xff\x4f\xff\x51" + junk) <= 128
    assert boxes.is_premultiplied_jpeg2000(junk) in (True, False)


@pytest.mark.parametrize("data", [hdr.AVIF, hdr.GRAY_AVIF])
def test_avif_of_more_than_8_bits_is_refused_by_name_without_its_package(data, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with pytest.raises(InputError, match=r"AVIF picture of 1[02] bits .* imagecodecs.* 'aec-codec\[deep\]'"):
        open_picture(data)
    with pytest.raises(ValueError, match="imagecodecs"):
        codec.encode(Image.open(io.BytesIO(data)))


def test_avif_of_more_than_8_bits_is_not_written_without_its_package(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    (tmp_path / "x.aec").write_bytes(codec.encode(hdr.gradient(3), 60))
    assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / "x.avif") != 0
    assert "imagecodecs" in (err := capsys.readouterr().err) and "--depth 8" in err
    from codec.picture import deep_avif

    with pytest.raises(MissingPackageError):
        deep_avif.write(hdr.gradient(3), Metadata(), 90)


@pytest.mark.skipif(not has_imagecodecs(), reason="imagecodecs is not installed")
@pytest.mark.parametrize(("data", "bits", "shape"), [(hdr.AVIF, 10, (8, 16, 3)), (hdr.GRAY_AVIF, 12, (8, 16))])
def test_avif_of_more_than_8_bits_loses_none(data, bits, shape):
    for picture in (open_picture(data), Image.open(io.BytesIO(data))):
        packed = codec.encode(picture, lossless=True)
        found = codec.read_metadata(packed)
        assert (found.cicp, found.bits) == (hdr.PQ, bits)
        back = codec.decode(packed, output="numpy")
        assert back.shape == shape and back.dtype == np.uint16
        right = RAMP if bits == 10 else RAMP * 4 + 3 * (RAMP > 0)
        assert np.array_equal(back.reshape(8, 16, -1)[..., 0] >> 16 - bits, np.tile(right, (8, 1)))


@pytest.mark.skipif(not has_imagecodecs(), reason="imagecodecs is not installed")
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [None, 10, 12])
def test_deep_pictures_go_to_avif_with_their_code_points(tmp_path, channels, bits):
    samples = hdr.gradient(channels, bits or 16)
    packed = codec.encode(samples, lossless=True, bits=bits, metadata=Metadata(cicp=hdr.PQ))
    back = open_picture(decompressed(tmp_path, packed, ".avif", "--out-quality", "100"))
    assert (back.metadata.cicp, back.metadata.bits) == (hdr.PQ, bits or 12)
    wanted = codec.decode(packed, output="numpy").astype(int)
    assert np.abs(to_numpy(back).reshape(wanted.shape) - wanted).max() <= 2 * 65535 / (2 ** (bits or 12) - 1)


@pytest.mark.skipif(not has_imagecodecs(), reason="imagecodecs is not installed")
@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (Metadata(icc=b"profile"), "an ICC profile"),
        (Metadata(xmp=b"<x/>"), "XMP"),
        (Metadata(cicp=(9, 16, 0, 0)), "the limited range"),
    ],
)
def test_what_deep_avif_cannot_hold_is_refused_by_name(tmp_path, capsys, metadata, says):
    (tmp_path / "x.aec").write_bytes(codec.encode(hdr.gradient(3), 60, metadata=metadata))
    assert here("decompress", tmp_path / "x.aec", "-o", tmp_path / "x.avif", "--out-quality", "90") == 7
    assert says in capsys.readouterr().err


def jpeg2000(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "JPEG2000")
    return file.getvalue()


@pytest.mark.parametrize("bits", [9, 12, 16])
def test_jpeg_2000_of_deep_colour_is_refused_and_not_halved(bits):
    data = bytearray(jpeg2000(photos.photo(16, 16)))
    at = data.index(b"\xff\x4f\xff\x51") + 42
    data[at : at + 9 : 3] = bytes([bits - 1] * 3)
    with pytest.raises(InputError, match=f"{bits} bits a sample in JPEG2000"):
        open_picture(bytes(data))


def test_gray_jpeg_2000_of_12_bits_has_white_at_white():
    ramp = np.arange(0, 4096, 8, dtype=np.uint16).reshape(16, 32)
    ramp[-1, -1] = 4095
    whole = jpeg2000(ramp)  # of 16 bits, with small values
    at = whole.index(b"\xff\x4f\xff\x51") + 42
    assert whole[at] == 15
    assert np.array_equal(to_numpy(open_picture(whole)), ramp)
    assert open_picture(whole).metadata.bits is None


def test_heif_of_10_bits_by_a_plugin_is_refused_and_its_copy_is_not():
    image = Image.fromarray(photos.photo(8, 9))  # as pillow_heif opens it
    image.format, image.info["bit_depth"] = "HEIF", 10
    with pytest.raises(ValueError, match="10 bits a sample in HEIF, of which pillow_heif gives Pillow 8"):
        codec.encode(image)
    assert np.array_equal(codec.decode(codec.encode(image.copy(), lossless=True), output="numpy"), np.asarray(image))
    image.info["bit_depth"] = 8
    codec.encode(image, lossless=True)

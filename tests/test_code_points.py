"""Code points of colour (CICP) go with a picture from file to file, in four bytes, and mean what they meant."""

import io
import struct
import zlib

import hdr
import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from shell import here

import codec
from codec import Metadata
from codec.cli.inspect import describe
from codec.container import format
from codec.given import open_picture
from codec.picture import code_points, colour
from codec.picture.samples import to_numpy

RGB = photos.photo(24, 40)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MADE = colour.of_cicp(hdr.PQ, False)
CICP = (b"cICP", bytes(hdr.PQ))


def sections(data: bytes) -> dict[str, bytes]:
    return {name: section.unpack() for name, section in format.read(data).metadata.items()}


def decompressed(tmp_path, data: bytes, suffix: str, *options) -> bytes:
    (tmp_path / "x.aec").write_bytes(data)
    assert here("decompress", "-f", tmp_path / "x.aec", "-o", tmp_path / f"x{suffix}", *options) == 0
    return (tmp_path / f"x{suffix}").read_bytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_pq_png_comes_back_as_one_from_a_file_that_holds_four_bytes_for_it(tmp_path, channels):
    samples = hdr.gradient(channels)
    packed = codec.encode(open_picture(hdr.png(samples, CICP)), lossless=True)
    assert sections(packed) == {"cicp": bytes(hdr.PQ)}
    plain = codec.encode(open_picture(hdr.png(samples)), lossless=True)
    assert len(packed) - len(plain) <= 4 + 6 + 2  # the block, its entry in the table, and two bytes of flags
    found = codec.read_metadata(packed)
    assert (found.cicp, found.icc) == (hdr.PQ, colour.of_cicp(hdr.PQ, channels < 3))
    back = decompressed(tmp_path, packed, ".png")
    assert hdr.chunks_of(back)[b"cICP"] == bytes(hdr.PQ) and b"iCCP" in hdr.chunks_of(back)
    assert np.array_equal(to_numpy(open_picture(back)), samples)
    assert codec.encode(open_picture(back), lossless=True) == packed


def test_a_networks_picture_keeps_them_and_they_change_no_pixel():
    samples = hdr.gradient(3)
    plain, pq = (codec.encode(samples, 75, metadata=m) for m in (None, Metadata(cicp=hdr.PQ)))
    assert not codec.inspect(pq).stored and codec.read_metadata(pq).cicp == hdr.PQ
    assert np.array_equal(codec.decode(plain, output="numpy"), codec.decode(pq, output="numpy"))
    assert bytes(format.read(plain).payloads[0]) == bytes(format.read(pq).payloads[0])


def test_a_smooth_pq_gradient_has_no_bands():
    x, y = np.linspace(0.3, 0.55, 320), np.linspace(0, 0.05, 96)[:, None]
    samples = (np.stack([x + 0 * y, x + y, 0.4 + y + 0 * x], -1) * 65535).round().astype(np.uint16)
    back = codec.decode(codec.encode(samples, 75, metadata=Metadata(cicp=hdr.PQ)), output="numpy").astype(int)
    assert len(np.unique(back[..., 0])) > 8000  # 64 levels of 8 bits lie in its range
    assert np.abs(np.diff(back[..., 0], axis=1)).max() < 2 * 257  # no step of two levels of 8 bits


def test_a_picture_that_says_srgb_takes_no_bytes_for_it():
    plain = codec.encode(RGB, lossless=True)
    for cicp in ((1, 13, 0, 1), (2, 2, 0, 1), (2, 13, 0, 1), (2, 2, 0, 0)):
        assert codec.encode(RGB, lossless=True, metadata=Metadata(cicp=cicp)) == plain
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "AVIF")
    assert "cicp" not in sections(codec.encode(open_picture(file.getvalue()), lossless=True))


def test_a_profile_beside_the_code_points_of_png_is_kept_too(tmp_path):
    samples = hdr.gradient(3)
    data = hdr.png(samples, CICP, (b"iCCP", b"x\0\0" + zlib.compress(PROFILE)))
    packed = codec.encode(open_picture(data), lossless=True)
    assert sections(packed) == {"cicp": bytes(hdr.PQ), "icc": PROFILE}
    back = hdr.chunks_of(decompressed(tmp_path, packed, ".png"))
    assert back[b"cICP"] == bytes(hdr.PQ) and zlib.decompress(back[b"iCCP"].split(b"\0\0", 1)[1]) == PROFILE


def test_a_profile_of_avif_counts_more_than_its_code_points_so_only_it_is_kept():
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "AVIF", icc_profile=PROFILE)
    data = file.getvalue()
    at = data.index(b"colrnclx") + 8
    data = data[:at] + struct.pack(">HH", 9, 16) + data[at + 4 :]
    for picture in (open_picture(data), Image.open(io.BytesIO(data))):
        assert sections(codec.encode(picture, lossless=True)) == {"icc": PROFILE}
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "AVIF", icc_profile=MADE)  # which has code points of its own, in a tag
    assert sections(codec.encode(open_picture(file.getvalue()), lossless=True)) == {"cicp": bytes(hdr.PQ)}


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_that_was_made_of_code_points_becomes_them_again(kind):
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, icc_profile=MADE)
    packed = codec.encode(open_picture(file.getvalue()), lossless=True)
    assert sections(packed) == {"cicp": bytes(hdr.PQ)} and codec.read_metadata(packed).icc == MADE
    foreign = MADE[:100] + b"x" + MADE[101:]  # not ours, with the same tag: kept byte for byte
    Image.fromarray(RGB).save(file := io.BytesIO(), kind, icc_profile=foreign)
    packed = codec.encode(open_picture(file.getvalue()), lossless=True)
    assert sections(packed) == {"icc": foreign} and codec.read_metadata(packed).cicp == hdr.PQ
    assert describe(codec.open(packed))["cicp"] == list(hdr.PQ)


@pytest.mark.parametrize("tag", [b"", b"cicp", b"cicp\0\0\0\0\x09\x10\0", b"curv\0\0\0\0\x09\x10\0\1", bytes(12)])
@pytest.mark.parametrize("count", [0, 1, 2**32 - 1])
def test_a_damaged_tag_of_a_profile_says_nothing(tag, count):
    icc = bytes(128) + struct.pack(">I4sII", count, b"cicp", 144, len(tag)) + tag
    assert code_points.of_profile(icc) is None
    assert code_points.of_profile(icc[:140]) is None


def test_the_limited_range_of_png_stays_one(tmp_path):
    limited = bytes([1, 1, 0, 0])
    packed = codec.encode(open_picture(hdr.png(hdr.gradient(3), (b"cICP", limited))), lossless=True)
    assert sections(packed) == {"cicp": limited}
    assert hdr.chunks_of(decompressed(tmp_path, packed, ".png"))[b"cICP"] == limited


def test_the_matrix_is_that_of_the_samples_we_hold_and_not_of_the_file():
    packed = codec.encode(open_picture(hdr.png(hdr.gradient(3), (b"cICP", bytes([9, 16, 9, 1])))), lossless=True)
    assert sections(packed) == {"cicp": bytes(hdr.PQ)}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tiff_gets_a_profile_with_them(tmp_path, channels):
    samples = hdr.gradient(channels)
    metadata = Metadata(cicp=hdr.PQ, xmp=b"<x/>", exif=exif())
    packed = codec.encode(samples, lossless=True, metadata=metadata)
    back = decompressed(tmp_path, packed, ".tif")
    picture = open_picture(back)
    assert np.array_equal(to_numpy(picture), samples)
    assert picture.metadata.icc == colour.of_cicp(hdr.PQ, channels < 3)
    assert picture.metadata.cicp == (hdr.PQ if channels >= 3 else None)  # profiles of gray have no such tag
    assert picture.metadata.xmp == b"<x/>"
    if channels == 2:
        return  # of which Pillow knows no 16 bits
    other = Image.open(io.BytesIO(back))  # by Pillow, which takes 8 of the bits of colour
    assert other.getexif()[0x010F] == "aec" and other.size == (40, 24)
    if channels > 2:
        assert np.abs(np.asarray(other).astype(int) - samples / 257).max() <= 1


def exif() -> bytes:
    made = Image.Exif()
    made[0x010F] = "aec"
    made[0x8769] = {0x9003: "2026:11:21 12:00:00"}
    made[0x0102] = (8, 8, 8)  # BitsPerSample, as EXIF of a TIFF file may have it
    return made.tobytes().removeprefix(b"Exif\0\0")


def test_strips_of_a_deep_tiff_file_follow_each_other():
    from codec.picture import deep_tiff

    samples = np.random.default_rng(0).integers(0, 65536, (700, 600, 3)).astype(np.uint16)
    assert np.array_equal(to_numpy(open_picture(deep_tiff.write(samples, None, None))), samples)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_avif_of_8_bits_gets_them_as_nclx(tmp_path, channels):
    packed = codec.encode(hdr.gradient(channels), 90, metadata=Metadata(cicp=hdr.PQ))
    back = decompressed(tmp_path, packed, ".avif", "--depth", "8", "--out-quality", "90")
    at = back.index(b"colrnclx") + 8
    assert struct.unpack_from(">HH", back, at) == (9, 16) and b"colrprof" not in back
    assert open_picture(back).metadata.cicp == hdr.PQ
    assert Image.open(io.BytesIO(back)).size == (40, 24)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_kinds_without_code_points_get_the_profile(tmp_path, suffix):
    packed = codec.encode(RGB, 50, metadata=Metadata(cicp=hdr.PQ))
    assert Image.open(io.BytesIO(decompressed(tmp_path, packed, suffix))).info["icc_profile"] == MADE


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".avif"])
def test_a_profile_that_they_overrule_is_not_written_where_it_would_count(tmp_path, suffix):
    packed = codec.encode(RGB, 50, metadata=Metadata(cicp=hdr.PQ, icc=PROFILE))
    assert codec.read_metadata(packed) == Metadata(cicp=hdr.PQ, icc=PROFILE)
    back = open_picture(decompressed(tmp_path, packed, suffix)).metadata
    assert (back.cicp, back.icc) == (hdr.PQ, MADE)
    foreign = MADE[:100] + b"x" + MADE[101:]  # which says the same, so it is written
    packed = codec.encode(RGB, 50, metadata=Metadata(icc=foreign))
    back = open_picture(decompressed(tmp_path, packed, suffix)).metadata
    assert (back.cicp, back.icc) == (hdr.PQ, foreign)


@pytest.mark.parametrize(
    ("option", "kept"), [("none", False), ("icc", True), ("exif,xmp", False), ("icc,xmp", True), ("all", True)]
)
def test_they_go_with_the_profile_where_metadata_is_left_out(tmp_path, option, kept):
    (tmp_path / "x.png").write_bytes(hdr.png(hdr.gradient(3), CICP))
    assert here("compress", tmp_path / "x.png", "--lossless", "--metadata", option) == 0
    assert ("cicp" in sections((tmp_path / "x.aec").read_bytes())) == kept
    packed = codec.encode(open_picture((tmp_path / "x.png").read_bytes()), lossless=True)
    assert (b"cICP" in hdr.chunks_of(decompressed(tmp_path, packed, ".png", "--metadata", option))) == kept


def test_info_tells_them(tmp_path, capsys):
    (tmp_path / "x.aec").write_bytes(codec.encode(RGB, 50, metadata=Metadata(cicp=(12, 13, 0, 1))))
    (tmp_path / "y.aec").write_bytes(codec.encode(open_picture(hdr.png(hdr.gradient(3), CICP)), lossless=True))
    assert here("info", tmp_path / "x.aec", tmp_path / "y.aec") == 0
    text = capsys.readouterr().out
    assert "12/13/0/1 (Display P3, sRGB, full range)" in text and "9/16/0/1 (BT.2020, PQ, full range)" in text


def test_pillow_hands_them_out_and_takes_them(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "plain.aec", quality=50)
    with Image.open(tmp_path / "plain.aec") as image:
        assert "cicp" not in image.info
    picture = Image.fromarray(RGB)
    picture.info["cicp"] = hdr.PQ
    picture.save(tmp_path / "pq.aec", quality=50)
    with Image.open(tmp_path / "pq.aec") as image:
        assert image.info["cicp"] == hdr.PQ and image.info["icc_profile"] == MADE
        image.save(tmp_path / "again.aec", lossless=True)
        image.save(tmp_path / "other.aec", lossless=True, icc_profile=PROFILE)
        image.save(tmp_path / "none.aec", lossless=True, icc_profile=None)
        image.save(tmp_path / "x.png")
    assert sections((tmp_path / "again.aec").read_bytes()) == {"cicp": bytes(hdr.PQ)}
    assert sections((tmp_path / "other.aec").read_bytes()) == {"icc": PROFILE}
    assert sections((tmp_path / "none.aec").read_bytes()) == {}
    assert codec.decode(tmp_path / "again.aec").info["cicp"] == hdr.PQ


@pytest.mark.parametrize("cicp", [(9, 16, 9, 1), (9, 16, 0, 2), (9, 16, 0), (9, 256, 0, 1), (-1, 16, 0, 1)])
def test_values_that_no_file_can_hold_are_refused(cicp):
    with pytest.raises(ValueError, match=r"cicp .*: allowed are \(0..255, 0..255, 0, 0\|1\)"):
        codec.encode(RGB, metadata=Metadata(cicp=cicp))


@given(
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.just(0), st.integers(0, 1)) | st.none(),
    st.sampled_from([None, PROFILE, MADE]),
    st.integers(1, 15) | st.none(),
    st.sampled_from([(1, 1), (1, 1, 3)]),
    st.sampled_from([np.uint8, np.uint16]),
)
def test_any_colour_comes_back_as_it_was_settled(cicp, icc, bits, shape, dtype):
    gray, depth = len(shape) == 2, 8 * np.dtype(dtype).itemsize
    metadata = Metadata(icc=icc, cicp=cicp, bits=bits)
    data = codec.encode(np.zeros(shape, dtype), lossless=True, metadata=metadata)
    found = codec.read_metadata(data)
    assert found == code_points.settled(metadata, gray, depth) == code_points.settled(found, gray, depth)
    assert found.bits == (bits if bits and bits < depth else None)
    if found.cicp:
        assert found.cicp in (cicp, hdr.PQ)  # PQ is what the profile's tag says
    else:
        assert found.icc == icc

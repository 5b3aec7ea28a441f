"""TIFF files: the fields decide what samples mean, and which of several images is the picture."""

import io
import struct

import numpy as np
import photos
import pytest
import tiffs
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import codec
from codec.given import open_picture
from codec.io import InputError
from codec.picture.pixels import read_file, to_pixels
from codec.picture.samples import to_numpy

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8


def ranged(values: np.ndarray, bits: int) -> np.ndarray:
    """Integers of so many bits over the whole range of 8 or, of more than 8, of 16 bits."""
    full = 255 if bits <= 8 else 65535
    return np.floor(values * (full / (2**bits - 1)) + 0.5).astype(np.uint8 if bits <= 8 else np.uint16)


def noise(height: int, width: int, samples: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**bits, (height, width, samples))


def rgb(height: int = 6, width: int = 9, **fields) -> dict:
    return tiffs.picture(noise(height, width, 3, 8), 8, RGB, **fields)


def kept(data: bytes) -> np.ndarray:
    """What a lossless way through aec gives."""
    return codec.decode(codec.encode(open_picture(data), lossless=True), output="numpy")


# ------------------------------------------------------------------ what samples mean


@settings(max_examples=250)
@given(st.data())
def test_samples_of_any_layout_are_read_as_their_fields_say(data):
    draw = data.draw
    bits, photometric = draw(st.integers(1, 16)), draw(st.sampled_from([WHITE_IS_ZERO, BLACK_IS_ZERO, RGB]))
    extra = draw(st.sampled_from([None, 2]))
    colours = 3 if photometric == RGB else 1
    compression = draw(st.sampled_from([tiffs.NONE, tiffs.LZW, tiffs.DEFLATE, tiffs.PACKBITS]))
    predictor = draw(st.sampled_from([1, 2])) if compression in (5, 8) and bits in (8, 16) else 1
    values = noise(draw(st.integers(1, 40)), draw(st.integers(1, 40)), colours + (extra is not None), bits)
    order, big = draw(st.sampled_from("<>")), draw(st.booleans())
    directory = tiffs.picture(
        values,
        bits,
        photometric,
        order=order,
        compression=compression,
        predictor=predictor,
        planar=draw(st.sampled_from([1, 2])),
        fill=draw(st.sampled_from([1, 2])),
        rows=draw(st.integers(1, values.shape[0])),
        tile=draw(st.sampled_from([None, (16, 16), (32, 16)])),
        extra=extra,
    )
    expected = ranged(values, bits)
    if photometric == WHITE_IS_ZERO:
        expected[..., 0] = ranged(2**bits - 1 - values[..., 0], bits)
    found, _ = read_file(tiffs.file(directory, order=order, big=big))
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


@pytest.mark.parametrize("bits", range(1, 17))
def test_what_was_given_can_be_had_back_from_the_whole_range(bits):
    values = np.arange(2**bits).reshape(1, -1, 1)[:, :65535]
    found, _ = read_file(tiffs.file(tiffs.picture(values, bits, BLACK_IS_ZERO)))
    assert np.array_equal(found >> (8 * found.itemsize - bits), values)


@pytest.mark.parametrize("photometric", [BLACK_IS_ZERO, RGB])
@pytest.mark.parametrize("bits", [8, 16])
def test_premultiplied_alpha_is_divided_out_at_full_precision(bits, photometric):
    values = noise(8, 8, 4 if photometric == RGB else 2, bits)
    values[0, 0, -1], values[0, 1, -1] = 0, 2**bits - 1
    found, _ = read_file(tiffs.file(tiffs.picture(values, bits, photometric, extra=1)))
    alpha, top = values[..., -1:], 2**bits - 1
    right = np.minimum(values[..., :-1] * top // np.maximum(alpha, 1), top)
    assert np.array_equal(found[..., -1:], alpha)
    assert np.abs(found[..., :-1].astype(int) - right)[alpha[..., 0] > 0].max() <= 1


@pytest.mark.parametrize(("spread", "dtype"), [(257, np.uint8), (256, np.uint8), (1, np.uint8), (251, np.uint16)])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_are_expanded_to_as_many_bits_as_their_colours_have(bits, spread, dtype):
    values, colours = noise(9, 13, 1, bits), noise(3, 2**bits, 1, 8)[..., 0] | 1
    directory = tiffs.picture(values, bits, PALETTE, more={320: (3, (colours * spread).ravel().tolist())})
    found, _ = read_file(tiffs.file(directory))
    right = (colours * spread if dtype == np.uint16 else colours)[:, values[..., 0]].transpose(1, 2, 0)
    assert found.dtype == dtype and np.array_equal(found, right)


def test_cmyk_with_a_predictor_and_in_planes_becomes_srgb():
    values = np.array(Image.fromarray(photos.photo(20, 30)).convert("CMYK"))
    right = np.array(Image.fromarray(photos.photo(20, 30)).convert("CMYK").convert("RGB"))
    for fields in ({}, {"planar": 2}, {"compression": tiffs.LZW, "predictor": 2}):
        found, metadata = read_file(
            tiffs.file(tiffs.picture(values, 8, CMYK, **fields, more={34675: (7, b"no profile")}))
        )
        assert np.array_equal(found, right) and metadata.icc is None


def test_lab_and_jpeg_are_left_to_pillow():
    image = Image.fromarray(photos.photo(24, 40) // 2 + 60)
    srgb = ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(image, srgb, ImageCms.createProfile("LAB"), outputMode="LAB")
    for picture, options, most in ((lab, {}, 6), (image, {"compression": "jpeg", "quality": 100}, 24)):
        file = io.BytesIO()
        picture.save(file, "TIFF", tiffinfo={274: 6}, **options)
        pixels = open_picture(file.getvalue())
        found = np.rot90(pixels.data, 1).astype(int)
        assert np.abs(found - np.asarray(image)).max() <= most


def test_pages_of_fax_and_of_one_bit_are_black_on_white():
    page = np.kron(noise(9, 9, 1, 1)[..., 0], np.ones((4, 4))).astype(bool)
    for compression in (None, "group3", "group4", "tiff_ccitt", "packbits"):
        file = io.BytesIO()
        Image.fromarray(page).save(file, "TIFF", compression=compression)
        assert np.array_equal(kept(file.getvalue()), page * np.uint8(255))


@pytest.mark.parametrize(
    ("bits", "photometric", "samples", "fields", "words"),
    [
        (8, RGB, 3, {"more": {339: (3, [2, 2, 2])}}, "SampleFormat 2, signed"),
        (16, BLACK_IS_ZERO, 1, {"more": {339: (3, [2])}}, "SampleFormat 2, signed"),
        (16, BLACK_IS_ZERO, 1, {"more": {339: (3, [3])}}, "SampleFormat 3, floating"),
        (8, RGB, 3, {"more": {258: (3, [5, 6, 5])}}, r"BitsPerSample \[5, 6, 5\]"),
        (8, BLACK_IS_ZERO, 1, {"more": {258: (3, [32])}}, r"BitsPerSample \[32\]"),
        (8, RGB, 4, {"extra": 0}, r"4 samples a pixel, 3 of them colours, with ExtraSamples \[0\]"),
        (8, RGB, 5, {"more": {338: (3, [2, 0])}}, r"5 samples a pixel, 3 .* ExtraSamples \[2, 0\]"),
        (16, RGB, 5, {"planar": 2, "more": {338: (3, [0, 0])}}, "5 samples a pixel, 3"),
        (8, BLACK_IS_ZERO, 2, {}, "2 samples a pixel, 1 .* no ExtraSamples"),
        (8, CMYK, 5, {"extra": 0}, "5 samples a pixel, 4"),
        (8, RGB, 2, {}, "SamplesPerPixel 2"),
        (16, CMYK, 4, {}, "BitsPerSample 16 of CMYK"),
        (8, CMYK, 4, {"more": {332: (3, [2])}}, "InkSet 2"),
        (8, CMYK, 4, {"more": {336: (1, [10, 240])}}, "DotRange"),
        (8, YCBCR, 3, {}, r"YCbCrSubSampling \[2, 2\]"),
        (8, YCBCR, 3, {"more": {530: (3, [1, 1]), 529: (5, [2126, 10**4, 7152, 10**4, 722, 10**4])}}, "YCbCrCoef"),
        (8, YCBCR, 3, {"more": {530: (3, [1, 1]), 532: (5, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1])}}, "Black"),
        (8, 9, 3, {}, "PhotometricInterpretation 9"),
        (8, 4, 1, {}, "PhotometricInterpretation 4"),
        (16, LAB, 3, {}, "16 bits a sample with Compression 1 and PhotometricInterpretation 8"),
        (8, BLACK_IS_ZERO, 1, {"more": {346: (3, [1])}}, "Indexed 1"),
        (8, BLACK_IS_ZERO, 1, {"more": {433: (3, [0, 1])}}, "Decode"),
        (8, RGB, 3, {"compression": 8, "more": {317: (3, [3])}}, "Predictor 3"),
        (8, RGB, 3, {"more": {317: (3, [2])}}, "Predictor 2 with Compression 1"),
        (12, RGB, 3, {"compression": 8, "more": {317: (3, [2])}}, "Predictor 2 at 12 bits"),
        (8, RGB, 3, {"more": {32997: (4, [2])}}, "ImageDepth 2"),
        (8, RGB, 3, {"more": {284: (3, [7])}}, "PlanarConfiguration 7"),
        (8, RGB, 3, {"more": {266: (3, [3])}}, "FillOrder 3"),
        (8, RGB, 3, {"more": {259: (3, [34712])}}, "Compression 34712: allowed are 1, 2, .* 50000"),
        (8, PALETTE, 1, {"more": {320: (3, [1] * 9)}}, "palette of 9 numbers: 768"),
        (8, RGB, 3, {"more": {256: (4, [0])}}, "0x6 pixels"),
        (8, RGB, 3, {"more": {256: (4, [9, 9])}}, "256 has 2 values"),
    ],
)
def test_what_is_not_supported_is_refused_by_the_name_of_its_field(bits, photometric, samples, fields, words):
    data = tiffs.file(tiffs.picture(noise(6, 9, samples, bits), bits, photometric, **fields))
    with pytest.raises(InputError, match=words):
        open_picture(data)
    with pytest.raises(ValueError, match=words):
        read_file(data)


def test_ycbcr_without_subsampling_or_compression_is_read():
    image = Image.fromarray(photos.photo(20, 30)).convert("YCbCr")
    data = tiffs.file(tiffs.picture(np.array(image), 8, YCBCR, more={530: (3, [1, 1])}))
    assert np.array_equal(kept(data), np.array(image.convert("RGB")))


def test_a_picture_whose_samples_pillow_has_misread_already_is_refused():
    for bits, photometric, more in (
        (16, WHITE_IS_ZERO, {}),
        (12, BLACK_IS_ZERO, {}),
        (16, BLACK_IS_ZERO, {339: (3, [2])}),
    ):
        image = Image.open(io.BytesIO(tiffs.file(tiffs.picture(noise(4, 6, 1, bits), bits, photometric, more=more))))
        image.load()
        with pytest.raises(ValueError, match="Pillow has read already"):
            to_pixels(image)
    image = Image.open(io.BytesIO(tiffs.file(tiffs.picture(noise(4, 6, 1, 16), 16, BLACK_IS_ZERO))))
    image.load()
    assert np.array_equal(to_numpy(to_pixels(image)), noise(4, 6, 1, 16)[..., 0])


# ------------------------------------------------------------------ whole, and within limits


@pytest.mark.parametrize("compression", [tiffs.LZW, tiffs.DEFLATE, tiffs.PACKBITS])
@pytest.mark.parametrize("bits", [8, 12])
def test_samples_that_are_missing_are_told_and_not_filled(compression, bits):
    directory = tiffs.picture(noise(40, 40, 3, bits), bits, RGB, compression=compression, rows=20)
    first, second = directory[273][1]
    for n in (1, len(second) // 2, len(second) - 8):
        short = {273: (4, [first, second[:n]]), 279: (4, [len(first), n])}
        with pytest.raises(ValueError, match="cannot read the picture"):
            read_file(tiffs.file(directory | short))


def test_samples_that_reach_beyond_the_file_are_told():
    size = len(tiffs.file(rgb(40, 40)))
    (strip,) = rgb(40, 40)[273][1]
    with pytest.raises(ValueError, match="4790 bytes are missing"):
        read_file(tiffs.file(rgb(40, 40, more={273: (4, [size - len(strip) - 10])})))


def test_lengths_of_strips_count_where_there_are_several():
    whole = rgb(40, 40, rows=10)
    assert kept(tiffs.file({k: v for k, v in whole.items() if k != 279})).shape == (40, 40, 3)
    assert kept(tiffs.file(rgb(40, 40, more={279: (4, [9])}))).shape == (40, 40, 3)
    with pytest.raises(ValueError, match="7 bytes are missing"):
        read_file(tiffs.file(whole | {279: (4, [1200, 1193, 1200, 1200])}))


def test_tiles_that_are_called_strips_are_tiles():
    directory = tiffs.picture(noise(40, 40, 3, 8), 8, RGB, tile=(16, 16))
    directory[273], directory[279] = directory.pop(324), directory.pop(325)
    assert np.array_equal(kept(tiffs.file(directory)), noise(40, 40, 3, 8))


def test_a_strip_or_tile_that_is_not_in_the_file_is_told():
    directory = tiffs.picture(noise(40, 40, 1, 8), 8, BLACK_IS_ZERO, tile=(16, 16))
    for change, words in (
        ({325: (4, [0] * 9)}, "sparse"),
        ({324: (4, [8] * 8)}, "of 8 strips or tiles: .* takes 9"),
        ({324: (4, [8] * 10), 325: (4, [256] * 10)}, "of 10 strips or tiles: .* takes 9"),
    ):
        with pytest.raises(ValueError, match=words):
            read_file(tiffs.file(directory | change))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about what it makes of the damage
@settings(max_examples=200)
@given(
    st.booleans(), st.sampled_from("<>"), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)
)
def test_damaged_files_are_pictures_or_value_errors(big, order, changes):
    values = noise(20, 21, 3, 12)
    directory = tiffs.picture(values, 12, RGB, order=order, compression=8, rows=7, more={700: (1, b"<x/>")})
    data = bytearray(tiffs.file(directory, rgb(4, 4, more={254: (4, [1])}), order=order, big=big))
    for at, value in changes:
        data[-(at % min(len(data), 600)) - 1] = value
    try:
        found, _ = read_file(bytes(data), max_pixels=10**5)
        assert found.size
    except ValueError:
        pass


def test_limits_hold_before_anything_is_allocated():
    for change, error in (({256: (4, [70000])}, "at most 65535"), ({256: (4, [60000]), 257: (4, [60000])}, "pixels")):
        with pytest.raises(codec.LimitError, match=error):
            read_file(tiffs.file(rgb(more=change)))
    with pytest.raises(ValueError, match="directory of 2000 fields"):
        read_file(b"II*\0\x08\0\0\0" + struct.pack("<H", 2000) + bytes(12 * 2000))
    for at in (20, 2**64 - 1):
        with pytest.raises(ValueError, match="beyond the end"):
            read_file(b"II+\0\x08\0\0\0" + struct.pack("<Q", at))
    many = tiffs.file(*[{254: (4, [1])}] * 1100)
    with pytest.raises(ValueError, match="more than 1024 images"):
        read_file(many)


# ------------------------------------------------------------------ metadata and orientation


@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("bits", "big"), [(8, False), (16, False), (16, True)])
def test_the_orientation_is_applied_once_whoever_reads_the_samples(orientation, kind, bits, big):
    values = noise(4, 6, 3, bits)
    xmp = b'<x tiff:Orientation="6"/>'
    more = {274: (3, [orientation]), 271: (2, b"aec\0"), 700: (1, xmp), 34675: (7, b"profile")}
    pixels = open_picture(tiffs.file(tiffs.picture(values, bits, RGB, more=more), big=big))
    file = io.BytesIO()
    Image.fromarray((values >> (bits - 8)).astype(np.uint8)).save(file, "PNG", exif=_exif(orientation))
    assert np.array_equal(pixels.data >> (bits - 8), to_pixels(Image.open(file)).data)
    assert pixels.metadata.icc == b"profile" and b'"1"' in pixels.metadata.xmp and b"aec" in pixels.metadata.exif


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


# ------------------------------------------------------------------ which image is the picture


def small(more: dict | None = None) -> dict:
    return rgb(3, 4, more={254: (4, [1])} | (more or {}))


@pytest.mark.parametrize("big", [False, True])
def test_overviews_are_no_animation(big):
    whole = rgb()
    for files in ((whole, small()), (whole, small(), small()), (small(), whole), (small(), whole, small())):
        data = tiffs.file(*files, big=big)
        assert np.array_equal(kept(data), noise(6, 9, 3, 8))
        if not big:
            assert np.array_equal(to_numpy(to_pixels(Image.open(io.BytesIO(data)))), noise(6, 9, 3, 8))
    assert np.array_equal(kept(tiffs.file(whole, rgb(3, 4, more={255: (3, [2])}), big=big)), noise(6, 9, 3, 8))


def test_overviews_are_no_animation_when_pillow_has_read_the_picture(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiffs.file(rgb(), small()))
    with Image.open(tmp_path / "a.tif") as image:
        image.save(tmp_path / "a.aec", lossless=True)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "a.aec")), noise(6, 9, 3, 8))
        image.seek(1)
        with pytest.raises(ValueError, match="image 1 of a TIFF file of 2, already read"):
            image.save(tmp_path / "b.aec")
    (tmp_path / "a.tif").write_bytes(tiffs.file(small(), rgb()))
    with Image.open(tmp_path / "a.tif") as image, pytest.raises(ValueError, match="first of 2 images"):
        image.save(tmp_path / "b.aec")
    (tmp_path / "a.tif").write_bytes(tiffs.file(rgb(), rgb()))
    with Image.open(tmp_path / "a.tif") as image, pytest.raises(ValueError, match="2 frames"):
        image.save(tmp_path / "b.aec")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_the_picture_is_found_behind_a_preview(order, big):
    whole = tiffs.picture(noise(6, 9, 3, 16), 16, RGB, order=order)
    data = tiffs.file(small(), subs=(small(), whole), order=order, big=big)
    assert np.array_equal(kept(data), noise(6, 9, 3, 16))


def test_a_picture_that_is_called_reduced_but_is_all_there_is_is_the_picture():
    assert kept(tiffs.file(small())).shape == (3, 4, 3)


@pytest.mark.parametrize(
    ("directories", "subs", "words"),
    [
        ([rgb(), rgb()], (), "2 frames, or as many pages"),
        ([small(), rgb(), small(), rgb(), rgb()], (), "3 frames"),
        ([small()], (rgb(), rgb()), "2 frames"),
        ([rgb(3, 4)], (rgb(),), "larger one"),
        ([small()], (rgb(more={262: (3, [32803])}),), "colour filter array"),
        ([rgb(more={262: (3, [34892])})], (), "linear raw"),
        ([small({50706: (1, [1, 4, 0, 0])})], (rgb(),), "DNG"),
        ([rgb(), rgb(more={254: (4, [4])})], (), "transparency mask"),
        ([rgb(), rgb(more={254: (4, [5])})], (), "transparency mask"),
    ],
)
def test_what_has_no_one_picture_is_refused(directories, subs, words):
    data = tiffs.file(*directories, subs=subs)
    with pytest.raises(InputError, match=words):
        open_picture(data)
    with pytest.raises(ValueError, match=words):
        to_pixels(Image.open(io.BytesIO(tiffs.file(rgb(), rgb())))) if words.startswith("2 frames, ") else read_file(
            data
        )

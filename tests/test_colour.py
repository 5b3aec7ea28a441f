"""Colour that a file tells without an ICC profile comes back as one, whichever way it was told."""

import io
import struct
import zlib

import numpy as np
import photos
import pytest
import tiffs
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

import codec
from codec.container.metadata import Metadata
from codec.given import open_picture
from codec.picture import carried, colour, samples16
from codec.picture.samples import to_numpy

RGB = photos.photo(16, 24)
P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray = RGB, *chunks: bytes) -> bytes:
    """A file with more chunks before its pixels."""
    if samples.dtype == np.uint16:
        data = samples16.write_png(samples)
    else:
        file = io.BytesIO()
        Image.fromarray(samples).save(file, "PNG")
        data = file.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def saved(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


def metadata_of(data: bytes, **options) -> Metadata:
    return codec.read_metadata(codec.encode(open_picture(data), lossless=True, **options))


def profile_of(data: bytes, **options) -> bytes | None:
    return metadata_of(data, **options).icc


def tags(profile: bytes) -> dict[bytes, bytes]:
    assert struct.unpack_from(">I", profile)[0] == len(profile) and profile[36:40] == b"acsp"
    found = {}
    for i in range(struct.unpack_from(">I", profile, 128)[0]):
        name, start, length = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        assert start % 4 == 0 and 128 < start <= start + length <= len(profile)
        found[name] = profile[start : start + length]
    return found


def as_srgb(profile: bytes, pixels: np.ndarray) -> np.ndarray:
    """By Little CMS, another reader of profiles than ours."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), source, target, outputMode="RGB"))


def srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(values: tuple[int, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


# ------------------------------------------------------------------ profiles


@settings(max_examples=30, deadline=None)
@given(st.integers(20000, 200000), st.booleans())
def test_a_profile_made_of_gamma_means_the_same_light(gamma, gray):
    codes = np.arange(30, 256, 5, dtype=np.uint8)[None]  # where gray is darker Little CMS rounds too much
    made = colour.of_gamma(gamma / 100000, None, gray)
    if made is None:  # sRGB's own, within what programs write for it
        assert abs(gamma - 45455) < 300
        return
    found = as_srgb(made, codes if gray else np.stack([codes] * 3, 2)).astype(float)
    right = srgb((codes / 255) ** (100000 / gamma))
    assert np.abs(found - right[..., None]).max() < 2


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(-300, 300)] * 6), st.tuples(*[st.integers(0, 255)] * 3))
def test_a_profile_made_of_chromaticities_means_the_same_light(moved, pixel):
    points = (0.3127, 0.3290, *(v + m / 10000 for v, m in zip(colour.SRGB[2:], moved, strict=True)))

    def to_xyz(values):
        xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in zip(values[::2], values[1::2], strict=True)])
        return xyz[1:].T * np.linalg.solve(xyz[1:].T, xyz[0])

    made = colour.of_gamma(1.0, points, False)
    light = np.linalg.inv(to_xyz(colour.SRGB)) @ to_xyz(points) @ (np.array(pixel) / 255)
    found = as_srgb(made, np.array([[pixel]], np.uint8))[0, 0]
    inside = (light > 0.01) & (light < 0.99)  # what sRGB cannot hold is cut in ways of its own
    if ((light > -0.001) & (light < 1.001)).all():
        assert np.abs(found - srgb(light))[inside].max(initial=0) < 2.5


def test_display_p3_has_the_primaries_of_its_known_profile():
    found = tags(colour.of_cicp((12, 13, 0, 1), False))
    known = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for name, xyz in known.items():
        assert np.abs(np.array(struct.unpack(">3i", found[name][8:])) / 65536 - xyz).max() < 2e-4


@pytest.mark.parametrize(
    ("transfer", "codes", "light"),
    [
        (16, (0.508078, 0.580689, 0.751827, 1), (0.01, 0.0203, 0.1, 1)),  # 100, 203, 1000 and 10000 cd/m2: BT.2408
        (18, (0.5, 0.75, 1), (1 / 12, 0.26496, 1)),  # BT.2100
        (1, (0.0405, 0.5, 1), (0.009, 0.2597, 1)),
        (7, (0.5,), ((0.6115 / 1.1115) ** (1 / 0.45),)),
        (9, (0.5,), (0.1,)),
        (4, (0.5,), (0.5**2.2,)),
    ],
)
def test_a_transfer_of_h273_is_the_curve_of_the_profile(transfer, codes, light):
    found = tags(colour.of_cicp((9, transfer, 0, 1), False))
    assert found[b"cicp"] == b"cicp\0\0\0\0" + bytes([9, transfer, 0, 1])
    assert found[b"rTRC"] == found[b"gTRC"] == found[b"bTRC"]
    kind = found[b"rTRC"][:4]
    if kind == b"curv":
        table = np.frombuffer(found[b"rTRC"], ">u2", offset=12) / 65535
        values = np.interp(codes, np.linspace(0, 1, len(table)), table)
    else:
        form, *parameters = struct.unpack(">HH", found[b"rTRC"][8:12])
        parameters = np.frombuffer(found[b"rTRC"], ">i4", offset=12) / 65536
        code = np.array(codes)
        g, a, b, c, d = parameters if form == 3 else (*parameters, 1, 0, 0, 0)
        values = np.where(code >= d, (a * code + b) ** g, c * code)
    assert np.allclose(values, light, rtol=2e-3)


@given(st.tuples(*[st.integers(0, 255)] * 4), st.booleans())
def test_any_code_points_make_a_sound_profile_or_none_or_are_reserved(cicp, gray):
    try:
        made = colour.of_cicp(cicp, gray)
    except ValueError as e:
        assert "H.273" in str(e)
        return
    if made is not None:
        ImageCms.ImageCmsProfile(io.BytesIO(made))
        assert (b"kTRC" if gray else b"cicp") in tags(made)


def test_rgb_of_the_narrow_range_has_black_at_16():
    table = np.frombuffer(tags(colour.of_cicp((9, 16, 0, 0), False))[b"rTRC"], ">u2", offset=12)
    at = np.linspace(0, 255, len(table))
    assert (table[at <= 16] == 0).all() and (table[at >= 235] == 65535).all() and table[at > 100].min() > 0


@given(st.tuples(*[st.integers(0, 2**32 - 1)] * 8), st.integers(0, 2**32 - 1), st.booleans())
def test_nonsense_of_chromaticities_and_gamma_is_no_error(points, gamma, gray):
    made = colour.of_gamma(gamma / 100000, tuple(v / 100000 for v in points), gray)
    assert made is None or tags(made)


# ------------------------------------------------------------------ files


LINEAR_P3 = colour.of_gamma(1.0, tuple(v / 100000 for v in P3), False)
SAYS_SRGB = [
    [],
    [chunk(b"sRGB", b"\0"), gama(45455)],
    [gama(45455), chrm((31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))],
    [gama(45455)],
    [chunk(b"cICP", bytes([1, 13, 0, 1])), gama(100000)],
    [chunk(b"cICP", bytes([2, 2, 0, 1]))],
    [chunk(b"sRGB", b"\0"), gama(100000), chrm(P3)],
    [gama(0)],
]


@pytest.mark.parametrize("chunks", SAYS_SRGB)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_that_says_srgb_needs_no_profile(chunks, channels):
    samples = np.dstack([RGB, RGB[..., :1]])[..., :channels].squeeze()
    assert profile_of(png(samples, *chunks)) is None


@pytest.mark.parametrize("shape", [(), (3,), (4,), (2,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_colour_becomes_a_profile_for_its_channels(shape, dtype):
    samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (9, 11, *shape)).astype(dtype)
    data = png(samples, gama(100000), chrm(P3))
    gray = shape in ((), (2,))
    right = colour.of_gamma(1.0, None, True) if gray else LINEAR_P3
    assert profile_of(data) == right
    assert np.array_equal(codec.decode(codec.encode(open_picture(data), lossless=True), output="numpy"), samples)
    assert codec.read_metadata(codec.encode(Image.open(io.BytesIO(data)), 50)).icc == right


def test_png_stored_as_it_is_means_the_same_colour():
    data = png(RGB[:2, :2], gama(100000), chrm(P3))
    stored = codec.encode(open_picture(data), source=data)
    assert data in stored  # and no profile beside it
    assert codec.decode(stored).info["icc_profile"] == codec.read_metadata(stored).icc == LINEAR_P3


def test_code_points_of_png_count_more_than_its_profile_and_reserved_ones_less():
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILE))
    pq = bytes([9, 16, 0, 1])
    both = metadata_of(png(RGB, chunk(b"cICP", pq), profile))  # FORMAT §2: the code points count then
    assert (both.icc, both.cicp) == (PROFILE, tuple(pq))
    for nothing in (bytes([3, 16, 0, 1]), bytes([2, 2, 0, 1])):
        alone = metadata_of(png(RGB, chunk(b"cICP", nothing), profile))
        assert (alone.icc, alone.cicp) == (PROFILE, None)
    opened = Image.open(io.BytesIO(png(RGB, chunk(b"cICP", pq))))  # by Pillow, which knows no cICP
    assert carried.of(codec.decode(codec.encode(opened, 50))).icc == colour.of_cicp(tuple(pq), False)


@pytest.mark.parametrize("code_points", [(9, 16), (9, 18), (12, 13), (1, 13), (2, 2), (1, 1)])
def test_nclx_of_avif_becomes_a_profile(code_points):
    data = saved("AVIF", quality=90)
    at = data.index(b"colrnclx") + 8
    data = data[:at] + struct.pack(">HH", *code_points) + data[at + 4 :]
    plain = code_points in ((1, 13), (2, 2))
    right = None if plain else colour.of_cicp((*code_points, 0, 1), False)
    assert profile_of(data) == right
    assert codec.read_metadata(codec.encode(Image.open(io.BytesIO(data)), 50)).icc == right


def test_a_profile_of_avif_counts_more_than_its_nclx():
    data = saved("AVIF", icc_profile=PROFILE)
    assert profile_of(data.replace(b"colrnclx\0\1\0\r", b"colrnclx\0\x09\0\x10")) == PROFILE


def test_nclx_as_pillow_heif_tells_it_becomes_a_profile():
    image = Image.fromarray(RGB)
    image.info["nclx_profile"] = {"color_primaries": 9, "transfer_characteristics": 16, "matrix_coefficients": 9}
    assert carried.of(image).icc == colour.of_cicp((9, 16, 0, 1), False)


def test_tiff_tags_of_colour_become_a_profile():
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    ifd[318], ifd[319] = (0.3127, 0.329), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    ifd.tagtype[318] = ifd.tagtype[319] = 5
    assert profile_of(saved("TIFF", tiffinfo=ifd)) == colour.of_gamma(None, [v / 100000 for v in P3], False)
    ifd[301] = tuple(257 * i for i in range(256)) * 3
    ifd.tagtype[301] = 3
    found = tags(profile_of(saved("TIFF", tiffinfo=ifd)))
    assert np.frombuffer(found[b"gTRC"], ">u2", offset=12).tolist() == [257 * i for i in range(256)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_the_curve_of_a_gray_tiff_file_is_of_the_samples_as_they_come_out(order, big, bits, photometric):
    values = np.arange(2**bits)[None, :300, None]
    curve = (65535 * (np.arange(2**bits) / (2**bits - 1)) ** 3).astype(int)
    fields = {301: (3, (curve[::-1] if photometric == 0 else curve).tolist())}
    data = tiffs.file(tiffs.picture(values, bits, photometric, order=order, more=fields), order=order, big=big)
    found = tags(profile_of(data))
    assert np.array_equal(np.frombuffer(found[b"kTRC"], ">u2", offset=12), curve)


@pytest.mark.parametrize("fields", [{318: (5, [1, 0, 1, 3])}, {319: (5, [1, 0] * 6)}, {301: (3, [7])}])
def test_fields_of_colour_that_say_nothing_cost_no_tiff_picture(fields):
    data = tiffs.file(tiffs.picture(RGB, 8, 2, more=fields))
    assert profile_of(data) is None and np.array_equal(to_numpy(open_picture(data)), RGB)


def bmp(kind: bytes, points: tuple[float, ...] = (), gamma: float = 0, profile: bytes = b"") -> bytes:
    """Of version 5, with a profile behind its pixels."""
    rows = RGB[::-1, :, ::-1].tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, 24, 16, 1, 24, 0, len(rows), 0, 0, 0, 0) + bytes(16) + kind
    head += struct.pack("<9i", *(round(v * 2**30) for v in points or [0] * 9)) + 3 * struct.pack(
        "<I", round(gamma * 65536)
    )
    head += struct.pack("<IIII", 0, 124 + len(rows), len(profile), 0)
    return struct.pack("<2sIHHI", b"BM", 138 + len(rows) + len(profile), 0, 0, 138) + head + rows + profile


def test_bmp_colour_becomes_a_profile():
    assert profile_of(bmp(b"DEBM", profile=PROFILE)) == PROFILE
    assert profile_of(bmp(b"BGRs")) is None
    assert profile_of(bmp(bytes(4))) is None  # which names no points
    xyz = np.array(
        [[0.4865709, 0.2289746, 0], [0.2656677, 0.6917385, 0.0451134], [0.1982173, 0.0792869, 1.0439444]]
    )  # P3
    made, right = (tags(p) for p in (profile_of(bmp(bytes(4), tuple(xyz.ravel()), 1.0)), LINEAR_P3))
    for name in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC"):
        assert np.abs(np.frombuffer(made[name], ">i4", 1, 12) - np.frombuffer(right[name], ">i4", 1, 12)).max() < 30


def test_a_profile_of_jpeg_2000_is_kept():
    data = saved("JPEG2000")
    at = data.index(b"colr") - 4
    length = struct.unpack_from(">I", data, at)[0]
    box = struct.pack(">I", 11 + len(PROFILE)) + b"colr\2\0\0" + PROFILE
    jp2h = data.index(b"jp2h") - 4
    whole = struct.unpack_from(">I", data, jp2h)[0] - length + len(box)
    data = data[:jp2h] + struct.pack(">I", whole) + data[jp2h + 4 : at] + box + data[at + length :]
    assert profile_of(data) == PROFILE

"""What becomes of pictures of every kind, on the way in and on the way out."""

import io
import struct
import tracemalloc

import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

import codec
from codec.coding.tile_input import tile_input
from codec.container.format import Tile
from codec.container.metadata import Metadata
from codec.given import open_picture
from codec.picture import samples16
from codec.picture.pixels import CONVERTED, to_pixels
from codec.picture.samples import aligned, box_means, to_numpy

CPU = torch.device("cpu")


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def samples(image) -> np.ndarray:
    return to_numpy(to_pixels(image))


def masked(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, 4] with every kind of alpha: 0, in between, 255."""
    y, x = np.mgrid[:height, :width]
    alpha = np.clip(1400 * np.hypot(y - height / 2, x - width / 2) / (height + width) - 120, 0, 255).astype(np.uint8)
    return np.dstack([photos.photo(height, width, seed), alpha])


# ------------------------------------------------------------------ containers of pixels


@pytest.mark.parametrize("size", [(48, 80), (33, 31), (1, 5), (7, 1)])
def test_same_bytes_whatever_holds_the_pixels(size):
    rgb = photos.photo(*size)
    held = {
        "numpy": rgb,
        "pil": Image.fromarray(rgb),
        "torch": torch.from_numpy(rgb).permute(2, 0, 1).contiguous(),
        "torch view": torch.from_numpy(rgb).permute(2, 0, 1),
        "strided numpy": np.repeat(np.repeat(rgb, 2, 0), 3, 1)[::2, ::3],
        "mirrored twice": np.ascontiguousarray(rgb[::-1, ::-1])[::-1, ::-1],
        "fortran": np.asfortranarray(rgb),
        "strided torch": torch.from_numpy(rgb).permute(2, 0, 1).repeat_interleave(2, 2)[:, :, ::2],
        "bgr back": np.ascontiguousarray(rgb[..., ::-1])[..., ::-1],
    }
    data = {name: codec.encode(image, 60) for name, image in held.items()}
    assert {name for name, d in data.items() if d != data["pil"]} == set()


@pytest.mark.parametrize("size", [(40, 72), (1, 1), (65, 3)])
def test_same_bytes_whatever_holds_gray_pixels(size):
    gray = photos.photo(*size)[..., 1]
    held = [
        np.ascontiguousarray(gray),
        gray,  # every third byte
        Image.fromarray(gray),
        torch.from_numpy(gray.copy())[None],
        np.ascontiguousarray(gray[:, ::-1])[:, ::-1],
    ]
    data = [codec.encode(image, 60) for image in held]
    assert len(set(data)) == 1
    assert codec.inspect(data[0]).gray


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_same_bytes_whatever_holds_pixels_with_alpha(dtype, options):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 4)).astype(dtype)
    held = {
        "numpy": array,
        "fortran": np.asfortranarray(array),
        "transposed": np.ascontiguousarray(array.swapaxes(0, 1)).swapaxes(0, 1),
        "mirrored twice": np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
        "torch": torch.from_numpy(array).permute(2, 0, 1).contiguous(),
    }
    data = {name: codec.encode(image, **options) for name, image in held.items()}
    assert {name for name, d in data.items() if d != data["numpy"]} == set()


class ByArray:
    """An array of a library that numpy knows nothing of but this."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


class ByDlpack:
    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OnGpu(ByDlpack):
    """As cupy has them: neither way leads to the CPU."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


@settings(max_examples=30)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([None, 1, 2, 3, 4]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    held=st.sampled_from([ByArray, ByDlpack]),
    strided=st.booleans(),
)
def test_arrays_of_any_library_are_taken_as_numpy_s_are(height, width, channels, dtype, held, strided):
    shape = (height, width * (1 + strided)) + ((channels,) if channels else ())
    array = np.random.default_rng(height).integers(0, np.iinfo(dtype).max, shape).astype(dtype)[:, :: 1 + strided]
    assert np.array_equal(to_numpy(to_pixels(held(array))), to_numpy(to_pixels(array)))


def test_read_only_pixels_are_accepted_and_never_written():
    rgb = photos.photo(30, 40)
    frozen = rgb.copy()
    frozen.flags.writeable = False
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)
    assert codec.encode(frozen, 50) == codec.encode(tensor, 50)
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), rgb)
    assert np.array_equal(frozen, rgb)


@pytest.mark.parametrize("gray", [False, True])
def test_outputs_hold_the_same_pixels(gray):
    image = photos.photo(37, 50)
    data = codec.encode(image[..., 0] if gray else image)
    pil, array, tensor = (codec.decode(data, output=o) for o in ("pil", "numpy", "torch"))
    assert pil.mode == ("L" if gray else "RGB") and pil.size == (50, 37)
    assert array.dtype == np.uint8 and array.shape == ((37, 50) if gray else (37, 50, 3))
    assert tensor.dtype == torch.uint8 and tensor.shape == (1 if gray else 3, 37, 50)
    assert np.array_equal(np.array(pil), array)
    assert np.array_equal(tensor[0].numpy() if gray else tensor.permute(1, 2, 0).numpy(), array)
    array[0] = 0  # the caller's own: writable


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_of_one_to_four_channels_come_in_as_they_are(channels, dtype):
    array = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(dtype) * (
        257 if dtype == np.uint16 else 1
    )
    pixels = to_pixels(array)
    assert (pixels.gray, pixels.depth) == (channels < 3, 8 * array.itemsize)
    assert (pixels.alpha is not None) == (channels in (2, 4))
    assert np.array_equal(to_numpy(pixels).reshape(array.shape), array)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    held = [tensor, tensor.contiguous(), array.astype(array.dtype.newbyteorder()), array[::-1, ::-1].copy()[::-1, ::-1]]
    for same in map(samples, held):
        assert same.flags.c_contiguous and np.array_equal(same, to_numpy(pixels))


# ------------------------------------------------------------------ modes of PIL images


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_other_opaque_modes_are_converted_as_pillow_does(mode):
    image = Image.fromarray(photos.photo(24, 40)).convert(mode)
    assert np.array_equal(samples(image), np.array(image.convert(CONVERTED[mode])))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa"])
def test_modes_with_alpha_keep_it(mode):
    image = Image.fromarray(masked(24, 40))
    image = image.convert("LA").convert("La") if mode == "La" else image.convert(mode)
    expected = np.array(image.convert("LA" if mode in ("LA", "La") else "RGBA"))
    assert np.array_equal(samples(image), expected)
    assert expected[..., -1].min() == 0 and expected[..., -1].max() == 255


def test_transparent_colours_of_palettes_and_of_opaque_modes_become_alpha():
    palette = Image.fromarray(photos.photo(24, 40)).quantize(16)
    palette.info["transparency"] = bytes([0, 128, 255])
    rgb = Image.fromarray(photos.photo(24, 40))
    rgb.info["transparency"] = rgb.getpixel((3, 4))
    gray = rgb.convert("L")
    gray.info["transparency"] = gray.getpixel((3, 4))
    for image in (palette, rgb, gray):
        expected = np.array(image.convert("LA" if image.mode == "L" else "RGBA"))
        assert 0 < (expected[..., -1] == 0).sum() < expected[..., -1].size
        assert np.array_equal(samples(image), expected)
    deep_gray = opened(saved(Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4)), "PNG", transparency=7))
    assert samples(deep_gray)[..., 1].tolist() == [[65535] * 4, [65535, 65535, 65535, 0], [65535] * 4]


def test_cmyk_is_converted_by_its_profile_which_is_used_up():
    rgb = Image.fromarray(photos.photo(24, 40))
    plain = rgb.convert("CMYK")
    broken = opened(saved(plain, "JPEG", quality=100, icc_profile=b"no profile"))
    of_rgb = opened(saved(plain, "JPEG", quality=100, icc_profile=ImageCms.ImageCmsProfile(srgb()).tobytes()))
    for image in (broken, of_rgb):
        assert to_pixels(image).metadata == Metadata()
        assert np.array_equal(samples(image), np.array(image.convert("RGB")))


def srgb() -> ImageCms.core.CmsProfile:
    return ImageCms.createProfile("sRGB")


def test_lab_becomes_srgb():
    rgb = Image.fromarray(photos.photo(24, 40) // 2 + 60)  # within the gamut
    lab = ImageCms.profileToProfile(rgb, srgb(), ImageCms.createProfile("LAB"), outputMode="LAB")
    assert np.abs(samples(lab).astype(int) - np.array(rgb)).max() <= 6


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_opaque_alpha_channel_is_dropped(mode):
    image = Image.fromarray(photos.photo(16, 24)).convert(mode)
    with_alpha = image.copy()
    with_alpha.putalpha(255)
    assert with_alpha.mode == mode + "A"
    assert codec.encode(with_alpha) == codec.encode(image)


@pytest.mark.parametrize("bits", [0, 8])
@pytest.mark.parametrize("kind", [None, 0, 1, 2, 3, 4])
def test_the_fourth_channel_of_a_tga_file_is_what_it_says(bits, kind):
    bgra = masked(20, 24)[..., [2, 1, 0, 3]]
    colours, alpha = bgra[..., 2::-1], bgra[..., 3]
    data = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 24, 20, 32, 0x20 | bits) + bgra.tobytes()
    if kind is not None:  # the extension area, and the footer that names it
        at = len(data)
        data += struct.pack("<H492xB", 495, kind) + struct.pack("<II", at, 0) + b"TRUEVISION-XFILE.\0"
    found = samples(opened(data))
    if kind in (3, 4) or kind is None and bits:
        assert np.array_equal(found[..., 3], alpha)
        if kind != 4:
            assert np.array_equal(found[..., :3], colours)
        else:
            right = np.minimum(255, colours.astype(int) * 255 // np.maximum(alpha[..., None], 1))
            assert np.abs(found[..., :3] - right)[alpha > 0].max() <= 1
    else:
        assert np.array_equal(found, colours)


def test_bits_that_are_set_in_an_xbm_file_are_black():
    """As all other programs show it; Pillow shows the negative."""
    data = b"#define a_width 8\n#define a_height 2\nstatic char a_bits[] = {\n0x01, 0xfe, };\n"
    expected = [[0, *[255] * 7], [255, *[0] * 7]]
    assert samples(open_picture(data)).tolist() == expected
    with Image.open(io.BytesIO(data)) as image:  # of Pillow's images aec takes what Pillow says, loaded or not
        for _ in range(2):
            assert (255 - samples(to_pixels(image))).tolist() == expected
            image.load()


# ------------------------------------------------------------------ alpha


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_comes_back_as_it_was_and_outputs_agree(dtype, channels):
    array = masked(60, 50)[..., 4 - channels :].astype(dtype) * (257 if dtype == np.uint16 else 1)
    data = codec.encode(array, 60)
    assert codec.inspect(data).alpha and not codec.inspect(data).stored
    back, tensor = codec.decode(data, output="numpy"), codec.decode(data, output="torch")
    assert back.dtype == dtype and np.array_equal(back[..., -1], array[..., -1])
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), back)
    pil = codec.decode(data, depth=8)
    assert pil.mode == ("RGBA" if channels == 4 else "LA") and pil.size == (50, 60)


def test_colours_under_alpha_0_cost_nothing():
    """Whatever hides there, the file is the same, and hardly larger than one of the visible part alone."""
    array = masked(128, 128)
    array[..., 3] = np.where(array[..., 3] < 100, 0, 255)
    hidden = array[..., 3] == 0
    files = []
    for what in (0, 255, np.random.default_rng(0).integers(0, 256, (hidden.sum(), 3))):
        array[hidden, :3] = what
        files.append(codec.encode(array, 75))
    assert len(set(files)) == 1
    assert 0.2 < hidden.mean() < 0.8
    flattened = np.where(hidden[..., None], 255, array[..., :3]).astype(np.uint8)
    assert len(files[0]) < len(codec.encode(flattened, 75))
    noisy = codec.encode(array[..., :3], 75)
    assert len(files[0]) < 0.6 * len(noisy)


def test_less_alpha_quality_costs_less_and_fewer_levels_come_back():
    array = masked(96, 96)
    array[..., 3] = np.clip(array[..., 3] + np.random.default_rng(0).normal(0, 9, (96, 96)), 0, 255)
    lengths, errors = [], []
    for alpha_quality in (100, 60, 0):
        data = codec.encode(array, 40, alpha_quality=alpha_quality)
        lengths.append(len(data))
        errors.append(np.abs(codec.decode(data, output="numpy")[..., 3].astype(int) - array[..., 3]).mean())
    assert lengths[0] > lengths[1] > lengths[2] and errors[0] == 0 < errors[1] < errors[2]


def test_fill_leaves_known_pixels_alone_and_is_smooth_elsewhere():
    array = masked(64, 64)
    array[:, 32:, 3] = 0
    array[:, :32, 3] = 9
    array[:, 32:, :3] = np.random.default_rng(0).integers(0, 256, (64, 32, 3))
    x = tile_input(to_pixels(array), Tile(0, 0, 64, 64))
    assert np.array_equal(x[:, :32], 32 * array[:, :32, :3].astype(np.int16) - 4080)
    assert np.abs(x[:, 33:] - x[:, 32:-1]).mean() < 0.02 * 8160
    array[..., 3] = 0
    assert not tile_input(to_pixels(array), Tile(0, 0, 64, 64)).any()


# ------------------------------------------------------------------ regions and scales of what no network makes


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 2, 4, 8]), st.data())
def test_shrunk_is_the_mean_of_whole_squares(height, width, shrink, data):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Tile(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    array = np.random.default_rng(0).integers(0, 65536, (height, width, 1), dtype=np.uint16)
    wide = aligned(region, shrink, width, height)
    part = array[wide.y : wide.y + wide.height, wide.x : wide.x + wide.width]
    rows = range(y // shrink, -(-(y + region.height) // shrink))
    columns = range(x // shrink, -(-(x + region.width) // shrink))
    expected = [
        [array[i * shrink : (i + 1) * shrink, j * shrink : (j + 1) * shrink].mean() for j in columns] for i in rows
    ]
    assert np.array_equal(box_means(part, shrink)[..., 0], np.rint(expected))


def test_what_cannot_be_seen_does_not_darken_the_edges_of_a_smaller_picture():
    disc = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(disc).ellipse((5, 5, 58, 58), fill=(255, 40, 40, 255))
    small = codec.decode(codec.encode(disc, lossless=True), scale=1 / 8, output="numpy")
    assert np.array_equal(small[..., 3], np.asarray(disc.reduce(8))[..., 3]) and 0 < small[0, 2, 3] < 255
    assert (small[small[..., 3] > 0, :3] == (255, 40, 40)).all()


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("scale", [1, 1 / 2, 1 / 4, 1 / 8])
def test_a_region_is_the_same_part_of_the_whole(lossless, scale):
    array, shrink = masked(90, 75), round(1 / scale)
    data = codec.encode(array, None if lossless else 50, lossless=lossless)
    assert codec.inspect(data).by_network != lossless
    whole = codec.decode(data, output="numpy", scale=scale)
    assert whole.shape == (-(-90 // shrink), -(-75 // shrink), 4)
    for x, y, width, height in ((0, 0, 75, 90), (3, 5, 40, 17), (74, 89, 1, 1), (64, 0, 11, 90)):
        part = codec.decode(data, output="numpy", scale=scale, region=(x, y, width, height))
        rows = slice(y // shrink, -(-(y + height) // shrink))
        columns = slice(x // shrink, -(-(x + width) // shrink))
        difference = np.abs(part.astype(int) - whole[rows, columns])
        assert difference[..., 3].max() == 0 and difference.max() <= (0 if lossless else 1)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), TypeError, "float32"),
        (np.zeros((4, 4), bool), TypeError, "bool"),
        (np.zeros((4, 4, 3), np.int8), TypeError, "int8"),
        (np.zeros((4, 4, 5), np.uint8), ValueError, r"\[4, 4, 5\]"),
        (np.zeros((4, 4, 0), np.uint8), ValueError, r"\[4, 4, 0\]"),
        (np.zeros((4, 4), np.float64), TypeError, "float64"),
        (torch.zeros(5, 4, 3, dtype=torch.uint8), ValueError, r"\[5, 4, 3\]"),
        (torch.zeros(3, 4, 4, dtype=torch.float16), TypeError, "float16"),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError, r"\[1, 4, 4, 3\]"),
        (np.zeros(12, np.uint8), ValueError, r"\[12\]"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "4x0"),
        (np.zeros((4, 0), np.uint8), ValueError, "0x4"),
        (torch.zeros(3, 4, 4), TypeError, "float32"),
        (torch.zeros(3, 4, 4, dtype=torch.int16), TypeError, "int16"),
        (torch.zeros(4, 4, dtype=torch.uint8), ValueError, r"\[4, 4\]"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), ValueError, r"\[1, 3, 4, 4\]"),
        (torch.zeros(3, 0, 4, dtype=torch.uint8), ValueError, "4x0"),
        (Image.new("F", (4, 4)), ValueError, "mode F "),
        (Image.new("RGB", (0, 4)), ValueError, "0x4"),
        (ByArray(np.zeros((4, 4, 3), np.float32)), TypeError, "ByArray image of dtype float32"),
        (ByDlpack(np.zeros((3, 4, 4), np.uint8)[..., None]), ValueError, r"ByDlpack image of shape \[3, 4, 4, 1\]"),
        (OnGpu(np.zeros((4, 4), np.uint8)), TypeError, "type OnGpu: numpy cannot read it: Implicit conversion"),
        (b"bytes", TypeError, "bytes"),
        ("name.png", TypeError, "str"),
        (None, TypeError, "NoneType"),
        ([[1, 2]], TypeError, "list"),
    ],
)
def test_pictures_that_cannot_be_kept_are_refused_by_name(image, error, words):
    with pytest.raises(error, match=words) as caught:
        codec.encode(image)
    assert type(caught.value) is error


def test_bitmaps_of_5_6_and_5_bits_are_no_16_bit_pictures():
    head = struct.pack("<IiiHHIIiiII", 40, 2, -1, 1, 16, 3, 4, 0, 0, 0, 0) + struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    bmp = b"BM" + struct.pack("<IHHI", 14 + len(head) + 4, 0, 0, 14 + len(head)) + head + b"\x00\xf8\xe0\x07"
    assert samples(opened(bmp)).tolist() == [[[255, 0, 0], [0, 255, 0]]]


@pytest.mark.parametrize("shape", [(70000, 2, 3), (2, 70000, 3), (30000, 30000, 3), (70000, 2), (30000, 30000)])
def test_what_is_too_large_is_refused_before_anything_of_it_is_copied(shape):
    none = np.lib.stride_tricks.as_strided(np.zeros(1, ">u2"), shape, (0,) * len(shape))  # a copy has the other order
    tensor = torch.zeros(1, dtype=torch.uint8).expand(shape[2] if len(shape) == 3 else 1, *shape[:2])
    tracemalloc.start()
    for image in (none, tensor):
        with pytest.raises(codec.LimitError, match="at most"):
            to_pixels(image)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_damaged_file_that_was_only_opened_is_a_value_error():
    for data in (samples16.write_png(np.zeros((40, 40, 3), np.uint16)), saved(Image.new("RGB", (40, 40)), "PNG")):
        at = data.index(b"IDAT") + 8
        with pytest.raises(ValueError, match="a PNG file with samples whose checksum"):
            to_pixels(opened(data[:at] + b"\xff" * 9 + data[at + 9 :]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_picture_whose_file_was_closed_unread_is_told_so(kind):
    image = opened(saved(Image.new("RGB", (20, 20)), kind))
    image.close()
    with pytest.raises(ValueError, match="its file was closed before its pixels were read"):
        to_pixels(image)

"""Pictures that others collected because decoders stumble over them: each comes back right, or is refused as it should.

../shared/data/odd holds pictures of the test suites of Pillow, sharp, libpng (PngSuite) and others, not all of them
whole, and some files that are no pictures. What is refused is in a table here, so that neither a new refusal nor a new
acceptance goes unseen.
"""

import io
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image, ImageOps

import codec
from codec.container.metadata import exif_of_resolution
from codec.given import open_picture
from codec.io import InputError
from codec.picture import colour
from codec.picture.samples import Pixels

ODD = photos.ROOT / ".." / "shared" / "data" / "odd"
PATHS = {p.relative_to(ODD).as_posix(): p for p in sorted(ODD.rglob("*")) if p.is_file()}

# Reason, error and what it says, files.
REFUSALS = [
    (
        "no picture",
        InputError,
        "not a picture",
        """formats/LICENSE formats/LICENSE-MIT formats/README.md formats/test.scan formats/test1.icc.txt
        formats/test3.icc formats/test3.icc.txt pngsuite/LICENSE pngsuite/README""",
    ),
    (
        "an animation",
        InputError,
        "animation",
        """formats/advertises_rgba_but_frames_are_rgb.webp formats/anim.webp formats/any-disposal.gif
        formats/border_touching_layers.gif formats/issue_1455_undersized.gif formats/large-gif-anim-combine.gif
        formats/large-gif-anim-full-frame-replace.gif formats/mixed-disposal.gif sharp-fixtures/animated-loop-3.gif
        sharp-fixtures/animated-loop-3.webp sharp-fixtures/big-height.webp sharp-fixtures/rotating-squares.gif
        sharp-fixtures/rotating-squares.webp""",
    ),
    (
        "a header that claims more pixels than are allowed",
        codec.LimitError,
        "at most 65535",
        "formats/Bad_height.bad_bmp formats/Bad_reallybig.bad_bmp formats/Bad_width.bad_bmp",
    ),
    (
        "damaged before the pixels, so that Pillow does not recognise it",
        InputError,
        "not a picture",
        """pngsuite/xc1n0g08.png pngsuite/xc9n2c08.png pngsuite/xcrn0g04.png pngsuite/xd0n2c08.png pngsuite/xd3n2c08.png
        pngsuite/xd9n2c08.png pngsuite/xhdn0g08.png pngsuite/xlfn0g04.png pngsuite/xs1n0g01.png pngsuite/xs2n0g01.png
        pngsuite/xs4n0g01.png pngsuite/xs7n0g01.png""",
    ),
    (
        "damaged",
        InputError,
        "cannot read the picture: .",
        """formats/Bad_badbitcount.bad_bmp formats/Bad_clrsUsed.bad_bmp formats/Bad_pal8oversizepal.bad_bmp
        formats/Bad_shortfile.bad_bmp formats/Bad_unusual_extend_buffer_usage.bad_bmp formats/pal4rlecut.bmp
        pillow-test-images/147af3f1083de4393666b7d99b01b58b_signal_sigsegv_130c531_6155_5136.jp2
        pillow-test-images/crash_1.tif pillow-test-images/crash_2.tif pillow-test-images/string_dimension.tiff
        pngsuite/xcsn0g01.png pngsuite/xdtn0g01.png sharp-fixtures/corrupt-header.jpg
        sharp-fixtures/truncated.jpg sharp-fixtures/truncated.png""",
    ),
    (
        "whole, of a kind that Pillow cannot read: 2, 16 and 32 bits a pixel in unusual layouts",
        InputError,
        "Unsupported BMP",
        """formats/V3_A4_R4_G4_B4.bmp formats/V3_A4_R4_G4_B4_Top_Down.bmp formats/V3_X4_R4_G4_B4.bmp
        formats/V3_X4_R4_G4_B4_Top_Down.bmp formats/pal2.bmp formats/pal2color.bmp formats/rgb16-231.bmp
        formats/rgb32-111110.bmp formats/rgb32bf.bmp formats/rgba16-1924.bmp formats/rgba32-61754.bmp""",
    ),
    (
        "whole, of a kind that Pillow cannot read: 12-bit JPEG",
        InputError,
        "not a picture",
        "formats/testorig12.jpg",
    ),
    (
        "TIFF whose samples are floating point, or more than are colours and alpha, or fewer",
        InputError,
        "SampleFormat 3|5 samples a pixel, 4 of them colours, .*ExtraSamples|SamplesPerPixel 1:",
        """formats/hpredict_cmyk.tiff formats/rgb32f_bw.tiff formats/rgb32f_color.tiff
        pillow-test-images/crash-81154a65438ba5aaeca73fd502fa4850fbde60f8.tif""",
    ),
]
REFUSED = {name: (error, says) for _, error, says, names in REFUSALS for name in names.split()}

pytestmark = [
    pytest.mark.skipif(not PATHS, reason=f"no pictures in {ODD}"),
    pytest.mark.filterwarnings("ignore"),  # Pillow has much to say about these
]


def test_the_table_names_files_that_are_there():
    assert set(REFUSED) - set(PATHS) == set()
    assert sum(len(names.split()) for *_, names in REFUSALS) == len(REFUSED)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_is_refused(name):
    error, says = REFUSED[name]
    with pytest.raises(error) as e:
        codec.encode(open_picture(PATHS[name].read_bytes()), lossless=True)
    assert type(e.value) is error and re.search(says, str(e.value)) and "\n" not in str(e.value)


def test_what_pillow_opens_the_api_refuses_with_a_valueerror():
    foreign = {}
    for name in REFUSED:
        try:
            picture = Image.open(PATHS[name])
        except Exception:  # Pillow's own, and of all kinds
            continue
        try:
            codec.encode(picture, lossless=True)
            foreign[name] = "accepted"
        except ValueError:
            pass
        except Exception as e:
            foreign[name] = repr(e)
    assert foreign == {}


ACCEPTED = sorted(set(PATHS) - set(REFUSED))
ORIENTATION = 0x0112


def opened(name: str) -> Pixels:
    return open_picture(PATHS[name].read_bytes())


def png_kind(name: str) -> tuple[int, int]:
    """Bits a sample and colour type of a PNG file, from its header; 0 of others."""
    data = PATHS[name].read_bytes()
    return (data[24], data[25]) if data.startswith(b"\x89PNG") else (0, 0)


@lru_cache(maxsize=1)
def expected(name: str) -> np.ndarray:
    """What must come back, as Pillow alone makes it: upright, uint8 or uint16 [H, W] or [H, W, 2|3|4].

    Of colours of 16 bits, and gray with alpha, Pillow knows the upper 8: those are what is compared then.
    """
    image = ImageOps.exif_transpose(Image.open(PATHS[name]))
    key = image.info.get("transparency")
    if image.mode == "I;16":
        samples = np.asarray(image)
        return samples if key is None else np.dstack([samples, np.where(samples == key, 0, 65535).astype(np.uint16)])
    if png_kind(name) in ((2, 0), (4, 0)) and key is not None:
        image.info["transparency"] = key * (255 // (2 ** png_kind(name)[0] - 1))  # Pillow scales the samples alone
    gray = image.mode in ("1", "L", "LA") or png_kind(name) == (16, 4)
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    samples = np.asarray(image)
    return samples[..., 0 if image.mode == "RGB" else [0, 3]] if gray else samples


def decoded(data: bytes, name: str, model: str | None = None) -> np.ndarray:
    """What comes back, its upper 8 bits if that is all that is expected."""
    found, want = codec.decode(data, "cpu", model, "numpy"), expected(name)
    assert found.dtype == (np.uint16 if png_kind(name)[0] == 16 else np.uint8)
    assert found.shape == want.shape
    return found if found.dtype == want.dtype else (found >> 8).astype(np.uint8)


@pytest.mark.parametrize("name", ACCEPTED)
def test_comes_back_exactly_if_lossless(name):
    data = codec.encode(opened(name), lossless=True, effort=1)
    assert np.array_equal(decoded(data, name), expected(name))
    picture = Image.open(PATHS[name])
    picture.load()  # PNG has some of it behind the pixels
    if picture.format != "TIFF" and picture.mode != "CMYK":  # their metadata is made anew, and used up
        assert_same_metadata(picture, Image.open(io.BytesIO(data)))


def told_profile(image: Image.Image, gray: bool) -> bytes | None:
    """The file's own, or what PNG's gAMA and cHRM say, unless its sRGB or nothing else does."""
    told = image.info
    if "icc_profile" in told or "srgb" in told:
        return told.get("icc_profile")
    return colour.of_gamma(told.get("gamma"), told.get("chromaticity"), gray)


def assert_same_metadata(before: Image.Image, after: Image.Image) -> None:
    """Byte for byte, but for the orientation, which has become 1."""
    turned = before.getexif().get(ORIENTATION, 1) != 1
    assert after.getexif().get(ORIENTATION, 1) == 1
    profile = after.info.get("icc_profile")
    if before.format in ("BMP", "JPEG2000") and profile:  # of which Pillow tells none
        assert profile in Path(before.filename).read_bytes()
    else:
        assert profile == told_profile(before, Image.getmodebase(after.mode) == "L")
    assert after.info.get("xmp") == before.info.get("xmp")
    blocks = [image.info.get("exif", b"").removeprefix(b"Exif\0\0") for image in (before, after)]
    blocks[0] = blocks[0] or exif_of_resolution(before.info.get("dpi")) or b""
    different = [(a, b) for a, b in zip(*blocks, strict=True) if a != b]
    assert len(different) == turned and all(b == 1 for _, b in different)


@pytest.mark.parametrize("name", ACCEPTED)
def test_comes_back_as_the_kind_of_picture_it_is_if_lossy(name, tiny_model):
    """By a network that has learned nothing, and so is fast: colours are as they may be; all else is exact."""
    model, _ = tiny_model
    found = decoded(codec.encode(opened(name), 75, "cpu", model, effort=1), name, model)
    if found.shape[2:] in ((2,), (4,)):
        assert np.array_equal(found[..., -1], expected(name)[..., -1])


@pytest.mark.parametrize("motif", ["Landscape", "Portrait"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_show_the_same_picture(motif, orientation):
    names = [f"sharp-fixtures/{motif}_{i}.jpg" for i in (1, orientation)]
    assert Image.open(PATHS[names[1]]).getexif()[ORIENTATION] == orientation
    encoded = [codec.encode(opened(name), effort=1) for name in names]
    upright, found = (codec.decode(data, output="numpy", scale=1 / 8) for data in encoded)
    assert photos.psnr(upright, found) > 20  # the number that is drawn into each differs; turned wrongly it is below 15

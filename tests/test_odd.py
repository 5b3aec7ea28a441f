"""Pictures that others collected because decoders stumble over them: each comes back right, or is refused as it should.

../shared/data/odd holds pictures of the test suites of Pillow, sharp, libpng (PngSuite) and others, not all of them
whole, and some files that are no pictures. What is refused is in a table here, so that neither a new refusal nor a new
acceptance goes unseen.
"""

import io
import re
import warnings
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image, ImageOps

import codec
from codec import files, format

ODD = photos.ROOT / ".." / "shared" / "data" / "odd"
PATHS = {p.relative_to(ODD).as_posix(): p for p in sorted(ODD.rglob("*")) if p.is_file()}

# Reason, error and what it says, files.
REFUSALS = [
    (
        "no picture",
        files.InputError,
        "not a picture",
        """formats/LICENSE formats/LICENSE-MIT formats/README.md formats/test.scan formats/test1.icc.txt formats/test3.icc
        formats/test3.icc.txt pngsuite/LICENSE pngsuite/README""",
    ),
    (
        "an animation",
        files.InputError,
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
        files.InputError,
        "not a picture",
        """pillow-test-images/crash-81154a65438ba5aaeca73fd502fa4850fbde60f8.tif pillow-test-images/crash_1.tif
        pillow-test-images/crash_2.tif pngsuite/xc1n0g08.png pngsuite/xc9n2c08.png pngsuite/xcrn0g04.png
        pngsuite/xd0n2c08.png pngsuite/xd3n2c08.png pngsuite/xd9n2c08.png pngsuite/xhdn0g08.png pngsuite/xlfn0g04.png
        pngsuite/xs1n0g01.png pngsuite/xs2n0g01.png pngsuite/xs4n0g01.png pngsuite/xs7n0g01.png""",
    ),
    (
        "damaged",
        files.InputError,
        "cannot read the picture: .",
        """formats/Bad_badbitcount.bad_bmp formats/Bad_clrsUsed.bad_bmp formats/Bad_pal8oversizepal.bad_bmp
        formats/Bad_shortfile.bad_bmp formats/Bad_unusual_extend_buffer_usage.bad_bmp formats/pal4rlecut.bmp
        pillow-test-images/147af3f1083de4393666b7d99b01b58b_signal_sigsegv_130c531_6155_5136.jp2
        pillow-test-images/string_dimension.tiff pngsuite/xdtn0g01.png sharp-fixtures/corrupt-header.jpg
        sharp-fixtures/truncated.jpg sharp-fixtures/truncated.png""",
    ),
    (
        "whole, of a kind that Pillow cannot read: 2, 16 and 32 bits a pixel in unusual layouts",
        files.InputError,
        "Unsupported BMP",
        """formats/V3_A4_R4_G4_B4.bmp formats/V3_A4_R4_G4_B4_Top_Down.bmp formats/V3_X4_R4_G4_B4.bmp
        formats/V3_X4_R4_G4_B4_Top_Down.bmp formats/pal2.bmp formats/pal2color.bmp formats/rgb16-231.bmp
        formats/rgb32-111110.bmp formats/rgb32bf.bmp formats/rgba16-1924.bmp formats/rgba32-61754.bmp""",
    ),
    (
        "whole, of a kind that Pillow cannot read: float TIFF, CMYK TIFF with a predictor, 12-bit JPEG",
        files.InputError,
        "not a picture",
        """formats/hpredict_cmyk.tiff formats/rgb32f_bw.tiff formats/rgb32f_color.tiff formats/testorig12.jpg""",
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
        codec.encode(files.open_picture(PATHS[name].read_bytes()), lossless=True)
    assert type(e.value) is error and re.search(says, str(e.value)) and "\n" not in str(e.value)


ACCEPTED = sorted(set(PATHS) - set(REFUSED))
DEEP_COLOUR = [
    *("formats/basn2c16.png", "formats/basn6a16.png", "sharp-fixtures/16-bit-grey-alpha.png"),
    *("sharp-fixtures/Flag_of_the_Netherlands-16bit.png", "sharp-fixtures/bggn4a16.png", "sharp-fixtures/tbgn2c16.png"),
    *(name for name in PATHS if re.match(r"pngsuite/.*[246].16\.png", name)),
]


def expected(name: str) -> np.ndarray:
    """What must come back, as Pillow alone makes it: upright, uint8 or uint16 [H, W] or [H, W, 2|3|4]."""
    image = ImageOps.exif_transpose(Image.open(PATHS[name]))
    if image.mode == "I;16" and "transparency" not in image.info:
        return np.asarray(image)
    gray = image.mode in ("1", "L", "LA")
    image = image.convert("LA" if gray else "RGBA")
    if image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("L" if gray else "RGB")
    return np.asarray(image)


def with_orientation_1(exif: bytes) -> bytes:
    exif = Image.Exif()
    return exif


@pytest.mark.parametrize("name", sorted(set(ACCEPTED) - set(DEEP_COLOUR)))
def test_comes_back_exactly_if_lossless(name):
    want = expected(name)
    data = codec.encode(files.open_picture(PATHS[name].read_bytes()), lossless=True)
    found = codec.decode(data, output="numpy")
    assert found.dtype == want.dtype and found.shape == want.shape
    opaque = want[..., -1] > 0 if want.shape[2:] in ((2,), (4,)) else np.ones(want.shape[:2], bool)
    assert np.array_equal(found[opaque], want[opaque])

"""Pillow opens, saves and refuses .aec files as it does those of its own plugins."""

import copy
import io
import pickle
import subprocess
import sys

import numpy as np
import photos
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

import codec
from codec.coding import model_search
from codec.container import format
from codec.container.metadata import Metadata
from codec.container.varint import varint
from codec.picture import stored
from codec.picture.pixels import to_pixels
from codec.plugins.pillow import HEADER_BYTES

PHOTO = photos.photo(40, 56)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
ORIENTATION = 0x0112
MADE = {"quality": 75, "model": "eye"}  # what `info` says of how a file was made


def exif_of(orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if orientation:
        exif[ORIENTATION] = orientation
    return exif.tobytes()


def saved(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "AEC", **{"effort": 1, "device": "cpu"} | options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.fixture(scope="module")
def data() -> bytes:
    return saved(Image.fromarray(PHOTO))


@pytest.fixture
def path(data, tmp_path):
    path = tmp_path / "picture.aec"
    path.write_bytes(data)
    return path


# ------------------------------------------------------------------ opening


def test_an_opened_file_can_be_encoded_again_before_its_pixels_are_read(data):
    assert codec.encode(opened(data), 30) == codec.encode(codec.decode(data), 30)


def test_importing_codec_is_enough_and_opening_needs_no_torch(path):
    script = (
        "import sys, codec; from PIL import Image; image = Image.open(sys.argv[1]);"
        "print(image.format, image.mode, image.size, image.get_format_mimetype(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("AEC RGB (56, 40) image/x-aec False\n", "")


def test_opening_reads_the_header_and_loading_the_pixels(data):
    file = io.BytesIO(data)
    image = Image.open(file)
    assert file.tell() == HEADER_BYTES < len(data)
    assert (image.format, image.mode, image.size, image.info) == ("AEC", "RGB", (56, 40), MADE)
    assert np.array_equal(np.asarray(image), codec.decode(data, output="numpy"))


@pytest.mark.parametrize("where", ["path", "str", "file", "bytes"])
def test_opens_whatever_pillow_opens(data, path, where):
    source = {"path": path, "str": str(path), "file": path.open("rb"), "bytes": io.BytesIO(data)}[where]
    image = Image.open(source)
    assert np.array_equal(np.asarray(image), codec.decode(data, output="numpy"))
    if where in ("file", "bytes"):
        assert not source.closed  # the caller's own
        source.close()


def test_a_file_that_comes_in_pieces_is_parsed(data):
    parser = ImageFile.Parser()
    for at in range(0, len(data), 100):
        parser.feed(data[at : at + 100])
        assert at < 100 or parser.image.size == (56, 40)  # what Django asks of an upload
    assert parser.close().tobytes() == codec.decode(data).tobytes()


def test_a_file_that_pillow_opened_is_closed_once_it_is_loaded(path):
    image = Image.open(path)
    file = image.fp
    image.load()
    image.load()
    assert file.closed and image.fp is None


def test_context_manager_closes_the_file(path):
    with Image.open(path) as image:
        file = image.fp
    assert file.closed and image.size == (56, 40)
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_an_opened_picture_can_be_copied_and_pickled(path, data):
    expected = codec.decode(data)
    for twin in (copy.copy, copy.deepcopy, lambda image: pickle.loads(pickle.dumps(image)), Image.Image.copy):
        found = twin(Image.open(path))
        assert found.mode == expected.mode and found.tobytes() == expected.tobytes()
        assert found.getpixel((3, 4)) == expected.getpixel((3, 4))
    writable = Image.open(path)
    writable.putpixel((3, 4), (1, 2, 3))
    assert writable.getpixel((3, 4)) == (1, 2, 3)


def test_the_usual_operations_work(path, data):
    expected = codec.decode(data)
    assert ImageOps.exif_transpose(Image.open(path)).tobytes() == expected.tobytes()
    assert ImageOps.grayscale(Image.open(path)).tobytes() == expected.convert("L").tobytes()
    assert Image.open(path).crop((3, 5, 20, 30)).tobytes() == expected.crop((3, 5, 20, 30)).tobytes()
    assert Image.open(path).resize((20, 20)).tobytes() == expected.resize((20, 20)).tobytes()
    assert Image.open(path).getexif() == {}


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("lossless", [True, False])
def test_mode_is_known_before_the_pixels(mode, lossless):
    ramp = np.add.outer(np.arange(30), np.arange(44))
    if mode == "I;16":
        image = Image.fromarray((ramp * 600).astype(np.uint16))
    else:
        alpha = Image.fromarray((ramp * 3).astype(np.uint8))
        image = Image.fromarray(photos.photo(30, 44)).convert(mode)
        if mode.endswith("A"):
            image.putalpha(alpha)
    data = saved(image, lossless=lossless, **({} if lossless else {"quality": 50}))
    found = opened(data)
    assert found.mode == image.mode == mode
    found.load()
    assert (found.mode, found.size) == (mode, image.size)
    assert found.tobytes() == codec.decode(data).tobytes()
    if lossless:
        assert found.tobytes() == image.tobytes()
    if mode.endswith("A"):
        assert found.getchannel("A").tobytes() == alpha.tobytes()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_for_which_pillow_has_no_mode_are_an_error_that_says_what_to_do(channels):
    deep = np.random.default_rng(0).integers(0, 65536, (16, 20, channels), np.uint16)
    image = opened(codec.encode(deep))
    assert image.size == (20, 16)
    with pytest.raises(OSError, match='output="numpy".*depth=8'):
        image.load()


# ------------------------------------------------------------------ sizes


def claiming(data: bytes, width: int, height: int) -> bytes:
    """A file that says it is of another size."""
    return data[:11] + varint(width) + varint(height) + data[13:]


def test_the_bomb_check_is_pillows_own(data, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478_485)  # its default, which the command line lifts
    with pytest.raises(Image.DecompressionBombError):
        opened(claiming(data, 20000, 20000))
    with pytest.warns(Image.DecompressionBombWarning):
        image = opened(claiming(data, 16384, 8000))
    assert image.size == (16384, 8000)
    with pytest.raises(OSError):  # the claim is seen before anything is allocated for it
        image.load()


def test_pillows_limit_is_the_only_one(data, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    image = opened(claiming(data, 60000, 60000))
    assert image.size == (60000, 60000)
    monkeypatch.setattr(format, "DEFAULT_MAX_PIXELS", 100)
    assert opened(data).load() is not None


@settings(max_examples=60)
@given(
    width=st.integers(1, 300), height=st.integers(1, 300), wanted=st.tuples(st.integers(1, 400), st.integers(1, 400))
)
@example(width=64, height=64, wanted=(8, 8))
def test_draft_chooses_sizes_as_jpegs_does(data, width, height, wanted):
    image, file = opened(claiming(data, 128 + width, 128 + height)), io.BytesIO()
    Image.new("RGB", image.size).save(file, "JPEG")
    jpeg = Image.open(file)
    assert image.draft(None, wanted) == jpeg.draft(None, wanted)
    assert image.size == jpeg.size
    if image.size != (128 + width, 128 + height):
        assert image.draft("L", (1, 1)) is None and image.size == jpeg.size  # once is enough


@pytest.mark.parametrize("side", [100, 33, 12, 5])
def test_thumbnails_are_decoded_small_and_look_the_same(side):
    data = saved(Image.fromarray(photos.photo(130, 190)))
    small, whole = opened(data), opened(data)
    whole.load()
    for image in (small, whole):
        image.thumbnail((side, side))
    assert small.size == whole.size and max(small.size) == side
    assert np.abs(np.asarray(small).astype(int) - np.asarray(whole)).mean() < 3


def test_a_draft_is_what_decode_gives_at_that_scale():
    data = saved(Image.fromarray(photos.photo(70, 90)))
    image = opened(data)
    image.draft(None, (22, 17))
    assert image.size == (23, 18)
    assert image.tobytes() == codec.decode(data, scale=1 / 4).tobytes()


# ------------------------------------------------------------------ saving


def test_save_is_encode(tmp_path):
    image = Image.fromarray(PHOTO)
    image.save(tmp_path / "a.aec")
    assert (tmp_path / "a.aec").read_bytes() == codec.encode(image)
    image.save(tmp_path / "b.AEC", quality=20, effort=1, device="cpu", optimize=True)  # Pillow ignores the unknown
    assert (tmp_path / "b.AEC").read_bytes() == codec.encode(image, 20, "cpu", effort=1)
    image.save(tmp_path / "c.aec", model=model_search.DEFAULT)
    assert (tmp_path / "c.aec").read_bytes() == codec.encode(image)
    image.save(tmp_path / "d.aec", target_ssimulacra2=60)
    assert (tmp_path / "d.aec").read_bytes() == codec.encode(image, target_ssimulacra2=60) != codec.encode(image)


def test_save_of_an_opened_file_onto_itself(path, data):
    image = Image.open(path)
    image.save(path, quality=30)
    assert Image.open(path).size == (56, 40) and path.read_bytes() == codec.encode(codec.decode(data), 30)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0},
        {"quality": "high"},
        {"effort": 10},
        {"model": "no-such"},
        {"device": "tpu"},
        {"target_ssimulacra2": 101},
    ],
)
def test_wrong_options_raise_and_leave_no_file(tmp_path, options):
    with pytest.raises((ValueError, TypeError, codec.ModelError), match=r"\w+ .*\w"):
        Image.fromarray(PHOTO).save(tmp_path / "a.aec", **options)
    assert list(tmp_path.iterdir()) == []


def test_modes_that_cannot_be_kept_are_refused(tmp_path):
    with pytest.raises(ValueError, match="mode F"):
        Image.new("F", (8, 8)).save(tmp_path / "a.aec")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ metadata


def with_info(**info) -> Image.Image:
    image = Image.fromarray(PHOTO)
    image.info.update(info)
    return image


def test_metadata_of_the_picture_is_kept():
    image = opened(saved(with_info(icc_profile=ICC, exif=exif_of(), xmp=XMP)))
    assert image.info == MADE | {"icc_profile": ICC, "exif": exif_of(), "xmp": XMP}
    assert image.getexif()[0x010F] == "a camera"
    image.load()
    assert set(image.info) == {"icc_profile", "exif", "xmp", *MADE}
    again = opened(saved(image))
    assert again.info == image.info


def test_options_replace_or_remove_metadata():
    mine = with_info(icc_profile=ICC, exif=exif_of(), xmp=XMP)
    for nothing in (None, b""):
        assert opened(saved(mine, icc_profile=nothing, exif=nothing, xmp=nothing)).info == MADE
    other = Image.Exif()
    other[0x010F] = "another camera"
    for exif in (other, other.tobytes(), other.tobytes().removeprefix(b"Exif\0\0")):
        info = opened(saved(mine, exif=exif)).info
        assert info == MADE | {"icc_profile": ICC, "exif": other.tobytes(), "xmp": XMP}
    assert opened(saved(mine, xmp="<å/>")).info["xmp"] == "<å/>".encode()
    assert mine.info == {"icc_profile": ICC, "exif": exif_of(), "xmp": XMP}  # untouched


@pytest.mark.parametrize("options", [{}, {"xmp": b"<xmp/>"}, {"icc_profile": ICC}])
def test_the_profile_of_cmyk_is_used_up(options):
    """Wherever it comes from: the pixels are sRGB."""
    image = Image.new("CMYK", (8, 8), (10, 60, 200, 30))
    image.info["icc_profile"] = b"of CMYK"
    opened = Image.open(io.BytesIO(saved(image, **options)))
    assert opened.mode == "RGB" and opened.info.get("icc_profile") == options.get("icc_profile")
    source = io.BytesIO()
    image.save(source, "JPEG", icc_profile=b"of CMYK")
    pixels = to_pixels(Image.open(source))
    stored_as_it_is = stored.file(pixels, source.getvalue(), Metadata())
    assert "icc_profile" not in Image.open(io.BytesIO(stored_as_it_is)).info


def test_large_metadata_is_read_whole_and_damaged_metadata_not_at_all():
    noise = np.random.default_rng(0).bytes(50_000)
    data = saved(with_info(icc_profile=noise, xmp=XMP))
    image = opened(data)
    assert image.info == MADE | {"icc_profile": noise, "xmp": XMP}
    at = data.index(noise[1000:1100])
    damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    for bad in (damaged, data[:at]):
        image = opened(bad)
        assert (image.size, image.info) == ((56, 40), MADE)
        with pytest.raises(OSError, match="icc|bytes"):
            image.load()


def test_any_beginning_of_a_file_gives_its_metadata_or_asks_for_more():
    data = saved(with_info(icc_profile=ICC, xmp=XMP))
    whole = format.read(data).metadata
    enough = data.index(whole["xmp"].packed) + len(whole["xmp"].packed)
    assert enough < len(data)
    for n in range(len(data)):
        if n >= enough:
            assert format.read_sections(data[:n]) == whole
        else:
            with pytest.raises(codec.NotAecError if n == 0 else codec.TruncatedError):
                format.read_sections(data[:n])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_metadata_of_a_picture_stored_as_the_file_it_came_in(kind):
    """It has no sections: what its own file says counts, with the orientation that its pixels have by now."""
    file = io.BytesIO()
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    Image.fromarray(PHOTO).save(file, kind, icc_profile=ICC, exif=exif_of(6), xmp=XMP, pnginfo=text)
    data = stored.original(to_pixels(opened(file.getvalue())), file.getvalue())
    assert file.getvalue() in data
    found = opened(data)
    assert found.size == (40, 56) and found.getexif()[ORIENTATION] == 1 and found.getexif()[0x010F] == "a camera"
    before = dict(found.info)
    assert before["icc_profile"] == ICC and before["xmp"] == XMP
    found.load()
    assert found.size == (40, 56) and found.info == before


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_wherever_it_comes_from(orientation):
    turned = with_info(exif=exif_of(orientation))
    upright = ImageOps.exif_transpose(turned)
    expected = opened(saved(upright, exif=None)).tobytes()
    for data in (
        saved(turned),
        saved(turned, exif=None),
        saved(turned, exif=exif_of(orientation)),
        saved(Image.fromarray(PHOTO), exif=exif_of(orientation)),
        saved(upright),
        saved(upright, exif=exif_of(1)),
    ):
        image = opened(data)
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert image.size == upright.size and image.tobytes() == expected
        assert ImageOps.exif_transpose(image).tobytes() == expected


def test_given_exif_says_which_way_is_up():
    """Turned by hand and told so, as Pillow's users do: the picture's own, stale orientation must not turn it again."""
    turned = with_info(exif=exif_of(6))
    by_hand = turned.rotate(-90, expand=True)
    assert by_hand.getexif()[ORIENTATION] == 6
    assert opened(saved(by_hand, exif=exif_of(1))).size == by_hand.size


# ------------------------------------------------------------------ files that are not right


@pytest.mark.parametrize("bad", [b"\xd7AEC", b"\xd7AEB" + bytes(60), b"\xd7AEC\x01" + bytes(60)])
def test_what_is_no_aec_file_is_not_identified(bad):
    with pytest.raises(UnidentifiedImageError):
        opened(bad)


def test_a_cut_file_opens_and_says_so_when_loaded(data, tmp_path):
    for n in (30, len(data) // 2, len(data) - 1):
        image = opened(data[:n])
        assert image.size == (56, 40)
        with pytest.raises(OSError, match=f"{n}|exceed"):
            image.load()
        with pytest.raises(OSError):
            opened(data[:n]).verify()
    (tmp_path / "cut.aec").write_bytes(data[:-1])
    image = Image.open(tmp_path / "cut.aec")
    with pytest.raises(OSError):
        image.verify()
    assert image.fp is None


def test_verify_compares_checksums_without_a_model(data, path, monkeypatch):
    monkeypatch.setattr(codec.api, "decode", None)
    opened(data).verify()
    image = Image.open(path)
    file = image.fp
    image.verify()
    assert file.closed
    with pytest.raises(OSError, match="checksum"):
        opened(data[:-1] + bytes([data[-1] ^ 1])).verify()


def test_a_model_that_is_not_at_hand_is_named(tiny_model):
    model, model_id = tiny_model
    data = saved(Image.fromarray(PHOTO), model=model)
    with pytest.raises(OSError, match=model_id.hex()):
        opened(data).load()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=150)
@given(at=st.integers(0, 10**6), change=st.integers(1, 255))
def test_a_changed_byte_is_an_oserror_or_a_bomb(data, at, change):
    at %= len(data)
    bad = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
    with pytest.raises((OSError, Image.DecompressionBombError)):
        opened(bad).load()


def test_several_pictures_are_refused_by_their_number_and_one_is_saved(tmp_path):
    image = Image.fromarray(PHOTO)
    with pytest.raises(ValueError, match="3 pictures: an .aec file holds one; save each as a file of its own"):
        image.save(tmp_path / "x.aec", save_all=True, append_images=[image, image])
    assert not (tmp_path / "x.aec").exists()
    image.save(tmp_path / "x.aec", save_all=True)
    assert Image.open(tmp_path / "x.aec").size == image.size

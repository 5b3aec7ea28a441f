"""Pictures that no network codes: when, how exactly, and what hostile ones may do."""

import io
from dataclasses import replace

import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile, ImageFont, PngImagePlugin
from shell import here

import codec
from codec.coding import model_search
from codec.container import format
from codec.container.format import NO_MODEL, Header
from codec.container.metadata import Metadata
from codec.picture import samples16, stored
from codec.picture.pixels import read, to_pixels
from codec.picture.samples import to_numpy


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def logo(mode: str = "RGBA", side: int = 96) -> Image.Image:
    """A few flat shapes, such as a network takes many bytes for."""
    image = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 8, side - 8, side - 8), fill=(200, 30, 40, 255))
    draw.rectangle((side // 3, side // 3, side // 2, side - 20), fill=(255, 255, 255, 255))
    draw.text((20, 20), "aec", fill=(0, 0, 90, 128))
    return image.convert(mode)


def payload(data: bytes) -> bytes:
    (only,) = format.read(data).payloads
    return bytes(only)


# ------------------------------------------------------------------ lossless


@settings(max_examples=60)
@given(st.integers(1, 65), st.integers(1, 65), st.integers(1, 4), st.sampled_from([np.uint8, np.uint16]), st.data())
def test_lossless_means_every_sample(height, width, channels, dtype, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    levels = data.draw(st.sampled_from([1, 2, 256]))
    array = rng.integers(0, levels, (height, width, channels), dtype=dtype) * dtype(
        np.iinfo(dtype).max // max(1, levels - 1)
    )
    made = codec.encode(array, lossless=True, effort=1)
    assert codec.inspect(made).stored and codec.inspect(made).model_id == NO_MODEL
    expected = to_numpy(to_pixels(array))  # an opaque alpha channel is dropped
    back = codec.decode(made, output="numpy")
    assert back.dtype == dtype and np.array_equal(back, expected)


def test_lossless_keeps_metadata_and_needs_no_model(monkeypatch):
    monkeypatch.setattr(model_search, "_files", lambda: iter(()))
    block = Metadata(b"profile", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"<x/>")
    data = codec.encode(photos.photo(20, 30), lossless=True, metadata=block)
    assert codec.decode(data).info == {"icc_profile": b"profile", "exif": b"Exif\0\0" + block.exif, "xmp": b"<x/>"}
    assert np.array_equal(codec.decode(data, output="numpy"), photos.photo(20, 30))


def test_sides_beyond_those_of_webp_are_kept_as_png():
    array = np.zeros((1, 16384, 3), np.uint8)
    array[0, ::7] = 200
    data = codec.encode(array, lossless=True)
    assert format.stored_kind(payload(data)) == "PNG" and np.array_equal(codec.decode(data, output="numpy"), array)


def test_effort_makes_lossless_files_smaller():
    image = photos.astronaut()[:64, :80]
    least, most = (len(codec.encode(image, lossless=True, effort=effort)) for effort in (1, 9))
    assert most < 0.97 * least


@pytest.mark.parametrize(
    "other", [{"quality": 50}, {"target_size": 9999}, {"target_bpp": 1.0}, {"target_psnr": 40.0}, {"alpha_quality": 50}]
)
def test_lossless_contradicts_whatever_else_says_how_good(other):
    with pytest.raises(ValueError, match=f"{next(iter(other))}.*lossless|lossless.*{next(iter(other))}"):
        codec.encode(photos.photo(8, 8), lossless=True, **other)


# ------------------------------------------------------------------ the choice


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "LA", "1"])
@pytest.mark.parametrize("quality", [75, 100])
def test_logos_are_kept_exactly_for_that_is_smaller(mode, quality):
    image = logo(mode)
    data = codec.encode(image, quality)
    assert codec.inspect(data).stored
    visible = to_numpy(to_pixels(image)).astype(int)
    back = codec.decode(data, output="numpy").astype(int)
    if mode in ("RGBA", "LA"):  # colours under alpha 0 are free
        visible[visible[..., -1] == 0] = back[back[..., -1] == 0] = 0
    assert np.array_equal(back, visible)


def test_photographs_are_left_to_the_network():
    image = photos.astronaut()[:256, 128:384]
    for quality in (1, 50, 100):
        assert not codec.inspect(codec.encode(image, quality)).stored


def test_the_smaller_file_wins():
    """Of the network's and of the exact one, whatever the guess before says."""
    rng = np.random.default_rng(0)
    for noise in (0, 1, 2, 4, 8, 16):
        array = np.full((64, 64, 3), 100, np.uint8) + rng.integers(0, noise + 1, (64, 64, 3), dtype=np.uint8)
        data = codec.encode(array, 80)
        assert len(data) <= len(codec.encode(array, lossless=True))
        if codec.inspect(data).stored:
            assert np.array_equal(codec.decode(data, output="numpy"), array)


@pytest.mark.parametrize("lossless", [False, True])
def test_tensors_are_the_callers_to_change_and_to_train_with(lossless):
    for image, region in ((photos.photo(128, 96)[..., 0].copy(), (0, 5, 96, 8)), (photos.photo(128, 96), (3, 5, 8, 8))):
        data = codec.encode(image, lossless=lossless)
        part = codec.decode(data, output="torch", region=region)
        assert part.is_contiguous() and part.untyped_storage().nbytes() == part.numel()  # the rest is not held
    part[:, 0] = 0
    weight = torch.ones(1, requires_grad=True)
    (part * weight).sum().backward()
    assert weight.grad == part.sum()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16)])
@pytest.mark.parametrize("depth", [8, 16])
def test_tiny_flat_pictures_take_few_bytes(size, depth):
    array = np.full((*size, 3), 77, np.uint8 if depth == 8 else np.uint16)
    assert len(codec.encode(array, 95)) < 110


def with_hidden_colours(height, width):
    """A disc of a photograph; what is outside has alpha 0, and noise as its colours."""
    i, j = np.mgrid[:height, :width]
    alpha = np.where(np.hypot(i / height - 0.5, j / width - 0.5) < 0.4, 255, 0).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return np.dstack([np.where(alpha[..., None] == 0, noise, photos.astronaut()[:height, 128 : 128 + width]), alpha])


TARGETS_OUT_OF_REACH = [
    {"target_psnr": 90},
    {"target_ssimulacra2": 100},
    {"target_size": 10**6},
    {"target_bpp": 99.0},
]


@pytest.mark.parametrize("target", TARGETS_OUT_OF_REACH, ids=lambda target: next(iter(target)))
@pytest.mark.parametrize("effort", [1, 2])
def test_a_target_out_of_reach_costs_no_more_bytes_than_lossless(target, effort):
    image = photos.astronaut()[:128, 128:288].copy()
    data = codec.encode(image, effort=effort, **target)
    assert data == codec.encode(image, effort=effort, lossless=True)
    assert codec.inspect(data).exact == (effort > 1)


@pytest.mark.parametrize("target", [{"target_psnr": 90}, {"target_size": 10**6}], ids=lambda target: next(iter(target)))
def test_a_target_out_of_reach_costs_nothing_for_hidden_colours(target):
    image = with_hidden_colours(96, 128)
    data = codec.encode(image, **target)
    assert len(data) < 0.7 * len(codec.encode(image, lossless=True))
    back, hidden = codec.decode(data, output="numpy"), image[..., 3] == 0
    assert np.array_equal(back[..., 3], image[..., 3]) and np.array_equal(back[~hidden], image[~hidden])


def test_an_exact_file_that_fits_into_a_target_is_taken_although_webp_would_not_fit(monkeypatch):
    image = photos.astronaut()[:128, 128:288].copy()
    exact = codec.encode(image, lossless=True)
    assert len(exact) < len(codec.encode(image, lossless=True, effort=1)) - 100
    monkeypatch.setattr(codec.api, "_by_network", None)
    assert codec.encode(image, target_size=len(exact) + 50) == exact


# ------------------------------------------------------------------ the file it came from


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_a_stored_file_is_handed_back_as_it_was(kind, tmp_path):
    exif, name = Image.Exif(), f"a.{kind.lower()}"
    exif[0x0112] = 6
    source = saved(Image.fromarray(photos.astronaut()[:160, :240]), kind, quality=1, exif=exif)
    (tmp_path / name).write_bytes(source)
    assert here("compress", tmp_path / name, "-q", 100) == 0
    assert payload((tmp_path / "a.aec").read_bytes()) == source
    kept, not_kept = ((), ("--metadata", "all", "--depth", "8")), (("--metadata", "none"), ("--crop", "0,0,9,9"))
    for options, same in [(o, True) for o in kept] + [(o, False) for o in not_kept]:
        assert here("decompress", tmp_path / "a.aec", "-f", "-o", tmp_path / "back" / name, *options) == 0
        assert ((tmp_path / "back" / name).read_bytes() == source) is same


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_source_smaller_than_all_else_is_stored_as_it_is(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(photos.astronaut()[:160, :240])
    source = saved(picture, kind, quality=1, exif=exif)
    image = Image.open(io.BytesIO(source))
    data = codec.encode(image, 100, source=source)
    if kind == "PNG":
        assert len(data) < len(source)  # something smaller was made
        return
    assert codec.inspect(data).stored and payload(data) == source and len(data) <= len(source) + 24
    assert (codec.inspect(data).width, codec.inspect(data).height) == (160, 240)
    back = codec.decode(data)
    assert np.array_equal(np.array(back), to_numpy(to_pixels(image)))
    assert back.info["exif"] == codec.decode(codec.encode(image, lossless=True)).info["exif"]


def test_a_source_that_is_smaller_than_the_target_is_stored_and_no_network_runs(monkeypatch):
    source = saved(Image.fromarray(photos.astronaut()[:160, :240]), "JPEG", quality=1)
    image = Image.open(io.BytesIO(source))
    monkeypatch.setattr(codec.api, "_by_network", None)
    assert payload(codec.encode(image, source=source, target_size=len(source) + 24)) == source


def test_a_source_is_not_stored_if_it_is_not_this_picture_or_has_more_than_was_asked_for():
    source = saved(Image.fromarray(photos.astronaut()[:160, :240]), "JPEG", quality=1)
    image = Image.open(io.BytesIO(source))
    assert payload(codec.encode(image, 100, source=source)) == source
    for changed, options in ((image.transpose(0), {}), (image, {"metadata": Metadata()}), (image.convert("L"), {})):
        data = codec.encode(changed, 100, source=source, **options)
        assert len(data) > len(source) and payload(data) != source
    for other in (b"", b"GIF89a", source[:100], b"\x89PNG\r\n\x1a\n"):
        assert codec.encode(image, 100, source=other) == codec.encode(image, 100)


# ------------------------------------------------------------------ hostile payloads behind a right checksum


def stored_file(still: bytes, width: int, height: int, metadata=None, **fields) -> bytes:
    header = Header(width, height, 0, NO_MODEL, tile=64, stored=True, **fields)
    return format.write(header, [still], metadata=metadata)


RGB_PNG = saved(Image.fromarray(photos.photo(6, 9)), "PNG")


@pytest.mark.parametrize(
    ("still", "fields", "words"),
    [
        (RGB_PNG, {"width": 10}, "10, 6"),
        (RGB_PNG, {"gray": True}, "gray=False"),
        (RGB_PNG, {"alpha": True}, "alpha=False"),
        (RGB_PNG, {"depth": 16}, "depth=8"),
        (saved(Image.fromarray(photos.photo(6, 9)[..., :3]).convert("LA"), "PNG"), {}, "gray=True"),
        (saved(logo().resize((9, 6)), "PNG"), {}, "alpha=True"),
        (samples16.write_png(np.zeros((6, 9, 3), np.uint16)), {}, "depth=16"),
        (saved(Image.new("RGB", (9, 6)), "GIF"), {}, "no PNG or WebP or JPEG"),
        (saved(Image.new("RGB", (9, 6)), "TIFF"), {}, "no PNG or WebP or JPEG"),
        (b"RIFF\0\0\0\0WEBPVP8X", {}, "WebP picture of None"),
        (b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff", {}, "16777216"),
        (RGB_PNG[:60], {}, "truncated: .* of its samples are missing"),
        (RGB_PNG[:20], {}, "damaged"),
        (saved(logo().resize((9, 6)), "PNG", save_all=True, append_images=[Image.new("RGBA", (9, 6))]), {}, "2 frames"),
        (
            saved(logo().resize((9, 6)), "WEBP", save_all=True, append_images=[Image.new("RGBA", (9, 6))]),
            {},
            "2 frames",
        ),
    ],
)
def test_a_stored_picture_other_than_the_header_says_is_corrupt(still, fields, words):
    data = stored_file(still, **({"width": 9, "height": 6} | fields))
    with pytest.raises(codec.CorruptError, match=words):
        codec.decode(data)


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "WEBP", "JPEG"]), st.integers(0, 10**6), st.binary(min_size=1, max_size=6))
def test_damaged_stored_pictures_are_pictures_or_corrupt_errors(kind, at, junk):
    still = bytearray(saved(Image.fromarray(photos.photo(6, 9)), kind))
    at %= len(still)
    still[at : at + len(junk)] = junk
    try:
        assert codec.decode(stored_file(bytes(still), 9, 6), output="numpy").shape == (6, 9, 3)
    except codec.CorruptError:
        pass


def test_a_jpeg_of_very_many_scans_is_refused_before_they_are_decoded():
    whole = saved(Image.fromarray(photos.photo(64, 64)), "JPEG", progressive=True)
    at = whole.index(b"\xff\xda")
    end = whole.index(b"\xff\xc4", at)  # the first scan: what it says may be said again
    for scans, fine in ((400, True), (501, False)):
        data = whole[:at] + whole[at:end] * (scans - whole.count(b"\xff\xda") + 1) + whole[end:]
        packed = format.write(Header(64, 64, 0, NO_MODEL, False, 64, stored=True), [data])
        if fine:
            assert codec.decode(packed).size == (64, 64)
        else:
            with pytest.raises(codec.CorruptError, match="501 scans"):
                codec.decode(packed)
    motion = format.write(Header(64, 64, 0, NO_MODEL, False, 64, stored=True), [whole + b"\xff\xda" * 501])
    assert codec.decode(motion).size == (64, 64)  # what follows the picture is not it


def test_exif_in_a_text_chunk_is_read_without_the_pixels():
    """As older ImageMagick writes it; Pillow's own reader decodes the pixels first, which are not there."""
    exif = Image.Exif()
    exif[0x010F] = "aec"
    raw = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True)
    source = saved(Image.fromarray(np.zeros((64, 64), np.uint8)), "PNG", pnginfo=text)
    packed = format.write(Header(64, 64, 0, NO_MODEL, True, 64, stored=True), [source])
    found = codec.read_metadata(packed).exif
    assert found and found == codec.decode(packed).info["exif"].removeprefix(b"Exif\0\0")


def test_metadata_of_the_payload_count_only_without_sections():
    exif = Image.Exif()
    exif[0x0112] = 6
    still = saved(Image.fromarray(photos.photo(6, 9)), "PNG", exif=exif)
    turned = codec.decode(stored_file(still, 6, 9))
    assert turned.size == (6, 9) and turned.getexif()[0x0112] == 1
    as_it_is = codec.decode(stored_file(still, 9, 6, {"icc": b"profile"}))
    assert as_it_is.info == {"icc_profile": b"profile"}
    assert np.array_equal(np.array(as_it_is), photos.photo(6, 9))


def test_the_limit_of_a_stored_picture_is_the_callers(monkeypatch):
    array = np.full((40, 50), 9, np.uint8)
    data = codec.encode(array, lossless=True)
    monkeypatch.setattr(read, "__defaults__", (1000,))
    assert np.array_equal(codec.decode(data, output="numpy", max_pixels=None), array)
    with pytest.raises(codec.LimitError, match="at most 1999"):
        codec.decode(data, max_pixels=1999)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_want_of_memory_is_not_damage(kind, monkeypatch):
    source = saved(Image.fromarray(photos.photo(30, 40)), kind)
    data = stored.file(to_pixels(Image.open(io.BytesIO(source))), source, Metadata())

    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "__init__", fail)
    with pytest.raises(MemoryError):
        codec.decode(data)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_metadata_are_read_without_the_pixels(kind, monkeypatch):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "aec"
    source = saved(Image.fromarray(photos.photo(30, 40)), kind, exif=exif, icc_profile=b"icc")
    if kind == "PNG":  # EXIF behind the pixels
        at, end = source.index(b"eXIf") - 4, source.index(b"IDAT") - 4
        source = source[:at] + source[end:-12] + source[at:end] + source[-12:]
    data = stored.file(to_pixels(Image.open(io.BytesIO(source))), source, Metadata())
    told = Metadata(**{k: codec.decode(data).info[v] for k, v in {"icc": "icc_profile", "exif": "exif"}.items()})
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    monkeypatch.setattr(stored, "decode", None)
    assert codec.read_metadata(data) == replace(told, exif=told.exif.removeprefix(b"Exif\0\0"))
    assert Image.open(io.BytesIO(data)).info == {"icc_profile": told.icc, "exif": told.exif}


def test_stored_headers_have_neither_quality_nor_model_nor_tiles():
    good = Header(9, 6, 0, NO_MODEL, tile=64, stored=True)
    for change in ({"quality": 1}, {"model_id": b"abcd"}, {"tile": 128}):
        with pytest.raises(ValueError, match="stored"):
            format.write(replace(good, **change), [RGB_PNG])
    assert [(t.width, t.height) for t in good.tiles] == [(9, 6)] and tuple(format.STORED_KINDS) == (
        "PNG",
        "WebP",
        "JPEG",
    )


def test_a_page_in_black_and_white_takes_no_more_than_fax_did():
    """Of rendered text, whose letters repeat exactly; libwebp finds that only when told to look hard."""
    page, font = Image.new("1", (1240, 900), 1), ImageFont.load_default(42)
    draw, words = ImageDraw.Draw(page), "the quick brown fox jumps over the lazy dog".split()
    for line in range(14):
        text = " ".join(words[(line * i + i * i) % 9] for i in range(10))
        draw.text((10, 64 * line), text, font=font)
    usual = saved(page.convert("RGB"), "WEBP", lossless=True, method=4, quality=50)
    assert len(payload(codec.encode(page))) < min(0.85 * len(usual), len(saved(page, "TIFF", compression="group4")))

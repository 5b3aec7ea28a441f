"""Colour profile, EXIF and XMP travel byte for byte; the orientation is applied once, and reset."""

import io
import struct
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from shell import here

import codec
from codec.container import format, metadata
from codec.container.metadata import Metadata
from codec.given import open_picture
from codec.picture import carried, png_info
from codec.picture.pixels import to_pixels
from codec.picture.samples import to_numpy

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Make="aec"/></x:xmpmeta>'
PREFIX = b"Exif\0\0"
KINDS = ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"]


def exif(orientation: int | None = None, order: str = "<") -> bytes:
    made = Image.Exif()
    made.endian = order
    made[0x010F] = "aec"
    if orientation is not None:
        made[0x0112] = orientation
    made[0x8769] = {0x9003: "2026:11:21 12:00:00"}
    return made.tobytes().removeprefix(PREFIX)


def saved(image: Image.Image, kind: str, xmp: bytes | None = None, **options) -> Image.Image:
    """A file of a kind, opened; XMP as each of Pillow's savers wants it."""
    if xmp is not None and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif xmp is not None and kind == "TIFF":
        tags = Image.Exif()
        tags.load(options["exif"])
        tags[700] = xmp
        options["exif"] = tags
    elif xmp is not None:
        options["xmp"] = xmp
    options |= {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def turned(rgb: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera that is held that way writes of an upright picture."""
    return {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: rgb.transpose(1, 0, 2)[::-1],
        7: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: rgb.transpose(1, 0, 2)[:, ::-1],
    }[orientation]


# ------------------------------------------------------------------ orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_orientation_is_applied_to_the_pixels_and_reset(orientation, kind):
    rgb = photos.photo(24, 40)
    image = saved(Image.fromarray(turned(rgb, orientation)), kind, exif=PREFIX + exif(orientation))
    pixels = to_pixels(image)
    assert (pixels.height, pixels.width) == (24, 40)
    error = np.abs(to_numpy(pixels).astype(int) - rgb)
    assert error.max() == 0 if kind in ("PNG", "WEBP", "TIFF") else error.mean() < 8
    assert metadata.orientation(pixels.metadata) == 1
    back = codec.decode(codec.encode(image, 90))
    assert back.size == (40, 24) and back.getexif().get(0x0112, 1) == 1
    assert back.getexif()[0x010F] == "aec"
    assert ImageOps.exif_transpose(back).size == (40, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_xmp_counts_where_exif_has_none(orientation):
    rgb = photos.photo(24, 40)
    xmp = XMP.replace(b"tiff:Make", b'tiff:Orientation="%d" tiff:Make' % orientation)
    image = saved(Image.fromarray(turned(rgb, orientation)), "PNG", exif=PREFIX + exif())
    image.info["xmp"] = xmp
    pixels = to_pixels(image)
    assert np.array_equal(to_numpy(pixels), rgb)
    assert pixels.metadata == Metadata(
        None, exif(), xmp.replace(b'tiff:Orientation="%d"' % orientation, b'tiff:Orientation="1"')
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_resetting_changes_two_bytes_of_exif_at_most(order, orientation):
    block = exif(orientation, order)
    found = metadata.orientation(Metadata(exif=block))
    assert found == orientation
    reset = metadata.reset_orientation(Metadata(exif=block)).exif
    assert reset == exif(1, order) and sum(a != b for a, b in zip(block, reset, strict=True)) <= 1


@given(st.binary(max_size=80))
def test_damaged_exif_is_kept_and_says_upright_or_an_orientation(tail):
    for start in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""):
        found = metadata.orientation(Metadata(exif=start + tail))
        assert 1 <= found <= 8
        reset = metadata.reset_orientation(Metadata(exif=start + tail))
        assert len(reset.exif) == len(start + tail) and metadata.orientation(reset) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's
@pytest.mark.parametrize("block", [b"M[\0*\0\0\0\x08", b"MM\0*\0\0\0\x08\0", b"II*\0\xff\xff\xff\xff", b"nonsense"])
def test_damaged_exif_is_not_a_damaged_picture(block):
    image = saved(Image.fromarray(photos.photo(24, 40)), "JPEG", exif=PREFIX + block)
    data = codec.encode(image)
    assert codec.read_metadata(data).exif == block
    assert np.array_equal(
        codec.decode(data, output="numpy"), codec.decode(codec.encode(np.array(image)), output="numpy")
    )


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("kind", [1, 3, 4])  # BYTE, SHORT, LONG
@pytest.mark.parametrize("of_xmp", [None, 1, 6, 8])
def test_exif_orientation_of_any_integer_type_counts_once_and_more_than_xmps(order, kind, of_xmp):
    rgb = photos.photo(24, 40)
    block = {"little": b"II*\0", "big": b"MM\0*"}[order] + (8).to_bytes(4, order) + (1).to_bytes(2, order)
    block += (0x112).to_bytes(2, order) + kind.to_bytes(2, order) + (1).to_bytes(4, order)
    size = {1: 1, 3: 2, 4: 4}[kind]

    def whole(orientation):
        return block + orientation.to_bytes(size, order).ljust(4, b"\0") + bytes(4)

    xmp = XMP.replace(b"tiff:Make", b'tiff:Orientation="%d" tiff:Make' % of_xmp) if of_xmp else None
    image = saved(Image.fromarray(turned(rgb, 6)), "PNG", exif=PREFIX + whole(6), xmp=xmp)
    pixels = to_pixels(image)
    assert np.array_equal(to_numpy(pixels), rgb)
    assert pixels.metadata.exif == whole(1)
    assert xmp is None or b'tiff:Orientation="1"' in pixels.metadata.xmp
    assert np.array_equal(to_numpy(to_pixels(codec.decode(codec.encode(image, lossless=True)))), rgb)  # not once more


def test_of_two_orientations_in_exif_the_first_counts_as_for_pillow_and_none_is_left():
    entry = b"\x12\x01\x03\0\x01\0\0\0%c\0\0\0"
    block = b"II*\0\x08\0\0\0\x02\0" + entry % 3 + entry % 6 + bytes(4)
    assert metadata.orientation(Metadata(exif=block)) == 3 == Image.open(with_exif(block)).getexif()[0x0112]
    assert metadata.reset_orientation(Metadata(exif=block)).exif == block[:10] + entry % 1 * 2 + bytes(4)


def with_exif(block: bytes) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(photos.photo(8, 8)).save(file, "JPEG", exif=PREFIX + block)
    return file


def exif_with_thumbnail(orientation: int, behind: bytes = b"", compressed: bool = True) -> bytes:
    """Tags and a thumbnail, as cameras write them: the second directory, then its picture, then perhaps more."""
    file = io.BytesIO()
    Image.fromarray(photos.photo(8, 12)).save(file, "JPEG")
    thumbnail = file.getvalue()
    start, length = (0x201, 0x202) if compressed else (0x111, 0x117)
    first = struct.pack("<HHHIHHHHII", 2, 0x112, 3, 1, orientation, 0, 0x10F, 2, 4, int.from_bytes(b"aec\0", "little"))
    second = struct.pack("<HHHIIHHII", 2, start, 4, 1, 8 + 30 + 30, length, 4, 1, len(thumbnail)) + bytes(4)
    return b"II*\0\x08\0\0\0" + first + struct.pack("<I", 8 + 30) + second + thumbnail + behind


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("behind", [b"", b"maker's notes"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_that_would_lie_on_its_side_is_taken_out(orientation, behind, compressed):
    block = exif_with_thumbnail(orientation, behind, compressed)
    reset = metadata.reset_orientation(Metadata(exif=block)).exif
    kept = Image.Exif()
    kept.load(reset)
    assert kept[0x0112] == 1 and kept[0x010F] == "aec" and reset.endswith(behind)
    if orientation == 1:
        assert reset == block
    else:
        assert b"\xff\xd8" not in reset and not kept.get_ifd(0x1) and (behind or len(reset) == 8 + 30)


@given(st.integers(0, 200), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_thumbnail_that_lies_where_it_cannot_costs_no_other_tag(link, start, length):
    block = bytearray(exif_with_thumbnail(6))
    block[34:38] = link.to_bytes(4, "little")
    block[48:52], block[60:64] = start.to_bytes(4, "little"), length.to_bytes(4, "little")
    reset = metadata.reset_orientation(Metadata(exif=bytes(block))).exif
    assert reset[:18] + reset[22:34] == bytes(block[:18] + block[22:34]) and reset[18:22] == b"\1\0\0\0"


# ------------------------------------------------------------------ in pieces


GUID = b"0123456789ABCDEF" * 2
EXTENDED = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    b'xmlns:more="http://example.org/"><rdf:Description more:words="' + b"word " * 40000 + b'"/></rdf:RDF></x:xmpmeta>'
)


def segment(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def extended(main: bytes, pieces: list[int], guid: bytes = GUID, whole: bytes = EXTENDED) -> bytes:
    """A JPEG file of a packet with an extension, of which there are the pieces that begin at these places."""
    file = io.BytesIO()
    Image.fromarray(photos.photo(16, 24)).save(file, "JPEG", xmp=main)
    data = file.getvalue()
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid
    parts = [segment(head + struct.pack(">II", len(whole), at) + whole[at : at + 65000]) for at in pieces]
    return data[:2] + b"".join(parts) + data[2:]


def pointing(form: bytes) -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
        + form
        + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


FORMS = [
    b' xmpNote:HasExtendedXMP="%s">' % GUID,
    b"><xmpNote:HasExtendedXMP>%s</xmpNote:HasExtendedXMP>" % GUID,
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pieces", [[0, 65000, 130000, 195000], [195000, 0, 130000, 65000]])
def test_an_extended_xmp_packet_becomes_a_whole_one(form, pieces):
    data = extended(pointing(form), pieces)
    for image in (open_picture(data), Image.open(io.BytesIO(data))):
        xmp = to_pixels(image).metadata.xmp
        found = ElementTree.fromstring(xmp)
        words = [e.get("{http://example.org/}words") for e in found.iter()]
        assert words.count("word " * 40000) == 1 and b"HasExtendedXMP" not in xmp
    aec = codec.encode(open_picture(data), source=data)
    assert codec.read_metadata(aec).xmp == xmp


@pytest.mark.parametrize(
    ("pieces", "guid", "whole"),
    [
        ([], GUID, EXTENDED),
        ([0, 65000], GUID, EXTENDED),
        ([0, 65000, 130000, 195000], GUID[::-1], EXTENDED),
        ([0], GUID, b"no RDF"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_without_its_extension_a_packet_does_not_point_at_one(form, pieces, guid, whole):
    found = to_pixels(open_picture(extended(pointing(form), pieces, guid, whole))).metadata.xmp
    assert b"HasExtendedXMP" not in found and b"word" not in found
    ElementTree.fromstring(found)


def test_an_xmp_packet_too_long_for_jpeg_is_written_as_an_extended_one(tmp_path):
    long = pointing(b">" + b"<!--" + b"word " * 40000 + b"-->")
    (tmp_path / "a.aec").write_bytes(codec.encode(photos.photo(16, 16), metadata=Metadata(xmp=long)))
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / "a.jpg") == 0
    found = to_pixels(open_picture((tmp_path / "a.jpg").read_bytes())).metadata.xmp
    assert found.count(b"word") == 40000 and b"HasExtendedXMP" not in found
    ElementTree.fromstring(found)


def raw_profile(name: bytes, block: bytes) -> bytes:
    lines = b"\n".join(block.hex().encode()[i : i + 72] for i in range(0, 2 * len(block), 72))
    return b"\n%s\n%8d\n%s\n" % (name, len(block), lines)


@pytest.mark.parametrize(
    ("name", "block", "right"),
    [
        ("exif", PREFIX + exif(6), Metadata(exif=exif())),
        ("exif", exif(6), Metadata(exif=exif())),
        ("APP1", PREFIX + exif(6), Metadata(exif=exif())),
        ("APP1", b"http://ns.adobe.com/xap/1.0/\0" + XMP, Metadata(xmp=XMP)),
        ("xmp", XMP, Metadata(xmp=XMP)),
        ("xmp", b"http://ns.adobe.com/xap/1.0/\0" + XMP, Metadata(xmp=XMP)),
        ("icc", SRGB, Metadata(icc=SRGB)),
        ("icm", SRGB, Metadata(icc=SRGB)),
        ("iptc", b"no place for it", Metadata()),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_raw_profiles_of_imagemagick_are_read(name, block, right, compressed):
    info = PngImagePlugin.PngInfo()
    info.add_text(f"Raw profile type {name}", raw_profile(name.encode(), block).decode("latin-1"), zip=compressed)
    rgb, file = photos.photo(24, 40), io.BytesIO()
    on_side = right.exif is not None
    Image.fromarray(turned(rgb, 6) if on_side else rgb).save(file, "PNG", pnginfo=info)
    if on_side:
        right = Metadata(exif=exif(1))
    for image in (open_picture(file.getvalue()), Image.open(file)):
        pixels = to_pixels(image)
        assert pixels.metadata == right and np.array_equal(to_numpy(pixels), rgb)


def test_what_follows_a_raw_profile_does_not_count_and_what_is_missing_does():
    text = raw_profile(b"exif", exif(6))
    assert png_info.raw_profile("exif", text + b"$\x1d and more") == {"exif": exif(6)}
    assert png_info.raw_profile("exif", text[:-9]) == {}


@given(st.text(max_size=60))
def test_a_damaged_raw_profile_is_none(text):
    image = Image.fromarray(photos.photo(8, 8))
    image.info["Raw profile type exif"] = text
    assert carried.of(image) == Metadata()


# ------------------------------------------------------------------ what is kept


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lossless", [False, True])
def test_blocks_come_back_byte_for_byte(kind, lossless):
    image = saved(Image.fromarray(photos.photo(24, 40)), kind, exif=PREFIX + exif(), icc_profile=SRGB, xmp=XMP)
    data = codec.encode(image, lossless=lossless)
    back = codec.decode(data)
    assert back.info["icc_profile"] == SRGB
    assert back.info["xmp"] == XMP
    assert dict(back.getexif().get_ifd(0x8769)) == {0x9003: "2026:11:21 12:00:00"}
    assert back.info["exif"] == PREFIX + exif() or kind == "TIFF"  # whose EXIF is the file itself
    assert len(data) < len(codec.encode(image, lossless=lossless, metadata=Metadata())) + 1500  # 3 kB, deflated


@pytest.mark.parametrize("suffix", [".tif", ".avif"])
def test_damaged_exif_that_a_kind_cannot_take_is_an_error_in_words(suffix, tmp_path, capsys):
    data = codec.encode(photos.photo(16, 16), metadata=Metadata(exif=b"garbage, not a TIFF block"))
    (tmp_path / "a.aec").write_bytes(data)
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / f"a{suffix}") == 7
    assert "--metadata none leaves out what may be damaged" in capsys.readouterr().err
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / f"a{suffix}", "--metadata", "none") == 0


def test_sound_exif_is_not_blamed_for_a_kinds_limits(tmp_path, capsys):
    data = codec.encode(np.zeros((1, 16384), np.uint8), metadata=Metadata(exif=exif()))
    (tmp_path / "a.aec").write_bytes(data)
    assert here("decompress", tmp_path / "a.aec", "-o", tmp_path / "a.webp") == 7
    assert "--metadata" not in capsys.readouterr().err


def test_the_caller_decides_what_is_kept():
    image = saved(Image.fromarray(photos.photo(24, 40)), "PNG", exif=PREFIX + exif(6), icc_profile=SRGB, xmp=XMP)
    own = carried.of(image)
    assert own == Metadata(SRGB, exif(6), XMP)
    own = replace(own, extra={"Test": b"block"})
    for kinds in ((), ("icc",), ("exif", "xmp"), format.METADATA):
        data = codec.encode(image, metadata=own.only(kinds))
        assert set(format.read(data).metadata) == set(kinds)
        assert codec.inspect(data).width == 24  # turned all the same
        if "exif" in kinds:
            assert codec.decode(data).info["exif"] == PREFIX + exif(1)
    with pytest.raises(ValueError, match="iptc: allowed are icc, exif, xmp, extra"):
        own.only(["iptc"])
    with pytest.raises(TypeError, match="dict"):
        codec.encode(image, metadata={"icc": SRGB})


def test_arrays_have_the_metadata_that_they_are_given():
    data = codec.encode(photos.photo(24, 40), metadata=Metadata(icc=SRGB))
    assert codec.decode(data).info == {"icc_profile": SRGB}
    assert format.read(codec.encode(photos.photo(24, 40))).metadata == {}


def test_profiles_of_wide_gamuts_and_of_gray_come_back():
    for array in (
        photos.photo(24, 40),
        photos.photo(24, 40)[..., 0].copy(),
        photos.photo(24, 40)[..., 0].astype(np.uint16),
    ):
        image = Image.fromarray(array)
        image.info["icc_profile"] = SRGB[::-1]
        assert codec.decode(codec.encode(image)).info["icc_profile"] == SRGB[::-1]


def test_info_is_what_the_savers_of_pillow_take():
    image = saved(Image.fromarray(photos.photo(24, 40)), "JPEG", exif=PREFIX + exif(3), icc_profile=SRGB, xmp=XMP)
    back = codec.decode(codec.encode(image))
    for kind in ("PNG", "WEBP"):
        again = saved(back, kind, **back.info)
        assert carried.of(again) == Metadata(SRGB, exif(1), XMP)

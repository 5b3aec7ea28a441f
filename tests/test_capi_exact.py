"""What the C library encodes without a model: exact pictures and stored ones, byte for byte as Python; and alpha."""

import ctypes
import io
from ctypes import byref, c_size_t, c_uint32, c_uint64, c_void_p

import capi
import numpy as np
import photos
import pytest
from PIL import Image, features
from test_capi_encode import GOLDEN, WRITE, Bytes, Encoder, Picture, deep

import codec
from codec import errors
from codec.coding import exact
from codec.container import format
from codec.picture import alpha, stored
from codec.picture.pixels import Pixels, of_file, to_pixels

STATUS_OF_IO = 10


class ExactOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in ("max_error", "tile", "threads")),
        ("metadata", Bytes * 8),
        ("progress", capi.PROGRESS),
        ("progress_user", c_void_p),
    ]


class StoreOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_pixels", c_uint64),
        ("embedded", capi.EMBEDDED),
        ("embedded_user", c_void_p),
    ]


def made(library: capi.Library, kind: type, name: str, **fields):
    value = kind()
    getattr(library.c, f"aec_{name}_init")(byref(value), c_size_t(ctypes.sizeof(value)))
    for field, given in fields.items():
        setattr(value, field, given)
    return value


def written(call, status: int = 0) -> bytes:
    """What `call` gives to the function that it is called with, which returns `status`."""
    files = []
    call(WRITE(lambda _, data, size: files.append(ctypes.string_at(data, size)) or status))
    assert len(files) == 1
    return files[0]


def encoded(library: capi.Library, image: np.ndarray, status: int = 0, **options) -> bytes:
    height, width, channels = image.shape
    memory = np.ascontiguousarray(image)
    sizes = {"width": width, "height": height, "channels": channels, "depth": 8 * image.itemsize}
    where = {"pixels": memory.ctypes.data, "stride": memory.strides[0], "size": memory.nbytes}
    picture = made(library, Picture, "picture", **sizes, **where)
    given = made(library, ExactOptions, "exact_options", **options)
    return written(lambda write: library.call("aec_encode_exact", byref(picture), byref(given), write, None), status)


def kept(library: capi.Library, data: bytes, **options) -> bytes:
    given = made(library, StoreOptions, "store_options", **options)
    return written(
        lambda write: library.call("aec_store_picture", data, c_size_t(len(data)), byref(given), write, None)
    )


PHOTO = photos.photo(90, 150, seed=2)
HOLES = np.where(np.arange(90 * 150).reshape(90, 150, 1) % 7 > 2, 255, 17).astype(np.uint8)
IMAGES = {
    "a pixel": PHOTO[:1, :1],
    "colours": PHOTO,
    "gray": PHOTO[..., :1],
    "16 bits": deep(PHOTO),
    "alpha": np.dstack([PHOTO, HOLES]),
    "gray, alpha of 16 bits": np.dstack([deep(PHOTO[..., :1]), HOLES.astype(np.uint16) << 8]),
    "opaque alpha": np.dstack([PHOTO, np.full((90, 150), 255, np.uint8)]),
    "two levels": (PHOTO[..., :1] > 99).astype(np.uint8) * 255,
}


def pixels_of(image: np.ndarray) -> Pixels:
    return to_pixels(image[..., 0] if image.shape[2] == 1 else image)


@pytest.mark.parametrize("max_error", [0, 3, 255])
@pytest.mark.parametrize("name", IMAGES)
def test_exact_files_are_those_of_python(c_library, name, max_error):
    image = IMAGES[name]
    for tile, threads in ((64, 3), (1024, 1)):
        file = encoded(c_library, image, max_error=max_error, tile=tile, threads=threads)
        assert file == exact.file(pixels_of(image), max_error, tile)


def test_the_file_is_that_of_the_public_function_with_metadata(c_library):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    metadata = codec.Metadata(icc=b"icc" * 50, exif=exif.tobytes(), extra={"gain": b"a block"})
    image = photos.photo(300, 200, seed=5)
    for options in ({"lossless": True}, {"max_error": 2}):
        blocks = metadata.blocks()
        sections = (Bytes * 8)(*(Bytes.of(blocks[k]) if k in blocks else Bytes(None, 0) for k in capi.KINDS))
        file = encoded(c_library, image, max_error=options.get("max_error", 0), metadata=sections)
        assert file == codec.encode(image, metadata=metadata, **options)


def test_exact_pictures_decode_to_what_was_given(c_library):
    image = IMAGES["alpha"]
    file = c_library.open(encoded(c_library, image))
    assert file.info.exact and not file.info.needs_model and np.array_equal(file.decode(), image)


def test_shares_of_an_exact_picture_rise_to_1_and_a_caller_can_stop(c_library):
    shares = []
    encoded(c_library, PHOTO, tile=64, threads=2, progress=capi.PROGRESS(lambda _, s: shares.append(s) or 0))
    assert shares == [i / 6 for i in range(1, 7)]
    with pytest.raises(InterruptedError):
        encoded(c_library, PHOTO, progress=capi.PROGRESS(lambda _, share: 1))
    with pytest.raises(OSError, match="write"):
        encoded(c_library, PHOTO, status=STATUS_OF_IO)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": 256}, "max_error is 256, allowed are 0 to 255"),
        ({"max_error": 2**32 - 1}, "max_error"),
        ({"tile": 0}, "tile is 0"),
        ({"tile": 100}, "tile side 100"),
        ({"metadata": (Bytes * 8)(*[Bytes(None, 0)] * 3, Bytes.of(b"abc"))}, "cicp metadata of 3 bytes: 4"),
    ],
)
def test_wrong_arguments_of_an_exact_picture_are_named(c_library, options, message):
    with pytest.raises(ValueError, match=message):
        encoded(c_library, PHOTO, **options)


# ------------------------------------------------------------------ stored pictures


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sources() -> dict[str, bytes]:
    colours, holes = Image.fromarray(PHOTO), Image.fromarray(IMAGES["alpha"])
    opaque = Image.fromarray(IMAGES["opaque alpha"])
    turned = Image.Exif()
    turned[0x0112] = 6
    deep_gray = Image.fromarray(deep(PHOTO[..., :1])[..., 0])
    return {
        "JPEG": saved(colours, "JPEG"),
        "gray JPEG": saved(colours.convert("L"), "JPEG"),
        "progressive JPEG": saved(colours, "JPEG", progressive=True),
        "turned JPEG with a profile": saved(colours, "JPEG", exif=turned, icc_profile=b"icc" * 9),
        "PNG": saved(colours, "PNG"),
        "PNG of 16 bits": saved(deep_gray, "PNG"),
        "PNG of two levels": saved(colours.convert("1"), "PNG"),
        "PNG with a palette": saved(colours.quantize(20), "PNG"),
        "PNG with a transparent colour": saved(colours.convert("L"), "PNG", transparency=int(PHOTO[0, 0, 0])),
        "PNG with alpha": saved(holes, "PNG"),
        "PNG with opaque alpha": saved(opaque, "PNG"),
        "gray PNG with alpha": saved(holes.convert("LA"), "PNG"),
        "WebP": saved(colours, "WEBP", quality=80),
        "lossless WebP with alpha": saved(holes, "WEBP", lossless=True),
        "lossless WebP with opaque alpha": saved(opaque, "WEBP", lossless=True, exact=True),
    }


SOURCES = sources()


@pytest.mark.parametrize("name", SOURCES)
def test_stored_files_are_those_of_python(c_library, name):
    source = SOURCES[name]
    file = kept(c_library, source)
    assert file == stored.original(of_file(source), source)
    assert c_library.open(file).embedded()[0] == source


def test_a_jpeg_is_stored_as_python_stores_its_source(c_library):
    """The public function stores a source where that takes less than the network's file, as of this noise."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    source = saved(Image.fromarray(noise), "JPEG", quality=10)
    assert kept(c_library, source) == codec.encode(Image.open(io.BytesIO(source)), source=source)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (b"", errors.CorruptError, "no PNG, WebP or JPEG picture"),
        (b"hello", errors.CorruptError, "no PNG, WebP or JPEG picture"),
        (SOURCES["JPEG"][:-2], errors.CorruptError, "without its end marker"),
        (SOURCES["JPEG"][:-900] + SOURCES["JPEG"][-2:], errors.CorruptError, "damaged JPEG"),
        (SOURCES["PNG"][:-1500], errors.CorruptError, "damaged PNG"),
        (SOURCES["WebP"][:-100], errors.CorruptError, "damaged WebP"),
        (SOURCES["PNG"][:16] + bytes(4) + SOURCES["PNG"][20:], errors.CorruptError, "a picture without pixels"),
        (saved(Image.new("CMYK", (9, 9)), "JPEG"), NotImplementedError, "CMYK"),
    ],
)
def test_what_is_no_sound_picture_is_not_stored(c_library, source, error, message):
    with pytest.raises(error, match=message):
        kept(c_library, source)


def test_the_size_of_a_picture_to_store_is_limited_before_it_is_decoded(c_library):
    refuse = capi.EMBEDDED(lambda user, picture: 12)
    with pytest.raises(errors.LimitError, match="image of 150x90 has 13500 pixels: at most 13499 are allowed"):
        kept(c_library, SOURCES["PNG"], max_pixels=13499, embedded=refuse)
    huge = bytearray(SOURCES["PNG"])
    huge[16:24] = (70000).to_bytes(4, "big") * 2
    with pytest.raises(errors.LimitError, match="image of 70000x70000"):
        kept(c_library, bytes(huge), embedded=refuse)


def test_the_callers_decoder_is_asked_for_a_picture_to_store(c_library):
    opaque = []

    def decode(_, given) -> int:
        ctypes.memset(given.contents.pixels, 255 if opaque else 9, given.contents.stride * given.contents.height)
        return 0

    cmyk = saved(Image.new("CMYK", (9, 9)), "JPEG")
    assert codec.inspect(kept(c_library, cmyk, embedded=capi.EMBEDDED(decode))).alpha
    opaque.append(True)
    assert kept(c_library, cmyk, embedded=capi.EMBEDDED(decode)) == stored.original(of_file(cmyk), cmyk)


# ------------------------------------------------------------------ alpha, coded by the library


@pytest.fixture(scope="module")
def tiny(c_library):
    return Encoder(c_library, GOLDEN / "tiny2.safetensors")


def alphas_of(tiny, image: np.ndarray, quality: int = 100) -> tuple[list[bytes], list[bytes]]:
    """What the library and what Python make of the alpha of each tile of 64x64 pixels."""
    layout = format.read(tiny.encode(image, tile=64, alpha_quality=quality))
    return [bytes(a) for a in layout.alphas], alpha.encode(image[..., -1], layout.header.tiles, quality)


def test_alpha_of_16_bits_is_coded_as_in_python(c_library, tiny):
    assert c_library.c.aec_has_alpha_encoder(c_uint32(16)) == 1
    rng, image = np.random.default_rng(1), np.dstack([deep(PHOTO), np.full((90, 150), 65535, np.uint16)])
    image[:64, :64, 3] = rng.integers(0, 65536, (64, 64))
    image[:64, 64:128, 3] = np.add.outer(np.arange(64), np.arange(64)) * 500
    image[64:, 3:140, 3] = 12345
    for quality in (100, 30):  # which is for 8 bits only
        ours, theirs = alphas_of(tiny, image, quality)
        assert ours == theirs and sum(map(bool, ours)) == 5


def test_alpha_of_8_bits_is_kept_and_coded_as_in_python_by_the_same_libwebp(c_library, tiny):
    if not c_library.c.aec_has_alpha_encoder(c_uint32(8)):
        pytest.skip("the library was built without libwebp")
    image = IMAGES["alpha"].copy()
    image[:64, :64, 3] = 255
    file = c_library.open(tiny.encode(image, tile=64))
    assert np.array_equal(file.decode(c_library.model(GOLDEN / "tiny2.safetensors"))[..., 3], image[..., 3])
    ours, theirs = alphas_of(tiny, image)
    assert list(map(bool, ours)) == list(map(bool, theirs)) == [False] + [True] * 5
    if version_of_libwebp() == features.version("webp"):
        assert ours == theirs
    assert sum(map(len, ours)) < 1.1 * sum(map(len, theirs))


@pytest.mark.parametrize("quality", [1, 40, 80])
def test_alpha_of_8_bits_gets_fewer_levels_at_a_quality_as_in_python_by_the_same_libwebp(c_library, tiny, quality):
    if not c_library.c.aec_has_alpha_encoder(c_uint32(8)):
        pytest.skip("the library was built without libwebp")
    image = np.dstack([photos.photo(64, 64), np.random.default_rng(2).integers(0, 256, (64, 64), np.uint8)])
    ours, theirs = alphas_of(tiny, image, quality)
    if version_of_libwebp() == features.version("webp"):
        assert ours == theirs
    model, exact = c_library.model(GOLDEN / "tiny2.safetensors"), tiny.encode(image, tile=64)
    file = tiny.encode(image, tile=64, alpha_quality=quality)
    assert len(file) < len(exact)
    fewer = c_library.open(file).decode(model)[..., 3]
    assert len(np.unique(fewer)) < len(np.unique(image[..., 3])) and (fewer[image[..., 3] == 0] == 0).all()
    flat = np.dstack([photos.photo(64, 64), np.full((64, 64), 128, np.uint8)])  # for which no levels can be saved
    assert tiny.encode(flat, alpha_quality=quality) == tiny.encode(flat)


def test_options_that_an_older_library_initialised_keep_alpha_exactly(tiny):
    """Such a library leaves the fields that it does not know at 0."""
    image = IMAGES["alpha"]
    assert tiny.encode(image, alpha_quality=0) == tiny.encode(image, alpha_quality=100) == tiny.encode(image)


def version_of_libwebp() -> str | None:
    """Of the system's, which the C library is linked with."""
    try:
        number = ctypes.CDLL("libwebp.so.7").WebPGetEncoderVersion()
    except OSError:
        return None
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"

"""The C library's encoder: the files that Python makes, byte for byte; and errors for what it refuses."""

import ctypes
from ctypes import POINTER, byref, c_int32, c_size_t, c_uint32, c_void_p
from dataclasses import replace
from pathlib import Path

import capi
import numpy as np
import photos
import pytest
from PIL import Image

from codec.coding import engine, model_file, quality_map, tiles
from codec.container import format
from codec.container.metadata import Metadata
from codec.errors import LimitError, ModelError
from codec.picture import alpha
from codec.picture.samples import Pixels

GOLDEN = Path(__file__).parent / "golden"
WRITE = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t)
STATUS_OF_IO, STATUS_OF_CANCELLED = 10, 11


class Bytes(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]

    @classmethod
    def of(cls, data: bytes) -> "Bytes":
        return cls(ctypes.cast(ctypes.c_char_p(data), c_void_p), len(data))


class AlphaTile(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in ("width", "height", "depth")),
        ("samples", c_void_p),
        ("stride", c_size_t),
        ("write", WRITE),
        ("write_user", c_void_p),
    ]


ALPHA = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(AlphaTile))


class EncodeOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in ("quality", "effort", "progressive", "tile", "threads")),
        ("map", Bytes),
        ("metadata", Bytes * 8),
        ("progress", capi.PROGRESS),
        ("progress_user", c_void_p),
        ("alpha", ALPHA),
        ("alpha_user", c_void_p),
        ("alpha_quality", c_uint32),
    ]


class Picture(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, c_uint32) for name in ("width", "height", "channels", "depth")),
        ("pixels", c_void_p),
        ("stride", c_size_t),
        ("size", c_size_t),
    ]


class Encoder:
    def __init__(self, library: capi.Library, source: bytes | Path):
        self.library, self.handle = library, c_void_p()
        library.c.aec_encoder_close.argtypes, library.c.aec_encoder_close.restype = [c_void_p], None
        if isinstance(source, Path):
            library.call("aec_encoder_open_path", str(source).encode(), c_uint32(2), byref(self.handle))
        else:
            library.call("aec_encoder_open_memory", source, c_size_t(len(source)), c_uint32(1), byref(self.handle))

    def __del__(self):
        self.library.c.aec_encoder_close(self.handle)

    def made(self, kind: type, name: str, **fields):
        value = kind()
        getattr(self.library.c, f"aec_{name}_init")(byref(value), c_size_t(ctypes.sizeof(value)))
        for field, given in fields.items():
            setattr(value, field, given)
        return value

    def encode(self, image: np.ndarray, stride: int = 0, status: int = 0, of_picture: dict | None = None, **options):
        """The file of an image [H, W, C], whose rows lie `stride` bytes apart; `status` is what `write` returns."""
        height, width, channels = image.shape
        row = width * channels * image.itemsize
        stride = stride or row
        memory = np.full((height, stride), 0x5A, np.uint8)
        memory[:, :row] = np.ascontiguousarray(image).view(np.uint8).reshape(height, row)
        sizes = {"width": width, "height": height, "channels": channels, "depth": 8 * image.itemsize}
        where = {"pixels": memory.ctypes.data, "stride": stride, "size": memory.size - (stride - row)}
        picture = self.made(Picture, "picture", **(sizes | where | (of_picture or {})))
        written = []

        def write(_, data: int, size: int) -> int:
            written.append(ctypes.string_at(data, size))
            return status

        given = self.made(EncodeOptions, "encode_options", **options)
        self.library.call("aec_encode_picture", self.handle, byref(picture), byref(given), WRITE(write), None)
        assert len(written) == 1
        return written[0]


@pytest.fixture(scope="module", params=["tiny2", "tiny4"])
def pair(c_library, request):
    """The encoder of a model in C and in Python."""
    path = GOLDEN / f"{request.param}.safetensors"
    return Encoder(c_library, path), engine.Encoder(model_file.load(path))


def in_python(encoder, image, quality, side, effort, progressive=False, blocks=None, alphas=(), metadata=None) -> bytes:
    opaque = image.shape[2] in (1, 3)
    pixels = Pixels(image) if opaque else Pixels(image[..., :-1], image[..., -1] if alphas else None)
    header = pixels.header(quality, encoder.file.id, side)
    header = replace(header, first=tiles.first_of(encoder.file, quality) if progressive else 0)
    coded = tiles.encode(encoder, pixels, header, effort, quality=blocks)
    return tiles.file(encoder, header, coded, blocks, alphas, metadata)


def deep(image: np.ndarray) -> np.ndarray:
    return image.astype(np.uint16) * 257 + np.arange(image.shape[2], dtype=np.uint16)


IMAGES = {
    "a pixel": photos.photo(1, 1),
    "colours": photos.photo(83, 150),
    "gray": photos.photo(70, 33)[..., :1],
    "16 bits": deep(photos.photo(50, 61)),
    "gray, opaque alpha": np.dstack([photos.photo(40, 70)[..., :1], np.full((40, 70), 255, np.uint8)]),
}


@pytest.mark.parametrize("effort", [1, 2, 5])
@pytest.mark.parametrize("name", IMAGES)
def test_files_are_those_of_python(pair, name, effort):
    ours, theirs = pair
    for quality, threads in ((20, 1), (90, 3)):
        file = ours.encode(IMAGES[name], quality=quality, effort=effort, tile=64, threads=threads)
        assert file == in_python(theirs, IMAGES[name], quality, 64, effort)


def test_rows_may_lie_apart(pair):
    image = IMAGES["16 bits"]
    assert pair[0].encode(image, stride=401) == pair[0].encode(image)


def test_a_map_and_metadata_are_written_as_python_does(pair):
    ours, theirs = pair
    image = photos.photo(130, 200)
    metadata = {"icc": b"icc" * 500, "exif": b"II*\0", "xmp": bytes(300), "cicp": bytes([9, 16, 0, 1]), "bits": b"\6"}
    metadata["extra"] = Metadata(extra={"gain": b"a block"}).blocks()["extra"]
    for values in ([7, 7, 7, 7] * 3, range(20, 32)):
        blocks = np.array(values, np.uint8).reshape(3, 4)
        sections = (Bytes * 8)(*map(Bytes.of, metadata.values()))
        file = ours.encode(image, quality=25, map=Bytes.of(blocks.tobytes()), metadata=sections, tile=128)
        assert file == in_python(theirs, image, 25, 128, 2, blocks=blocks, metadata=metadata)
        layout = format.read(file)
        assert np.array_equal(quality_map.decode(layout.header, layout.quality_map, theirs.file.tables), blocks)


def test_progressive_and_large_files_are_in_parts_as_pythons(c_library, shipped):
    ours, theirs = Encoder(c_library, shipped.path), engine.encoder(shipped.path)
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    for progressive in (0, 1):
        file = ours.encode(image, quality=95, progressive=progressive)
        assert format.read(file).header.parts == (9 if progressive else 5)
        assert file == in_python(theirs, image, 95, 1024, 2, bool(progressive))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_coded_by_the_callers_function(pair, dtype):
    ours, theirs = pair
    white = np.iinfo(dtype).max
    image = np.dstack([photos.photo(90, 100).astype(dtype) * (white // 255), np.full((90, 100), white, dtype)])
    image[20:50, :40, 3] = 0

    def code(_, tile) -> int:
        t = tile.contents
        kind = np.uint8 if t.depth == 8 else np.uint16
        samples = np.frombuffer(ctypes.string_at(t.samples, t.stride * t.height), kind).reshape(t.height, t.width)
        (coded,) = alpha.encode(samples, [format.Tile(0, 0, t.width, t.height)], 100)
        return t.write(t.write_user, coded, len(coded))

    file = ours.encode(image, tile=64, alpha=ALPHA(code))
    header = Pixels(image[..., :3], image[..., 3]).header(75, theirs.file.id, 64)
    alphas = alpha.encode(image[..., 3], header.tiles, 100)
    assert list(map(bool, alphas)) == [True, False, False, False]
    assert file == in_python(theirs, image, 75, 64, 2, alphas=alphas)
    with pytest.raises(capi.STATUSES[4], match="the encoder of alpha has returned the status 4"):
        ours.encode(image, alpha=ALPHA(lambda user, tile: 4))


def coded_alpha(height: int, width: int, dtype: type) -> bytes:
    samples = np.zeros((height, width), dtype)
    return alpha.encode(samples, [format.Tile(0, 0, width, height)], 100)[0]


@pytest.mark.parametrize(
    ("dtype", "pieces", "words"),
    [
        (np.uint8, [b"hello"], "has written a payload that is no WebP picture"),
        (np.uint8, [b""], "has written a payload that is no WebP picture"),
        (np.uint8, [coded_alpha(5, 6, np.uint8)], "has written a picture of 6x5 pixels: expected 7x5"),
        (np.uint8, [coded_alpha(5, 7, np.uint16)], "has written a payload that is no WebP picture"),
        (np.uint16, [coded_alpha(5, 7, np.uint8)], "has written a payload that is no PNG picture"),
        (np.uint8, [], "has written 0 times: once is needed"),
        (np.uint8, [coded_alpha(5, 7, np.uint8)] * 2, "has written 2 times: once is needed"),
    ],
)
def test_alpha_that_no_decoder_would_take_is_refused(pair, dtype, pieces, words):
    def code(_, tile) -> int:
        for piece in pieces:
            tile.contents.write(tile.contents.write_user, piece, len(piece))
        return 0

    with pytest.raises(ValueError, match=f"the encoder of alpha {words}"):
        pair[0].encode(np.zeros((5, 7, 4), dtype), alpha=ALPHA(code))


def test_shares_rise_to_1_and_a_caller_can_stop(pair):
    shares = []
    pair[0].encode(
        photos.photo(70, 130), effort=5, tile=64, threads=2, progress=capi.PROGRESS(lambda _, s: shares.append(s) or 0)
    )
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == 6 * 5
    with pytest.raises(InterruptedError):
        pair[0].encode(photos.photo(70, 130), effort=5, progress=capi.PROGRESS(lambda _, share: 1))
    with pytest.raises(OSError, match="write"):
        pair[0].encode(photos.photo(8, 8), status=STATUS_OF_IO)
    with pytest.raises(InterruptedError):
        pair[0].encode(photos.photo(8, 8), status=STATUS_OF_CANCELLED)
    for unknown in (13, 77, 1000, -1):
        with pytest.raises(ValueError, match=f"write has returned the status {unknown}"):
            pair[0].encode(photos.photo(8, 8), status=unknown)


@pytest.mark.parametrize(
    ("options", "of_picture", "message"),
    [
        ({"quality": 0}, {}, "quality is 0"),
        ({"quality": 101}, {}, "quality is 101"),
        ({"effort": 10}, {}, "effort is 10"),
        ({"alpha_quality": 101}, {}, "alpha_quality is 101: expected 0 to 100"),
        ({"alpha_quality": 99, "alpha": ALPHA(lambda user, tile: 0)}, {}, "99: the function that codes alpha chooses"),
        ({"tile": 0}, {}, "tile"),
        ({"tile": 100}, {}, "tile side 100"),
        ({"map": Bytes.of(b"ab")}, {}, "a map of 2"),
        ({"map": Bytes.of(b"\0")}, {}, "of the map is 0"),
        ({"metadata": (Bytes * 8)(Bytes(None, 0), Bytes(None, 3))}, {}, "exif metadata is NULL"),
        ({"metadata": (Bytes * 8)(*[Bytes(None, 0)] * 3, Bytes.of(b"abc"))}, {}, "cicp metadata of 3 bytes: 4"),
        ({"metadata": (Bytes * 8)(*[Bytes(None, 0)] * 3, Bytes.of(b"abcd"))}, {}, "code points of matrix 99"),
        ({"metadata": (Bytes * 8)(*[Bytes(None, 0)] * 4, Bytes.of(b"\x08"))}, {}, "8 significant bits"),
        ({"metadata": (Bytes * 8)(*[Bytes(None, 0)] * 5, Bytes.of(b"a"))}, {}, "extra block"),
        ({"metadata": (Bytes * 8)(*[Bytes(None, 0)] * 7, Bytes.of(b"a"))}, {}, "kind 7, which is unknown"),
        ({}, {"channels": 5}, "channels is 5"),
        ({}, {"depth": 12}, "depth is 12"),
        ({}, {"width": 0}, "0x9"),
        ({}, {"pixels": None}, "pixels is NULL"),
        ({}, {"stride": 23}, "stride is 23"),
        ({}, {"size": 200}, "size is 200"),
    ],
)
def test_wrong_arguments_are_named(pair, options, of_picture, message):
    with pytest.raises(ValueError, match=message):
        pair[0].encode(photos.photo(9, 8), of_picture=of_picture, **options)


@pytest.mark.parametrize(("width", "height"), [(8, 70000), (2**32 - 1, 1), (65535, 4097)])
def test_pictures_that_are_too_large_are_refused_as_in_python(pair, width, height):
    with pytest.raises(LimitError, match=f"image of {width}x{height}: allowed are"):
        pair[0].encode(photos.photo(9, 8), of_picture={"width": width, "height": height})


def test_pictures_that_are_not_upright_are_refused(pair):
    exif = Image.Exif()
    exif[0x0112] = 6
    sections = {1: exif.tobytes(), 2: b'<x tiff:Orientation="8"/>'}
    for kind, block in sections.items():
        given = [Bytes(None, 0)] * kind + [Bytes.of(block)]
        with pytest.raises(ValueError, match=f"metadata of orientation {6 if kind == 1 else 8}: turn the picture"):
            pair[0].encode(photos.photo(9, 8), metadata=(Bytes * 8)(*given))
    exif[0x0112] = 1
    file = pair[0].encode(photos.photo(9, 8), metadata=(Bytes * 8)(Bytes(None, 0), Bytes.of(exif.tobytes())))
    assert format.read(file).metadata["exif"].unpack() == exif.tobytes()


def test_an_encoder_has_the_id_of_its_model(pair):
    out = ctypes.create_string_buffer(4)
    pair[0].library.c.aec_encoder_get_id(pair[0].handle, out)
    assert out.raw == pair[1].file.id == format.read(pair[0].encode(photos.photo(9, 8))).header.model_id


def test_models_that_cannot_encode_are_refused(c_library):
    whole = (GOLDEN / "tiny2.safetensors").read_bytes()
    with pytest.raises(ModelError):
        Encoder(c_library, whole[:-1])
    start = 8 + int.from_bytes(whole[:8], "little")
    damaged = bytearray(whole)
    damaged[start + whole[start:].index(b"\1")] ^= 64
    with pytest.raises(ModelError, match="sha256"):
        Encoder(c_library, bytes(damaged))
    with pytest.raises(OSError):
        Encoder(c_library, Path("/nowhere/model.safetensors"))


def test_the_model_may_be_given_as_memory(c_library, pair):
    data = (GOLDEN / "tiny2.safetensors").read_bytes()
    assert len(Encoder(c_library, data).encode(IMAGES["colours"])) > 100

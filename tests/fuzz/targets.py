"""What is fuzzed: for each target the inputs it begins with, how they are changed, and what must hold.

Everything is small: a picture of more than MAX_PIXELS takes long and does the same.
"""

import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import tiffs
from fuzz import aec_parts, picture_parts, pictures
from PIL import Image, ImageFile, UnidentifiedImageError

import codec
from codec.cli.inspect import describe, describe_collection
from codec.container import collection, format
from codec.container.metadata import Metadata, reset_orientation
from codec.errors import AecError
from codec.io import OutputError
from codec.picture import carried, code_points, export, extended_xmp, pixels, png_chunks, samples, stored

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden"  # its models are tiny: $AEC_MODELS names them
MAX_PIXELS = 1 << 14
Damaged = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Target:
    """Something that reads what it is given.

    Args:
        seeds: sound inputs.
        changed: another input, by something that changes some bytes.
        check: what became of an input, in a word. Raises what is a finding.
    """

    seeds: Callable[[], list[bytes]]
    changed: Callable[[bytes, random.Random, Damaged], bytes]
    check: Callable[[bytes], str]


# ------------------------------------------------------------------ container: whole .aec files


def _aec_files() -> list[bytes]:
    files = [path.read_bytes() for path in sorted(GOLDEN.glob("*.aec"))]
    for data in pictures.files():
        if format.stored_kind(data):
            try:
                files.append(stored.original(pixels.of_file(data), data))
            except ValueError:
                pass  # an animation
    blocks = Metadata(pictures.SRGB, pictures.LONG_EXIF, pictures.XMP)
    files.append(codec.encode(pictures.picture(5, 6)[..., :3], lossless=True, metadata=blocks))
    return [data for data in files if data]


def check_container(data: bytes) -> str:
    """A file decodes to a picture of the header's size, any part and scale of it too, or raises an AecError."""
    for of_the_head in (codec.inspect, codec.read_metadata, lambda data: describe(codec.open(data, max_pixels=None))):
        try:
            of_the_head(data)
        except AecError:
            pass
    try:
        whole = codec.decode(data, device="cpu", output="numpy", max_pixels=MAX_PIXELS)
    except AecError as error:
        return type(error).__name__
    header = codec.inspect(data)
    codec.read_metadata(data)
    channels = (1 if header.gray else 3) + header.alpha
    expected = (header.height, header.width, channels) if channels > 1 else (header.height, header.width)
    if whole.dtype.itemsize * 8 != header.depth or whole.shape != expected:
        raise AssertionError(f"decoded to {whole.dtype} {whole.shape}, expected {header.depth} bits, {expected}")
    rng = random.Random(zlib.crc32(data))
    x, y = rng.randrange(header.width), rng.randrange(header.height)
    width, height = rng.randint(1, header.width - x), rng.randint(1, header.height - y)
    part = codec.decode(data, device="cpu", output="numpy", region=(x, y, width, height))
    if not np.array_equal(part, whole[y : y + height, x : x + width]):
        raise AssertionError(f"another picture in the region {(x, y, width, height)}")
    shrink = rng.choice((2, 4, 8))
    smaller = codec.decode(data, device="cpu", scale=1 / shrink, depth=8)
    if smaller.size != (-(-header.width // shrink), -(-header.height // shrink)):
        raise AssertionError(f"{smaller.size} of {header.width}x{header.height} at 1/{shrink}")
    fit = rng.randint(1, 2 * header.width), rng.randint(1, 2 * header.height)
    fitted = codec.decode(data, device="cpu", region=(x, y, width, height), fit=fit, depth=8)
    if fitted.width > min(width, fit[0]) or fitted.height > min(height, fit[1]):
        raise AssertionError(f"{fitted.size} of {width}x{height} within {fit}")
    return "decoded"


# ------------------------------------------------------------------ stored: the pictures that people hand in


def check_stored(data: bytes) -> str:
    """A picture is refused as `pixels.read_file` says, or what it becomes without loss gives it back."""
    try:
        samples, metadata = pixels.read_file(data, MAX_PIXELS)
    except (ValueError, UnidentifiedImageError) as error:
        return type(error).__name__
    picture = pixels.upright(samples, metadata)
    own = stored.original(picture, data)
    _come_back(own, picture, data)
    _opened_by_pillow(data, samples)
    return "kept" if own else "read"


def _opened_by_pillow(data: bytes, samples: np.ndarray) -> None:
    """What is handed in as a PIL image has the same samples, if Pillow opens it.

    Not the same metadata: of PNG chunks behind the pixels Pillow takes those whose checksum is wrong, too.
    """
    try:
        image = Image.open(io.BytesIO(data))
    except Exception:
        return  # it gives up files for blocks that nobody needs
    if image.format == "XBM":
        return  # of Pillow's images aec takes what Pillow says, and that is the negative
    try:
        found, _ = pixels.read(image)
    except ValueError:
        return
    if not np.array_equal(found, samples):
        raise AssertionError("another picture when Pillow has opened it")


def _come_back(own: bytes | None, picture: samples.Pixels, data: bytes) -> None:
    """From an .aec file that holds the picture's own, if there is one; and now and then, as that takes longer, from one
    that is made."""
    for file in [own] + [stored.lossless(picture, effort=1, exact=True)] * (zlib.crc32(data) % 4 == 0):
        if file is not None:
            _same(file, picture)


def _same(file: bytes, picture: samples.Pixels) -> None:
    if not np.array_equal(codec.decode(file, output="numpy"), samples.to_numpy(picture)):
        raise AssertionError("another picture came back")
    if (found := codec.read_metadata(file)) != picture.metadata:
        raise AssertionError(f"metadata {found} came back, of {picture.metadata}")


# ------------------------------------------------------------------ metadata: blocks, damaged and odd

# An input is a byte that says where blocks go, and then of each block a byte for its kind, two for its length, and it.
RGB = pictures.picture(6, 5)[..., :3]
_PNG, _JPEG, _WEBP = (pictures.saved("RGB", kind, (6, 5)) for kind in ("PNG", "JPEG", "WEBP"))
_CMYK = pictures.saved("CMYK", "JPEG", (6, 5))
_GRAY_PNG = pictures.saved("L", "PNG", (6, 5))
_PNG_NAMES = (
    b"iCCP",
    b"iTXt",
    b"zTXt",
    b"tEXt",
    b"eXIf",
    b"cICP",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"sBIT",
    b"pHYs",
    b"tIME",
)
_JPEG_MARKERS = (0xE1, 0xE2, 0xE0, 0xED, 0xEE, 0xFE, 0xE3, 0xEF)
_JPEG_STARTS = (b"", b"Exif\0\0", b"ICC_PROFILE\0\1\1", b"http://ns.adobe.com/xap/1.0/\0", extended_xmp.EXTENSION)
_WEBP_NAMES = (b"ICCP", b"EXIF", b"XMP ", b"ABCD")
_TIFF_TAGS = (700, 34675, 301, 318, 319, 270, 271, 306, 315, 33432, 34665, 34853, 37724, 274)
_TIFF_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B", 8: "h"}
DOORS = ("aec", "PNG", "PNG behind", "JPEG", "WebP", "TIFF", "CMYK JPEG", "gray PNG")


def records(door: str, *blocks: tuple[int, bytes]) -> bytes:
    """An input."""
    parts = (struct.pack("<BH", kind, len(block)) + block for kind, block in blocks)
    return bytes([DOORS.index(door)]) + b"".join(parts)


def _blocks(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 1
    while at + 3 <= len(data):
        kind, length = struct.unpack_from("<BH", data, at)
        found.append((kind, data[at + 3 : at + 3 + length]))
        at += 3 + length
    return found[:20]


def _metadata_inputs() -> list[bytes]:
    exif, xmp, icc = (pictures.EXIF, pictures.LONG_EXIF), pictures.XMP, pictures.SRGB
    inputs = [records("aec", (0, icc), (1, block), (2, xmp)) for block in exif]
    inputs += [records("aec", (128, xmp.ljust(1200)), (129, icc), (130, bytes(1200)))]
    raw = b"Raw profile type %s\0\0" + zlib.compress(b"\nx\n  %d\n%s" % (26, exif[0].hex().encode()))
    texts = (b"XML:com.adobe.xmp\0\0\0\0\0" + xmp, b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp))
    chromaticities = struct.pack(">8I", *(round(v * 1e5) for v in (0.3, 0.3, 0.7, 0.3, 0.2, 0.7, 0.1, 0.1)))
    chunks = [(0, b"p\0\0" + zlib.compress(icc)), (4, exif[0]), (4, exif[1]), (1, texts[0]), (1, texts[1])]
    chunks += [(2, raw % name) for name in (b"exif", b"APP1", b"xmp", b"icc")]
    chunks += [(5, bytes([9, 16, 0, 1])), (5, bytes([12, 13, 0, 1])), (5, bytes([1, 1, 0, 0])), (5, b"\xff\2\0\1")]
    chunks += [(6, struct.pack(">I", 45455)), (6, bytes(4)), (7, chromaticities), (8, b"\0"), (9, b"\5\5\5"), (10, b"")]
    for door in ("PNG", "PNG behind", "gray PNG"):
        inputs += [records(door, *chunks[i : i + 3]) for i in range(0, len(chunks), 2)]
    extension = struct.pack(">II", 60, 0) + b'<x><rdf:RDF xmlns:a="b"><rdf:Description a:b="1"/></rdf:RDF>'.ljust(60)
    segments = [
        (8, exif[0]),
        (8, exif[1][:30]),
        (8, exif[1][30:]),
        (24, xmp),
        (32, b"0123456789ABCDEF" * 2 + extension),
    ]
    segments += [(17, icc), (2, b"JFIF\0\1\1"), (3, b"Photoshop 3.0\x008BIM\4\4"), (4, b"Adobe\0d\0\0\0\0\2"), (5, b"")]
    for door in ("JPEG", "CMYK JPEG"):
        inputs += [records(door, *segments[i : i + 4]) for i in range(0, len(segments), 2)]
    inputs.append(records("WebP", (0, icc), (1, exif[0]), (2, xmp)))
    inputs.append(records("WebP", (1, b"Exif\0\0" + exif[1]), (3, b"?")))
    curve = struct.pack("<256H", *range(0, 65536, 256))
    n = len(_TIFF_TAGS)
    fields = [(0, xmp), (1 + n * 5, icc), (2 + n * 2, curve), (3 + n * 4, struct.pack("<4I", 3, 10, 3, 10))]
    fields += [(5 + n, b"a title\0"), (10 + n * 3, struct.pack("<I", 8)), (10, b"\0\0\0\0\0\0"), (13 + n * 2, b"\6\0")]
    return inputs + [records("TIFF", *fields[i : i + 3]) for i in range(len(fields))]


def _changed_blocks(data: bytes, rng: random.Random, damaged: Damaged) -> bytes:
    """One block damaged, also beneath deflation, or taken to another place; or all bytes damaged."""
    blocks = _blocks(data)
    if not blocks or rng.random() < 0.1:
        return damaged(data)
    i = rng.randrange(len(blocks))
    kind, block = blocks[i]
    choice = rng.randrange(8)
    if choice < 4:
        blocks[i] = (kind, damaged(block))
    elif choice == 4:
        blocks[i] = (kind, picture_parts.deflated(block, damaged) or damaged(block))
    elif choice == 5:
        blocks[i] = (rng.randrange(256), block)
    elif choice == 6:
        blocks.insert(rng.randrange(len(blocks) + 1), (kind, block))
    else:
        del blocks[i]
    door = rng.randrange(len(DOORS)) if rng.random() < 0.05 else data[0]
    return bytes([door]) + b"".join(struct.pack("<BH", k, len(b[:65535])) + b[:65535] for k, b in blocks)


def check_metadata(data: bytes) -> str:
    """Whatever the blocks are, the picture is read; and they come back from an .aec file as they were read."""
    door = DOORS[data[0] % len(DOORS)] if data else DOORS[0]
    blocks = _blocks(data)
    if door == "aec":
        _check_carried(blocks)
        return door
    file, right = _with_blocks(door, blocks)
    try:
        samples, metadata = pixels.read_file(file, MAX_PIXELS)
    except ValueError as error:
        if door == "TIFF":  # whose fields are not blocks apart: a damaged one may be told
            return type(error).__name__
        raise
    if right is not None and not np.array_equal(samples, right):
        raise AssertionError(f"other samples in a {door} file")
    picture = pixels.upright(samples, metadata)
    own = stored.original(picture, file)
    if own is None and door != "TIFF":
        raise AssertionError(f"a {door} file that is not kept as it is")
    _come_back(own, picture, file)
    return door


def _with_blocks(door: str, blocks: list[tuple[int, bytes]]) -> tuple[bytes, np.ndarray | None]:
    """A file of a picture with blocks; and its samples, unless they depend on those."""
    if "PNG" in door:
        chunks = []
        for kind, block in blocks:
            chunk = png_chunks.chunk(_PNG_NAMES[kind % len(_PNG_NAMES)], block)
            chunks.append(chunk if kind < 240 else chunk[:-1] + bytes([chunk[-1] ^ 1]))
        png = _GRAY_PNG if "gray" in door else _PNG
        at = len(png) - 12 if "behind" in door else 33
        return png[:at] + b"".join(chunks) + png[at:], _samples(png)
    if "JPEG" in door:
        jpeg = _CMYK if "CMYK" in door else _JPEG
        segments = []
        for kind, block in blocks:
            marker = _JPEG_MARKERS[kind % len(_JPEG_MARKERS)]
            start = _JPEG_STARTS[kind // len(_JPEG_MARKERS) % len(_JPEG_STARTS)]
            if marker in (0xE0, 0xEE) and start + block[:5] in (b"JFIF\0", b"Adobe"):
                marker = 0xE3  # which tell of the samples
            content = (start + block)[:65533]
            segments.append(struct.pack(">BBH", 255, marker, len(content) + 2) + content)
        return jpeg[:2] + b"".join(segments) + jpeg[2:], None if "CMYK" in door else _samples(jpeg)
    if door == "WebP":
        chunks = [(_WEBP_NAMES[kind % len(_WEBP_NAMES)], block) for kind, block in blocks]
        flags = sum({b"ICCP": 32, b"EXIF": 8, b"XMP ": 4}.get(name, 0) for name in {name for name, _ in chunks})
        head = struct.pack("<I", flags) + (4).to_bytes(3, "little") + (5).to_bytes(3, "little")
        before = [part for part in chunks if part[0] == b"ICCP"]
        own = picture_parts.split(_WEBP).parts
        parts = [(b"VP8X", head), *before, *own, *(part for part in chunks if part[0] != b"ICCP")]
        return picture_parts.Parts("WebP", parts).assembled(), _samples(_WEBP)
    fields = {}
    for kind, block in blocks:
        tag, kind = _TIFF_TAGS[kind % len(_TIFF_TAGS)], list(_TIFF_TYPES)[kind // len(_TIFF_TAGS) % len(_TIFF_TYPES)]
        letter = _TIFF_TYPES[kind]
        n = len(block) // struct.calcsize("<" + letter) & (~1 if kind == 5 else ~0)
        fields[tag] = (kind, list(struct.unpack_from(f"<{n}{letter}", block)))
    return tiffs.file(tiffs.picture(RGB, 8, 2, more=fields)), RGB


def _samples(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def _check_carried(blocks: list[tuple[int, bytes]]) -> None:
    """Metadata of an .aec file: read, told to Pillow, and written into files of other kinds."""
    # Those of a kind above 127 are made too long for a segment of a JPEG file.
    kinds = ("icc", "exif", "xmp")
    given = Metadata(**{kinds[kind % 3]: block * (1 + kind // 128 * 60) for kind, block in blocks if block})
    for kind, block in blocks:  # code points and bits, of those that are long enough
        if kind % 3 == 0 and len(block) >= 4:
            given = replace(given, cicp=(block[0], block[1], 0, block[2] & 1), bits=1 + block[3] % 15)
            given = replace(given, extra={"Fuzz": block, f"T{kind:03}": b""})
    given = code_points.settled(given, gray=False, depth=8)
    aec = codec.encode(RGB, lossless=True, metadata=given)
    if codec.read_metadata(aec) != reset_orientation(given):
        raise AssertionError("other metadata came back")
    picture = codec.decode(aec)
    metadata = carried.of(picture)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        try:
            made = export.encoded(picture.copy(), kind, metadata, exact=kind == "WEBP")
        except OutputError:
            continue
        samples, _ = pixels.read_file(made, MAX_PIXELS)
        if kind != "JPEG" and not np.array_equal(samples, RGB):
            raise AssertionError(f"other samples in the {kind} file")


# ------------------------------------------------------------------ pillow: the plugin


def check_pillow(data: bytes) -> str:
    """Opening raises UnidentifiedImageError; loading and verifying OSError; and nothing raises anything else."""
    with mock.patch.object(Image, "MAX_IMAGE_PIXELS", MAX_PIXELS), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=["AEC"])
        except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            return type(error).__name__
        return _use(image, data, random.Random(zlib.crc32(data)))


def _use(image: Image.Image, data: bytes, rng: random.Random) -> str:
    mode, size = image.mode, image.size
    side = rng.choice([1, 5, 20, 70, 500])
    types = {"quality": int, "model": str, "dpi": tuple, "cicp": tuple, "significant_bits": int}
    for name, value in image.info.items():
        if not isinstance(value, types.get(name, bytes)):
            raise AssertionError(f"info has {name}: {type(value)}")
    if rng.random() < 0.2:
        try:
            with Image.open(io.BytesIO(data)) as other:
                other.verify()
        except OSError:
            pass
    if rng.random() < 0.1:
        _feed(data, rng)
    try:
        # Of I;16 Pillow makes no thumbnails, whatever the file: "image has wrong mode".
        use = rng.choice(("load", "load", "draft", "convert", "load" if mode == "I;16" else "thumbnail"))
        if use == "draft":
            image.draft(rng.choice([None, "L", "RGB"]), (side, side))
            size = image.size
        elif use == "thumbnail":
            image.thumbnail((side, side))
            size = image.size
        elif use == "convert":
            image.convert("RGB")
        image.load()
    except OSError:
        try:
            image.load()
        except OSError:
            return "OSError"
        raise AssertionError("what could not be loaded can be the second time") from None
    if image.mode != mode or image.size != size or image.im.size != size or image.im.mode != mode:
        raise AssertionError(f"a picture of {image.im.mode} {image.im.size} was said to be one of {mode} {size}")
    file = io.BytesIO()
    options = rng.choice([{}, {}, {"exif": b"", "xmp": None}, {"icc_profile": b"any"}])
    image.save(file, "AEC", lossless=True, **options)
    Image.open(file).load()
    return "loaded"


def _feed(data: bytes, rng: random.Random) -> None:
    parser = ImageFile.Parser()
    try:
        at = 0
        while at < len(data):
            n = rng.randint(1, 400)
            parser.feed(data[at : at + n])
            at += n
        parser.close()
    except (OSError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass


# ------------------------------------------------------------------ collection: whole files of small pictures


def _collections() -> list[bytes]:
    files = [path.read_bytes() for path in sorted((GOLDEN / "collections").glob("*.aec"))]
    whole = [collection.read(data) for data in files]
    for layout in whole:  # small ones, of which a change hits every field
        header = replace(layout.header, count=3, block=2)
        files.append(collection.write(header, [bytes(layout.payloads[0])[-40:]] * 2, layout.names[:3]))
    return files


def _changed_collection(data: bytes, rng: random.Random, damaged: Damaged) -> bytes:
    """Change bytes; or a field, a payload or the names, with right checksums."""
    if rng.random() < 0.3:
        return damaged(data)
    layout = collection.read(data)
    payloads, names, header = [bytes(p) for p in layout.payloads], list(layout.names), layout.header
    if (kind := rng.randrange(3)) == 0:
        at = rng.randrange(len(payloads))
        payloads[at] = damaged(payloads[at]).ljust(5, b"\0")
    elif kind == 1:
        field = rng.choice(("width", "height", "quality", "channels", "model_id"))
        values = {"channels": (1, 3), "model_id": (bytes(4),)}.get(field, (1, 8, 99, 100))
        header = replace(header, **{field: rng.choice(values)})
    elif names:
        packed = damaged("\n".join(names).encode()).decode(errors="replace").replace("\0", "")
        names = [name for name in dict.fromkeys(packed.split("\n")) if name][: header.count]
        header = replace(header, count=max(1, len(names)))
        payloads = payloads[: header.n_blocks]
    try:
        return collection.write(header, payloads, names)
    except ValueError:
        return damaged(data)


def check_collection(data: bytes) -> str:
    """A collection decodes to pictures of the header's size, each the same by itself, or raises an AecError."""
    try:
        made = codec.open_collection(data)
        describe_collection(made)
        whole = made.decode(max_pixels=1 << 17)
    except AecError as error:
        return type(error).__name__
    h = made.header
    if whole.dtype != np.uint8 or whole.shape[:3] != (h.count, h.height, h.width):
        raise AssertionError(f"decoded to {whole.dtype} {whole.shape}, expected {h}")
    i = random.Random(zlib.crc32(data)).randrange(h.count)
    if not np.array_equal(made[i], whole[i]):
        raise AssertionError(f"another picture {i}")
    made.verify(deep=True)
    return "decoded"


TARGETS = {
    "collection": Target(_collections, _changed_collection, check_collection),
    "container": Target(_aec_files, aec_parts.changed, check_container),
    "stored": Target(pictures.files, picture_parts.changed, check_stored),
    "metadata": Target(_metadata_inputs, _changed_blocks, check_metadata),
    "pillow": Target(_aec_files, aec_parts.changed, check_pillow),
}

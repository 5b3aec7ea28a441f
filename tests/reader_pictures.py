"""The pictures that lie inside .aec files (FORMAT §2.8 and §2.9), for tests/reader.py: WebP and JPEG by Pillow.

PNG is read here because Pillow makes 8 bits of 16-bit colours. Two things of FORMAT §2.9 are missing: blocks that are
missing inside a JPEG file, which Pillow fills with gray, and what sRGB, gAMA and cHRM of a PNG file say.
"""

import io
import re
import struct
import zlib

import numpy as np
import reader_basics
from PIL import Image
from reader_basics import CorruptError

PNG = b"\x89PNG\r\n\x1a\n"
MOST_DEFLATED = 1 << 26


def require(condition, message):
    """Raise a CorruptError unless the condition holds."""
    reader_basics.require(condition, CorruptError, message)


def alpha_tile(data, width, height, depth):
    """FORMAT §2.8: the alpha of a tile, [height, width]."""
    opaque = np.full((height, width), (1 << depth) - 1)
    if depth == 16:
        require(data.startswith(PNG), "the alpha of 16 bits is not a PNG")
        file = read_chunks(data)
        require(file.header[:4] == (width, height, 16, 0), "the alpha is not a 16-bit gray PNG of the tile's size")
        return png_samples(file)[:, :, 0]
    require(is_webp(data), "the alpha of 8 bits is not a WebP")
    image = open_with_pillow(data, "WEBP")
    require(image.size == (width, height), "the alpha is not of the tile's size")
    image = load(image)
    return np.asarray(image)[:, :, 3] if image.mode == "RGBA" else opaque


def stored(data, head):
    """FORMAT §2.9: samples [height, width, channels] and the file's own metadata, as a dict of bytes."""
    if data.startswith(PNG):
        samples, depth, metadata = read_png(data, head)
    elif is_webp(data):
        samples, depth, metadata = read_webp(data, head)
    else:
        require(data.startswith(b"\xff\xd8"), "neither PNG, nor WebP, nor JPEG")
        samples, depth, metadata = read_jpeg(data, head)
    has_alpha = samples.shape[2] in (2, 4)
    if has_alpha and samples[:, :, -1].min() == (1 << depth) - 1:
        samples, has_alpha = samples[:, :, :-1], False
    if set(head.kinds) <= {"bits", "extra"}:
        samples, metadata = turn(samples, metadata)
    gray = samples.shape[2] <= 2
    found = samples.shape[1], samples.shape[0], gray, has_alpha, depth
    require(found == (head.width, head.height, head.gray, head.alpha, head.depth), "not the picture of the head")
    return samples, metadata


# ---------------------------------------------------------------------------------------------- PNG


class Png:
    """The chunks of a PNG file: `header` is (width, height, depth, colour type, interlaced)."""

    def __init__(self, header, chunks, samples):
        self.header, self.chunks, self.samples = header, chunks, samples


def read_chunks(data):
    """Cut a PNG file into its chunks and inflate its samples; blocks beside them that are damaged do not count."""
    at, chunks, packed = len(PNG), [], b""
    while at + 12 <= len(data) and chunks[-1:] != [(b"IEND", b"")]:
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body, sum_ = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        right = sum_ == zlib.crc32(kind + body).to_bytes(4, "big")
        # Of the blocks beside the pixels only those with a right checksum count. An end that is missing is no loss.
        require(right or kind not in (b"IHDR", b"PLTE", b"IDAT"), f"the checksum of {kind}")
        packed += body if kind == b"IDAT" else b""
        if right:
            chunks.append((kind, body))
        at += 12 + length
    require(chunks and chunks[0][0] == b"IHDR" and len(chunks[0][1]) == 13, "a PNG file without its header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    inflater = zlib.decompressobj()
    try:
        samples = inflater.decompress(packed)
    except zlib.error as error:
        raise CorruptError(f"a PNG file's samples: {error}") from error
    require(inflater.eof, "a PNG file whose samples are cut off")
    return Png((width, height, depth, colour, interlaced), chunks, samples)


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_samples(file):
    """The samples of a PNG file as they are in it, [height, width, channels]."""
    width, height, depth, colour, interlaced = file.header
    channels = CHANNELS[colour]
    picture = np.zeros((height, width, channels), np.int64)
    at = 0
    for left, top, right, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns <= 0 or rows <= 0:
            continue
        size = -(-columns * channels * depth // 8)
        lines = unfilter(file.samples[at:], rows, size, max(1, channels * depth // 8))
        at += rows * (size + 1)
        picture[top::down, left::right] = unpack(lines, columns * channels, depth).reshape(rows, columns, channels)
    return picture


def unfilter(data, rows, size, step):
    """Undo PNG's filters: bytes [rows, size]."""
    require(len(data) >= rows * (size + 1), "a PNG file whose samples are too few")
    above = bytearray(size + step)
    lines = []
    for row in range(rows):
        kind, *line = data[row * (size + 1) : (row + 1) * (size + 1)]
        now = bytearray(size + step)
        for i, byte in enumerate(line):
            a, b, c = now[i], above[i + step], above[i]
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            require(kind <= 4, "a filter that PNG does not have")
            now[i + step] = (byte + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        lines.append(now[step:])
        above = now
    return np.array([list(line) for line in lines], np.int64).reshape(rows, size)


def unpack(lines, count, depth):
    """Bytes [rows, size] as `count` samples of `depth` bits in each row."""
    if depth == 16:
        return lines[:, 0::2] << 8 | lines[:, 1::2]
    places = np.arange(8 // depth)[::-1] * depth
    return (lines[:, :, None] >> places & (1 << depth) - 1).reshape(len(lines), -1)[:, :count]


def read_png(data, head):
    """FORMAT §2.9 for PNG: samples with palettes expanded and named colours transparent, depth, metadata."""
    file = read_chunks(data)
    width, height, depth, colour, _ = file.header
    require((width, height) in ((head.width, head.height), (head.height, head.width)), "a PNG of another size")
    chunks = dict(reversed(file.chunks))
    samples = png_samples(file)
    clear = chunks.get(b"tRNS")
    if colour == 3:
        palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
        require(samples.max() < len(palette), "a colour beyond the palette")
        alpha = np.full((len(palette), 1), 255)
        alpha[: len(clear or b""), 0] = list(clear or b"")
        samples, depth = np.concatenate([palette, alpha], axis=1)[samples[:, :, 0]], 8
    elif clear is not None and colour in (0, 2):
        named = np.frombuffer(clear, ">u2")
        alpha = np.where((samples == named).all(axis=2, keepdims=True), 0, (1 << max(depth, 8)) - 1)
        samples = np.concatenate([expand(samples, depth), alpha], axis=2)
    else:
        samples = expand(samples, depth)
    depth = max(depth, 8)
    return samples.astype(np.uint16 if depth == 16 else np.uint8), depth, png_metadata(chunks, depth)


def expand(samples, depth):
    """Gray of 1, 2 or 4 bits as 8 bits."""
    return samples * (255 // ((1 << depth) - 1)) if depth < 8 else samples


def png_metadata(chunks, depth):
    """The blocks of a PNG file that count, by the names of FORMAT §2.1."""
    found = {}
    if b"iCCP" in chunks:
        _, _, rest = chunks[b"iCCP"].partition(b"\0")
        found["icc"] = inflated(rest[1:])
    if b"eXIf" in chunks:
        found["exif"] = chunks[b"eXIf"]
    if chunks.get(b"iTXt", b"").startswith(b"XML:com.adobe.xmp\0"):
        body = chunks[b"iTXt"][len(b"XML:com.adobe.xmp\0") :]
        _, _, text = body[2:].split(b"\0", 2)
        found["xmp"] = inflated(text) if body[0] else text
    if len(chunks.get(b"cICP", b"")) == 4:
        found["cicp"] = chunks[b"cICP"][:2] + bytes([0, min(1, chunks[b"cICP"][3])])
    if b"sBIT" in chunks and max(chunks[b"sBIT"]) < depth:
        found["bits"] = bytes([max(chunks[b"sBIT"])])
    return {kind: block for kind, block in found.items() if block}


def inflated(data):
    """What a deflated block holds; nothing if it is damaged, because then it does not count."""
    try:
        return zlib.decompressobj().decompress(data, MOST_DEFLATED)
    except zlib.error:
        return b""


# ---------------------------------------------------------------------------------------------- WebP and JPEG


def is_webp(data):
    """Whether the bytes begin as a WebP file's."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def open_with_pillow(data, kind):
    """Pillow's image, not yet decoded; one that moves is none."""
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
    except (OSError, ValueError, SyntaxError) as error:
        raise CorruptError(f"{kind}: {error}") from error
    require(getattr(image, "n_frames", 1) == 1, f"a {kind} of several pictures")
    return image


def load(image):
    """The image with its pixels; samples that are missing are a CorruptError."""
    try:
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise CorruptError(str(error)) from error
    return image


def named(info, names):
    """Those blocks of Pillow's `info` that are there, by our names."""
    found = {ours: info[theirs] for ours, theirs in names.items() if info.get(theirs)}
    if found.get("exif", b"").startswith(b"Exif\0\0"):
        found["exif"] = found["exif"][6:]
    return found


def read_webp(data, head):
    """FORMAT §2.9 for WebP."""
    require(len(data) >= 8 + int.from_bytes(data[4:8], "little"), "a WebP file that is cut off")
    image = open_with_pillow(data, "WEBP")
    require(image.size in ((head.width, head.height), (head.height, head.width)), "a WebP of another size")
    samples = np.asarray(load(image))
    if head.gray:
        samples = samples[:, :, [0, 3]] if samples.shape[2] == 4 else samples[:, :, :1]
    return samples, 8, named(image.info, {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"})


def read_jpeg(data, head):
    """FORMAT §2.9 for JPEG."""
    require(b"\xff\xd9" in data, "a JPEG file without its end marker")
    require(len(re.findall(rb"\xff\xda", data)) <= 500, "a JPEG file of more than 500 scans")
    image = open_with_pillow(data, "JPEG")
    require(image.size in ((head.width, head.height), (head.height, head.width)), "a JPEG of another size")
    image = load(image)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    samples = np.asarray(image)
    samples = samples.reshape(*samples.shape[:2], -1)
    return samples, 8, named(image.info, {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"})


# ---------------------------------------------------------------------------------------------- orientation


def turn(samples, metadata):
    """FORMAT §2.9: apply the orientation that EXIF, else XMP, names, and set both to 1."""
    metadata = dict(metadata)
    number = None
    if "exif" in metadata:
        number, metadata["exif"] = exif_upright(metadata["exif"])
    if "xmp" in metadata:
        match = re.search(rb"tiff:Orientation(\s*=\s*[\"']|>)\s*([1-8])", metadata["xmp"])
        if match:
            number = int(match[2]) if number is None else number
            begin, end = match.span(2)
            metadata["xmp"] = metadata["xmp"][:begin] + b"1" + metadata["xmp"][end:]
    if number in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    # What is left after the transposition are mirrors: of the columns, of the rows, or of both.
    columns, rows = {2: (1, 0), 3: (1, 1), 4: (0, 1), 6: (1, 0), 7: (1, 1), 8: (0, 1)}.get(number, (0, 0))
    samples = samples[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(samples), metadata


def exif_upright(block):
    """The orientation in a TIFF block (None without one), and the block with 1 in its place."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if not order or len(block) < 10:
        return None, block
    (at,) = struct.unpack(order + "I", block[4:8])
    count = struct.unpack(order + "H", block[at : at + 2])[0] if at + 2 <= len(block) else 0
    for place in range(at + 2, min(at + 2 + 12 * count, len(block) - 11), 12):
        tag, kind = struct.unpack(order + "HH", block[place : place + 4])
        if tag == 0x112 and kind == 3:
            (number,) = struct.unpack(order + "H", block[place + 8 : place + 10])
            return number, block[: place + 8] + struct.pack(order + "H", 1) + block[place + 10 :]
    return None, block

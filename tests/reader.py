"""A slow reader of .aec files, written from codec/container/FORMAT.md alone.

It shares no code with the package: where the two disagree, one of them or the page is wrong. The functions follow the
sections of the page and name them. Everything is loops and int64 arrays; nothing here is meant to be fast. This file
has FORMAT §2 and `read`; the modules reader_* have the rest.

Use: `model = load_model(path)`, then `read(data, model)`; `look(data)` only checks a file, without a model.
"""

import zlib
from dataclasses import dataclass

import exact_reader
import numpy as np
import reader_pictures
from reader_basics import (
    Bytes,
    CorruptError,
    FormatError,
    LimitError,
    ModelError,
    NotAecError,
    TruncatedError,
    UnsupportedVersionError,
    require,
)
from reader_coder import Payload
from reader_nets import load_model, read_latents, read_map, synthesise

__all__ = ["FormatError", "Picture", "load_model", "look", "read"]  # and the errors, by the names of FORMAT §2

MAGIC = b"\xd7AEC"
METADATA = ("icc", "exif", "xmp", "cicp", "bits", "extra")  # in the order of the bits of `kinds`
FIXED_LENGTH = {"cicp": 4, "bits": 1}
DEFAULT_LIMIT = 1 << 28
MAXIMAL_TILES = 65536


# ---------------------------------------------------------------------------------------------- FORMAT §2: files


@dataclass
class Head:
    """FORMAT §2.1. `size` is its length in bytes, `kinds` the names of its metadata; `parts` is 0 without parts."""

    model_id: bytes
    quality: int
    gray: bool
    side: int
    alpha: bool
    depth: int
    stored: bool
    exact: bool
    has_map: bool
    width: int
    height: int
    kinds: list
    parts: int
    first: int
    size: int = 0

    @property
    def tiles(self):
        """The tiles as (left, top, width, height), row by row; a stored picture is one."""
        if self.stored:
            return [(0, 0, self.width, self.height)]
        return [
            (left, top, min(self.side, self.width - left), min(self.side, self.height - top))
            for top in range(0, self.height, self.side)
            for left in range(0, self.width, self.side)
        ]


def read_head(source, limit):
    """FORMAT §2.1: the head; bytes that end inside it are a TruncatedError."""
    begin = source.data[: len(MAGIC)]
    require(begin and begin == MAGIC[: len(begin)], NotAecError, "no magic")
    source.take(len(MAGIC))
    version = source.byte()
    require(version == 2, UnsupportedVersionError, f"version {version}")
    model_id = source.take(4)
    quality = source.byte()

    flags = source.byte()
    require(not flags & 0b110, UnsupportedVersionError, "an unknown bit of flags")
    more = source.byte() if flags & 8 else None
    require(more is None or not more & 0b10000000, UnsupportedVersionError, "an unknown bit of more")
    require(more != 0, CorruptError, "more is there, but says nothing")
    more = more or 0
    stored, has_map, has_parts, exact = bool(more & 8), bool(more & 16), bool(more & 32), bool(more & 64)
    require(not ((stored or exact) and (has_map or has_parts)), CorruptError, "no network, but a map or parts")
    require(not (stored and exact), CorruptError, "stored and exact")
    require(flags >> 4 <= (0 if stored else 6), CorruptError, "the tile side")
    if stored:
        require(model_id == bytes(4) and quality == 0, CorruptError, "a stored picture with a model or a quality")
    elif exact:
        require(model_id == bytes(4), CorruptError, "an exact picture with a model")
    else:
        require(1 <= quality <= 100, CorruptError, "the quality")

    width, height = source.varint(), source.varint()
    require(width and height, CorruptError, "no pixels")
    require(width <= 65535 and height <= 65535 and width * height <= limit, LimitError, "too many pixels")
    kinds = []
    if more & 1:
        bits = source.byte()
        require(bits <= 63, UnsupportedVersionError, "kinds of metadata")
        require(bits, CorruptError, "no kind of metadata")
        kinds = [name for bit, name in enumerate(METADATA) if bits >> bit & 1]
    parts = first = 0
    if has_parts:
        parts = source.byte()
        require(2 <= parts <= 16, CorruptError, "the number of parts")
        first = source.varint()
        require(first <= 16383, CorruptError, "the channels of the first pass")
    head = Head(
        model_id,
        quality,
        gray=bool(flags & 1),
        side=64 << (flags >> 4),
        alpha=bool(more & 2),
        depth=16 if more & 4 else 8,
        stored=stored,
        exact=exact,
        has_map=has_map,
        width=width,
        height=height,
        kinds=kinds,
        parts=parts,
        first=first,
        size=source.at,
    )
    if not stored:
        count = -(-width // head.side) * -(-height // head.side)
        require(count <= MAXIMAL_TILES, LimitError, "too many tiles")
    return head


@dataclass
class Entry:
    """FORMAT §2.2: one entry of the table. `size` bytes of data that inflate to `length`; `raw` is before its CRC.

    Once the data have been cut up, `fault` is None, or the error that says what is wrong with them. `data` are those
    that count: all of them, or those up to a cut, or none if the CRC is wrong.
    """

    kind: str
    length: int
    size: int
    raw: bytes
    crc: int
    data: bytes = b""
    fault: FormatError | None = None

    def need(self):
        """Raise what is wrong with the entry, if anything is."""
        if self.fault:
            raise self.fault


def read_entry(source, kind, least):
    """FORMAT §2.2: one entry; the length must be at least `least`."""
    begin = source.at
    length = size = source.varint()
    if kind in METADATA:
        size = source.varint()
        require(length and size, CorruptError, "metadata without a byte")
        require(length <= 1 << 26, LimitError, "too much metadata")
        require(size <= length, CorruptError, "metadata that shrinks when it is inflated")
        if kind in FIXED_LENGTH:
            require(length == size == FIXED_LENGTH[kind], CorruptError, f"the length of {kind}")
        require(size == length or length <= max(1 << 20, 64 * size), LimitError, "metadata that grows too much")
    else:
        require(length >= least, CorruptError, f"the length of {kind}")
    raw = source.data[begin : source.at]
    return Entry(kind, length, size, raw, int.from_bytes(source.take(4), "little"))


def read_table(source, head):
    """FORMAT §2.2: all entries in their order."""
    kinds = [(kind, 1) for kind in head.kinds]
    kinds += [("map", 1)] * head.has_map
    tiles = len(head.tiles)
    if head.alpha and not head.stored and not head.exact:
        kinds += [("alpha", 0)] * tiles
    for part in range(head.parts or 1):
        kinds += [("tile", 5 if part == 0 else 0)] * tiles
    require(len(source.data) - source.at >= 5 * len(kinds), TruncatedError, "the table cannot fit")
    return [read_entry(source, kind, least) for kind, least in kinds]


def read_data(data, begin, head, table, partial):
    """FORMAT §2.3: give every entry its data, compare the file's size, then the checksums in order."""
    end = begin + sum(entry.size for entry in table)
    if not partial:
        require(len(data) >= end, TruncatedError, f"{len(data)} of {end} bytes")
        require(len(data) <= end, CorruptError, "bytes after the last payload")
    for entry in table:
        entry.data = data[begin : begin + entry.size]
        begin += entry.size
        if len(entry.data) < entry.size:
            entry.fault = TruncatedError(f"the file ends inside {entry.kind}")
        elif zlib.crc32(data[: head.size] + entry.raw + entry.data) != entry.crc:
            entry.fault = CorruptError(f"the checksum of {entry.kind}")
            entry.data = b""
        if not partial:
            entry.need()


def check_enough(head, table, available):
    """FORMAT §2.4: the errors of a file of which there is not enough to show anything."""
    payloads = [entry for entry in table if entry.kind == "tile"]
    for entry in table:
        if entry.kind == "map" or head.stored and entry in payloads:
            entry.need()
    wrong = [entry for entry in table if isinstance(entry.fault, CorruptError)]
    if wrong and all(entry.fault for entry in table):
        wrong[0].need()
    before = sum(entry.size for entry in table if entry.kind != "tile")
    require(available > before, TruncatedError, "the file ends before its colours begin")


def look(data, limit=DEFAULT_LIMIT, partial=False):
    """FORMAT §2: the head and the table of a file, after all checks that need no model."""
    source = Bytes(data, TruncatedError)
    head = read_head(source, limit)
    table = read_table(source, head)
    read_data(data, source.at, head, table, partial)
    check_enough(head, table, len(data) - source.at)
    return head, table


# ---------------------------------------------------------------------------------------------- FORMAT §2.5 to §2.7


def read_metadata(entry, depth):
    """FORMAT §2.5 to §2.7: one block of metadata, inflated, its numbers checked."""
    block = entry.data
    if entry.size < entry.length:
        inflater = zlib.decompressobj()
        try:
            block = inflater.decompress(block, entry.length + 1)
        except zlib.error as error:
            raise CorruptError(f"{entry.kind}: {error}") from error
        complete = inflater.eof and not inflater.unused_data and len(block) == entry.length
        require(complete, CorruptError, f"{entry.kind} does not inflate to its length")
    if entry.kind == "cicp":
        require(block[2] == 0 and block[3] <= 1, CorruptError, "code points")
    if entry.kind == "bits":
        require(1 <= block[0] <= depth - 1, CorruptError, "significant bits")
    if entry.kind == "extra":
        check_extra_blocks(block)
    return block


def check_extra_blocks(block):
    """FORMAT §2.5: types and lengths of the extra blocks."""
    source, seen = Bytes(block, CorruptError), set()
    while source.at < len(block):
        kind = bytes(source.take(4))
        require(kind.isalnum() and kind not in seen, CorruptError, "the type of an extra block")
        seen.add(kind)
        source.take(source.varint())


def all_metadata(head, table):
    """FORMAT §2.4 and §2.5: the blocks of metadata by name; those that are missing are absent."""
    kept = [entry for entry in table if entry.kind in METADATA and not entry.fault]
    return {entry.kind: read_metadata(entry, head.depth) for entry in kept}


# ---------------------------------------------------------------------------------------------- whole files


@dataclass
class Picture:
    """What a file holds. `samples` [height, width, channels], uint8 or uint16; `latents` a list of [h, w, M], int16.

    `complete` is False where something was missing (FORMAT §2.4).
    """

    head: Head
    samples: np.ndarray
    latents: list
    metadata: dict
    complete: bool


def smaller_alpha(alpha, k):
    """FORMAT §8, Smaller pictures: means over squares of k x k, at the edges over what there is; halves to even."""

    def sums(samples):
        samples = np.pad(samples, [(0, -side % k) for side in samples.shape])
        return samples.reshape(samples.shape[0] // k, k, -1, k).sum(axis=(1, 3))

    total, count = sums(alpha), sums(np.ones_like(alpha))
    rounded_down, rest = np.divmod(total, count)
    return rounded_down + (2 * rest + rounded_down % 2 > count)


def read_alpha(head, table):
    """FORMAT §2.8: alpha [height, width]; opaque where it is missing."""
    alpha = np.full((head.height, head.width), (1 << head.depth) - 1)
    entries = [entry for entry in table if entry.kind == "alpha"]
    for (left, top, width, height), entry in zip(head.tiles, entries, strict=True):
        if not entry.fault and entry.size:
            tile = reader_pictures.alpha_tile(entry.data, width, height, head.depth)
            alpha[top : top + height, left : left + width] = tile
    return alpha


def read_tiles(model, head, table, blocks):
    """FORMAT §2.4 and §8: the latents of each tile [M, h, w]."""
    entries = [entry for entry in table if entry.kind == "tile"]
    latents = []
    for number, (left, top, width, height) in enumerate(head.tiles):
        parts = entries[number :: len(head.tiles)]
        faults = [i for i, entry in enumerate(parts) if entry.fault]
        used = parts[: faults[0] + 1] if faults else parts
        payload = Payload([(entry.data, not entry.fault) for entry in used], bool(faults), model.tables)
        mine = blocks[top // 64 : -(-(top + height) // 64), left // 64 : -(-(left + width) // 64)]
        latents.append(read_latents(model, head, payload, mine, width, height))
    return latents


def check_parts(model, head):
    """FORMAT §3 and §8: what the head says of parts and passes, and only the model can tell whether it is right."""
    segments = 1 + model.steps * (2 if head.first else 1)
    require(head.parts in (0, segments), CorruptError, "not a part for each segment")
    require(head.first < model.latents, CorruptError, "the first pass codes all channels")


def read_exact(head, table):
    """FORMAT §9 and §2.4: the samples of an exact picture; a tile that is missing is gray, and opaque."""
    channels, white = (1 if head.gray else 3) + head.alpha, 2**head.depth - 1
    samples = np.empty((head.height, head.width, channels), np.uint16 if head.depth == 16 else np.uint8)
    entries = [entry for entry in table if entry.kind == "tile"]
    for (left, top, width, height), entry in zip(head.tiles, entries, strict=True):
        tile = samples[top : top + height, left : left + width]
        if entry.fault:
            tile[...] = (white + 1) // 2
            if head.alpha:
                tile[..., -1] = white
            continue
        try:
            tile[...] = exact_reader.read(entry.data, width, height, channels, head.depth, head.quality)
        except (AssertionError, IndexError) as error:
            raise CorruptError("an exact tile") from error
    return samples


def read(data, model, partial=False, k=1, limit=DEFAULT_LIMIT):
    """Read a file's bytes; with `partial` also what there is of one that is cut off or damaged, as FORMAT §2.4 has it.

    `k` = 2, 4 or 8 makes the picture that many times smaller, unless it is stored or exact (FORMAT §8). Raises the
    errors of FORMAT §2, by name.
    """
    head, table = look(data, limit, partial)
    complete = not any(entry.fault for entry in table)
    if head.stored:
        samples, own = reader_pictures.stored(table[-1].data, head)
        beside = all_metadata(head, table)
        metadata = {**own, **beside} if set(head.kinds) <= {"bits", "extra"} else beside
        return Picture(head, samples, [], metadata, complete)
    if head.exact:
        return Picture(head, read_exact(head, table), [], all_metadata(head, table), complete)
    require(head.model_id == model.id, ModelError, "another model")
    check_parts(model, head)
    entry = next((entry for entry in table if entry.kind == "map"), None)
    blocks = read_map(entry, head, model.tables)
    tiles = read_tiles(model, head, table, blocks)
    latents = np.zeros((model.latents, -(-head.height // 16), -(-head.width // 16)), np.int64)
    for (left, top, _, _), tile in zip(head.tiles, tiles, strict=True):
        latents[:, top // 16 : top // 16 + tile.shape[1], left // 16 : left // 16 + tile.shape[2]] = tile
    samples = synthesise(model, head, latents, blocks, k)
    if head.alpha:
        samples = np.dstack([samples, smaller_alpha(read_alpha(head, table), k)])
    samples = samples.astype(np.uint16 if head.depth == 16 else np.uint8)
    tiles = [tile.transpose(1, 2, 0).astype(np.int16) for tile in tiles]
    return Picture(head, samples, tiles, all_metadata(head, table), complete)

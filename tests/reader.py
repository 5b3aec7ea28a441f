"""A slow reader of .aec files, written from codec/container/FORMAT.md alone.

It shares no code with the package: where the two disagree, one of them or the page is wrong. The functions follow the
sections of the page and name them. Everything is loops and int64 arrays; nothing here is meant to be fast.

Use: `model = load_model(path)`, then `read(data, model)`; `look(data)` only checks a file, without a model.
"""

import bisect
import hashlib
import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from tests import reader_pictures
from tests.reader_pictures import CorruptError, FormatError

MAGIC = b"\xd7AEC"
METADATA = ("icc", "exif", "xmp", "cicp", "bits")  # in the order of the bits of `kinds`
FIXED_LENGTH = {"cicp": 4, "bits": 1}
DEFAULT_LIMIT = 1 << 28
MAXIMAL_TILES = 65536


class NotAecError(FormatError):
    """The file does not begin with the magic."""


class UnsupportedVersionError(FormatError):
    """Another version, or a bit that this version does not know."""


class TruncatedError(FormatError):
    """The file ends before its head, its table or its data do."""


class LimitError(FormatError):
    """The file asks for more than the page or the reader allows."""


class ModelError(FormatError):
    """The file was made with another model."""


def require(condition, error, message):
    """Raise `error(message)` unless the condition holds."""
    if not condition:
        raise error(message)


# ---------------------------------------------------------------------------------------------- FORMAT §1 and §2


class Bytes:
    """Reads fields from the front of some bytes; `error` is raised when they end too early."""

    def __init__(self, data, error):
        self.data, self.at, self.error = data, 0, error

    def take(self, count):
        """The next `count` bytes."""
        require(self.at + count <= len(self.data), self.error, "the bytes end inside a field")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        """The next byte, 0..255."""
        return self.take(1)[0]

    def varint(self):
        """FORMAT §1: unsigned LEB128 in its shortest form, at most 5 bytes, below 2^32."""
        value = 0
        for place in range(5):
            byte = self.byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                require(byte or place == 0, CorruptError, "a varint is not in its shortest form")
                require(value < 1 << 32, CorruptError, "a varint is not below 2^32")
                return value
        raise CorruptError("a varint has more than 5 bytes")

    def rest(self):
        """All that is left."""
        return self.take(len(self.data) - self.at)


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
    require(more is None or not more & 0b11000000, UnsupportedVersionError, "an unknown bit of more")
    require(more != 0, CorruptError, "more is there, but says nothing")
    more = more or 0
    stored, has_map, has_parts = bool(more & 8), bool(more & 16), bool(more & 32)
    require(not (stored and (has_map or has_parts)), CorruptError, "a stored picture with a map or parts")
    require(flags >> 4 <= (0 if stored else 6), CorruptError, "the tile side")
    if stored:
        require(model_id == bytes(4) and quality == 0, CorruptError, "a stored picture with a model or a quality")
    else:
        require(1 <= quality <= 100, CorruptError, "the quality")

    width, height = source.varint(), source.varint()
    require(width and height, CorruptError, "no pixels")
    require(width <= 65535 and height <= 65535 and width * height <= limit, LimitError, "too many pixels")
    kinds = []
    if more & 1:
        bits = source.byte()
        require(1 <= bits <= 31, CorruptError, "kinds of metadata")
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
    if head.alpha and not head.stored:
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


def check_enough(head, table):
    """FORMAT §2.4: the errors of a file of which there is not enough to show anything."""
    payloads = [entry for entry in table if entry.kind == "tile"]
    for entry in table:
        if entry.kind == "map" or head.stored and entry in payloads:
            entry.need()
    wrong = [entry for entry in payloads if isinstance(entry.fault, CorruptError)]
    if wrong and all(entry.fault for entry in payloads):
        wrong[0].need()


def look(data, limit=DEFAULT_LIMIT, partial=False):
    """FORMAT §2: the head and the table of a file, after all checks that need no model."""
    source = Bytes(data, TruncatedError)
    head = read_head(source, limit)
    table = read_table(source, head)
    read_data(data, source.at, head, table, partial)
    check_enough(head, table)
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
    return block


def all_metadata(head, table):
    """FORMAT §2.4 and §2.5: the blocks of metadata by name; those that are missing are absent."""
    kept = [entry for entry in table if entry.kind in METADATA and not entry.fault]
    return {entry.kind: read_metadata(entry, head.depth) for entry in kept}


# ---------------------------------------------------------------------------------------------- FORMAT §3 and §4


class Stream:
    """FORMAT §3 and §4: up to 32 rANS states and the 16-bit words that they share.

    `ended` says that a symbol of it was not there (FORMAT §2.4), and so none behind it is.
    """

    def __init__(self, data, lanes):
        require(len(data) >= 4 * lanes, CorruptError, "a stream shorter than its states")
        self.states = list(struct.unpack(f"<{lanes}I", data[: 4 * lanes]))
        require(min(self.states) >= 1 << 16, CorruptError, "an initial state below 2^16")
        self.bytes, self.at, self.ended = data, 4 * lanes, False

    def word(self):
        """The next word."""
        require(self.at + 2 <= len(self.bytes), CorruptError, "a lane reads past the end of its stream")
        self.at += 2
        return self.bytes[self.at - 2] | self.bytes[self.at - 1] << 8

    def get(self, lane, find):
        """FORMAT §4: `find(slot)` gives (value, start, freq) of the interval that holds the slot; gives the value."""
        state = self.states[lane]
        slot = state & 0x3FFF
        value, start, freq = find(slot)
        state = freq * (state >> 14) + slot - start
        if state < 1 << 16:
            state = state << 16 | self.word()
        self.states[lane] = state
        return value

    def get_bits(self, lane, count):
        """FORMAT §4: 1..13 bits that are all equally likely."""
        shift = 14 - count
        return self.get(lane, lambda slot: (slot >> shift, slot >> shift << shift, 1 << shift))

    def is_done(self):
        """Whether every state is where the encoder began, and every word read."""
        return self.at == len(self.bytes) and all(state == 1 << 16 for state in self.states)


def stream_sizes(power):
    """FORMAT §3: how many lanes each stream has, for 2^power lanes."""
    return [min(32, 1 << power)] * max(1, (1 << power) // 32)


def cut_into_streams(source, count):
    """FORMAT §3: the streams, or their pieces in one part: the lengths of all but the last come first."""
    lengths = [source.varint() for _ in range(count - 1)]
    return [source.take(length) for length in lengths] + [source.rest()]


def open_streams(parts, ends_early):
    """FORMAT §3: the streams of a payload, each with its states.

    `parts` are its first parts as (bytes, whole); `ends_early` says that more of it is missing (FORMAT §2.4).
    """
    require(parts and parts[0][0], CorruptError, "a payload without a byte")
    power = parts[0][0][0]
    require(power <= 12, CorruptError, "too many lanes")
    sizes = stream_sizes(power)
    joined = [b""] * len(sizes)
    for number, (data, whole) in enumerate(parts):
        if whole or len(sizes) == 1:
            pieces = cut_into_streams(Bytes(data[number == 0 :], CorruptError), len(sizes))
            joined = [before + piece for before, piece in zip(joined, pieces, strict=True)]
    even = all(len(data) % 2 == 0 for data in joined)
    require(even or ends_early, CorruptError, "a stream of an odd number of bytes")
    return power, [Stream(data, lanes) for data, lanes in zip(joined, sizes, strict=True)]


class Payload:
    """FORMAT §3 and §6: the symbols of a tile's payload, or of the map's, one segment after the other.

    `parts` are (bytes, whole), up to the first that is not; `ends_early` says that it, or later ones, are not all
    there. Then the symbols that are missing are 0 (FORMAT §2.4), and `streams` is empty if not even the states are
    there.
    """

    def __init__(self, parts, ends_early, tables):
        self.ends_early, self.tables = ends_early, tables
        self.power, self.streams = 0, []
        try:
            self.power, self.streams = open_streams(parts, ends_early)
        except CorruptError:
            if not ends_early:
                raise

    def segment(self, indices):
        """FORMAT §6: the symbols with these indices [n], int64 [n]; those whose index is 0 take no bits."""
        symbols = np.zeros(len(indices), np.int64)
        coded = np.flatnonzero(indices)
        first_lane = 0
        for stream in self.streams:
            for begin in range(first_lane, len(coded), 1 << self.power):
                where = coded[begin : begin + len(stream.states)]
                try:
                    if not stream.ended:
                        symbols[where] = read_row(stream, indices[where], self.tables)
                except CorruptError:
                    if not self.ends_early:
                        raise
                    stream.ended = True
            first_lane += len(stream.states)
        if any(stream.ended for stream in self.streams):
            for stream in self.streams:
                stream.ended = True
        return symbols

    def finish(self):
        """FORMAT §4: after the last symbol, nothing may be left."""
        if not self.ends_early:
            require(all(stream.is_done() for stream in self.streams), CorruptError, "a stream that is not at its end")


def read_row(stream, indices, tables):
    """FORMAT §5 and §6: the symbols of a row of one stream, one for each lane, phase by phase."""
    rows = [tables.rows[index] for index in indices]
    letters = [row.letter(stream, lane) for lane, row in enumerate(rows)]
    symbols, escapes = [0] * len(rows), {}
    for lane, (row, letter) in enumerate(zip(rows, letters, strict=True)):
        if letter <= 2 * row.limit:
            symbols[lane] = (letter - row.limit) << row.raw
            if row.raw > 0:
                symbols[lane] += stream.get_bits(lane, row.raw)
        else:
            bits = stream.get_bits(lane, 5)
            require(bits >> 1 <= 13, CorruptError, "an escape that is too long")
            escapes[lane] = bits >> 1, bits & 1
    for lane, (bits, negative) in escapes.items():
        row = rows[lane]
        excess = (1 << bits) + (stream.get_bits(lane, bits) if bits else 0) - 1
        symbols[lane] = -(row.limit << row.raw) - 1 - excess if negative else (row.limit + 1 << row.raw) + excess
    return symbols


# ---------------------------------------------------------------------------------------------- FORMAT §5 and §7


class Table:
    """FORMAT §5: a row of the tables: the limit L, the raw bit count k, and the intervals of the alphabet."""

    def __init__(self, freqs, limit, raw):
        self.limit, self.raw, self.freqs = limit, raw, freqs[: 2 * limit + 2]
        require(min(self.freqs) >= 1 and sum(self.freqs) == 1 << 14, ModelError, "frequencies")
        self.starts = [sum(self.freqs[:a]) for a in range(len(self.freqs))]

    def find(self, slot):
        """The letter whose interval holds a slot, as `Stream.get` wants it."""
        letter = bisect.bisect_right(self.starts, slot) - 1
        return letter, self.starts[letter], self.freqs[letter]

    def letter(self, stream, lane):
        """Phase 0 of a symbol: its letter."""
        return stream.get(lane, self.find)


class Tables:
    """FORMAT §5: the 63 tables of a model; `rows[0]` is None."""

    def __init__(self, freqs, limits, raw_bits):
        columns = zip(freqs[1:].tolist(), limits[1:].tolist(), raw_bits[1:].tolist(), strict=True)
        self.rows = [None, *(Table(*row) for row in columns)]


TYPES = {"I8": "int8", "U8": "uint8", "I16": "int16", "U16": "uint16", "I32": "int32", "F32": "float32"}


class Model:
    """FORMAT §7: the configuration and the tensors of a model. `id` is what files name it with."""

    def __init__(self, data):
        size = int.from_bytes(data[:8], "little")
        described = json.loads(data[8 : 8 + size])
        text = described.pop("__metadata__")["aec_model"]
        self.configuration = json.loads(text)
        self.latents, self.steps = self.configuration["latents"], self.configuration["steps"]
        self.tensors = {}
        digest = hashlib.sha256(text.encode())
        for name in sorted(described):
            kind, shape = TYPES[described[name]["dtype"]], described[name]["shape"]
            begin, end = (8 + size + offset for offset in described[name]["data_offsets"])
            if name.startswith(("analysis.", "hyper_analysis.")):
                continue
            digest.update(f"\n{name} {kind} {shape}\n".encode() + data[begin:end])
            array = np.frombuffer(data[begin:end], np.dtype(kind).newbyteorder("<")).reshape(shape)
            self.tensors[name] = array if kind == "float32" else array.astype(np.int64)
        self.id = digest.digest()[:4]
        self.tables = Tables(*(self.tensors[f"tables.{name}"] for name in ("freqs", "limits", "raw_bits")))

    def __getitem__(self, name):
        return self.tensors[name]

    def by_quality(self, name, quality):
        """Row q - 1 of a table [100, C] for each position of `quality` [h, w]: [C, h, w]."""
        return self[name][quality - 1].transpose(2, 0, 1)


def load_model(path):
    """The model in a safetensors file."""
    with open(path, "rb") as file:
        return Model(file.read())


# ---------------------------------------------------------------------------------------------- FORMAT §8: stages


def shuffle(x, n):
    """FORMAT §8: channel n*n*c + n*i + j at (y, x) becomes channel c at (n*y + i, n*x + j)."""
    channels, height, width = x.shape
    x = x.reshape(channels // (n * n), n, n, height, width)
    return x.transpose(0, 3, 1, 4, 2).reshape(channels // (n * n), n * height, n * width)


def saturate(x):
    """To 16 bits."""
    return np.clip(x, -32768, 32767)


def rounded(x, shift):
    """x / 2^shift, rounded; `shift` may be an array, and may be 0 in places."""
    return x + ((1 << np.asarray(shift)) >> 1) >> shift


def products(weight, x):
    """The sums of w * x of a convolution, 1x1 or depthwise 3x3, without its bias."""
    if weight.shape[2:] == (1, 1):
        return np.einsum("oi,ihw->ohw", weight[:, :, 0, 0], x)
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return sum(
        weight[:, 0, i, j, None, None] * padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    )


class Net:
    """The stages of FORMAT §8 whose tensors' names begin with `prefix`."""

    def __init__(self, model, prefix):
        self.model, self.prefix = model, prefix

    def convolution(self, name, x):
        """(sum of w * x + b + r) >> shift, not yet saturated."""
        weight, bias, shift = (self.model[f"{self.prefix}{name}.{part}"] for part in ("weight", "bias", "shift"))
        return rounded(products(weight, x) + bias[:, None, None], shift[:, None, None])

    def stage(self, name, x, stored=0, leaky=False, vector=None, n=1):
        """A stage; `vector` is the name of its table and the qualities [h, w], `n` a Shuffle before it."""
        v = shuffle(self.convolution(name, x), n) + stored
        if vector:
            table, quality = vector
            v = v + self.model.by_quality(f"{self.prefix}{table}.table", quality)
        if leaky:
            v = np.where(v >= 0, v, v + 4 >> 3)
        return saturate(v)

    def block(self, name, x):
        """Block: five stages."""
        t = self.stage(f"{name}.space_in", x, leaky=True)
        t = self.stage(f"{name}.space", t)
        x = self.stage(f"{name}.space_out", t, stored=x)
        t = self.stage(f"{name}.mix_in", x, leaky=True)
        return self.stage(f"{name}.mix_out", t, stored=x)


# ---------------------------------------------------------------------------------------------- FORMAT §8: latents


def read_map(entry, head, tables):
    """FORMAT §8, Quality: the quality of each block [rows, columns]; all of them the header's without a map."""
    shape = -(-head.height // 64), -(-head.width // 64)
    if entry is None:
        return np.full(shape, head.quality)
    index = entry.data[0]
    require(index <= 63, CorruptError, "the index of the map")
    if index == 0:
        require(entry.size == 1, CorruptError, "a map of zeros with a payload")
        return np.full(shape, head.quality)
    payload = Payload([(entry.data[1:], True)], False, tables)
    change = payload.segment(np.full(shape[0] * shape[1], index)).reshape(shape)
    payload.finish()
    change[:, 0] = np.cumsum(change[:, 0])
    quality = head.quality + np.cumsum(change, axis=1)
    require(quality.min() >= 1 and quality.max() <= 100, CorruptError, "a quality of the map")
    return quality


def spread(blocks, n, height, width):
    """The numbers of blocks, at n x n positions each, cropped to [height, width]."""
    return np.repeat(np.repeat(blocks, n, axis=0), n, axis=1)[:height, :width]


def steps_of_latents(channels, height, width, steps):
    """FORMAT §8: the step of each latent, [channels, height, width]."""
    c, y, x = np.indices((channels, height, width))
    phase = (y ^ x) & 1 if steps == 2 else 2 * ((y ^ x) & 1) + (y & 1)
    return c % steps ^ phase


def passes_of(model, head):
    """FORMAT §8, Two passes: which channels each pass codes, as arrays of bool [M]."""
    if not head.first:
        return [np.ones(model.latents, bool)]
    order = np.argsort(model["entropy.step"][head.quality - 1], kind="stable")
    chosen = np.zeros(model.latents, bool)
    chosen[order[: head.first]] = True
    return [chosen, ~chosen]


def read_prior(model, net, payload, blocks, height, width):
    """FORMAT §8, Latents, 1 and 2: the hyperlatents, and the prior [N, height, width] that is made of them."""
    index = model.by_quality("entropy.hyper_index", blocks)
    z = payload.segment(index.reshape(-1)).reshape(index.shape)
    prior = net.stage("head", saturate(z * model.by_quality("entropy.hyper_step", blocks)), vector=("quality", blocks))
    prior = net.block("body4", prior)
    prior = net.block("body2", net.stage("up2", prior, n=2))
    prior = net.block("body1", net.stage("up1", prior, n=2))
    return prior[:, :height, :width]


def read_latents(model, head, payload, blocks, width, height):
    """FORMAT §8, Latents: those of a tile, [M, ceil(height/16), ceil(width/16)]; `blocks` are its blocks' qualities."""
    rows, columns = -(-height // 16), -(-width // 16)
    net = Net(model, "entropy.net.")
    quality = spread(blocks, 4, rows, columns)
    step = model.by_quality("entropy.step", quality)
    order = steps_of_latents(model.latents, rows, columns, model.steps)
    latents = np.zeros((model.latents, rows, columns), np.int64)
    if not payload.streams:
        return latents
    prior = read_prior(model, net, payload, blocks, rows, columns)
    for channels in passes_of(model, head):
        for k in range(model.steps):
            # Also what the first pass has read of step k and later ones is taken as 0.
            known = np.where(order < k, latents, 0) if k else None
            mean, index = predict(net, f"steps.{k}.", prior, known, quality)
            coded = (order == k) & channels[:, None, None]
            symbols = payload.segment(np.where(coded, index, 0)[order == k])
            values = np.zeros_like(latents)
            values[order == k] = symbols
            latents = np.where(coded, saturate(mean + values * step), latents)
    payload.finish()
    return latents


def predict(net, prefix, prior, latents, quality):
    """FORMAT §8, Latents, 3: the means and indices that step k gives all latents; `latents` is None for step 0."""
    vector = (prefix + "quality", quality)
    t = net.stage(prefix + "from_hyper", prior, vector=vector, leaky=latents is None)
    if latents is not None:
        t = net.stage(prefix + "from_latents", latents, stored=t, leaky=True)
    t = net.block(prefix + "body", t)
    mean = net.stage(prefix + "mean", t)
    head = net.stage(prefix + "index", t, vector=(prefix + "index_quality", quality))
    return mean, np.clip(head * 8 + 2048 >> 12, 0, 63)


# ---------------------------------------------------------------------------------------------- FORMAT §8: pixels


def means(x, k):
    """Means over squares of k x k of the last two axes, rounded."""
    height, width = x.shape[-2] // k, x.shape[-1] // k
    return rounded(x.reshape(*x.shape[:-2], height, k, width, k).sum(axis=(-3, -1)), 2 * (k.bit_length() - 1))


def branch(model, y, quality16, quality8):
    """FORMAT §8, Pixels: B, at the picture's full size."""
    net = Net(model, "synthesis.")
    x = net.stage("head16", y, vector=("quality16", quality16))
    for i in range(model.configuration["blocks16"]):
        x = net.block(f"body16.{i}", x)
    x = net.stage("tail16", x, n=2, vector=("quality8", quality8))
    for i in range(model.configuration["blocks8"]):
        x = net.block(f"body8.{i}", x)
    p = net.stage("tail8", x)
    gain = model.by_quality("synthesis.gain.table", quality8)
    return shuffle(np.clip(rounded(gain * p, int(model["synthesis.gain.shift"][0])), -(1 << 23), 1 << 23), 8)


def shortcut(model, y, k):
    """FORMAT §8, Pixels: S; for k > 1 that of the picture k times smaller."""
    weight, bias, shift = (model[f"synthesis.shortcut.{part}"] for part in ("weight", "bias", "shift"))
    # The channels of a colour are a square of 16 x 16: means over k x k of them make a smaller square.
    weight = means(weight.reshape(3, 16, 16, -1).transpose(0, 3, 1, 2), k).transpose(0, 2, 3, 1)
    weight = weight.reshape(-1, model.latents, 1, 1)
    bias = means(bias.reshape(3, 16, 16), k).reshape(-1)
    s = (products(weight, y) >> 8) + bias[:, None, None]
    return shuffle(np.clip(rounded(s, int(shift[0])), -(1 << 23), 1 << 23), 16 // k)


def without_branch(model, blocks, k):
    """FORMAT §8, Smaller pictures: whether the branch is left out."""
    return k in (4, 8) and model["levels"][blocks.max() - 1] >= {4: 32, 8: 10}[k]


def synthesise(model, head, latents, blocks, k):
    """FORMAT §8, Pixels: the samples [height, width, 1 or 3] from the latents of the whole picture."""
    rows, columns = latents.shape[1:]
    v = shortcut(model, latents, k)
    if not without_branch(model, blocks, k):
        quality16, quality8 = spread(blocks, 4, rows, columns), spread(blocks, 8, 2 * rows, 2 * columns)
        v = v + means(branch(model, latents, quality16, quality8), k)
    v = v[:, : -(-head.height // k), : -(-head.width // k)]
    factor = 257 if head.depth == 16 else 1
    if head.gray:
        samples = (factor * np.clip(v.sum(axis=0, keepdims=True), 0, 783360) + 1536) // 3072
    else:
        samples = (factor * np.clip(v, 0, 261120) + 512) >> 10
    return samples.transpose(1, 2, 0)


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


def read(data, model, partial=False, k=1, limit=DEFAULT_LIMIT):
    """Read a file's bytes; with `partial` also what there is of one that is cut off or damaged, as FORMAT §2.4 has it.

    `k` = 2, 4 or 8 makes the picture that many times smaller, unless it is stored (FORMAT §8). Raises the errors of
    FORMAT §2, by name.
    """
    head, table = look(data, limit, partial)
    complete = not any(entry.fault for entry in table)
    if head.stored:
        samples, own = reader_pictures.stored(table[-1].data, head)
        return Picture(head, samples, [], all_metadata(head, table) if head.kinds else own, complete)
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

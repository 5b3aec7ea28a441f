"""Payloads, the entropy coder and its tables, for tests/reader.py: FORMAT §3 to §6."""

import bisect
import struct

import numpy as np
from reader_basics import Bytes, CorruptError, ModelError, require


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

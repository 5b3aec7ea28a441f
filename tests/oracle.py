"""The entropy coder once more: slow, plain Python, written from FORMAT.md §3-§6 and not from csrc. Clear before fast.

Tables here are {index: (limit, raw_bits, frequencies)} for the indexes 1..63 in use.
"""

SCALE, LOW = 1 << 14, 1 << 16


class Corrupt(Exception):
    pass


def varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(5):
        if at + i >= len(data):
            raise Corrupt("varint cut off")
        byte = data[at + i]
        value += byte % 128 * 128**i
        if byte < 128:
            if value >= 1 << 32 or (byte == 0 and i > 0):
                raise Corrupt("varint")
            return value, at + i + 1
    raise Corrupt("varint too long")


def phases(table, s: int) -> list[tuple[int, int]]:
    """The intervals (start, freq) a symbol consists of, in the decoder's order; None where a phase is missing (§5)."""
    limit, k, freqs = table

    def letter(a):
        return sum(freqs[:a]), freqs[a]

    def bits(value, n):
        return (value * (SCALE >> n), SCALE >> n) if n > 0 else None

    if -limit * 2**k <= s <= (limit + 1) * 2**k - 1:
        v = s // 2**k
        return [letter(v + limit), bits(s - v * 2**k, k), None]
    sign, e = (1, -limit * 2**k - 1 - s) if s < 0 else (0, s - (limit + 1) * 2**k)
    n = (e + 1).bit_length() - 1
    return [letter(2 * limit + 1), bits(2 * n + sign, 5), bits(e + 1 - 2**n, n)]


def steps(segments: list[int], n_lanes: int):
    """Every (phase, lane, position among the coded symbols) of stream i, in the decoder's order (§6)."""
    width = min(n_lanes, 32)
    for stream in range(n_lanes // width):
        order, before = [], 0
        for n in segments:
            for row in range(-(-n // n_lanes)):
                numbers = [row * n_lanes + stream * width + lane for lane in range(width)]
                for phase in range(3):
                    order += [(phase, lane, before + j) for lane, j in enumerate(numbers) if j < n]
            before += n
        yield order


def coded_lengths(indexes: list[int], segments: list[int]) -> list[int]:
    out, at = [], 0
    for n in segments:
        out.append(sum(i != 0 for i in indexes[at : at + n]))
        at += n
    return out


def encode(tables, symbols: list[int], indexes: list[int], segments: list[int], lanes_log2: int) -> bytes:
    coded = [phases(tables[i], s) for s, i in zip(symbols, indexes, strict=True) if i != 0]
    streams, width = [], min(2**lanes_log2, 32)
    for order in steps(coded_lengths(indexes, segments), 2**lanes_log2):
        x, words = [LOW] * width, []
        for phase, lane, position in reversed(order):
            if coded[position][phase] is None:
                continue
            start, freq = coded[position][phase]
            if x[lane] >= freq * (1 << 18):  # else the get of the decoder would not have fallen below 2^16
                words.insert(0, x[lane] % 65536)
                x[lane] //= 65536
            x[lane] = x[lane] // freq * SCALE + start + x[lane] % freq
        streams.append(b"".join(v.to_bytes(4, "little") for v in x) + b"".join(w.to_bytes(2, "little") for w in words))
    return bytes([lanes_log2]) + b"".join(varint(len(s)) for s in streams[:-1]) + b"".join(streams)


class Stream:
    def __init__(self, data: bytes, width: int):
        if len(data) % 2 or len(data) < 4 * width:
            raise Corrupt("stream length")
        self.x = [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(width)]
        self.words = [int.from_bytes(data[i : i + 2], "little") for i in range(4 * width, len(data), 2)]
        if min(self.x) < LOW:
            raise Corrupt("initial state")

    def get(self, lane: int, freqs: list[int]) -> int:
        slot, start, a = self.x[lane] % SCALE, 0, 0
        while slot >= start + freqs[a]:
            start += freqs[a]
            a += 1
        self.x[lane] = freqs[a] * (self.x[lane] // SCALE) + slot - start
        if self.x[lane] < LOW:
            if not self.words:
                raise Corrupt("read past the end")
            self.x[lane] = self.x[lane] * 65536 + self.words.pop(0)
        return a

    def get_bits(self, lane: int, n: int) -> int:
        return self.get(lane, [SCALE >> n] * 2**n) if n > 0 else 0


def decode(tables, payload: bytes, indexes: list[int], segments: list[int]) -> list[int]:
    if not payload or payload[0] > 12:
        raise Corrupt("lanes")
    n_lanes, at, lengths = 2 ** payload[0], 1, []
    for _ in range(n_lanes // 32 - 1):
        length, at = read_varint(payload, at)
        lengths.append(length)
    rows = [i for i in indexes if i != 0]
    values = [0] * len(rows)
    for i, order in enumerate(steps(coded_lengths(indexes, segments), n_lanes)):
        end = at + lengths[i] if i < len(lengths) else len(payload)
        if end > len(payload):
            raise Corrupt("stream length")
        stream, at = Stream(payload[at:end], min(n_lanes, 32)), end
        escapes = {}
        for phase, lane, position in order:
            limit, k, freqs = tables[rows[position]]
            if phase == 0:
                values[position] = stream.get(lane, freqs) - limit
            elif phase == 1 and values[position] <= limit:
                values[position] = values[position] * 2**k + stream.get_bits(lane, k)
            elif phase == 1:
                b = stream.get_bits(lane, 5)
                if b // 2 > 13:
                    raise Corrupt("escape")
                escapes[position] = b // 2, b % 2
            elif position in escapes:
                n, sign = escapes[position]
                e = 2**n + stream.get_bits(lane, n) - 1
                values[position] = -limit * 2**k - 1 - e if sign else (limit + 1) * 2**k + e
        if any(x != LOW for x in stream.x) or stream.words:
            raise Corrupt("end")
    it = iter(values)
    return [next(it) if i != 0 else 0 for i in indexes]

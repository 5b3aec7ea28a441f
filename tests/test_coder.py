"""Two coders, one sequence of bytes: the oracle and `_C` on the CPU. A third is in test_coder_cuda.py."""

import random
import zlib

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import _C
from codec.coding import rans, rans_cuda
from codec.coding.cdf_tables import cost_bits, gaussian_tables, scales
from codec.errors import BackendError, CorruptError

LIMITS = [0, 1, 2, 7, 31]


@pytest.fixture(scope="module", autouse=True, params=_C.isas())
def isa(request):
    """Every test runs on every instruction set of this machine."""
    before = _C.isa()
    _C.set_isa(request.param)
    yield request.param
    _C.set_isa(before)


def random_tables(rng: random.Random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of all shapes, very skewed and flat ones among them."""
    freqs = np.zeros((64, 64), np.uint16)
    limits, raw_bits = np.zeros(64, np.uint8), np.zeros(64, np.uint8)
    for i in range(1, 64):
        limits[i], raw_bits[i] = rng.choice(LIMITS), rng.choice([0, 0, 1, 3, 8])
        n = 2 * int(limits[i]) + 2
        weight = [rng.random() ** rng.choice([0, 1, 30]) for _ in range(n)]
        row = [1 + int(w / sum(weight) * (2**14 - n)) for w in weight]
        row[rng.randrange(n)] += 2**14 - sum(row)
        freqs[i, :n] = row
    return freqs, limits, raw_bits


def random_symbols(rng: random.Random, tables, n: int, n_indexes: int) -> tuple[list[int], list[int]]:
    _, limits, raw_bits = tables
    used = [0, *rng.sample(range(1, 64), n_indexes)]
    indexes = [rng.choice(used) for _ in range(n)]

    def symbol(i: int) -> int:
        edge = int(limits[i] + 1) << int(raw_bits[i])
        near = rng.randint(-edge - 2, edge + 2)
        return rng.choice([0, near, near, rng.randint(-16383, 16383), rng.choice([-16383, 16383])]) if i else 0

    return [symbol(i) for i in indexes], indexes


def for_oracle(tables):
    freqs, limits, raw_bits = tables
    return {i: (int(limits[i]), int(raw_bits[i]), [int(f) for f in freqs[i] if f]) for i in range(1, 64)}


def encode(tables, symbols, indexes, segments, lanes_log2=-1) -> bytes:
    return rans.encode(
        np.array(symbols, np.int16), np.array(indexes, np.uint8), segments, rans.Tables(*tables), lanes_log2
    )


def decode(tables, payload, indexes, segments) -> list[int]:
    decoder, at, out = rans.Decoder(rans.Tables(*tables), payload), 0, []
    for n in segments:
        out += decoder.decode(np.array(indexes[at : at + n], np.uint8)).tolist()
        at += n
    decoder.finish()
    return out


def split(rng: random.Random, n: int, parts: int) -> list[int]:
    cuts = sorted(rng.randint(0, n) for _ in range(parts - 1))
    return [b - a for a, b in zip([0, *cuts], [*cuts, n], strict=True)]


def sizes(lanes_log2: int) -> list[int]:
    lanes = 1 << lanes_log2
    return sorted({0, 1, lanes - 1, lanes, lanes + 1, 2 * lanes + 5})


def damaged(payload: bytes) -> list[bytes]:
    """Every beginning of a payload, and with a byte or two too many, and with each bit flipped."""
    found = [payload[:n] for n in range(len(payload))] + [payload + b"\0", payload + b"\0\0"]
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        found.append(bytes(flipped))
    return found


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 300), parts=st.integers(1, 5), lanes_log2=st.integers(0, 7))
def test_coders_agree_both_ways(seed, n, parts, lanes_log2):
    rng = random.Random(seed)
    tables = random_tables(rng)
    symbols, indexes = random_symbols(rng, tables, n, rng.choice([1, 3, 63]))
    segments = split(rng, n, parts)
    payload = encode(tables, symbols, indexes, segments, lanes_log2)
    assert payload == oracle.encode(for_oracle(tables), symbols, indexes, segments, lanes_log2)
    assert decode(tables, payload, indexes, segments) == symbols
    assert oracle.decode(for_oracle(tables), payload, indexes, segments) == symbols


@pytest.mark.parametrize("lanes_log2", range(13))
def test_coders_agree_at_the_edges_of_a_row(lanes_log2):
    rng = random.Random(lanes_log2)
    tables = random_tables(rng)
    for n in sizes(lanes_log2):
        symbols, indexes = random_symbols(rng, tables, n, 63)
        payload = encode(tables, symbols, indexes, [n], lanes_log2)
        assert payload == oracle.encode(for_oracle(tables), symbols, indexes, [n], lanes_log2)
        assert decode(tables, payload, indexes, [n]) == symbols


def test_every_symbol_survives_every_table_shape():
    tables = random_tables(random.Random(5))
    symbols = np.arange(-16383, 16384, dtype=np.int16)
    for index in range(1, 64):
        indexes = np.full(len(symbols), index, np.uint8)
        payload = encode(tables, symbols, indexes, [len(symbols)])
        assert decode(tables, payload, indexes, [len(symbols)]) == symbols.tolist()


@pytest.mark.parametrize("lanes_log2", [0, 3, 4, 5])
def test_frequencies_of_all_sizes_divide_exactly(lanes_log2):
    """The coder multiplies by a reciprocal, on vectors by a float's: run many frequencies through stirred states."""
    rng = random.Random(6)
    for first in range(1, 2**14, 63 * 37):
        freqs, limits, raw_bits = np.zeros((64, 64), np.uint16), np.zeros(64, np.uint8), np.zeros(64, np.uint8)
        for i in range(1, 64):
            freq = min(first + (i - 1) * 37, 2**14 - 1)
            freqs[i, :2] = freq, 2**14 - freq
        symbols, indexes = [], [rng.randrange(1, 64) for _ in range(400)]
        symbols = [rng.choice([0, 0, 0, 1]) for _ in indexes]
        payload = encode((freqs, limits, raw_bits), symbols, indexes, [400], lanes_log2)
        assert payload == oracle.encode(for_oracle((freqs, limits, raw_bits)), symbols, indexes, [400], lanes_log2)


# Index 1: L = 1, k = 0, frequencies 2^12, 2^13, 2^11, 2^11 (-1, 0, 1, escape). Index 2: L = 0, k = 2, 2^14 - 1 and 1.
KNOWN = (np.zeros((64, 64), np.uint16), np.zeros(64, np.uint8), np.zeros(64, np.uint8))
KNOWN[0][1:, :2] = 2**13
KNOWN[0][1, :4], KNOWN[1][1] = [4096, 8192, 2048, 2048], 1
KNOWN[0][2, :2], KNOWN[2][2] = [2**14 - 1, 1], 2


def test_known_bits_of_one_symbol():
    # x = 2^16; put(start 4096, freq 8192): 2^16 div 2^13 = 8, so 8 * 2^14 + 4096 = 0x21000.
    assert encode(KNOWN, [0], [1], [1], 0) == bytes.fromhex("00 00100200")


def test_known_bits_of_an_escape():
    # s = 4 is the escape with e = 2: n = 1, m = 1, sign 0. Backwards from x = 2^16 = 0x10000:
    #   get_bits(1) = 1:  x = (2^16 div 2^13) * 2^14 + 1 * 2^13          = 0x22000
    #   get_bits(5) = 2:  x = (0x22000 div 2^9) * 2^14 + 2 * 2^9         = 0x440400
    #   the letter, start 14336, freq 2048: (0x440400 div 2^11) * 2^14 + 14336 + 0x400 = 0x2203C00
    assert encode(KNOWN, [4], [1], [1], 0) == bytes.fromhex("00 003C2002")


def test_known_bits_of_nothing():
    assert encode(KNOWN, [], [], [0], 0) == bytes.fromhex("00 00000100")
    assert encode(KNOWN, [0, 0], [0, 0], [2], 1) == bytes.fromhex("01 00000100 00000100")


def test_golden_payload():
    """Several lanes, words, raw bits, escapes and skips: bytes that must never change."""
    symbols = [0, 1, -1, 2, -2, 300, 0, 3, -4, 16383, -16383, 0] * 3
    indexes = [1, 1, 1, 1, 1, 1, 0, 2, 2, 2, 1, 3] * 3
    payload = encode(KNOWN, symbols, indexes, [10, 26], 2)
    assert payload == oracle.encode(for_oracle(KNOWN), symbols, indexes, [10, 26], 2)
    assert (len(payload), zlib.crc32(payload)) == (57, 1858629466)


@pytest.mark.parametrize("lanes_log2", [0, 2, 6])
def test_damage_raises_or_decodes_to_something_else(lanes_log2):
    rng = random.Random(7)
    tables = random_tables(rng)
    symbols, indexes = random_symbols(rng, tables, 90, 20)
    payload = encode(tables, symbols, indexes, [40, 50], lanes_log2)
    for data in damaged(payload):
        try:
            found = decode(tables, data, indexes, [40, 50])
        except CorruptError as error:
            assert "found" in str(error)
        else:
            assert found != symbols


def test_random_bytes_never_crash_and_the_coders_agree_on_them():
    rng = random.Random(8)
    tables = random_tables(rng)
    _, indexes = random_symbols(rng, tables, 60, 20)
    for _ in range(300):
        data = bytes([rng.randint(0, 7)]) + rng.randbytes(rng.randint(0, 300))
        try:
            expected = oracle.decode(for_oracle(tables), data, indexes, [60])
        except oracle.Corrupt:
            with pytest.raises(CorruptError):
                decode(tables, data, indexes, [60])
        else:
            assert decode(tables, data, indexes, [60]) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "lanes byte"),
        (b"\x0d" + bytes(4), "lanes byte is missing or above 12 (found 13)"),
        (b"\x00\x00\x00\x01", "stream length is odd, below its lanes' states"),
        (b"\x00\xff\xff\x00\x00", "initial state is below 65536 (found 65535)"),
        (b"\x06\x80\x00" + bytes(256), "stream length is not a varint"),
        (b"\x06\xff\xff\xff\xff\x1f" + bytes(256), "stream length is not a varint"),
        (b"\x06\x84\x02" + bytes(256), "beyond the payload (found 260)"),
    ],
)
def test_bad_payload_is_refused_when_opened(data, message):
    with pytest.raises(CorruptError) as error:
        rans.Decoder(rans.Tables(*KNOWN), data)
    assert message in str(error.value)


def test_decoder_refuses_what_follows_the_last_symbol():
    payload = encode(KNOWN, [5] * 100, [1] * 100, [100], 0)
    decoder = rans.Decoder(rans.Tables(*KNOWN), payload)
    decoder.decode(np.ones(99, np.uint8))
    with pytest.raises(CorruptError, match="final state|left"):
        decoder.finish()
    decoder.decode(np.ones(1, np.uint8))
    decoder.finish()
    with pytest.raises(CorruptError, match="past the end"):
        decoder.decode(np.ones(100, np.uint8))
    with pytest.raises(CorruptError, match="past the end"):  # and stays unusable
        decoder.finish()


def test_escape_class_above_13_is_corrupt():
    # x = 0x2203C00 of the escape above, with class 15: get_bits(5) = 30.
    x = ((1 << 16) >> 9 << 14) + 30 * 512
    x = (x >> 11 << 14) + 14336 + x % 2048
    decoder = rans.Decoder(rans.Tables(*KNOWN), b"\0" + x.to_bytes(4, "little"))
    with pytest.raises(CorruptError, match="stream 0: escape class is above 13"):
        decoder.decode(np.ones(1, np.uint8))


def test_payload_may_be_any_contiguous_bytes_like():
    payload = encode(KNOWN, [1], [1], [1])
    for data in (payload, bytearray(payload), memoryview(b"x" + payload)[1:], np.frombuffer(payload, np.uint8)):
        assert rans.Decoder(rans.Tables(*KNOWN), data).decode(np.ones(1, np.uint8)).tolist() == [1]
    with pytest.raises((TypeError, BufferError, ValueError)):
        rans.Decoder(rans.Tables(*KNOWN), memoryview(payload)[::-1])


@pytest.mark.parametrize("n", [*range(0, 70), 1000])
def test_what_is_not_coded_costs_no_place(n):
    """Index 0 in all patterns of neighbours: brought together before coding, put back after."""
    rng = np.random.default_rng(n)
    for share in (0.0, 0.05, 0.5, 0.95, 1.0):
        indexes = (rng.random(n) >= share).astype(np.uint8)
        symbols = (rng.integers(-3, 4, n) * indexes).astype(np.int16)
        payload = encode(KNOWN, symbols, indexes, [n], 3)
        assert payload == encode(KNOWN, symbols[indexes > 0], indexes[indexes > 0], [int(indexes.sum())], 3)
        assert decode(KNOWN, payload, indexes, [n]) == symbols.tolist()


@pytest.mark.parametrize("at", [0, 7, 8, 31, 63, 64, 69])
def test_one_wrong_argument_among_many_is_found(at):
    for change, message in (((0, 64), "index"), ((16384, 1), "symbol is beyond"), ((-32768, 1), "symbol is beyond")):
        symbols, indexes = np.zeros(70, np.int16), np.ones(70, np.uint8)
        symbols[at], indexes[at] = change
        with pytest.raises(ValueError, match=f"position {at}: {message}"):
            encode(KNOWN, symbols, indexes, [70])
    with pytest.raises(ValueError, match=f"position {at}: symbol with index 0"):
        symbols[at], indexes[at] = 1, 0
        encode(KNOWN, symbols, indexes, [70])


@pytest.mark.parametrize(
    ("symbols", "indexes", "segments", "message"),
    [
        ([0, 16384], [1, 1], [2], r"position 1: symbol is beyond .* \(found 16384\)"),
        ([-16384], [1], [1], "position 0: symbol is beyond"),
        ([0, 0, 1], [1, 0, 0], [3], "position 2: symbol with index 0 is not zero"),
        ([0], [64], [1], r"position 0: index is out of range \(found 64\)"),
        ([0, 0], [1], [2], "indexes has 1 elements, expected 2"),
        ([0, 0], [1, 1], [1], "leave 1 symbols out"),
        ([0], [1], [1, 2**63, 2**63], "more than the number"),
    ],
)
def test_encode_names_the_wrong_argument(symbols, indexes, segments, message):
    with pytest.raises(ValueError, match=message):
        encode(KNOWN, symbols, indexes, segments)


def test_wrong_types_are_refused():
    handle = rans.Tables(*KNOWN)
    with pytest.raises(TypeError, match="symbols must be a numpy array of int16, not int64"):
        rans.encode(np.zeros(1, np.int64), np.ones(1, np.uint8), [1], handle)
    with pytest.raises(TypeError, match="indexes must be a numpy array of uint8, not list"):
        rans.Decoder(handle, encode(KNOWN, [], [], [])).decode([1])
    with pytest.raises(ValueError, match="position 0: index is out of range"):
        rans.Decoder(handle, encode(KNOWN, [], [], [])).decode(np.array([64], np.uint8))
    with pytest.raises(ValueError, match="lanes_log2 is 13"):
        encode(KNOWN, [0], [1], [1], 13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, limits, k: limits.__setitem__(9, 32), "row 9: limit 32, at most 31"),
        (lambda f, limits, k: k.__setitem__(63, 9), "row 63: raw bits 9, at most 8"),
        (lambda f, limits, k: f.__setitem__((5, 1), 0), "row 5: frequency 1 is 0"),
        (lambda f, limits, k: f.__setitem__((5, 2), 1), "row 5: frequency 2 is beyond the escape"),
        (lambda f, limits, k: f.__setitem__((5, 1), 2**13 + 1), "row 5: frequencies sum to more"),
        (lambda f, limits, k: f.__setitem__((5, 1), 2**13 - 1), "row 5: frequencies sum to 16383"),
    ],
)
def test_bad_tables_are_refused(change, message):
    arrays = [a.copy() for a in KNOWN]
    change(*arrays)
    with pytest.raises(ValueError, match=message):
        rans.Tables(*arrays)


def realistic(n: int, seed: int = 0):
    """Symbols drawn from the Gaussians of their indexes, as the latents of a mid-rate image: most indexes are low."""
    rng = np.random.default_rng(seed)
    indexes = np.minimum(63, rng.gamma(2.0, 7.0, n)).astype(np.uint8)
    symbols = np.rint(rng.normal(size=n) * scales()[indexes]).astype(np.int16)
    symbols[indexes == 0] = 0
    return symbols, indexes


@pytest.mark.parametrize("lanes_log2", [0, 5, 8])
def test_size_is_the_information_content(lanes_log2):
    tables = gaussian_tables()
    symbols, indexes = realistic(400_000)
    payload = encode(tables, symbols, indexes, [100_000, 300_000], lanes_log2)
    ideal = cost_bits(*tables, symbols, indexes).sum() / 8
    assert ideal - 8 < len(payload) < ideal * 1.001 + 4 * 2**lanes_log2 + 16


def test_lane_count_follows_the_size():
    tables = gaussian_tables()
    lanes = []
    for n in (0, 1000, 8_000, 60_000, 500_000, 1_500_000):
        payload = encode(tables, *realistic(n), [n])
        lanes.append(1 << payload[0])
        assert lanes[-1] == 1 or len(payload) / lanes[-1] > 1900
        assert lanes[-1] * 2 * 2200 > len(payload)
    assert lanes == sorted(lanes) and lanes[0] == 1 and lanes[-1] > 32


@pytest.mark.parametrize("lanes_log2", [3, 4, 5, 6, 9, -1])
@pytest.mark.parametrize("threads", [1, 2, 64])
def test_bytes_are_those_of_one_thread_of_scalar_code(isa, lanes_log2, threads):
    tables = rans.Tables(*gaussian_tables())
    n = 200_000 if threads == 1 else 2_200_000  # as many as make threads worth it
    symbols, indexes = realistic(n, seed=threads)
    segments = [1000, 0, n - 51_000, 50_000]
    _C.set_isa("scalar")
    expected = rans.encode(symbols, indexes, segments, tables, lanes_log2)
    _C.set_isa(isa)
    assert rans.encode(symbols, indexes, segments, tables, lanes_log2, threads) == expected
    decoder = rans.Decoder(tables, expected)
    decoded = [decoder.decode(part, threads) for part in np.split(indexes, np.cumsum(segments)[:-1])]
    decoder.finish()
    assert np.array_equal(np.concatenate(decoded), symbols)


@pytest.mark.parametrize("threads", [1, 3])
def test_damage_in_any_stream_is_found_by_any_thread(threads):
    tables = rans.Tables(*gaussian_tables())
    symbols, indexes = realistic(50_000 if threads == 1 else 2_200_000)
    payload = rans.encode(symbols, indexes, [len(symbols)], tables, lanes_log2=8)
    found = set()
    for at in range(100, len(payload), len(payload) // 30):
        damaged = bytearray(payload)
        damaged[at] ^= 0x55
        decoder = rans.Decoder(tables, damaged)
        with pytest.raises(CorruptError) as error:
            decoder.decode(indexes, threads)
            decoder.finish()
        found.add(str(error.value).split(":")[0])
    assert found == {f"stream {i}" for i in range(8)}


def test_the_instruction_set_is_one_of_this_machine():
    assert _C.isas()[0] == "scalar" and _C.isa() in _C.isas()
    with pytest.raises(ValueError, match="no instruction set is called mmx"):
        _C.set_isa("mmx")
    for missing in {"neon", "avx2", "avx512"} - set(_C.isas()):
        with pytest.raises(ValueError, match=f"no {missing}"):
            _C.set_isa(missing)
    with pytest.raises(ValueError, match="threads is 0, at least 1"):
        rans.encode(*realistic(10), [10], rans.Tables(*gaussian_tables()), threads=0)


def test_the_cuda_coder_refuses_tensors_of_the_cpu():
    tables, tensors = rans.Tables(*KNOWN), (torch.zeros(1, dtype=torch.int16), torch.ones(1, dtype=torch.uint8))
    expected = (ValueError, "expected cuda") if _C.cuda_built() else (BackendError, "no CUDA code")
    with pytest.raises(expected[0], match=expected[1]):
        rans_cuda.encode(*tensors, [1], tables)
    with pytest.raises(expected[0], match=expected[1]):
        rans_cuda.Decoder(tables, encode(KNOWN, [], [], []), torch.device("cpu"))

"""The third coder: `_C` on a GPU, or in the emulation that test_cuda_emulation.py starts. Its bytes are the CPU's."""

import random

import numpy as np
import oracle
import pytest
import test_coder as on_cpu
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_coder import KNOWN, damaged, for_oracle, random_symbols, random_tables, realistic, sizes, split

from codec.coding import rans, rans_cuda
from codec.coding.cdf_tables import gaussian_tables
from codec.errors import CorruptError

pytestmark = pytest.mark.kernels
DEVICE = rans_cuda.DEVICE_TYPE


def put(values, dtype) -> torch.Tensor:
    return torch.tensor(np.asarray(values, dtype), device=DEVICE)


def encode(tables, symbols, indexes, segments, lanes_log2=-1) -> bytes:
    handle = rans.Tables(*tables)
    return rans_cuda.encode(put(symbols, np.int16), put(indexes, np.uint8), segments, handle, lanes_log2)


def decode(tables, payload, indexes, segments) -> list[int]:
    decoder, out = rans_cuda.Decoder(rans.Tables(*tables), payload, torch.device(DEVICE)), []
    for part in put(indexes, np.uint8).split(segments):
        out.append(decoder.decode(part.contiguous()))
    decoder.finish()
    return [s for part in out for s in part.tolist()]


def outcome(decoder, *arguments):
    try:
        return decoder(*arguments)
    except CorruptError as error:
        return str(error)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 300), parts=st.integers(1, 5), lanes_log2=st.integers(0, 7))
def test_three_coders_agree(seed, n, parts, lanes_log2):
    rng = random.Random(seed)
    tables = random_tables(rng)
    symbols, indexes = random_symbols(rng, tables, n, rng.choice([1, 3, 63]))
    segments = split(rng, n, parts)
    payload = encode(tables, symbols, indexes, segments, lanes_log2)
    assert payload == on_cpu.encode(tables, symbols, indexes, segments, lanes_log2)
    assert payload == oracle.encode(for_oracle(tables), symbols, indexes, segments, lanes_log2)
    assert decode(tables, payload, indexes, segments) == symbols


@pytest.mark.parametrize("lanes_log2", range(13))
def test_bytes_are_the_cpus_at_the_edges_of_a_row(lanes_log2):
    rng = random.Random(lanes_log2)
    tables = random_tables(rng)
    for n in sizes(lanes_log2):
        symbols, indexes = random_symbols(rng, tables, n, 63)
        segments = split(rng, n, 3)
        payload = on_cpu.encode(tables, symbols, indexes, segments, lanes_log2)
        assert encode(tables, symbols, indexes, segments, lanes_log2) == payload
        assert decode(tables, payload, indexes, segments) == symbols


@pytest.mark.parametrize("n", [1, 15, 16, 17, 4095, 4096, 4097, 8192, 20_000])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_what_is_not_coded_is_left_out_and_put_back(n, share):
    rng = np.random.default_rng(n)
    indexes = (rng.random(n) >= share).astype(np.uint8)
    symbols = (rng.integers(-3, 4, n) * indexes).astype(np.int16)
    segments = split(random.Random(n), n, 4)
    payload = on_cpu.encode(KNOWN, symbols, indexes, segments, 6)
    assert encode(KNOWN, symbols, indexes, segments, 6) == payload
    assert decode(KNOWN, payload, indexes, segments) == symbols.tolist()


def test_views_need_no_alignment():
    symbols, indexes = realistic(5000)
    tables = rans.Tables(*gaussian_tables())
    expected = rans.encode(symbols[3:], indexes[3:], [4997], tables)
    s, i = put(symbols, np.int16)[3:], put(indexes, np.uint8)[3:]
    assert rans_cuda.encode(s, i, [4997], tables) == expected
    decoder = rans_cuda.Decoder(tables, expected, torch.device(DEVICE))
    assert torch.equal(decoder.decode(i), s)
    decoder.finish()


@pytest.mark.parametrize("n", [0, 1000, 60_000, 150_000])
def test_lane_count_is_the_cpus(n):
    tables, (symbols, indexes) = gaussian_tables(), realistic(n)
    assert encode(tables, symbols, indexes, [n]) == on_cpu.encode(tables, symbols, indexes, [n])


@pytest.mark.parametrize("tables_in_shared", [True, False])
def test_a_batch_is_its_tiles(tables_in_shared):
    """Tiles of different sizes and lane counts, an empty one and empty segments among them, in one launch."""
    rng, lanes_log2 = random.Random(3), [0, 5, 7, 3, 12, 6, 9]
    tables = random_tables(rng)
    handle = rans.Tables(*tables)
    tiles = [random_symbols(rng, tables, n, 63) for n in (40, 0, 3000, 33, 5000, 4096, 1)]
    segments = [split(rng, len(symbols), 3) for symbols, _ in tiles]
    symbols, indexes = (
        put(sum(parts, []), t) for parts, t in zip(zip(*tiles, strict=True), (np.int16, np.uint8), strict=True)
    )
    expected = [on_cpu.encode(tables, *t, s, k) for t, s, k in zip(tiles, segments, lanes_log2, strict=True)]

    encoder = rans_cuda.Encoder(handle, segments, lanes_log2, torch.device(DEVICE), tables_in_shared)
    for _ in range(2):
        encoder.run(symbols, indexes)
        assert encoder.payloads() == expected

    decoder = rans_cuda.BatchDecoder(handle, expected, torch.device(DEVICE), tables_in_shared)
    for _ in range(2):
        at = np.cumsum([0] + [len(s) for s, _ in tiles])[:-1]
        for k in range(3):
            lengths = [s[k] for s in segments]
            here = [t[a : a + n] for t in (symbols, indexes) for a, n in zip(at, lengths, strict=True)]
            part_symbols, part_indexes = torch.cat(here[: len(at)]), torch.cat(here[len(at) :])
            assert torch.equal(decoder.decode(part_indexes, lengths), part_symbols)
            at = at + lengths
        decoder.finish()
        decoder.rewind()


def test_many_streams_share_blocks():
    """So many that blocks have several warps, and the last one some to spare."""
    tables = gaussian_tables()
    handle, n_tiles, n = rans.Tables(*tables), 131, 100
    symbols, indexes = realistic(n_tiles * n)
    encoder = rans_cuda.Encoder(handle, [[n]] * n_tiles, [6] * n_tiles, torch.device(DEVICE))
    s, i = put(symbols, np.int16), put(indexes, np.uint8)
    encoder.run(s, i)
    payloads = encoder.payloads()
    parts = zip(np.split(symbols, n_tiles), np.split(indexes, n_tiles), strict=True)
    assert payloads == [on_cpu.encode(tables, a, b, [n], 6) for a, b in parts]
    decoder = rans_cuda.BatchDecoder(handle, payloads, torch.device(DEVICE))
    assert torch.equal(decoder.decode(i, [n] * n_tiles), s)
    decoder.finish()


@pytest.mark.parametrize(("lanes_log2", "step"), [(0, 1), (3, 5), (6, 31)])
def test_damage_is_what_the_cpu_says(lanes_log2, step):
    """Every prefix and every flipped bit, or some: the same symbols, or the same words about what is wrong."""
    rng = random.Random(7)
    tables = random_tables(rng)
    symbols, indexes = random_symbols(rng, tables, 90, 20)
    payload = on_cpu.encode(tables, symbols, indexes, [40, 50], lanes_log2)
    for data in damaged(payload)[::step]:
        arguments = (tables, data, indexes, [40, 50])
        assert outcome(decode, *arguments) == outcome(on_cpu.decode, *arguments)


def test_random_bytes_mean_what_they_mean_on_the_cpu():
    rng = random.Random(8)
    tables = random_tables(rng)
    _, indexes = random_symbols(rng, tables, 400, 20)
    for _ in range(200):
        data = bytes([rng.randint(0, 7)]) + rng.randbytes(rng.randint(0, 700))
        arguments = (tables, data, indexes, split(rng, 400, 3))
        assert outcome(decode, *arguments) == outcome(on_cpu.decode, *arguments)


@pytest.mark.parametrize("at", [0, 7, 31, 64, 4999])
def test_wrong_arguments_are_named(at):
    for change, what in (
        ((0, 64), "index"),
        ((16384, 1), "symbol is beyond"),
        ((-32768, 1), "symbol is beyond"),
        ((1, 0), "symbol with index 0"),
    ):
        symbols, indexes = np.zeros(5000, np.int16), np.ones(5000, np.uint8)
        symbols[4999] = 16384  # a later one, or replaced by
        symbols[at], indexes[at] = change
        found = []
        for coder in (on_cpu.encode, encode):
            with pytest.raises(ValueError) as error:
                coder(KNOWN, symbols, indexes, [5000], 5)
            found.append(str(error.value))
        assert found[0] == found[1] and f"position {at}: {what}" in found[0]


def test_wrong_indexes_of_a_decoder_are_named():
    payload = on_cpu.encode(KNOWN, [0] * 100, [1] * 100, [100])
    decoder = rans_cuda.Decoder(rans.Tables(*KNOWN), payload, torch.device(DEVICE))
    decoder.decode(put([1] * 50, np.uint8))
    decoder.decode(put([1] * 20 + [200] + [1] * 29, np.uint8))
    with pytest.raises(ValueError, match=r"position 20: index is out of range \(found 200\)"):
        decoder.finish()


def test_tensors_that_do_not_fit_are_refused():
    tables = rans.Tables(*KNOWN)
    symbols, indexes = put([0] * 4, np.int16), put([1] * 4, np.uint8)
    with pytest.raises(TypeError, match="symbols must be a tensor of torch.int16, not torch.int64"):
        rans_cuda.encode(symbols.long(), indexes, [4], tables, 0)
    with pytest.raises(ValueError, match="indexes has 3 elements, expected 4"):
        rans_cuda.encode(symbols, indexes[:3], [4], tables, 0)
    with pytest.raises(ValueError, match="one-dimensional and contiguous"):
        rans_cuda.encode(symbols[::2], indexes[:2], [2], tables, 0)
    with pytest.raises(ValueError, match="expected " + DEVICE):
        rans_cuda.encode(symbols.to("meta"), indexes, [4], tables, 0)
    with pytest.raises(ValueError, match="segments sum to 3, not to the 4 symbols"):
        rans_cuda.encode(symbols, indexes, [3], tables, 0)
    with pytest.raises(ValueError, match="lanes_log2 is 13"):
        rans_cuda.encode(symbols, indexes, [4], tables, 13)
    with pytest.raises(ValueError, match="lengths"):
        payload = on_cpu.encode(KNOWN, [], [], [])
        rans_cuda.BatchDecoder(tables, [payload] * 2, torch.device(DEVICE)).decode(indexes, [4])


def test_streams_and_payloads_never_leave_their_room():
    """Fewer bytes than promised for the words, and for the payloads: kNoRoom, and nothing is written outside."""
    tables, (symbols, indexes) = rans.Tables(*gaussian_tables()), realistic(3000)
    s, i = put(symbols, np.int16), put(indexes, np.uint8)
    for name in ("_words", "_payloads"):
        encoder = rans_cuda.Encoder(tables, [[3000]], [6], torch.device(DEVICE))
        setattr(encoder, name, getattr(encoder, name)[:300].clone())
        encoder.run(s, i)
        with pytest.raises(ValueError, match="too small"):
            encoder.payloads()

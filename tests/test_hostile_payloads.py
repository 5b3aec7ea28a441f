"""Payloads that no encoder has written, behind a right checksum; files that were changed; and what the checksum is."""

import zlib

import numpy as np
import photos
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codec
from codec.coding import model_file, model_search
from codec.container import format


def with_payload(data: bytes, payload: bytes) -> bytes:
    return format.write(codec.inspect(data), [payload])


def picture_or_corrupt(data: bytes, shape) -> bool:
    try:
        out = codec.decode(data, output="numpy")
    except codec.CorruptError as e:
        assert "tile 0" in str(e)
        return False
    assert out.shape == shape
    return True


def test_damaged_payloads_behind_a_right_checksum_give_a_picture_or_a_corrupt_error():
    image = photos.photo(40, 56, seed=7)
    data = codec.encode(image, 60)
    payload = bytes(format.read(data).payloads[0])
    rng = np.random.default_rng(0)
    pictures = 0
    for i in range(250):
        bad = bytearray(payload)
        kind = i % 5
        if kind == 0:
            bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        elif kind == 1:
            at = int(rng.integers(len(bad)))
            n = min(len(bad) - at, int(rng.integers(1, 40)))
            bad[at : at + n] = rng.bytes(n)
        elif kind == 2:
            bad = bad[: max(5, int(rng.integers(len(bad))))]
        elif kind == 3:
            bad += rng.bytes(int(rng.integers(1, 20)))
        else:
            bad = bytearray(rng.bytes(int(rng.integers(5, 2 * len(payload)))))
            bad[0] %= 14
        assert bytes(bad) != payload or kind in (1, 2)
        pictures += picture_or_corrupt(with_payload(data, bytes(bad)), image.shape)
    assert picture_or_corrupt(with_payload(data, payload), image.shape)
    assert pictures < 125  # the coder's own end check finds most of them


@settings(max_examples=60)
@given(st.binary(min_size=5, max_size=64), st.integers(1, 100), st.integers(1, 70), st.integers(1, 70))
def test_arbitrary_payloads_give_a_picture_or_a_corrupt_error(payload, quality, width, height):
    data = format.write(codec.Header(width, height, quality, model_id()), [payload])
    picture_or_corrupt(data, (height, width, 3))


def model_id():
    return model_file.load(model_search.find(None)).id


def test_a_payload_read_with_another_quality_or_size_gives_a_picture_or_a_corrupt_error():
    image = photos.photo(48, 64, seed=8)
    data = codec.encode(image, 60)
    payload = bytes(format.read(data).payloads[0])
    for quality, width, height in [
        (59, 64, 48),
        (1, 64, 48),
        (100, 64, 48),
        (60, 65, 48),
        (60, 48, 64),
        (60, 600, 480),
    ]:
        header = codec.Header(width, height, quality, model_id())
        picture_or_corrupt(format.write(header, [payload]), (height, width, 3))


def test_a_changed_file_is_refused_whatever_byte_it_is():
    data = codec.encode(photos.photo(24, 24), 40)
    for at in range(0, len(data), 7):
        bad = bytearray(data)
        bad[at] ^= 0x55
        with pytest.raises(codec.FormatError):
            codec.decode(bytes(bad))
    for n in range(0, len(data), 13):
        with pytest.raises(codec.FormatError):
            codec.decode(data[:n])


def test_checksums_are_the_crc32_of_zlib(shipped):
    data = codec.encode(photos.photo(16, 16), 40)
    (payload,) = format.read(data).payloads
    table = len(data) - len(payload) - 4
    length = 1 if len(payload) < 128 else 2
    covered = data[: table - length] + data[table - length : table] + bytes(payload)
    assert zlib.crc32(covered).to_bytes(4, "little") == data[table : table + 4]

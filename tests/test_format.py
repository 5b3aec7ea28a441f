"""The container: what write() makes, read() takes, and nothing else. The reader below follows FORMAT §2 alone."""

import dataclasses
import time

import pytest
from container import (
    EVERYTHING,
    EXACT,
    ID,
    STORED,
    assemble,
    files,
    head,
    headers,
    independent_read,
    leb,
    peak_bytes,
    small_file,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.container import format
from codec.container.format import Header
from codec.errors import CorruptError, FormatError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError

# ------------------------------------------------------------------ what write() makes


@given(files())
def test_read_returns_what_was_written(file):
    header, payloads, alphas, metadata, quality_map = file
    data = format.write(*file)
    layout = format.read(data)
    assert layout.header == header == format.read_header(data)
    assert [bytes(p) for p in layout.payloads] == payloads
    assert [bytes(p) for p in layout.alphas] == alphas
    assert {name: section.unpack() for name, section in layout.metadata.items()} == metadata
    packed = [section.packed for section in layout.metadata.values()]
    assert (layout.quality_map and bytes(layout.quality_map)) == quality_map and layout.damage is None
    assert layout.overhead_bytes == len(data) - sum(map(len, [*payloads, *alphas, *packed, quality_map or b""]))


@given(files())
def test_independent_reader_agrees_with_write_on_every_offset(file):
    header, payloads, alphas, metadata, quality_map = file
    data = format.write(*file)
    seen = independent_read(data)
    assert seen["fields"] == dataclasses.astuple(header)
    assert [p for _, p in seen["payloads"]] == payloads
    assert seen["alphas"] == alphas and seen["metadata"] == metadata and seen["map"] == quality_map
    assert seen["overhead"] == format.read(data).overhead_bytes
    base = memoryview(data)
    for (offset, _), view in zip(seen["payloads"], format.read(data).payloads, strict=True):
        assert view == base[offset : offset + len(view)]


@given(headers(max_tiles=200))
def test_tiles_cover_every_pixel_once_in_row_major_order(header):
    tiles = header.tiles
    assert sum(t.width * t.height for t in tiles) == header.width * header.height
    assert [(t.y, t.x) for t in tiles] == sorted({(t.y, t.x) for t in tiles})
    for t in tiles:
        assert t.x % header.tile == 0 == t.y % header.tile
        assert t.width == min(header.tile, header.width - t.x) > 0
        assert t.height == min(header.tile, header.height - t.y) > 0


@pytest.mark.parametrize("size", [100, 20_000, 2**21 - 1])
def test_one_tile_costs_at_most_24_bytes(size):
    data = format.write(Header(768, 512, 75, ID), [bytes(size)])
    assert format.read(data).overhead_bytes == len(data) - size <= 24
    assert 21 <= len(data) - size <= 23 or size == 100  # FORMAT §2: the common case


@given(files(), st.sampled_from([bytes, bytearray, memoryview]))
def test_any_bytes_like_input_reads_alike(file, kind):
    data = format.write(*file)
    assert format.read(kind(data)).header == file[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quality": 0}, "quality 0"),
        ({"quality": 101}, "quality 101"),
        ({"model_id": b"abc"}, "model id of 3 bytes"),
        ({"tile": 1000}, "tile side 1000"),
        ({"tile": 32}, "tile side 32"),
        ({"tile": 8192}, "tile side 8192"),
        ({"width": 0}, "0x1"),
        ({"height": 0}, "1x0"),
        ({"width": 65536}, "65536x1"),
        ({"width": 16385, "height": 16384}, "16385x16384"),
    ],
)
def test_write_refuses_what_read_would_refuse(change, words):
    header = dataclasses.replace(Header(1, 1, 50, ID), **change)
    with pytest.raises(ValueError, match=words):
        format.write(header, [bytes(5)])


@pytest.mark.parametrize("payloads", [[], [bytes(5)] * 2, [bytes(4)], [b""]])
def test_write_refuses_payloads_that_are_not_one_whole_one_for_each_tile(payloads):
    with pytest.raises(ValueError, match="payload"):
        format.write(Header(1, 1, 50, ID), payloads)


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize(
    "data",
    [
        small_file(),
        small_file(1, 1, sizes=[5], gray=True),
        small_file(65535, 1, 4096, [9] * 16),
        EVERYTHING,
        STORED,
        EXACT,
    ],
    ids=["tiles", "one", "wide", "everything", "stored", "exact"],
)
def test_every_prefix_raises_the_error_that_says_truncated(data):
    for n in range(len(data)):
        with pytest.raises(NotAecError if n == 0 else TruncatedError):
            format.read(data[:n])


@pytest.mark.parametrize(
    "data", [small_file(), small_file(1, 1, sizes=[5]), small_file(3000, 200, 1024, [5, 6, 7], gray=True)]
)
def test_every_bit_flip_raises_a_format_error_of_the_right_kind(data):
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        byte = bit // 8
        expected = (
            NotAecError
            if byte < 4
            else UnsupportedVersionError
            if byte == 4 or (byte == 10 and 1 <= bit % 8 <= 2)
            else CorruptError
            if byte < 10 or byte >= len(data) - 5
            else (CorruptError, TruncatedError, LimitError, UnsupportedVersionError)
        )
        with pytest.raises(expected):
            format.read(flipped)


@given(files(), st.data())
def test_bursts_of_damage_up_to_32_bits_raise(file, data):
    good = format.write(*file)
    start = data.draw(st.integers(0, 8 * len(good) - 1))
    mask = data.draw(st.integers(1, 2**32 - 1))
    value = int.from_bytes(good, "little") ^ (mask << start)
    bad = (value & ((1 << 8 * len(good)) - 1)).to_bytes(len(good), "little")
    if bad != good:
        with pytest.raises(FormatError):
            format.read(bad)


@given(files(), st.binary(min_size=1, max_size=40))
def test_trailing_bytes_are_refused(file, tail):
    with pytest.raises(CorruptError, match=f"{len(tail)} bytes after the last payload"):
        format.read(format.write(*file) + tail)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data):
    with pytest.raises(FormatError):
        format.read(data)


@given(st.binary(max_size=100), st.booleans())
def test_arbitrary_bytes_after_a_right_start_raise_only_format_errors(data, unlimited):
    with pytest.raises(FormatError):
        format.read(b"\xd7AEC\x02" + data, max_pixels=None if unlimited else 2**28)


def test_swapped_payloads_of_equal_length_are_refused():
    data = small_file(sizes=(5, 5, 5, 5))
    swapped = data[:-10] + data[-5:] + data[-10:-5]
    with pytest.raises(CorruptError, match="checksum of tile 2 of 4"):
        format.read(swapped)


def test_damage_names_the_tile_it_is_in():
    data = bytearray(small_file(sizes=(5, 7, 131, 6)))
    data[-1] ^= 1
    with pytest.raises(CorruptError, match="tile 3 of 4"):
        format.read(data)


# ------------------------------------------------------------------ fields


@pytest.mark.parametrize("longer", ["80 00", "81 00", "ff 00", "81 80 00", "80 80 80 80 00"])
@pytest.mark.parametrize("field", ["width", "height"])
def test_a_size_not_in_its_shortest_form_is_refused(longer, field):
    with pytest.raises(CorruptError, match=f"the {field} at byte .* shortest form"):
        format.read(assemble(head(**{field: bytes.fromhex(longer)}), bytes(5)))


def test_a_payload_length_not_in_its_shortest_form_is_refused():
    assert format.read(assemble(head(), bytes(5), lengths=[b"\x05"])).header.width == 1
    with pytest.raises(CorruptError, match="the length of tile 0 .* shortest form"):
        format.read(assemble(head(), bytes(5), lengths=[b"\x85\x00"]))


@pytest.mark.parametrize("number", ["80 80 80 80 10", "ff ff ff ff 7f", "80 80 80 80 80 01", "ff ff ff ff ff ff"])
def test_numbers_of_2_to_the_32_and_above_are_refused(number):
    with pytest.raises(CorruptError):
        format.read(assemble(head(width=bytes.fromhex(number)), bytes(5)))
    with pytest.raises(CorruptError):
        format.read(assemble(head(), bytes(5), lengths=[bytes.fromhex(number)]))


@given(st.integers(0, 2**32 - 1))
def test_every_number_below_2_to_the_32_is_understood(value):
    # As a payload length: either too short, or longer than the file, by exactly the number that the message names.
    data = head() + leb(value) + bytes(4)
    with pytest.raises(FormatError) as caught:
        format.read(data)
    assert type(caught.value) is (CorruptError if value < 5 else TruncatedError)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize(("quality", "right"), [(0, False), (1, True), (100, True), (101, False), (255, False)])
def test_quality_outside_1_to_100_is_refused(quality, right):
    data = assemble(head(quality=quality), bytes(5))
    if right:
        assert format.read(data).header.quality == quality
    else:
        with pytest.raises(CorruptError, match=f"quality {quality}"):
            format.read(data)


@pytest.mark.parametrize("flags", range(256))
def test_flags_are_accepted_or_refused_as_the_format_says(flags):
    data = assemble(head(flags=flags), bytes(5))
    if flags & 0b0110:
        with pytest.raises(UnsupportedVersionError, match=f"{flags:#04x}"):
            format.read(data)
    elif flags & 0b1000:  # the CRC's place is taken by what should be more flags
        with pytest.raises(FormatError):
            format.read(data)
    elif flags >> 4 > 6:
        with pytest.raises(CorruptError, match="tile side"):
            format.read(data)
    else:
        header = format.read(data).header
        assert (header.gray, header.tile) == (bool(flags & 1), 64 << (flags >> 4))


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_version_is_refused_before_anything_else_is_looked_at(version):
    with pytest.raises(UnsupportedVersionError, match=f"version {version}"):
        format.read(head(version=version)[:5])


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\xd7AEX", b"AEC", b"\xd7B"])
def test_other_files_are_not_aec(data):
    with pytest.raises(NotAecError, match="not an .aec file"):
        format.read(data)


def test_a_side_of_zero_is_refused():
    for field in ("width", "height"):
        with pytest.raises(CorruptError, match="at least 1"):
            format.read(assemble(head(**{field: b"\0"}), bytes(5)))


def test_a_payload_shorter_than_one_lane_is_refused():
    with pytest.raises(CorruptError, match="length 4: at least 5"):
        format.read(assemble(head(), bytes(4)))


# ------------------------------------------------------------------ limits and bombs


def test_side_limit_is_exact_and_has_no_way_round():
    assert format.read(small_file(65535, 1, 4096, [5] * 16)).header.width == 65535
    for width, height in ((65536, 1), (1, 65536), (2**32 - 1, 1)):
        with pytest.raises(LimitError, match="65535"):
            format.read(head(leb(width), leb(height)) + bytes(100), max_pixels=None)


def test_pixel_limit_is_exact():
    at_limit = Header(16384, 16384, 50, ID, tile=4096)
    data = format.write(at_limit, [bytes(5)] * 16)
    assert format.read(data).header == at_limit
    with pytest.raises(LimitError, match=str(2**28)):
        format.read(data, max_pixels=2**28 - 1)
    over = assemble(head(leb(65535), leb(4097), flags=0x60), *[bytes(5)] * 32)  # 2^28 + 61,439 pixels
    with pytest.raises(LimitError):
        format.read(over)
    assert format.read(over, max_pixels=65535 * 4097).header.height == 4097
    assert format.read(over, max_pixels=None).header.height == 4097
    with pytest.raises(LimitError):
        format.read(over, max_pixels=65535 * 4097 - 1)


@pytest.mark.parametrize("width_height", [(2**28 + 1, 1), (17, 15790321), (65535, 65535)])
def test_check_size_refuses_one_too_many(width_height):
    with pytest.raises(LimitError):
        format.check_size(*width_height)
    format.check_size(65535, 4096)


@pytest.mark.parametrize(
    ("width", "height", "log2"), [(16384, 16384, 0), (65535, 4096, 0), (32768, 32768, 1), (65535, 65535, 2)]
)
def test_tile_limit_is_exact_and_what_it_allows_is_read_soon_and_in_little_memory(width, height, log2):
    side = 64 << log2
    columns, rows = -(-width // side), -(-height // side)
    assert columns * rows == 2**16
    lengths = [b"\x05", b"\x06"] * 2**15
    payloads = [bytes([5] * 5), bytes([6] * 6)] * 2**15
    data = assemble(head(leb(width), leb(height), flags=log2 << 4), *payloads, lengths=lengths)

    def read():
        return format.read(data, max_pixels=None)

    start = time.thread_time()
    read_payloads = read().payloads
    assert time.thread_time() - start < 3  # 0.2 s where nothing else runs
    assert len(read_payloads) == 2**16 and read_payloads[-1] == payloads[-1] and read_payloads[:3] == payloads[:3]
    with pytest.raises(IndexError):
        read_payloads[2**16]
    assert peak_bytes(read) < 3_000_000
    for wider, higher in ((columns * side + 1, height), (width, rows * side + 1)):
        if max(wider, higher) <= 65535:
            over = head(leb(wider), leb(higher), flags=log2 << 4)
            for parse in (format.read, format.read_header, format.read_sections):
                with pytest.raises(LimitError, match="at most 65536 are allowed"):
                    parse(over, *[None] * (parse is not format.read_sections))
            with pytest.raises(LimitError):
                format.write(Header(wider, higher, 50, ID, tile=side), [])


@pytest.mark.parametrize("flags", [0x00, 0x10, 0x40, 0x60])
@pytest.mark.parametrize("max_pixels", [2**28, None])
def test_a_127_byte_bomb_is_refused_at_once_and_without_memory(flags, max_pixels):
    bomb = head(leb(65535), leb(65535), flags=flags).ljust(127, b"\xff")

    def refused():
        with pytest.raises(TruncatedError if max_pixels is None and flags >= 0x40 else LimitError):
            format.read(bomb, max_pixels)

    refused()  # what pytest itself allocates once
    start = time.thread_time()
    assert peak_bytes(refused) < 1_000_000
    assert time.thread_time() - start < 0.5


def test_a_table_that_cannot_fit_is_refused_by_counting_not_by_reading():
    # 256 x 64 tiles need 5 bytes each at the least.
    data = head(leb(16384), leb(4096)) + bytes([5, 0, 0, 0, 0]) * (256 * 64 - 1)
    with pytest.raises(TruncatedError, match="16384 tiles cannot fit"):
        format.read(data)


def test_lengths_that_add_up_to_more_than_the_file_are_refused():
    lengths = [b"\xff\xff\xff\xff\x0f"] * 4
    with pytest.raises(TruncatedError, match=str(4 * (2**32 - 1))):
        format.read(assemble(head(leb(128), leb(128)), *[bytes(5)] * 4, lengths=lengths))


@settings(max_examples=30)
@given(st.lists(st.integers(5, 2**32 - 1), min_size=4, max_size=4), st.integers(0, 60))
def test_a_table_of_lies_costs_no_memory(lengths, rest):
    data = head(leb(128), leb(128)) + b"".join(leb(n) + bytes(4) for n in lengths) + bytes(rest)

    def refused():
        with pytest.raises(FormatError):
            format.read(data)

    refused()
    assert peak_bytes(refused) < 1_000_000

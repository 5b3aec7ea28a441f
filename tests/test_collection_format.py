"""Collection files as bytes: what was written is read, and whatever else is refused by the right error."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codec
from codec.container import collection
from codec.container.collection import Header
from codec.container.varint import varint
from codec.errors import CorruptError, FormatError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError

ID = b"\x01\x02\x03\x04"
PARTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\:"), min_size=1, max_size=5)
NAMES = st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3).map("/".join)


@st.composite
def contents(draw):
    """(header, payloads, names) of any collection."""
    names = draw(st.one_of(st.none(), st.lists(NAMES, min_size=1, max_size=9, unique=True)))
    count = len(names) if names else draw(st.integers(1, 40))
    width, channels = draw(st.integers(1, 1024)), draw(st.sampled_from([1, 3]))
    height = draw(st.integers(1, min(1024, collection.MAX_SAMPLES // (width * channels))))
    block = draw(st.one_of(st.integers(1, 5), st.integers(1, 256)))
    ident, quality = draw(st.binary(min_size=4, max_size=4)), draw(st.integers(1, 100))
    header = Header(count, width, height, channels, quality, ident, block, names is not None)
    payload = st.binary(min_size=5, max_size=20)
    return header, draw(st.lists(payload, min_size=header.n_blocks, max_size=header.n_blocks)), names or []


@given(contents())
def test_any_collection_is_read_as_it_was_written(content):
    header, payloads, names = content
    data = collection.write(header, payloads, names)
    layout = collection.read(data)
    assert layout.header == header and list(layout.names) == names
    assert [bytes(payload) for payload in layout.payloads] == payloads
    assert collection.read_header(data[:28])[0] == header
    assert collection.is_collection(data)


def small(names=("a", "b/c", "d"), block=2):
    header = Header(3, 5, 4, 1, 50, ID, block, bool(names))
    return collection.write(header, [b"12345", b"1234567"][: header.n_blocks], names)


@pytest.mark.parametrize("names", [(), ("a", "b/c", "d"), tuple("x" * 20 + str(i) for i in range(3))])
def test_every_truncation_and_every_flipped_bit_is_refused(names):
    data = small(names)
    for n in range(len(data)):
        with pytest.raises(NotAecError if n == 0 else TruncatedError):
            collection.read(data[:n])
    with pytest.raises(CorruptError, match="1 bytes after the last block"):
        collection.read(data + b"x")
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError) as error:
            collection.read(bytes(changed))
        where = bit // 8
        if where < 4:
            assert error.type is NotAecError
        elif where == 4:
            assert error.type is UnsupportedVersionError
        elif 10 < where:
            assert error.type in (CorruptError, LimitError, TruncatedError)


def head(count=3, width=5, height=4, quality=50, flags=0, block=2, magic=collection.MAGIC, version=1):
    fields = b"".join(map(varint, (width, height, count, block)))
    return magic + bytes([version]) + ID + bytes([quality, flags]) + fields


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"magic": b"\xd7AEC"}, NotAecError, "codec.open reads it"),
        ({"magic": b"\x89PNG"}, NotAecError, "89 50 4e 47"),
        ({"version": 2}, UnsupportedVersionError, "version 2"),
        ({"flags": 4}, UnsupportedVersionError, "0x04"),
        ({"quality": 0}, CorruptError, "quality 0"),
        ({"quality": 101}, CorruptError, "quality 101"),
        ({"count": 0}, CorruptError, "at least 1"),
        ({"width": 0}, CorruptError, "at least 1"),
        ({"block": 0}, CorruptError, "0 pictures in a block"),
        ({"block": 257}, CorruptError, "257 pictures in a block"),
        ({"count": 2**24 + 1}, LimitError, "16777217"),
        ({"width": 1025}, LimitError, "1025"),
        ({"height": 1025}, LimitError, "1025"),
        ({"width": 512, "height": 513}, LimitError, "262144"),
        ({"width": 512, "height": 512, "flags": 1}, LimitError, "262144"),
        ({"count": 2**24}, TruncatedError, "8388608 blocks"),
    ],
)
def test_fields_out_of_range_are_refused_before_anything_is_made_of_them(change, error, words):
    with pytest.raises(error, match=words):
        collection.read(head(**change) + bytes(20))


def with_names(packed: bytes, length: int, count: int = 1) -> bytes:
    """A file with these bytes as its names, all checksums right."""
    start = head(count=count, flags=2, block=256)
    entry = varint(length) + varint(len(packed))
    table, payload = b"", b"12345"
    for part, data in ((entry, packed), (varint(len(payload)), payload)):
        table += part + zlib.crc32(start + part + data).to_bytes(4, "little")
    return start + table + packed + payload


HOSTILE = ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".", "..", "a/", "a\\b", "..\\x", "C:x", "a\0b", "a\x1b[2J"]
HOSTILE += ["a\x7fb", "a\x9b2J", "a\rb"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_the_folder_or_to_a_terminal(name):
    with pytest.raises(CorruptError, match="name"):
        collection.read(with_names(name.encode(), len(name.encode())))
    with pytest.raises(ValueError, match="name"):
        collection.write(Header(1, 5, 4, 1, 50, ID, 2, True), [b"12345"], [name])


@pytest.mark.parametrize(
    ("packed", "length", "count", "error", "words"),
    [
        (b"\xff\xfe", 2, 1, CorruptError, "names"),
        (b"a\nb", 3, 3, CorruptError, "2 names for 3"),
        (b"a\nb", 3, 1, CorruptError, "2 names for 1"),
        (b"a\na", 3, 2, CorruptError, "1 different names"),
        (b"not zlib", 99, 1, CorruptError, "zlib"),
        (zlib.compress(b"a" * 50), 49, 1, CorruptError, "exactly 49"),
        (zlib.compress(b"a" * 50), 51, 1, CorruptError, "exactly 51"),
        (zlib.compress(b"a" * 50) + b"x", 50, 1, CorruptError, "exactly 50"),
        (zlib.compress(b"a" * 50)[:-1], 50, 1, CorruptError, "exactly 50"),
        (zlib.compress(b"a"), 1, 1, CorruptError, "must not make them longer"),
        (zlib.compress(bytes(2**22)), 2**22, 1, LimitError, "4194304"),
        (zlib.compress(b"a\n" * 2**19), 2**20, 1, CorruptError, "524289 names for 1"),
        (b"a", 2**32 - 1, 1, LimitError, "4294967295"),
    ],
)
def test_names_are_what_the_header_says_and_no_bomb(packed, length, count, error, words):
    with pytest.raises(error, match=words):
        collection.read(with_names(packed, length, count))


@pytest.mark.parametrize(
    ("header", "payloads", "names"),
    [
        (Header(3, 5, 4, 2, 50, ID, 2), [b"12345"] * 2, []),
        (Header(3, 5, 4, 1, 50, ID[:3], 2), [b"12345"] * 2, []),
        (Header(3, 5, 4, 1, 50, ID, 2), [b"12345"], []),
        (Header(3, 5, 4, 1, 50, ID, 2), [b"12345", b"1234"], []),
        (Header(3, 5, 4, 1, 50, ID, 2), [b"12345"] * 2, ["a", "b", "c"]),
        (Header(3, 5, 4, 1, 50, ID, 2, True), [b"12345"] * 2, ["a", "b"]),
        (Header(3, 5, 4, 1, 50, ID, 2, True), [b"12345"] * 2, ["a", "b", "a"]),
    ],
)
def test_what_could_not_be_read_is_not_written(header, payloads, names):
    with pytest.raises(ValueError):
        collection.write(header, payloads, names)


def test_many_like_names_are_written_so_that_they_can_be_read():
    names = [f"{'long/' * 40}{i:05}" for i in range(20_000)]  # 4 MB, which zlib packs too well
    header = Header(len(names), 1, 1, 1, 50, ID, 256, True)
    data = collection.write(header, [b"12345"] * header.n_blocks, names)
    assert collection.read(data).names == names


@settings(max_examples=200)
@given(st.binary(max_size=60).map(lambda tail: head()[:12] + tail) | st.binary(max_size=40))
def test_any_bytes_raise_format_errors_only(data):
    try:
        collection.read(data)
    except FormatError:
        pass


def test_a_collection_is_no_single_picture_and_says_so():
    for read in (codec.open, codec.inspect, codec.decode, codec.read_metadata):
        with pytest.raises(NotAecError, match="codec.open_collection"):
            read(small())

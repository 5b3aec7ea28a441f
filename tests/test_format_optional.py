"""What a file need not have, and its second byte of flags: metadata, alpha, 16 bits, stored and exact pictures."""

import dataclasses
import zlib

import pytest
from container import (
    EVERYTHING,
    EXACT,
    ID,
    STORED,
    assemble,
    files,
    leb,
    peak_bytes,
)
from hypothesis import given
from hypothesis import strategies as st

import codec
from codec.container import format
from codec.container.format import Header
from codec.errors import CorruptError, FormatError, LimitError, NotAecError, TruncatedError, UnsupportedVersionError


@pytest.mark.parametrize(
    ("change", "alphas", "metadata", "words"),
    [
        ({"depth": 12}, [], {}, "depth 12"),
        ({"alpha": True}, [], {}, "0 alpha payloads for 1 tiles"),
        ({}, [b""], {}, "1 alpha payloads for 1 tiles"),
        ({}, [], {"iptc": b"x"}, "iptc: allowed are icc, exif, xmp, cicp, bits"),
        ({}, [], {"cicp": bytes(3)}, "cicp metadata of 3 bytes: 4 are needed"),
        ({}, [], {"bits": b""}, "bits metadata of 0 bytes: 1 are needed"),
        ({}, [], {"icc": b""}, "icc metadata of 0 bytes"),
        ({}, [], {"xmp": bytes(2**26 + 1)}, "xmp metadata of 67108865 bytes"),
    ],
)
def test_write_refuses_metadata_and_alpha_that_read_would_refuse(change, alphas, metadata, words):
    with pytest.raises(ValueError, match=words):
        format.write(dataclasses.replace(Header(1, 1, 50, ID), **change), [bytes(5)], alphas, metadata)


def test_files_without_the_new_features_have_not_the_byte_for_them():
    plain = Header(100, 70, 50, ID)
    assert len(format.write(plain, [bytes(5)])) == 11 + 2 + 5 + 5
    for change in ({"alpha": True}, {"depth": 16}):
        header = dataclasses.replace(plain, **change)
        assert len(format.write(header, [bytes(5)], [b""] if header.alpha else [])) == 24 + 5 * header.alpha


def test_metadata_is_deflated_where_that_is_shorter():
    for block, packed in ((bytes(1000), 17), (bytes(range(200)), 200), (b"x", 1)):
        (section,) = format.read(format.write(Header(1, 1, 50, ID), [bytes(5)], [], {"icc": block})).metadata.values()
        assert len(section.packed) <= packed and section.unpack() == block


@given(files(), st.integers(0, 60))
def test_the_header_can_be_read_from_the_first_bytes(file, n):
    data = format.write(*file)
    try:
        assert format.read_header(data[:n]) == file[0]
    except TruncatedError:
        assert n < 23  # 12, two sides of 3, kinds, parts, first of 3
    except NotAecError:
        assert n == 0


@pytest.mark.parametrize("data", [EVERYTHING, STORED, EXACT], ids=["everything", "stored", "exact"])
def test_every_bit_flip_in_a_file_with_more_is_found(data):
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            format.read(flipped)


@pytest.mark.parametrize("more", range(256))
def test_more_flags_are_accepted_or_refused_as_the_format_says(more):
    stored, exact = bool(more & 8), bool(more & 64)
    alone = stored or exact
    start = bytes.fromhex("d741454302") + (bytes(4) if alone else ID) + bytes([0 if alone else 50, 8, more, 1, 1])
    parts = 3 if more & 32 else 1
    start += (bytes([4]) if more & 1 else b"") + (bytes([parts, 7]) if more & 32 else b"")
    lengths = [b"\x05"] * ((more >> 4 & 1) + (more & 2 > 0 and not alone) + parts)
    if more & 1:
        lengths.insert(0, b"\x05\x05")
    data = assemble(start, *[bytes(5)] * len(lengths), lengths=lengths)
    if more & 128:
        with pytest.raises(UnsupportedVersionError, match=f"{more:#04x}"):
            format.read(data)
    elif alone and more & 48:
        with pytest.raises(CorruptError, match="that no network codes, and that has a map of qualities or parts"):
            format.read(data)
    elif more == 0:
        with pytest.raises(CorruptError, match="says nothing"):
            format.read(data)
    elif stored and exact:
        with pytest.raises(CorruptError, match="exact picture that is stored too"):
            format.read(data)
    else:
        header = format.read(data).header
        assert (header.alpha, header.depth) == (bool(more & 2), 16 if more & 4 else 8)
        assert (header.stored, header.exact) == (stored, exact)
        assert (header.mapped, header.parts, header.first) == (bool(more & 16), parts, 7 if parts > 1 else 0)


def test_an_exact_picture_has_no_model_and_any_largest_error():
    for error in (0, 100, 255):
        start = bytes.fromhex("d741454302") + bytes(4) + bytes([error, 8, 64, 1, 1])
        assert format.read(assemble(start, bytes(5))).header.quality == error
    start = bytes.fromhex("d741454302") + ID + bytes([0, 8, 64, 1, 1])
    with pytest.raises(CorruptError, match="whose model id is not 0"):
        format.read(assemble(start, bytes(5)))


@pytest.mark.parametrize("kinds", range(256))
def test_kinds_of_metadata_are_accepted_or_refused_as_the_format_says(kinds):
    names = [name for i, name in enumerate(["icc", "exif", "xmp", "cicp", "bits", "extra"]) if kinds >> i & 1]
    start = bytes.fromhex("d741454302") + ID + bytes([50, 8, 1, 1, 1, kinds])
    sizes = [{"cicp": 4, "bits": 1}.get(name, 5) for name in names]
    lengths = [leb(n) * 2 for n in sizes] + [b"\x05"]
    data = assemble(start, *map(bytes, [*sizes, 5]), lengths=lengths)
    if 1 <= kinds <= 63:
        assert list(format.read(data).metadata) == names
    else:
        with pytest.raises(UnsupportedVersionError if kinds else CorruptError, match=f"kinds {kinds:#04x}"):
            format.read(data)


@pytest.mark.parametrize(("kind", "right"), [(8, 4), (16, 1)], ids=["cicp", "bits"])
@pytest.mark.parametrize(("length", "packed"), [(0, 0), (1, 1), (3, 3), (4, 4), (5, 5), (4, 3), (2**26, 4)])
def test_kinds_of_one_length_have_no_other(kind, right, length, packed):
    start = bytes.fromhex("d741454302") + ID + bytes([50, 8, 1, 1, 1, kind])
    data = assemble(start, bytes(packed), bytes(5), lengths=[leb(length) + leb(packed), b"\x05"])
    if length == packed == right:
        assert len(format.read(data).metadata) == 1
    else:
        with pytest.raises(CorruptError, match=f"{right} are needed|must be the same"):
            format.read(data)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("value", range(256))
def test_values_of_code_points_and_significant_bits_are_those_of_the_format(depth, value):
    header = Header(1, 1, 50, ID, depth=depth)

    def file(**blocks: bytes) -> codec.AecFile:
        return codec.AecFile(format.write(header, [bytes(5)], [], blocks))

    assert file(cicp=bytes([value, 16, 0, 1])).metadata.cicp in ((value, 16, 0, 1), None)  # None: reserved
    for blocks, allowed in (
        ({"bits": bytes([value])}, 1 <= value < depth),
        ({"cicp": bytes([9, 16, value, 1])}, value == 0),
        ({"cicp": bytes([9, 16, 0, value])}, value <= 1),
    ):
        if allowed:
            file(**blocks).verify()
            assert file(**blocks).metadata
        else:
            for read in (lambda f: f.metadata, lambda f: f.verify()):
                with pytest.raises(CorruptError, match="allowed are"):
                    read(file(**blocks))


@pytest.mark.parametrize(
    ("length", "packed", "error", "words"),
    [
        (0, 0, CorruptError, "icc metadata has length 0"),
        (5, 0, CorruptError, "icc metadata has length 0"),
        (5, 6, CorruptError, "5 bytes, packed to 6"),
        (2**26 + 1, 5, LimitError, "67108865 bytes"),
        (2**32 - 1, 5, LimitError, "4294967295 bytes"),
        (2**20 + 1, 5, LimitError, "packed to 5: at most 1048576"),
        (64 * 20_000 + 1, 20_000, LimitError, "packed to 20000: at most 1280000"),
    ],
)
def test_metadata_of_impossible_lengths_is_refused(length, packed, error, words):
    start = bytes.fromhex("d741454302") + ID + bytes([50, 8, 1, 1, 1, 1])
    with pytest.raises(error, match=words):
        format.read(assemble(start, bytes(packed), bytes(5), lengths=[leb(length) + leb(packed), b"\x05"]))


@pytest.mark.parametrize(
    ("length", "stream", "words"),
    [
        (50, b"not deflated", "zlib"),
        (50, zlib.compress(bytes(49)), "exactly 50"),
        (50, zlib.compress(bytes(51)), "exactly 50"),
        (50, zlib.compress(bytes(50))[:-1], "exactly 50"),
        (50, zlib.compress(bytes(50)) + b"x", "exactly 50"),
        (1000, zlib.compress(bytes(2**26)), "packed to"),
    ],
)
def test_metadata_that_does_not_inflate_to_its_length_is_corrupt(length, stream, words):
    start = bytes.fromhex("d741454302") + ID + bytes([50, 8, 1, 1, 1, 1])
    with pytest.raises(CorruptError, match=words):
        data = assemble(start, stream, bytes(5), lengths=[leb(length) + leb(len(stream)), b"\x05"])
        format.read(data).metadata["icc"].unpack()


@pytest.mark.parametrize("n", [2**20, 2**20 + 1, 2**21])
def test_metadata_that_packs_too_well_is_kept_as_it_is(n):
    data = format.write(Header(1, 1, 50, ID), [bytes(5)], metadata={"icc": bytes(n)})
    assert format.read(data).metadata["icc"].unpack() == bytes(n) and (len(data) > n) == (n > 2**20)


def test_metadata_that_would_inflate_without_end_takes_only_the_memory_it_claims():
    section = format.Section(100_000, memoryview(zlib.compress(bytes(2**26))))

    def refused():
        with pytest.raises(CorruptError):
            section.unpack()

    assert peak_bytes(refused) < 1_000_000


@pytest.mark.parametrize(("quality", "model_id", "flags"), [(1, bytes(4), 8), (0, ID, 8), (0, bytes(4), 0x18)])
def test_a_stored_picture_with_quality_model_or_tiles_is_corrupt(quality, model_id, flags):
    start = bytes.fromhex("d741454302") + model_id + bytes([quality, flags, 8, 1, 1])
    with pytest.raises(CorruptError, match="stored"):
        format.read(assemble(start, bytes(5)))

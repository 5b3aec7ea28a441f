"""The container's reader in C++ against the one in Python: the same fields, or the same kind of error."""

import zlib
from pathlib import Path

import capi
import container
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.container import format
from codec.container.metadata import unpacked
from codec.errors import FormatError, LimitError

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.aec"))
SMALL = [p.read_bytes() for p in GOLDEN if p.stat().st_size < 400]
COLOURS, ALPHA, METADATA = range(3)


def outcome(call):
    """What a call returns, or the type of the error of the format that it raises."""
    try:
        return call()
    except FormatError as error:
        return type(error)


def fields(header) -> tuple:
    names = "width height depth gray alpha quality stored exact mapped tile parts first".split()
    values = {name: int(getattr(header, name)) for name in names}
    if header.stored:
        values["tile"] = 0  # which Python's headers have nevertheless
    return (*values.values(), bytes(header.model_id))


def block(layout: format.Layout, kind: str) -> bytes:
    data = layout.metadata[kind].unpack()
    unpacked({kind: layout.metadata[kind]}, layout.header.depth)  # checks its values
    return data


def in_python(data: bytes, partial: bool, max_pixels: int = format.DEFAULT_MAX_PIXELS):
    layout = format.read(data, max_pixels, partial)
    header, damage, missing = layout.header, layout.damage, []
    for i, tile in enumerate(header.tiles):
        area = tile.x, tile.y, tile.width, tile.height
        if (whole := layout.whole_parts(i)) < header.parts:
            missing.append((COLOURS, *area, whole, header.parts, 0))
        if damage and i in damage.alphas:
            missing.append((ALPHA, *area, 0, 1, 0))
    for kind in damage.metadata if damage else ():
        missing.append((METADATA, 0, 0, header.width, header.height, 0, 1, capi.KINDS.index(kind)))
    found = {kind: outcome(lambda kind=kind: block(layout, kind)) for kind in layout.metadata}
    return fields(header), header.n_tiles, found, missing, format.stages(data)


def in_c(library: capi.Library, data: bytes, partial: bool, max_pixels: int = format.DEFAULT_MAX_PIXELS):
    file = library.open(data, allow_partial=partial, max_pixels=max_pixels)
    info = file.info
    found = {}
    for i, kind in enumerate(capi.KINDS):
        if (data_of_kind := outcome(lambda i=i: file.metadata(i))) is not None:
            found[kind] = data_of_kind
    missing = [(m.what, m.x, m.y, m.width, m.height, m.parts, m.of, m.kind) for m in file.missing]
    return fields(info), info.tiles, found, missing, [file.stage(part) for part in range(info.parts)]


def check(library: capi.Library, data: bytes, **options) -> None:
    for partial in (False, True):
        wanted = outcome(lambda partial=partial: in_python(data, partial, **options))
        assert outcome(lambda partial=partial: in_c(library, data, partial, **options)) == wanted
    header = outcome(lambda: fields(format.read_header(data)))
    assert outcome(lambda: fields(library.read_info(data))) == header


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_files_have_the_same_fields(c_library, path):
    check(c_library, path.read_bytes())


@pytest.mark.parametrize("data", [*SMALL, container.EVERYTHING, container.small_file()], ids=len)
def test_every_truncation_is_the_same_error(c_library, data):
    for n in range(len(data)):
        check(c_library, data[:n])
    check(c_library, data + b"\0")


@pytest.mark.parametrize("data", [SMALL[0], container.EVERYTHING, container.small_file(sizes=(5, 7, 9, 6))], ids=len)
def test_every_flipped_bit_is_the_same_error(c_library, data):
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        check(c_library, bytes(changed))


@settings(max_examples=100)
@given(container.files(), st.data())
def test_any_file_has_the_same_fields_or_the_same_error(c_library, file, data):
    header, payloads, alphas, metadata, quality_map = file
    written = format.write(header, payloads, alphas, metadata, quality_map)
    check(c_library, written, max_pixels=data.draw(st.sampled_from([2**28, header.width * header.height - 1])))
    check(c_library, written[: data.draw(st.integers(0, len(written)))])


@settings(max_examples=300)
@given(
    st.binary(min_size=2, max_size=2),
    st.binary(max_size=12),
    st.lists(st.binary(max_size=12), max_size=4),
    st.sampled_from([bytes(4), container.ID]),
    st.integers(0, 255),
)
def test_any_bytes_after_the_magic_are_the_same_error(c_library, flags, head, payloads, model_id, quality):
    """With right checksums, where the head happens to be one."""
    data = b"\xd7AEC\x02" + model_id + bytes([quality]) + flags + head
    table = b"".join(
        container.leb(len(p)) + zlib.crc32(data + container.leb(len(p)) + p).to_bytes(4, "little") for p in payloads
    )
    check(c_library, data + table + b"".join(payloads))


@pytest.mark.parametrize("stream", [zlib.compress(bytes(50)), zlib.compress(bytes(49)), zlib.compress(bytes(51)), b"x"])
@pytest.mark.parametrize("tail", [b"", b"\0"])
def test_metadata_inflates_alike(c_library, stream, tail):
    packed = stream + tail
    head = container.head(flags=0x48)[:11] + b"\x01" + b"\x01\x01" + b"\x01"
    entry, payload = container.leb(50) + container.leb(len(packed)), bytes(5)
    table = entry + zlib.crc32(head + entry + packed).to_bytes(4, "little")
    table += b"\x05" + zlib.crc32(head + b"\x05" + payload).to_bytes(4, "little")
    check(c_library, head + table + packed + payload)


def test_limits_name_what_was_found_and_what_is_allowed(c_library):
    data = container.small_file()
    with pytest.raises(LimitError, match="image of 100x70: a side may have at most 99 pixels"):
        c_library.open(data, max_side=99)
    with pytest.raises(LimitError, match="has 7000 pixels: at most 6999 are allowed"):
        c_library.open(data, max_pixels=6999)
    assert c_library.open(data, max_side=100, max_pixels=7000).info.width == 100

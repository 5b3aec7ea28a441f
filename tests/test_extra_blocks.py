"""Extra blocks of metadata (FORMAT §2.5): any come back, and damaged ones are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reader
from hypothesis import given
from hypothesis import strategies as st

import codec
from codec.container import extra_blocks, format
from codec.container.metadata import Metadata
from codec.container.varint import varint

TYPES = st.text("abzABZ019", min_size=4, max_size=4)
PICTURE = np.zeros((2, 3), np.uint8)


def file(blocks: bytes) -> bytes:
    """A file with this data of extra blocks, right or wrong."""
    data = codec.encode(PICTURE, lossless=True)
    parsed = format.read(data)
    return format.write(parsed.header, list(parsed.payloads), metadata={"extra": blocks})


@given(st.dictionaries(TYPES, st.binary(max_size=200), max_size=5))
def test_blocks_come_back_in_their_order(blocks):
    assert list(extra_blocks.unpack(extra_blocks.pack(blocks)).items()) == list(blocks.items())


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 20}, {"lossless": True, "effort": 1}])
def test_a_file_keeps_extra_blocks(options):
    blocks = {"Plan": b"", "Data": bytes(300)}
    data = codec.encode(PICTURE, metadata=Metadata(xmp=b"<x/>", extra=blocks), **options)
    assert codec.read_metadata(data) == Metadata(xmp=b"<x/>", extra=blocks)
    assert codec.decode(data, output="numpy").shape == PICTURE.shape
    assert codec.read_metadata(data).only(["xmp"]).extra is None


def test_a_file_without_extra_blocks_has_no_byte_for_them():
    assert codec.encode(PICTURE, metadata=Metadata(extra={})) == codec.encode(PICTURE)


@pytest.mark.parametrize("blocks", [{"abc": b""}, {"abcde": b""}, {"ab d": b""}, {"abc\xe9": b""}, {7: b""}])
def test_other_types_are_refused(blocks):
    with pytest.raises(ValueError, match="four ASCII letters and digits are needed"):
        codec.encode(PICTURE, metadata=Metadata(extra=blocks))


def test_what_is_not_bytes_is_refused():
    with pytest.raises(TypeError, match="Text of type str: must be bytes"):
        codec.encode(PICTURE, metadata=Metadata(extra={"Text": "words"}))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (b"Tes", "four ASCII letters"),
        (b"Te t\0", "four ASCII letters"),
        (b"Test", "length of extra block Test"),
        (b"Test\x80\0", "length of extra block Test"),
        (b"Test\3ab", "of 3 bytes: 2 are left"),
        (b"Test\0Test\0", "two extra blocks of type Test"),
        (b"Test" + varint(2**32 - 1), "are left"),
    ],
)
def test_damaged_blocks_are_corrupt(blocks, message):
    with pytest.raises(codec.CorruptError, match=message):
        codec.read_metadata(file(blocks))


def test_info_tells_how_long_they_are(tmp_path, capsys):
    from codec.cli import main

    path = tmp_path / "a.aec"
    path.write_bytes(codec.encode(PICTURE, metadata=Metadata(extra={"Data": bytes(95)})))
    assert main(["info", str(path)]) == 0
    assert "extra 100 bytes" in capsys.readouterr().out


@pytest.mark.parametrize("beside", [{"extra": extra_blocks.pack({"Plan": b"a"})}, {"bits": b"\x05"}])
def test_a_stored_picture_keeps_what_is_inside_of_it(beside):
    """Of a JPEG of a camera that lies on its side, the orientation counts as it does without blocks beside it."""
    data = (Path(__file__).parent / "golden" / "v2-tiny2-stored-jpeg-20x30.aec").read_bytes()
    parsed = format.read(data)
    more = format.write(parsed.header, [bytes(p) for p in parsed.payloads], metadata=beside)
    assert np.array_equal(codec.decode(more, output="numpy"), codec.decode(data, output="numpy"))
    own, both = codec.read_metadata(data), codec.read_metadata(more)
    assert own.exif and both == replace(own, **({"bits": 5} if "bits" in beside else {"extra": {"Plan": b"a"}}))
    read = reader.read(more, None)
    assert read.samples.shape == (30, 20, 3) and read.metadata == {"exif": own.exif} | beside

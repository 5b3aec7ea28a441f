"""What the C library's encoder decides is what Python decides, at the borders too; and models that it refuses."""

import itertools
import json
from pathlib import Path

import numpy as np
import photos
import pytest
from test_capi_encode import GOLDEN, Encoder, in_python

from codec.coding import engine, model_file, tiles
from codec.container import format
from codec.errors import ModelError
from codec.picture.samples import Pixels

TINY = GOLDEN / "tiny2.safetensors"
HEIGHT = 464  # of noise for whose two tiles TINY needs a few bytes more than 2 * PARTS_FROM


@pytest.mark.parametrize("model", ["tiny2", "tiny4", "shipped"])
def test_the_first_of_two_passes_has_the_same_channels_at_every_quality(c_library, model, request):
    path = request.getfixturevalue("shipped").path if model == "shipped" else GOLDEN / f"{model}.safetensors"
    ours, file = Encoder(c_library, path), model_file.load(path)
    shares = [tiles.first_of(file, quality) for quality in range(1, 101)]
    assert len(set(shares)) > 1
    for quality in range(1, 101):
        near = shares[max(0, quality - 2) : quality + 1]
        if model == "shipped" and len(set(near)) == 1:
            continue  # of a model that is slow, those next to a border are enough
        coded = ours.encode(photos.photo(1, 1), quality=quality, effort=1, progressive=1)
        assert format.read(coded).header.first == shares[quality - 1]


def payload_bytes(encoder, image) -> int:
    pixels = Pixels(image)
    coded = tiles.encode(encoder, pixels, pixels.header(100, encoder.file.id, 1024), 1)
    return sum(map(len, itertools.chain(*coded)))


def picture_of(encoder, wanted: int) -> np.ndarray:
    """A picture of two tiles whose parts have so many bytes in all: noise, but for some blocks in its first rows.

    Two bytes are the smallest difference that there is here, because the coder writes words of two.
    """
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, 2048, 3), np.uint8)

    def made(flat: int) -> np.ndarray:  # that many blocks of 16x16 pixels, row by row
        rows, rest = divmod(flat, 128)
        image = noise.copy()
        image[: 16 * rows] = 127
        image[16 * rows : 16 * rows + 16, : 16 * rest] = 127
        return image

    low, high = 0, HEIGHT // 16 * 128 - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if payload_bytes(encoder, made(middle)) > wanted else (low, middle)
    near = sorted(range(max(0, high - 100), high + 100), key=lambda flat: abs(flat - high))
    return next(image for image in map(made, near) if payload_bytes(encoder, image) == wanted)


def test_payloads_are_in_parts_from_the_same_size_on(c_library):
    ours, theirs = Encoder(c_library, TINY), engine.Encoder(model_file.load(TINY))
    for less, parts in ((2, 1), (0, 1 + theirs.file.config.steps)):
        image = picture_of(theirs, 2 * tiles.PARTS_FROM - less)
        coded = ours.encode(image, quality=100, effort=1)
        assert coded == in_python(theirs, image, 100, 1024, 1)
        assert format.read(coded).header.parts == parts


@pytest.mark.parametrize(("dtype", "n_bytes"), [("I64", 8), ("F16", 2), ("U16", 2), ("F32", 4)])
def test_tensors_of_the_encoder_of_other_types_are_refused(c_library, tmp_path: Path, dtype, n_bytes):
    whole = TINY.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8:start]), whole[start:]
    name = "analysis.shortcut.weight"
    begin, end = header[name]["data_offsets"]
    grown = b"\1" * ((end - begin) // 2 * n_bytes)
    for entry in header.values():
        if "data_offsets" in entry and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [offset + len(grown) - (end - begin) for offset in entry["data_offsets"]]
    header[name].update(dtype=dtype, data_offsets=[begin, begin + len(grown)])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with pytest.raises(ModelError, match=f"{name}.*is (int64|float16|uint16|float32) .*: int16 .* is allowed"):
        Encoder(c_library, len(text).to_bytes(8, "little") + text + data[:begin] + grown + data[end:])

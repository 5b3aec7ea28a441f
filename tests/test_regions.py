"""Regions that are better or worse than the rest: maps of qualities, in files and in the networks (FORMAT §8)."""

import numpy as np
import photos
import pytest
import torch
from container import peak_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import codec
from codec.coding import decoder, engine, model_search, quality_map, tiles
from codec.coding.decoder import CodedTile, Place
from codec.coding.tiles import TileTask
from codec.container import format
from codec.container.format import Header, Tile
from codec.nets import torch_codec
from codec.picture.pixels import to_pixels

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shipped():
    return torch_codec.load(model_search.find(None), CPU)


def of_one(quality: int, rows: int, columns: int) -> np.ndarray:
    return np.full((rows, columns), quality, np.uint8)


def of_regions(regions, header):
    return quality_map.applied(quality_map.differences(regions, header), header.quality)


# ------------------------------------------------------------------ the networks


def test_a_map_of_one_quality_is_the_same_as_that_quality(shipped):
    pixels = to_pixels(photos.photo(150, 200, seed=3))
    tile = Tile(0, 0, 200, 150)
    for encoder in (shipped.encoder, torch_codec.load(shipped.path, CPU, "reference").encoder):
        alike = of_one(60, 3, 4)
        one, many = (encoder.analyse(TileTask(pixels, tile, quality, 1)) for quality in (60, alike))
        assert all(map(np.array_equal, one, many))
        assert encoder.pack(encoder.quantise(60, *one)) == encoder.pack(encoder.quantise(alike, *one))


@pytest.mark.parametrize("first", [(), [c % 5 == 0 for c in range(512)]], ids=["one pass", "two passes"])
def test_the_engine_and_the_reference_agree_on_maps_and_passes(shipped, first):
    rng = np.random.default_rng(1)
    pixels = to_pixels(photos.photo(140, 210, seed=4))
    quality = rng.integers(20, 95, (3, 4)).astype(np.uint8)
    reference = torch_codec.load(shipped.path, CPU, "reference")
    both = [c.encoder.with_first(first) for c in (shipped, reference)]
    (y, z), theirs = (e.analyse(TileTask(pixels, Tile(0, 0, 210, 140), quality, 1)) for e in both)
    assert np.array_equal(y, theirs[0]) and np.array_equal(z, theirs[1])
    ours, other = (e.pack(e.quantise(quality, y, z)) for e in both)
    assert ours == other and len(ours) == (9 if first else 5)
    tile = CodedTile(codec.coding.rans.join(ours), quality, y.shape[:2], first=first)
    latents = [np.asarray(c.decoder.read(tile)) for c in (shipped, reference)]
    assert np.array_equal(*latents)
    for shrink in (1, 2, 8):
        out = [np.empty((-(-140 // shrink), -(-210 // shrink), 3), np.uint8) for _ in range(2)]
        for made, c in zip(out, (shipped, reference), strict=True):
            c.decoder.synthesis.run(latents[0], Place((0, 0), y.shape[:2], quality), shrink, (0, 0), made)
        assert np.array_equal(*out)


def test_a_walk_refuses_a_map_that_does_not_fit_its_tile():
    nets = engine.load(model_search.find(None))
    for quality, error in (
        (of_one(50, 2, 1), ValueError),
        (of_one(50, 1, 1).astype(int), TypeError),
        (of_one(101, 1, 1), ValueError),
        (of_one(0, 1, 1), ValueError),
        (1.5, TypeError),
    ):
        with pytest.raises(error, match="quality|map"):
            nets.walk(quality, 4, 4)
    with pytest.raises(ValueError, match="first pass"):
        nets.walk(50, 4, 4, [True])


# ------------------------------------------------------------------ maps in files


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100), st.randoms(use_true_random=False))
def test_a_map_is_read_back_as_it_was_written(width, height, base, random):
    tables = engine.load(model_search.find(None)).tables
    header = Header(width, height, base, bytes(4), mapped=True)
    rows, columns = quality_map.blocks_of(header)
    numbers = [random.choice([1, 100, base, random.randint(1, 100)]) for _ in range(rows * columns)]
    blocks = np.array(numbers, np.uint8).reshape(rows, columns)
    data = quality_map.encode(blocks, base, tables)
    assert np.array_equal(quality_map.decode(header, memoryview(data), tables), blocks)


def test_damaged_maps_are_corrupt():
    tables = engine.load(model_search.find(None)).tables
    header = Header(200, 200, 50, bytes(4), mapped=True)
    data = quality_map.encode(np.arange(30, 46, dtype=np.uint8).reshape(4, 4), 50, tables)
    outside = quality_map.encode(of_one(90, 4, 4), 50, tables)
    for bad in (b"\x40" + data[1:], b"\0" + data[1:], data[:-1], data + b"\0\0", data[:1]):
        with pytest.raises(codec.CorruptError, match="map of qualities"):
            quality_map.decode(header, memoryview(bad), tables)
    with pytest.raises(codec.CorruptError, match="has 120: must be 1..100"):
        quality_map.decode(Header(200, 200, 80, bytes(4), mapped=True), memoryview(outside), tables)


def test_a_map_takes_few_bytes_and_none_if_no_block_differs():
    image = photos.photo(256, 256)
    plain = codec.encode(image, 50)
    assert codec.encode(image, 50, roi=[((0, 0, 64, 64), 0)]) == plain
    assert not codec.inspect(plain).mapped
    data = codec.encode(image, 50, roi=[((0, 0, 128, 128), 20)])
    assert codec.inspect(data).mapped and len(format.read(data).quality_map) <= 20


# ------------------------------------------------------------------ what people see


def test_a_region_is_as_good_as_a_picture_of_its_quality_and_the_rest_stays(frozen_eye):
    image = photos.astronaut()[:384, :384].copy()
    regions = ((), [((128, 128, 128, 128), 40)], ())
    files = [
        codec.encode(image, quality, model=frozen_eye.path, roi=roi)
        for quality, roi in zip((40, 40, 80), regions, strict=True)
    ]
    assert list(map(len, files)) == sorted({len(data) for data in files})
    low, decoded, high = (codec.decode(data, output="numpy") for data in files)

    def error(picture, y, x):
        return float(np.mean((picture[y, x].astype(float) - image[y, x]) ** 2))

    inside, outside = (slice(144, 240), slice(144, 240)), (slice(288, 384), slice(0, 384))
    assert error(decoded, *inside) < 1.1 * error(high, *inside) < 0.6 * error(low, *inside)
    assert abs(error(decoded, *outside) / error(low, *outside) - 1) < 0.05


def test_a_part_of_a_picture_with_a_map_has_the_pixels_of_the_whole(shipped):
    pixels = to_pixels(photos.photo(200, 260, seed=2))
    header = pixels.header(55, shipped.id, 128)
    quality = of_regions([((100, 0, 100, 200), 30), ((0, 128, 64, 72), -20)], header)
    file = tiles.file(
        shipped.encoder, header, tiles.encode(shipped.encoder, pixels, header, 2, quality=quality), quality
    )
    read = decoder.Coded.of(shipped.decoder, format.read(file))
    assert np.array_equal(read.quality, quality) and len(np.unique(quality)) == 3
    whole = decoder.decode(shipped.decoder, read)
    for area in (Tile(90, 30, 60, 100), Tile(0, 140, 20, 60)):
        part = decoder.decode(shipped.decoder, read, area)
        assert np.array_equal(part, whole[area.y : area.y + area.height, area.x : area.x + area.width])
    reference = torch_codec.load(shipped.path, CPU, "reference").decoder
    assert np.array_equal(decoder.decode(reference, read), whole)
    small = [decoder.decode(reader, read, shrink=4) for reader in (shipped.decoder, reference)]
    assert np.array_equal(*small)


def test_blocks_get_better_where_a_region_touches_them_and_worse_where_it_covers_them():
    header = Header(200, 130, 50, bytes(4))
    assert of_regions([((63, 0, 2, 1), 10)], header).tolist() == [[60, 60, 50, 50], [50] * 4, [50] * 4]
    assert of_regions([((0, 0, 130, 130), -70)], header).tolist() == [[1, 1, 50, 50]] * 3
    mask = np.zeros((130, 200), np.uint8)
    mask[:64, :64], mask[128:, 192:] = 128, 255  # the last block has 2 rows and 8 columns of pixels
    assert of_regions([(mask, 20)], header).tolist() == [[60, 50, 50, 50], [50] * 4, [50, 50, 50, 70]]
    assert of_regions([(mask == 255, -20)], header).tolist() == [[50] * 4, [50] * 4, [50, 50, 50, 30]]
    both = [((0, 0, 64, 64), 30), ((0, 0, 64, 64), 40)]
    assert of_regions(both, header)[0, 0] == 100
    assert of_regions([((0, 0, 64, 64), 0)], header) == 50


@pytest.mark.parametrize(
    ("where", "difference", "error", "words"),
    [
        ((0, 0, 65, 64), 10, ValueError, "must be within the picture of 64x64"),
        ((0, 0, 64), 10, TypeError, "four ints"),
        (np.ones((64, 64), np.uint8), 10, ValueError, "no number above 1: 255 stands for"),
        (np.zeros((64, 63), bool), 10, ValueError, r"shape \[64, 63\]: must be \[64, 64\]"),
        (np.zeros((64, 64)), 10, TypeError, "float64: must be bool or uint8"),
        ((0, 0, 64, 64), 100, ValueError, "allowed are -99..99"),
        ((0, 0, 64, 64), "10", TypeError, "must be an int"),
    ],
)
def test_regions_that_make_no_sense_are_refused(where, difference, error, words):
    with pytest.raises(error, match=words):
        codec.encode(photos.photo(64, 64), 50, roi=[(where, difference)])
    with pytest.raises(ValueError, match="lossless and roi"):
        codec.encode(photos.photo(64, 64), lossless=True, roi=[((0, 0, 9, 9), 5)])


def test_a_target_is_met_with_regions():
    image = photos.photo(192, 256, seed=8)
    limit = 7000
    data = codec.encode(image, target_size=limit, roi=[((0, 0, 64, 64), 25)])
    assert 0.97 * limit <= len(data) <= limit and codec.inspect(data).mapped


@pytest.mark.parametrize("roi", [5, None, ((0, 0, 64, 64), 20), [((0, 0, 64, 64), 20, 1)], [7]])
def test_regions_that_are_no_pairs_are_refused(roi):
    with pytest.raises(TypeError, match="where, difference"):
        codec.encode(photos.photo(64, 64), 50, roi=roi)


def test_regions_may_come_from_an_iterator_and_masks_from_pillow():
    image = photos.photo(128, 128)
    wanted = codec.encode(image, 40, roi=[((0, 0, 64, 64), 40)])
    assert codec.encode(image, 40, roi=iter([((0, 0, 64, 64), 40)])) == wanted
    mask = np.zeros((128, 128), np.uint8)
    mask[:64, :64] = 255
    for same in (Image.fromarray(mask), Image.fromarray(mask).convert("1"), mask == 255):
        assert codec.encode(image, 40, roi=[(same, 40)]) == wanted
    assert np.array_equal(codec.decode(wanted, output="numpy").shape, image.shape)


def test_rectangles_are_cut_into_blocks_without_their_pixels():
    header = Header(65000, 4000, 50, bytes(4))
    assert peak_bytes(lambda: of_regions([((100, 100, 60000, 3000), 10)], header)) < 4_000_000


@settings(max_examples=60)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 199), st.integers(0, 199), st.data())
def test_a_rectangle_is_the_mask_of_its_pixels(width, height, x, y, data):
    x, y = min(x, width - 1), min(y, height - 1)
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    header, mask = Header(width, height, 50, bytes(4)), np.zeros((height, width), bool)
    mask[y : y + h, x : x + w] = True
    for change in (30, -30):
        one, other = (of_regions([(where, change)], header) for where in ((x, y, w, h), mask))
        assert np.array_equal(one, other)

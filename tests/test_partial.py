"""Files of which a part is there: cut off, damaged, or still on their way."""

import dataclasses
import io
import time

import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

import codec
from codec import Missing
from codec.coding import decoder, engine, exact, model_search, rans, tiles
from codec.container import format
from codec.container.metadata import Metadata
from codec.nets import torch_codec
from codec.picture import stored
from codec.picture.pixels import to_pixels
from codec.picture.samples import Pixels


@pytest.fixture(scope="module")
def encoder():
    return tiles.encoder_for(model_search.find(None), "cpu")


def in_parts(encoder, image, quality=60, tile=64, first=0, alphas=(), metadata=None, depth=8) -> bytes:
    """A file with its payloads in parts, however small it is."""
    pixels = to_pixels(image)
    header = dataclasses.replace(pixels.header(quality, encoder.file.id, tile), first=first)
    coded = tiles.encode(encoder, pixels, header, 2)
    header = dataclasses.replace(header, parts=len(coded[0]))
    return format.write(header, [part for parts in zip(*coded, strict=True) for part in parts], alphas, metadata)


def error(image: np.ndarray, data: bytes) -> float:
    decoded = codec.decode(data, output="numpy", allow_partial=True)
    return float(np.mean((decoded.astype(float) - image) ** 2))


# ------------------------------------------------------------------ parts of payloads


@pytest.mark.parametrize("lanes_log2", [0, 3, 5, 6, 8])
def test_parts_join_to_the_payload_and_hold_its_segments(encoder, lanes_log2):
    rng = np.random.default_rng(lanes_log2)
    segments = [700, 0, 5000, 1, 3000]
    indexes = rng.integers(0, 30, sum(segments)).astype(np.uint8)
    symbols = np.where(indexes > 0, rng.normal(0, 3, len(indexes)).round(), 0).astype(np.int16)
    parts = rans.encode_parts(symbols, indexes, segments, encoder.file.tables, lanes_log2)
    payload = rans.encode(symbols, indexes, segments, encoder.file.tables, lanes_log2)
    assert len(parts) == 5 and rans.join(parts) == payload == rans.encode(
        symbols, indexes, segments, encoder.file.tables, lanes_log2, 4
    )
    at = np.cumsum([0, *segments])
    for n in range(6):
        reader, known = rans.Decoder(encoder.file.tables, rans.join(parts[:n]), True) if n else None, at[n]
        for a, b in zip(at, at[1:], strict=False):
            if reader is None:
                break
            read = reader.decode(indexes[a:b])
            # Of what follows the known segments, the states of the lanes may still hold a few symbols.
            assert np.array_equal(read, symbols[a:b]) if b <= known else ((read == 0) | (read == symbols[a:b])).all()


@settings(max_examples=150)
@given(st.integers(0, 7), st.integers(0, 4000), st.integers(0, 255))
def test_a_prefix_of_a_payload_gives_its_first_symbols_and_zeros(lanes_log2, length, noise):
    tables = engine.load(model_search.find(None)).tables
    rng = np.random.default_rng(lanes_log2)
    indexes = rng.integers(0, 20, 4000).astype(np.uint8)
    symbols = np.where(indexes > 0, rng.normal(0, 2, 4000).round(), 0).astype(np.int16)
    parts = rans.encode_parts(symbols, indexes, [1000, 3000], tables, lanes_log2)
    whole = b"".join(parts)
    cut = [whole[:length][: len(parts[0])], whole[: max(length, len(parts[0]))][len(parts[0]) :]]
    cut = cut[: 1 + (length > len(parts[0]))]
    try:
        reader = rans.Decoder(tables, rans.join(cut, True), True)
    except codec.CorruptError:  # not even the states of all lanes are there
        assert length < len(parts[0])
        return
    read = np.concatenate([reader.decode(indexes[:1000]), reader.decode(indexes[1000:])])
    assert ((read == 0) | (read == symbols)).all()
    if lanes_log2 <= 5:  # with one stream, the symbols that are there are the first ones
        same = read == symbols
        assert same[: int(same.argmin()) if not same.all() else len(same)].all()
        assert np.count_nonzero(read) > 0.8 * np.count_nonzero(symbols) * (length / len(whole)) - 200
    # Damage may give any symbols, but no error and nothing out of bounds.
    damaged = bytes(b ^ noise for b in whole[:length])
    try:
        reader = rans.Decoder(tables, rans.join([damaged], True), True)
        reader.decode(indexes[:1000])
        reader.decode(indexes[1000:])
    except codec.CorruptError:
        pass


def test_large_files_have_parts_and_small_ones_do_not():
    image = photos.astronaut()[:256, 100:356].copy()
    small, large = codec.encode(image, 30), codec.encode(image, 100)
    assert codec.inspect(small).parts == 1 and codec.inspect(large).parts == 5
    assert len(small) < tiles.PARTS_FROM < len(large)
    assert format.read(large).overhead_bytes - format.read(small).overhead_bytes <= 0.003 * tiles.PARTS_FROM


# ------------------------------------------------------------------ files that are cut off


@pytest.mark.parametrize("first", [0, 32])
def test_more_bytes_give_a_better_picture_and_all_bytes_the_picture(encoder, first):
    image = photos.astronaut()[:192, 100:260].copy()
    data = in_parts(encoder, image, 75, 64, first)
    start = format.read(data).overhead_bytes
    shares = [start + int(share * (len(data) - start)) for share in (0.1, 0.4, 0.7, 1)]
    errors = [error(image, data[:n]) for n in shares]
    assert errors == sorted(errors, reverse=True) and errors[0] > 5 * errors[-1]
    assert np.array_equal(codec.decode(data, output="numpy", allow_partial=True), codec.decode(data, output="numpy"))
    assert codec.open(data, allow_partial=True).missing == ()


def test_two_passes_give_a_better_half(frozen_eye):
    image = photos.astronaut()[:256, 100:356].copy()
    halves = []
    for progressive in (False, True):
        data = codec.encode(image, 90, progressive=progressive, model=frozen_eye.path)
        header = codec.inspect(data)
        assert header.parts == (9 if progressive else 5) and bool(header.first) == progressive
        halves.append(error(image, data[: len(data) // 2]))
    assert halves[1] < 0.6 * halves[0]


def test_every_cut_of_a_file_is_a_picture_or_a_named_error(encoder):
    data = in_parts(encoder, photos.photo(70, 100), 40)
    start = format.read(data).overhead_bytes
    for n in range(len(data)):
        with pytest.raises((codec.TruncatedError, codec.NotAecError)):
            codec.decode(data[:n])
        if n <= start:
            with pytest.raises((codec.TruncatedError, codec.NotAecError)):
                codec.open(data[:n], allow_partial=True)
        elif n % 7 == 0 or n - start < 20:
            file = codec.open(data[:n], allow_partial=True)
            assert file.decode(output="numpy").shape == (70, 100, 3) and file.missing
            with pytest.raises(codec.CorruptError, match="cut off or damaged"):
                file.verify()


def test_what_is_missing_is_named(encoder):
    data = in_parts(encoder, photos.photo(70, 100), 40)
    layout = format.read(data)
    end = layout.overhead_bytes + sum(len(p) for p in layout.payloads[:6])  # 4 tiles: all first parts, two second ones
    file = codec.open(data[:end], allow_partial=True)
    areas = [(0, 0, 64, 64), (64, 0, 36, 64), (0, 64, 64, 6), (64, 64, 36, 6)]
    assert file.missing == tuple(
        Missing(area, "colours", parts, 5) for area, parts in zip(areas, (2, 2, 1, 1), strict=True)
    )


# ------------------------------------------------------------------ damage


def test_a_damaged_part_costs_only_what_follows_it_in_its_tile(encoder):
    image = photos.photo(128, 192, seed=3)
    data = in_parts(encoder, image, 50, 64)
    layout, whole = format.read(data), codec.decode(data, output="numpy")
    base = memoryview(data)
    at = layout.overhead_bytes + sum(len(p) for p in layout.payloads[: 3 * 6 + 4]) + 2  # in part 3 of tile 4
    bad = bytes([*base[:at], base[at] ^ 16, *base[at + 1 :]])
    with pytest.raises(codec.CorruptError, match="checksum of part 3 of 5 of tile 4 of 6"):
        codec.decode(bad)
    file = codec.open(bad, allow_partial=True)
    assert file.missing == (Missing((64, 64, 64, 64), "colours", 3, 5),)
    decoded = file.decode(output="numpy")
    place = slice(64, 128), slice(64, 128)
    assert not np.array_equal(decoded[place], whole[place])
    # What it costs: much less than the tile, although nothing of its last two parts is used.
    flat = np.abs(whole[place].astype(int) - 128).mean()
    assert np.abs(decoded[place].astype(int) - whole[place]).mean() < flat / 3


def test_tiles_far_from_the_damage_stay_as_they_were(encoder):
    image = photos.photo(64, 640, seed=5)
    data = in_parts(encoder, image, 50, 64)
    whole, bad = codec.decode(data, output="numpy"), bytearray(data)
    bad[format.read(data).overhead_bytes + 3] ^= 1  # in the first part of the first tile
    decoded = codec.decode(bytes(bad), output="numpy", allow_partial=True)
    assert np.array_equal(decoded[:, 64 + 112 :], whole[:, 64 + 112 :])
    assert not np.array_equal(decoded[:, :64], whole[:, :64])


def test_a_damaged_head_spoils_everything(encoder):
    data = bytearray(in_parts(encoder, photos.photo(70, 100), 40))
    data[9] ^= 1  # the quality
    with pytest.raises(codec.CorruptError, match="checksum"):
        codec.open(bytes(data), allow_partial=True)


def test_a_file_that_ends_before_its_colours_is_refused(encoder):
    data = in_parts(encoder, photos.photo(70, 100), 40)
    start = format.read(data).overhead_bytes
    with pytest.raises(codec.TruncatedError, match="before its colours begin"):
        codec.open(data[:start], allow_partial=True)
    codec.open(data[: start + 1], allow_partial=True)


@pytest.mark.parametrize("lanes_log2", [0, 5, 6, 8])
def test_whole_parts_before_a_damaged_one_are_used_whatever_the_number_of_lanes(encoder, lanes_log2):
    pixels = to_pixels(photos.astronaut()[:64, :64].copy())
    header = dataclasses.replace(pixels.header(90, encoder.file.id), parts=5)
    chosen = encoder.quantise(90, *encoder.analyse(tiles.TileTask(pixels, header.tiles[0], 90, 1)))
    parts = rans.encode_parts(chosen.symbols, chosen.indexes, chosen.segments, encoder.file.tables, lanes_log2)
    data = bytearray(format.write(header, parts))
    whole = format.read(data)
    at = whole.overhead_bytes + sum(map(len, parts[:3]))
    data[at + 1] ^= 255  # in part 3
    read = decoder.Coded.of(encoder.decoder, format.read(data, allow_partial=True))
    cut = decoder.Coded.of(encoder.decoder, format.read(bytes(data[:at]), allow_partial=True))
    known = encoder.decoder.read(decoder.CodedTile(rans.join(parts[:3]), 90, (4, 4), is_prefix=True))
    for coded in (read, cut):
        assert np.array_equal(next(decoder.read_latents(encoder.decoder, coded)), known)


def test_the_engine_and_the_reference_agree_on_cut_files_in_all_their_forms(encoder):
    image = photos.photo(100, 130)
    data = in_parts(encoder, image, 70, 64, first=32)
    cut = data[: int(len(data) * 0.6)]
    file = codec.open(cut, allow_partial=True)
    whole = file.decode(output="numpy")
    assert np.array_equal(file.decode(output="numpy", region=(20, 30, 90, 60)), whole[30:90, 20:110])
    assert file.decode(output="numpy", depth=16).dtype == np.uint16
    assert file.decode(output="numpy", scale=1 / 4).shape == (25, 33, 3)
    reference = torch_codec.load(encoder.file.path, torch.device("cpu"), "reference").decoder
    assert np.array_equal(decoder.decode(reference, decoder.Coded.of(reference, file.layout)), whole)
    assert np.array_equal(file.decode(output="torch").permute(1, 2, 0).numpy(), whole)


def test_a_table_is_bounded_before_it_is_read():
    """As many entries as tiles may have, whatever the number of parts."""
    head = bytes.fromhex("d741454302") + bytes(4) + bytes([50, 8, 32]) + b"\x80\x80\x01" * 2 + b"\x10\x00"
    began = time.perf_counter()
    for partial in (False, True):
        with pytest.raises(codec.LimitError, match="65536 tiles of side 64 of 16 parts: at most 65536"):
            format.read(head + bytes(6_000_000), max_pixels=None, allow_partial=partial)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "target", [{"target_size": 9000}, {"target_psnr": 33}, {"target_bpp": 1}, {"target_ssimulacra2": 60}]
)
def test_progressive_files_meet_targets(frozen_eye, target):
    image = photos.astronaut()[:256, 100:356].copy()
    data = codec.encode(image, progressive=True, model=frozen_eye.path, **target)
    assert codec.inspect(data).first > 0
    if "target_size" in target:
        assert 0.97 * 9000 <= len(data) <= 9000


def test_refined_files_with_regions_and_two_passes_decode(frozen_eye):
    image = photos.astronaut()[:128, 100:228].copy()
    options = {"progressive": True, "roi": [((0, 0, 64, 64), 20)], "model": frozen_eye.path}
    data, plain = codec.encode(image, 60, effort=3, **options), codec.encode(image, 60, **options)
    assert error(image, data) < 1.2 * error(image, plain)


def test_bytes_after_the_end_do_not_hurt_a_partial_reader(encoder):
    data = in_parts(encoder, photos.photo(70, 100), 40)
    whole = codec.decode(data, output="numpy")
    file = codec.open(data + b"more", allow_partial=True)
    assert np.array_equal(file.decode(output="numpy"), whole) and file.missing == ()
    with pytest.raises(codec.CorruptError, match="4 bytes come after its end"):
        file.verify()
    with pytest.raises(codec.CorruptError, match="4 bytes after"):
        codec.decode(data + b"more")


def test_missing_alpha_is_opaque_and_missing_metadata_is_left_out():
    image = photos.photo(80, 90)
    alpha = np.tile(np.arange(90, dtype=np.uint8), (80, 1))
    pixels = Pixels(image, alpha, Metadata(xmp=b"<x/>" * 9))
    data = codec.encode(pixels, 30)
    layout = format.read(data)
    places = {
        "metadata": layout.overhead_bytes + 2,
        "alpha": layout.overhead_bytes + len(layout.metadata["xmp"].packed) + 40,
    }
    for what, at in places.items():
        bad = bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])
        file = codec.open(bad, allow_partial=True)
        decoded = file.decode(output="numpy")
        assert (file.metadata.xmp is None) == (what == "metadata")
        assert (decoded[..., 3] == 255).all() == (what == "alpha")
        assert file.missing == (Missing((0, 0, 90, 80), "alpha" if what == "alpha" else "xmp", 0, 1),)


def test_a_stored_picture_is_never_read_in_part():
    data = stored.lossless(to_pixels(photos.photo(30, 30)), 2, exact=True)
    for bad in (data[:-5], data[:-5] + b"?" + data[-4:]):
        with pytest.raises((codec.TruncatedError, codec.CorruptError)):
            codec.open(bad, allow_partial=True)


def test_a_damaged_tile_of_an_exact_picture_is_gray_and_costs_itself_only():
    image = np.dstack([photos.photo(70, 130), np.full((70, 130), 7, np.uint8)])
    data = bytearray(exact.file(to_pixels(image), 0, 64))
    data[format.read(data).overhead_bytes + sum(map(len, format.read(data).payloads[:1])) + 3] ^= 1
    file = codec.open(bytes(data), allow_partial=True)
    decoded = file.decode(output="numpy")
    assert file.missing == (Missing((64, 0, 64, 64), "colours", 0, 1),)
    assert (decoded[:64, 64:128, :3] == 128).all() and (decoded[:64, 64:128, 3] == 255).all()
    decoded[:64, 64:128] = image[:64, 64:128]
    assert np.array_equal(decoded, image)


def test_a_damaged_map_of_qualities_spoils_everything():
    data = codec.encode(photos.photo(128, 128), 50, roi=[((0, 0, 64, 64), 20)])
    at = format.read(data).overhead_bytes
    for bad in (data[:at], bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])):
        with pytest.raises((codec.TruncatedError, codec.CorruptError), match="map of qualities"):
            codec.open(bad, allow_partial=True)


def test_parts_and_passes_that_are_not_the_models_are_corrupt(encoder):
    by = encoder.decoder
    for parts, first, words in (
        (4, 0, "4 parts of each tile: with this model it must be 5"),
        (5, 3, "must be 9"),
        (9, 512, "512 channels in the first pass: must be below 512"),
    ):
        header = format.Header(64, 64, 50, encoder.file.id, parts=parts, first=first)
        layout = format.read(format.write(header, [bytes(9)] * parts))
        with pytest.raises(codec.CorruptError, match=words):
            decoder.Coded.of(by, layout)


# ------------------------------------------------------------------ where people meet it


def test_pillow_loads_a_truncated_file_only_if_it_is_told_to(monkeypatch):
    data = codec.encode(photos.astronaut()[:256, 100:356].copy(), 95)[:-3000]
    with pytest.raises(OSError, match="remaining"), Image.open(io.BytesIO(data)) as image:
        image.load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with Image.open(io.BytesIO(data)) as image:
        assert np.asarray(image).shape == (256, 256, 3)

"""The pipeline's parts: strips, regions, small pictures and threads give the pixels that the whole picture has."""

import os
import subprocess
import sys
import threading
import weakref
from dataclasses import replace

import coded
import numpy as np
import photos
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.coding import decoder, tiles
from codec.coding.threads import MOST_AT_ONCE, team
from codec.container.format import Tile
from codec.errors import CorruptError
from codec.nets import integer_synthesis, torch_codec, torch_encoder
from codec.nets.integer_synthesis import samples as rounded
from codec.picture.pixels import to_pixels

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def small_windows():
    """So that small pictures have many, as large ones do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "WINDOW", 64)
        yield


def made(codec, height, width, tile, quality=60, gray=False, seed=0):
    """(header, payloads) of a synthetic photograph."""
    image = photos.photo(height, width, seed)
    pixels = to_pixels(image[..., 0].copy() if gray else image)
    header = pixels.header(quality, codec.id, tile)
    return header, tiles.encode(codec.encoder, pixels, header, effort=2)


def net_of(codec):
    """The readable integers of its synthesis."""
    return torch_codec.load(codec.path, CPU, "reference").decoder.synthesis._net


@torch.inference_mode()
def synthesised(codec, header, payloads, shrink=1):
    """What samples are rounded from, with all latents at hand: int32 [1, 3, 16 rows / shrink, 16 columns / shrink]."""
    rows, columns = decoder.latent_size(Tile(0, 0, header.width, header.height))
    y = torch.empty(codec.config.latents, rows, columns, dtype=torch.float64)
    for tile, part in zip(
        header.tiles, decoder.read_latents(codec.decoder, coded.read(codec, header, payloads)), strict=True
    ):
        y0, x0 = tile.y // 16, tile.x // 16
        y[:, y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = torch.from_numpy(part).permute(2, 0, 1)
    return net_of(codec).values(y[None], torch.tensor([header.quality]), float(codec.level(header.quality)), shrink)


def samples_of(values, gray=False):
    """What `synthesised` gives -> uint8 [H, W, C] as `decoder.decode` gives them."""
    return rounded(values, 8, gray)[0].permute(1, 2, 0).to(torch.uint8).numpy()


class Counting:
    """A decoder that notes the sizes of the tiles that it reads."""

    def __init__(self, reader):
        self.reader, self.opened = reader, []

    def __getattr__(self, name):
        return getattr(self.reader, name)

    def read(self, tile):
        self.opened.append(tile.size)
        return self.reader.read(tile)


# ------------------------------------------------------------------ strips and threads


@pytest.mark.parametrize(
    ("height", "width", "tile", "gray"),
    [(203, 330, 64, False), (150, 260, 128, False), (64, 300, 64, True), (70, 65, 64, False), (90, 110, 1024, False)],
)
def test_strips_and_threads_change_no_bit(shipped, threads, height, width, tile, gray):
    """Tiles of 64 pixels are smaller than the receptive field: a window reaches beyond the next tile."""
    header, payloads = made(shipped, height, width, tile, gray=gray)
    image = photos.photo(height, width)
    pixels = to_pixels(image[..., 0].copy() if gray else image)
    whole = samples_of(synthesised(shipped, header, payloads)[..., :height, :width], gray)
    for n in (1, 2, 3, 7):
        threads(n)
        assert tiles.encode(shipped.encoder, pixels, header, effort=2) == payloads
        assert np.array_equal(decoder.decode(shipped.decoder, coded.read(shipped, header, payloads)), whole)


@torch.inference_mode()
@pytest.mark.parametrize("bf16", [True, False])
def test_networks_give_the_same_bits_on_any_number_of_threads(shipped, threads, monkeypatch, bf16):
    """torch's own 1x1 convolutions do not, from about this size on: one thread gets another library."""
    if not bf16:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    pixels = to_pixels(photos.photo(416, 416))
    (tile,) = pixels.header(60, shipped.id).tiles
    results = []
    for n in (1, 2, 3):
        threads(n)
        y, z = torch_encoder.analyse(shipped, tiles.TileTask(pixels, tile, 60, effort=2))
        grid = y.mul(64).round().div(64)[None].contiguous(memory_format=torch.channels_last)
        results.append((y, z, shipped.synthesis(grid, torch.tensor([60.0]))))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_refinement_is_the_same_on_any_number_of_threads(shipped, threads):
    pixels = to_pixels(photos.photo(80, 140))
    header = pixels.header(50, shipped.id, 64)
    files = []
    for n in (1, 2, 4):
        threads(n)
        files.append(tiles.encode(shipped.encoder, pixels, header, effort=4))
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("on_device", [False, True])
def test_the_cpu_decodes_to_an_array_of_whole_pixels(shipped, on_device):
    header, payloads = made(shipped, 40, 70, 64)
    decoded = decoder.decode(shipped.decoder, coded.read(shipped, header, payloads), on_device=on_device)
    assert decoded.shape == (40, 70, 3) and decoded.flags.c_contiguous


def test_the_reference_decodes_to_the_same_pixels(shipped):
    header, payloads = made(shipped, 70, 130, 64)
    reference = torch_codec.load(shipped.path, CPU, "reference").decoder
    for region, shrink in ((None, 1), (Tile(30, 10, 77, 55), 1), (Tile(30, 10, 77, 55), 4)):
        pixels = [
            decoder.decode(reader, coded.read(shipped, header, payloads, reader), region, shrink)
            for reader in (shipped.decoder, reference)
        ]
        assert np.array_equal(*pixels)


def test_sixteen_bits_are_not_eight_stretched(shipped):
    header, payloads = made(shipped, 40, 70, 64)
    deep = decoder.decode(shipped.decoder, coded.read(shipped, header, payloads), depth=16)
    assert deep.dtype == np.uint16 and len(np.unique(deep)) > 256
    eight = decoder.decode(
        shipped.decoder, coded.read(shipped, header, payloads)
    )  # both are rounded once, from the same
    assert np.abs(deep.astype(int) - 257 * eight.astype(int)).max() <= 129


def test_a_damaged_tile_is_named_and_does_no_harm_to_regions_that_do_not_need_it(shipped, threads):
    header, payloads = made(shipped, 64, 640, 64)
    whole = decoder.decode(shipped.decoder, coded.read(shipped, header, payloads))
    payloads[7] = [payloads[7][0][:5] + bytes(3)]
    for n in (1, 3):
        threads(n)
        with pytest.raises(CorruptError, match="^tile 7: "):
            decoder.decode(shipped.decoder, coded.read(shipped, header, payloads))
        assert np.array_equal(
            decoder.decode(shipped.decoder, coded.read(shipped, header, payloads), Tile(0, 0, 300, 64)),
            whole[:, :300],
        )


def test_the_latents_of_about_two_rows_of_tiles_are_held(shipped, monkeypatch):
    monkeypatch.setattr(decoder, "WINDOW", 128)
    header = replace(to_pixels(photos.photo(8, 8)).header(50, shipped.id, 128), width=128 * 6, height=128 * 9)
    alive, most = [0], [0]

    def gone():
        alive[0] -= 1

    def read(order):
        for _ in order:
            y = np.zeros((8, 8, 4), np.int16)
            alive[0] += 1
            weakref.finalize(y, gone)
            most[0] = max(most[0], alive[0])
            yield y
            del y

    parts = decoder._parts(header, Tile(0, 0, header.width, header.height), shipped.config.halo)
    assert (
        sum(
            1
            for _ in decoder._gather(header, parts, read, lambda rows, columns: np.empty((rows, columns, 4), np.int16))
        )
        == 54
    )
    assert most[0] <= 2 * 6 + 4 and alive[0] <= 1


RSS = """
import resource, sys, numpy, torch
from codec.coding import decoder, model_search, tiles
from codec.container import format
from codec.nets import torch_codec
from codec.picture.samples import Pixels
codec = torch_codec.load(model_search.find(sys.argv[1]), torch.device("cpu"))
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
side = int(sys.argv[2])
pixels = Pixels(numpy.broadcast_to(numpy.uint8(99), (side, side, 3)))
header = pixels.header(50, codec.id)
parts = tiles.encode(codec.encoder, pixels, header, 2)
encoded = peak()
file = tiles.file(codec.encoder, header, parts)
assert decoder.decode(codec.decoder, decoder.Coded.of(codec.decoder, format.read(file))).shape == (side, side, 3)
print(encoded, peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_memory_grows_with_the_picture_and_not_with_what_is_computed_of_it(tiny_model):
    def peaks(side):
        # glibc otherwise keeps freed blocks of up to 32 MB for the next one that fits, or does not.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", RSS, str(tiny_model[0]), str(side)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return map(float, run.stdout.split())

    (encoded, decoded), (encoded_large, decoded_large) = peaks(2048), peaks(4096)
    raw = 3 * (4096**2 - 2048**2) / 2**20  # what the larger picture has more: 36 MB; as floats it would be 144
    assert encoded_large - encoded < 0.25 * raw  # the encoder's input here is a view of one pixel
    assert decoded_large - decoded < 1.25 * raw


# ------------------------------------------------------------------ windows


def test_small_tiles_are_no_more_work_than_large_ones(shipped):
    header, payloads = made(shipped, 300, 400, 64)
    parts = decoder._parts(header, Tile(0, 0, 400, 300), shipped.config.halo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "WINDOW", 1024)
        assert len(parts) == 35 and len(decoder._parts(header, Tile(0, 0, 400, 300), shipped.config.halo)) == 1
        whole = decoder.decode(shipped.decoder, coded.read(shipped, header, payloads))
    assert np.array_equal(decoder.decode(shipped.decoder, coded.read(shipped, header, payloads)), whole)


# ------------------------------------------------------------------ regions


@pytest.fixture(scope="module")
def tiled(shipped):
    header, payloads = made(shipped, 300, 400, 64)
    return header, payloads, decoder.decode(shipped.decoder, coded.read(shipped, header, payloads))


@st.composite
def regions(draw, width, height):
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return Tile(x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y)))


@settings(max_examples=25)
@given(region=regions(400, 300))
def test_a_region_is_the_crop_of_the_whole(shipped, tiled, region):
    header, payloads, whole = tiled
    got = decoder.decode(shipped.decoder, coded.read(shipped, header, payloads), region)
    assert np.array_equal(got, whole[region.y : region.y + region.height, region.x : region.x + region.width])


@pytest.mark.parametrize(
    ("region", "shrink", "n_tiles"),
    [
        (Tile(512, 512, 16, 16), 1, 4),  # at a corner: the halo reaches over it
        (Tile(360, 360, 50, 40), 1, 1),  # inside, the halo of 96 pixels or more from every edge
        (Tile(360, 340, 10, 10), 1, 2),
        (Tile(0, 0, 768, 768), 1, 9),
        (Tile(512, 512, 16, 16), 8, 1),  # no branch, no halo
    ],
)
def test_a_region_reads_only_the_tiles_that_it_needs(tiny_model, monkeypatch, region, shrink, n_tiles):
    codec = torch_codec.load(tiny_model[0], CPU)
    # The shipped model's halo, which the untrained one's is not.
    monkeypatch.setattr(codec.decoder.synthesis, "config", replace(codec.config, blocks16=4, blocks8=4))
    header, payloads = made(codec, 768, 768, 256)
    reader = Counting(codec.decoder)
    decoder.decode(reader, coded.read(codec, header, payloads, reader), region, shrink)
    assert len(reader.opened) == n_tiles


def test_a_whole_picture_reads_each_tile_once(tiny_model):
    codec = torch_codec.load(tiny_model[0], CPU)
    header, payloads = made(codec, 300, 400, 64)
    reader = Counting(codec.decoder)
    decoder.decode(reader, coded.read(codec, header, payloads, reader))
    assert len(reader.opened) == len(header.tiles) == 35


# ------------------------------------------------------------------ small pictures


SMALL = [(2, 60), (2, 1), (4, 1), (4, 19), (8, 1), (4, 60), (8, 19), (8, 60)]  # shrink, quality


@pytest.fixture(scope="module")
def small(shipped):
    """By quality: header and payloads; and by shrink and quality what all samples are rounded from."""
    files = {quality: made(shipped, 130, 170, 64, quality) for quality in (1, 19, 60)}
    cases = [*SMALL, *((1, quality) for quality in files)]
    return files, {case: synthesised(shipped, *files[case[1]], case[0]) for case in cases}


def part_of(values, region, shrink):
    rows = slice(region.y // shrink, -(-(region.y + region.height) // shrink))
    columns = slice(region.x // shrink, -(-(region.x + region.width) // shrink))
    return values[..., rows, columns]


@settings(max_examples=25)
@given(region=regions(170, 130), case=st.sampled_from(SMALL))
def test_a_region_of_a_small_picture_is_the_crop_of_the_whole_one(shipped, small, region, case):
    files, values = small
    got = decoder.decode(shipped.decoder, coded.read(shipped, *files[case[1]]), region, case[0])
    assert np.array_equal(got, samples_of(part_of(values[case], region, case[0])))


@pytest.mark.parametrize("case", SMALL[:5])
def test_a_small_picture_has_the_means_of_the_whole(small, case):
    shrink, quality = case
    means = F.avg_pool2d(small[1][1, quality].double(), shrink)
    # In units of 2^-10 of a level: the shortcut's weights are means too, rounded once.
    assert (small[1][case] - means).abs().max() < 200


@pytest.mark.parametrize("case", SMALL[5:])
def test_a_thumbnail_without_the_branch_has_the_means_of_the_shortcut(shipped, small, case, monkeypatch):
    shrink, quality = case
    files, values = small
    got = decoder.decode(shipped.decoder, coded.read(shipped, *files[quality]), shrink=shrink)
    assert np.array_equal(got, samples_of(part_of(values[case], Tile(0, 0, 170, 130), shrink)))
    assert got.shape == (-(-130 // shrink), -(-170 // shrink), 3)
    monkeypatch.setattr(integer_synthesis, "has_branch", lambda level, shrink: False)
    means = F.avg_pool2d(synthesised(shipped, *files[quality]).double(), shrink)
    # In units of 2^-10 of a level. How near they are to the means of the whole is a property of the model.
    assert (values[case] - means).abs().max() < 200


# ------------------------------------------------------------------ the threads themselves


def test_results_come_in_order_and_only_a_few_ahead(threads):
    threads(4)
    begun, seen = [], []

    def items():
        for i in range(20):
            begun.append(i)
            yield i

    with team(20) as ordered:
        for square in ordered(lambda i: i * i, items()):
            seen.append(square)
            assert len(begun) <= len(seen) + MOST_AT_ONCE
    assert seen == [i * i for i in range(20)]


@pytest.mark.parametrize(
    ("n", "n_tiles", "share"), [(1, 9, 1), (2, 9, 1), (6, 3, 2), (9, 2, 4), (8, 1, 8), (40, 99, 10)]
)
def test_threads_share_torchs_threads_and_give_them_back(threads, n, n_tiles, share):
    threads(n)
    with team(n_tiles) as ordered:
        assert set(ordered(lambda _: torch.get_num_threads(), range(n_tiles))) == {share}
        fresh = []
        other = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert fresh == [n] and torch.get_num_threads() == n
    assert torch.get_num_threads() == n


@pytest.mark.parametrize("kind", [CorruptError, KeyboardInterrupt])
@pytest.mark.parametrize("n", [1, 3])
def test_an_error_is_raised_in_its_place_and_stops_the_rest(threads, n, kind):
    threads(n)
    started, seen = [], []

    def work(i):
        started.append(i)
        if i == 5:
            raise kind("tile 5")
        return i

    with pytest.raises(kind, match="tile 5"), team(50) as ordered:
        seen += ordered(work, range(50))
    assert len(started) < 12
    assert not [t for t in threading.enumerate() if t.name.startswith("aec")]


def test_maps_of_one_team_feed_each_other(threads):
    threads(2)
    with team(30) as ordered:
        assert list(ordered(lambda i: i + 1, ordered(lambda i: 2 * i, range(30)))) == [2 * i + 1 for i in range(30)]

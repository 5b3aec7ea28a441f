"""Training images that are read again and again: which ones come, how well mixed, and in how much memory."""

import os
import tarfile
import tracemalloc
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import photos
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from codec import io
from codec.coding.model_config import Config
from codec.train import command, memory
from codec.train.codec_run import Options, Run
from codec.train.distributed import ALONE, Processes
from codec.train.loop import train
from codec.train.stream import Stream, StreamedCrops, crops_of

CPU = torch.device("cpu")
TINY = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)
SIDE = 16
SHARDS, OF_EACH, LOOSE = 12, 40, 60
IMAGES = SHARDS * OF_EACH + LOOSE
HELD_OUT = SHARDS + 2  # the first of each shard, and two of the 60


def flat(number: int, side: int = SIDE) -> np.ndarray:
    """An image whose pixels all tell its number."""
    return np.full((side, side, 3), (number & 255, number >> 8, 7), np.uint8)


def number_of(crop: torch.Tensor) -> int:
    return int(crop[0, 0, 0]) + 256 * int(crop[1, 0, 0])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder of shards and of images that are in none, with numbers from 0 on in the order of their names."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(IMAGES):
        shard = folder / f"{i // OF_EACH:02}"
        shard.mkdir(exist_ok=True)
        Image.fromarray(flat(i)).save((folder if i >= SHARDS * OF_EACH else shard) / f"{i:03}.png")
    for i in range(SHARDS):
        with tarfile.open(folder / f"{i:02}.tar", "w") as tar:
            for name in sorted((folder / f"{i:02}").iterdir()):
                tar.add(name, name.name)
                name.unlink()
            (folder / f"{i:02}").rmdir()
    return folder


def stream(data: Path, hold_out=False, images=1000) -> Stream:
    return Stream([data], SIDE, hold_out, print, images * 3 * SIDE**2)


def one_pass(items) -> list[str]:
    return [Path(name).name for name, _ in takewhile(lambda item: item is not None, items)]


def names(numbers) -> list[str]:
    return [f"{i:03}.png" for i in numbers]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_each_process_has_each_image_once_in_a_pass_and_at_any_turn_none_that_another_has(data, size):
    three, again, four = ([stream(data).passes(seed, Processes(r, size)) for r in range(size)] for seed in (3, 3, 4))
    first, second, again, other = ([one_pass(items) for items in passes] for passes in (three, three, again, four))
    for parts in (first, second, other):
        assert all(sorted(part) == names(range(IMAGES)) for part in parts)
        in_first_turn = [name for part in parts for name in part[: IMAGES // size - OF_EACH]]
        assert len(set(in_first_turn)) == len(in_first_turn)
    assert first == again and first != second and first != other


def test_more_processes_than_shards_share_the_images(data):
    one = Stream([data / "00.tar"], SIDE, False, print)
    parts = [one_pass(one.passes(0, Processes(r, 3))) for r in range(3)]
    assert all(sorted(part) == names(range(OF_EACH)) for part in parts)
    for begin in (0, 14, 27):  # a turn takes 13 or 14 images
        in_turn = [name for part in parts for name in part[begin : begin + 12]]
        assert len(set(in_turn)) == len(in_turn)


def test_a_process_goes_on_if_its_part_has_few_usable_images_or_none(tmp_path, data):
    """Of four processes, two begin with a damaged shard and with one that has only small images."""
    for name in ("00.tar", "01.tar"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    (tmp_path / "02.tar").write_bytes(b"damaged" * 1000)
    Image.fromarray(flat(0, SIDE - 1)).save(tmp_path / "x.png")
    with tarfile.open(tmp_path / "03.tar", "w") as tar:
        tar.add(tmp_path / "x.png", "x.png")
    (tmp_path / "x.png").unlink()
    for images in (10, 1000):
        for rank in range(4):
            crops = StreamedCrops(stream(tmp_path, images=images), CPU, 0, Processes(rank, 4))
            seen = {number_of(crop) for _ in range(40) for crop in crops.draw(32, SIDE)}
            assert len(crops.images) == min(images, 2 * OF_EACH) and len(seen) > 60


@pytest.mark.parametrize("size", [1, 3])
def test_fewer_images_than_processes_are_enough(tmp_path, data, size):
    Image.fromarray(flat(5)).save(tmp_path / "x.png")
    for rank in range(size):
        crops = StreamedCrops(stream(tmp_path), CPU, 0, Processes(rank, size))
        assert {number_of(crop) for crop in crops.draw(6, SIDE)} == {5}


def test_every_fiftieth_image_of_each_shard_is_held_out_and_never_trained_on(data):
    both = stream(data, hold_out=True)
    held = {number_of(torch.from_numpy(im).permute(2, 0, 1)) for im in both.held_out(1000)}
    assert held == {*range(0, SHARDS * OF_EACH, OF_EACH), 480, 530} and len(held) == HELD_OUT
    trained = one_pass(both.passes(0))
    assert sorted(trained) == names(sorted({*range(IMAGES)} - held))
    assert len(both.held_out(5)) == 5
    some = {number_of(torch.from_numpy(im).permute(2, 0, 1)) for im in both.some(0)}
    assert len(some) > 100 and not some & held


@pytest.mark.parametrize("room", [100, 1000])
def test_crops_show_almost_every_image_in_the_time_of_a_pass_and_mix_shards(data, room):
    """Images give four crops on average, so that about 1 - e^-4 of them are seen before they are dropped."""
    crops = StreamedCrops(stream(data, images=room), CPU, 0)
    seen, mixed = [], []
    for _ in range(4 * IMAGES // 20):
        batch = [number_of(crop) for crop in crops.draw(20, SIDE // 2)]
        seen += batch
        mixed.append(len({i // OF_EACH for i in batch}))
    assert len(set(seen)) > 0.9 * IMAGES
    assert np.mean(mixed) > (8 if room == 1000 else 3)
    counts = np.bincount(seen, minlength=IMAGES)
    assert counts.max() < 20


@pytest.mark.parametrize("processes", [ALONE, Processes(1, 2)])
def test_the_seed_decides_all_that_is_drawn(data, processes):
    a, b, c = (crops_of(stream(data, images=50), CPU, seed, processes) for seed in (1, 1, 2))
    drawn = [torch.cat([crops.draw(8, 8) for _ in range(30)]) for crops in (a, b, c)]
    assert drawn[0].shape == (30 * 8 // processes.size, 3, 8, 8)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@settings(max_examples=15)
@given(st.integers(4, 12), st.integers(4, 12), st.integers(1, 4), st.integers(0, 99))
def test_crops_from_a_stream_are_windows_of_the_image_in_all_eight_symmetries(
    tmp_path_factory, height, width, side, seed
):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    path = tmp_path_factory.mktemp("one") / "x.png"
    Image.fromarray(image).save(path)
    windows = sliding_window_view(image, (side, side), (0, 1)).reshape(-1, 3, side, side)
    windows = np.concatenate([windows, windows[:, :, ::-1]])
    windows = np.concatenate([windows, windows[:, :, :, ::-1]])
    windows = np.concatenate([windows, windows.swapaxes(2, 3)])
    crops = StreamedCrops(Stream([path], 1, False, print), CPU, seed)
    drawn = {crop.numpy().tobytes() for crop in crops.draw(40, side).contiguous()}
    known = {window.tobytes() for window in windows}
    assert len(drawn) >= min(2, len(known))
    assert drawn <= known


def test_memory_is_bounded_by_the_buffer_and_not_by_the_data(tmp_path, monkeypatch):
    decoders = 2
    monkeypatch.setattr(os, "cpu_count", lambda: decoders)
    side, n, room = 256, 60, 10
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for i in range(n):
            Image.fromarray(flat(i, side)).save(tmp_path / "x.png")
            tar.add(tmp_path / "x.png", f"{i}.png")
    image = 3 * side**2
    Stream([tmp_path / "x.tar"], side, False, print).some(0)  # imports what reads images
    tracemalloc.start()
    try:
        crops = StreamedCrops(Stream([tmp_path / "x.tar"], side, False, print, room * image), CPU, 0)
        ahead = len(crops._coming)
        seen = {number_of(crop) for _ in range(n) for crop in crops.draw(4, 128)}
        assert tracemalloc.get_traced_memory()[1] < (room + ahead + 4 * decoders + 4) * image < n / 2 * image
        assert sum(im.nbytes for im in crops.images) <= room * image
    finally:
        tracemalloc.stop()
    assert len(seen) > 0.8 * n


@pytest.mark.parametrize("processes", [ALONE, Processes(1, 2), Processes(4, 5)])
def test_images_that_all_fit_into_the_buffer_are_there_once(data, processes):
    crops = StreamedCrops(stream(data), CPU, 0, processes)
    for _ in range(20):
        crops.draw(100, SIDE)
        there = [number_of(torch.from_numpy(im).permute(2, 0, 1)) for im in crops.images]
        assert sorted(there) == [*range(IMAGES)]


def test_what_cannot_be_read_is_left_out_and_named_and_nothing_usable_is_an_error(tmp_path, data):
    (tmp_path / "cut.tar").write_bytes((data / "00.tar").read_bytes()[:12_000])
    (tmp_path / "text.png").write_text("hello")
    lines: list[str] = []
    both = Stream([tmp_path], SIDE, False, lines.append)
    usable = len(both.some(0))
    assert 2 < usable < 12
    crops = StreamedCrops(both, CPU, 0)
    crops.draw(20, SIDE)
    assert len(crops.images) == usable and len(lines) == 2
    for words in ("cut.tar: not a whole tar archive", "left out text.png: "):
        assert sum(words in line for line in lines) == 1
    none = Stream([tmp_path / "text.png"], SIDE, False, lines.append)
    for work in (lambda: none.some(0), lambda: StreamedCrops(none, CPU)):
        with pytest.raises(ValueError, match="no usable image in .*text.png"):
            work()
    all_held_out = Stream([data / "500.png"], SIDE, True, lines.append)
    assert len(all_held_out.held_out(9)) == 1
    with pytest.raises(ValueError, match="no usable image in .*500.png beside those that are held out; --holdout"):
        all_held_out.some(0)
    with pytest.raises(FileNotFoundError, match="absent"):
        Stream([tmp_path / "absent"], SIDE, False, print)


def test_pictures_to_hold_out_of_which_none_can_be_used_are_an_error_that_says_so(tmp_path, data):
    Image.fromarray(flat(0, SIDE - 1)).save(tmp_path / "small.png")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "small.png", "0.png")
        tar.add(data / "500.png", "1.png")
    both = Stream([tmp_path / "x.tar"], SIDE, True, print)
    assert len(both.some(0)) == 1
    with pytest.raises(ValueError, match="none of the pictures that would be held out can be used.*--holdout"):
        both.held_out(9)


def test_samples_take_no_more_memory_than_a_buffer(data):
    few = stream(data, hold_out=True, images=5)
    assert len(few.some(0)) == len(few.held_out(48)) == 5


def test_a_folder_that_cannot_be_listed_is_named(data, tmp_path, monkeypatch):
    def search(folder, suffixes):
        return replace(io.search(folder, suffixes), problems=[PermissionError(13, "Permission denied", "in/secret")])

    monkeypatch.setattr("codec.train.stream.search", search)
    lines: list[str] = []
    Stream([data], SIDE, False, lines.append)
    assert lines == ["left out in/secret: Permission denied"]


class Begun(Exception):
    """A run would now begin to train."""


@pytest.mark.parametrize("was_streamed", [False, True])
def test_a_resumed_run_is_streamed_if_it_was_before_because_that_decides_what_is_held_out(
    tmp_path, monkeypatch, was_streamed
):
    for i in range(3):
        Image.fromarray(photos.photo(256, 256, seed=i)).save(tmp_path / f"{i}.png")
    checkpoint, out = tmp_path / "c.safetensors", tmp_path / "m.safetensors"
    options = Options(minutes=1.0, batch=1, steps=1)
    run = Run(options, TINY)
    images = [photos.photo(256, 256)]
    run.start(images)
    run.images = Stream([tmp_path / "0.png"], 256, False, print) if was_streamed else images
    train(run, checkpoint, print)

    def begin(run, checkpoint, report):
        raise Begun(isinstance(run.images, Stream))

    monkeypatch.setattr(command, "train", begin)

    def resumed(stream: bool, holdout: Path | None) -> bool:
        with pytest.raises(Begun) as begun:
            command.main([tmp_path], out, options, checkpoint, None, (), None, holdout, False, print, stream)
        return begun.value.args[0]

    assert resumed(False, None) == was_streamed
    if was_streamed:
        assert resumed(True, None)
    else:
        with pytest.raises(ValueError, match="--stream: .*c.safetensors is of a run that was not streamed"):
            resumed(True, None)
    # Pictures that are named are held out in any case.
    assert resumed(True, tmp_path / "0.png") and not resumed(False, tmp_path / "0.png")


def test_the_size_of_decoded_images_is_estimated_from_a_few_headers(data, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for i in range(70):
        Image.fromarray(rng.integers(0, 256, (64 + i, 64, 3), np.uint8)).save(tmp_path / f"{i}.jpg")
    paths = sorted(tmp_path.iterdir())
    truth = sum(3 * 64 * (64 + i) for i in range(70))
    assert memory.decoded_bytes(paths) == pytest.approx(truth, rel=0.1)
    assert memory.decoded_bytes([]) == 0
    opened: list[Path] = []
    monkeypatch.setattr(memory, "encoded", lambda path: opened.append(path) or iter(()))
    for n in (1, 32, 33, 63, 64, 70):
        opened.clear()
        memory.decoded_bytes(paths[:n])
        assert min(n, memory.SAMPLED) / 2 <= len(opened) <= memory.SAMPLED
    free = memory.free_bytes()
    assert free is None or 1 << 20 < free < 1 << 50

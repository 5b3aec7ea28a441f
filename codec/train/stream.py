"""Training images that are read again and again from shards and folders, for when all of them do not fit into memory.

A thread reads the shards in a random order, others decode the images, and a buffer holds the last ones. Crops are drawn
from the whole buffer, so images that lie side by side in a shard come into the same batch hardly more often than
others, as long as the buffer has room for the images of several shards.

How far the buffer has moved on depends on what was drawn, not on the clock, so that a run can be repeated. One pixel is
read for each pixel drawn: on average, an image gives as many crops as it has room for before it is dropped. If all
images fit into the buffer, each is read once and stays there.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..io import Found, search
from .distributed import ALONE, Processes
from .images import ALLOWED, Crops, Encoded, check_exist, decode, encoded, is_shard

BUFFER_BYTES = 1 << 30  # of pixels in memory, in each process
MOST_AHEAD = 16  # threads that decode; twice as many images are decoded before they are needed
HELD_OUT_EVERY = 50
SOME, SOME_OF_EACH = 128, 16  # images that `Stream.some` returns at most, in all and of each shard
MOST_REPORTED = 10


class Stream:
    """The images in files, folders and tar shards, which are read when they are needed.

    Args:
        paths: of images, folders or tar shards.
        min_side: images with a side below this are left out.
        hold_out: leave every fiftieth image for `held_out`: of each shard, and of all images that are in none.
        report: called with a line for an image or a shard that is left out, for the first ten.
        buffer_bytes: of pixels that crops are drawn from; a single image may be larger.

    Raises:
        FileNotFoundError: a path does not exist.
    """

    def __init__(
        self,
        paths: list[Path],
        min_side: int,
        hold_out: bool,
        report: Callable[[str], None],
        buffer_bytes: int = BUFFER_BYTES,
    ):
        self.min_side, self.hold_out, self.report, self.buffer_bytes = min_side, hold_out, report, buffer_bytes
        self._reported: set[str] = set()
        self.paths, (files, problems) = paths, files_in(paths)
        for problem in problems:
            self.usable(decode((str(problem.filename), problem), min_side))
        shards, images = ([p for p in files if is_shard(p) == wanted] for wanted in (True, False))
        held = images[::HELD_OUT_EVERY] if hold_out else []
        # What is read as a whole, in an order of its own.
        self._shards = len(shards)
        self._units = [*shards, *(p for i, p in enumerate(images) if not hold_out or i % HELD_OUT_EVERY)]
        self._with_held_out = [*held, *shards] if hold_out else []

    def __str__(self) -> str:
        return f"{self._shards} shards and {len(self._units) - self._shards} other images, streamed"

    def passes(self, seed: int, processes: Processes = ALONE) -> Iterator[Encoded | None]:
        """Yield the images to train on, pass after pass, without end; None stands after each pass.

        In each pass the shards, and the images that are in none, come in another random order. Several processes divide
        them into as many parts, and take these in turn, so that no two of them have the same part at the same turn, and
        each has had all images at the end of its pass. If there are fewer shards than processes, each process reads all
        of them in each turn, and yields its part of the images.
        """
        size = processes.size
        apart = (self._shards or len(self._units)) >= size
        for turn in count():
            part = (processes.rank + turn) % size
            rng = np.random.default_rng([seed, turn // size])
            order = rng.permutation(len(self._units))
            if apart:  # every part has about as many shards, and about as many other images
                order = rng.permutation(order[np.argsort(order >= self._shards, kind="stable")][part::size])
            images = chain.from_iterable(self._read(self._units[i]) for i in order)
            yield from images if apart else islice(images, part, None, size)
            if turn % size == size - 1:
                yield None

    def held_out(self, most: int) -> list[np.ndarray]:
        """Return up to `most` of the images that are not trained on, uint8 [H, W, 3] each, or as many as fill a buffer.

        Raises:
            ValueError: none of them can be used.
        """
        if found := self._first(most, (self._read(unit, held=True) for unit in self._with_held_out)):
            return found
        raise ValueError(
            "none of the pictures that would be held out can be used (the first of each shard, and every fiftieth "
            "after it): give others with --holdout"
        )

    def some(self, seed: int) -> list[np.ndarray]:
        """Return up to SOME images to train on, uint8 [H, W, 3] each, or as many as fill a buffer; the seed says which.

        Raises:
            ValueError: none of them can be used.
        """
        order = np.random.default_rng(seed).permutation(len(self._units))
        if found := self._first(SOME, (islice(self._read(self._units[i]), SOME_OF_EACH) for i in order)):
            return found
        raise self.nothing()

    def usable(self, decoded: np.ndarray | str) -> np.ndarray | None:
        """Return what `images.decode` gave if it is an image; if it is a reason to leave one out, report that."""
        if not isinstance(decoded, str):
            return decoded
        if decoded not in self._reported and len(self._reported) < MOST_REPORTED:
            self._reported.add(decoded)
            self.report(f"left out {decoded}")
        return None

    def nothing(self) -> ValueError:
        """Return the error that no image can be used."""
        beside = " beside those that are held out; --holdout names others" if self.hold_out else ""
        return ValueError(f"no usable image in {', '.join(map(str, self.paths))}{beside}")

    def _first(self, most: int, parts: Iterable[Iterable[Encoded]]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        room = self.buffer_bytes
        for item in chain.from_iterable(parts):
            if (image := self.usable(decode(item, self.min_side))) is not None:
                found.append(image)
                room -= image.nbytes
                if len(found) == most or room <= 0:
                    break
        return found

    def _read(self, unit: Path, held: bool = False) -> Iterator[Encoded]:
        """Yield the images of a file or a shard; of a shard, those that are held out or the others.

        If it cannot be read, the error is yielded in place of an image.
        """
        try:
            for i, item in enumerate(encoded(unit)):
                if not is_shard(unit) or (self.hold_out and i % HELD_OUT_EVERY == 0) == held:
                    yield item
        except (OSError, ValueError) as e:
            yield unit.name, e


class StreamedCrops:
    """Draws random square crops, flipped and transposed at random, from a stream of images. It stands for `Crops`.

    All that is random depends on the seed. A run that is resumed begins with an empty buffer and another seed, so it
    repeats neither the crops nor the order of the run before; which images that run had seen is not kept.

    Args:
        stream: the images.
        device: to which crops are sent; the buffer is in the memory of the CPU.
        seed: of the order of the images and of the crops.
        processes: those that share each batch. Each draws its own crops, from images that it reads itself.

    Raises:
        ValueError: a whole pass has no image that can be used; `draw` raises it too.
    """

    def __init__(self, stream: Stream, device: torch.device, seed: int = 0, processes: Processes = ALONE):
        self.stream, self.device, self.size = stream, device, processes.size
        self.rng = np.random.default_rng([seed, processes.rank])
        self._items = stream.passes(seed, processes)
        # One thread reads, so that images come in their order; each of the others decodes one image and is one ahead.
        ahead = min(MOST_AHEAD, max(1, (os.cpu_count() or 1) // processes.on_this_machine))
        self._reader, self._decoders = ThreadPoolExecutor(1), ThreadPoolExecutor(ahead)
        self._coming: deque[Future[Future[np.ndarray | str] | None]] = deque()
        self._usable = False  # whether the present pass has had a usable image
        for _ in range(2 * ahead):
            self._fetch()
        self.images: deque[np.ndarray] = deque()  # uint8 [H, W, 3] each
        self._bytes = 0
        self._whole = False  # whether the buffer has all images, each one once, so that nothing more is read
        while self._bytes < stream.buffer_bytes and not self._whole:
            if (image := self._next()) is None:
                self._whole = True
                self._coming.clear()
            else:
                self._put(image)
        self._due = 0.0  # pixels to be read for those that were drawn

    def _fetch(self) -> None:
        """Let the next image be read and decoded."""

        def read() -> Future[np.ndarray | str] | None:
            item = next(self._items)
            return None if item is None else self._decoders.submit(decode, item, self.stream.min_side)

        self._coming.append(self._reader.submit(read))

    def _next(self) -> np.ndarray | None:
        """Return the next usable image; None at the end of a pass."""
        while True:
            decoded = self._coming.popleft().result()
            self._fetch()
            if decoded is None:
                if not self._usable:
                    raise self.stream.nothing()
                self._usable = False
                return None
            if (image := self.stream.usable(decoded.result())) is not None:
                self._usable = True
                return image

    def _put(self, image: np.ndarray) -> None:
        """Add an image to the buffer, in which others make room for it."""
        self.images.append(image)
        self._bytes += image.nbytes
        while self._bytes > self.stream.buffer_bytes and len(self.images) > 1:
            self._bytes -= self.images.popleft().nbytes

    def draw(self, batch: int, side: int) -> Tensor:
        """Draw this process's share of a batch of crops: uint8 [share, 3, side, side], channels-last in memory."""
        areas = np.array([im.shape[0] * im.shape[1] for im in self.images], dtype=np.float64)
        n = batch // self.size
        crops = np.empty((n, side, side, 3), np.uint8)
        which = self.rng.choice(len(areas), n, p=areas / areas.sum())
        for crop, i in zip(crops, which, strict=True):
            image = self.images[i]
            top, left = (int(self.rng.random() * (length - side + 1)) for length in image.shape[:2])
            window = image[top : top + side, left : left + side]
            flip_i, flip_j, swap = self.rng.random(3) < 0.5
            window = window[:: -1 if flip_i else 1, :: -1 if flip_j else 1]
            crop[:] = window.swapaxes(0, 1) if swap else window
        self._due += n * side * side
        while self._due > 0 and not self._whole:
            if (fresh := self._next()) is not None:
                self._put(fresh)
                self._due -= fresh.shape[0] * fresh.shape[1]
        return torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2)


def files_in(paths: list[Path]) -> tuple[list[Path], list[OSError]]:
    """Return all images and shards in files and folders, and the errors of folders that could not be listed.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    check_exist(paths)
    found = [search(p, ALLOWED) if p.is_dir() else Found([p], [], []) for p in paths]
    return [file for one in found for file in one.files], [problem for one in found for problem in one.problems]


def crops_of(
    images: Sequence[np.ndarray] | Stream, device: torch.device, seed: int, processes: Processes = ALONE
) -> Crops | StreamedCrops:
    """Return what draws crops, from images in memory or from a stream of them."""
    if isinstance(images, Stream):
        return StreamedCrops(images, device, seed, processes)
    return Crops(images, device, seed, processes)

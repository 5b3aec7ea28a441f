"""Decoding: payloads -> latents -> pixels.

The synthesis transform reads a margin of latents around the area that it makes, so that no seams are visible between
tiles. Memory does not grow with the picture, except for the picture itself: latents are kept for about two rows of
tiles or windows, and each thread synthesises one window at a time.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..container.format import Header, Layout, Tile
from ..errors import CorruptError
from . import quality_map, rans
from .model_config import LATENT_STRIDE, Config
from .quality_map import Quality, of_tile
from .threads import team

if TYPE_CHECKING:
    from torch import Tensor

# int16 [h, w, M] in units of 2^-12: a numpy array, or a tensor on the decoder's device. The type is Any and not a
# union, because each decoder's synthesis accepts only the kind that the same decoder returns.
Latents = Any

# The synthesis works on windows of this many pixels a side, independent of the tiles. So large tiles do not need more
# memory, and small tiles do not cause more work on their margins.
WINDOW = 1024


@dataclass(frozen=True)
class Place:
    """Where a rectangle of latents, or of the pixels that they stand for, is, and in which picture.

    Args:
        at: (row, column) of its first latent in the picture, in latents.
        picture: (rows, columns) of the picture, in latents.
        quality: of the whole picture.
    """

    at: tuple[int, int]
    picture: tuple[int, int]
    quality: Quality


class Synthesis(Protocol):
    """The synthesis transform of a model, which turns latents into samples. Many threads may use it at once."""

    def halo(self, quality: Quality, shrink: int) -> int:
        """Return the width of the margin: how many latents away from its own latent a sample still depends on."""

    def run(self, latents: Latents, place: Place, shrink: int, origin: tuple[int, int], out: Any) -> None:
        """Compute a rectangle of the picture's samples and write it to `out`.

        Args:
            latents: the latents of the rectangle, with a margin of `halo` latents, as far as the picture has them.
            place: where these latents are.
            shrink: 1, 2, 4 or 8: each sample is the mean over a square with sides of this many pixels.
            origin: (row, column) of the rectangle's first sample, in samples after shrinking.
            out: receives the samples, uint8 or uint16: an array [rows, columns, C] or, on a GPU, a tensor
                [C, rows, columns]; C = 1 for a gray picture, else 3.
        """


@dataclass(frozen=True)
class CodedTile:
    """The payload of a tile, and what it cannot be read without.

    Args:
        payload: as in FORMAT §3.
        quality: of the tile.
        size: (rows, columns) of the tile, in latents.
        is_prefix: the payload may end early. Latents that it does not hold take the means that are predicted.
        first: for each channel, whether the first of two passes codes it; empty: there is one pass.
    """

    payload: bytes | memoryview
    quality: Quality
    size: tuple[int, int]
    is_prefix: bool = False
    first: Sequence[bool] = ()


class Decoder(Protocol):
    """A model that decodes: `engine.Engine` on the CPU, `nets.torch_decoder.TorchDecoder` with torch."""

    @property
    def config(self) -> Config: ...

    @property
    def tables(self) -> rans.Tables: ...

    @property
    def steps(self) -> np.ndarray:
        """The quantisation steps of the latents by quality, int16 [100, M]."""

    @property
    def synthesis(self) -> Synthesis: ...

    @property
    def one_at_a_time(self) -> bool:
        """Whether tiles must be decoded one after the other. True on a GPU, which one tile keeps busy."""

    def read(self, coded: CodedTile) -> Latents:
        """Entropy-decode the latents of a tile.

        Raises:
            CorruptError: no encoder with this model writes such a payload.
        """

    def empty(self, rows: int, columns: int) -> Latents:
        """Allocate latents [rows, columns, M], not initialised."""

    def samples(self, channels: int, rows: int, columns: int, kind: str) -> "Tensor | None":
        """Allocate samples [channels, rows, columns] of type `kind` ("uint8" or "uint16") on a GPU; None on the CPU."""


def load_for(model_id: bytes, model: str | os.PathLike | None, device: str) -> Decoder:
    """Load the model that wrote a file, for decoding.

    Args:
        model_id: the model id in the file's header, 4 bytes.
        model: name or path of the model; None: it is found by its id.
        device: "cpu" or "cuda:N"; torch is imported for the latter.

    Raises:
        ModelError: there is no such model, or `model` has a different id.
    """
    if device == "cpu":
        from . import engine

        return engine.load_for(model_id, model)
    import torch

    from ..nets import torch_codec

    return torch_codec.load_for(model_id, model, torch.device(device)).decoder


def latent_size(tile: Tile) -> tuple[int, int]:
    """Return the size of a tile in latents, (rows, columns)."""
    return -(-tile.height // LATENT_STRIDE), -(-tile.width // LATENT_STRIDE)


@dataclass(frozen=True)
class Coded:
    """The coded colours of a picture: what its file says of them, with the map of qualities decoded.

    Raises:
        CorruptError: no encoder with this model writes such a map, or so many parts.
    """

    layout: Layout
    quality: Quality
    first: Sequence[bool]

    @property
    def header(self) -> Header:
        return self.layout.header

    @classmethod
    def of(cls, decoder: Decoder, layout: Layout) -> "Coded":
        """Read the map of a file, and check its number of parts and of channels in the first pass."""
        header, config = layout.header, decoder.config
        allowed = 1 + config.steps * (2 if header.first else 1)
        if header.parts not in (1, allowed):
            raise CorruptError(f"{header.parts} parts of each tile: with this model it must be {allowed}")
        if header.first >= config.latents:
            raise CorruptError(f"{header.first} channels in the first pass: must be below {config.latents}")
        quality = quality_map.decode(header, layout.quality_map, decoder.tables)
        return cls(layout, quality, first_channels(decoder.steps, header))

    def parts(self, i: int) -> tuple[list[memoryview], bool]:
        """Return the parts of a tile, up to the first that is not whole, and whether one is not.

        Of that one there may be the beginning, if it is cut off; of a damaged one nothing is used.
        """
        layout, numbers, n = self.layout, self.layout.parts_of(i), self.layout.whole_parts(i)
        parts = [layout.payloads[number] for number in numbers[: n + 1]]
        if n < len(numbers) and layout.damage and numbers[n] in layout.damage.damaged:
            parts[n] = parts[n][:0]
        return parts, n < len(numbers)


def first_channels(steps: np.ndarray, header: Header) -> Sequence[bool]:
    """Return which channels the first of two passes codes: those with the smallest steps; empty if there is one pass.

    Args:
        steps: as `Decoder.steps`.
        header: of the picture.
    """
    if not header.first:
        return ()
    row = steps[header.quality - 1]
    first = np.zeros(len(row), bool)
    first[np.argsort(row, kind="stable")[: header.first]] = True
    return list(map(bool, first))


def _read_tile(decoder: Decoder, coded: Coded, tile: Tile, i: int) -> Latents:
    size, (parts, early) = latent_size(tile), coded.parts(i)
    try:
        payload = parts[0] if coded.header.parts == 1 and not early else rans.join(parts, early)
        return decoder.read(CodedTile(payload, of_tile(coded.quality, tile), size, early, coded.first))
    except CorruptError as e:
        if not early:
            raise CorruptError(f"tile {i}: {e}") from e
    latents = decoder.empty(*size)  # there is not enough of the payload to begin with
    latents[...] = 0
    return latents


def read_latents(decoder: Decoder, coded: Coded) -> Iterator[Latents]:
    """Entropy-decode all tiles in row-major order, with `Decoder.read`. Raises CorruptError, which names the tile."""
    for i, tile in enumerate(coded.header.tiles):
        yield _read_tile(decoder, coded, tile, i)


@dataclass(frozen=True)
class _Part:
    """A part of the picture that is synthesised in one piece.

    Args:
        area: its pixels.
        y0, y1, x0, x1: rows y0..y1 and columns x0..x1 of the latents that it needs, the margin included; y1 and x1 are
            exclusive.
    """

    area: Tile
    y0: int
    y1: int
    x0: int
    x1: int

    def tiles(self, header: Header) -> list[int]:
        """Return the indexes of the tiles that contain the needed latents, in row-major order."""
        side, across = header.tile // LATENT_STRIDE, -(-header.width // header.tile)
        rows, columns = range(self.y0 // side, -(-self.y1 // side)), range(self.x0 // side, -(-self.x1 // side))
        return [row * across + column for row in rows for column in columns]


def window(start: int, size: int, end: int, halo: int) -> tuple[int, int, int]:
    """Extend the range start..start+size by `halo` on both sides, but not beyond 0..end.

    Returns (start of the extended range, its exclusive end, offset of the original start in it).
    """
    first = max(0, start - halo)
    return first, min(end, start + size + halo), start - first


def widened(area: Tile, latents: int, width: int, height: int) -> tuple[Tile, int, int]:
    """Extend an area by a margin of a number of latents on each side, but not beyond the picture.

    Args:
        area: in pixels. Its left and top are multiples of 16; its right and bottom are too, or are the picture's edges.
        latents: width of the margin.
        width, height: size of the picture in pixels.

    Returns:
        (the extended area, top and left of `area` inside of it), in pixels.
    """
    y0, y1, top = window(area.y, area.height, height, LATENT_STRIDE * latents)
    x0, x1, left = window(area.x, area.width, width, LATENT_STRIDE * latents)
    return Tile(x0, y0, x1 - x0, y1 - y0), top, left


def _parts(header: Header, region: Tile, halo: int) -> list[_Part]:
    """Cut a region along a grid of squares of WINDOW pixels, and return its parts in row-major order."""
    side, s = WINDOW, LATENT_STRIDE
    rows, columns = latent_size(Tile(0, 0, header.width, header.height))
    right, bottom = region.x + region.width, region.y + region.height
    parts = []
    for y in range(region.y // side * side, bottom, side):
        for x in range(region.x // side * side, right, side):
            left, top = max(x, region.x), max(y, region.y)
            area = Tile(left, top, min(x + side, right) - left, min(y + side, bottom) - top)
            across = window(left // s, -(-(area.x + area.width) // s) - left // s, columns, halo)
            down = window(top // s, -(-(area.y + area.height) // s) - top // s, rows, halo)
            parts.append(_Part(area, *down[:2], *across[:2]))
    return parts


def _gather(
    header: Header,
    parts: Sequence[_Part],
    read: Callable[[Iterable[int]], Iterator[Latents]],
    empty: Callable[[int, int], Latents],
) -> Iterator[tuple[_Part, Latents]]:
    """Yield each part together with its latents, int16 [y1 - y0, x1 - x0, M] in units of 2^-12.

    A tile is decoded when the first part needs it, and its latents are kept until the last part has used them.

    Args:
        read: takes indexes of tiles and yields the latents of each, int16 [h, w, M], in the same order.
        empty: `Decoder.empty`.
    """
    last = {i: n for n, part in enumerate(parts) for i in part.tiles(header)}
    side, across = header.tile // LATENT_STRIDE, -(-header.width // header.tile)
    order = list(dict.fromkeys(i for part in parts for i in part.tiles(header)))
    coming = zip(order, read(order), strict=True)
    held: dict[int, Latents] = {}
    for n, part in enumerate(parts):
        needed = part.tiles(header)
        while any(i not in held for i in needed):
            i, y = next(coming)
            held[i] = y
        out = empty(part.y1 - part.y0, part.x1 - part.x0)
        for i in needed:
            # Position of the tile in `out`; negative if the tile begins outside of it.
            top, left = i // across * side - part.y0, i % across * side - part.x0
            inside = held[i][max(0, -top) :, max(0, -left) :]
            there = out[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]]
            there[...] = inside[: there.shape[0], : there.shape[1]]
            if last[i] == n:
                del held[i]
        yield part, out


def decode(
    decoder: Decoder,
    coded: Coded,
    region: Tile | None = None,
    shrink: int = 1,
    on_device: bool = False,
    progress: Callable[[float], None] = lambda share: None,
    depth: int | None = None,
) -> Any:
    """Decode the colours of a region. The result is bit-exact: it is the same on every machine and device.

    Args:
        coded: the picture.
        region: a rectangle within the picture; None: the whole picture. Only the tiles that it needs are decoded. Its
            pixels equal those of the whole picture.
        shrink: 1, 2, 4 or 8: each pixel of the result is the mean over a square with sides of this many pixels. The
            squares are counted from the picture's origin, and all squares that the region touches are returned. At the
            right and bottom edges a square may include pixels that the synthesis makes beyond the edge.
        on_device: leave the pixels in the memory of the GPU that decodes them, as a tensor.
        progress: called by the calling thread with the share that is done, rising to 1.
        depth: bits a sample, 8 or 16; None: as the header says.

    Raises:
        CorruptError: no encoder with this model writes such a payload; the message names the tile.

    Returns:
        uint8 or uint16, as `depth` says, contiguous: an array [h, w, C], or a tensor [C, h, w] if `on_device`
        and the decoder runs on a GPU; C = 1 for a gray picture, else 3.
    """
    header = coded.header
    region = region or Tile(0, 0, header.width, header.height)

    def small(start: int, size: int) -> tuple[int, int]:
        return start // shrink, -(-(start + size) // shrink)

    (top, bottom), (left, right) = small(region.y, region.height), small(region.x, region.width)
    height, width, channels, kind = bottom - top, right - left, 1 if header.gray else 3, f"uint{depth or header.depth}"
    made = decoder.samples(channels, height, width, kind) if on_device else None
    out = np.empty((height, width, channels), kind) if made is None else made

    def read(i: int) -> Latents:
        return _read_tile(decoder, coded, tiles[i], i)

    size = latent_size(Tile(0, 0, header.width, header.height))

    def make(item: tuple[_Part, Latents]) -> None:
        part, y = item
        (y0, y1), (x0, x1) = small(part.area.y, part.area.height), small(part.area.x, part.area.width)
        rows, columns = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        to = out[rows, columns] if made is None else out[:, rows, columns]
        decoder.synthesis.run(y, Place((part.y0, part.x0), size, coded.quality), shrink, (y0, x0), to)

    parts, tiles = _parts(header, region, decoder.synthesis.halo(coded.quality, shrink)), header.tiles
    with team(len(parts), decoder.one_at_a_time) as ordered:
        made_parts = ordered(make, _gather(header, parts, lambda order: ordered(read, order), decoder.empty))
        for n, _ in enumerate(made_parts, 1):
            progress(n / len(parts))
    return out

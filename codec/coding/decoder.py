"""Payloads -> latents -> pixels. The synthesis sees a tile's neighbours, so no seam shows.

Nothing here is as large as the picture but the picture: latents are held for about two rows of tiles, or of windows,
and the networks see one window at a time, or a few, one in each thread.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import numpy as np

from ..container.format import Header, Tile
from ..errors import CorruptError
from .model_config import LATENT_STRIDE, Config
from .threads import team

if TYPE_CHECKING:
    from torch import Tensor

# int16 [h, w, M] in units of 2^-12: an array, or a tensor on the decoder's device. Each decoder reads what its own
# synthesis takes, which a union would not say.
Latents = Any

# Pixels a side that synthesis makes at once: its memory must not grow with the tile, nor the work on surroundings as
# tiles get small.
WINDOW = 1024


class Synthesis(Protocol):
    """What makes the samples of pictures. For many threads at once."""

    def halo(self, quality: int, shrink: int) -> int:
        """Latents beyond its own that a sample depends on, each way."""

    def run(
        self,
        latents: Latents,
        at: tuple[int, int],
        size: tuple[int, int],
        quality: int,
        shrink: int,
        origin: tuple[int, int],
        out: Any,
    ) -> None:
        """Make some of a picture's samples.

        Args:
            latents: those of the samples and as many around them as `halo` says, where the picture has them.
            at: row and column of the first of them, among the picture's latents.
            size: rows and columns of the picture's latents.
            quality: 1..100.
            shrink: 1, 2, 4 or 8: samples are means over squares of so many pixels a side.
            origin: row and column of the first sample that is wanted, in samples.
            out: uint8 or uint16, takes the samples: an array [rows, columns, C] or, on a device, a tensor
                [C, rows, columns]; C = 1 for a gray picture, else 3.
        """


class Decoder(Protocol):
    """A model that reads files: `engine.Engine` on the CPU, `nets.torch_decoder.TorchDecoder` where torch is."""

    @property
    def config(self) -> Config: ...

    @property
    def synthesis(self) -> Synthesis: ...

    @property
    def one_at_a_time(self) -> bool:
        """Tiles: a GPU is filled by one."""

    def read(self, quality: int, rows: int, columns: int, payload: bytes | memoryview) -> Latents:
        """The latents of a tile. Raises CorruptError for a payload that no encoder with this model writes."""

    def empty(self, rows: int, columns: int) -> Latents:
        """Room for latents."""

    def samples(self, channels: int, rows: int, columns: int, kind: str) -> "Tensor | None":
        """Room on the device for samples of type `kind`, uint8 or uint16 [channels, rows, columns]; None on the CPU."""


def load_for(model_id: bytes, model: str | os.PathLike | None, device: str) -> Decoder:
    """The model that wrote a file, found by its id, or `model` if it is that one, ready to decode.

    Args:
        device: "cpu" or "cuda:N"; torch is imported for the latter.

    Raises:
        ModelError: it is another one, or not at hand.
    """
    if device == "cpu":
        from . import engine

        return engine.load_for(model_id, model)
    import torch

    from ..nets import torch_codec

    return torch_codec.load_for(model_id, model, torch.device(device)).decoder


def latent_size(tile: Tile) -> tuple[int, int]:
    """Rows and columns of a tile's latents."""
    return -(-tile.height // LATENT_STRIDE), -(-tile.width // LATENT_STRIDE)


def _read_tile(decoder: Decoder, quality: int, tile: Tile, i: int, payload: bytes | memoryview) -> Latents:
    try:
        return decoder.read(quality, *latent_size(tile), payload)
    except CorruptError as e:
        raise CorruptError(f"tile {i}: {e}") from e


def read_latents(decoder: Decoder, header: Header, payloads: Sequence[bytes | memoryview]) -> Iterator[Latents]:
    """Entropy-decode tile by tile, row-major: as `Decoder.read`. Raises CorruptError naming the tile."""
    for i, (tile, payload) in enumerate(zip(header.tiles, payloads, strict=True)):
        yield _read_tile(decoder, header.quality, tile, i, payload)


@dataclass(frozen=True)
class _Part:
    """Pixels `area` that are synthesised at once from the latents of rows y0..y1 and columns x0..x1, halo included."""

    area: Tile
    y0: int
    y1: int
    x0: int
    x1: int

    def tiles(self, header: Header) -> list[int]:
        """Indexes of the tiles that hold these latents."""
        side, across = header.tile // LATENT_STRIDE, -(-header.width // header.tile)
        rows, columns = range(self.y0 // side, -(-self.y1 // side)), range(self.x0 // side, -(-self.x1 // side))
        return [row * across + column for row in rows for column in columns]


def window(start: int, size: int, end: int, halo: int) -> tuple[int, int, int]:
    """Widen start..start+size by halo each way, within 0..end: (first, last, offset of start in it)."""
    first = max(0, start - halo)
    return first, min(end, start + size + halo), start - first


def widened(area: Tile, latents: int, width: int, height: int) -> tuple[Tile, int, int]:
    """An area of a picture of this size with so many latents more on each side, where the picture has them.

    Args:
        area: its left and top are multiples of 16; its right and bottom too, or the picture's.

    Returns:
        (the wider area, top and left of the other in it), in pixels.
    """
    y0, y1, top = window(area.y, area.height, height, LATENT_STRIDE * latents)
    x0, x1, left = window(area.x, area.width, width, LATENT_STRIDE * latents)
    return Tile(x0, y0, x1 - x0, y1 - y0), top, left


def _parts(header: Header, region: Tile, halo: int) -> list[_Part]:
    """The parts of a region, row-major: what lies of it in each square of a grid of WINDOW."""
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
    """Each part with its latents, int16 [y1 - y0, x1 - x0, M] in units of 2^-12.

    A tile is read when a part first needs it, and held until the last that does.

    Args:
        read: indexes of tiles -> the latents of each, as above [h, w, M].
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
            top, left = i // across * side - part.y0, i % across * side - part.x0  # of the tile in `out`
            inside = held[i][max(0, -top) :, max(0, -left) :]
            there = out[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]]
            there[...] = inside[: there.shape[0], : there.shape[1]]
            if last[i] == n:
                del held[i]
        yield part, out


@overload
def decode(
    decoder: Decoder,
    header: Header,
    payloads: Sequence[bytes | memoryview],
    region: Tile | None = ...,
    shrink: int = ...,
    on_device: Literal[False] = ...,
    progress: Callable[[float], None] = ...,
) -> np.ndarray: ...


@overload
def decode(
    decoder: Decoder,
    header: Header,
    payloads: Sequence[bytes | memoryview],
    region: Tile | None = ...,
    shrink: int = ...,
    on_device: bool = ...,
    progress: Callable[[float], None] = ...,
) -> "np.ndarray | Tensor": ...


def decode(
    decoder: Decoder,
    header: Header,
    payloads: Sequence[bytes | memoryview],
    region: Tile | None = None,
    shrink: int = 1,
    on_device: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> "np.ndarray | Tensor":
    """The pixels of a region: the same integers everywhere.

    Args:
        region: within the picture; None: all of it. Only the tiles that it needs are read. Its pixels are those of
            the whole picture.
        shrink: 1, 2, 4 or 8: the mean over each square of so many pixels a side, counted from the picture's origin,
            that the region touches. At the right and bottom squares reach into what the synthesis makes beyond the
            edge.
        on_device: the pixels are to stay where the decoder makes them, for those who go on with torch there.
        progress: called by this thread with the share that is done, rising to 1.

    Raises:
        CorruptError: a tile that it needs is not one that an encoder with this model writes; it is named.

    Returns:
        uint8 or uint16, as header.depth says: an array [h, w, C], or of a GPU where they are to stay a tensor
        [C, h, w]; C = 1 for a gray picture, else 3. Contiguous.
    """
    region = region or Tile(0, 0, header.width, header.height)

    def small(start: int, size: int) -> tuple[int, int]:
        return start // shrink, -(-(start + size) // shrink)

    (top, bottom), (left, right) = small(region.y, region.height), small(region.x, region.width)
    height, width, channels, kind = bottom - top, right - left, 1 if header.gray else 3, f"uint{header.depth}"
    made = decoder.samples(channels, height, width, kind) if on_device else None
    out = np.empty((height, width, channels), kind) if made is None else made

    def read(i: int) -> Latents:
        return _read_tile(decoder, header.quality, tiles[i], i, payloads[i])

    size = latent_size(Tile(0, 0, header.width, header.height))

    def make(item: tuple[_Part, Latents]) -> None:
        part, y = item
        (y0, y1), (x0, x1) = small(part.area.y, part.area.height), small(part.area.x, part.area.width)
        rows, columns = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        to = out[rows, columns] if made is None else out[:, rows, columns]
        decoder.synthesis.run(y, (part.y0, part.x0), size, header.quality, shrink, (y0, x0), to)

    parts, tiles = _parts(header, region, decoder.synthesis.halo(header.quality, shrink)), header.tiles
    with team(len(parts), decoder.one_at_a_time) as ordered:
        made_parts = ordered(make, _gather(header, parts, lambda order: ordered(read, order), decoder.empty))
        for n, _ in enumerate(made_parts, 1):
            progress(n / len(parts))
    return out

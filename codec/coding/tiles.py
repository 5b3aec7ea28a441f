"""Pixels -> tiles -> latents -> payloads, and back. The transforms see a tile's neighbours, so no seam shows.

Nothing here is as large as the picture but the picture: latents are held for about two rows of tiles, or of windows,
and the networks see one window at a time, or a few, one in each thread.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..container.format import Header, Tile
from ..errors import CorruptError
from ..nets.layers import FRACTION_BITS, exact_convolutions, fast_convolutions, saturate
from ..nets.torch_codec import Codec
from ..picture.pixels import Pixels
from . import payloads
from .model_config import HYPER_STRIDE, LATENT_STRIDE
from .refinement import iterations, refine
from .threads import team
from .tile_input import tile_input, window

# Pixels a side that synthesis makes at once: its memory must not grow with the tile, nor the work on surroundings as
# tiles get small.
WINDOW = 1024


def latent_size(tile: Tile) -> tuple[int, int]:
    """Rows and columns of a tile's latents."""
    return -(-tile.height // LATENT_STRIDE), -(-tile.width // LATENT_STRIDE)


@torch.inference_mode()
@exact_convolutions
def analyse(
    codec: Codec,
    pixels: Pixels,
    tile: Tile,
    quality: int,
    effort: int,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Latents [M, h, w] and hyperlatents [Z, ceil(h/4), ceil(w/4)] of one tile, float32; as `refine` leaves them."""
    x, top, left = tile_input(pixels, tile, codec.config.halo * LATENT_STRIDE, LATENT_STRIDE, codec.device)
    x = x.contiguous(memory_format=torch.channels_last)
    height, width = latent_size(tile)
    real = x[0, : 1 if pixels.gray else 3, : pixels.height - tile.y + top, : pixels.width - tile.x + left]
    top, left = top // LATENT_STRIDE, left // LATENT_STRIDE
    inside = slice(top, top + height), slice(left, left + width)
    level = codec.level(quality)
    with fast_convolutions(codec.device):
        around = saturate(codec.analysis(x - 0.5, level))
        y = around[:, :, inside[0], inside[1]]
        whole = torch.nn.functional.pad(y, (0, -width % HYPER_STRIDE, 0, -height % HYPER_STRIDE), mode="replicate")
        z = codec.hyper_analysis(whole, level).float()
    return refine(codec, real, around[0], z[0], inside, quality, effort, progress), z[0]


@torch.inference_mode()
def code(codec: Codec, quality: int, y: Tensor, z: Tensor, dead_zones: Tensor) -> tuple[bytes, Tensor]:
    """The payload of a tile's latents and hyperlatents, as `analyse` gives them, and the latents that it decodes to.

    `dead_zones`: `payloads.quantise`.
    """
    symbols, indexes, segments, decoded = payloads.quantise(codec.walk(quality, *y.shape[1:]), y, z, dead_zones)
    return payloads.encode(symbols, indexes, segments, codec.tables), decoded


@exact_convolutions
def encode(
    codec: Codec,
    pixels: Pixels,
    header: Header,
    effort: int,
    progress: Callable[[float], None] = lambda share: None,
) -> list[bytes]:
    """The colours' payloads, one for each tile. The arguments are checked by api.encode, which says what they are.

    `progress` is called from the threads that do the work, one at a time, with rising shares.
    """
    dead_zones = codec.dead_zones if effort > 1 else torch.zeros_like(codec.dead_zones)
    tiles, n = header.tiles, iterations(codec, effort)
    lock, done = threading.Lock(), 0

    def tell() -> None:
        nonlocal done
        with lock:
            done += 1
            progress(done / (max(1, n) * len(tiles)))

    def payload(tile: Tile) -> bytes:
        y, z = analyse(codec, pixels, tile, header.quality, effort, tell)
        data, _ = code(codec, header.quality, y, z, dead_zones)
        if not n:
            tell()
        return data

    with team(len(tiles), codec.device) as ordered:
        return list(ordered(payload, tiles))


@torch.inference_mode()
def _read_tile(codec: Codec, quality: int, tile: Tile, i: int, payload: bytes | memoryview) -> Tensor:
    try:
        return payloads.read(codec.walk(quality, *latent_size(tile)), codec.tables, payload)
    except CorruptError as e:
        raise CorruptError(f"tile {i}: {e}") from e


def read_latents(codec: Codec, header: Header, payloads: Sequence[bytes | memoryview]) -> Iterator[Tensor]:
    """Entropy-decode tile by tile: float32 [M, h, w] each, row-major. Raises CorruptError naming the tile."""
    for i, (tile, payload) in enumerate(zip(header.tiles, payloads, strict=True)):
        yield _read_tile(codec, header.quality, tile, i, payload)


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
    header: Header, parts: Sequence[_Part], read: Callable[[Iterable[int]], Iterator[Tensor]]
) -> Iterator[tuple[_Part, Tensor]]:
    """Each part with its latents, int16 [y1 - y0, x1 - x0, M] in units of 2^-12.

    A tile is read when a part first needs it, and held until the last that does.

    Args:
        read: indexes of tiles -> the latents of each, as above [h, w, M].
    """
    last = {i: n for n, part in enumerate(parts) for i in part.tiles(header)}
    side, across = header.tile // LATENT_STRIDE, -(-header.width // header.tile)
    order = list(dict.fromkeys(i for part in parts for i in part.tiles(header)))
    coming = zip(order, read(order), strict=True)
    held: dict[int, Tensor] = {}
    for n, part in enumerate(parts):
        needed = part.tiles(header)
        while any(i not in held for i in needed):
            i, y = next(coming)
            held[i] = y
        channels, device = held[needed[0]].shape[2], held[needed[0]].device
        out = torch.empty(part.y1 - part.y0, part.x1 - part.x0, channels, dtype=torch.int16, device=device)
        for i in needed:
            top, left = i // across * side - part.y0, i % across * side - part.x0  # of the tile in `out`
            inside = held[i][max(0, -top) :, max(0, -left) :]
            there = out[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]]
            there.copy_(inside[: there.shape[0], : there.shape[1]])
            if last[i] == n:
                del held[i]
        yield part, out


def decode(
    codec: Codec,
    header: Header,
    payloads: Sequence[bytes | memoryview],
    region: Tile | None = None,
    shrink: int = 1,
    device: torch.device | None = None,
) -> np.ndarray | Tensor:
    """The pixels of a region, made on the codec's device: the same integers everywhere.

    Args:
        region: within the picture; None: all of it. Only the tiles that it needs are read. Its pixels are those of
            the whole picture.
        shrink: 1, 2, 4 or 8: the mean over each square of so many pixels a side, counted from the picture's origin,
            that the region touches. At the right and bottom squares reach into what the synthesis makes beyond the
            edge.
        device: where the pixels are to stay, for those who go on with torch; None: an array, whatever made them.

    Raises:
        CorruptError: a tile that it needs is not one that an encoder with this model writes; it is named.

    Returns:
        uint8 or uint16, as header.depth says: an array [h, w, C], or of a device a tensor [C, h, w] on it; C = 1 for a
        gray picture, else 3. Contiguous.
    """
    region = region or Tile(0, 0, header.width, header.height)

    def small(start: int, size: int) -> tuple[int, int]:
        return start // shrink, -(-(start + size) // shrink)

    (top, bottom), (left, right) = small(region.y, region.height), small(region.x, region.width)
    height, width, channels, kind = bottom - top, right - left, 1 if header.gray else 3, f"uint{header.depth}"
    out = np.empty((height, width, channels), kind)
    if device is not None and device.type != "cpu":
        with torch.inference_mode(False):  # callers may change it, or train with it
            out = torch.empty(channels, height, width, dtype=getattr(torch, kind), device=device)

    @torch.inference_mode()
    def read(i: int) -> Tensor:
        y = _read_tile(codec, header.quality, tiles[i], i, payloads[i])
        return (y.permute(1, 2, 0) * 2**FRACTION_BITS).to(torch.int16)  # exact, and half the size

    size = latent_size(Tile(0, 0, header.width, header.height))

    def make(item: tuple[_Part, Tensor]) -> None:
        part, y = item
        (y0, y1), (x0, x1) = small(part.area.y, part.area.height), small(part.area.x, part.area.width)
        rows, columns = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        to = out[rows, columns] if isinstance(out, np.ndarray) else out[:, rows, columns]
        codec.pixels.run(y, (part.y0, part.x0), size, header.quality, shrink, (y0, x0), to)

    parts, tiles = _parts(header, region, codec.pixels.halo(header.quality, shrink)), header.tiles
    with team(len(parts), codec.device) as ordered:
        for _ in ordered(make, _gather(header, parts, lambda order: ordered(read, order))):
            pass
    if device is None or isinstance(out, Tensor):
        return out
    return torch.from_numpy(out).permute(2, 0, 1).contiguous()

"""Pixels -> tiles -> latents -> payloads, and back. The transforms see a tile's neighbours, so no seam shows."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from . import latents
from .errors import CorruptError
from .format import Header, Tile
from .image import Pixels, tile_input, to_samples, window
from .layers import exact_convolutions, saturate
from .model import HYPER_STRIDE, LATENT_STRIDE
from .refine import ITERATIONS, refine
from .weights import Codec


def latent_size(tile: Tile) -> tuple[int, int]:
    """Rows and columns of a tile's latents."""
    return -(-tile.height // LATENT_STRIDE), -(-tile.width // LATENT_STRIDE)


@torch.inference_mode()
@exact_convolutions()
def analyse(
    codec: Codec,
    pixels: Pixels,
    tile: Tile,
    quality: int,
    iterations: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Float latents [M, h, w] and hyperlatents [Z, ceil(h/4), ceil(w/4)] of one tile, after `refine`."""
    x, top, left = tile_input(pixels, tile, codec.config.halo * LATENT_STRIDE, LATENT_STRIDE, codec.device)
    x = x.contiguous(memory_format=torch.channels_last)
    height, width = latent_size(tile)
    real = x[
        0, : 1 if pixels.gray else 3, : pixels.data.shape[1] - tile.y + top, : pixels.data.shape[2] - tile.x + left
    ]
    top, left = top // LATENT_STRIDE, left // LATENT_STRIDE
    inside = slice(top, top + height), slice(left, left + width)
    q = torch.tensor([float(quality)], device=codec.device)
    around = saturate(codec.analysis(x - 0.5, q))
    y = around[:, :, inside[0], inside[1]]
    whole = torch.nn.functional.pad(y, (0, -width % HYPER_STRIDE, 0, -height % HYPER_STRIDE), mode="replicate")
    z = codec.hyper_analysis(whole, q)
    return refine(codec, real, around[0], z[0], inside, quality, iterations, progress), z[0]


@torch.inference_mode()
def encode(
    codec: Codec,
    pixels: Pixels,
    header: Header,
    effort: int,
    progress: Callable[[float], None] = lambda share: None,
) -> list[bytes]:
    """The colours' payloads, one for each tile. The arguments are checked by api.encode, which says what they are."""
    dead_zones = codec.dead_zones if effort > 1 else torch.zeros_like(codec.dead_zones)
    iterations = ITERATIONS.get(effort, 0)
    done = itertools.count(1)

    def tell() -> None:
        progress(next(done) / (iterations * len(header.tiles)))

    payloads = []
    for tile in header.tiles:
        y, z = analyse(codec, pixels, tile, header.quality, iterations, tell)
        symbols, indexes, segments, _ = latents.quantise(codec.walk(header.quality, *y.shape[1:]), y, z, dead_zones)
        payloads.append(latents.encode(symbols, indexes, segments, codec.tables))
    return payloads


def read_latents(codec: Codec, header: Header, payloads: Sequence[bytes | memoryview]) -> Iterator[Tensor]:
    """Entropy-decode tile by tile: float32 [M, h, w] each, row-major. Raises CorruptError naming the tile."""
    for i, (tile, payload) in enumerate(zip(header.tiles, payloads, strict=True)):
        try:
            yield latents.read(codec.walk(header.quality, *latent_size(tile)), codec.tables, payload)
        except CorruptError as e:
            raise CorruptError(f"tile {i}: {e}") from e


@torch.inference_mode()
@exact_convolutions()
def decode(
    codec: Codec,
    header: Header,
    payloads: Sequence[bytes | memoryview],
    region: Tile | None = None,
    shrink: int = 1,
    device: torch.device | None = None,
) -> Tensor:
    """uint8 or uint16, as header.depth says, [3, H, W] or [1, H, W] on `device`; None: the CPU."""
    if region is not None or shrink != 1:
        raise NotImplementedError("region and scale")
    s = LATENT_STRIDE
    rows, columns = -(-header.height // s), -(-header.width // s)
    y = torch.empty(rows, columns, codec.config.latents, device=codec.device).permute(2, 0, 1)  # as synthesis reads it
    for tile, part in zip(header.tiles, read_latents(codec, header, payloads), strict=True):
        y[:, tile.y // s :, tile.x // s :][:, : part.shape[1], : part.shape[2]] = part
    q = torch.tensor([float(header.quality)], device=codec.device)
    dtype = torch.uint8 if header.depth == 8 else torch.uint16
    out = torch.empty(1 if header.gray else 3, header.height, header.width, dtype=dtype, device=device)
    for tile in header.tiles:
        height, width = latent_size(tile)
        y0, y1, top = window(tile.y // s, height, rows, codec.config.halo)
        x0, x1, left = window(tile.x // s, width, columns, codec.config.halo)
        part = y[None, :, y0:y1, x0:x1].contiguous(memory_format=torch.channels_last)
        x = codec.synthesis(part, q)[0, :, top * s :, left * s :][:, : tile.height, : tile.width] + 0.5
        out[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = to_samples(x, header.gray, header.depth)
    return out

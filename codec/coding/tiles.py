"""Pixels -> tiles -> latents -> payloads. The analysis sees a tile's neighbours, so no seam shows.

Nothing here is as large as the picture but the picture: the networks see one tile and its surroundings at a time, or a
few, one in each thread.
"""

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from ..container.format import Header, Tile
from ..nets.layers import exact_convolutions, fast_convolutions, saturate
from ..nets.torch_codec import Codec
from ..picture.pixels import Pixels
from . import payloads
from .decoder import latent_size
from .model_config import HYPER_STRIDE, LATENT_STRIDE
from .refinement import iterations, refine
from .threads import team
from .tile_input import tile_input


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

    with team(len(tiles), codec.device.type != "cpu") as ordered:
        return list(ordered(payload, tiles))

"""Encoding where torch is: what a GPU does, what refines symbols, and the text of the arithmetic as the tests' oracle."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..coding import payloads
from ..coding.decoder import Decoder, latent_size, window
from ..coding.efforts import iterations
from ..coding.model_config import HYPER_STRIDE, LATENT_STRIDE
from ..coding.refinement import refine
from ..coding.tile_input import WHITE, tile_input
from ..container.format import Tile
from ..picture.pixels import Pixels
from .integer import to_fixed, to_float
from .torch_codec import Codec


@torch.inference_mode()
def analyse(
    codec: Codec,
    pixels: Pixels,
    tile: Tile,
    quality: int,
    effort: int,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Latents [M, h, w] and hyperlatents [Z, ceil(h/4), ceil(w/4)] of one tile, float32; as `refine` leaves them."""
    refines = iterations(codec.tune, effort) > 0
    height, width = latent_size(tile)
    whole = latent_size(Tile(0, 0, pixels.width, pixels.height))
    halo = codec.config.halo if refines else 0  # so far a latent's pixels reach
    y0, y1, top = window(tile.y // LATENT_STRIDE, height, whole[0], halo)
    x0, x1, left = window(tile.x // LATENT_STRIDE, width, whole[1], halo)
    area = Tile(*(LATENT_STRIDE * n for n in (x0, y0, x1 - x0, y1 - y0)))
    inside = slice(top, top + height), slice(left, left + width)
    around = _latents(codec, pixels, area, quality)
    y = around[inside]
    z = to_float(_channels_first(_hyperlatents(codec, y, quality)))
    if not refines:
        return to_float(_channels_first(y)), z
    # Real pixels only.
    real = tile_input(pixels, area)[: pixels.height - area.y, : pixels.width - area.x, : 1 if pixels.gray else 3]
    x = torch.from_numpy(np.ascontiguousarray(real)).to(codec.device).permute(2, 0, 1).float() / WHITE + 0.5
    return refine(codec, x, to_float(_channels_first(around)), z, inside, quality, effort, progress), z


def _latents(codec: Codec, pixels: Pixels, area: Tile, quality: int) -> Tensor:
    """int16 [h, w, M], on the codec's device: `engine.Encoder.latents`."""
    if codec.native is not None:
        return torch.from_numpy(codec.native.latents(pixels, area, quality))
    height, width = latent_size(area)
    whole = latent_size(Tile(0, 0, pixels.width, pixels.height))
    y0, y1, top = window(area.y // LATENT_STRIDE, height, whole[0], codec.config.halo)
    x0, x1, left = window(area.x // LATENT_STRIDE, width, whole[1], codec.config.halo)
    x = tile_input(pixels, Tile(*(LATENT_STRIDE * n for n in (x0, y0, x1 - x0, y1 - y0))))
    x = torch.from_numpy(x).to(codec.device).permute(2, 0, 1)[None].double()
    y = codec.integers["analysis"](x, torch.tensor([quality], device=codec.device))[0]
    return y.permute(1, 2, 0)[top : top + height, left : left + width].to(torch.int16)


def _hyperlatents(codec: Codec, y: Tensor, quality: int) -> Tensor:
    """int16 [ceil(h/4), ceil(w/4), Z] of a tile's int16 [h, w, M]."""
    if codec.native is not None:
        return torch.from_numpy(codec.native.hyperlatents(y.contiguous().numpy(), quality))
    bottom, right = (-n % HYPER_STRIDE for n in y.shape[:2])
    y = F.pad(y.permute(2, 0, 1)[None].double(), (0, right, 0, bottom), mode="replicate")
    z = codec.integers["hyper_analysis"](y, torch.tensor([quality], device=codec.device))[0]
    return z.permute(1, 2, 0).to(torch.int16)


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1)


@torch.inference_mode()
def code(codec: Codec, quality: int, y: Tensor, z: Tensor, dead_zones: Tensor) -> tuple[bytes, Tensor]:
    """The payload of a tile's latents and hyperlatents, as `analyse` gives them, and the latents that it decodes to.

    `dead_zones`: `payloads.quantise`.
    """
    symbols, indexes, segments, decoded = payloads.quantise(codec.walk(quality, *y.shape[1:]), y, z, dead_zones)
    return payloads.encode(symbols, indexes, segments, codec.tables), decoded


class TorchEncoder:
    """`tiles.Encoder` on the device of its nets, for all efforts."""

    def __init__(self, codec: Codec):
        self.codec, self.file = codec, codec.file
        self.one_at_a_time = codec.device.type != "cpu"

    @property
    def decoder(self) -> Decoder:
        return self.codec.decoder

    def with_dead_zones(self, dead_zones: np.ndarray) -> "TorchEncoder":
        return TorchEncoder(replace(self.codec, dead_zones=torch.tensor(dead_zones, device=self.codec.device)))

    def analyse(self, pixels, tile, quality, effort, progress=lambda: None) -> tuple[np.ndarray, np.ndarray]:
        y, z = analyse(self.codec, pixels, tile, quality, effort, progress)
        return tuple(_channels_last(to_fixed(v).to(torch.int16)).cpu().numpy() for v in (y, z))

    def code(self, quality: int, y: np.ndarray, z: np.ndarray) -> bytes:
        y, z = (to_float(_channels_first(torch.from_numpy(v).to(self.codec.device))) for v in (y, z))
        return code(self.codec, quality, y, z, self.codec.dead_zones)[0]


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(1, 2, 0).contiguous()

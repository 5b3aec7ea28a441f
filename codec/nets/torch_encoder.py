"""Encoding with torch on any device: used on GPUs, and as the oracle of the tests."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .. import _C
from ..coding import payloads
from ..coding.decoder import Decoder, Place, latent_size, widened
from ..coding.engine import projection_of
from ..coding.model_config import HYPER_STRIDE, LATENT_STRIDE
from ..coding.quality_map import Quality, of_tile
from ..coding.refinement import Symbols, iterations
from ..coding.threads import available
from ..coding.tile_input import tile_input
from ..coding.tiles import TileTask
from ..container.format import Tile
from ..picture.samples import Pixels
from .integer import to_fixed, to_float
from .torch_codec import Codec


def analyse(codec: Codec, task: TileTask) -> tuple[Tensor, Tensor]:
    """Run an encoder's `analyse` and convert its results for a walk.

    Returns float32 [M, h, w] and [Z, ceil(h/4), ceil(w/4)], on the codec's device.
    """
    y, z = codec.encoder.analyse(task)
    return _channels_first(y, codec.device), _channels_first(z, codec.device)


@torch.inference_mode()
def code(codec: Codec, quality: Quality, y: Tensor, z: Tensor, dead_zones: Tensor) -> tuple[bytes, Tensor]:
    """Encode the latents and hyperlatents of a tile, as `analyse` returns them.

    Returns the payload, and the latents that it decodes to, float32 [M, h, w]. `dead_zones` are as in
    `payloads.quantise`.
    """
    symbols, indexes, segments, decoded = payloads.quantise(codec.walk(quality, *y.shape[1:]), y, z, dead_zones)
    return payloads.encode(symbols, indexes, segments, codec.tables), decoded


class TorchEncoder:
    """The implementation of `tiles.Encoder` with torch, on the device of its nets. Latents are returned to the CPU."""

    def __init__(self, codec: Codec, first: Sequence[bool] = ()):
        self.codec, self.file, self._first = codec, codec.file, list(first)
        self.one_at_a_time = codec.device.type != "cpu"

    @property
    def decoder(self) -> Decoder:
        return self.codec.decoder

    def with_dead_zones(self, dead_zones: np.ndarray) -> "TorchEncoder":
        codec = replace(self.codec, dead_zones=torch.tensor(dead_zones, device=self.codec.device))
        return TorchEncoder(codec, self._first)

    def with_first(self, first: Sequence[bool]) -> "TorchEncoder":
        return TorchEncoder(self.codec, first)

    def latents(self, pixels: Pixels, area: Tile, quality: Quality) -> np.ndarray:
        around, *_ = widened(area, self.file.config.halo, pixels.width, pixels.height)
        place = Place(_in_latents(around), latent_size(Tile(0, 0, pixels.width, pixels.height)), quality)
        wanted = *_in_latents(area), *latent_size(area)
        return _array(self.codec.analysis.latents(tile_input(pixels, around), place, wanted))

    def hyperlatents(self, y: np.ndarray, quality: Quality) -> np.ndarray:
        bottom, right = (-n % HYPER_STRIDE for n in y.shape[:2])
        wide = np.pad(y, ((0, bottom), (0, right), (0, 0)), "edge")
        return _array(self.codec.analysis.hyperlatents(wide, quality))

    def analyse(self, task: TileTask) -> tuple[np.ndarray, np.ndarray]:
        pixels, tile, quality = task.pixels, task.tile, task.quality
        if not iterations(self.file.tune, task.effort):
            y = self.latents(pixels, tile, quality)
            return y, self.hyperlatents(y, of_tile(quality, tile))
        known, top, left = widened(tile, _C.SEEN + self.file.config.halo, pixels.width, pixels.height)
        rows, columns = latent_size(tile)
        top, left = top // LATENT_STRIDE, left // LATENT_STRIDE
        around = self.latents(pixels, known, quality)
        inside = around[top : top + rows, left : left + columns]  # a view, so that `around` follows its changes
        y = inside.copy()
        z = self.hyperlatents(y, of_tile(quality, tile))
        return self._refined(task, known, around, inside, y, z), z

    def _refined(
        self, task: TileTask, known: Tile, around: np.ndarray, inside: np.ndarray, y: np.ndarray, z: np.ndarray
    ) -> np.ndarray:
        """Improve the latents y of a tile, as csrc/tile/encode_tile.cpp does for the CPU.

        Args:
            known: the tile with the margin that the synthesis reads.
            around: the latents of `known`.
            inside: the part of `around` that is the tile's.
        """
        pixels, tile, quality = task.pixels, task.tile, task.quality
        seen, y0, x0 = widened(tile, _C.SEEN, pixels.width, pixels.height)
        place = Place(_in_latents(known), latent_size(Tile(0, 0, pixels.width, pixels.height)), quality)
        own, threads = of_tile(quality, tile), available()
        refinement = _C.Refinement(
            projection_of(self.file),
            tile_input(pixels, seen),
            size=(seen.height, seen.width),
            tile=(x0, y0, tile.width, tile.height),
            tune=self.file.tune,
            effort=task.effort,
            level=float(np.mean(self.file.levels[np.subtract(own, 1)], dtype=np.float64)),
            latents=y,
            threads=threads,
        )
        decoded = np.empty((seen.height, seen.width, 1 if pixels.gray else 3), np.uint16)
        while True:
            chosen = self.quantise(own, refinement.target, z)
            inside[...] = chosen.latents
            self.decoder.synthesis.run(around, place, 1, (seen.y, seen.x), decoded)
            n_bytes = sum(map(len, self.pack(chosen)))
            if not refinement.accept(n_bytes, decoded, chosen.latents, threads):
                return refinement.best
            task.progress()

    @torch.inference_mode()
    def quantise(self, quality: Quality, y: np.ndarray, z: np.ndarray) -> Symbols:
        (rows, columns), device = y.shape[:2], self.codec.device
        walk = self.codec.walk(quality, rows, columns, self._first)
        y_first, z_first = _channels_first(y, device), _channels_first(z, device)
        symbols, indexes, segments, decoded = payloads.quantise(walk, y_first, z_first, self.codec.dead_zones)
        return Symbols(symbols, indexes, segments, _array(to_fixed(decoded).permute(1, 2, 0).to(torch.int16)))

    @torch.inference_mode()
    def pack(self, chosen: Symbols) -> list[bytes]:
        return payloads.encode_parts(chosen.symbols, chosen.indexes, chosen.segments, self.file.tables)

    def encode(self, task: TileTask) -> list[bytes]:
        return self.pack(self.quantise(of_tile(task.quality, task.tile), *self.analyse(task)))


def _channels_first(x: np.ndarray, device: torch.device) -> Tensor:
    """Convert int16 [h, w, C] in units of 2^-12 to float32 [C, h, w] on a device."""
    return to_float(torch.from_numpy(x).to(device)).permute(2, 0, 1)


def _array(x: Tensor) -> np.ndarray:
    return x.contiguous().cpu().numpy()


def _in_latents(area: Tile) -> tuple[int, int]:
    """Return the (row, column) of the first latent of an area."""
    return area.y // LATENT_STRIDE, area.x // LATENT_STRIDE

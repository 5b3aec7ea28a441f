"""Tiles are coded apart from each other, and nobody sees where they meet."""

from __future__ import annotations

import numpy as np

import codec
from codec.api import TILE
from codec.coding import model_search, tiles
from codec.container.header import MAX_TILE_LOG2, MIN_TILE
from codec.metrics import psnr
from codec.picture.pixels import to_pixels

from .check import Check, Extent, Measured, tests
from .pictures import gradient, photo

MOST_RATIO, MOST_LOST = 1.05, 0.02


def decoded(image: np.ndarray, quality: int, tile: int) -> np.ndarray:
    encoder = tiles.encoder_for(model_search.find(None), "cpu")
    pixels = to_pixels(image)
    header = pixels.header(quality, encoder.file.id, tile)
    coded = tiles.encode(encoder, pixels, header, 2)
    return codec.decode(tiles.file(encoder, header, coded, None, [], {}), "cpu", output="numpy")


def errors(out: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """Mean errors (within two pixels of the border between tiles, at the same columns of the 16-pixel grid inside)."""
    error = np.abs(out.astype(float) - image).mean((0, 2))
    x = np.arange(error.size)
    near = (x % TILE < 2) & (x >= TILE) | (x % TILE >= TILE - 2) & (x < error.size // TILE * TILE)
    inside = ((x % 16 < 2) | (x % 16 >= 14)) & ~near
    return error[near].mean(), error[inside].mean()


def seams(extent: Extent) -> Measured:
    """Against the same picture in one tile, since a picture need not be equally hard everywhere."""
    found, n = [], extent.of(4, 12)
    for i in range(n):
        image = (gradient if i % 2 == 0 else photo)(112, 2 * TILE, i)
        quality = (20, 70)[i // 2 % 2]
        tiled, whole = decoded(image, quality, TILE), decoded(image, quality, MIN_TILE << MAX_TILE_LOG2)
        (near, inside), (whole_near, whole_inside) = errors(tiled, image), errors(whole, image)
        found.append(((near / inside) / (whole_near / whole_inside), psnr(whole, image) - psnr(tiled, image)))
    ratio, lost = np.mean(found, 0)
    figure = f"{n} pictures of 2 tiles: error at the border x {ratio:.3f}, {lost:+.3f} dB lost"
    return Measured(figure, ratio <= MOST_RATIO and lost <= MOST_LOST)


SAME = "test_api.py::test_the_same_latents_give_the_same_pixels_however_they_are_tiled"
CHECKS = [
    Check(9, "error at borders against inside, tiled against untiled, gradients and photographs", seams),
    Check(9, "the same latents decoded in one window and in many", tests(SAME)),
]

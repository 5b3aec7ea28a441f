"""Features: latents -> a vector that says what a picture looks like. The networks of the synthesis do not run.

Latents themselves cannot be compared: those of the same picture at qualities 15 and 75, or at half the size, are
further apart than those of different pictures. What can be compared is what they mean. The synthesis has a linear
shortcut, which turns each latent into its square of 16x16 pixels; its means over small squares are a few sums of
products for each latent, and give a coarse picture. Its largest patterns and the directions of its edges are the
features. They are in units of pixels, so models, qualities and sizes do not matter (bench/results/similar.md).
"""

from functools import lru_cache

import numpy as np

from ..container.format import Header, Layout, Tile
from ..picture.samples import Pixels
from . import engine, tiles
from .decoder import Coded, latent_size, read_latents
from .model_config import LATENT_STRIDE
from .model_file import ModelFile
from .threads import team

GRID = 24  # rows and columns of the coarse picture, whatever the shape of the picture is
WAVES = 6  # of each direction, the longest cosine waves that describe the layout
CELLS = 5  # rows and columns of the cells in which edges are counted
DIRECTIONS = 8  # of edges, all around: from dark to bright counts as another direction than from bright to dark
SIZE = 3 * WAVES**2 + DIRECTIONS * CELLS**2 + 1

# Rows of a matrix: luma and two differences to it, of R, G and B. The differences have half their weight, so that a
# gray copy of a picture stays near to it.
_LUMA = np.array([0.299, 0.587, 0.114])
_COLOURS = np.stack([_LUMA, 0.25 * ([0, 0, 1] - _LUMA), 0.3 * ([1, 0, 0] - _LUMA)])
_GRAY = 127.5
_MEAN_WEIGHT = 0.15  # of the mean colour, which changes whenever somebody makes a picture brighter
_LAYOUT_SHARE = 0.34  # of the squared length; the edges have the rest
# Lengths of the two parts at which a picture begins to have any layout and edges. Below, the noise of coding would be
# all that is compared; the last feature has the length that is then missing.
_LAYOUT_FLOOR, _EDGES_FLOOR = 60.0, 2.0
# Levels per unit of the shortcut's sums: latents in units of 2^-12 are multiplied by weights, and the sum is divided by
# 2^8 and by 2^shift; the result is in units of 2^-10 (FORMAT §8).
_SUM_BITS, _LEVEL_BITS = 8, 10


def of_file(file: ModelFile, layout: Layout) -> np.ndarray:
    """Compute the features of a picture coded by the network: float32 [SIZE], of length 1.

    Args:
        file: the model that wrote it.
        layout: of the .aec file.

    Raises:
        CorruptError: no encoder with this model writes such a payload; the message names the tile.
    """
    reader, header = engine.of_model(file), layout.header
    coarse = _Coarse(file, header)
    for tile, y in zip(header.tiles, read_latents(reader, Coded.of(reader, layout)), strict=True):
        coarse.add(tile, y)
    return _described(coarse.picture, header)


def of_pixels(encoder: tiles.Encoder, pixels: Pixels, header: Header) -> np.ndarray:
    """Compute the features of a picture as those of the file that the encoder would make, without making it.

    Args:
        header: as `Pixels.header` returns it; its quality and its tiles are those of the file.
    """
    coarse = _Coarse(encoder.file, header)

    def latents(tile: Tile) -> np.ndarray:
        y, z = encoder.analyse(tiles.TileTask(pixels, tile, header.quality, effort=1))
        return encoder.quantise(header.quality, y, z).latents

    with team(len(header.tiles), encoder.one_at_a_time) as ordered:
        for tile, y in zip(header.tiles, ordered(latents, header.tiles), strict=True):
            coarse.add(tile, y)
    return _described(coarse.picture, header)


class _Coarse:
    """A coarse picture of means over squares, made tile by tile.

    Attributes:
        picture: float32 [ceil(height / side), ceil(width / side), 3], in levels of 8 bits, 0 for mid-gray.
    """

    def __init__(self, file: ModelFile, header: Header):
        self.side = _side(header)
        self.weight, self.bias = _projection(file, self.side)
        rows, columns = -(-header.height // self.side), -(-header.width // self.side)
        self.picture = np.empty((rows, columns, 3), np.float32)

    def add(self, tile: Tile, latents: np.ndarray) -> None:
        """Fill in the part of a tile. `latents` are int16 [h, w, M]."""
        (rows, columns), n = latent_size(tile), LATENT_STRIDE // self.side
        means = latents.reshape(rows * columns, -1).astype(np.float32) @ self.weight + self.bias
        part = means.reshape(rows, columns, 3, n, n).transpose(0, 3, 1, 4, 2).reshape(rows * n, columns * n, 3)
        there = self.picture[tile.y // self.side :, tile.x // self.side :][: rows * n, : columns * n]
        there[...] = part[: there.shape[0], : there.shape[1]]


def _side(header: Header) -> int:
    """Return the side of the squares in pixels: the largest that leaves the grid something to see, at most 8."""
    return max(side for side in (1, 2, 4, 8) if side == 1 or side * GRID <= min(header.width, header.height))


@lru_cache(maxsize=8)
def _projection(file: ModelFile, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the shortcut's means over squares: weights float32 [M, 3 * n * n] and biases [3 * n * n], n = 16 / side.

    Its rows are in the order channel, row, column.
    """
    n = LATENT_STRIDE // side
    weight, bias, shift = (file.tensors[f"synthesis.shortcut.{name}"] for name in ("weight", "bias", "shift"))
    level = 2.0 ** -(int(shift.reshape(-1)[0]) + _LEVEL_BITS)
    split = (3, n, side, n, side, -1)
    means = weight.reshape(split).mean((2, 4)).reshape(3 * n * n, -1) * (level * 2.0**-_SUM_BITS)
    offsets = bias.reshape(split).mean((2, 4)).reshape(-1) * level - _GRAY
    return np.ascontiguousarray(means.T, np.float32), offsets.astype(np.float32)


def _described(coarse: np.ndarray, header: Header) -> np.ndarray:
    """Return the features of a coarse picture."""
    side = _side(header)
    rows, columns = _cover(header.height, coarse.shape[0], side), _cover(header.width, coarse.shape[1], side)
    grid = np.einsum("ia,abc,jb,dc->dij", rows, coarse, columns, _COLOURS, optimize=True)
    layout = _damped(_layout(grid), _LAYOUT_FLOOR) * np.sqrt(_LAYOUT_SHARE)
    edges = _damped(_edges(grid[0]), _EDGES_FLOOR) * np.sqrt(1 - _LAYOUT_SHARE)
    found = np.concatenate([layout, edges])
    return np.append(found, np.sqrt(max(0.0, 1 - found @ found))).astype(np.float32)


def _damped(part: np.ndarray, floor: float) -> np.ndarray:
    """Scale a vector to a length below 1: about 1 if it is far longer than `floor`, about 0 if far shorter."""
    return part / np.hypot(np.linalg.norm(part), floor)


@lru_cache(maxsize=64)
def _cover(pixels: int, squares: int, side: int) -> np.ndarray:
    """Return the share of each square in each line of the grid, [GRID, squares]; rows have the sum 1.

    Squares are `side` pixels wide, but for the last one, which ends with the picture.
    """
    ends = np.arange(GRID + 1) * (pixels / GRID)
    begin = np.arange(squares) * side
    end = np.minimum(begin + side, pixels)
    shared = np.minimum(ends[1:, None], end) - np.maximum(ends[:-1, None], begin)
    return np.maximum(shared, 0) / (pixels / GRID)


def _waves() -> np.ndarray:
    """The longest cosine waves, [WAVES, GRID], orthonormal."""
    waves = np.cos(np.pi / GRID * np.outer(np.arange(WAVES), np.arange(GRID) + 0.5))
    return waves / np.linalg.norm(waves, axis=1, keepdims=True)


def _layout(grid: np.ndarray) -> np.ndarray:
    """The strength of each wave in [3, GRID, GRID]. Short ones are weaker in pictures, and get more weight."""
    waves = _waves()
    weights = 0.5 + np.hypot(*np.mgrid[:WAVES, :WAVES])
    weights[0, 0] = _MEAN_WEIGHT
    return ((waves @ grid @ waves.T) * weights).reshape(-1)


def _edges(luma: np.ndarray) -> np.ndarray:
    """How strong the edges of each direction are in each cell, of luma [GRID, GRID].

    Edges count for the two nearest directions and cells, so that little changes if they move or turn a little. The
    square root keeps few strong edges from being all that counts; the mean over all is what pictures have in common.

    Source: Dalal and Triggs 2005 (Histograms of oriented gradients).
    """
    down, right = np.gradient(luma)
    angle = np.arctan2(down, right) * (DIRECTIONS / (2 * np.pi))
    distance = np.abs((angle[..., None] - np.arange(DIRECTIONS) + DIRECTIONS / 2) % DIRECTIONS - DIRECTIONS / 2)
    strength = np.hypot(down, right)[..., None] * np.maximum(0, 1 - distance)
    centres = (np.arange(CELLS) + 0.5) * (GRID / CELLS)
    cells = np.maximum(0, 1 - np.abs(np.arange(GRID) + 0.5 - centres[:, None]) * (CELLS / GRID))
    cells /= cells.sum(1, keepdims=True)
    counts = np.sqrt(np.einsum("ia,abd,jb->ijd", cells, strength, cells, optimize=True)).reshape(-1)
    return counts - counts.mean()

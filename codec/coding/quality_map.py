"""The quality of each part of a picture: one number, or a map with a number for each block of 64x64 pixels (FORMAT §8).

In a file, a map is coded with the tables of the model, as differences between neighbouring blocks.
"""

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np

from ..container.format import Header, Tile, region_of
from ..errors import CorruptError
from . import rans
from .model_config import HYPER_STRIDE

BLOCK = 64  # the side of a block in pixels, of which there is one hyperlatent
# One quality, 1..100, or a map of a picture or a tile: uint8 [ceil(height / 64), ceil(width / 64)].
Quality = int | np.ndarray


def differences(regions: Iterable[tuple[Any, int]], header: Header) -> np.ndarray | None:
    """Return by how much the quality of each block differs from the rest, if some regions are to be better or worse.

    Args:
        regions: (where, difference) pairs. `where` is a rectangle, (x, y, width, height) in pixels; or a mask, bool or
            uint8 [height, width] (also as a Pillow image), where 255 stands for the whole difference. The difference is
            -99..99. A block that a region touches is made better as a whole; it is made worse only as far as it lies
            within. Where regions overlap, their differences add up.
        header: of the picture.

    Returns:
        int64 [ceil(height / 64), ceil(width / 64)]; None if no block differs.

    Raises:
        TypeError, ValueError: a region is not as described, or reaches outside the picture.
    """
    wanted = np.zeros(blocks_of(header), np.int64)
    try:
        pairs = [(where, change) for where, change in regions]
    except (TypeError, ValueError):
        raise TypeError("regions must be (where, difference) pairs, as in [((0, 0, 640, 480), 20)]") from None
    for where, change in pairs:
        if isinstance(change, bool) or not isinstance(change, SupportsIndex):
            raise TypeError(f"region's difference in quality {change!r}: must be an int, -99..99")
        if not -99 <= (number := operator.index(change)) <= 99:
            raise ValueError(f"region's difference in quality {number}: allowed are -99..99")
        if hasattr(type(where), "__array_interface__"):
            wanted += _of_mask(np.asarray(where), number, header)
        else:
            _add_rectangle(wanted, region_of(where, header), number, header)
    return wanted if wanted.any() else None


def _add_rectangle(wanted: np.ndarray, tile: Tile, change: int, header: Header) -> None:
    def blocks(start: int, size: int, side: int) -> slice:
        end = start + size
        if change > 0:  # those that it touches
            return slice(start // BLOCK, -(-end // BLOCK))
        return slice(-(-start // BLOCK), -(-end // BLOCK) if end == side else end // BLOCK)  # those that it covers

    wanted[blocks(tile.y, tile.height, header.height), blocks(tile.x, tile.width, header.width)] += change


def _of_mask(mask: np.ndarray, change: int, header: Header) -> np.ndarray:
    if mask.dtype not in (np.bool_, np.uint8):
        raise TypeError(f"a mask of {mask.dtype}: must be bool or uint8")
    if mask.shape != (header.height, header.width):
        raise ValueError(f"a mask of shape {list(mask.shape)}: must be [{header.height}, {header.width}]")
    if mask.dtype == np.uint8 and mask.max() == 1:
        raise ValueError("a mask of uint8 that has no number above 1: 255 stands for the whole difference; or use bool")
    extreme = np.maximum if change > 0 else np.minimum
    rows, columns = (np.arange(0, side, BLOCK) for side in mask.shape)
    of_blocks = extreme.reduceat(extreme.reduceat(mask, rows, axis=0), columns, axis=1)
    return np.rint(change * (of_blocks / (1 if mask.dtype == np.bool_ else 255))).astype(np.int64)


def applied(of_blocks: np.ndarray | None, base: int) -> Quality:
    """Return the quality of a picture, given the differences of its blocks; it stays within 1..100.

    It is one number if no block differs from `base`.
    """
    if of_blocks is None:
        return base
    values = (base + of_blocks).clip(1, 100).astype(np.uint8)
    return values if (values != base).any() else base


def of_tile(quality: Quality, tile: Tile) -> Quality:
    """Return the part of a picture's quality that belongs to a tile, whose left and top are multiples of 64."""
    if isinstance(quality, int):
        return quality
    rows = slice(tile.y // BLOCK, -(-(tile.y + tile.height) // BLOCK))
    return np.ascontiguousarray(quality[rows, tile.x // BLOCK : -(-(tile.x + tile.width) // BLOCK)])


def highest(quality: Quality) -> int:
    """Return the highest quality of a picture, which decides whether small versions of it need the branch."""
    return quality if isinstance(quality, int) else int(quality.max())


def at_latents(quality: Quality, at: tuple[int, int], size: tuple[int, int]) -> Quality:
    """Return the quality at each latent of an area: one number, or uint8 [rows, columns].

    Args:
        quality: of the whole picture.
        at: (row, column) of the area's first latent in the picture.
        size: (rows, columns) of the area in latents.
    """
    if isinstance(quality, int):
        return quality
    wide = quality.repeat(HYPER_STRIDE, 0).repeat(HYPER_STRIDE, 1)
    return wide[at[0] : at[0] + size[0], at[1] : at[1] + size[1]]


def blocks_of(header: Header) -> tuple[int, int]:
    """Return the (rows, columns) of a picture's map."""
    return -(-header.height // BLOCK), -(-header.width // BLOCK)


def _neighbours(values: np.ndarray) -> np.ndarray:
    """Return what each number is predicted by: the one to its left, in the first column the one above, at first 0."""
    predicted = np.zeros_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    return predicted


def encode(blocks: np.ndarray, base: int, tables: rans.Tables) -> bytes:
    """Code a map, uint8 [rows, columns of blocks], with the index that takes the fewest bytes.

    `base` is the quality in the header.
    """
    differences = blocks.astype(np.int16) - base
    symbols = (differences - _neighbours(differences)).ravel()
    if not symbols.any():
        return bytes(1)

    def coded(index: int) -> bytes:
        return bytes([index]) + rans.encode(symbols, np.full(symbols.size, index, np.uint8), [symbols.size], tables)

    return min(map(coded, range(1, rans.INDEX_COUNT)), key=len)


def decode(header: Header, data: memoryview | None, tables: rans.Tables) -> Quality:
    """Decode the map of a file; None: it has none, and the quality is the header's everywhere.

    Raises:
        CorruptError: no encoder with this model writes such a map.
    """
    if data is None:
        return header.quality
    shape = blocks_of(header)
    n, index = shape[0] * shape[1], data[0]
    symbols = np.zeros(n, np.int16)
    try:
        if index >= rans.INDEX_COUNT:
            raise CorruptError(f"index {index}: must be below {rans.INDEX_COUNT}")
        if index == 0 and len(data) > 1:
            raise CorruptError(f"{len(data) - 1} bytes after index 0: nothing may follow it")
        if index:
            reader = rans.Decoder(tables, data[1:])
            symbols = reader.decode(np.full(n, index, np.uint8))
            reader.finish()
    except CorruptError as e:
        raise CorruptError(f"the map of qualities: {e}") from e
    steps = symbols.reshape(shape).astype(np.int64)
    steps[:, 0] = np.cumsum(steps[:, 0])
    values = header.quality + np.cumsum(steps, axis=1)
    if values.min() < 1 or values.max() > 100:
        found = int(values.min()) if values.min() < 1 else int(values.max())
        raise CorruptError(f"the map of qualities has {found}: must be 1..100")
    return values.astype(np.uint8)

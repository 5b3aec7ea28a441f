"""The exact coder (FORMAT §9): pictures come back exactly, or with a guaranteed largest error. No network runs."""

from dataclasses import replace

import numpy as np

from .. import _C
from ..container import format
from ..container.format import NO_MODEL, Layout, Tile
from ..errors import CorruptError
from ..picture import code_points
from ..picture.samples import Pixels
from .threads import team


def file(pixels: Pixels, largest_error: int, tile: int, hidden: bool = True) -> bytes:
    """Return an .aec file of the picture, which keeps alpha.

    Args:
        pixels: the picture.
        largest_error: 0 keeps each colour sample exactly; 1..255: a decoded sample differs by at most this many levels
            of the picture's own depth. Alpha is always exact.
        tile: side of the tiles, 64, 128, .. 4096.
        hidden: whether to keep the colours where alpha is 0 too; else they become 0, which takes fewer bytes.
    """
    header = replace(pixels.header(largest_error, NO_MODEL, tile), exact=True)
    samples, blocks = _joined(pixels, hidden), code_points.blocks(pixels.metadata, pixels.gray)

    def payload(area: Tile) -> bytes:
        part = samples[area.y : area.y + area.height, area.x : area.x + area.width]
        return encode(part, largest_error)

    with team(header.n_tiles) as ordered:
        return format.write(header, list(ordered(payload, header.tiles)), metadata=blocks)


def _joined(pixels: Pixels, hidden: bool) -> np.ndarray:
    if pixels.alpha is None:
        return pixels.data
    return np.dstack([pixels.data if hidden else pixels.data * (pixels.alpha != 0)[..., None], pixels.alpha])


def encode(samples: np.ndarray, largest_error: int = 0) -> bytes:
    """Code one tile.

    Args:
        samples: uint8 or uint16 [h, w, C]; C = 1 for gray or 3 for RGB, and one more for alpha. Sides of 1..4096.
        largest_error: as of `file`.

    Returns:
        The tile's payload (FORMAT §9).
    """
    return _C.encode_exact(np.ascontiguousarray(samples, np.uint16), 8 * samples.itemsize, largest_error)


def decode_tile(
    payload: bytes | memoryview, shape: tuple[int, int, int], depth: int, largest_error: int = 0
) -> np.ndarray:
    """Decode what `encode` returned.

    Args:
        payload: of the tile.
        shape: (h, w, C) of its samples.
        depth: bits a sample, 8 or 16.
        largest_error: as it was given to `encode`.

    Returns:
        uint8 or uint16 [h, w, C].

    Raises:
        CorruptError: no encoder writes such a payload.
    """
    out = np.empty(shape, np.uint16)
    try:
        _C.decode_exact(payload, out, depth, largest_error)
    except _C.CorruptError as error:
        raise CorruptError(str(error)) from None
    return out if depth == 16 else out.astype(np.uint8)


def decode(layout: Layout, region: Tile) -> Pixels:
    """Decode a region of an exact picture, without metadata. Only tiles that the region touches are decoded.

    Tiles that are missing in a partial file are gray, and opaque.

    Raises:
        CorruptError: no encoder writes such a payload; the message names the tile.
    """
    header = layout.header
    colours = 1 if header.gray else 3
    channels = colours + header.alpha
    out = np.empty((region.height, region.width, channels), f"uint{header.depth}")
    right, bottom = region.x + region.width, region.y + region.height
    touched = [
        (i, t)
        for i, t in enumerate(header.tiles)
        if t.x < right and region.x < t.x + t.width and t.y < bottom and region.y < t.y + t.height
    ]

    def place(item: tuple[int, Tile]) -> None:
        i, t = item
        if layout.whole_parts(i) == 0:
            made = np.full((t.height, t.width, channels), 2 ** (header.depth - 1), out.dtype)
            made[..., colours:] = 2**header.depth - 1
        else:
            try:
                made = decode_tile(layout.payloads[i], (t.height, t.width, channels), header.depth, header.quality)
            except CorruptError as e:
                raise CorruptError(f"tile {i}: {e}") from e
        top, left = max(t.y, region.y), max(t.x, region.x)
        inside = made[top - t.y : bottom - t.y, left - t.x : right - t.x]
        out[top - region.y :, left - region.x :][: inside.shape[0], : inside.shape[1]] = inside

    with team(len(touched)) as ordered:
        for _ in ordered(place, touched):
            pass
    return Pixels(out[..., :colours], out[..., colours] if header.alpha else None)

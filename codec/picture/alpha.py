"""The alpha channel: a picture of its own for each tile; opaque tiles cost nothing. FORMAT §2."""

from collections.abc import Sequence

import numpy as np

from ..container.format import Header, Tile
from ..errors import CorruptError
from . import png_samples
from .embedded import open_still, write_png, write_webp
from .opening import opened_as


def encode(alpha: np.ndarray, tiles: list[Tile], quality: int) -> list[bytes]:
    """Of each tile.

    Args:
        alpha: uint8 or uint16 [H, W].
        quality: 100: it comes back as it is; 0..99: with fewer levels, of 8 bits, as libwebp chooses them. 16 bits are
            always kept.
    """
    return [_encode_tile(alpha[t.y : t.y + t.height, t.x : t.x + t.width], quality) for t in tiles]


def _encode_tile(samples: np.ndarray, quality: int) -> bytes:
    if (samples == np.iinfo(samples.dtype).max).all():
        return b""
    if samples.dtype == np.uint16:
        return write_png(samples)
    best = _lossless(samples)
    if quality < 100:
        fewer = write_webp(_as_rgba(samples), lossless=False, quality=0, alpha_quality=quality)
        best = min(best, _lossless(_alpha_of(fewer)), key=len)
    return best


def _as_rgba(samples: np.ndarray) -> np.ndarray:
    whole = np.zeros((*samples.shape, 4), np.uint8)
    whole[..., 3] = samples
    return whole


def _lossless(samples: np.ndarray) -> bytes:
    """libwebp's lossless coder: always smaller than the alpha chunk beside its lossy one, which has its overhead."""
    return write_webp(_as_rgba(samples), lossless=True, exact=True, quality=80)


def _alpha_of(webp: bytes) -> np.ndarray:
    return np.asarray(opened_as("WebP", webp).convert("RGBA"))[..., 3]


def _decode_tile(payload: memoryview, tile: Tile, depth: int) -> np.ndarray:
    if len(payload) == 0:
        return np.full((tile.height, tile.width), 2**depth - 1, np.uint8 if depth == 8 else np.uint16)
    data = bytes(payload)
    image = open_still(data, ["WebP"] if depth == 8 else ["PNG"], [(tile.width, tile.height)])
    if image.mode not in (("RGBA", "RGB") if depth == 8 else ("I;16",)):
        raise CorruptError(f"a picture of mode {image.mode}, which is no alpha channel of {depth} bits")
    try:
        if depth == 16:
            png_samples.sample_stream(data)  # raises, where Pillow fills what is missing
            return np.asarray(image).astype(np.uint16)
        return np.asarray(image.convert("RGBA").getchannel("A"))  # one without an alpha channel is opaque
    except MemoryError:
        raise
    except Exception as e:  # Pillow's readers raise all kinds on damaged files
        raise CorruptError(f"a damaged picture: {e}") from e


def decode(header: Header, payloads: Sequence[memoryview], region: Tile) -> np.ndarray:
    """The alpha channel in a region: uint8 or uint16 (header.depth) [h, w]; other tiles are not read.

    Raises:
        CorruptError: a payload is no alpha channel of its tile; it names the tile.
    """
    out = np.empty((region.height, region.width), np.uint8 if header.depth == 8 else np.uint16)
    for i, (tile, payload) in enumerate(zip(header.tiles, payloads, strict=True)):
        left, right = max(tile.x, region.x), min(tile.x + tile.width, region.x + region.width)
        top, bottom = max(tile.y, region.y), min(tile.y + tile.height, region.y + region.height)
        if left >= right or top >= bottom:
            continue
        try:
            part = _decode_tile(payload, tile, header.depth)
        except CorruptError as e:
            raise CorruptError(f"the alpha of tile {i}: {e}") from e
        out[top - region.y : bottom - region.y, left - region.x : right - region.x] = part[
            top - tile.y : bottom - tile.y, left - tile.x : right - tile.x
        ]
    return out

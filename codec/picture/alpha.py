"""Coding of the alpha channel: a WebP or PNG picture for each tile, and nothing for opaque tiles (FORMAT §2)."""

import numpy as np

from ..container.format import Layout, Tile
from ..errors import CorruptError
from . import png_samples
from .embedded import open_still, write_png, write_webp
from .opening import opened_as


def encode(alpha: np.ndarray, tiles: list[Tile], quality: int) -> list[bytes]:
    """Encode the alpha channel, and return a payload for each tile, which is empty for an opaque tile.

    Args:
        alpha: uint8 or uint16 [H, W].
        tiles: the tiles of the picture.
        quality: 100 keeps the channel exactly. 0..99 reduce the number of levels, as libwebp chooses them. 16 bits are
            always kept exactly.
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
    """Encode 8-bit samples as the alpha of a lossless WebP.

    This is always smaller than a lossy WebP with an alpha chunk, because of the latter's overhead.
    """
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
            png_samples.sample_stream(data)  # raises an error if samples are missing, which Pillow would fill in
            return np.asarray(image).astype(np.uint16)
        return np.asarray(image.convert("RGBA").getchannel("A"))  # a WebP without alpha is opaque
    except MemoryError:
        raise
    except Exception as e:  # for damaged files, Pillow raises many kinds of errors
        raise CorruptError(f"a damaged picture: {e}") from e


def decode(layout: Layout, region: Tile) -> np.ndarray:
    """Decode the alpha channel of a region: uint8 or uint16 (as the header's depth says) [h, w].

    Only tiles that the region touches are decoded. Those that are missing in a partial file are opaque.

    Raises:
        CorruptError: a payload is not the alpha channel of its tile; the message names the tile.
    """
    header, lacks = layout.header, layout.damage.alphas if layout.damage else ()
    out = np.empty((region.height, region.width), np.uint8 if header.depth == 8 else np.uint16)
    for i, (tile, payload) in enumerate(zip(header.tiles, layout.alphas, strict=True)):
        left, right = max(tile.x, region.x), min(tile.x + tile.width, region.x + region.width)
        top, bottom = max(tile.y, region.y), min(tile.y + tile.height, region.y + region.height)
        if left >= right or top >= bottom:
            continue
        try:
            part = _decode_tile(payload[:0] if i in lacks else payload, tile, header.depth)
        except CorruptError as e:
            raise CorruptError(f"the alpha of tile {i}: {e}") from e
        out[top - region.y : bottom - region.y, left - region.x : right - region.x] = part[
            top - tile.y : bottom - tile.y, left - tile.x : right - tile.x
        ]
    return out

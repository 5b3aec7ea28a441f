"""Whole files by way of the pipeline: with any tile side, and with a model that is not installed."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from codec.coding import decoder, tiles
from codec.container import format
from codec.nets.torch_codec import Codec
from codec.picture import alpha
from codec.picture.pixels import to_pixels
from codec.picture.samples import Pixels


def file(codec: Codec, image, quality: int, side: int = 1024, effort: int = 2, progress=lambda share: None) -> bytes:
    """What api.encode would write, in tiles of that side, and never stored."""
    return file_of(codec, to_pixels(image), quality, side, effort, progress)


def file_of(
    codec: Codec, pixels: Pixels, quality: int, side: int = 1024, effort: int = 2, progress=lambda share: None
) -> bytes:
    """The same of Pixels."""
    header = pixels.header(quality, codec.id, side)
    parts, alphas = tiles.encode(codec.encoder, pixels, header, effort, progress), []
    if pixels.alpha is not None:
        alphas = alpha.encode(pixels.alpha, header.tiles, 100)
    return tiles.file(codec.encoder, header, parts, None, alphas, pixels.metadata.blocks())


def latents(codec: Codec, data: bytes) -> Iterator[np.ndarray]:
    """Those of each tile, int16 [h, w, M], wherever they were read."""
    layout = format.read(data)
    for part in decoder.read_latents(codec.decoder, decoder.Coded.of(codec.decoder, layout)):
        yield part if isinstance(part, np.ndarray) else part.cpu().numpy()


def colours(codec: Codec, data: bytes) -> np.ndarray:
    """uint8 or uint16 [H, W, C]."""
    layout = format.read(data)
    return decoder.decode(codec.decoder, decoder.Coded.of(codec.decoder, layout))


def read(model: Codec, header: format.Header, parts: list[list[bytes]], reader=None) -> decoder.Coded:
    """What `tiles.encode` made, by way of a file, for a decoder of the model."""
    data = tiles.file(model.encoder, replace(header, alpha=False), parts)
    return decoder.Coded.of(reader or model.decoder, format.read(data))


def sha256(*arrays: np.ndarray) -> str:
    """Of the numbers of arrays, little-endian and in order."""
    parts = (np.ascontiguousarray(a, a.dtype.newbyteorder("<")).tobytes() for a in arrays)
    return hashlib.sha256(b"".join(parts)).hexdigest()

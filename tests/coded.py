"""Whole files by way of the pipeline: with any tile side, and with a model that is not installed."""

from collections.abc import Iterator

from torch import Tensor

from codec import format, pipeline
from codec.image import to_pixels
from codec.weights import Codec


def file(codec: Codec, image, quality: int, side: int = 1024, effort: int = 2, progress=lambda share: None) -> bytes:
    """What api.encode would write of an opaque picture without metadata, in tiles of that side."""
    pixels = to_pixels(image)
    header = pixels.header(quality, codec.id, side)
    return format.write(header, pipeline.encode(codec, pixels, header, effort, progress))


def latents(codec: Codec, data: bytes) -> Iterator[Tensor]:
    layout = format.read(data)
    return pipeline.read_latents(codec, layout.header, layout.payloads)


def colours(codec: Codec, data: bytes) -> Tensor:
    """uint8 [C, H, W]."""
    layout = format.read(data)
    return pipeline.decode(codec, layout.header, layout.payloads)

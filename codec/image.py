"""Pictures of any accepted kind <-> float tensors, and the tiles' neighbourhoods."""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from .format import Header, check_size
from .metadata import Metadata

if TYPE_CHECKING:
    from .format import Tile

CONVERTED = {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}


@dataclass(frozen=True)
class Pixels:
    """An upright picture.

    Args:
        data: uint8 or uint16 [C, H, W], C = 1 (gray) or 3 (RGB).
        alpha: [H, W] of the same dtype; None: opaque.
        metadata: what travels with it.
    """

    data: Tensor
    alpha: Tensor | None = None
    metadata: Metadata = Metadata()

    @property
    def gray(self) -> bool:
        return self.data.shape[0] == 1

    @property
    def depth(self) -> int:
        """Bits a sample, 8 or 16."""
        return 8 * self.data.element_size()

    @property
    def height(self) -> int:
        return self.data.shape[1]

    @property
    def width(self) -> int:
        return self.data.shape[2]

    def header(self, quality: int, model_id: bytes, tile: int = 1024) -> Header:
        """Of the file that a model makes of it."""
        return Header(
            self.width, self.height, quality, model_id, self.gray, tile, alpha=self.alpha is not None, depth=self.depth
        )


def open_checked(image: Image.Image) -> None:
    """Check what can be known before the pixels are read, then read them.

    Raises:
        LimitError: too large.
        ValueError: an animation, or 16 bits a sample, which Pillow would halve without a word.
        Exception: whatever Pillow raises for a damaged file.
    """
    check_size(*image.size)
    # The other frames of a camera's multi-picture JPEG are previews and gain maps, not an animation.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise ValueError(f"an animation of {image.n_frames} frames: only still pictures can be encoded")
    if any(";16" in str(part[3]) for part in getattr(image, "tile", ())):
        raise ValueError("16 bits a sample: only 8-bit pictures can be encoded")
    image.load()


def _opaque(image: Image.Image) -> Image.Image:
    """Drop an alpha channel that says nothing; refuse one that does."""
    if not image.has_transparency_data:
        return image
    gray = image.mode in ("L", "LA", "La")
    image = image.convert("LA" if gray else "RGBA")
    if image.getchannel("A").getextrema()[0] < 255:
        raise ValueError(
            "the image has transparent pixels, which aec cannot keep yet: flatten it onto a background first"
        )
    return image.convert("L" if gray else "RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, TypeError, KeyError, OverflowError, struct.error):  # the EXIF is damaged, not the picture
        return image


def _from_pil(image: Image.Image) -> Tensor:
    open_checked(image)
    image = _opaque(_upright(image))
    image = image.convert(CONVERTED.get(image.mode, image.mode))
    if image.mode not in ("L", "RGB"):
        raise ValueError(
            f"images of mode {image.mode} cannot be encoded: allowed are L, RGB and {', '.join(CONVERTED)}"
        )
    data = torch.from_numpy(np.array(image))
    return data[None] if image.mode == "L" else data.permute(2, 0, 1)


def to_pixels(image: "Image.Image | np.ndarray | Tensor") -> Pixels:
    """Accept a picture.

    Args:
        image: PIL image (L or RGB; 1, P, CMYK, YCbCr and HSV are converted; EXIF orientation is applied to the
            pixels; an alpha channel must be fully opaque), numpy uint8 [H, W, 3] or [H, W], or torch uint8 [3, H, W] or
            [1, H, W].

    Raises:
        TypeError: another type or dtype.
        ValueError: another shape or mode, transparency, an animation, or 16 bits a sample.
        LimitError (a ValueError): a PIL image is too large.
        Exception: whatever Pillow raises when a lazily opened file turns out to be damaged.
    """
    if isinstance(image, Image.Image):
        data = _from_pil(image)
    elif isinstance(image, np.ndarray):
        if image.dtype != np.uint8:
            raise TypeError(f"numpy image of dtype {image.dtype}: must be uint8")
        if image.ndim == 2:
            data = torch.from_numpy(image.copy())[None]
        elif image.ndim == 3 and image.shape[2] == 3:
            data = torch.from_numpy(image.copy()).permute(2, 0, 1)
        else:
            raise ValueError(f"numpy image of shape {list(image.shape)}: must be [H, W, 3] or [H, W]")
    elif isinstance(image, Tensor):
        if image.dtype != torch.uint8:
            raise TypeError(f"torch image of dtype {image.dtype}: must be torch.uint8")
        if image.ndim != 3 or image.shape[0] not in (1, 3):
            raise ValueError(f"torch image of shape {list(image.shape)}: must be [3, H, W] or [1, H, W]")
        data = image
    else:
        raise TypeError(f"image of type {type(image).__name__}: must be a PIL image, a numpy array or a torch tensor")
    if data.numel() == 0:
        raise ValueError(f"image of {data.shape[2]}x{data.shape[1]}: both sides must be at least 1")
    return Pixels(data)


def window(start: int, size: int, end: int, halo: int) -> tuple[int, int, int]:
    """Widen start..start+size by halo each way, within 0..end: (first, last, offset of start in it)."""
    first = max(0, start - halo)
    return first, min(end, start + size + halo), start - first


def tile_input(pixels: Pixels, tile: "Tile", halo: int, multiple: int, device: torch.device) -> tuple[Tensor, int, int]:
    """A tile and its surroundings for the analysis.

    Args:
        halo: pixels to add on each side where the image has them; a multiple of `multiple`.
        multiple: the sides of the result are padded to this at the image's right and bottom, repeating the edge.

    Returns:
        (float32 [1, 3, h, w] in [0, 1], top and left of the tile in it).
    """
    height, width = pixels.data.shape[1:]
    y0, y1, top = window(tile.y, tile.height, height, halo)
    x0, x1, left = window(tile.x, tile.width, width, halo)
    x = pixels.data[None, :, y0:y1, x0:x1].to(device).float() / (2**pixels.depth - 1)
    x = x.expand(-1, 3, -1, -1)
    return F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple), mode="replicate"), top, left


def to_samples(x: Tensor, gray: bool, depth: int) -> Tensor:
    """float [3, H, W], nominally 0..1 -> uint8 or uint16 (depth 8 or 16) [3, H, W], or [1, H, W] (the mean) if gray."""
    if gray:
        x = x.mean(0, keepdim=True)
    largest = 2**depth - 1
    return (x * largest).round_().clamp_(0, largest).to(torch.uint8 if depth == 8 else torch.uint16)


def to_torch(pixels: Pixels) -> Tensor:
    """uint8 or uint16 [1|2|3|4, H, W], on the device of pixels.data."""
    if pixels.alpha is None:
        return pixels.data
    return torch.cat([pixels.data, pixels.alpha[None].to(pixels.data.device)])


def to_numpy(pixels: Pixels) -> np.ndarray:
    """uint8 or uint16 [H, W] if gray and opaque, else [H, W, 2|3|4]."""
    data = to_torch(pixels).cpu()
    return data[0].numpy() if data.shape[0] == 1 else data.permute(1, 2, 0).contiguous().numpy()


def to_pil(pixels: Pixels) -> Image.Image:
    """L, LA, RGB, RGBA or I;16, the metadata in `info` where Pillow's savers look for it.

    Raises:
        ValueError: 16 bits a sample and more than one channel, for which Pillow has no mode.
    """
    if pixels.depth == 16 and (not pixels.gray or pixels.alpha is not None):
        raise ValueError('Pillow has no mode for 16-bit colour: ask for output="numpy", or for depth=8')
    image = Image.fromarray(to_numpy(pixels))
    names = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
    image.info.update({names[k]: v for k, v in pixels.metadata.blocks().items()})
    return image

"""Samples of a picture -> what the analysis takes of them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..container.format import Tile
from ..picture.pixels import Pixels
from .decoder import window


def _filled(x: Tensor, known: Tensor) -> Tensor:
    """Give unknown pixels colours that cost few bits: those of their surroundings, ever more blurred with distance.

    Args:
        x: float [1, C, h, w]; known: bool [1, 1, h, w].

    Source: push-pull, Gortler 1996 (The Lumigraph), with 2x2 means down and bilinear interpolation up.
    """
    if known.all():
        return x
    if x.shape[2:] == (1, 1):
        return torch.full_like(x, 0.5)
    weight = F.avg_pool2d(known.float(), 2, ceil_mode=True)
    mean = F.avg_pool2d(x * known, 2, ceil_mode=True) / weight.clamp_min(1e-3)
    smooth = F.interpolate(_filled(mean, weight > 0), x.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(known, x, smooth)


def tile_input(pixels: Pixels, tile: Tile, halo: int, multiple: int, device: torch.device) -> tuple[Tensor, int, int]:
    """A tile and its surroundings for the analysis; colours where alpha is 0 are made up (`_filled`).

    Args:
        halo: pixels to add on each side where the image has them; a multiple of `multiple`.
        multiple: the sides of the result are padded to this at the image's right and bottom, repeating the edge.

    Returns:
        (float32 [1, 3, h, w] in [0, 1], top and left of the tile in it).
    """
    y0, y1, top = window(tile.y, tile.height, pixels.height, halo)
    x0, x1, left = window(tile.x, tile.width, pixels.width, halo)
    # A copy: the picture may be read-only, or have strides that torch has not.
    samples = torch.from_numpy(np.array(pixels.data[y0:y1, x0:x1], order="C")).permute(2, 0, 1)[None]
    x = samples.to(device).float() / (2**pixels.depth - 1)
    if pixels.alpha is not None:
        x = _filled(x, torch.from_numpy(pixels.alpha[None, None, y0:y1, x0:x1] != 0).to(device))
    x = x.expand(-1, 3, -1, -1)
    return F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple), mode="replicate"), top, left

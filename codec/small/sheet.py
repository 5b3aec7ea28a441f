"""Sheets of pictures, their latents, reconstructions and errors; and what the latents say of a model's health."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from . import anomaly, coder
from .model import SmallModel, dequantise

SIDE = 84  # pixels, about, of the longer side of a picture on the sheet
COLUMNS = 16
MARGIN = 4
PAPER = 255
COLLAPSED = 0.05  # bits: a latent of lower entropy says next to nothing


@dataclass(frozen=True)
class Diagnostics:
    """What the symbols of N pictures say of a model.

    Args:
        entropy: float64 [D], of each latent's symbols, in bits.
        distinct: int64 [D], how many different symbols each latent had.
        bits: of a picture in the mean, by the model's coding tables.
        error: the mean squared error of the reconstructions, where white is 1.
        count: N.
    """

    entropy: np.ndarray
    distinct: np.ndarray
    bits: float
    error: float
    count: int

    @property
    def dead(self) -> np.ndarray:
        """Bool [D]: latents that always have the same symbol."""
        return self.distinct == 1

    @property
    def collapsed(self) -> np.ndarray:
        """Bool [D]: latents that are not dead, but have next to no entropy."""
        return ~self.dead & (self.entropy < COLLAPSED)

    def line(self) -> str:
        alive = self.entropy[~self.dead & ~self.collapsed]
        spread = f"; entropy of the others {alive.min():.2f} to {alive.max():.2f} bits" if len(alive) else ""
        return (
            f"{self.count} pictures, {len(self.entropy)} latents: {self.dead.sum()} dead, {self.collapsed.sum()} "
            f"collapsed{spread}; {self.bits:.1f} bits a picture, squared error {self.error:.5f}"
        )


def diagnostics(model: SmallModel, pictures: np.ndarray, level: int) -> Diagnostics:
    """Measure pictures, uint8 [N, H, W, C], N above 0. Raises ValueError if they are not of the model's size."""
    symbols, made = anomaly.reconstructed(model, pictures, level)
    entropy, distinct = np.zeros(model.n_latents), np.zeros(model.n_latents, np.int64)
    for d in range(model.n_latents):
        counts = np.unique(symbols[:, d], return_counts=True)[1]
        p = counts / len(symbols)
        entropy[d], distinct[d] = abs((p * np.log2(p)).sum()), len(counts)
    error = float(anomaly.squared_errors(pictures, made).mean(dtype=np.float64))
    return Diagnostics(entropy, distinct, float(coder.bits(model, symbols, level).mean()), error, len(pictures))


def grid(latents: np.ndarray) -> np.ndarray:
    """Lay latents out as small pictures: [N, D] -> [N, rows, columns], or of channels [N, C, H, W] tiled.

    There are as many columns as rows, or fewer, by whole rows if possible: 32 latents are 8 rows of 4.
    """
    tiles = latents[..., None, None] if latents.ndim == 2 else latents.reshape(len(latents), -1, *latents.shape[-2:])
    n, count, height, width = tiles.shape
    columns = max((c for c in range(1, int(count**0.5) + 1) if count % c == 0), default=1)
    if columns * columns * 4 < count:  # a prime number, or nearly: the last row is not full
        columns = int(count**0.5)
    rows = -(-count // columns)
    full = np.zeros((n, rows * columns, height, width), tiles.dtype)
    full[:, :count] = tiles
    laid = full.reshape(n, rows, columns, height, width).transpose(0, 1, 3, 2, 4)
    return laid.reshape(n, rows * height, columns * width)


def draw(model: SmallModel, pictures: np.ndarray, level: int) -> np.ndarray:
    """Draw a sheet of pictures, uint8 [N, H, W, C], N above 0: uint8 [height, width, 3].

    Of each picture there are, from top to bottom: itself, its latents in gray, its reconstruction, and its error. After
    16 pictures the next four rows begin. Gray latents are on a scale that all latents of the sheet share, and the
    colours of errors are relative to the mean error of the sheet.

    Raises:
        ValueError: the pictures are not of the model's size.
    """
    symbols, made = anomaly.reconstructed(model, pictures, level)
    errors = anomaly.squared_errors(pictures, made)
    values = dequantise(model, symbols, level)
    low, high = np.percentile(values, (1, 99))
    gray = np.rint(255 * ((values - low) / max(high - low, 1)).clip(0, 1)).astype(np.uint8)
    shape = model.encoder.shape
    small = grid(gray.reshape(-1, *shape) if len(shape) == 3 else gray)
    heat = anomaly.colours(errors, float(errors.mean()))
    height, width = model.shape[:2]
    factor = max(1, SIDE // max(height, width))
    box = (height * factor, width * factor)
    rows = [[_fitted(one, box) for one in some] for some in (pictures, small, made, heat)]
    bands = []
    for start in range(0, len(pictures), COLUMNS):
        bands += [row[start : start + COLUMNS] for row in rows]
    high_, wide = box[0] + MARGIN, box[1] + MARGIN
    sheet = np.full((len(bands) * high_ + MARGIN, len(bands[0]) * wide + MARGIN, 3), PAPER, np.uint8)
    for i, band in enumerate(bands):
        for j, tile in enumerate(band):
            y, x = MARGIN + i * high_, MARGIN + j * wide
            sheet[y : y + box[0], x : x + box[1]] = tile
    return sheet


def _fitted(one: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """Enlarge a picture, uint8 [h, w] or [h, w, 1 or 3], by a whole factor, or shrink it, into a box: [H, W, 3]."""
    rgb = np.broadcast_to(one if one.ndim == 3 else one[..., None], (*one.shape[:2], 3))
    height, width = one.shape[:2]
    if factor := min(box[0] // height, box[1] // width):
        rgb = rgb.repeat(factor, 0).repeat(factor, 1)
    else:
        share = min(box[0] / height, box[1] / width)
        size = max(1, int(width * share)), max(1, int(height * share))
        rgb = np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BOX))
    out = np.full((*box, 3), PAPER, np.uint8)
    y, x = ((side - has) // 2 for side, has in zip(box, rgb.shape[:2], strict=True))
    out[y : y + rgb.shape[0], x : x + rgb.shape[1]] = rgb
    return out

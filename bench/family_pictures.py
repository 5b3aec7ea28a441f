"""Pictures of what autoencoders have learned, for `bench.family`: samples, features, latents, what was denoised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from codec.family.denoising import CORRUPTIONS
from codec.small.model import level_of
from codec.small.sheet import draw

if TYPE_CHECKING:
    from .family_figures import Trained

Drawing = Callable[["Trained", Path], None]
SCALE, MARGIN = 2, 2  # each pixel is drawn as 2x2; pixels between two pictures
COLUMNS = 16
QUALITY = 75  # of sheets


def grid(rows: list[np.ndarray]) -> Image.Image:
    """Tile rows of pictures: each row uint8 [n, H, W, C]; heights may differ from row to row."""
    width = max(len(row) * (row.shape[2] + MARGIN) for row in rows) + MARGIN
    height = sum(row.shape[1] + MARGIN for row in rows) + MARGIN
    sheet = np.full((height, width, 3), 255, np.uint8)
    y = MARGIN
    for row in rows:
        for i, picture in enumerate(row):
            x = MARGIN + i * (row.shape[2] + MARGIN)
            sheet[y : y + row.shape[1], x : x + row.shape[2]] = picture
        y += row.shape[1] + MARGIN
    return Image.fromarray(sheet).resize((SCALE * width, SCALE * height), Image.Resampling.NEAREST)


def shown(x: torch.Tensor) -> np.ndarray:
    """float [N, C, H, W] of 0..1 -> uint8 [N, H, W, C]."""
    return (x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def stretched(x: torch.Tensor) -> torch.Tensor:
    """Each picture of [N, C, H, W] stretched to 0..1."""
    low, high = x.flatten(1).min(1).values, x.flatten(1).max(1).values
    return (x - low[:, None, None, None]) / (high - low).clamp(min=1e-9)[:, None, None, None]


def sheet(t: Trained, path: Path) -> None:
    """Originals, latents, reconstructions and errors, as `aec sheet` draws them."""
    Image.fromarray(draw(t.model, t.test.pictures[:COLUMNS], level_of(QUALITY))).save(path)


@torch.no_grad()
def features(t: Trained, path: Path) -> None:
    """What each latent draws: the columns of the decoder's last layer."""
    weight = t.member.decoder[0].weight.T[: 4 * COLUMNS]
    drawn = shown(stretched(weight.reshape(-1, *t.member.shape)))
    grid([drawn[i : i + COLUMNS] for i in range(0, len(drawn), COLUMNS)]).save(path)


@torch.no_grad()
def samples(t: Trained, path: Path) -> None:
    """Draws from the prior, and four ways from one draw to another."""
    torch.manual_seed(0)
    d = t.model.n_latents
    drawn = t.member.decode(torch.randn(4 * COLUMNS, d))
    share = torch.linspace(0, 1, COLUMNS)[:, None]
    ways = [t.member.decode(torch.lerp(torch.randn(1, d), torch.randn(1, d), share)) for _ in range(4)]
    grid([*(shown(part) for part in drawn.split(COLUMNS)), *map(shown, ways)]).save(path)


def denoised(kind: str, level: float) -> Drawing:
    """Originals, corrupted pictures, and what comes out."""

    @torch.no_grad()
    def drawing(t: Trained, path: Path) -> None:
        torch.manual_seed(0)
        x = t.x[:COLUMNS]
        given = CORRUPTIONS[kind](x, level)
        grid([shown(x), shown(given), shown(t.member(given))]).save(path)

    return drawing

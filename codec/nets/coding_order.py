"""Which context step codes a latent (FORMAT §8), and a map of latents taken apart by it.

Source: parallel steps over channel groups and 2x2 positions, the quadtree of DCVC-DC (arXiv:2302.14402).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def step_of(steps: int, channels: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The step in which each latent is coded, int64 [M, h, w] (FORMAT §8).

    Channel c is in group c mod steps; a position's phase counts (0,0), (1,1), (0,1), (1,0) of each 2x2 square (two
    steps: the checkerboard). Step = group xor phase: in every step each group is read at another phase.
    """
    i = torch.arange(height, device=device)[:, None] & 1
    j = torch.arange(width, device=device)[None, :] & 1
    phase = (i ^ j) if steps == 2 else 2 * (i ^ j) + i
    group = torch.arange(channels, device=device)[:, None, None] % steps
    return group ^ phase


@lru_cache(maxsize=4)  # a picture's tiles have at most four shapes
def positions(steps: int, shape: tuple[int, int, int], device: torch.device) -> list[Tensor]:
    """Flat positions of each step's latents in [M, h, w], in coding order (channel, row, column)."""
    order = step_of(steps, *shape, device=device).flatten()
    return [(order == k).nonzero()[:, 0] for k in range(steps)]


class Corners:
    """Maps [B, C, h, w] corner by corner of their 2x2 squares: [4, B * h/2 * w/2, C].

    At each corner a step codes one group of channels only, so a head is four small products, one a corner, with the
    rows of that group. FORMAT §8 says it as whole maps of which most is left out; the result is the same.

    Args:
        steps: context steps, 2 or 4.
        shape: of the latents, [B, M, h, w]; M a multiple of steps, h and w even.
    """

    def __init__(self, steps: int, shape: torch.Size):
        self.steps, (self.batch, _, self.height, self.width) = steps, shape
        # [step][corner] -> group; and, for xor is its own inverse, [group][corner] -> step.
        self._other = step_of(steps, steps, 2, 2).flatten(1).tolist()

    def split(self, x: Tensor) -> Tensor:
        """A map's corners."""
        squares = x.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        return squares.permute(2, 4, 0, 1, 3, 5).reshape(4, -1, x.shape[1])

    def join(self, x: Tensor) -> Tensor:
        """The inverse of `split`: a map, channels last in memory."""
        squares = x.view(2, 2, self.batch, self.height // 2, self.width // 2, -1).permute(2, 3, 0, 4, 1, 5)
        return squares.reshape(self.batch, self.height, self.width, -1).permute(0, 3, 1, 2)

    def rows(self, table: Tensor, steps: Sequence[int]) -> Tensor:
        """Of a table with a row for each latent channel, [M, n], those that `steps` code: [4, len(steps) * M/S, n]."""
        groups = table.unflatten(0, (-1, self.steps)).unbind(1)
        return torch.stack([torch.cat([groups[self._other[k][corner]] for k in steps]) for corner in range(4)])

    def of_samples(self, vector: Tensor, step: int) -> Tensor:
        """Numbers by sample and latent channel, [B, M, 1, 1], for the latents of a step: [4, B * h/2 * w/2, M/S]."""
        return self.rows(vector[:, :, 0, 0].T, [step]).mT.repeat_interleave(self.height * self.width // 4, 1)

    def latents_of_steps(self, y: Tensor) -> list[Tensor]:
        """What each step codes of latents [B, M, h, w]: [4, B * h/2 * w/2, M/S] each."""
        return self._exchange(self.split(y).unflatten(2, (-1, self.steps)).unbind(3))

    def latents(self, of_steps: Sequence[Tensor]) -> Tensor:
        """The inverse of `latents_of_steps`."""
        return self.join(torch.stack(self._exchange(of_steps), -1).flatten(2))

    def _exchange(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """By group -> by step, and back: [4, .., M/S] each."""
        return [torch.stack([parts[k][corner] for corner, k in enumerate(row)]) for row in self._other]

    def sums(self, x: Tensor) -> Tensor:
        """Sums over each sample of the batch: [4, B * h/2 * w/2, n] -> [B]."""
        return x.unflatten(1, (self.batch, -1)).sum((0, 2, 3))

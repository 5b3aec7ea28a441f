"""The order of coding: which context step codes each latent (FORMAT §8), and splitting of latents by steps.

Source: parallel steps over channel groups and 2x2 positions, from the quadtree of DCVC-DC (arXiv:2302.14402).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def step_of(steps: int, channels: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the context step in which each latent is coded, int64 [M, h, w] (FORMAT §8).

    Channel c belongs to group c mod steps. The phase of a position is its index in the order (0,0), (1,1), (0,1), (1,0)
    within its 2x2 square; with two steps it is the colour on a checkerboard. The step is group xor phase, so that in
    each step every group is coded at a different phase.
    """
    i = torch.arange(height, device=device)[:, None] & 1
    j = torch.arange(width, device=device)[None, :] & 1
    phase = (i ^ j) if steps == 2 else 2 * (i ^ j) + i
    group = torch.arange(channels, device=device)[:, None, None] % steps
    return group ^ phase


@lru_cache(maxsize=4)  # a picture's tiles have at most four shapes
def positions(steps: int, shape: tuple[int, int, int], device: torch.device) -> list[Tensor]:
    """Return, for each step, the flat positions of its latents in [M, h, w], in the order channel, row, column."""
    order = step_of(steps, *shape, device=device).flatten()
    return [(order == k).nonzero()[:, 0] for k in range(steps)]


class Corners:
    """Rearranges maps [B, C, h, w] by the four corners of their 2x2 squares, to [4, B * h/2 * w/2, C].

    At each corner, a step codes only one group of channels. So an output layer can be computed as four small matrix
    products, one for each corner, with only the rows of that group. FORMAT §8 describes the same result as complete
    maps, most of which is not used.

    Args:
        steps: number of context steps, 2 or 4.
        shape: of the latents, [B, M, h, w]; M is a multiple of `steps`, and h and w are even.
    """

    def __init__(self, steps: int, shape: torch.Size):
        self.steps, (self.batch, _, self.height, self.width) = steps, shape
        # [step][corner] -> group. Because xor is its own inverse, it is also [group][corner] -> step.
        self._other = step_of(steps, steps, 2, 2).flatten(1).tolist()

    def split(self, x: Tensor) -> Tensor:
        """Split a map [B, C, h, w] by corners: [4, B * h/2 * w/2, C]."""
        squares = x.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        return squares.permute(2, 4, 0, 1, 3, 5).reshape(4, -1, x.shape[1])

    def join(self, x: Tensor) -> Tensor:
        """Invert `split`. The resulting map is channels-last in memory."""
        squares = x.view(2, 2, self.batch, self.height // 2, self.width // 2, -1).permute(2, 3, 0, 4, 1, 5)
        return squares.reshape(self.batch, self.height, self.width, -1).permute(0, 3, 1, 2)

    def rows(self, table: Tensor, steps: Sequence[int]) -> Tensor:
        """Select the rows of a table [M, n], which has one for each channel, that `steps` code at each corner.

        Returns [4, len(steps) * M/S, n], where S is the number of steps.
        """
        groups = table.unflatten(0, (-1, self.steps)).unbind(1)
        return torch.stack([torch.cat([groups[self._other[k][corner]] for k in steps]) for corner in range(4)])

    def of_samples(self, vector: Tensor, step: int) -> Tensor:
        """Expand values by sample and channel, [B, M, 1, 1], to the latents of a step, [4, B * h/2 * w/2, M/S]."""
        return self.rows(vector[:, :, 0, 0].T, [step]).mT.repeat_interleave(self.height * self.width // 4, 1)

    def latents_of_steps(self, y: Tensor) -> list[Tensor]:
        """Split latents [B, M, h, w] into those that each step codes, [4, B * h/2 * w/2, M/S] each."""
        return self._exchange(self.split(y).unflatten(2, (-1, self.steps)).unbind(3))

    def latents(self, of_steps: Sequence[Tensor]) -> Tensor:
        """Invert `latents_of_steps`."""
        return self.join(torch.stack(self._exchange(of_steps), -1).flatten(2))

    def _exchange(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Convert parts sorted by group into parts sorted by step, or back: [4, .., M/S] each."""
        return [torch.stack([parts[k][corner] for corner, k in enumerate(row)]) for row in self._other]

    def sums(self, x: Tensor) -> Tensor:
        """Sum over each sample of the batch: [4, B * h/2 * w/2, n] -> [B]."""
        return x.unflatten(1, (self.batch, -1)).sum((0, 2, 3))

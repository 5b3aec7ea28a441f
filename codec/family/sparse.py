"""Sparse autoencoders: many latents, of which each picture uses few.

Two penalties do it: the mean absolute latent (L1), and the divergence of each latent's mean activity from a small
target (Ng 2011, CS294A lecture notes "Sparse autoencoder").
"""

import torch
from torch import Tensor, nn

from .member import Member, Shape, samples

TARGET = 0.05  # mean activity that the divergence aims at
L1_WEIGHT, KL_WEIGHT = 2e-4, 2e-4


class Sparse(Member):
    """Args: by_divergence: the second penalty, on latents in 0..1 (sigmoid), instead of L1 on latents from 0 (ReLU)."""

    def __init__(self, shape: Shape, latents: int | None = None, by_divergence: bool = False):
        n, latents = samples(shape), latents or 256
        self.by_divergence = by_divergence
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(n, latents), nn.Sigmoid() if by_divergence else nn.ReLU())
        super().__init__(encoder, nn.Sequential(nn.Linear(latents, n), nn.Sigmoid()), shape)

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        if not self.by_divergence:
            return L1_WEIGHT * z.sum(1).mean()
        activity = z.mean(0).clamp(1e-4, 1 - 1e-4)
        target = torch.full_like(activity, TARGET)
        divergence = target * (target / activity).log() + (1 - target) * ((1 - target) / (1 - activity)).log()
        return KL_WEIGHT * divergence.sum()


def divergence(shape: Shape, latents: int | None = None) -> Sparse:
    return Sparse(shape, latents, by_divergence=True)

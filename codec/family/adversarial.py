"""An adversarial autoencoder: a discriminator makes its latents look like draws from the prior (Makhzani 2015).

The discriminator learns to tell latents from draws of the unit Gaussian, and the encoder learns to deceive it. Both are
trained by one loss: between them the gradient changes its sign (Ganin 2015, arXiv:1409.7495).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .member import Member, Shape, layers, samples

HIDDEN = 512
WEIGHT = 0.01  # of the deception, relative to the squared error


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -WEIGHT * gradient


class Adversarial(Member):
    def __init__(self, shape: Shape, latents: int | None = None):
        n, latents = samples(shape), latents or 16
        encoder = nn.Sequential(nn.Flatten(), *layers(n, HIDDEN, latents))
        super().__init__(encoder, nn.Sequential(*layers(latents, HIDDEN, n), nn.Sigmoid()), shape)
        self.discriminator = nn.Sequential(*layers(latents, 256, 256, 1))

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """The discriminator's error in telling draws of the prior (1) from latents (0)."""
        of_prior = self.discriminator(torch.randn_like(z))
        of_latents = self.discriminator(_Reverse.apply(z))
        right = F.binary_cross_entropy_with_logits(of_prior, torch.ones_like(of_prior))
        return right + F.binary_cross_entropy_with_logits(of_latents, torch.zeros_like(of_latents))

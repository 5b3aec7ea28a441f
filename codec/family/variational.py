"""A variational autoencoder: the latents of a picture are a Gaussian, and their prior is the unit Gaussian.

The loss is the negative evidence lower bound (ELBO): the cross-entropy of the pixels plus the divergence from the
prior (Kingma 2014, arXiv:1312.6114). A latent whose divergence is about 0 says nothing: it has collapsed.
"""

import torch
from torch import Tensor, nn

from .member import Member, Shape, binary_cross_entropy, layers, samples

HIDDEN = 512


class Variational(Member):
    """Args: beta: weight of the divergence; 1 is the ELBO."""

    def __init__(self, shape: Shape, latents: int | None = None, beta: float = 1.0):
        n, latents = samples(shape), latents or 16
        encoder = nn.Sequential(nn.Flatten(), *layers(n, HIDDEN, latents))
        super().__init__(encoder, nn.Sequential(*layers(latents, HIDDEN, n), nn.Sigmoid()), shape)
        self.log_variance = nn.Linear(HIDDEN, latents)
        self.beta = beta

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log of the variance of the latents of x: [N, D] each."""
        hidden = self.encoder[:-1](x)
        return self.encoder[-1](hidden), self.log_variance(hidden)

    @staticmethod
    def divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return the divergence of each latent from the unit Gaussian, in nats: [N, D]."""
        return (mean**2 + log_variance.exp() - 1 - log_variance) / 2

    def bound(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (cross-entropy of the pixels, divergence of the latents), in nats, [N] each; one sample of z."""
        mean, log_variance = self.posterior(x)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return binary_cross_entropy(self.decode(z), x), self.divergences(mean, log_variance).sum(1)

    def loss(self, x: Tensor, progress: float) -> Tensor:
        error, divergence = self.bound(x)
        return (error + self.beta * divergence).mean() / samples(self.shape)

"""An adversarial autoencoder: a discriminator makes its latents look like draws from the prior (Makhzani 2015).

The discriminator learns to tell latents from draws of the unit Gaussian, and the encoder learns to deceive it. A
penalty on the discriminator's slope (R1 of Mescheder 2018, arXiv:1801.04406) lets both converge. Without it, the
deviations of the latents drift far from those of the prior.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .member import Member, Shape, layers, samples

HIDDEN = 512
WEIGHT = 0.01  # of the deception, relative to the squared error
SLOPE = 1.0  # weight of the penalty on the discriminator's slope


class Adversarial(Member):
    def __init__(self, shape: Shape, latents: int | None = None):
        n, latents = samples(shape), latents or 16
        encoder = nn.Sequential(nn.Flatten(), *layers(n, HIDDEN, latents))
        super().__init__(encoder, nn.Sequential(*layers(latents, HIDDEN, n), nn.Sigmoid()), shape)
        self.discriminator = nn.Sequential(*layers(latents, 256, 256, 1))

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """The encoder's loss and the discriminator's, each with a gradient for its own parameters only."""
        still = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        deception = F.softplus(-torch.func.functional_call(self.discriminator, still, (z,))).mean()
        drawn = torch.randn_like(z).requires_grad_()
        of_drawn, of_latents = self.discriminator(drawn), self.discriminator(z.detach())
        error = F.softplus(-of_drawn).mean() + F.softplus(of_latents).mean()
        (slope,) = torch.autograd.grad(of_drawn.sum(), drawn, create_graph=True)
        return WEIGHT * deception + error + SLOPE / 2 * slope.square().sum(1).mean()

"""A contractive autoencoder: its latents change little when the picture changes a little (Rifai 2011, ICML).

The penalty is the squared Frobenius norm of the encoder's Jacobian. For one layer of sigmoids, latent j has the
gradient z_j (1 - z_j) W_j, so the norm is a sum over latents and needs no second differentiation.
"""

from torch import Tensor, nn

from .member import Member, Shape, samples

WEIGHT = 2e-4


class Contractive(Member):
    def __init__(self, shape: Shape, latents: int | None = None):
        n, latents = samples(shape), latents or 128
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(n, latents), nn.Sigmoid())
        super().__init__(encoder, nn.Sequential(nn.Linear(latents, n), nn.Sigmoid()), shape)

    def jacobian_norm(self, z: Tensor) -> Tensor:
        """Return the squared Frobenius norm of dz/dx for latents [N, D]: [N]."""
        linear = self.encoder[1]
        assert isinstance(linear, nn.Linear)
        return ((z * (1 - z)) ** 2 * linear.weight.square().sum(1)).sum(1)

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        return WEIGHT * self.jacobian_norm(z).mean()

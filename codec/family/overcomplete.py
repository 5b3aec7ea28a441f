"""As many latents as samples (complete), or twice as many (overcomplete).

Nothing forces such an autoencoder to find structure: it can learn the identity. Its latents then cost as many bits as
the pixels. A penalty on the latents keeps the code short.
"""

from torch import Tensor, nn

from .member import Member, Shape, samples

L1_WEIGHT = 3e-2


class Overcomplete(Member):
    """Args: l1: weight of the mean absolute latent in the loss; 0: no penalty."""

    def __init__(self, shape: Shape, latents: int | None = None, l1: float = 0.0):
        n = samples(shape)
        latents, self.l1 = latents or 2 * n, l1
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(n, latents), nn.ReLU())
        super().__init__(encoder, nn.Sequential(nn.Linear(latents, n)), shape)

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        return self.l1 * z.abs().sum(1).mean() / samples(self.shape)


def complete(shape: Shape, latents: int | None = None) -> Overcomplete:
    return Overcomplete(shape, latents or samples(shape))


def regularised(shape: Shape, latents: int | None = None) -> Overcomplete:
    return Overcomplete(shape, latents, L1_WEIGHT)

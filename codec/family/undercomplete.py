"""The simplest autoencoder: one layer to fewer latents than samples, and one layer back (Hinton 2006, Science 313:504).

`undercomplete` is trained by squared error, `undercomplete-entropy` by binary cross-entropy.
"""

from torch import Tensor, nn

from .member import Member, Shape, binary_cross_entropy, samples


class Undercomplete(Member):
    """Args: by_entropy: train by binary cross-entropy instead of squared error."""

    def __init__(self, shape: Shape, latents: int | None = None, by_entropy: bool = False):
        n, latents = samples(shape), latents or 32
        self.by_entropy = by_entropy
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(n, latents), nn.ReLU())
        super().__init__(encoder, nn.Sequential(nn.Linear(latents, n), nn.Sigmoid()), shape)

    def loss(self, x: Tensor, progress: float) -> Tensor:
        if not self.by_entropy:
            return super().loss(x, progress)
        return binary_cross_entropy(self(x), x).mean() / samples(self.shape)


def entropy(shape: Shape, latents: int | None = None) -> Undercomplete:
    return Undercomplete(shape, latents, by_entropy=True)

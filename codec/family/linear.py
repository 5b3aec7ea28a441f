"""Linear autoencoders. Trained by squared error they span the subspace of the principal components (Baldi 1989).

The tied one uses the transpose of its encoder as its decoder, and so has half the parameters.
"""

from torch import nn

from .member import Member, Shape, TransposedOf, samples


class Linear(Member):
    def __init__(self, shape: Shape, latents: int | None = None):
        n, latents = samples(shape), latents or 32
        super().__init__(
            nn.Sequential(nn.Flatten(), nn.Linear(n, latents)), nn.Sequential(nn.Linear(latents, n)), shape
        )


class Tied(Member):
    def __init__(self, shape: Shape, latents: int | None = None):
        first = nn.Linear(samples(shape), latents or 32)
        super().__init__(nn.Sequential(nn.Flatten(), first), nn.Sequential(TransposedOf(first)), shape)

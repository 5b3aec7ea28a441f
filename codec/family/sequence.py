"""A sequence autoencoder: a recurrent net reads the rows of a picture, and another one writes them (Srivastava 2015).

Between them are only the latents, which come from the reader's last state.
"""

from torch import Tensor, nn

from .denoising import gaussian
from .member import Last, Member, Repeat, Rows, Shape

HIDDEN = 128
NOISE = 0.3  # largest standard deviation of the noise in what it reads, for the one that removes noise


class Sequence(Member):
    """Args: noisy: in training it reads rows with noise, and must write the clean ones."""

    def __init__(self, shape: Shape, latents: int | None = None, noisy: bool = False):
        channels, height, width = shape
        latents, row = latents or 64, channels * width
        self.noisy = noisy
        # For several channels, a row is a row of one channel after the other.
        encoder = nn.Sequential(
            nn.Flatten(), nn.Unflatten(1, (height, row)), Rows(row, HIDDEN), Last(), nn.Linear(HIDDEN, latents)
        )
        decoder = nn.Sequential(Repeat(height), Rows(latents, HIDDEN), nn.Linear(HIDDEN, row), nn.Sigmoid())
        super().__init__(encoder, decoder, shape)

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(gaussian(x, NOISE) if self.noisy and self.training else x)


def noisy(shape: Shape, latents: int | None = None) -> Sequence:
    return Sequence(shape, latents, noisy=True)

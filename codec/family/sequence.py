"""A sequence autoencoder: a recurrent net reads the rows of a picture, and another one writes them (Srivastava 2015).

Between them are only the latents, which come from the reader's last state.
"""

from torch import Tensor, nn

from .denoising import gaussian
from .member import Last, Member, Rows, Shape

HIDDEN = 128
TOLD = 16  # numbers that the writer gets for each row
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
        # The writer is told something for each row. From the same latents at every row it would learn very slowly.
        decoder = nn.Sequential(
            nn.Linear(latents, height * TOLD),
            nn.Unflatten(1, (height, TOLD)),
            Rows(TOLD, HIDDEN),
            nn.Linear(HIDDEN, row),
            nn.Sigmoid(),
        )
        super().__init__(encoder, decoder, shape)
        # With torch's own, smaller weights the latents of all pictures are alike at first, and the writer learns to
        # ignore them: after 300 steps the error was that of the mean picture, and with these a hundredth of it.
        for layer in (*encoder, *decoder):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight, gain=2)

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(gaussian(x, NOISE) if self.noisy and self.training else x)


def noisy(shape: Shape, latents: int | None = None) -> Sequence:
    return Sequence(shape, latents, noisy=True)

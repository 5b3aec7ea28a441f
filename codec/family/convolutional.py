"""A convolutional autoencoder: 32 and 64 filters with max-pooling, and transposed convolutions back (Masci 2011).

Its latents of a 32x32 picture in colour are 8x8x64 numbers, more than the picture's 3,072 samples. So the
net alone compresses nothing; quantising and entropy coding do.

The output is linear. With a sigmoid and squared error, mostly black pictures drive it to black everywhere within some
steps, where neither it nor the ReLUs before it have a gradient any more (tried on MNIST).
"""

from torch import nn

from .member import Member, Shape


class Convolutional(Member):
    """Sides must be multiples of 4. Args: latents: channels of the latents, of which there are H/4 x W/4."""

    def __init__(self, shape: Shape, latents: int | None = None):
        channels, height, width = shape
        if height % 4 or width % 4:
            raise ValueError(f"pictures of {width}x{height}: this autoencoder needs sides that are multiples of 4")
        latents = latents or 64
        encoder = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, latents, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        decoder = nn.Sequential(
            nn.ConvTranspose2d(latents, 64, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, channels, 3, padding=1),
        )
        super().__init__(encoder, decoder, shape)


def narrow(shape: Shape, latents: int | None = None) -> Convolutional:
    return Convolutional(shape, latents or 8)

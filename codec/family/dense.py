"""A dense autoencoder: layers of 1, 1/2 and 1/4 of the samples, and back (784-392-196-392-784 for a digit).

Many tutorials put a ReLU at the output too. A unit that gives 0 for all pictures then has no
gradient and stays dead, so some pixels are never drawn; a sigmoid does not have that fault.
"""

from torch import nn

from .member import Member, Shape, layers, samples


class Dense(Member):
    """Args: output: the activation of the output, `nn.ReLU` or `nn.Sigmoid`."""

    def __init__(self, shape: Shape, latents: int | None = None, output: type[nn.Module] = nn.ReLU):
        n = samples(shape)
        latents = latents or n // 4
        encoder = nn.Sequential(nn.Flatten(), *layers(n, n // 2, latents), nn.ReLU())
        super().__init__(encoder, nn.Sequential(*layers(latents, n // 2, n), output()), shape)


def sigmoid(shape: Shape, latents: int | None = None) -> Dense:
    return Dense(shape, latents, nn.Sigmoid)

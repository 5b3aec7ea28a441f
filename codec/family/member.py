"""What all members of the family are: an encoder, a decoder and a loss; and the layers that torch does not have.

A member is written as two `nn.Sequential`, of layers that `train.small_export` can turn into integers. So each one is a
codec as soon as it is trained.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, int, int]  # (channels, height, width) of a picture


class Member(nn.Module):
    """An autoencoder: pictures x, float [N, C, H, W] in [0, 1] -> latents z -> pictures of the same shape.

    Args:
        encoder: from pictures to latents, [N, ..] of any shape.
        decoder: from latents to values in the order of the picture's; the last layer may be a sigmoid.
        shape: of a picture.
    """

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, shape: Shape):
        super().__init__()
        self.encoder, self.decoder, self.shape = encoder, decoder, shape

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z).reshape(-1, *self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """Return what the loss has beside the error of the reconstruction: a scalar, 0 unless a member says more."""
        return torch.zeros((), device=x.device)

    def loss(self, x: Tensor, progress: float) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            progress: the part of the training that is done, 0..1, for members that are trained in phases.
        """
        z = self.encode(x)
        return F.mse_loss(self.decode(z), x) + self.penalty(x, z)


class Rows(nn.Module):
    """A gated recurrent unit over rows: [N, T, inputs] -> its states, [N, T, hidden]."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0]


class Last(nn.Module):
    """The last of several rows: [N, T, C] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]


class Repeat(nn.Module):
    """The same row `times` times: [N, C] -> [N, times, C]. No member here has it; the format of models does."""

    def __init__(self, times: int):
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return x[:, None].expand(-1, self.times, -1)


class TransposedOf(nn.Module):
    """A linear layer whose weight is the transpose of another's: half the parameters.

    Attributes:
        bias: its own, [in]. `weight` is [in, out] of the other layer.
    """

    def __init__(self, other: nn.Linear):
        super().__init__()
        self._other = [other]  # in a list, so that torch does not count its parameters twice
        self.bias = nn.Parameter(torch.zeros(other.in_features))

    @property
    def weight(self) -> Tensor:
        return self._other[0].weight.T

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def samples(shape: Shape) -> int:
    return math.prod(shape)


def layers(*widths: int, between: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Return linear layers of these widths, with an activation between two of them, and none after the last."""
    found: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        found += [nn.Linear(inputs, outputs), between()]
    return found[:-1]


def binary_cross_entropy(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the cross-entropy of each picture, summed over its samples, in nats: [N]."""
    return F.binary_cross_entropy(x_hat.clamp(1e-6, 1 - 1e-6), x, reduction="none").flatten(1).sum(1)

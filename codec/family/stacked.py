"""A stacked autoencoder: trained layer by layer, then as a whole (Bengio 2006, NIPS).

Each layer first learns to reconstruct what the layer below it gives, with the layers below held still. Half of its
inputs are masked, as in Vincent 2010 (JMLR 11). What it has learned without labels is a good start for a classifier
when few labels are known: see `Classifier`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .member import Member, Shape, samples

LAYERWISE_UNTIL = 0.8  # part of the training in which the layers are trained one after the other
# Share of the inputs that are set to 0. With less, features say less about what is drawn: a classifier on them gains
# nothing at 0.2.
MASKED = 0.5


class Stacked(Member):
    """Args: widths: of the layers above the samples; the last is the number of latents."""

    def __init__(self, shape: Shape, latents: int | None = None, widths: tuple[int, ...] = (512, 256)):
        sizes = [samples(shape), *widths, latents or 128]
        ups = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
        downs = [nn.Linear(b, a) for a, b in zip(sizes, sizes[1:], strict=False)]
        encoder = nn.Sequential(nn.Flatten(), *(m for up in ups for m in (up, nn.ReLU())))
        decoder = nn.Sequential(*(m for down in reversed(downs) for m in (down, nn.ReLU())))
        decoder[-1] = nn.Sigmoid()
        super().__init__(encoder, decoder, shape)
        self.n_layers = len(ups)

    def loss(self, x: Tensor, progress: float) -> Tensor:
        if progress >= LAYERWISE_UNTIL:
            return F.mse_loss(self.decode(self.encode(_masked(x))), x)
        i = min(int(progress / LAYERWISE_UNTIL * self.n_layers), self.n_layers - 1)
        with torch.no_grad():
            below = self.encoder[: 1 + 2 * i](x)
        above = self.encoder[1 + 2 * i : 3 + 2 * i](_masked(below))
        place = 2 * (self.n_layers - 1 - i)
        return F.mse_loss(self.decoder[place : place + 2](above), below)


def _masked(x: Tensor) -> Tensor:
    return x * (torch.rand_like(x) >= MASKED)


class Classifier(nn.Module):
    """The encoder of a member with a layer of scores on top, for `F.cross_entropy`: x [N, C, H, W] -> [N, classes]."""

    def __init__(self, member: Member, classes: int):
        super().__init__()
        self.encoder = member.encoder
        with torch.no_grad():
            latents = self.encoder(torch.zeros(1, *member.shape)).flatten(1).shape[1]
        self.scores = nn.Linear(latents, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.encoder(x).flatten(1))

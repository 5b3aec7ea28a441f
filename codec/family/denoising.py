"""A denoising autoencoder: it is given a corrupted picture and must return the clean one (Vincent 2008, ICML)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .member import Member, Shape, layers, samples


def gaussian(x: Tensor, level: float) -> Tensor:
    """Add Gaussian noise of standard deviation `level`, and clip to 0..1."""
    return (x + level * torch.randn_like(x)).clamp(0, 1)


def salt_and_pepper(x: Tensor, level: float) -> Tensor:
    """Set the share `level` of the samples to 0 or 1, with equal probability."""
    chance = torch.rand_like(x)
    return torch.where(chance < level / 2, torch.zeros_like(x), torch.where(chance < level, torch.ones_like(x), x))


def masking(x: Tensor, level: float) -> Tensor:
    """Set the share `level` of the samples to 0."""
    return x * (torch.rand_like(x) >= level)


CORRUPTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "gaussian": gaussian,
    "salt-and-pepper": salt_and_pepper,
    "masking": masking,
}


class Denoising(Member):
    """Args: corruption: one of CORRUPTIONS; most: the largest level, 0..1; each batch has one between 0 and that."""

    def __init__(self, shape: Shape, latents: int | None = None, corruption: str = "gaussian", most: float = 0.5):
        n, latents = samples(shape), latents or 128
        self.corruption, self.most = CORRUPTIONS[corruption], most
        encoder = nn.Sequential(nn.Flatten(), *layers(n, 512, latents), nn.ReLU())
        super().__init__(encoder, nn.Sequential(*layers(latents, 512, n), nn.Sigmoid()), shape)

    def loss(self, x: Tensor, progress: float) -> Tensor:
        level = self.most * float(torch.rand(()))
        return F.mse_loss(self(self.corruption(x, level)), x)


def of_salt_and_pepper(shape: Shape, latents: int | None = None) -> Denoising:
    return Denoising(shape, latents, "salt-and-pepper")


def of_masking(shape: Shape, latents: int | None = None) -> Denoising:
    return Denoising(shape, latents, "masking", 0.75)

"""What each autoencoder of the family must show, as a phrase for the table of `bench.family`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import subspace_angles
from scipy.ndimage import gaussian_filter, median_filter

from codec.family.adversarial import Adversarial
from codec.family.contractive import Contractive
from codec.family.denoising import CORRUPTIONS
from codec.family.member import Member
from codec.family.stacked import Classifier, Stacked
from codec.family.variational import Variational
from codec.small.model import SmallModel

from .family_data import Split

ACTIVE = 1e-3  # a ReLU's latent above this is active
FEW = 1000  # labels, at most, with which a trained encoder is changed slowly only
DRAWS = 3
COLLAPSED = 0.01  # nats: a latent whose divergence from the prior is below this says nothing


@dataclass
class Trained:
    """A trained member, and what it is measured on.

    Args:
        x: the test pictures, float [N, C, H, W] in 0..1.
        others: what was trained before, by the name of its row, to compare with.
    """

    member: Member
    model: SmallModel
    train: Split
    test: Split
    x: torch.Tensor
    others: dict[str, Trained]

    def error(self, given: torch.Tensor | None = None) -> float:
        """Mean squared error of the reconstructions of the test pictures, or of what is given for them."""
        with torch.no_grad():
            return float(F.mse_loss(self.member(self.x if given is None else given), self.x))

    def latents(self) -> torch.Tensor:
        with torch.no_grad():
            return self.member.encode(self.x).flatten(1)


Figure = Callable[[Trained], str]


def squared_error(t: Trained) -> str:
    return f"MSE {t.error():.5f}"


def dead_pixels(t: Trained) -> str:
    """Pixels that a ReLU at the output never draws, though they vary in the pictures."""
    with torch.no_grad():
        drawn = (t.member(t.x) > 0).flatten(1).any(0)
    inked = (t.x.flatten(1) > 0.5).float().mean(0) > 0.02
    return f"MSE {t.error():.5f}; {int((inked & ~drawn).sum())} of {int(inked.sum())} inked pixels are never drawn"


def beside_pca(t: Trained) -> str:
    """Error and angle beside the principal components, as many as there are latents."""
    components, mean = pca(t.train.pictures, t.model.n_latents)
    centred = t.x.flatten(1).double().numpy() - mean
    error = float(((centred - centred @ components @ components.T) ** 2).mean())
    weight = t.member.decoder[0].weight.detach().double().numpy()
    angle = np.degrees(subspace_angles(weight, components)).max()
    return f"MSE {t.error():.5f}, PCA {error:.5f}; largest angle between the subspaces {angle:.1f} degrees"


def pca(pictures: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of pictures, [samples, count], and their mean, [samples]; samples are in [C, H, W] order."""
    flat = pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1)[:20000].astype(np.float64) / 255
    mean = flat.mean(0)
    _, vectors = np.linalg.eigh(np.cov(flat.T))
    return vectors[:, ::-1][:, :count], mean


def active_share(t: Trained) -> str:
    z = t.latents()
    level = 0.5 if isinstance(t.member.encoder[-1], torch.nn.Sigmoid) else ACTIVE
    return f"{float((z > level).float().mean()):.1%} of {z.shape[1]} latents active; MSE {t.error():.5f}"


def contraction(t: Trained) -> str:
    """Norm of the Jacobian, and how far noise of 0.1 moves the latents, beside the same net without the penalty."""

    def measured(member: Contractive) -> tuple[float, float]:
        torch.manual_seed(0)
        with torch.no_grad():
            z = member.encode(t.x)
            moved = member.encode((t.x + 0.1 * torch.randn_like(t.x)).clamp(0, 1))
            share = (moved - z).square().sum(1).mean() / (z - z.mean(0)).square().sum(1).mean()
            return float(member.jacobian_norm(z).mean()), float(share)

    (norm, share), (free_norm, free_share) = (measured(m) for m in (t.member, t.others["contractive-free"].member))
    return (
        f"squared norm {norm:.2f}, without the penalty {free_norm:.2f}; noise of 0.1 moves the latents by "
        f"{share:.1%} of their variance, without {free_share:.1%}; MSE {t.error():.5f}"
    )


def denoised(kind: str, levels: tuple[float, ...]) -> Figure:
    """PSNR of what comes out at some levels of corruption, beside a median and a bilateral filter."""

    def figure(t: Trained) -> str:
        parts = []
        for level in levels:
            torch.manual_seed(0)
            x = t.x[:500]
            given = CORRUPTIONS[kind](x, level)
            with torch.no_grad():
                ours = psnr(t.member(given), x)
            array = given.numpy()
            median = psnr(torch.from_numpy(median_filter(array, (1, 1, 3, 3))), x)
            bilateral = psnr(torch.from_numpy(bilateral_filter(array)), x)
            parts.append(f"{level:g}: {ours:.1f} ({psnr(given, x):.1f}, {median:.1f}, {bilateral:.1f})")
        return "PSNR at each level (corrupted, median, bilateral): " + "; ".join(parts)

    return figure


def psnr(made: torch.Tensor, x: torch.Tensor) -> float:
    return float(-10 * F.mse_loss(made, x).log10())


def bilateral_filter(x: np.ndarray, reach: int = 2, near: float = 1.2, alike: float = 0.3) -> np.ndarray:
    """Means of neighbours, weighted by distance and by likeness (Tomasi 1998): [N, C, H, W] of 0..1."""
    total, weights = np.zeros_like(x), np.zeros_like(x)
    # Likeness is judged on a slightly smoothed picture, or noise would be like itself only.
    smooth = gaussian_filter(x, (0, 0, 0.7, 0.7))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            other, guide = (np.roll(a, (dy, dx), (2, 3)) for a in (x, smooth))
            weight = np.exp(-(dy**2 + dx**2) / (2 * near**2) - (guide - smooth) ** 2 / (2 * alike**2))
            total, weights = total + weight * other, weights + weight
    return (total / weights).astype(np.float32)


def with_few_labels(t: Trained) -> str:
    """Accuracy of a classifier on the encoder, beside the same net from scratch, with 100, 1,000 and all labels.

    With few labels it is the mean of `DRAWS` draws of the labelled pictures and of the initial weights.
    """
    parts = []
    everything = len(t.train.labels)
    for count in (100, 1000, everything):
        draws = range(1 if count == everything else DRAWS)
        pretrained, scratch = (np.mean([_accuracy(t, count, keep, i) for i in draws]) for keep in (True, False))
        parts.append(f"{count} labels: {pretrained:.1%}, from scratch {scratch:.1%}")
    return "; ".join(parts)


def _accuracy(t: Trained, count: int, keep: bool, seed: int) -> float:
    torch.manual_seed(seed)
    member = Stacked(t.member.shape)
    if keep:
        member.load_state_dict(t.member.state_dict())
    net = Classifier(member, 10).train()
    known = np.random.default_rng(seed).permutation(len(t.train.labels))[:count]
    x = torch.from_numpy(t.train.pictures[known]).permute(0, 3, 1, 2)
    y = torch.from_numpy(t.train.labels[known].astype(np.int64))
    # What is learned already changes slowly, so that the first steps of the new layer do not spoil it.
    slow = keep and count <= FEW
    rates = {net.encoder: 1e-4 if slow else 1e-3, net.scores: 3e-3 if slow else 1e-3}
    optimiser = torch.optim.Adam([{"params": m.parameters(), "lr": rate} for m, rate in rates.items()])
    for _ in range(max(600, min(1500, 3 * count // 128))):
        some = torch.randint(0, count, (min(128, count),))
        loss = F.cross_entropy(net(x[some].float() / 255), y[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        guesses = net.eval()(t.x).argmax(1).numpy()
    return float((guesses == t.test.labels[: len(guesses)]).mean())


def evidence(t: Trained) -> str:
    """The evidence lower bound, and how many latents have not collapsed."""
    assert isinstance(t.member, Variational)
    torch.manual_seed(0)
    with torch.no_grad():
        error, divergence = t.member.bound(t.x)
        each = t.member.divergences(*t.member.posterior(t.x)).mean(0)
    active = int((each > COLLAPSED).sum())
    return (
        f"ELBO {-float((error + divergence).mean()):.1f} nats (divergence {float(divergence.mean()):.1f}); "
        f"{active} of {len(each)} latents active"
    )


def beside_prior(t: Trained) -> str:
    """The distribution of the latents beside the prior, the unit Gaussian."""
    assert isinstance(t.member, Adversarial)
    z = t.latents().double().numpy()
    normal = np.sort(np.random.default_rng(0).standard_normal(len(z)))
    distance = np.mean([np.abs(np.sort(column) - normal).mean() for column in z.T])
    off = np.corrcoef(z.T)[~np.eye(z.shape[1], dtype=bool)]
    return (
        f"means within {np.abs(z.mean(0)).max():.2f}, deviations {z.std(0).min():.2f} to {z.std(0).max():.2f}, "
        f"mean distance of quantiles from the prior {distance:.2f}, of correlations from 0 {np.abs(off).mean():.2f}; "
        f"MSE {t.error():.5f}"
    )


def rows_without_noise(t: Trained) -> str:
    torch.manual_seed(0)
    given = CORRUPTIONS["gaussian"](t.x, 0.3)
    with torch.no_grad():
        return f"PSNR of rows with noise of 0.3: {psnr(given, t.x):.1f} -> {psnr(t.member(given), t.x):.1f} dB"

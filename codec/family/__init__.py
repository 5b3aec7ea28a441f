"""The classic autoencoders, one small file each. `MEMBERS` has each by the name that `aec train --arch` takes."""

from collections.abc import Callable

from . import (
    adversarial,
    contractive,
    convolutional,
    denoising,
    dense,
    linear,
    overcomplete,
    sequence,
    sparse,
    stacked,
    undercomplete,
    variational,
)
from .member import Member, Shape

# Each takes the shape of a picture (channels, height, width) and the number of latents (None: its own default).
MEMBERS: dict[str, Callable[[Shape, int | None], Member]] = {
    "dense": dense.Dense,
    "dense-sigmoid": dense.sigmoid,
    "undercomplete": undercomplete.Undercomplete,
    "undercomplete-entropy": undercomplete.entropy,
    "linear": linear.Linear,
    "tied": linear.Tied,
    "complete": overcomplete.complete,
    "overcomplete": overcomplete.Overcomplete,
    "overcomplete-l1": overcomplete.regularised,
    "sparse-l1": sparse.Sparse,
    "sparse-kl": sparse.divergence,
    "contractive": contractive.Contractive,
    "denoising": denoising.Denoising,
    "denoising-salt-and-pepper": denoising.of_salt_and_pepper,
    "denoising-masking": denoising.of_masking,
    "stacked": stacked.Stacked,
    "convolutional": convolutional.Convolutional,
    "convolutional-narrow": convolutional.narrow,
    "variational": variational.Variational,
    "adversarial": adversarial.Adversarial,
    "sequence": sequence.Sequence,
    "sequence-denoising": sequence.noisy,
}

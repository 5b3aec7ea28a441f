"""From a trained autoencoder to a model file for collections: integer nets, steps of the quantiser, coding tables."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coding.cdf_tables import MAX_LIMIT, MAX_RAW_BITS, allocate, letters
from ..coding.rans import INDEX_COUNT
from ..family.member import Member
from ..small import coder
from ..small import model as small_model
from ..small.model import LEVELS, SmallModel
from .small_integers import integers, thresholds

# What the quantiser adds to the squared error, relative to that of the autoencoder itself: at the best and worst level.
LEAST_NOISE, MOST_NOISE = 0.02, 4.0
FOR_UNITS, FOR_STEPS = 2048, 512  # pictures that show how large activations are, and how much latents matter
MOST_COUNTED = 2**25  # symbols to which the tables are fitted, at each level
COUNTED_AT_ONCE = 256  # pictures
REACH = 127  # symbols beyond are counted as this
PROBES = 8
ROUNDS = 12  # of assigning latents to tables and averaging


def save(path: Path, member: Member, arch: str, pictures: np.ndarray) -> bytes:
    """Write a member as a model file, and return the model id.

    Args:
        pictures: uint8 [N, H, W, C], those that it was trained on.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the weights are not finite, or too large for integers.
    """
    member = member.eval().cpu()
    if not all(bool(p.isfinite().all()) for p in member.parameters()):
        raise ValueError("the training has diverged: its weights are not finite; try a smaller learning rate")
    # Spread over all pictures, because they may be sorted by what they show.
    x = torch.from_numpy(pictures[:: -(-len(pictures) // FOR_UNITS)].copy()).permute(0, 3, 1, 2).float() / 255
    encoder, tensors, unit = integers(member.encoder, x, 1 / 255, "encoder")
    with torch.no_grad():
        z = member.encode(x)
    decoder, more, made = integers(member.decoder, z, unit, "decoder")
    tensors |= more | {"thresholds": thresholds(member.decoder[-1], made)}
    config = {"arch": arch, "shape": list(pictures.shape[1:]), "encoder": encoder, "decoder": decoder}
    d = z[0].numel()
    matters = _sensitivity(member, z[:: -(-len(z) // FOR_STEPS)])
    with torch.no_grad():
        error = float((member.decode(z) - x).square().flatten(1).sum(1).mean())
    deviation = z.flatten(1).std(0, correction=0).double().numpy()
    noise = error * np.geomspace(MOST_NOISE, LEAST_NOISE, LEVELS)
    steps = np.stack([_steps(matters, deviation, float(level)) for level in noise])
    tensors["steps"] = np.rint(steps / unit).clip(1, 65535).astype(np.uint16)
    centre = z.flatten(1).median(0).values.double().numpy()
    tensors["centres"] = np.rint(centre / unit).clip(-32767, 32767).astype(np.int16)
    # Drafts with one table are loaded to count the symbols that the integer encoder really makes.
    tensors |= _empty_tables(d)
    draft = small_model.of_tensors(path, config, tensors)
    tensors |= fitted(draft, pictures[:: -(-len(pictures) * d // MOST_COUNTED)])
    return small_model.write(path, config, tensors)


def _sensitivity(member: Member, z: Tensor) -> np.ndarray:
    """Return how much the picture changes with each latent: the root of the mean of sum((dx/dz)^2), float64 [D].

    With random signs v, the gradient of v * x by z has sum((dx/dz)^2) as its mean square (Hutchinson 1989).
    """
    total = torch.zeros(z[0].numel(), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(PROBES):
        latents = z.clone().requires_grad_()
        made = member.decode(latents)
        signs = torch.randint(0, 2, made.shape, generator=generator) * 2.0 - 1
        (gradient,) = torch.autograd.grad((made * signs).sum(), latents)
        total += gradient.flatten(1).double().square().mean(0)
    return (total / PROBES).sqrt().numpy()


def _steps(matters: np.ndarray, deviation: np.ndarray, noise: float) -> np.ndarray:
    """Return the step of each latent with which the quantiser adds `noise` to a picture's squared error: [D].

    Each latent then adds the same, or, if it varies less than that, all its variance (reverse water-filling, Cover
    2006, section 10.3). A uniform quantiser of step t adds t^2 / 12.
    """
    variance = (matters * deviation) ** 2
    low, high = 1e-12, max(noise, float(variance.max()), 1e-9)
    for _ in range(80):
        level = math.sqrt(low * high)
        low, high = (low, level) if np.minimum(variance, level).sum() > noise else (level, high)
    return math.sqrt(12 * high) / np.maximum(matters, 1e-9)


def _empty_tables(d: int) -> dict[str, np.ndarray]:
    """Tables with which a draft can be loaded: one, of the symbol 0 and the escape, for all latents."""
    freqs = np.zeros((LEVELS, INDEX_COUNT, 64), np.uint16)
    freqs[:, :, :2] = 1 << 13
    indexes = np.ones((LEVELS, d), np.uint8)
    limits = np.zeros((LEVELS, INDEX_COUNT), np.uint8)
    return {"freqs": freqs, "limits": limits, "raw_bits": limits.copy(), "indexes": indexes}


def fitted(draft: SmallModel, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the coding tables of each level to the symbols of pictures: `freqs`, `limits`, `raw_bits` and `indexes`.

    Latents that are always 0 get the index 0. The others share 63 tables: each goes to the table that codes it in the
    fewest bits, and each table is fitted to its latents, in turn (k-means with the divergence as distance).
    """
    found = _empty_tables(draft.n_latents)
    counts = np.zeros((LEVELS, draft.n_latents, 2 * REACH + 1), np.int64)
    for i in range(0, len(pictures), COUNTED_AT_ONCE):
        values = coder.latents(draft, pictures[i : i + COUNTED_AT_ONCE])
        for level in range(LEVELS):
            symbols = coder.quantise(draft, values, level).clip(-REACH, REACH).astype(np.int64)
            place = np.arange(draft.n_latents) * (2 * REACH + 1) + symbols + REACH
            counts[level] += np.bincount(place.reshape(-1), minlength=counts[level].size).reshape(counts[level].shape)
    for level in range(LEVELS):
        index = _shared(counts[level])
        found["indexes"][level] = index
        for table in np.unique(index[index > 0]):  # the others stay as they are: no latent has them
            mine = counts[level][index == table].sum(0)
            freqs, limit, raw_bits = best_table(mine)
            found["freqs"][level, table] = 0
            found["freqs"][level, table, : len(freqs)] = freqs
            found["limits"][level, table], found["raw_bits"][level, table] = limit, raw_bits
    return found


def _shared(counts: np.ndarray) -> np.ndarray:
    """Assign latents to tables: counts of their symbols, int64 [D, n] -> the index of each one's table, [D]."""
    index = np.zeros(len(counts), np.int64)
    used = np.flatnonzero(counts.sum(1) > counts[:, REACH])
    seen = counts[used].astype(np.float64)
    if len(used) < INDEX_COUNT:
        index[used] = np.arange(1, len(used) + 1)
        return index
    p = seen / seen.sum(1, keepdims=True)
    order = (-p * np.log2(p.clip(1e-12))).sum(1).argsort()
    mine = np.empty(len(used), np.int64)
    mine[order] = np.arange(len(used)) * (INDEX_COUNT - 1) // len(used)
    for _ in range(ROUNDS):
        total = np.stack([seen[mine == k].sum(0) for k in range(INDEX_COUNT - 1)]) + 0.01
        mine = (seen @ -np.log2(total / total.sum(1, keepdims=True)).T).argmin(1)
    index[used] = mine + 1
    return index


def best_table(counts: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return the table that codes symbols in the fewest bits: (frequencies, limit, raw bits).

    Args:
        counts: of the symbols from -n to n, int64 [2 n + 1].
    """
    n = len(counts) // 2
    pmf = (counts + 1e-3) / (counts + 1e-3).sum()
    largest = max(1, int(np.abs(np.flatnonzero(counts) - n).max(initial=0)))
    best = (math.inf, np.zeros(0), 0, 0)
    for raw_bits in range(MAX_RAW_BITS + 1):
        for limit in {min(MAX_LIMIT, -(-largest >> raw_bits)), min(MAX_LIMIT, largest // 2 >> raw_bits)}:
            p, extra = letters(pmf, limit, raw_bits)
            freqs = allocate(p)
            bits = extra + float((p * (14 - np.log2(freqs))).sum())
            if bits < best[0]:
                best = bits, freqs, limit, raw_bits
        if largest >> raw_bits <= MAX_LIMIT:
            break
    return best[1:]

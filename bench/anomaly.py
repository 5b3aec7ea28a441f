"""How well models find unusual pictures: `python -m bench.anomaly [-o FILE] [--steps 1000]`.

On the solar modules, 1,500 normal ones are trained on, and the other 500 are told from eleven kinds of defects. On
MNIST one digit is normal, and the others are not. Each figure is an area under the ROC curve (AUC): the chance that an
unusual picture has a higher score than a usual one. 0.5 is guessing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codec.io import write_bytes
from codec.small import anomaly
from codec.small.model import level_of, load

from . import family_data
from .machine import machine_line, source_commit

# The defects of solar modules, by their labels from 1 on.
KINDS = ("Cell", "Cell-Multi", "Cracking", "Diode", "Diode-Multi", "Hot-Spot", "Hot-Spot-Multi", "Offline-Module")
KINDS += ("Shadowing", "Soiling", "Vegetation")
MEMBERS = (
    ("linear", 8),
    ("undercomplete-entropy", 8),
    ("undercomplete-entropy", 32),
    ("dense-sigmoid", None),
    ("denoising", None),
    ("variational", 16),
    ("convolutional-narrow", 8),
)
DIGITS = (0, 1, 4, 8)
DIGIT_MEMBERS = (
    ("linear", 16),
    ("undercomplete-entropy", 16),
    ("dense-sigmoid", None),
    ("denoising", None),
    ("variational", 16),
)
MOST_DIGITS = 2000
QUALITY = 75


def auc(usual: np.ndarray, unusual: np.ndarray) -> float:
    """The chance that an unusual score is above a usual one; equal ones count half. Both float [N]."""
    values, place, counts = np.unique(np.concatenate([usual, unusual]), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of equal values, from 1
    total, n, m = ranks[place.reshape(-1)[len(usual) :]].sum(), len(usual), len(unusual)
    return float((total - m * (m + 1) / 2) / (n * m))


def solar() -> tuple[np.ndarray, np.ndarray]:
    """All pictures, uint8 [N, 40, 24, 1], and the label of each; KINDS has the labels' names."""
    parts = family_data.read("solar")
    return np.concatenate([p.pictures for p in parts]), np.concatenate([p.labels for p in parts])


def by_model(arch: str, latents: int | None, steps: int, train: np.ndarray, test: np.ndarray) -> dict:
    """Train a member, and return the scores of the test pictures by the name of the score."""
    from codec.train import small_export
    from codec.train.family_run import Options, Run
    from codec.train.loop import train as train_loop

    with tempfile.TemporaryDirectory() as folder:
        run, path = Run(Options(arch, steps=steps, latents=latents), train), Path(folder, "model.safetensors")
        train_loop(run, Path(folder, "checkpoint.safetensors"), lambda line: None)
        small_export.save(path, run.member, arch, train)
        model = load(path)
        usual = anomaly.scores(model, train, level_of(QUALITY)).error.mean()
        found = anomaly.scores(model, test, level_of(QUALITY))
    return {"error": found.error, "bits": found.bits, "length": found.lengths(float(usual))}


def by_pca(components: int, train: np.ndarray, test: np.ndarray) -> dict:
    """The squared error of the reconstruction from principal components, and Mahalanobis's distance, as likelihoods."""
    x, y = (p.reshape(len(p), -1) / 255.0 for p in (train, test))
    mean = x.mean(0)
    _, singular, axes = np.linalg.svd(x - mean, full_matrices=False)
    z, rest = (y - mean) @ axes[:components].T, (singular[components:] ** 2).sum() / len(x) / x.shape[1]
    error = ((y - mean - z @ axes[:components]) ** 2).mean(1)
    nats = (z**2 / (singular[:components] ** 2 / len(x))).sum(1) / 2
    return {"error": error, "bits": nats / np.log(2), "length": (nats + y.shape[1] * error / 2 / rest) / np.log(2)}


def by_brightness(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """How far the mean of a picture is from the usual one: what a score must beat."""
    return np.abs(test.mean((1, 2, 3)) - train.mean())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)] + [""]


def _name(arch: str, latents: int | None) -> str:
    return arch if latents is None else f"{arch}, {latents}"


def solar_lines(steps: int) -> list[str]:
    pictures, labels = solar()
    normal = np.random.default_rng(0).permutation(np.flatnonzero(labels == 0))
    train, usual = pictures[normal[:1500]], pictures[normal[1500:]]
    odd, kinds = pictures[labels > 0], labels[labels > 0]
    test, n = np.concatenate([usual, odd]), len(usual)
    found = {("brightness", ""): by_brightness(train, test)}
    for k in (8, 32):
        found |= {(f"PCA, {k}", score): s for score, s in by_pca(k, train, test).items()}
    for arch, latents in MEMBERS:
        made = by_model(arch, latents, steps, train, test)
        found |= {(_name(arch, latents), score): s for score, s in made.items()}
    rows = []
    for (name, score), s in found.items():
        each = [auc(s[:n], s[n:][kinds == k]) for k in range(1, 1 + len(KINDS))]
        rows.append([name, score, *(f"{a:.3f}" for a in (auc(s[:n], s[n:]), *each))])
    return ["## Solar modules", "", *_table(["model, latents", "score", "all", *KINDS], rows)]


def digit_lines(steps: int) -> list[str]:
    (x, y), (xt, yt) = ((part.pictures, part.labels) for part in family_data.read("mnist"))
    columns: dict[tuple[str, str], list[float]] = {}
    for digit in DIGITS:
        train, test = x[y == digit], np.concatenate([xt[yt == digit], xt[yt != digit][:MOST_DIGITS]])
        n = int((yt == digit).sum())
        found = {("brightness", ""): by_brightness(train, test)}
        found |= {("PCA, 16", score): s for score, s in by_pca(16, train, test).items()}
        for arch, latents in DIGIT_MEMBERS:
            made = by_model(arch, latents, steps, train, test)
            found |= {(_name(arch, latents), score): s for score, s in made.items()}
        for key, s in found.items():
            columns.setdefault(key, []).append(auc(s[:n], s[n:]))
    rows = [[*key, *(f"{a:.3f}" for a in (np.mean(each), *each))] for key, each in columns.items()]
    head = ["model, latents", "score", "mean", *(f"{digit} is normal" for digit in DIGITS)]
    return ["## One digit against the others", "", *_table(head, rows)]


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m bench.anomaly", description=__doc__.splitlines()[0])
    p.add_argument("-o", "--output", type=Path, default=Path("bench/results/anomaly.md"))
    p.add_argument("--steps", type=int, default=1000, help="of training, for each model (default: 1000)")
    args = p.parse_args(argv)
    if not family_data.ROOT.is_dir():
        print(f"bench.anomaly: {family_data.ROOT} is missing, where the data sets are")
        return 3
    about = (
        f"Areas under the ROC curve by `python -m bench.anomaly --steps {args.steps}`, at -q {QUALITY}, "
        f"commit {source_commit()}, {machine_line(False)}. The score `error` is the squared error of the "
        "reconstruction, `bits` what the latents cost, `length` both as one description length. PCA has the same "
        "three, with a Gaussian in the place of the coding tables."
    )
    lines = ["# Finding unusual pictures", "", about, ""]
    for section in (solar_lines, digit_lines):
        lines += section(args.steps)
        write_bytes(args.output, "\n".join(lines).encode(), force=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Evaluation of a model on held-out pictures, and comparison with the model that the run began with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from .. import metrics
from ..nets import torch_codec
from ..nets.losses import MS_SSIM_WEIGHT, structural_error
from ..picture.ssimulacra2 import MIN_SIDE, ssimulacra2
from .quality_levels import coded

QUALITIES = (1, 20, 40, 60, 80, 100)
HIGHEST_PSNR = 88.0  # a higher PSNR counts as this, because a flat picture may decode exactly, with an infinite PSNR
DIGITS = {"SSIMULACRA 2": 2, "MS-SSIM": 4, "PSNR": 2}
Figures = dict[int, dict[str, float]]  # quality -> bits per pixel ("bpp") and mean scores, by name


def held_out(path: Path, images: Sequence[np.ndarray], device: str) -> Figures:
    """Measure bits per pixel, by real files, and mean scores of a model file at QUALITIES.

    Pictures that are too small for a score do not count in its mean. A score is missing if all pictures are too small.

    Args:
        path: of the model file.
        images: uint8 [H, W, 3] each.
        device: a torch device.
    """
    codec = torch_codec.load(path, torch.device(device))
    found: Figures = {}
    for quality in QUALITIES:
        rows: dict[str, list[float | None]] = {"bpp": [], **{name: [] for name in DIGITS}}
        for image in images:
            n_bytes, decoded = coded(codec, image, quality)
            rows["bpp"].append(8 * n_bytes / image[..., 0].size)
            rows["SSIMULACRA 2"].append(ssimulacra2(image, decoded) if min(image.shape[:2]) >= MIN_SIDE else None)
            rows["MS-SSIM"].append(_similarity(image, decoded))
            rows["PSNR"].append(min(metrics.psnr(image, decoded), HIGHEST_PSNR))
        there = {name: [v for v in values if v is not None] for name, values in rows.items()}
        found[quality] = {name: fmean(values) for name, values in there.items() if values}
    return found


def report_of(figures: Figures, before: Figures | None, n_images: int, report: Callable[[str], None]) -> None:
    """Print the results of `held_out`, compared with the model that the run began with.

    Args:
        figures: of the new model.
        before: of the model that the run began with; None: there was none.
        n_images: number of held-out pictures.
        report: called with each line.
    """
    for quality, row in figures.items():
        report(f"held out: {n_images} images  q {quality:3}  {_line(row)}")
        if before is not None:
            report(f"  before: {n_images} images  q {quality:3}  {_line(before[quality])}")
    if before is None:
        return
    for name in DIGITS:
        if (change := bits_at_equal(name, figures, before)) is not None:
            report(f"bits at equal {name}: {change:+.1%} beside the model that this began with")


def bits_at_equal(name: str, figures: Figures, before: Figures) -> float | None:
    """Return the relative change of bits at an equal score, such as -0.1 for 10 % fewer bits than before.

    It is averaged over the logarithm of bits, over the range of scores that both reach, with linear interpolation
    between the qualities. None: the ranges do not overlap, or the score is missing.
    """
    curves = []
    for rows in (figures, before):
        points = sorted((row[name], np.log(row["bpp"])) for row in rows.values() if name in row)
        curves.append(np.array(points).reshape(-1, 2))
    new, old = curves
    if min(len(new), len(old)) < 2:
        return None
    low, high = max(new[0, 0], old[0, 0]), min(new[-1, 0], old[-1, 0])
    if low >= high:
        return None
    scores = np.linspace(low, high, 200)
    return float(np.exp(np.mean(np.interp(scores, *new.T) - np.interp(scores, *old.T))) - 1)


def _line(row: dict[str, float]) -> str:
    scores = "  ".join(f"{name} {row[name]:.{digits}f}" for name, digits in DIGITS.items() if name in row)
    return f"{row['bpp']:.3f} bpp  {scores}"


def _similarity(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return MS-SSIM of two uint8 [H, W, 3], or None if they are too small.

    It is computed with the training loss, because training must not need the package that `metrics.ms_ssim` uses.
    """
    if min(a.shape[:2]) < metrics.MS_SSIM_MIN_SIDE:
        return None
    x, y = (torch.from_numpy(v.astype(np.float32) / 255).permute(2, 0, 1)[None] for v in (a, b))
    return 1 - float(structural_error(x, y)) / MS_SSIM_WEIGHT

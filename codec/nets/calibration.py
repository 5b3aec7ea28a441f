"""Calibration of the integer nets: what pictures cause inside the float nets.

The largest magnitudes, by which units are chosen, come from photographs and synthetic pictures. The latter, with
checkerboards, blocks of saturated colours and hard edges, cause several times the magnitudes of photographs. They are
the same on every machine. The moments, by which weights are rounded, come from the photographs alone, if there are any.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..coding.model_config import HYPER_STRIDE, LATENT_STRIDE
from .integer_analysis import IntegerAnalysis, IntegerHyperAnalysis
from .integer_synthesis import IntegerSynthesis
from .layers import saturate
from .model import Model
from .rounding import input_moments
from .scaled import largest_magnitudes

QUALITIES = (1, 25, 50, 75, 100)
CROP = 512  # largest side of the crops of photographs, in pixels
SIDE = 256  # side of the synthetic pictures, in pixels
COLOURS = np.array([[255 * (i >> bit & 1) for bit in range(3)] for i in range(8)], np.uint8)  # black .. white


@dataclass(frozen=True)
class Calibration:
    """What the export of a model goes by.

    Args:
        largest: the largest magnitude of each stored tensor in the transforms, by the names of net and tensor.
        moments: of the inputs of all 1x1 convolutions, by the names of net and layer (`rounding.input_moments`).
    """

    largest: dict[str, dict[str, float]]
    moments: dict[str, dict[str, Tensor]]


def synthetic_pictures() -> list[np.ndarray]:
    """Return pictures that cause larger magnitudes than photographs do, uint8 [256, 256, 3] each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]

    def blocks(side: int) -> np.ndarray:
        """Return squares in random saturated colours."""
        n = SIDE // side
        return COLOURS[rng.integers(0, 8, (n, n))].repeat(side, 0).repeat(side, 1)

    def board(side: int, one: int, other: int) -> np.ndarray:
        return COLOURS[np.where((y // side + x // side) % 2, one, other)]

    def stripes(coordinate: np.ndarray, period: int) -> np.ndarray:
        return COLOURS[np.where(coordinate // (period // 2) % 2, 7, 0)]

    ramp = np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)
    steep = np.stack([8 * x % 256, 255 - 8 * y % 256, 4 * (x + y) % 256], -1).astype(np.uint8)
    return [
        board(1, 0, 7),
        board(8, 0, 7),
        board(8, 1, 6),  # red and cyan
        *(blocks(side) for side in (1, 2, 8, 16, 64)),
        ramp,
        steep,
        np.concatenate([stripes(y, 2)[:, : SIDE // 2], stripes(x, 4)[:, : SIDE // 2]], 1),
        np.concatenate([stripes(x, 16)[:, : SIDE // 2], stripes(x + y, 8)[:, : SIDE // 2]], 1),
        COLOURS[np.where(np.sin(((x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2) / 90) > 0, 7, 0)],  # rings
        _text(rng),
        255 - _text(rng),
    ]


def _text(rng: np.random.Generator) -> np.ndarray:
    """Draw something like black text on white: lines of random glyphs of 5x7 points, in two sizes."""
    page = np.full((SIDE, SIDE), 255, np.uint8)
    for scale, top, bottom in ((1, 0, SIDE // 2), (2, SIDE // 2, SIDE)):
        for i in range(top + 2, bottom - 9 * scale, 10 * scale):
            for j in range(2, SIDE - 7 * scale, 6 * scale):
                glyph = rng.random((7, 5)) < (0.5 if rng.random() < 0.85 else 0.0)
                ink = glyph.repeat(scale, 0).repeat(scale, 1)
                page[i : i + 7 * scale, j : j + 5 * scale][ink] = 0
    return np.repeat(page[:, :, None], 3, 2)


@torch.no_grad()
def calibration_latents(model: Model, levels: Tensor, pictures: Iterable[np.ndarray]) -> Iterator[tuple[Tensor, float]]:
    """Compute latents that resemble those in a decoder: rounded to the quantisation steps, and saturated.

    Args:
        model: the float model, on any device.
        levels: the level of each quality, float [100].
        pictures: uint8 [H, W, 3] each; a crop from the middle is used.

    Yields:
        For each picture and each of five qualities: latents float32 [M, h, w] on the CPU, and their level.
    """
    model = model.eval()
    device = model.log_step.knots.device
    for picture in pictures:
        top, left = (max(0, (n - CROP) // 2) for n in picture.shape[:2])
        crop = torch.from_numpy(np.ascontiguousarray(picture[top : top + CROP, left : left + CROP])).to(device)
        x = crop.permute(2, 0, 1)[None].float() / 255 - 0.5
        x = F.pad(x, (0, -x.shape[3] % LATENT_STRIDE, 0, -x.shape[2] % LATENT_STRIDE), mode="replicate")
        for quality in QUALITIES:
            level = levels[quality - 1].to(device, torch.float32)[None]
            step = model.log_step(level).exp()
            y = saturate(step * (model.analysis(x, level).float() / step).round())
            yield y[0].cpu(), float(level)


@torch.no_grad()
def calibrate(model: Model, levels: Tensor, photographs: Sequence[np.ndarray] = ()) -> Calibration:
    """Run a model's nets on photographs and on synthetic pictures, and measure what is inside.

    Args:
        model: the float model, on any device.
        levels: the level of each quality, float [100].
        photographs: uint8 [H, W, 3] each, of the kind that the model is for.

    Raises:
        ValueError: a net computes a value that is not finite.
    """
    nets = {"analysis": model.analysis, "hyper_analysis": model.hyper_analysis, "synthesis": model.synthesis}
    planes = {kind.name: kind.planes for kind in (IntegerAnalysis, IntegerHyperAnalysis, IntegerSynthesis)}
    with ExitStack() as records:
        largest = {k: records.enter_context(largest_magnitudes(net, planes[k])) for k, net in nets.items()}
        with ExitStack() as only:
            moments = {k: only.enter_context(input_moments(v)) for k, v in (nets | {"entropy": model.entropy}).items()}
            if photographs:
                _run(model, levels, photographs)
                only.close()
            _run(model, levels, synthetic_pictures())
    return Calibration(largest, moments)


def _run(model: Model, levels: Tensor, pictures: Iterable[np.ndarray]) -> None:
    """Run all nets as an encoder and a decoder would, roughly: latents and hyperlatents are rounded without means."""
    device = model.log_step.knots.device
    for latents, level in calibration_latents(model, levels, pictures):
        y, at = latents[None].to(device), torch.tensor([level], device=device)
        model.synthesis(y, at)
        right, bottom = (-n % HYPER_STRIDE for n in (y.shape[3], y.shape[2]))
        z = model.hyper_analysis(F.pad(y, (0, right, 0, bottom), mode="replicate"), at)
        step = model.hyper_log_step(at).exp()
        prior = model.entropy.prior(step * (saturate(z) / step).round(), at, *y.shape[2:])
        for k in range(model.config.steps):
            model.entropy.step(k, prior, y, at)

"""Compare single choices at a small training budget: `python -m bench.ablations DATA.. --holdout TAR --only base adam`.

Every variant of the model or of its training is trained from scratch, on one thread, for the same processor time (on a
GPU: the same wall time), over which the learning-rate schedule is stretched. It is then measured on held-out images at
five qualities: the rate that the float networks estimate for hard-rounded symbols, and the PSNR. The result of each
variant is added to a JSON file, and the table is made from that file, with BD-rates against the variant `base`. So
variants may also be run one by one, or in several processes.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partialmethod
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.coding.device import resolve_device
from codec.coding.model_config import CONFIGS
from codec.metrics import bd_rate
from codec.nets import layers
from codec.nets.coding_order import step_of
from codec.nets.layers import saturate
from codec.nets.model import INDEX_UNIT, Model
from codec.train.codec_run import LARGE_CROPS_FROM, SIDE, Options, Run
from codec.train.images import Crops, load_images
from codec.train.loop import learning_rate_at

QUALITIES = (10, 30, 50, 70, 90)


@dataclass(frozen=True)
class Variant:
    """How a variant differs from the base.

    Args:
        what: its description in the table.
        config: changed fields of `model_config.Config`.
        options: changed fields of `train.codec_run.Options`.
        patch: called before the model is made; it changes functions of the codec, for this process only.
        start: called with the run after its initialisation, and before its optimisers are made.
        place: called with the run after its optimisers are made.
        sides: crop side and batch size, in the first part of the training and from `LARGE_CROPS_FROM` on.
    """

    what: str
    config: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    patch: Callable[[], None] = lambda: None
    start: Callable[[Run], None] = lambda run: None
    place: Callable[[Run], None] = lambda run: None
    sides: tuple[tuple[int, int], tuple[int, int]] = ((SIDE, 16), (2 * SIDE, 4))


def adam_alone(run: Run) -> None:
    """Train the matrices of the branches with AdamW, instead of Muon."""
    (adam, others, share), shortcuts, (muon, matrices, _) = run.optimisers
    adam.add_param_group({"params": muon.param_groups[0]["params"]})
    run.optimisers = [(adam, others + matrices, share), shortcuts]


def share(which: int, value: float) -> Callable[[Run], None]:
    """Multiply the learning rate of the shortcuts (which = 1) or of the branches' matrices (which = 2) by `value`."""

    def place(run: Run) -> None:
        optimiser, names, _ = run.optimisers[which]
        run.optimisers[which] = optimiser, names, value

    return place


def no_gain(run: Run) -> None:
    """The outputs of the branches are not scaled by a gain that depends on the quality."""
    for net in (run.model.analysis, run.model.synthesis):
        nn.init.zeros_(net.log_gain.knots)
        net.log_gain.knots.requires_grad_(False)


def muon_in_every_step(run: Run) -> None:
    _, _, (muon, _, _) = run.optimisers
    muon.param_groups[0]["every"] = 1


def random_start(run: Run) -> None:
    """Start from torch's default initialisation, instead of a PCA and the spectrum of the images."""
    torch.manual_seed(run.options.seed)
    run.model = Model(run.config)


def no_shortcut(run: Run) -> None:
    """The transforms consist of their branches only. Step sizes and scales are still initialised from the spectrum."""
    for net, last in ((run.model.analysis, run.model.analysis.tail), (run.model.synthesis, run.model.synthesis.tail8)):
        nn.init.zeros_(net.shortcut.weight)
        net.shortcut.requires_grad_(False)
        last.reset_parameters()


# Patches change the codec for the whole process. Each variant runs in a process of its own.
def activation(f: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    def patch() -> None:
        layers.Leaky.forward = lambda self, x: f(x)

    return patch


def order(f: Callable[..., Tensor]) -> Callable[[], None]:
    """Code the latents in another order than that of FORMAT §8. `f`: a function with the signature of `step_of`."""

    def patch() -> None:
        Model._code = partialmethod(code_by_maps, order=f)

    return patch


def code_by_maps(
    self: Model, y: Tensor, prior: Tensor, q: Tensor, order: Callable[..., Tensor] = step_of
) -> tuple[Tensor, Tensor]:
    """`Model._code` for any order: every step predicts all latents, and only those that it codes are used."""
    step, coded_in = self.log_step(q).exp(), order(self.config.steps, *y.shape[1:], device=y.device)
    y_hat, v, s, index = (torch.zeros_like(y) for _ in range(4))
    for k in range(self.config.steps):
        now = coded_in == k
        mean_k, index_k = self.entropy.step(k, prior, y_hat, q)
        v_k, index_k = (y - saturate(mean_k.float())) / step, INDEX_UNIT * index_k.float()
        s_k = self._quantise(v_k.detach(), index_k.detach())
        y_hat = torch.where(now, y + step * (s_k - v_k.detach()), y_hat)
        v, s, index = (torch.where(now, new, old) for new, old in ((v_k, v), (s_k, s), (index_k, index)))
    return y_hat, self._rate(v, s, index).sum((1, 2, 3))


def one_step(steps: int, channels: int, height: int, width: int, device=None) -> Tensor:
    return torch.zeros(channels, height, width, dtype=torch.long, device=device)


def by_channels(steps: int, channels: int, height: int, width: int, device=None) -> Tensor:
    group = torch.arange(channels, device=device) * steps // channels
    return group[:, None, None].expand(channels, height, width)


def by_positions(steps: int, channels: int, height: int, width: int, device=None) -> Tensor:
    i, j = torch.arange(height, device=device)[:, None] & 1, torch.arange(width, device=device)[None, :] & 1
    return ((i ^ j) if steps == 2 else 2 * (i ^ j) + i).expand(channels, height, width)


def nearest(run: Run) -> None:
    """Train without dead zones, for an encoder that rounds to the nearest integer."""
    run.model.dead_zones.zero_()


def noisy_latents() -> None:
    """In training, the synthesis and the context model read latents with added noise instead of quantised ones."""
    quantise = Model._quantise

    def noisy(self: Model, v: Tensor, index: Tensor) -> Tensor:
        return v + torch.rand_like(v) - 0.5 if self.training else quantise(self, v, index)

    Model._quantise = noisy


def no_quality_in_nets(run: Run) -> None:
    """The quality changes only the gain vectors and the scale index; the networks do not get it as an input."""
    nets = [run.model.hyper_analysis, run.model.entropy, *run.model.entropy.steps]
    for net in nets:
        net.quality.knots.requires_grad_(False)


VARIANTS = {
    "base": Variant("`small`"),
    "seed": Variant("another seed", options={"seed": 1}),
    "rate-5e-4": Variant("learning rate 5e-4", options={"learning_rate": 5e-4}),
    "rate-2e-3": Variant("learning rate 2e-3", options={"learning_rate": 2e-3}),
    "adam": Variant("AdamW alone", place=adam_alone),
    "muon-1": Variant("Muon moves all matrices in every step", place=muon_in_every_step),
    "branch-3e-4": Variant("branches' matrices at 3e-4", place=share(2, 0.3)),
    "branch-3e-3": Variant("branches' matrices at 3e-3", place=share(2, 3)),
    "shortcut-1": Variant("shortcuts at the rate of the rest", place=share(1, 1.0)),
    "shortcut-3e-2": Variant("shortcuts at 0.03 of it", place=share(1, 0.03)),
    "no-gain": Variant("branches without gains", start=no_gain),
    "batch-8": Variant("batch 8 (2)", sides=((SIDE, 8), (2 * SIDE, 2))),
    "batch-32": Variant("batch 32 (8)", sides=((SIDE, 32), (2 * SIDE, 8))),
    "crops-64": Variant("64 crops of 64x64 first", sides=((64, 64), (2 * SIDE, 4))),
    "crops-256": Variant("crops of 256x256 throughout", sides=((2 * SIDE, 4), (2 * SIDE, 4))),
    "random": Variant("random start", start=random_start),
    "no-shortcut": Variant("no linear shortcut", start=no_shortcut),
    "one-step": Variant("1 step: hyperprior alone", {"steps": 1}, patch=order(one_step)),
    "two-steps": Variant("2 steps", {"steps": 2}),
    "channels": Variant("4 steps by channels alone", patch=order(by_channels)),
    "positions": Variant("4 steps by positions alone", patch=order(by_positions)),
    "relu": Variant("ReLU", patch=activation(F.relu)),
    "leak-4": Variant("leaky ReLU of slope 1/4", patch=activation(lambda x: F.leaky_relu(x, 0.25))),
    "nearest": Variant("no dead zones in training", start=nearest),
    "noise": Variant("noise instead of symbols in the latents", patch=noisy_latents),
    "gains": Variant("gain vectors only: nets not told q", start=no_quality_in_nets),
    "shallow8": Variant("2 blocks at 1/8", {"blocks8": 2}),
    "deep8": Variant("6 blocks at 1/8", {"blocks8": 6}),
    "shallow16": Variant("2 blocks at 1/16", {"blocks16": 2}),
    "deep16": Variant("6 blocks at 1/16", {"blocks16": 6}),
    "narrow": Variant("64 and 128 wide", {"wide8": 64, "wide16": 128}),
    "wide": Variant("128 and 256 wide", {"wide8": 128, "wide16": 256}),
    "context-64": Variant("context 64 wide", {"context": 64}),
    "latents-192": Variant("192 latents", {"latents": 192}),
}


def run_variant(variant: Variant, data: list[np.ndarray], minutes: float, device: torch.device) -> Run:
    variant.patch()
    config = CONFIGS["small"]
    config = type(config)(**{**vars(config), **variant.config})
    run = Run(Options(minutes=minutes, device=str(device), **variant.options), config)
    run.start(data)
    variant.start(run)
    run.place()
    variant.place(run)
    crops = Crops(data, device, run.options.seed)
    run.model.train()
    clock = time.process_time if device.type == "cpu" else time.monotonic
    start, spent = clock(), 0.0
    while spent < 60 * minutes:
        progress = spent / 60 / minutes
        side, batch = variant.sides[progress >= LARGE_CROPS_FROM]
        run.update(crops.draw(batch, side), run.options.learning_rate * learning_rate_at(progress))
        spent = clock() - start
    return run


@torch.no_grad()
def curve(run: Run, images: list[np.ndarray]) -> list[tuple[float, float]]:
    """(bits per pixel, PSNR) at each of QUALITIES, means over the images. The rate is estimated, with hard rounding."""
    net, device, points = run.averaged_model().to(run.options.device), torch.device(run.options.device), []
    for quality in QUALITIES:
        bpp, psnr = 0.0, 0.0
        for image in images:
            side = [n - n % 64 for n in image.shape[:2]]
            x = torch.from_numpy(image[: side[0], : side[1]]).to(device).permute(2, 0, 1)[None].float() / 255
            x_hat, bits = net(x, torch.tensor([float(quality)], device=device))
            mse = (x_hat.clamp(0, 1) - x).square().mean()
            bpp += float(bits) / (side[0] * side[1]) / len(images)
            psnr += float(-10 * mse.log10()) / len(images)
        points.append((bpp, psnr))
    return points


def table(results: dict[str, dict]) -> str:
    """The results as a Markdown table. BD-rates are over the range of PSNRs that a variant and the base both reach."""
    lines = ["| variant | what | steps | M parameters | bits at equal PSNR |", "|---|---|---|---|---|"]
    base = results.get("base")
    for name, r in results.items():
        change = "" if base is None or name == "base" else _change(base["curve"], r["curve"])
        lines.append(f"| {name} | {r['what']} | {r['steps']} | {r['parameters'] / 1e6:.2f} | {change} |")
    return "\n".join(lines)


def _change(base: list, curve: list) -> str:
    rates_and_psnrs = [zip(*points, strict=True) for points in (base, curve)]
    try:
        return f"{bd_rate(*rates_and_psnrs[0], *rates_and_psnrs[1]):+.1f} %"
    except ValueError:  # they share no PSNR
        return f"at most {max(psnr for _, psnr in curve):.1f} dB"


def measure(name: str, data: list, held: list, minutes: float, device: str, output: Path) -> None:
    """Train one variant and add its results to the file."""
    run = run_variant(VARIANTS[name], data, minutes, torch.device(resolve_device(device)))
    result = {
        "what": VARIANTS[name].what,
        "minutes": minutes,
        "steps": run.step,
        "parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
        "curve": curve(run, held),
    }
    results = json.loads(output.read_text()) if output.exists() else {}
    output.write_text(json.dumps(results | {name: result}, indent=1))
    print(name, result, flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ablations", description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--holdout", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--images", type=int, default=24, help="held-out images to measure (default: 24)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path("ablations.json"))
    args = parser.parse_args(argv)

    torch.set_num_threads(1)
    images, _ = load_images(args.data, 2 * SIDE)
    held, _ = load_images([args.holdout], 1)
    for name in args.only:
        # Each variant runs in a forked process: its patches end with the process, and the images need not be copied.
        child = multiprocessing.get_context("fork").Process(
            target=measure, args=(name, images, held[: args.images], args.minutes, args.device, args.output)
        )
        child.start()
        child.join()
    print(table(json.loads(args.output.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

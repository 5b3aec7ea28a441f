"""One readable training loop: `aec train DATA -o model.safetensors --minutes N`.

The learning rate is laid out over the budget (warm-up, constant, linear to zero), so any budget ends with a usable
model. `--minutes` is the total: resuming a finished run with a larger budget goes on where it stopped.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ..coding import model_file, model_search
from ..coding.device import resolve_device
from ..coding.model_config import CONFIGS, LATENT_STRIDE, MAX_LEVEL, TUNES, Config, level_lambda
from ..errors import ModelError
from ..io import write_bytes
from ..nets import torch_codec
from ..nets.layers import multiplies_bf16
from ..nets.losses import MEASURES, SHARES, distortion, min_side
from ..nets.model import Model
from . import export, figures
from .images import Crops, load_images
from .muon import Muon
from .quality_levels import EVEN_LEVELS, calibrated_levels
from .symbol_counts import symbol_counts

SIDE = 128  # crop while the learning rate is high; twice that, a quarter as many, in the last part
LARGE_CROPS_FROM = 0.7
WARM_UP = 0.01
DECAY_FROM = 0.45
EMA_HORIZON = 0.005  # of the steps so far, at most 2000: early weights are forgotten quickly
STATES = {torch.optim.AdamW: ("exp_avg", "exp_avg_sq", "step"), Muon: ("momentum",)}  # of each parameter
TRANSFORMS = ("analysis", "synthesis")
# Of the learning rate: a step of a shortcut changes all pixels, and PCA is not far from where it ends.
SHORTCUT_SHARE = 0.1
CHECKPOINT_BYTES = 14  # for each parameter: weights, their average and the optimisers' moments
MOST_TO_MEASURE = 48  # held-out pictures
LEAST_TO_CALIBRATE, MOST_TO_CALIBRATE = 8, 24  # pictures: held-out ones, and if they are fewer, some of the others


@dataclass
class Options:
    """What `aec train` can set.

    Args:
        minutes: total budget of training, checkpoint's share included.
        config: a key of CONFIGS; None: that of the model a run begins with, else `base`. A resumed run keeps its own.
        batch: crops of SIDE x SIDE per step; of larger ones a quarter as many.
        learning_rate: peak.
        device: torch device.
        checkpoint_every: seconds between checkpoints.
        seed: of weights, crops and noise.
        only: the nets to train, attributes of Model; the others stay as they are. None named: all are trained.
            A resumed run cannot have others.
        tune: one of TUNES, the distortion; None: that of the checkpoint or the model a run begins with, else MSE. A
            resumed run cannot have another.
        shares: of the distortion by its measures (`losses.distortion`), in the place of the tune's own.
    """

    minutes: float
    config: str | None = None
    batch: int = 16
    learning_rate: float = 1e-3
    device: str = "cpu"
    checkpoint_every: float = 60
    seed: int = 0
    only: tuple[str, ...] = ()
    tune: str | None = None
    shares: dict[str, float] | None = None


def learning_rate_at(progress: float) -> float:
    """Multiplier of the peak rate; progress 0..1 is the part of the budget that is spent."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return min(1.0, max(0.0, (1 - progress) / (1 - DECAY_FROM)))


def loss_of(model: nn.Module, x: Tensor, q: Tensor, shares: Mapping[str, float]) -> tuple[Tensor, Tensor, Tensor]:
    """R + lambda * D, weighted so that every rate counts about alike, with bits per pixel and D, [B] each.

    Without the weight, which is 1 in the middle and falls as lambda^-1/2, the best quality's bits drown the others'.

    Args:
        model: `Model`.
        x: float [B, 3, H, W] in [0, 1], sides multiples of 64.
        q: float [B], 1..100.
        shares: of D (`losses.distortion`).
    """
    x_hat, bits = model(x, q)
    bpp = bits / (x.shape[2] * x.shape[3])
    error = distortion(x_hat, x, shares)
    lam = level_lambda(q)
    weight = (level_lambda(torch.tensor(50.5)) / lam).sqrt()
    return (weight * (bpp + lam * error)).mean(), bpp.detach(), error.detach()


class Run:
    """Weights, their moving average, the optimiser and the clock: all that a checkpoint holds."""

    def __init__(self, options: Options, config: Config, tune: str = "mse"):
        torch.manual_seed(options.seed)
        self.options, self.config, self.tune = options, config, options.tune or tune
        self.shares = options.shares or SHARES[self.tune]
        self.model = Model(config)
        self.n_known_latents = 0  # the first of all: those that have weights already
        self.ema: dict[str, Tensor] = {}
        self.step, self.seconds = 0, 0.0

    def start(self, images: Sequence[np.ndarray]) -> None:
        """Make the weights of latents that have none, from the data's spectrum, and `place`."""
        crops = Crops(images, torch.device("cpu"), self.options.seed).draw(256, SIDE).float() / 255 - 0.5
        patches = F.pixel_unshuffle(crops, LATENT_STRIDE).permute(0, 2, 3, 1).reshape(-1, 3 * LATENT_STRIDE**2)
        self.model.init_from_patches(patches, self.n_known_latents)
        self.n_known_latents = self.config.latents
        self.place()

    def place(self) -> None:
        """Move to the device and make the optimiser."""
        device = torch.device(self.options.device)
        # torch's annotations leave memory_format out.
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        only = self.options.only
        for name, p in self.model.named_parameters():
            p.requires_grad_(p.requires_grad and (not only or name.split(".")[0] in only))
        rate, trained = self.options.learning_rate, self._trained()
        matrices = {name: p for name, p in trained.items() if _in_branch(name) and p.shape[2:] == (1, 1)}
        shortcuts = {name: p for name, p in trained.items() if ".shortcut." in name}
        rest = {name: p for name, p in trained.items() if name not in matrices | shortcuts}

        def adam(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
            return torch.optim.AdamW(parameters, lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)

        # (optimiser, its parameters' names, its share of the learning rate)
        kinds = ((adam, rest, 1.0), (adam, shortcuts, SHORTCUT_SHARE), (Muon, matrices, 1.0))
        self.optimisers = [(make(ps.values(), rate), list(ps), share) for make, ps, share in kinds if ps]

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def update(self, pixels: Tensor, learning_rate: float) -> Tensor:
        """One step on uint8 [B, 3, H, W]; returns (loss, mean bits per pixel, mean error in dB), on the device."""
        x = pixels.float() / 255
        batch = len(x)
        # Stratified: every step sees all rates.
        q = 1 + (MAX_LEVEL - 1) * (torch.randperm(batch, device=x.device) + torch.rand(batch, device=x.device)) / batch
        for optimiser, _, share in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * learning_rate
        with torch.autocast(x.device.type, torch.bfloat16, enabled=multiplies_bf16(x.device)):
            loss, bpp, error = loss_of(self.model, x, q, self.shares)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        trained = self._trained().values()
        nn.utils.clip_grad_norm_(trained, 1.0)
        # A gradient that is not finite would poison weights and moments for ever; take it as zero, without asking the
        # device (the step is then momentum alone).
        for p in trained:
            if p.grad is not None:
                p.grad.nan_to_num_(0.0, 0.0, 0.0)
        for optimiser, _, _ in self.optimisers:
            optimiser.step()
        self.step += 1
        self._average()
        return torch.stack([loss.detach(), bpp.mean(), 10 * (255**2 / error.clamp(min=1e-4)).log10().mean()])

    def _average(self) -> None:
        """Exponential moving average of the weights over the last EMA_HORIZON of the run, at most 2000 steps."""
        horizon = min(2000.0, 10 + EMA_HORIZON * self.step)
        latest = self.model.state_dict()
        torch._foreach_lerp_(list(self.ema.values()), [latest[k] for k in self.ema], 1 / horizon)

    def averaged_model(self) -> Model:
        model = Model(self.config)
        model.load_state_dict(self.ema)
        return model.eval()

    def save(self, path: Path) -> None:
        tensors: dict[str, Tensor] = {}
        for optimiser, names, _ in self.optimisers:
            for i, state in optimiser.state_dict()["state"].items():
                tensors |= {f"{key}.{names[i]}": value for key, value in state.items()}
        if not tensors:
            return  # not one step was made: nothing is worth keeping, and what is there may be
        tensors |= {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        meta = {"step": self.step, "seconds": self.seconds, "config": asdict(self.config), "tune": self.tune}
        meta["shares"] = self.shares
        meta["only"] = self.options.only
        tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        write_bytes(path, serialise(tensors, {"aec_checkpoint": json.dumps(meta)}), force=True)

    @classmethod
    def load(cls, path: Path, options: Options) -> "Run":
        """Go on where a checkpoint was written.

        Raises:
            ModelError: the file is not a checkpoint of aec.
            ValueError: options.tune, options.shares or options.only is another than its.
        """
        with _checkpoint(path) as (meta, tensors):
            only = tuple(meta.get("only", options.only))  # older ones do not say
            shares = _shares_of(meta)
            run = cls(replace(options, only=only, shares=shares), Config(**meta["config"]), tune := _tune_of(meta))
            run.model.load_state_dict(_part(tensors, "model."))
            run.n_known_latents = run.config.latents
            run.place()
            run.step, run.seconds = meta["step"], meta["seconds"]
            run.ema = {k: v.to(options.device) for k, v in _part(tensors, "ema.").items()}
            for optimiser, names, _ in run.optimisers:
                state = optimiser.state_dict()
                keys = STATES[type(optimiser)]
                state["state"] = {i: {key: tensors[f"{key}.{n}"] for key in keys} for i, n in enumerate(names)}
                if isinstance(optimiser, Muon):
                    state["param_groups"][0]["calls"] = run.step
                optimiser.load_state_dict(state)
        if options.shares is not None and options.shares != run.shares:
            raise ValueError(f"shares {options.shares}: {path} is of a run for {run.shares}; --init begins another")
        if options.only and set(options.only) != set(only):
            raise ValueError(f"only {', '.join(options.only)}: {path} is of a run for {', '.join(only) or 'all nets'}")
        if run.tune != tune:
            raise ValueError(f"tune {run.tune!r}: {path} is of a run for {tune!r}; --init begins another")
        return run

    @classmethod
    def start_from(
        cls, path: Path, options: Options, anew: Iterable[str] = (), blend: tuple[Path, float] | None = None
    ) -> "Run":
        """A new run that begins with a model, or with the averaged weights of a checkpoint.

        Args:
            path: the model file or the checkpoint.
            options: of the new run; a configuration that is larger than the file's is grown into (`grown`), if it has
                as many hyperlatents and steps. More latents change what the model computes: `start`.
            anew: of TRANSFORMS: their branches begin again, beside the linear shortcuts they have.
            blend: another model or checkpoint of the same configuration, and how far to go from the first one's weights
                to its, 0..1. Models of which one was trained on from the other have, between them, models that are
                better at a mixture of what they were trained for (Wortsman 2022, arXiv:2109.01903).

        Returns:
            The run, placed; or, if its `n_known_latents` are not all, not placed: then `start` must follow.

        Raises:
            ModelError: a file is neither, or its model cannot grow into options.config, or two differ in theirs.
        """
        model, tune = _model_of(path)
        config = model.config
        if blend is not None:
            other, _ = _model_of(blend[0])
            if other.config != config:
                raise ModelError(f"{blend[0]}: its configuration is {other.config}, that of {path} is {config}")
            state, others = model.state_dict(), other.state_dict()
            model.load_state_dict({k: torch.lerp(v, others[k], blend[1]) for k, v in state.items()})
        run = cls(options, CONFIGS.get(options.config or "", config), tune)
        kept = {k: v for k, v in model.state_dict().items() if k.split(".")[0] not in anew or not _in_branch(k)}
        try:
            for kind in ("hyper", "steps"):
                if getattr(run.config, kind) != getattr(config, kind):
                    raise ValueError(f"{kind} {getattr(config, kind)}, not {getattr(run.config, kind)}")
            run.model.load_state_dict(grown(kept, run.model.state_dict()))
        except ValueError as e:
            raise ModelError(f"{path}: its model cannot grow into {options.config or config}: {e}") from None
        for net in anew:
            getattr(run.model, net).silence_branch()
        run.n_known_latents = config.latents
        if run.n_known_latents == run.config.latents:
            run.place()
        return run


def grown(small: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a model in which a smaller one lives on: it computes the same until it is trained.

    Channels and blocks that are new begin as in a fresh model, heard by none of the old ones. (Source of the idea:
    Net2Net, arXiv:1511.05641; there channels are copied.) The old channels come first everywhere, for pixel_shuffle
    and pixel_unshuffle keep a channel's phases together, and for a latent's step depends on its channel alone.

    Args:
        small: by name, from a model whose every width and depth is at most the other's; of some or all layers.
        fresh: the larger model's state, as made.

    Raises:
        ValueError: a tensor of the smaller model does not fit into the larger one's.
    """
    large = {name: value.clone() for name, value in fresh.items()}
    for name, old in small.items():
        new = large.get(name)
        if new is None or new.ndim != old.ndim or any(n < o for n, o in zip(new.shape, old.shape, strict=True)):
            found = "absent" if new is None else list(new.shape)
            raise ValueError(f"{name} is {list(old.shape)} there, and {found} here")
        if old.ndim == 4:  # a convolution's [out, in, ..]: old channels do not hear new ones
            new[: len(old), old.shape[1] :] = 0
        new[tuple(slice(n) for n in old.shape)] = old
    return large


def _in_branch(name: str) -> bool:
    """Does a tensor of the model belong to what a transform learns beside its shortcut? Its scales do not."""
    net, part = name.split(".")[:2]
    return net in TRANSFORMS and part not in ("shortcut", "log_gain", "whiten")


@contextmanager
def _checkpoint(path: Path) -> Iterator[tuple[dict, dict[str, Tensor]]]:
    """(metadata, tensors). Whatever goes wrong, in reading it or in using it, is a ModelError."""
    try:
        with safe_open(path, "pt") as f:
            meta = json.loads((f.metadata() or {})["aec_checkpoint"])
            yield meta, {k: f.get_tensor(k) for k in f.keys()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as e:
        raise ModelError(f"{path}: not an aec training checkpoint ({e})") from e


def _tune_of(meta: dict) -> str:
    """Of a checkpoint; those written before there was a choice were for MSE."""
    if (tune := meta.get("tune", "mse")) not in TUNES:
        raise ValueError(f"tune {tune!r}: allowed are {', '.join(TUNES)}")
    return tune


def _shares_of(meta: dict) -> dict[str, float]:
    """Of a checkpoint; those of before 2026-11-29 had what their tune has."""
    shares = meta.get("shares", SHARES[_tune_of(meta)])
    if not shares or not set(shares) <= set(MEASURES):
        raise ValueError(f"shares {shares}: allowed are {', '.join(MEASURES)}")
    return shares


def _model_of(path: Path) -> tuple[Model, str]:
    """A model file's weights, or the averaged ones of a checkpoint, and what they were trained for."""
    if model_search.is_model(path):
        return export.float_model(path), model_file.load(path).tune
    with _checkpoint(path) as (meta, tensors):
        model = Model(Config(**meta["config"]))
        model.load_state_dict(_part(tensors, "ema."))
        return model, _tune_of(meta)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoints of a model file go: beside it."""
    return output.with_suffix(".checkpoint.safetensors")


def train(run: Run, images: list[np.ndarray], checkpoint: Path, report: Callable[[str], None]) -> None:
    """Spend what is left of the budget; checkpoints as it goes and at the end, also after Ctrl-C.

    Args:
        run: started or loaded, and placed.
        images: uint8 [H, W, 3], sides at least 2 * SIDE.
        checkpoint: file to write.
        report: called with a line of progress about every ten seconds.
    """
    options = run.options
    device = torch.device(options.device)
    budget = 60 * options.minutes
    crops = Crops(images, device, options.seed + run.step)
    torch.manual_seed(options.seed + run.step)
    run.model.train()
    before, start, last = run.seconds, time.monotonic(), 0.0
    saved = told = start
    told_step, sums = run.step, torch.zeros(3, device=device)
    try:
        # As near to the budget as whole steps come, however long they take; but one at least, if there is any.
        while run.seconds == before < budget or run.seconds + last / 2 < budget:
            progress = run.seconds / budget
            large = progress >= LARGE_CROPS_FROM or min_side(run.shares) > SIDE
            side, batch = (2 * SIDE, max(1, options.batch // 4)) if large else (SIDE, options.batch)
            rate = options.learning_rate * learning_rate_at(progress)
            sums += run.update(crops.draw(batch, side), rate)
            now = time.monotonic()
            last, run.seconds = before + now - start - run.seconds, before + now - start
            if now - told > 10:
                loss, bpp, db = (sums / (run.step - told_step)).tolist()
                speed = (run.step - told_step) / (now - told)
                report(
                    f"step {run.step}  {speed:.2f} steps/s  {speed * batch:.1f} crops/s of {side}  R {bpp:.3f} bpp  "
                    f"D {db:.2f} dB  loss {loss:.4f}  lr {rate:.1e}  left {(budget - run.seconds) / 60:.1f} min"
                )
                told, told_step = now, run.step
                sums.zero_()
            if now - saved > options.checkpoint_every:
                run.save(checkpoint)
                saved = now
    finally:
        run.save(checkpoint)


def main(
    data: list[Path],
    output: Path,
    options: Options,
    resume: Path | None,
    init: Path | None,
    anew: Iterable[str],
    blend: tuple[Path, float] | None,
    holdout: Path | None,
    keep_checkpoint: bool,
    report: Callable[[str], None],
) -> None:
    """Load, train, export, measure: `aec train`.

    Args:
        data: folders of images, tar shards, or images.
        output: model file to write; checkpoints go to `checkpoint_path(output)`.
        options: resuming keeps the checkpoint's config, tune, shares and only.
        resume: checkpoint to go on from.
        init, anew, blend: model or checkpoint that a new run begins with, the nets that do not, and another one that is
            mixed in (`Run.start_from`).
        holdout: images for the figures at the end; None: every fiftieth of data, which is then not trained on.
        keep_checkpoint: it is needed to go on from here with a larger budget; else it is removed once the model is
            written and measured.
        report: takes lines of progress.

    Raises:
        FileNotFoundError, ValueError: data or an option is unusable (the message says which).
        ModelError: resume is not a checkpoint, or init does not fit.
        BackendError: no such device.
    """
    options.device = resolve_device(options.device)
    if options.batch < 1:
        raise ValueError(f"batch {options.batch}: must be at least 1")
    output.parent.mkdir(parents=True, exist_ok=True)  # now, not after hours of work
    if options.config not in (None, *CONFIGS):
        raise ValueError(f"config {options.config!r}: allowed are {', '.join(CONFIGS)}")
    if options.tune not in (None, *TUNES):
        raise ValueError(f"tune {options.tune!r}: allowed are {', '.join(TUNES)}")
    if init is not None:
        run = Run.start_from(init, options, anew, blend)
    elif resume is not None:
        run = Run.load(resume, options)
    else:
        run = Run(options, CONFIGS[options.config or "base"])
    images, left_out = load_images(data, 2 * SIDE)
    if left_out:
        report(f"left out {len(left_out)}: {'; '.join(left_out[:3])}{' ..' if len(left_out) > 3 else ''}")
    if holdout is not None:
        held, _ = load_images([holdout], 1)
    elif len(images) < 2:
        raise ValueError("one image only: it cannot be both trained on and held out; give more, or --holdout")
    else:
        held = images[::50]
        images = [im for i, im in enumerate(images) if i % 50]
    report(f"{len(images)} images, {sum(im[..., 0].size for im in images) / 1e6:.0f} Mpixel; {len(held)} held out")
    if run.n_known_latents < run.config.latents:
        run.start(images)
    size = sum(p.numel() for p in run.model.parameters()) / 1e6
    report(f"{size:.2f} M parameters on {options.device}, trained for {run.tune}")
    checkpoint = checkpoint_path(output)
    stays = "stays there" if keep_checkpoint else "is removed when all is done; --keep-checkpoint keeps it"
    report(
        f"each minute a checkpoint of some {CHECKPOINT_BYTES * size:.0f} MB is written to {checkpoint}, which {stays}"
    )
    train(run, images, checkpoint, report)
    model = run.averaged_model()
    device = torch.device(options.device)
    pictures = [*held, *images[: max(0, LEAST_TO_CALIBRATE - len(held))]][:MOST_TO_CALIBRATE]
    report(f"fitting the coding tables, then what qualities mean, to {len(pictures)} pictures")
    with TemporaryDirectory(dir=output.parent) as folder:  # what is not finished must not be taken for the model
        draft = Path(folder) / output.name
        largest = export.calibration(model, EVEN_LEVELS, pictures)
        # With Gaussians' tables, to see what symbols it makes.
        export.save(draft, model, None, run.tune, EVEN_LEVELS, largest)
        counts = symbol_counts(torch_codec.load(draft, device), images)
        export.save(draft, model, counts, run.tune, EVEN_LEVELS, largest)
        levels = calibrated_levels(torch_codec.load(draft, device), pictures)
    model_id = export.save(output, model, counts, run.tune, levels, largest)
    report(f"wrote {output}: model {model_id.hex()}, {output.stat().st_size / 1e6:.1f} MB")
    shown = held[:MOST_TO_MEASURE]
    before = figures.held_out(init, shown, options.device) if init is not None and model_search.is_model(init) else None
    figures.report_of(figures.held_out(output, shown, options.device), before, len(shown), report)
    if not keep_checkpoint:
        checkpoint.unlink(missing_ok=True)

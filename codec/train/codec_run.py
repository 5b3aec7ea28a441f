"""A training run of the codec's networks: one step of it, and its checkpoints. `loop` has the time budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coding import model_file, model_search
from ..coding.model_config import CONFIGS, LATENT_STRIDE, MAX_LEVEL, TUNES, Config, level_lambda
from ..errors import ModelError
from ..nets.layers import multiplies_bf16
from ..nets.losses import MEASURES, SHARES, distortion, min_side
from ..nets.model import Model
from . import checkpoints, export, loop
from .distributed import Processes
from .images import Crops
from .muon import Muon
from .stream import Stream, crops_of

# Side of the crops, in pixels. In the last part of a run, crops have twice this side, and there are a quarter as many.
SIDE = 128
LARGE_CROPS_FROM = 0.7  # part of the budget at which they start
FEWER_LARGE_CROPS = 4
EMA_HORIZON = 0.005  # horizon of the moving average, as a share of the steps so far; it is at most 2000 steps
STATES = {torch.optim.AdamW: checkpoints.ADAM, Muon: ("momentum",)}  # the state of each parameter
TRANSFORMS = ("analysis", "synthesis")
# The learning rate of the shortcuts, relative to that of the other layers. A step of a shortcut changes all pixels, and
# the initial PCA is close to the final weights.
SHORTCUT_SHARE = 0.1
KIND = "aec_checkpoint"  # of the checkpoints


@dataclass
class Options(loop.Options):
    """The options of `aec train`, beside those of all runs (`loop.Options`).

    Args:
        minutes: as there, without a default.
        config: a key of CONFIGS; None: that of the model that the run begins with, else `base`. A resumed run keeps its
            configuration.
        batch: number of crops of SIDE x SIDE in a step. Of the large crops, there are a quarter as many. Several
            processes share them, so that it must be a multiple of `batch_unit`.
        only: names of the nets to train, which are attributes of Model; the others do not change. Empty: all nets are
            trained. It cannot be changed when a run is resumed.
        tune: the distortion, one of TUNES; None: that of the checkpoint or the model that the run begins with, else
            "mse". It cannot be changed when a run is resumed.
        shares: shares of the measures in the distortion (`losses.distortion`), instead of those of `tune`.
    """

    minutes: float
    config: str | None = None
    batch: int = 16
    only: tuple[str, ...] = ()
    tune: str | None = None
    shares: dict[str, float] | None = None


def batch_unit(processes: Processes) -> int:
    """Return the number of which a batch must be a multiple, so that each process has equally many crops."""
    return FEWER_LARGE_CROPS * processes.size if processes.size > 1 else 1


def loss_of(model: nn.Module, x: Tensor, q: Tensor, shares: Mapping[str, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the loss: R + lambda * D, weighted so that all qualities count about equally.

    The weight is 1 in the middle of the range and falls as lambda^-1/2. Without it, the bits of the best qualities
    would dominate.

    Args:
        model: a `Model`.
        x: float [B, 3, H, W] in [0, 1], sides multiples of 64.
        q: the level of each picture, float [B], 1..MAX_LEVEL.
        shares: shares of the measures in D (`losses.distortion`).

    Returns:
        (mean loss, bits per pixel [B], D [B]); the last two are detached.
    """
    x_hat, bits = model(x, q)
    bpp = bits / (x.shape[2] * x.shape[3])
    error = distortion(x_hat, x, shares)
    lam = level_lambda(q)
    weight = (level_lambda(torch.tensor(50.5)) / lam).sqrt()
    return (weight * (bpp + lam * error)).mean(), bpp.detach(), error.detach()


class Run:
    """The state of a training run, which a checkpoint holds: weights, their average, optimisers, steps and time."""

    def __init__(self, options: Options, config: Config, tune: str = "mse"):
        torch.manual_seed(options.seed)
        self.options, self.config, self.tune = options, config, options.tune or tune
        self.shares = options.shares or SHARES[self.tune]
        self.model = Model(config)
        self.n_known_latents = 0  # the first so many latents already have trained weights
        self.ema: dict[str, Tensor] = {}
        self.model.uniform_like = options.processes.uniform_like
        self.images: Sequence[np.ndarray] | Stream = ()  # uint8 [H, W, 3] each, with sides of at least 2 * SIDE
        self.was_streamed = False  # before it was resumed
        self.step, self.seconds = 0, 0.0

    def start(self, images: Sequence[np.ndarray]) -> None:
        """Initialise the weights of latents that have none, from the spectrum of the images, and call `place`."""
        crops = Crops(images, torch.device("cpu"), self.options.seed).draw(256, SIDE).float() / 255 - 0.5
        patches = F.pixel_unshuffle(crops, LATENT_STRIDE).permute(0, 2, 3, 1).reshape(-1, 3 * LATENT_STRIDE**2)
        self.model.init_from_patches(patches, self.n_known_latents)
        self.n_known_latents = self.config.latents
        self.place()

    def place(self) -> None:
        """Move the model to the device and create the optimisers."""
        device = torch.device(self.options.device)
        # torch's type annotations do not include memory_format.
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

        # (optimiser, its parameters, its relative learning rate)
        kinds = ((adam, rest, 1.0), (adam, shortcuts, SHORTCUT_SHARE), (Muon, matrices, 1.0))
        self.optimisers = [(make(ps.values(), rate), list(ps), share) for make, ps, share in kinds if ps]

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def begin(self) -> None:
        """Prepare for steps with crops of `images`. `place` was called before."""
        seed, processes = self.options.seed + self.step, self.options.processes
        processes.equalise(self.step, [*self.model.state_dict().values(), *self.ema.values()])
        self._crops = crops_of(self.images, torch.device(self.options.device), seed, processes)
        self._side, self._batch = SIDE, self.options.batch
        torch.manual_seed(seed)
        self.model.train()

    def advance(self, progress: float, rate: float) -> Tensor:
        """Draw crops for this part of the training, and make a step with them (`update`)."""
        large = progress >= LARGE_CROPS_FROM or min_side(self.shares) > SIDE
        batch = self.options.batch
        self._side, self._batch = (2 * SIDE, max(1, batch // FEWER_LARGE_CROPS)) if large else (SIDE, batch)
        return self.update(self._crops.draw(self._batch, self._side), rate)

    def words(self, figures: Sequence[float], speed: float) -> str:
        """Return a phrase of progress: from the means of what `update` returned, and the steps in a second."""
        loss, bpp, db = figures
        return f"{speed * self._batch:.1f} crops/s of {self._side}  R {bpp:.3f} bpp  D {db:.2f} dB  loss {loss:.4f}"

    def update(self, pixels: Tensor, learning_rate: float) -> Tensor:
        """Make one step with crops uint8 [B, 3, H, W], this process's share of the batch.

        Returns (loss, mean bits per pixel, mean error in dB) of the whole batch as a tensor on the device.
        """
        x, processes = pixels.float() / 255, self.options.processes
        batch = len(x) * processes.size
        # Stratified sampling: the crops of a step are spread evenly over all levels.
        q = 1 + (MAX_LEVEL - 1) * (torch.randperm(batch, device=x.device) + torch.rand(batch, device=x.device)) / batch
        q = processes.share(q)
        for optimiser, _, share in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * learning_rate
        with torch.autocast(x.device.type, torch.bfloat16, enabled=multiplies_bf16(x.device)):
            loss, bpp, error = loss_of(self.model, x, q, self.shares)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        figures = torch.stack([loss.detach(), bpp.mean(), 10 * (255**2 / error.clamp(min=1e-4)).log10().mean()])
        trained = self._trained().values()
        processes.average([figures, *(p.grad for p in trained if p.grad is not None)])
        nn.utils.clip_grad_norm_(trained, 1.0)
        # A gradient that is not finite would spoil weights and moments for good, so it is replaced by zero; the step
        # then comes from the momentum alone. This does not wait for the device.
        for p in trained:
            if p.grad is not None:
                p.grad.nan_to_num_(0.0, 0.0, 0.0)
        for optimiser, _, _ in self.optimisers:
            optimiser.step()
        self.step += 1
        self._average()
        return figures

    def _average(self) -> None:
        """Update the exponential moving average of the weights, over EMA_HORIZON of the steps so far, at most 2000."""
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
            tensors |= checkpoints.optimiser_tensors(optimiser, names)
        if not tensors:
            return  # before the first step there is nothing to save, and an existing checkpoint must not be replaced
        tensors |= {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        meta = {"step": self.step, "seconds": self.seconds, "config": asdict(self.config), "tune": self.tune}
        meta["shares"] = self.shares
        meta["only"] = self.options.only
        meta["streamed"] = isinstance(self.images, Stream)
        checkpoints.write(path, KIND, meta, tensors)

    @classmethod
    def load(cls, path: Path, options: Options) -> "Run":
        """Load a run from a checkpoint, to resume it.

        Raises:
            ModelError: the file is not a checkpoint of aec.
            ValueError: options.tune, options.shares or options.only differ from those of the checkpoint.
        """
        with checkpoints.reading(path, KIND) as (meta, tensors):
            only = tuple(meta.get("only", options.only))  # older checkpoints do not have it
            shares = _shares_of(meta)
            run = cls(replace(options, only=only, shares=shares), Config(**meta["config"]), tune := _tune_of(meta))
            run.model.load_state_dict(checkpoints.part(tensors, "model."))
            run.n_known_latents = run.config.latents
            run.place()
            run.step, run.seconds = meta["step"], meta["seconds"]
            run.was_streamed = bool(meta.get("streamed", False))  # older checkpoints do not have it
            run.ema = {k: v.to(options.device) for k, v in checkpoints.part(tensors, "ema.").items()}
            for optimiser, names, _ in run.optimisers:
                checkpoints.restore(optimiser, dict(enumerate(names)), STATES[type(optimiser)], tensors)
                if isinstance(optimiser, Muon):
                    optimiser.param_groups[0]["calls"] = run.step
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
        """Start a new run from a model, or from the averaged weights of a checkpoint.

        Args:
            path: of the model file or the checkpoint.
            options: of the new run. If its configuration is larger than the file's, the model is enlarged (`grown`);
                the numbers of hyperlatents and steps must be equal. New latents are initialised by `start`.
            anew: some of TRANSFORMS, whose branches are initialised again; their linear shortcuts are kept.
            blend: another model or checkpoint of the same configuration, and the share, 0..1, with which its weights
                are mixed in. If one model was trained further from the other, models between them can be better at a
                mixture of their training goals (Wortsman 2022, arXiv:2109.01903).

        Returns:
            The run. If it has new latents (`n_known_latents` is smaller than their number), `start` must be called
            next; otherwise `place` was called already.

        Raises:
            ModelError: a file is neither a model nor a checkpoint, its model cannot be enlarged to options.config, or
                the two models to blend have different configurations.
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
    """Return the weights of a larger model that computes the same as a smaller one, until it is trained.

    New channels and blocks have their initial weights, but old channels do not read from new ones. (The idea is from
    Net2Net, arXiv:1511.05641, where channels are copied.) The old channels can come first in every layer, because
    pixel_shuffle and pixel_unshuffle keep the phases of a channel together, and because the context step of a latent
    depends only on the number of its channel.

    Args:
        small: weights by name, of some or all layers of a model that is nowhere wider or deeper than the larger one.
        fresh: the initial state of the larger model.

    Raises:
        ValueError: a tensor of the smaller model does not fit into the larger one's.
    """
    large = {name: value.clone() for name, value in fresh.items()}
    for name, old in small.items():
        new = large.get(name)
        if new is None or new.ndim != old.ndim or any(n < o for n, o in zip(new.shape, old.shape, strict=True)):
            found = "absent" if new is None else list(new.shape)
            raise ValueError(f"{name} is {list(old.shape)} there, and {found} here")
        if old.ndim == 4:  # a convolution [out, in, ..]: old outputs must not read new inputs
            new[: len(old), old.shape[1] :] = 0
        new[tuple(slice(n) for n in old.shape)] = old
    return large


def _in_branch(name: str) -> bool:
    """Return whether a tensor belongs to the branch of a transform; its shortcut, gain and whitening do not."""
    net, part = name.split(".")[:2]
    return net in TRANSFORMS and part not in ("shortcut", "log_gain", "whiten")


def _tune_of(meta: dict) -> str:
    """Return the tune of a checkpoint. Old checkpoints do not have it; they are for MSE."""
    if (tune := meta.get("tune", "mse")) not in TUNES:
        raise ValueError(f"tune {tune!r}: allowed are {', '.join(TUNES)}")
    return tune


def _shares_of(meta: dict) -> dict[str, float]:
    """Return the shares of a checkpoint. Those from before 2026-11-29 do not have any, and used those of their tune."""
    shares = meta.get("shares", SHARES[_tune_of(meta)])
    if not shares or not set(shares) <= set(MEASURES):
        raise ValueError(f"shares {shares}: allowed are {', '.join(MEASURES)}")
    return shares


def _model_of(path: Path) -> tuple[Model, str]:
    """Load the weights of a model file, or the averaged weights of a checkpoint. Returns the model and its tune."""
    if model_search.is_model(path):
        return export.float_model(path), model_file.load(path).tune
    with checkpoints.reading(path, KIND) as (meta, tensors):
        model = Model(Config(**meta["config"]))
        model.load_state_dict(checkpoints.part(tensors, "ema."))
        return model, _tune_of(meta)

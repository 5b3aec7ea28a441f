"""A training run of one of the classic autoencoders (`codec.family`), for the loop that all runs share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..family import MEMBERS
from ..family.member import Member
from . import checkpoints, loop

KIND = "aec_family_checkpoint"


@dataclass
class Options(loop.Options):
    """The options of `aec train --arch`, beside those of all runs (`loop.Options`).

    The optimiser is Adam (Kingma 2015).

    Args:
        arch: a key of MEMBERS.
        latents: number of latents (for a convolutional one, of their channels); None: the member's own default.
        batch: pictures in a step.
    """

    arch: str
    latents: int | None = None
    batch: int = 128


class Run:
    """The state of a training run, which a checkpoint holds: weights, optimiser, steps and time.

    Args:
        pictures: uint8 [N, H, W, C].

    Raises:
        ValueError: there is no such member, or it cannot take pictures of this size.
    """

    def __init__(self, options: Options, pictures: np.ndarray):
        if options.arch not in MEMBERS:
            raise ValueError(f"arch {options.arch!r}: allowed are {', '.join(MEMBERS)}")
        torch.manual_seed(options.seed)
        height, width, channels = pictures.shape[1:]
        self.options = options
        self.member: Member = MEMBERS[options.arch]((channels, height, width), options.latents).to(options.device)
        # Convolutions on the CPU take two thirds of the time with the channels last. (torch's type annotations do not
        # include memory_format.)
        self.member.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.member.parameters(), options.learning_rate)
        # A copy, because torch warns of arrays that cannot be written to, as those of a file are.
        self.pictures = torch.from_numpy(pictures.copy()).to(options.device).permute(0, 3, 1, 2)
        self.step, self.seconds = 0, 0.0
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    @property
    def _places(self) -> list[str]:
        """What the parameters are called in a checkpoint."""
        return [str(i) for i in range(len(self.optimiser.param_groups[0]["params"]))]

    @property
    def latents(self) -> int:
        """The number of latents; of a convolutional member, that of their channels."""
        with torch.no_grad():
            return self.member.encoder(torch.zeros_like(self.pictures[:1], dtype=torch.float32)).shape[1]

    @property
    def steps_of_epoch(self) -> int:
        return -(-len(self.pictures) // self.options.batch)

    def begin(self) -> None:
        self.member.train()

    def _batch(self) -> Tensor:
        """The next pictures in a random order that has each one once, then in the next such order."""
        epoch, place = divmod(self.step, self.steps_of_epoch)
        if epoch != self._epoch:
            seed = torch.Generator().manual_seed(self.options.seed + epoch)
            self._epoch, self._order = epoch, torch.randperm(len(self.pictures), generator=seed)
        some = self._order[place * self.options.batch :][: self.options.batch]
        batch = self.pictures[some.to(self.pictures.device)].float() / 255
        return batch.contiguous(memory_format=torch.channels_last)

    def advance(self, progress: float, rate: float) -> Tensor:
        """Make one step. Returns [1]: the loss.

        All that is random in it depends on the seed and the step only, so that a resumed run is the same run.
        """
        torch.manual_seed(self.options.seed + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self.member.loss(self._batch(), progress)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        return loss.detach()[None]

    def words(self, figures: Sequence[float], speed: float) -> str:
        epochs = self.step / self.steps_of_epoch
        return f"epoch {epochs:.1f}  {speed * self.options.batch:.0f} pictures/s  loss {figures[0]:.5f}"

    def save(self, path: Path) -> None:
        if not self.step:
            return  # an existing checkpoint must not be replaced by an untrained run
        tensors = {f"model.{k}": v for k, v in self.member.state_dict().items()}
        tensors |= checkpoints.optimiser_tensors(self.optimiser, self._places)
        options = {"arch": self.options.arch, "latents": self.latents, "shape": list(self.member.shape)}
        options |= {"batch": self.options.batch, "seed": self.options.seed}
        meta = {"step": self.step, "seconds": self.seconds, **options}
        checkpoints.write(path, KIND, meta, tensors)

    @classmethod
    def load(cls, path: Path, options: Options, pictures: np.ndarray) -> "Run":
        """Load a run from a checkpoint, to resume it.

        Raises:
            ModelError: the file is not a checkpoint of such a run.
            ValueError: it is of another member, batch or seed, of another number of latents than `options` gives, or of
                pictures of another size.
        """
        with checkpoints.reading(path, KIND) as (meta, tensors):
            found = {name: meta[name] for name in ("arch", "latents", "shape", "batch", "seed")}
            shape = [pictures.shape[3], *pictures.shape[1:3]]
            wanted = {"arch": options.arch, "latents": options.latents, "shape": shape}
            wanted |= {"batch": options.batch, "seed": options.seed}
            # Checkpoints from before 2026-11-30 have no number where the member's own default was taken.
            if None in (found["latents"], options.latents):
                options = replace(options, latents=found["latents"] or options.latents)
                found["latents"] = wanted["latents"] = options.latents
            run = cls(options, pictures) if found == wanted else None
            if run is not None:
                run.member.load_state_dict(checkpoints.part(tensors, "model."))
                run.step, run.seconds = meta["step"], meta["seconds"]
                # Members that are trained in phases have parameters without a state.
                stepped = {i: name for i, name in enumerate(run._places) if f"step.{name}" in tensors}
                checkpoints.restore(run.optimiser, stepped, checkpoints.ADAM, tensors)
        if run is None:
            raise ValueError(f"{path} is of a run for {json.dumps(found)}, not {json.dumps(wanted)}")
        return run

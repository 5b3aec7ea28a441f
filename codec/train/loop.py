"""The loop of all training runs: the budget, the learning rate, checkpoints and progress.

The schedule of the learning rate (warm-up, constant, linear to zero) is stretched over the budget, so every budget ends
with a usable model. The budget is the total: a finished run can be resumed with a larger one.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from .distributed import ALONE, Processes

# Parts of the budget: how long the warm-up takes, and when the learning rate starts to fall.
WARM_UP = 0.01
DECAY_FROM = 0.45
TELL_EVERY = 10  # seconds between lines of progress


@dataclass(kw_only=True)
class Options:
    """The options that all runs have.

    Args:
        minutes: total time budget of training; after resuming, this includes the time before.
        steps: budget in steps instead; None: `minutes` counts.
        learning_rate: its peak.
        device: a torch device.
        checkpoint_every: seconds between checkpoints.
        seed: of the weights, and of all that is random in training.
        processes: those that train together.
    """

    minutes: float = 1.0
    steps: int | None = None
    learning_rate: float = 1e-3
    device: str = "cpu"
    checkpoint_every: float = 60
    seed: int = 0
    processes: Processes = ALONE


class Run(Protocol):
    """What the loop asks of a run.

    Attributes:
        step, seconds: steps and seconds so far, those before resuming included. `advance` counts the steps, the loop
            counts the seconds.
    """

    step: int
    seconds: float

    @property
    def options(self) -> Options: ...

    def begin(self) -> None:
        """Prepare for steps."""

    def advance(self, progress: float, rate: float) -> Tensor:
        """Make one step; return figures for the line of progress, a vector on the device.

        Args:
            progress: the part of the budget that is spent, 0..1.
            rate: the learning rate.
        """

    def words(self, figures: Sequence[float], speed: float) -> str:
        """Return a phrase for the line of progress: from the means of the figures, and the steps in a second."""

    def save(self, path: Path) -> None:
        """Write a checkpoint."""


def learning_rate_at(progress: float) -> float:
    """Return the learning rate relative to its peak; `progress`, 0..1, is the part of the budget that is spent."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return min(1.0, max(0.0, (1 - progress) / (1 - DECAY_FROM)))


def train(run: Run, checkpoint: Path, report: Callable[[str], None]) -> None:
    """Train until the budget is spent. Checkpoints are written regularly and at the end, also after Ctrl-C.

    Of several processes, the first one's clock counts, and it alone writes checkpoints and reports. All end at the same
    step, also if only one of them is asked to by a signal (SIGINT or SIGTERM).

    Args:
        checkpoint: path of the checkpoint.
        report: called with a line of progress about every ten seconds.

    Raises:
        KeyboardInterrupt: this process, or one of several, was asked to end.
    """
    options, processes = run.options, run.options.processes
    budget = 60 * options.minutes
    with processes.signals() as signals:
        run.begin()
        before, start = run.seconds, time.monotonic()
        last = run.seconds / run.step if run.step else 0.0  # seconds of a step
        saved = told = start
        told_step, sums = run.step, None

        def spent() -> float:
            # The run ends at the step that is nearest to the end of the time budget, also if it is resumed. A new run
            # makes one step at least.
            left = run.seconds + last / 2 < budget if options.steps is None else run.step < options.steps
            return (run.seconds / budget if options.steps is None else run.step / options.steps) if left else math.inf

        try:
            while (progress := processes.agree(spent(), bool(signals))) < math.inf:
                rate = options.learning_rate * learning_rate_at(progress)
                figures = run.advance(progress, rate)
                sums = figures if sums is None else sums + figures
                now = time.monotonic()
                last, run.seconds = before + now - start - run.seconds, before + now - start
                if now - told > TELL_EVERY and not processes.rank:
                    speed = (run.step - told_step) / (now - told)
                    words = run.words((sums / (run.step - told_step)).tolist(), speed)
                    rest = (
                        f"{(budget - run.seconds) / 60:.1f} min"
                        if options.steps is None
                        else f"{options.steps - run.step} steps"
                    )
                    report(f"step {run.step}  {speed:.2f} steps/s  {words}  lr {rate:.1e}  left {rest}")
                    told, told_step, sums = now, run.step, None
                if now - saved > options.checkpoint_every and not processes.rank:
                    run.save(checkpoint)
                    saved = now
        finally:
            if not processes.rank:
                run.save(checkpoint)

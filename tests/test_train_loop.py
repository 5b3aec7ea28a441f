"""The loop of all training runs, by a run that only counts: budgets in steps, progress, and checkpoints."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.train import loop
from codec.train.distributed import ALONE, Processes


@dataclass
class Options:
    minutes: float = 1.0
    steps: int | None = None
    learning_rate: float = 1e-3
    checkpoint_every: float = 60
    processes: Processes = ALONE


@dataclass
class Counting:
    """A run whose steps take a given time of a clock of its own; its only figure is the number of the step."""

    options: Options
    clock: list[float] = field(default_factory=lambda: [0.0])
    seconds_a_step: float = 4.0
    stops_at: int | None = None
    step: int = 0
    seconds: float = 0.0
    began: int = 0
    progress: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)

    def begin(self) -> None:
        self.began += 1

    def advance(self, progress: float, rate: float) -> torch.Tensor:
        if self.step == self.stops_at:
            raise KeyboardInterrupt
        self.progress.append(progress)
        self.rates.append(rate)
        self.clock[0] += self.seconds_a_step
        self.step += 1
        return torch.tensor([float(self.step)])

    def words(self, figures, speed) -> str:
        return f"mean {figures[0]:.1f}"

    def save(self, path: Path) -> None:
        self.saved.append(self.step)


def trained(run: Counting) -> list[str]:
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.time, "monotonic", lambda: run.clock[0])
        loop.train(run, Path("unused"), lines.append)
    return lines


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 1000))
def test_a_budget_of_steps_is_met_exactly_however_long_they_take_and_is_the_total(first, second, seconds_a_step):
    run = Counting(Options(minutes=1e-9, steps=first), seconds_a_step=seconds_a_step)
    trained(run)
    assert run.step == first and run.progress == [i / first for i in range(first)]
    assert run.rates == [1e-3 * loop.learning_rate_at(p) for p in run.progress]
    run.options.steps, run.progress = second, []
    trained(run)
    assert run.step == max(first, second) and run.progress == [i / second for i in range(first, second)]
    assert run.seconds == pytest.approx(seconds_a_step * run.step) and run.began == 2


@pytest.mark.parametrize(("steps", "left"), [(None, ["0.8 min", "0.6 min"]), (7, ["4 steps", "1 steps"])])
def test_progress_is_told_in_means_since_the_last_line_and_in_what_is_left(steps, left):
    lines = trained(Counting(Options(minutes=1, steps=steps)))
    assert lines[:2] == [
        f"step 3  0.25 steps/s  mean 2.0  lr 1.0e-03  left {left[0]}",
        f"step 6  0.25 steps/s  mean 5.0  lr {1e-3 * loop.learning_rate_at(5 / (steps or 15)):.1e}  left {left[1]}",
    ]


def test_checkpoints_are_written_each_minute_and_at_the_end_also_of_an_interrupted_run():
    run = Counting(Options(steps=40))
    trained(run)
    assert run.saved == [16, 32, 40]
    run = Counting(Options(steps=40), stops_at=20)
    with pytest.raises(KeyboardInterrupt):
        trained(run)
    assert run.saved == [16, 20]

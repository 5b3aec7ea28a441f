"""The knob at which a value that rises with it is right, in few trials: each costs the coding of a picture."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

LOWEST, HIGHEST, FINEST = -18.0, 100.0, 1 / 64  # of the knob


@dataclass(frozen=True)
class Trial:
    """A setting of the knob, and the value that the goal is for."""

    knob: float
    value: float


Found = TypeVar("Found", bound=Trial)


@dataclass(frozen=True)
class Goal:
    """Values that are right.

    Args:
        low, high: its ends.
        at_most: the upper end may not be crossed; else the lower.
        slopes: what the value usually changes by with the knob, float [100], at 1..100.
    """

    low: float
    high: float
    at_most: bool
    slopes: np.ndarray

    def wider(self, times: float) -> "Goal":
        """About the same middle."""
        more = (times - 1) * (self.high - self.low) / 2
        return replace(self, low=self.low - more, high=self.high + more)

    def right(self, value: float) -> bool:
        return self.low <= value <= self.high

    def met(self, value: float) -> bool:
        return value <= self.high if self.at_most else value >= self.low

    def slope(self, knob: float) -> float:
        return float(np.interp(knob, np.arange(1, 101), self.slopes))


def find(measure: Callable[[float], Found], goal: Goal, knob: float, before: Trial | None = None) -> Found:
    """The first trial whose value is right, or the nearest on the permitted side; if there is none, the nearest.

    Secants, growing while nothing lies on the other side; then the line between the bracket's ends, kept off them, and
    at last halves. So a search ends within 30 trials, however values jump, as those of tiny pictures do, some of which
    decode exactly, with infinite dB.

    Args:
        measure: a knob within LOWEST..HIGHEST -> the trial of it.
        goal: what is right.
        knob: of the first trial.
        before: what the first secant goes through beside that; None: it has the goal's slope.
    """
    aim = goal.low + (goal.high - goal.low) / 2
    below = above = None
    trials = 0
    while True:
        trial = measure(knob)
        trials += 1
        if goal.right(trial.value):
            return trial
        if trial.value < goal.low:
            below = trial
        else:
            above = trial
        if knob == (HIGHEST if trial is below else LOWEST):
            return trial
        if below and above and above.knob - below.knob <= FINEST:
            return below if goal.at_most else above
        if below and above:
            width = above.knob - below.knob
            margin = width / (8 if trials < 8 else 2)
            line = below.knob + width * ((aim - below.value) / (above.value - below.value))
            knob = min(max(line, below.knob + margin), above.knob - margin)
            continue
        slope = goal.slope(knob)
        if before and math.isfinite(change := trial.value - before.value):
            slope = max(change / (knob - before.knob), slope / 4)
        step = (aim - trial.value) / slope
        step = math.copysign(max(abs(step), 2.0 ** (trials - 6)), step)
        before, knob = trial, min(max(knob + step, LOWEST), HIGHEST)

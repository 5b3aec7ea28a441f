"""Root search for `targets`: finds the knob at which a measured value is in a given range, with few measurements.

The value rises with the knob. Each measurement encodes a picture, and is therefore slow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

# Range of the knob, and the width of a bracket at which the search ends.
LOWEST, HIGHEST, FINEST = -18.0, 100.0, 1 / 64
KNOBS = np.arange(LOWEST, HIGHEST + 1)


@dataclass(frozen=True)
class Trial:
    """One measurement: the knob, and the value that was measured."""

    knob: float
    value: float


Found = TypeVar("Found", bound=Trial)


@dataclass(frozen=True)
class Goal:
    """The range of values that a search tries to hit.

    Args:
        low, high: the ends of the range.
        at_most: whether values above `high` are forbidden; else values below `low` are.
        typical: how the value typically rises with the knob: its difference from that at LOWEST, at each of KNOBS,
            float [119], rising.
    """

    low: float
    high: float
    at_most: bool
    typical: np.ndarray

    def wider(self, times: float) -> "Goal":
        """Return the same goal with a range `times` as wide, around the same middle."""
        more = (times - 1) * (self.high - self.low) / 2
        return replace(self, low=self.low - more, high=self.high + more)

    def right(self, value: float) -> bool:
        return self.low <= value <= self.high

    def met(self, value: float) -> bool:
        return value <= self.high if self.at_most else value >= self.low

    def rise(self, knob: float) -> float:
        """Return the typical difference of the value at a knob from that at LOWEST."""
        return float(np.interp(knob, KNOBS, self.typical))

    def knob(self, rise: float) -> float:
        """Return the knob, within LOWEST..HIGHEST, at which the value has typically risen so far."""
        return float(np.interp(rise, self.typical, KNOBS))


def find(measure: Callable[[float], Found], goal: Goal, knob: float, before: Trial | None = None) -> Found:
    """Measure at a few knobs, and return the first trial within the goal's range.

    If no trial is within the range, the nearest one on the permitted side is returned, or else the nearest.

    The search takes secant steps, whose minimum length grows, until the range is bracketed. Then it interpolates
    between the ends of the bracket, keeping a distance from both, and after 8 trials it bisects. So it ends within 30
    trials even if the values jump. Those of tiny pictures do, and some decode exactly, with infinite dB. Steps and
    interpolation are linear in the typical rise of the value and not in the knob, because the value's slope varies.

    Args:
        measure: takes a knob within LOWEST..HIGHEST and returns the trial.
        goal: the range to hit.
        knob: of the first trial.
        before: an assumed trial for the first secant; None: the first step goes by the typical rise.
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
            margin = (above.knob - below.knob) / (8 if trials < 8 else 2)
            first, last = goal.rise(below.knob), goal.rise(above.knob)
            line = goal.knob(first + (last - first) * ((aim - below.value) / (above.value - below.value)))
            knob = min(max(line, below.knob + margin), above.knob - margin)
            continue
        slope = 1.0  # relative to the typical one
        if before and math.isfinite(change := trial.value - before.value):
            slope = max(change / (goal.rise(knob) - goal.rise(before.knob)), slope / 4)
        step = goal.knob(goal.rise(knob) + (aim - trial.value) / slope) - knob
        step = math.copysign(max(abs(step), 2.0 ** (trials - 6)), aim - trial.value)
        before, knob = trial, min(max(knob + step, LOWEST), HIGHEST)

"""The quality, and the encoder's freedom within it, for which a file has a given size or a picture a given PSNR.

One knob runs through both: a real number whose nearest integer is the quality, and whose fraction widens or narrows
the encoder's dead zones, about as much as half a quality more or less would change the file. The network is told the
quality, but its latents hardly depend on it: quantised at 4 qualities from their own they cost 0.0 to 1.0 % more bytes
at equal PSNR, at 12 from it 0.2 to 1.5 %, at 20 0.5 to 3.7 %, most of all at low ones (6 crops of Kodak). So a sample
of the picture says about where to look, the picture is analysed there, once, and the search is over the entropy nets
and the coder alone, a fraction of the work. That is all where nothing is refined. Refined latents are bound to their
own quality: a few whole files are tried, from where the search ended.

A PSNR is searched for among the latents too: their squared errors, weighted by what the synthesis' linear part makes
of each, are the picture's but for a factor, which depends on the picture and, slowly, on the knob: 0.5 dB either way,
more at the ends. What was found is decoded, which corrects it, and mostly the next is right.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from . import format, pipeline
from .format import Header, Tile
from .image import Pixels
from .integer import to_fixed, to_float
from .layers import exact_convolutions
from .model import HYPER_STRIDE
from .parallel import team
from .refine import iterations
from .weights import Codec

LOWEST, HIGHEST, FINEST = -18.0, 100.0, 1 / 64  # of the knob: below 1 dead zones widen, up to three times the model's
KNOBS = (1.0, 25.0, 50.0, 75.0, 100.0)
LOG_BYTES_SLOPE, DB_SLOPE = (0.051, 0.047, 0.034, 0.026, 0.023), (0.12, 0.18, 0.225, 0.205, 0.14)  # there, by knob
FAR = 16  # knobs between analysis and result that are too many
CELL = 64  # side of the sample's cells, as large as a hyperlatent's
SAMPLE, MOST_CELLS = 1 / 8, 8  # of the picture's area; cells along a side of the sample
TORN = 0.89  # what a picture's bytes are of its sample's, by area: between cells nothing can be predicted
STRIP = 256  # rows whose error is taken at once
ESTIMATES = 3  # searches by the latents' errors, each corrected by the last one's decoded picture


class OutOfReach(ValueError):
    """No quality meets the target."""


@dataclass(frozen=True)
class Target:
    """What to reach; one of the two.

    Args:
        bytes: of the whole file, at most.
        psnr: in dB, at least: of the decoded picture, over all its colour samples that are not wholly transparent.
    """

    bytes: int | None = None
    psnr: float | None = None


@dataclass(frozen=True)
class _Goal:
    """Values that are right, logarithms of bytes or dB; whether the upper end may not be crossed, or the lower."""

    low: float
    high: float
    at_most: bool

    @classmethod
    def of(cls, target: Target, slack: float = 1.0) -> "_Goal":
        if target.psnr is None:
            most = math.log(max(1, target.bytes))
            return cls(most - 0.028 * slack, most, True)
        return cls(target.psnr, target.psnr + 0.12 * slack, False)  # 0.12 dB: 2 to 3 % of the bytes

    def unrefined(self) -> "_Goal":
        """What to look for among unrefined files: refined at the same knob they have 0.02 to 0.3 dB more.

        Their size changes by some -0.5 to 1 %, less than a goal is wide.
        """
        return self if self.at_most else replace(self, low=self.low - 0.1, high=self.high - 0.1)

    def middle(self) -> "_Goal":
        """The half of it that lies around its middle."""
        quarter = (self.high - self.low) / 4
        return replace(self, low=self.low + quarter, high=self.high - quarter)

    def right(self, value: float) -> bool:
        return self.low <= value <= self.high

    def met(self, value: float) -> bool:
        return value <= self.high if self.at_most else value >= self.low

    def slope(self, knob: float) -> float:
        """What the value usually changes by, measured on crops of Kodak."""
        return float(np.interp(knob, KNOBS, LOG_BYTES_SLOPE if self.at_most else DB_SLOPE))


@dataclass(frozen=True)
class _Trial:
    """What one setting of the knob makes: the colours' payloads, and the value that the goal is for."""

    knob: float
    payloads: list[bytes]
    value: float


@dataclass(frozen=True)
class _Task:
    """A picture to code, and how its files are judged.

    Args:
        area: what the payloads are multiplied by; above 1 for a sample.
    """

    codec: Codec
    pixels: Pixels
    target: Target
    other_bytes: int
    tile: int
    area: float = 1.0

    def header(self, knob: float) -> Header:
        return self.pixels.header(_setting(self.codec, knob)[1], self.codec.id, self.tile)

    def trial(self, knob: float, payloads: list[bytes]) -> _Trial:
        header = replace(self.header(knob), alpha=False)
        if self.target.psnr is None:
            n = sum(map(len, payloads))
            size = n * self.area + len(format.write(header, payloads)) - n + self.other_bytes
            return _Trial(knob, payloads, math.log(size))
        return _Trial(knob, payloads, _psnr(self.pixels, pipeline.decode(self.codec, header, payloads)))

    def sample(self) -> "_Task":
        """Of cells from all over the picture, in a square; of a small picture all of it."""
        height, width = self.pixels.height, self.pixels.width
        n = min(max(round(math.sqrt(SAMPLE * height * width) / CELL), 2), MOST_CELLS)
        if min(height, width) < CELL or height * width < 2 * (n * CELL) ** 2:
            return self

        def pick(whole: Tensor) -> Tensor:
            # At positions of low discrepancy: multiples of 1/g and 1/g^2 modulo 1, where g^3 = g + 1.
            tops = [int(i * 0.7548776662 % 1 * (height - CELL)) for i in range(1, n * n + 1)]
            lefts = [int(i * 0.5698402910 % 1 * (width - CELL)) for i in range(1, n * n + 1)]
            cells = [whole[..., y : y + CELL, x : x + CELL] for y, x in zip(tops, lefts, strict=True)]
            return torch.cat([torch.cat(cells[i::n], -1) for i in range(n)], -2)

        alpha = None if self.pixels.alpha is None else pick(self.pixels.alpha)
        pixels = replace(self.pixels, data=pick(self.pixels.data), alpha=alpha)
        return replace(self, pixels=pixels, area=TORN * height * width / (n * CELL) ** 2)


def _setting(codec: Codec, knob: float) -> tuple[Codec, int]:
    """The codec with the dead zones, and the quality, that the knob stands for."""
    quality = min(100, max(1, round(knob)))
    width = 1 + (quality - knob) * (0.1 + 0.005 * quality)
    return replace(codec, dead_zones=(codec.dead_zones * width).round().to(torch.int16)), quality


def encode(
    codec: Codec,
    pixels: Pixels,
    header: Header,
    effort: int,
    target: Target,
    other_bytes: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Header, list[bytes]]:
    """The colours' payloads that meet a target, and the header with their quality.

    A size is never exceeded, and 97 % of it are used, unless the file of quality 100 is smaller: then it is that one.
    Tiny files, whose sizes come in coarser steps, use what they can. A PSNR is measured on what the file decodes to.

    Args:
        header: of the picture; its quality counts for nothing.
        effort: as in `api.encode`, but that at 1 there are dead zones too, for they are what is tuned. If it refines,
            refined files are searched among, beginning about where unrefined ones meet the target.
        target: what to reach.
        other_bytes: what the file has beside `format.write` of the colours alone: metadata, alpha.
        progress: as in `pipeline.encode`.

    Raises:
        OutOfReach: as it says; the message has the nearest that was reached.
    """
    task, goal = _Task(codec, pixels, target, other_bytes, header.tile), _Goal.of(target)
    refined = iterations(codec, effort) > 0
    first = goal.unrefined() if refined else goal
    sample = task.sample()
    start = _find(partial(_guess, sample, _analysed(sample, 50.0)), _Goal.of(target, slack=5.0), 50.0).knob
    part = 1 / 2 if refined else 1.0  # of the bar
    trial = _search(task, first, _analysed(task, start, lambda share: progress(part * share)), start)
    if abs(max(1, trial.knob) - max(1, start)) > FAR:  # the sample was not like the picture
        trial = _search(task, first, _analysed(task, trial.knob), trial.knob)
    elif not refined and not first.right(trial.value) and LOWEST < trial.knob < HIGHEST:
        # Values jump, as in tiny files; elsewhere for latents of another quality. (Refined files have their own.)
        other = _search(task, first, _analysed(task, trial.knob), trial.knob)
        trial = min(trial, other, key=lambda t: (not first.met(t.value), abs(t.value - first.low)))
    if refined:
        trial = _refined(task, goal, trial.knob, effort, lambda share: progress(part + (1 - part) * share))
    if not goal.met(trial.value):
        if target.psnr is None:
            raise OutOfReach(f"target of {target.bytes} bytes: this picture takes at least {math.exp(trial.value):.0f}")
        raise OutOfReach(f"target of {target.psnr} dB: this picture reaches at most {trial.value:.2f}")
    progress(1.0)
    return replace(header, quality=_setting(codec, trial.knob)[1]), trial.payloads


def _numbers(codec: Codec, tile: Tile) -> int:
    """How many latents and hyperlatents a tile has."""
    height, width = pipeline.latent_size(tile)
    n_hyper = codec.config.hyper * -(-height // HYPER_STRIDE) * -(-width // HYPER_STRIDE)
    return codec.config.latents * height * width + n_hyper


# A knob -> the payloads, and, where a PSNR is the target, what the latents' errors say of it.
_Code = Callable[[float], tuple[list[bytes], float]]


def _analysed(task: _Task, start: float, progress: Callable[[float], None] = lambda share: None) -> _Code:
    """Analyse the task's picture, at the quality of `start`; what codes it at any knob."""
    codec, header = task.codec, task.header(start)

    @torch.inference_mode()
    def analyse(tile: Tile) -> tuple[Tensor, ...]:
        y_and_z = pipeline.analyse(codec, task.pixels, tile, header.quality, effort=1)
        return tuple(to_fixed(v).to(torch.int16).cpu() for v in y_and_z)

    # What the quantiser makes of them anyhow, int16 in units of 2^-12: 4 bytes for each pixel of the picture. In one
    # piece, for many would lie scattered among what comes and goes meanwhile, and take up more memory.
    held, used = torch.empty(sum(_numbers(codec, tile) for tile in header.tiles), dtype=torch.int16, device="cpu"), 0

    def hold(values: Tensor) -> Tensor:
        nonlocal used
        used += values.numel()
        return held[used - values.numel() : used].view(values.shape).copy_(values)

    tiles = []
    with exact_convolutions, team(len(header.tiles), codec.device) as ordered:
        for latents in ordered(analyse, header.tiles):
            tiles.append(tuple(map(hold, latents)))
            progress(len(tiles) / (len(header.tiles) + 1))
    energy = codec.synthesis.energies()

    def code(knob: float) -> tuple[list[bytes], float]:
        tuned, quality = _setting(codec, knob)

        @torch.inference_mode()
        def one(latents: tuple[Tensor, ...]) -> tuple[bytes, float]:
            y, z = (to_float(v.to(codec.device)) for v in latents)
            payload, decoded = pipeline.code(tuned, quality, y, z, tuned.dead_zones)
            if task.target.psnr is None:
                return payload, 0.0  # nobody asks
            return payload, float((y - decoded).square().sum((1, 2)) @ energy)

        with team(len(tiles), codec.device) as ordered:
            payloads, errors = zip(*ordered(one, tiles), strict=True)
        return list(payloads), _decibels(sum(errors), 3 * task.pixels.height * task.pixels.width)

    return code


def _guess(task: _Task, code: _Code, knob: float, gap: float = 0.0) -> _Trial:
    """Exact for a size. `gap`: dB from what the latents' errors say to the picture's PSNR."""
    payloads, decibels = code(knob)
    return task.trial(knob, payloads) if task.target.psnr is None else _Trial(knob, payloads, decibels + gap)


def _search(task: _Task, goal: _Goal, code: _Code, start: float) -> _Trial:
    """A trial that is right, or the nearest to it, as `_find` says; of a PSNR's trials few are decoded."""
    if task.target.psnr is None:
        return _find(partial(_guess, task, code), goal, start)
    gap, last = 0.0, math.inf
    for _ in range(ESTIMATES):
        found = _find(partial(_guess, task, code, gap=gap), goal.middle(), start)
        trial = task.trial(found.knob, found.payloads)
        end = HIGHEST if trial.value < goal.low else LOWEST
        if goal.right(trial.value) or trial.knob == end:
            return trial
        if goal.met(trial.value) and abs(trial.knob - last) <= FINEST:  # values jump here, nothing lies nearer
            return trial
        start = last = trial.knob
        gap += trial.value - found.value
        if not math.isfinite(gap):
            break
    return _find(lambda knob: task.trial(knob, code(knob)[0]), goal, start)


def _refined(task: _Task, goal: _Goal, start: float, effort: int, progress: Callable[[float], None]) -> _Trial:
    """Search among refined files, each of which takes as long as one of a given quality."""
    n = 0

    def measure(knob: float) -> _Trial:
        nonlocal n
        n += 1
        # How many trials there will be is not known: each takes half of what is left of the bar.
        tell = lambda share: progress(1 - (2 - share) / 2**n)  # noqa: E731
        tuned, _ = _setting(task.codec, knob)
        return task.trial(knob, pipeline.encode(tuned, task.pixels, task.header(knob), effort, tell))

    return _find(measure, goal, start)


def _find(measure: Callable[[float], _Trial], goal: _Goal, knob: float) -> _Trial:
    """The first trial whose value is right, or the nearest on the permitted side; if there is none, the nearest.

    Secants, the first step by the usual slope, growing while nothing lies on the other side; then the line between the
    bracket's ends, kept off them, and at last halves. So a search ends within 30 trials, however values jump, as
    those of tiny pictures do, some of which decode exactly, with infinite dB.
    """
    aim = goal.low + (goal.high - goal.low) / 2
    below = above = before = None
    for n in itertools.count():
        trial = measure(knob)
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
            margin = width / (8 if n < 7 else 2)
            line = below.knob + width * ((aim - below.value) / (above.value - below.value))
            knob = min(max(line, below.knob + margin), above.knob - margin)
            continue
        slope = goal.slope(knob)
        if before and math.isfinite(change := trial.value - before.value):
            slope = max(change / (knob - before.knob), slope / 4)
        step = (aim - trial.value) / slope
        step = math.copysign(max(abs(step), 2.0 ** (n - 5)), step)
        before, knob = trial, min(max(knob + step, LOWEST), HIGHEST)


def _psnr(pixels: Pixels, decoded: Tensor) -> float:
    """dB, as `metrics.psnr`, but without a copy of the picture; where alpha is 0 nothing counts."""
    total = count = 0
    for y in range(0, pixels.height, STRIP):
        rows = slice(y, y + STRIP)
        a, b = (x[:, rows].cpu().to(torch.int32) for x in (pixels.data, decoded))
        error = (a - b).double().square()
        if pixels.alpha is not None:
            error = error[:, pixels.alpha[rows].cpu().to(torch.int32) > 0]
        total, count = total + float(error.sum()), count + error.numel()
    return _decibels(total, (2**pixels.depth - 1) ** 2 * count)


def _decibels(error: float, most: float) -> float:
    """PSNR of a sum of squared errors, of which `most` are 0 dB."""
    return 10 * math.log10(most / error) if error else math.inf

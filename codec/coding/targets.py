"""The quality, and the encoder's freedom within it, for which a file has a given size, or a picture a given fidelity.

One knob runs through both: a real number whose nearest integer is the quality, and whose fraction widens or narrows
the encoder's dead zones, about as much as half a quality more or less would change the file. The network is told the
quality's level, and its latents depend on it, if little: of a model tuned for the eye they cost 0 to 4 % more bytes at
equal SSIMULACRA 2 where they are quantised at 4 levels from their own, 4 to 12 % at 8, 6 to 23 % at 12 (5 held-out
crops). So the picture is analysed near where the search is, mostly once or twice, and each trial is of the entropy nets
and the coder alone; for its PSNR or SSIMULACRA 2 it is decoded. Refined latents are bound to their own quality: a few
whole files are tried, from where that search ended.

Where to begin, a sample says of bytes and of PSNR. Of SSIMULACRA 2 pieces of a picture tell less than other pictures
do; but qualities are calibrated to it (`codec.train.quality_levels`), so that the first trial of a photograph is wrong
by 5 points about 50, by 3 about 70, and mostly the second or third is right.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..container import format
from ..container.format import Header, Tile
from ..picture import fidelity
from ..picture.pixels import Pixels
from ..picture.ssimulacra2 import MIN_SIDE
from . import decoder, tiles
from .knob_search import HIGHEST, Goal, Trial, find
from .model_config import HYPER_STRIDE, Config
from .refinement import iterations
from .threads import team
from .tiles import Encoder

LEVELS = (1.0, 25.0, 50.0, 75.0, 100.0)
LOG_BYTES_SLOPE, DB_SLOPE = (0.051, 0.047, 0.034, 0.026, 0.023), (0.1, 0.14, 0.18, 0.16, 0.11)  # there, by level
# What refined files have more than others of the same knob: 0.02 to 0.3 dB, 0.4 to 1 point. Their size changes by some
# -0.5 to 1 %, less than a goal is wide.
REFINED_DB, REFINED_SCORE = 0.1, 0.6
MIDDLE = 50.0  # a knob to begin at
NEAR = 4  # levels from the latents' own at which they are quantised: by SSIMULACRA 2 it costs 0 to 4 % more bytes
CELL = 64  # side of the sample's cells, as large as a hyperlatent's
SAMPLE, MOST_CELLS = 1 / 8, 8  # of the picture's area; cells along a side of the sample
# Between the sample's cells nothing can be predicted: a picture's bytes by those of its sample, by area, and how much
# more it has in dB.
TORN_BYTES, TORN_DB = 0.89, 0.8


class OutOfReach(ValueError):
    """No quality meets the target."""


@dataclass(frozen=True)
class Target:
    """What to reach; one of the three.

    Args:
        bytes: of the whole file, at most.
        psnr: in dB, at least: of the decoded picture, over all its colour samples that are not wholly transparent.
        ssimulacra2: points, at most 100: what `fidelity.score` says of the decoded picture, at least.
    """

    bytes: int | None = None
    psnr: float | None = None
    ssimulacra2: float | None = None

    def goal(self, levels: np.ndarray, unrefined: bool = False) -> Goal:
        """Logarithms of bytes, dB or points that are right; as wide as 2 to 3 % of the bytes.

        Args:
            levels: of the model's qualities, float [100].
            unrefined: of files that are to be refined later.
        """
        rise = np.gradient(levels)
        if self.bytes is not None:
            most = math.log(max(1, self.bytes))
            return Goal(most - 0.028, most, True, np.interp(levels, LEVELS, LOG_BYTES_SLOPE) * rise)
        if self.psnr is not None:
            least = self.psnr - (REFINED_DB if unrefined else 0)
            return Goal(least, least + 0.12, False, np.interp(levels, LEVELS, DB_SLOPE) * rise)
        if self.ssimulacra2 is None:
            raise TypeError("a target of nothing: one of bytes, psnr and ssimulacra2 must be given")
        least = self.ssimulacra2 - (REFINED_SCORE if unrefined else 0)
        return Goal(least, least + 0.7, False, np.ones_like(levels))

    def missed(self, nearest: float) -> "OutOfReach":
        """The error where the value nearest to the goal does not meet it."""
        if self.bytes is not None:
            return OutOfReach(f"target of {self.bytes} bytes: this picture takes at least {math.exp(nearest):.0f}")
        if self.psnr is not None:
            return OutOfReach(f"target of {self.psnr} dB: this picture reaches at most {nearest:.2f}")
        return OutOfReach(f"target of SSIMULACRA 2 {self.ssimulacra2}: this picture reaches at most {nearest:.2f}")


@dataclass(frozen=True)
class _File(Trial):
    """What one setting of the knob makes: the colours' payloads, and the value that the goal is for."""

    payloads: list[bytes]


@dataclass(frozen=True)
class _Task:
    """A picture to code, and how its files are judged.

    Args:
        area, gain: of a sample, what the payloads are multiplied by, and what is added to the PSNR, in dB.
    """

    encoder: Encoder
    pixels: Pixels
    target: Target
    other_bytes: int
    tile: int
    area: float = 1.0
    gain: float = 0.0

    def level(self, knob: float) -> float:
        """That of the knob's quality."""
        return float(self.encoder.file.levels[_setting(self.encoder, knob)[1] - 1])

    def header(self, knob: float) -> Header:
        return self.pixels.header(_setting(self.encoder, knob)[1], self.encoder.file.id, self.tile)

    def trial(self, knob: float, payloads: list[bytes]) -> _File:
        header = replace(self.header(knob), alpha=False)
        if self.target.bytes is not None:
            n = sum(map(len, payloads))
            size = n * self.area + len(format.write(header, payloads)) - n + self.other_bytes
            return _File(knob, math.log(size), payloads)
        if self.target.psnr is not None:
            decoded = decoder.decode(self.encoder.decoder, header, payloads)
            return _File(knob, fidelity.psnr(self.pixels, decoded) + self.gain, payloads)
        decoded = decoder.decode(self.encoder.decoder, replace(header, depth=8), payloads)
        return _File(knob, fidelity.score(self.pixels, decoded), payloads)

    def sample(self) -> "_Task":
        """Of cells from all over the picture, in a square; of a small picture all of it."""
        height, width = self.pixels.height, self.pixels.width
        n = min(max(round(math.sqrt(SAMPLE * height * width) / CELL), 2), MOST_CELLS)
        if min(height, width) < CELL or height * width < 2 * (n * CELL) ** 2:
            return self

        def pick(whole: np.ndarray) -> np.ndarray:
            # At positions of low discrepancy: multiples of 1/g and 1/g^2 modulo 1, where g^3 = g + 1.
            tops = [int(i * 0.7548776662 % 1 * (height - CELL)) for i in range(1, n * n + 1)]
            lefts = [int(i * 0.5698402910 % 1 * (width - CELL)) for i in range(1, n * n + 1)]
            cells = [whole[y : y + CELL, x : x + CELL] for y, x in zip(tops, lefts, strict=True)]
            return np.concatenate([np.concatenate(cells[i::n], 1) for i in range(n)])

        alpha = None if self.pixels.alpha is None else pick(self.pixels.alpha)
        pixels = replace(self.pixels, data=pick(self.pixels.data), alpha=alpha)
        return replace(self, pixels=pixels, area=TORN_BYTES * height * width / (n * CELL) ** 2, gain=TORN_DB)


def _setting(encoder: Encoder, knob: float) -> tuple[Encoder, int]:
    """The encoder with the dead zones, and the quality, that the knob stands for.

    Below 1 it goes on by levels.
    """
    quality, levels = min(100, max(1, round(knob))), encoder.file.levels
    level = levels[quality - 1]
    missing = level - np.interp(knob, np.arange(1, 101), levels) + max(0, 1 - knob)
    width = max(0, 1 + missing * (0.1 + 0.005 * level))
    return encoder.with_dead_zones(np.rint(encoder.file.dead_zones * width).astype(np.int16)), quality


def encode(
    encoder: Encoder,
    pixels: Pixels,
    header: Header,
    effort: int,
    target: Target,
    other_bytes: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Header, list[bytes]]:
    """The colours' payloads that meet a target, and the header with their quality.

    A size is never exceeded, and 97 % of it are used, unless the file of quality 100 is smaller: then it is that one.
    Tiny files, whose sizes come in coarser steps, use what they can. A PSNR and a SSIMULACRA 2 are measured on what the
    file decodes to, and hardly passed, unless that of quality 1 has more.

    Args:
        header: of the picture; its quality counts for nothing.
        effort: as in `api.encode`, but that at 1 there are dead zones too, for they are what is tuned. If it refines,
            refined files are searched among, beginning about where unrefined ones meet the target.
        target: what to reach.
        other_bytes: what the file has beside `format.write` of the colours alone: metadata, alpha.
        progress: as in `tiles.encode`.

    Raises:
        OutOfReach: as it says; the message has the nearest that was reached. A picture with a side below
            ssimulacra2.MIN_SIDE has no SSIMULACRA 2, and reaches none.
    """
    if target.ssimulacra2 is not None and min(pixels.width, pixels.height) < MIN_SIDE:
        raise OutOfReach(
            f"target of SSIMULACRA 2 {target.ssimulacra2}: this picture of {pixels.width}x{pixels.height} has none; "
            f"both sides must be at least {MIN_SIDE}"
        )
    task, levels = _Task(encoder, pixels, target, other_bytes, header.tile), encoder.file.levels
    goal, stage = target.goal(levels), _stages(progress)
    if iterations(encoder.file.tune, effort):
        start = _among_latents(task, target.goal(levels, unrefined=True), stage).knob
        trial = find(partial(_refined, task, effort, stage), goal, start)
    else:
        trial = _among_latents(task, goal, stage)
    if not goal.met(trial.value):
        raise target.missed(trial.value)
    progress(1.0)
    return replace(header, quality=_setting(encoder, trial.knob)[1]), trial.payloads


# Begins a stage of the work: what to tell the share of it that is done.
_Stage = Callable[[], Callable[[float], None]]


def _stages(progress: Callable[[float], None]) -> _Stage:
    """How many stages there will be is not known: each takes half of what is left of the bar."""
    n = itertools.count(1)

    def stage() -> Callable[[float], None]:
        left = 0.5 ** next(n)
        return lambda share: progress(1 - (2 - share) * left)

    return stage


def _among_latents(task: _Task, goal: Goal, stage: _Stage) -> _File:
    """Search among unrefined files."""
    # Where a picture's score at a quality is not what the quality means, it is so all the way up, in proportion to what
    # is left to 100.
    before = None if task.target.ssimulacra2 is None else Trial(HIGHEST, 100.0)
    code = _coder(task, stage)
    return find(lambda knob: task.trial(knob, code(knob)), goal, _start(task, goal), before)


def _start(task: _Task, goal: Goal) -> float:
    """The knob to begin at: the quality that means the score; else where a sample meets the goal, more or less."""
    if task.target.ssimulacra2 is not None:
        return task.target.ssimulacra2
    sample = task.sample()
    if sample is task:
        return MIDDLE
    goal, code = goal.wider(5.0), _coder(sample, _stages(lambda share: None))
    return find(lambda knob: sample.trial(knob, code(knob)), goal, MIDDLE).knob


def _refined(task: _Task, effort: int, stage: _Stage, knob: float) -> _File:
    """A file that takes as long as one of a given quality."""
    tuned, _ = _setting(task.encoder, knob)
    return task.trial(knob, tiles.encode(tuned, task.pixels, task.header(knob), effort, stage()))


def _coder(task: _Task, stage: _Stage) -> Callable[[float], list[bytes]]:
    """What codes the task's picture at any knob; analysed anew where the last latents are of a level too far off."""
    code: Callable[[float], list[bytes]] | None = None
    analysed = math.inf

    def at(knob: float) -> list[bytes]:
        nonlocal code, analysed
        level = task.level(knob)
        if code is None or abs(level - analysed) > (0 if knob == HIGHEST else NEAR):  # the best there is must be it
            code = None  # what it holds goes before there is more
            code, analysed = _analysed(task, knob, stage()), level
        return code(knob)

    return at


def _analysed(task: _Task, knob: float, progress: Callable[[float], None]) -> Callable[[float], list[bytes]]:
    """Analyse the task's picture, at the knob's quality; what codes these latents at any knob."""
    encoder, header = task.encoder, task.header(knob)

    def analyse(tile: Tile) -> tuple[np.ndarray, ...]:
        return tiles.analyse(encoder, task.pixels, tile, header.quality, effort=1)

    # 4 bytes for each pixel of the picture. In one piece, for many would lie scattered among what comes and goes
    # meanwhile, and take up more memory.
    held, used = np.empty(sum(_numbers(encoder.file.config, tile) for tile in header.tiles), np.int16), 0

    def hold(values: np.ndarray) -> np.ndarray:
        nonlocal used
        used += values.size
        to = held[used - values.size : used].reshape(values.shape)
        to[...] = values
        return to

    analysed = []
    with team(len(header.tiles), encoder.one_at_a_time) as ordered:
        for latents in ordered(analyse, header.tiles):
            analysed.append(tuple(map(hold, latents)))
            progress(len(analysed) / (len(header.tiles) + 1))

    def code(knob: float) -> list[bytes]:
        tuned, quality = _setting(encoder, knob)
        with team(len(analysed), encoder.one_at_a_time) as ordered:
            return list(ordered(lambda latents: tuned.pack(tuned.quantise(quality, *latents)), analysed))

    return code


def _numbers(config: Config, tile: Tile) -> int:
    """How many latents and hyperlatents a tile has."""
    height, width = decoder.latent_size(tile)
    return config.latents * height * width + config.hyper * -(-height // HYPER_STRIDE) * -(-width // HYPER_STRIDE)

"""Search for the encoder settings that give a file of a target size, or a picture of a target fidelity.

The search varies one real number, called the knob. Its nearest integer is the quality, and the rest widens or narrows
the encoder's dead zones, so that the file changes about as much as it would between two qualities.

The analysis transform knows the level of the quality, and the latents depend on it a little. If latents are quantised
at another level than the one they were computed for, a model tuned for the eye needs more bytes at equal SSIMULACRA 2:
0 to 4 % at a distance of 4 levels, 4 to 12 % at 8, and 6 to 23 % at 12 (5 held-out crops). So the picture is analysed
again only if the search has moved too far, mostly once or twice in all. Each other trial runs only the entropy nets and
the entropy coder, and the synthesis too if the target is a PSNR or a SSIMULACRA 2 score. Refined latents cannot be used
at another quality, so at higher efforts a second search encodes a few complete files, starting from the result of the
first.

For sizes and PSNR, the search starts from the result of the same search on a small sample of the picture. For
SSIMULACRA 2 a sample predicts less than the average of other pictures does. But the qualities are calibrated to that
score (`codec.train.quality_levels`), so the search starts at the quality equal to the target. For photographs, the
first trial is off by about 5 points near 50 and 3 points near 70, and the second or third is mostly right.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..container import format
from ..container.format import Header, Tile
from ..picture import fidelity
from ..picture.samples import Pixels
from ..picture.ssimulacra2 import MIN_SIDE
from . import decoder, tiles
from .decoder import first_channels
from .knob_search import HIGHEST, KNOBS, LOWEST, Goal, Trial, find
from .model_config import HYPER_STRIDE, Config
from .quality_map import Quality, applied, of_tile
from .refinement import iterations
from .threads import team
from .tiles import Encoder, TileTask

# Typical change of log(bytes) and of the PSNR in dB, for each level, at the levels LEVELS: means over 9 held-out
# pictures and both models that are shipped.
LEVELS = (1.0, 25.0, 50.0, 75.0, 100.0, 120.0)
LOG_BYTES_SLOPE, DB_SLOPE = (0.040, 0.042, 0.040, 0.039, 0.028, 0.021), (0.13, 0.13, 0.155, 0.19, 0.21, 0.21)
# Typical gain by refinement at the same knob: 0.02 to 0.3 dB, 0.4 to 1 point of SSIMULACRA 2. The size changes by -0.5
# to 1 %, which is less than the tolerance of a goal.
REFINED_DB, REFINED_SCORE = 0.1, 0.6
MIDDLE = 50.0  # the knob at which the search on a sample starts
# Latents are quantised at most this many levels from the level they were computed for. The limit costs 0 to 4 % more
# bytes at equal SSIMULACRA 2.
NEAR = 4
CELL = 64  # the sample consists of cells of this side in pixels, which is also the area of one hyperlatent
SAMPLE, MOST_CELLS = 1 / 8, 8  # share of the picture's area in the sample; largest number of cells along its side
# The cells of a sample are not neighbours in the picture, so that the codec cannot predict one from the other. The
# whole picture needs this share of the bytes that the sample suggests by its area, and has this many dB more.
TORN_BYTES, TORN_DB = 0.89, 0.8


class OutOfReach(ValueError):
    """No quality meets the target."""


@dataclass(frozen=True)
class Target:
    """What the file must reach. Exactly one of the three is set.

    Args:
        bytes: upper limit for the size of the whole file.
        psnr: lower limit for the PSNR of the decoded picture in dB, as `fidelity.psnr` measures it: over all colour
            samples of pixels that are not fully transparent.
        ssimulacra2: lower limit for the score of the decoded picture, at most 100, as `fidelity.score` measures it.
    """

    bytes: int | None = None
    psnr: float | None = None
    ssimulacra2: float | None = None

    def goal(self, levels: np.ndarray, unrefined: bool = False) -> Goal:
        """Return the range of values that ends the search: of log(bytes), of dB, or of points of SSIMULACRA 2.

        The width of the range corresponds to 2 to 3 % of the bytes.

        Args:
            levels: the level of each quality of the model, float [100].
            unrefined: the values are measured before refinement, which will still improve them.

        Raises:
            TypeError: none of the three is set.
        """
        if self.bytes is not None:
            most = math.log(max(1, self.bytes))
            return Goal(most - 0.028, most, True, _typical_rise(levels, LOG_BYTES_SLOPE))
        if self.psnr is not None:
            least = self.psnr - (REFINED_DB if unrefined else 0)
            return Goal(least, least + 0.12, False, _typical_rise(levels, DB_SLOPE))
        if self.ssimulacra2 is None:
            raise TypeError("a target of nothing: one of bytes, psnr and ssimulacra2 must be given")
        least = self.ssimulacra2 - (REFINED_SCORE if unrefined else 0)
        return Goal(least, least + 0.7, False, KNOBS - LOWEST)

    def missed(self, nearest: float) -> "OutOfReach":
        """Return the error for a target that cannot be reached; `nearest` is the nearest value that was reached."""
        if self.bytes is not None:
            return OutOfReach(f"target of {self.bytes} bytes: this picture takes at least {math.exp(nearest):.0f}")
        if self.psnr is not None:
            return OutOfReach(f"target of {self.psnr} dB: this picture reaches at most {nearest:.2f}")
        return OutOfReach(f"target of SSIMULACRA 2 {self.ssimulacra2}: this picture reaches at most {nearest:.2f}")


def _typical_rise(levels: np.ndarray, slopes: Sequence[float]) -> np.ndarray:
    """Return a goal's `typical`, from the slopes at LEVELS. Below knob 1 a unit is worth a level (`_setting`)."""
    of_knobs = np.concatenate([levels[0] + KNOBS[KNOBS < 1] - 1, levels])
    at = np.interp(of_knobs, LEVELS, slopes)
    return np.concatenate([[0.0], np.cumsum((at[1:] + at[:-1]) / 2 * np.diff(of_knobs))])


@dataclass(frozen=True)
class _File(Trial):
    """The result of one trial: the knob, the measured value, and the parts of each tile's payload."""

    coded: list[list[bytes]]


@dataclass(frozen=True)
class _Task:
    """A picture to encode, or a sample of it, and how a trial is measured.

    Args:
        encoder: of the model.
        pixels: the picture.
        target: what the file must reach.
        other_bytes: bytes of the file that are not in `format.write` of the colours alone: metadata and alpha.
        tile: tile side in pixels.
        differences: of the quality of each block, as `quality_map.differences` returns them.
        progressive: whether each tile is coded in two passes.
        area: factor from the size of the payloads to that of the whole picture's; 1 unless `pixels` is a sample.
        gain: added to the measured PSNR, in dB; 0 unless `pixels` is a sample.
    """

    encoder: Encoder
    pixels: Pixels
    target: Target
    other_bytes: int
    tile: int
    differences: np.ndarray | None = None
    progressive: bool = False
    area: float = 1.0
    gain: float = 0.0

    def level(self, knob: float) -> float:
        """Return the level of the knob's quality."""
        return float(self.encoder.file.levels[_setting(self.encoder, knob)[1] - 1])

    def quality(self, header: Header) -> Quality:
        return applied(self.differences, header.quality)

    def header(self, knob: float) -> Header:
        quality = _setting(self.encoder, knob)[1]
        header = self.pixels.header(quality, self.encoder.file.id, self.tile)
        return replace(header, first=tiles.first_of(self.encoder.file, quality) if self.progressive else 0)

    def trial(self, knob: float, coded: list[list[bytes]]) -> _File:
        """Measure a file, given the parts of each tile's payload."""
        header = replace(self.header(knob), alpha=False)
        file = tiles.file(self.encoder, header, coded, self.quality(header))
        if self.target.bytes is not None:
            n = sum(map(len, itertools.chain(*coded)))
            return _File(knob, math.log(n * self.area + len(file) - n + self.other_bytes), coded)
        by = self.encoder.decoder
        read = decoder.Coded.of(by, format.read(file))
        if self.target.psnr is not None:
            return _File(knob, fidelity.psnr(self.pixels, decoder.decode(by, read)) + self.gain, coded)
        return _File(knob, fidelity.score(self.pixels, decoder.decode(by, read, depth=8)), coded)

    def sample(self) -> "_Task":
        """Return a task for a sample, a square made of cells from all over the picture; for a small picture, self."""
        height, width = self.pixels.height, self.pixels.width
        n = min(max(round(math.sqrt(SAMPLE * height * width) / CELL), 2), MOST_CELLS)
        if min(height, width) < CELL or height * width < 2 * (n * CELL) ** 2:
            return self

        def pick(whole: np.ndarray) -> np.ndarray:
            # The positions are a low-discrepancy sequence: multiples of 1/g and 1/g^2 modulo 1, where g^3 = g + 1.
            tops = [int(i * 0.7548776662 % 1 * (height - CELL)) for i in range(1, n * n + 1)]
            lefts = [int(i * 0.5698402910 % 1 * (width - CELL)) for i in range(1, n * n + 1)]
            cells = [whole[y : y + CELL, x : x + CELL] for y, x in zip(tops, lefts, strict=True)]
            return np.concatenate([np.concatenate(cells[i::n], 1) for i in range(n)])

        alpha = None if self.pixels.alpha is None else pick(self.pixels.alpha)
        pixels = replace(self.pixels, data=pick(self.pixels.data), alpha=alpha)
        return replace(
            self, pixels=pixels, differences=None, area=TORN_BYTES * height * width / (n * CELL) ** 2, gain=TORN_DB
        )


def _setting(encoder: Encoder, knob: float) -> tuple[Encoder, int]:
    """Return the encoder with its dead zones adjusted, and the quality, that a knob stands for.

    The dead zones are widened or narrowed to make up for the levels between the knob and its nearest quality. A knob
    below 1 has quality 1, and its dead zones are wider by one level for each unit below 1.
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
    differences: np.ndarray | None = None,
) -> tuple[Header, list[list[bytes]]]:
    """Encode the colours of a picture so that a target is met.

    Returns the header with the quality, and the parts of each tile's payload.

    A target size is never exceeded, and at least 97 % of it is used, unless even the file of quality 100 is smaller;
    then that file is returned. The sizes of tiny files have coarser steps, so these may use less. A PSNR or a
    SSIMULACRA 2 score is measured on the decoded picture, and exceeded only slightly unless quality 1 exceeds it.

    Args:
        header: of the picture; its quality is ignored, and of `first` only counts whether it is 0.
        effort: as in `api.encode`, except that dead zones are also used at effort 1, because the search adjusts them.
            If the effort refines, a search among unrefined files gives the starting point of the search among refined
            ones.
        target: what to reach.
        other_bytes: bytes of the file that are not in `format.write` of the colours alone: metadata and alpha.
        progress: as in `tiles.encode`.
        differences: of the quality of each block from the one that is searched (`quality_map.differences`).

    Raises:
        OutOfReach: no quality meets the target; the message has the nearest value that was reached. SSIMULACRA 2 is
            not defined for a picture with a side below `ssimulacra2.MIN_SIDE`, so no such target can be reached.
    """
    if target.ssimulacra2 is not None and min(pixels.width, pixels.height) < MIN_SIDE:
        raise OutOfReach(
            f"target of SSIMULACRA 2 {target.ssimulacra2}: this picture of {pixels.width}x{pixels.height} has none; "
            f"both sides must be at least {MIN_SIDE}"
        )
    task, levels = (
        _Task(encoder, pixels, target, other_bytes, header.tile, differences, bool(header.first)),
        encoder.file.levels,
    )
    goal, stage = target.goal(levels), _stages(progress)
    if iterations(encoder.file.tune, effort):
        start = _among_latents(task, target.goal(levels, unrefined=True), stage).knob
        trial = find(partial(_refined, task, effort, stage), goal, start)
    else:
        trial = _among_latents(task, goal, stage)
    if not goal.met(trial.value):
        raise target.missed(trial.value)
    progress(1.0)
    return task.header(trial.knob), trial.coded


# Begins a stage of the work, and returns a callback that takes the share of this stage that is done.
_Stage = Callable[[], Callable[[float], None]]


def _stages(progress: Callable[[float], None]) -> _Stage:
    """Divide the progress among stages. Their number is not known before, so each gets half of what is left."""
    n = itertools.count(1)

    def stage() -> Callable[[float], None]:
        left = 0.5 ** next(n)
        return lambda share: progress(1 - (2 - share) * left)

    return stage


def _among_latents(task: _Task, goal: Goal, stage: _Stage) -> _File:
    """Search among unrefined files."""
    # If a picture's score differs from its quality, the difference shrinks towards quality 100 in proportion to the
    # distance from 100. So the first secant goes through the score of 100 at the highest knob.
    before = None if task.target.ssimulacra2 is None else Trial(HIGHEST, 100.0)
    code = _coder(task, stage)
    return find(lambda knob: task.trial(knob, code(knob)), goal, _start(task, goal), before)


def _start(task: _Task, goal: Goal) -> float:
    """Return the first knob: the target score itself, or the knob at which a sample roughly meets the goal."""
    if task.target.ssimulacra2 is not None:
        return task.target.ssimulacra2
    sample = task.sample()
    if sample is task:
        return MIDDLE
    goal, code = goal.wider(5.0), _coder(sample, _stages(lambda share: None))
    return find(lambda knob: sample.trial(knob, code(knob)), goal, MIDDLE).knob


def _refined(task: _Task, effort: int, stage: _Stage, knob: float) -> _File:
    """Encode the whole picture at a knob, with refinement. This takes as long as encoding at a given quality."""
    tuned, _ = _setting(task.encoder, knob)
    header = task.header(knob)
    return task.trial(knob, tiles.encode(tuned, task.pixels, header, effort, stage(), task.quality(header)))


def _coder(task: _Task, stage: _Stage) -> Callable[[float], list[list[bytes]]]:
    """Return a function that encodes the task's picture at any knob.

    It keeps the latents of the last analysis, and analyses the picture again if their level is too far from the knob's.
    """
    code: Callable[[float], list[list[bytes]]] | None = None
    analysed = math.inf

    def at(knob: float) -> list[list[bytes]]:
        nonlocal code, analysed
        level = task.level(knob)
        # At the highest knob the latents must be exact, because a search may end there with the best possible file.
        if code is None or abs(level - analysed) > (0 if knob == HIGHEST else NEAR):
            code = None  # frees the old latents before new ones are allocated
            code, analysed = _analysed(task, knob, stage()), level
        return code(knob)

    return at


def _analysed(task: _Task, knob: float, progress: Callable[[float], None]) -> Callable[[float], list[list[bytes]]]:
    """Analyse the task's picture at the knob's quality. Returns a function that encodes its latents at any knob."""
    encoder, header = task.encoder, task.header(knob)
    whole = task.quality(header)

    def analyse(tile: Tile) -> tuple[np.ndarray, ...]:
        return encoder.analyse(TileTask(task.pixels, tile, whole, effort=1))

    # All latents take about 4 bytes for each pixel of the picture. They are allocated in one piece, because many
    # pieces, mixed with temporary arrays, would fragment the memory.
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

    def code(knob: float) -> list[list[bytes]]:
        header = task.header(knob)
        quality, first = task.quality(header), first_channels(encoder.decoder.steps, header)
        tuned = _setting(encoder, knob)[0].with_first(first)

        def pack(item: tuple[Tile, tuple[np.ndarray, ...]]) -> list[bytes]:
            tile, latents = item
            return tuned.pack(tuned.quantise(of_tile(quality, tile), *latents))

        with team(len(analysed), encoder.one_at_a_time) as ordered:
            return list(ordered(pack, zip(header.tiles, analysed, strict=True)))

    return code


def _numbers(config: Config, tile: Tile) -> int:
    """Return how many latents and hyperlatents a tile has together."""
    height, width = decoder.latent_size(tile)
    return config.latents * height * width + config.hyper * -(-height // HYPER_STRIDE) * -(-width // HYPER_STRIDE)

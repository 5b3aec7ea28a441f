"""Transforms whose integers are as far apart as their rules let them be, and what they read likewise."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import strategies as st

from codec.coding.model_config import Config
from codec.coding.model_tensors import ACCUMULATOR_LIMIT, LARGEST_PIXEL, LOW, MAX_SHIFT
from codec.nets.integer import IntegerQualityVector
from codec.nets.integer_analysis import IntegerAnalysis, IntegerHyperAnalysis
from codec.nets.integer_synthesis import IntegerShortcut, IntegerSynthesis
from codec.nets.scaled import IntegerGain, ScaledConv, ScaledNet

TINY = Config(latents=8, hyper=4, wide8=4, blocks8=2, wide16=6, blocks16=1, context=8, steps=2)
# What tests of a transform draw: its sizes, those of what it reads, in latents, a quality and a seed.
SIZES = dict(
    wide8=st.sampled_from([1, 2, 3, 7, 16, 31, 33, 65]),
    blocks8=st.integers(0, 3),
    wide16=st.sampled_from([1, 2, 5, 8, 15, 32, 35]),
    blocks16=st.integers(0, 3),
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    quality=st.sampled_from([1, 2, 50, 99, 100]),
    seed=st.integers(0, 2**31),
)
OF_PIXELS = ("shortcut", "head8")  # the convolutions of the analysis that read them


def config_of(latents: int, wide8: int, blocks8: int, wide16: int, blocks16: int) -> Config:
    return replace(TINY, latents=latents, wide8=wide8, blocks8=blocks8, wide16=wide16, blocks16=blocks16)


def extreme(seed: int, config: Config = TINY) -> IntegerSynthesis:
    """Random integers as far as the rule lets them go: sums up to the accumulators' bounds, all shifts, saturation."""
    net = _filled(IntegerSynthesis(config), seed)
    net.check()
    return net


def extreme_analysis(seed: int, config: Config = TINY) -> IntegerAnalysis:
    """The same of the analysis. `_C.Analysis` checks it."""
    return _filled(IntegerAnalysis(config), seed)


def extreme_hyper_analysis(seed: int, config: Config = TINY) -> IntegerHyperAnalysis:
    """The same of the hyper-analysis. `_C.HyperAnalysis` checks it."""
    return _filled(IntegerHyperAnalysis(config), seed)


def _filled(net: ScaledNet, seed: int) -> ScaledNet:
    rng = np.random.default_rng(seed)
    for name, module in net.named_modules():
        if isinstance(module, IntegerQualityVector):
            _fill(module.table, rng.integers(-32768, 32768, module.table.numel()) >> rng.choice([0, 4]))
        elif isinstance(module, IntegerShortcut):
            _fill_shortcut(module, rng)
        elif isinstance(module, ScaledConv):
            of_pixels = isinstance(net, IntegerAnalysis) and name in OF_PIXELS
            _fill_convolution(module, rng, LARGEST_PIXEL if of_pixels else -LOW)
        elif isinstance(module, IntegerGain):
            _fill(module.table, rng.integers(-32768, 32768, module.table.numel()))
            _fill(module.shift, rng.choice([1, 5, 16, 30], module.shift.numel()))
    return net


def _fill(buffer: torch.Tensor, values: np.ndarray) -> None:
    buffer.copy_(torch.from_numpy(np.asarray(values).reshape(buffer.shape)))


def _shares(rng: np.random.Generator, outputs: int, terms: int) -> np.ndarray:
    return rng.dirichlet(np.full(terms, rng.choice([0.05, 1.0])), outputs) * rng.choice([-1, 1], (outputs, terms))


def _fill_shortcut(module: IntegerShortcut, rng: np.random.Generator) -> None:
    outputs, terms = module.weight.shape[:2]
    room = ACCUMULATOR_LIMIT // 255 - terms  # the means' rounding may take up to a half for each weight
    gain = rng.choice([1.0, 2.0**-6], (outputs, 1))
    weight = np.trunc(gain * _shares(rng, outputs, terms) * room).clip(-32768, 32767)
    left = 2**31 - 129 * (np.abs(weight).sum(1) + terms) - 2**20
    _fill(module.weight, weight.astype(np.int64))
    _fill(module.bias, np.trunc(left * rng.choice([-1, 1, 0.01], outputs)).astype(np.int64))
    module.shift.fill_(int(rng.choice([2, 7, 20])))
    module.fraction.fill_(10)


def _fill_convolution(module: ScaledConv, rng: np.random.Generator, largest: int) -> None:
    """`largest`: magnitude of what it reads."""
    outputs, terms = len(module.weight), module.weight[0].numel()
    shift = rng.choice([0, 1, 12, 15, 16, 20], outputs)
    room = ACCUMULATOR_LIMIT - 1 - 2**MAX_SHIFT
    bias = np.trunc(room * rng.choice([0, 0.001, -0.5, 0.5, 1, -1], outputs)).astype(np.int64)
    gain = rng.choice([1.0, 0.3, 2.0**-6], (outputs, 1))
    weight = np.trunc(gain * _shares(rng, outputs, terms) * (room - np.abs(bias))[:, None] / largest)
    _fill(module.weight, weight.clip(-32768, 32767).astype(np.int64))
    _fill(module.bias, bias)
    _fill(module.shift, shift)


def latents(seed: int, channels: int, height: int, width: int) -> np.ndarray:
    """int64 [channels, height, width] that holds int16."""
    rng = np.random.default_rng(seed)
    y = rng.integers(-32768, 32768, (channels, height, width)) >> rng.choice([0, 6], (channels, 1, 1))
    y[:, 0, 0] = rng.choice([-32768, 32767], channels)
    return y


def pixels(seed: int, rows: int, columns: int) -> np.ndarray:
    """What the analysis reads of a picture of so many latents: int16 [16 rows, 16 columns, 3]."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-LARGEST_PIXEL, LARGEST_PIXEL + 1, (rows, 16, columns, 16, 3))
    x >>= rng.choice([0, 0, 5], (rows, 1, columns, 1, 1))
    x[0, :, 0] = rng.choice([-LARGEST_PIXEL, LARGEST_PIXEL], (16, 16, 3))
    return x.reshape(16 * rows, 16 * columns, 3).astype(np.int16)

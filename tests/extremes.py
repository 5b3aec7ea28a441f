"""A synthesis whose integers are as far apart as FORMAT §8 lets them be, and latents likewise."""

import numpy as np
import torch

from codec.coding.model_config import Config
from codec.nets.integer import IntegerQualityVector
from codec.nets.integer_synthesis import IntegerShortcut, IntegerSynthesis, ScaledConv

TINY = Config(latents=8, hyper=4, wide8=4, blocks8=2, wide16=6, blocks16=1, context=8, steps=2)


def extreme(seed: int, config: Config = TINY) -> IntegerSynthesis:
    """Random integers as far as the rule lets them go: sums up to the accumulators' bounds, all shifts, saturation."""
    rng = np.random.default_rng(seed)
    net = IntegerSynthesis(config)

    def fill(buffer, values):
        buffer.copy_(torch.from_numpy(np.asarray(values).reshape(buffer.shape)))

    def shares(outputs, terms):
        return rng.dirichlet(np.full(terms, rng.choice([0.05, 1.0])), outputs) * rng.choice([-1, 1], (outputs, terms))

    for module in net.modules():
        if isinstance(module, IntegerQualityVector):
            fill(module.table, rng.integers(-32768, 32768, module.table.numel()) >> rng.choice([0, 4]))
        elif isinstance(module, IntegerShortcut):
            outputs, terms = module.weight.shape[:2]
            room = (2**31 - 2**17) // 255 - terms  # the means' rounding may take up to a half for each weight
            gain = rng.choice([1.0, 2.0**-6], (outputs, 1))
            weight = np.trunc(gain * shares(outputs, terms) * room).clip(-32768, 32767)
            left = 2**31 - 129 * (np.abs(weight).sum(1) + terms) - 2**20
            fill(module.weight, weight.astype(np.int64))
            fill(module.bias, np.trunc(left * rng.choice([-1, 1, 0.01], outputs)).astype(np.int64))
            module.shift.fill_(int(rng.choice([2, 7, 20])))
            module.fraction.fill_(10)
        elif isinstance(module, ScaledConv):
            outputs, terms = len(module.weight), module.weight[0].numel()
            shift = rng.choice([0, 1, 12, 15, 16, 20], outputs)
            room = 2**31 - 2**17 - 1 - 2**20
            bias = np.trunc(room * rng.choice([0, 0.001, -0.5, 0.5, 1, -1], outputs)).astype(np.int64)
            gain = rng.choice([1.0, 0.3, 2.0**-6], (outputs, 1))
            weight = np.trunc(gain * shares(outputs, terms) * (room - np.abs(bias))[:, None] / 32768)
            fill(module.weight, weight.clip(-32768, 32767).astype(np.int64))
            fill(module.bias, bias)
            fill(module.shift, shift)
    fill(net.gain.table, rng.integers(-32768, 32768, net.gain.table.numel()))
    net.gain.shift.fill_(int(rng.choice([1, 5, 16, 30])))
    net.check()
    return net


def latents(seed: int, channels: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = rng.integers(-32768, 32768, (channels, height, width)) >> rng.choice([0, 6], (channels, 1, 1))
    y[:, 0, 0] = rng.choice([-32768, 32767], channels)
    return y

"""The tensors of a model: their names, types and shapes (FORMAT §7), and the limits of the decoder's integers (§8)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .cdf_tables import INDEX_COUNT, MAX_LIMIT
from .model_config import LATENT_STRIDE, QUALITIES, Config

LOW, HIGH = -(2**15), 2**15 - 1  # range of weights and activations
HIGH8 = 2**7 - 1  # largest weight of 8 bits
MAX_SHIFT = 20
MIN_SHORTCUT_SHIFT, MAX_GAIN_SHIFT = 2, 30
PIXEL_BITS = 10  # the synthesis computes samples in units of 2^-10 of an 8-bit level, before they are rounded
# The analysis reads samples in units of 1/PIXEL_UNIT of an 8-bit level. 0 is mid-gray, and no magnitude is above
# LARGEST_PIXEL.
PIXEL_UNIT, LARGEST_PIXEL = 32, 2**12
MIN_FRACTION, MAX_FRACTION = -7, 20  # fraction bits of the output of a convolution in the synthesis
ACCUMULATOR_LIMIT = 2**31 - 2**17  # leaves room to add a quality vector and a stored tensor, of at most 2^15 each


@dataclass(frozen=True)
class Form:
    """The shape of one tensor, and the dtypes that it may have; new models have the first one."""

    dtypes: tuple[str, ...]
    shape: tuple[int, ...]


# 1x1 convolutions with weights of 16 bits. They read latents or hyperlatents, whose deviations differ much, and the
# weights accordingly; or they make pixels or latents without anything after them that could make up for an error.
_WIDE = re.compile(r"(analysis|synthesis)\.shortcut|synthesis\.head16|entropy\.net\.(head|steps\.\d+\.from_latents)")


def heaviest_weight(layer: str, side: int = 1) -> int:
    """Return the largest magnitude of a weight in new models, by the name of the layer, such as "synthesis.head16".

    Args:
        side: of the convolution. All but 1x1 have weights of 16 bits.
    """
    return HIGH if side > 1 or _WIDE.fullmatch(layer) else HIGH8


class _Net:
    """Collects the forms of the tensors of one net, layer by layer. `nets.layers` and `nets.integer` define the layers.

    Args:
        prefix: name of the net, with which the names of its tensors begin.
        scaled: whether each layer's output has its own unit (`nets.scaled`), given by a `.fraction` tensor.
        narrow: dtypes of the weights of those convolutions that `heaviest_weight` gives 8 bits.
    """

    def __init__(self, prefix: str, scaled: bool = True, narrow: tuple[str, ...] = ("int8", "int16")):
        self.prefix, self.scaled, self.narrow = prefix, scaled, narrow
        self.forms: dict[str, Form] = {}

    def convolution(self, name: str, outputs: int, inputs: int, side: int = 1) -> None:
        kinds = self.narrow if heaviest_weight(f"{self.prefix}.{name}", side) == HIGH8 else ("int16",)
        self.forms[f"{self.prefix}.{name}.weight"] = Form(kinds, (outputs, inputs, side, side))
        self.forms[f"{self.prefix}.{name}.bias"] = Form(("int32",), (outputs,))
        self.forms[f"{self.prefix}.{name}.shift"] = Form(("uint8",), (outputs,))
        if self.scaled:
            self.forms[f"{self.prefix}.{name}.fraction"] = Form(("int8",), (1,))

    def vector(self, name: str, channels: int) -> None:
        """Add a quality vector: a table with one row of channels for each quality."""
        self.forms[f"{self.prefix}.{name}.table"] = Form(("int16",), (QUALITIES, channels))

    def gain(self, channels: int, shifts: int) -> None:
        self.vector("gain", channels)
        self.forms[f"{self.prefix}.gain.shift"] = Form(("uint8",), (shifts,))

    def block(self, name: str, n: int) -> None:
        self.convolution(f"{name}.space_in", n, n)
        self.convolution(f"{name}.space", n, 1, side=3)
        self.convolution(f"{name}.space_out", n, n)
        self.convolution(f"{name}.mix_in", 2 * n, n)
        self.convolution(f"{name}.mix_out", n, 2 * n)


def forms(config: Config) -> dict[str, Form]:
    """Return the forms of all tensors of a model with this configuration, by name."""
    return (
        _analysis(config)
        | _hyper_analysis(config)
        | _synthesis(config)
        | _entropy(config)
        | {
            "levels": Form(("float32",), (QUALITIES,)),
            "tables.freqs": Form(("uint16",), (INDEX_COUNT, 2 * MAX_LIMIT + 2)),
            "tables.limits": Form(("uint8",), (INDEX_COUNT,)),
            "tables.raw_bits": Form(("uint8",), (INDEX_COUNT,)),
        }
    )


def _analysis(c: Config) -> dict[str, Form]:
    net = _Net("analysis", narrow=("int8",))
    net.convolution("shortcut", c.latents, 3 * LATENT_STRIDE**2)
    net.convolution("head8", c.wide8, 3 * 64)
    net.convolution("head16", c.wide16, 4 * c.wide8)
    net.convolution("tail", c.latents, c.wide16)
    net.gain(c.latents, shifts=c.latents)
    _bodies(net, c)
    return net.forms


def _synthesis(c: Config) -> dict[str, Form]:
    net = _Net("synthesis")
    net.convolution("shortcut", 3 * LATENT_STRIDE**2, c.latents)
    net.convolution("head16", c.wide16, c.latents)
    net.convolution("tail16", 4 * c.wide8, c.wide16)
    net.convolution("tail8", 3 * 64, c.wide8)
    net.gain(3 * 64, shifts=1)
    _bodies(net, c)
    return net.forms


def _bodies(net: _Net, c: Config) -> None:
    for name, width, blocks in (("8", c.wide8, c.blocks8), ("16", c.wide16, c.blocks16)):
        net.vector(f"quality{name}", width)
        for i in range(blocks):
            net.block(f"body{name}.{i}", width)


def _hyper_analysis(c: Config) -> dict[str, Form]:
    net, n = _Net("hyper_analysis", narrow=("int8",)), c.context
    net.convolution("head", n, c.latents)
    net.vector("quality", n)
    net.block("body", n)
    for stride in (2, 4):
        net.convolution(f"down{stride}", n, 4 * n)
        net.block(f"body{stride}", n)
    net.convolution("tail", c.hyper, n)
    return net.forms


def _entropy(c: Config) -> dict[str, Form]:
    net, n = _Net("entropy.net", scaled=False), c.context
    net.convolution("head", n, c.hyper)
    net.vector("quality", n)
    for stride in (4, 2, 1):
        net.block(f"body{stride}", n)
    for stride in (2, 1):
        net.convolution(f"up{stride}", 4 * n, n)
    for k in range(c.steps):
        net.convolution(f"steps.{k}.from_hyper", n, n)
        if k > 0:
            net.convolution(f"steps.{k}.from_latents", n, c.latents)
        net.vector(f"steps.{k}.quality", n)
        net.block(f"steps.{k}.body", n)
        net.convolution(f"steps.{k}.mean", c.latents, n)
        net.convolution(f"steps.{k}.index", c.latents, n)
        net.vector(f"steps.{k}.index_quality", c.latents)
    return net.forms | {
        "entropy.step": Form(("int16",), (QUALITIES, c.latents)),
        "entropy.hyper_step": Form(("int16",), (QUALITIES, c.hyper)),
        "entropy.hyper_index": Form(("uint8",), (QUALITIES, c.hyper)),
    }


def check_forms(config: Config, tensors: Mapping[str, np.ndarray]) -> None:
    """Check the names, types and shapes of a model's tensors.

    Raises:
        ValueError: a tensor is missing, has another type or shape, or does not belong to such a model.
    """
    if "synthesis.whiten" in tensors:
        raise ValueError("its synthesis is floating point: it is of version 1 of the format, and must be exported anew")
    if "analysis.log_gain.knots" in tensors:
        raise ValueError("its analysis is floating point: it must be exported anew, from a checkpoint of its training")
    wanted = forms(config)
    for name, form in wanted.items():
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        if tensors[name].dtype not in form.dtypes or tensors[name].shape != form.shape:
            found = f"{tensors[name].dtype} {list(tensors[name].shape)}"
            raise ValueError(f"{name} is {found}: {' or '.join(form.dtypes)} {list(form.shape)} is allowed")
    if more := sorted(tensors.keys() - wanted.keys()):
        raise ValueError(f"{more[0]} is no tensor of such a model")


def check_integers(tensors: Mapping[str, np.ndarray]) -> None:
    """Check the values of the entropy nets' tensors, of the synthesis', or of both. (`_C` checks those of an encoder.)

    Raises:
        ValueError: a value is out of its range, or an accumulator could overflow.
    """
    for name in ("entropy.step", "entropy.hyper_step"):
        if name in tensors and tensors[name].min() < 1:
            raise ValueError("a quantisation step is below 1")
    if "entropy.hyper_index" in tensors and tensors["entropy.hyper_index"].max() >= INDEX_COUNT:
        raise ValueError(f"an index is above {INDEX_COUNT - 1}")
    for name in tensors:
        if name.endswith(".fraction") and not MIN_FRACTION <= int(tensors[name][0]) <= MAX_FRACTION:
            raise ValueError(f"{name} is {int(tensors[name][0])}: {MIN_FRACTION} to {MAX_FRACTION} are allowed")
        if name == "synthesis.gain.shift":
            if not 1 <= int(tensors[name][0]) <= MAX_GAIN_SHIFT:
                raise ValueError(f"{name} is {int(tensors[name][0])}: 1 to {MAX_GAIN_SHIFT} are allowed")
        elif name.startswith(("entropy.net.", "synthesis.")) and name.endswith(".shift"):
            layer = name.removesuffix(".shift")
            shift, weight, bias = (tensors[f"{layer}.{part}"] for part in ("shift", "weight", "bias"))
            if layer == "synthesis.shortcut":
                _check_shortcut(layer, weight, bias, shift)
            elif shift.max() > MAX_SHIFT or accumulator_bound(weight, bias, shift).max() >= ACCUMULATOR_LIMIT:
                raise ValueError(f"{layer} could overflow its accumulator")
    _check_streams(tensors)


def _check_streams(tensors: Mapping[str, np.ndarray]) -> None:
    """Check the units of the synthesis.

    Layers whose outputs are added together must have the same unit, and the shortcut must have the unit of pixels.

    Raises:
        ValueError: they have not.
    """
    units = {"16": {}, "8": {}, "shortcut": {PIXEL_BITS: "pixels"}}
    for name, value in tensors.items():
        found = re.fullmatch(
            r"synthesis\.(?:head(16)|tail16|body(16|8)\.\d+\.(?:space|mix)_out|(shortcut))\.fraction", name
        )
        if found:
            stream = units[found[1] or found[2] or found[3] or "8"]
            stream[int(value[0])] = name
            if len(stream) > 1:
                raise ValueError(
                    f"{name} is {int(value[0])}: {next(iter(stream))} is allowed, as in what it is added to"
                )


def _check_shortcut(layer: str, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> None:
    """Check the shortcut of the synthesis, which reads latents as 256 * high + low, with one shift for all outputs.

    Raises:
        ValueError: a shift is not allowed, or the accumulator could overflow.
    """
    if shift.min() != shift.max() or not MIN_SHORTCUT_SHIFT <= shift[0] <= MAX_SHIFT:
        raise ValueError(f"{layer} has shifts that are not one from {MIN_SHORTCUT_SHIFT} to {MAX_SHIFT}")
    if shortcut_bound(weight, bias, int(shift[0])) >= ACCUMULATOR_LIMIT:
        raise ValueError(f"{layer} could overflow its accumulator")


def shortcut_bound(weight: np.ndarray, bias: np.ndarray, shift: int) -> float:
    """Return a bound for the magnitude of the accumulators in the synthesis' shortcut, for any latents.

    The bound also holds for reduced decoding, where weights are means over squares of pixels: rounding such a mean
    increases its magnitude by at most 1/2.

    Args:
        weight: integers [O, M, 1, 1] of any type.
        bias: integers [O] of any type.
        shift: of the shortcut, the same for all outputs.
    """
    sums = np.abs(weight, dtype=np.float64).sum((1, 2, 3)) + weight.shape[1] / 2
    whole = 129 * sums + np.abs(bias, dtype=np.float64) + 2.0 ** (shift - 1)
    return float(max((255 * sums).max(), whole.max()))


def accumulator_bound(weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, largest: int = -LOW) -> np.ndarray:
    """Return the largest magnitude that each accumulator of a convolution can reach: float64 [O], exact for integers.

    Args:
        weight: integers [O, I, height, width] of any type.
        bias: integers [O] of any type.
        shift: integers [O], or one integer for all outputs.
        largest: the largest magnitude of an input; by default that of int16.
    """
    sums = np.abs(weight, dtype=np.float64).sum((1, 2, 3))
    return sums * largest + np.abs(bias, dtype=np.float64) + np.floor(np.exp2(shift - 1.0))

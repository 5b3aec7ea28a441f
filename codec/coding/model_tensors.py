"""The tensors of a model: names, types and shapes (FORMAT §7), and what the entropy nets' integers keep to (§8)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .cdf_tables import INDEX_COUNT, MAX_LIMIT
from .model_config import KNOTS, LATENT_STRIDE, QUALITIES, Config

LOW, HIGH = -(2**15), 2**15 - 1  # of weights and activations
MAX_SHIFT = 15
ACCUMULATOR_LIMIT = 2**31


@dataclass(frozen=True)
class Form:
    """How one tensor looks; `default`: the value of what a model may lack, as older ones do; None: it may not."""

    dtype: str
    shape: tuple[int, ...]
    default: float | range | None = None


class _Net:
    """The tensors of one net, layer by layer; `nets.layers` and `nets.integer` say what the layers do."""

    def __init__(self, prefix: str, integers: bool):
        self.prefix, self.integers, self.forms = prefix, integers, {}

    def convolution(self, name: str, outputs: int, inputs: int, side: int = 1) -> None:
        weight, bias = ("int16", "int32") if self.integers else ("float16", "float16")
        self.forms[f"{self.prefix}.{name}.weight"] = Form(weight, (outputs, inputs, side, side))
        self.forms[f"{self.prefix}.{name}.bias"] = Form(bias, (outputs,))
        if self.integers:
            self.forms[f"{self.prefix}.{name}.shift"] = Form("uint8", (outputs,))

    def vector(self, name: str, channels: int, default: float | None = None) -> None:
        """A quality vector: a row for each quality in integers, for each knot in floats."""
        kind, dtype, rows = ("table", "int16", QUALITIES) if self.integers else ("knots", "float16", KNOTS)
        self.forms[f"{self.prefix}.{name}.{kind}"] = Form(dtype, (rows, channels), default)

    def block(self, name: str, n: int) -> None:
        self.convolution(f"{name}.space_in", n, n)
        self.convolution(f"{name}.space", n, 1, side=3)
        self.convolution(f"{name}.space_out", n, n)
        self.convolution(f"{name}.mix_in", 2 * n, n)
        self.convolution(f"{name}.mix_out", n, 2 * n)


def forms(config: Config) -> dict[str, Form]:
    """All tensors that a model of this configuration has, by name."""
    return (
        _analysis(config)
        | _hyper_analysis(config)
        | _synthesis(config)
        | _entropy(config)
        | {
            "levels": Form("float32", (QUALITIES,), range(1, QUALITIES + 1)),
            "tables.freqs": Form("uint16", (INDEX_COUNT, 2 * MAX_LIMIT + 2)),
            "tables.limits": Form("uint8", (INDEX_COUNT,)),
            "tables.raw_bits": Form("uint8", (INDEX_COUNT,)),
        }
    )


def _analysis(c: Config) -> dict[str, Form]:
    net = _Net("analysis", integers=False)
    net.convolution("shortcut", c.latents, 3 * LATENT_STRIDE**2)
    net.convolution("head8", c.wide8, 3 * 64)
    net.convolution("head16", c.wide16, 4 * c.wide8)
    net.convolution("tail", c.latents, c.wide16)
    net.vector("log_gain", c.latents, default=0.0)
    _bodies(net, c)
    return net.forms


def _synthesis(c: Config) -> dict[str, Form]:
    net = _Net("synthesis", integers=False)
    net.convolution("shortcut", 3 * LATENT_STRIDE**2, c.latents)
    net.convolution("head16", c.wide16, c.latents)
    net.convolution("tail16", 4 * c.wide8, c.wide16)
    net.convolution("tail8", 3 * 64, c.wide8)
    net.vector("log_gain", 3 * 64, default=0.0)
    _bodies(net, c)
    return net.forms | {"synthesis.whiten": Form("float16", (c.latents,), 1.0)}


def _bodies(net: _Net, c: Config) -> None:
    for name, width, blocks in (("8", c.wide8, c.blocks8), ("16", c.wide16, c.blocks16)):
        net.vector(f"quality{name}", width, default=0.0)
        for i in range(blocks):
            net.block(f"body{name}.{i}", width)


def _hyper_analysis(c: Config) -> dict[str, Form]:
    net, n = _Net("hyper_analysis", integers=False), c.context
    net.convolution("head", n, c.latents)
    net.vector("quality", n)
    net.block("body", n)
    for stride in (2, 4):
        net.convolution(f"down{stride}", n, 4 * n)
        net.block(f"body{stride}", n)
    net.convolution("tail", c.hyper, n)
    return net.forms


def _entropy(c: Config) -> dict[str, Form]:
    net, n = _Net("entropy.net", integers=True), c.context
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
        "entropy.step": Form("int16", (QUALITIES, c.latents)),
        "entropy.hyper_step": Form("int16", (QUALITIES, c.hyper)),
        "entropy.hyper_index": Form("uint8", (QUALITIES, c.hyper)),
    }


def completed(config: Config, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors, and those that a model may lack at their defaults.

    Raises:
        ValueError: one is missing, one is of another type or shape, or there is one that no such model has.
    """
    whole = {}
    for name, form in forms(config).items():
        if name not in tensors and form.default is None:
            raise ValueError(f"{name} is missing")
        tensor = tensors[name] if name in tensors else np.full(form.shape, form.default, form.dtype)
        if tensor.dtype != form.dtype or tensor.shape != form.shape:
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise ValueError(f"{name} is {found}: {form.dtype} {list(form.shape)} is allowed")
        whole[name] = tensor
    if more := sorted(tensors.keys() - whole.keys()):
        raise ValueError(f"{more[0]} is no tensor of such a model")
    return whole


def check_integers(tensors: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the entropy nets' numbers are in their ranges, and no accumulator can overflow."""
    if min(tensors["entropy.step"].min(), tensors["entropy.hyper_step"].min()) < 1:
        raise ValueError("a quantisation step is below 1")
    if tensors["entropy.hyper_index"].max() >= INDEX_COUNT:
        raise ValueError(f"an index is above {INDEX_COUNT - 1}")
    for name in tensors:
        if name.startswith("entropy.net.") and name.endswith(".shift"):
            layer = name.removesuffix(".shift")
            shift, weight, bias = (tensors[f"{layer}.{part}"] for part in ("shift", "weight", "bias"))
            bound = accumulator_bound(weight, bias, np.exp2(shift.astype(np.float64) - 1))
            if shift.max() > MAX_SHIFT or bound.max() >= ACCUMULATOR_LIMIT:
                raise ValueError(f"{layer} could overflow its accumulator")


def accumulator_bound(weight: np.ndarray, bias: np.ndarray, half: np.ndarray | float) -> np.ndarray:
    """Largest magnitude that an accumulator can reach for any int16 input: float64 [O], exact for integers.

    Args:
        weight: integers [O, I, height, width] of any type.
        bias: integers [O] of any type.
        half: [O] or one for all, what rounding adds.
    """
    sums = np.abs(weight, dtype=np.float64).sum((1, 2, 3))
    return sums * -LOW + np.abs(bias, dtype=np.float64) + half

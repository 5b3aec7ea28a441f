"""Export: conversion of a trained float model to a model file of integers, and back."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coding import model_file
from ..coding.cdf_tables import fitted_tables, gaussian_tables
from ..coding.model_tensors import forms
from ..nets import torch_codec
from ..nets.calibration import Calibration, calibrate
from ..nets.integer import PLAIN_LEVELS, IntegerEntropyNet
from ..nets.model import Model


def save(
    path: Path,
    model: Model,
    counts: np.ndarray | None = None,
    tune: str = "mse",
    levels: Tensor = PLAIN_LEVELS,
    by: Calibration | None = None,
) -> bytes:
    """Convert a trained model to integers, write it to a file, and return the model id.

    Args:
        path: of the file; an existing file is replaced.
        model: the float model.
        counts: how often each symbol occurs (`symbol_counts.symbol_counts`), to fit the coding tables; None: the tables
            are those of Gaussians.
        tune: the distortion that the model was trained for, one of TUNES.
        levels: the level of each quality, float [100], rising within 1..MAX_LEVEL.
        by: the result of `calibration`; None: calibrate with synthetic pictures only.

    Raises:
        OutputError: the file cannot be written.
        ValueError: weights are too large for the integer arithmetic; the message names the layer.
    """
    model = model.with_hyper_steps_in_range()
    by = calibrate(model, levels) if by is None else by
    entropy = IntegerEntropyNet.from_float(model, levels, by.moments["entropy"])
    tensors = {f"entropy.{k}": v for k, v in entropy.state_dict().items()}
    for name, twin in torch_codec.TWINS.items():
        net = twin.from_float(model.config, getattr(model, name), levels, by.largest[name], by.moments[name])
        tensors |= {f"{name}.{k}": v for k, v in net.state_dict().items()}
    tensors["levels"] = levels.float()
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    for name, form in forms(model.config).items():
        if name in arrays:
            arrays[name] = arrays[name].astype(form.dtypes[0], copy=False)
    tables = gaussian_tables() if counts is None else fitted_tables(counts)
    arrays |= {f"tables.{name}": table for name, table in zip(model_file.TABLES, tables, strict=True)}
    metadata = {"aec_model": json.dumps(asdict(model.config), sort_keys=True), "tune": tune}
    return model_file.write(path, arrays, metadata)


def calibration(model: Model, levels: Tensor, pictures: Sequence[np.ndarray]) -> Calibration:
    """Measure what the export of a model goes by (`calibration.calibrate`).

    Args:
        model: the float model.
        levels: the level of each quality, float [100]. Levels that are not final are good enough if they have the same
            first and last value.
        pictures: uint8 [H, W, 3] each, of the kind that the model is for; synthetic pictures are added.
    """
    return calibrate(model.with_hyper_steps_in_range(), levels, pictures)


def float_model(path: Path) -> Model:
    """Convert a model file back to the float model that was saved, except for rounding, to train it further.

    Raises:
        ModelError: as in `model_file.load`.
    """
    codec = torch_codec.load(path, torch.device("cpu"))
    state = codec.net.floats(codec.levels)
    for name in torch_codec.TWINS:
        state |= {f"{name}.{k}": v for k, v in codec.integers[name].floats(codec.levels).items()}
    model = Model(codec.config)
    model.load_state_dict(state)
    return model.eval()

"""Checkpoints of training runs: safetensors files with all tensors of a run, and its other state as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor
from torch.optim import Optimizer

from ..errors import ModelError
from ..io import write_bytes

ADAM = ("exp_avg", "exp_avg_sq", "step")  # what Adam and AdamW keep of each parameter


def checkpoint_path(output: Path) -> Path:
    """Return the path of the checkpoint of a model file, which is in the same folder."""
    return output.with_suffix(".checkpoint.safetensors")


def write(path: Path, kind: str, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint. An existing file is replaced; it is never left half-written.

    Args:
        kind: of the run, the name under which its state is kept.
        meta: what is not a tensor; it must be possible to write it as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    write_bytes(path, serialise(whole, {kind: json.dumps(meta)}), force=True)


def optimiser_tensors(optimiser: Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the state of an optimiser as tensors for a checkpoint.

    Args:
        names: of its parameters, in its order. One that was never stepped has no state.
    """
    states = optimiser.state_dict()["state"]
    return {f"{key}.{names[i]}": value for i, state in states.items() for key, value in state.items()}


def restore(optimiser: Optimizer, names: Mapping[int, str], keys: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Put the state that `optimiser_tensors` gave into an optimiser.

    Args:
        names: of the parameters that have a state, by their places in its order.
        keys: of a parameter's state.

    Raises:
        KeyError: a tensor is missing.
    """
    state = optimiser.state_dict()
    state["state"] = {i: {key: tensors[f"{key}.{name}"] for key in keys} for i, name in names.items()}
    optimiser.load_state_dict(state)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[tuple[dict, dict[str, Tensor]]]:
    """Context manager: reads a checkpoint of this kind of run, and gives (metadata, tensors).

    Errors in reading it, and errors within the context, are raised as ModelError.
    """
    try:
        with safe_open(path, "pt") as f:
            meta = json.loads((f.metadata() or {})[kind])
            yield meta, {k: f.get_tensor(k) for k in f.keys()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as e:
        raise ModelError(f"{path}: not an aec training checkpoint ({e})") from e


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, under the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

"""The work of `aec train DATA --arch NAME -o model.safetensors`: data, training, export and figures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..coding.device import resolve_device
from ..small import coder, inputs
from ..small import model as small_model
from ..small.model import LEVELS, SmallModel
from . import small_export
from .checkpoints import checkpoint_path
from .family_run import Options, Run
from .loop import train

HELD_OUT_EVERY = 50
MOST_TO_MEASURE = 2000


def main(
    data: list[Path],
    output: Path,
    options: Options,
    resume: Path | None,
    holdout: Path | None,
    keep_checkpoint: bool,
    report: Callable[[str], None],
    epochs: float | None = None,
) -> None:
    """Train one of the classic autoencoders, and write it as a model for collections.

    Args:
        data: IDX, npy and npz files, folders and tar archives of pictures, or pictures: all of one size.
        output: path of the model file to write; checkpoints are written beside it.
        options: of the run.
        resume: the checkpoint to resume; None: a new run.
        holdout: pictures for the figures at the end; None: every fiftieth picture of `data`, which is then not used
            for training.
        keep_checkpoint: keep the checkpoint, so that the run can be resumed with a larger budget.
        report: called with lines of progress.
        epochs: budget in passes over the pictures; None: that of `options` counts.

    Raises:
        FileNotFoundError, ValueError: the data or an option cannot be used (the message says which).
        ModelError: `resume` is not a checkpoint of such a run.
        BackendError: there is no such device.
        OutputError: the model or a checkpoint cannot be written.
    """
    options.device = resolve_device(options.device)
    output.parent.mkdir(parents=True, exist_ok=True)  # done first, so that an error is found before hours of work
    pictures = read(data, report)
    held = None if holdout is None else inputs.read([holdout], pictures.shape[1:]).pictures
    fit(pictures, held, output, options, resume, report, epochs)
    if not keep_checkpoint:
        checkpoint_path(output).unlink(missing_ok=True)


def read(data: list[Path], report: Callable[[str], None]) -> np.ndarray:
    """Read the pictures to train on, uint8 [N, H, W, C], and report what was left out. Errors are those of `main`."""
    found = inputs.read(data)
    if found.left_out:
        report(f"left out {len(found.left_out)}: {'; '.join(found.left_out[:3])}")
    return found.pictures


def fit(
    pictures: np.ndarray,
    held: np.ndarray | None,
    output: Path,
    options: Options,
    resume: Path | None,
    report: Callable[[str], None],
    epochs: float | None,
) -> None:
    """Train on pictures, write the model, and report how it codes others.

    Args:
        pictures: uint8 [N, H, W, C].
        held: uint8 [M, H, W, C], the others; None: every fiftieth of `pictures`, which is then not used for training.
        output, options, resume, report, epochs: as in `main`. The checkpoint stays.

    Raises:
        ValueError, ModelError, OutputError: as `main`.
    """
    if held is None:
        if len(pictures) < 2:
            raise ValueError("one picture only: it cannot be both trained on and held out; give more, or --holdout")
        held = pictures[::HELD_OUT_EVERY]
        pictures = np.delete(pictures, np.s_[::HELD_OUT_EVERY], 0)
    run = Run(options, pictures) if resume is None else Run.load(resume, options, pictures)
    if epochs is not None:
        run.options.steps = max(1, round(epochs * run.steps_of_epoch))
    height, width, channels = pictures.shape[1:]
    n = sum(p.numel() for p in run.member.parameters())
    report(f"{len(pictures)} pictures of {width}x{height}x{channels}; {len(held)} held out")
    report(f"{options.arch}: {n} parameters on {options.device}")
    train(run, checkpoint_path(output), report)
    model_id = small_export.save(output, run.member, options.arch, pictures)
    report(f"wrote {output}: model {model_id.hex()}, {output.stat().st_size / 1e6:.2f} MB")
    for line in figures(small_model.load(output), held[:MOST_TO_MEASURE]):
        report(line)


def figures(model: SmallModel, pictures: np.ndarray) -> list[str]:
    """Return a line for every other level: bytes of a picture, by the coder's tables, and the squared error."""
    values, lines = coder.latents(model, pictures), []
    for level in range(LEVELS - 1, -1, -2):
        symbols = coder.quantise(model, values, level)
        made = coder.pictures(model, small_model.dequantise(model, symbols, level))
        n_bytes, error = coder.bits(model, symbols, level).mean() / 8, mean_squared_error(made, pictures)
        lines.append(f"-q {10 * level + 10:3d}: {n_bytes:.1f} bytes a picture, squared error {error:.5f}")
    return lines


def mean_squared_error(made: np.ndarray, pictures: np.ndarray) -> float:
    """Return the mean squared error of uint8 pictures, on the scale where white is 1."""
    return float(((made.astype(np.float32) - pictures) ** 2).mean(dtype=np.float64)) / 255**2

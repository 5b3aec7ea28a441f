"""The work of `aec train DATA -o model.safetensors --minutes N`: data, training, export and figures."""

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from ..coding import model_search
from ..coding.model_config import CONFIGS, TUNES
from ..nets import torch_codec
from . import export, figures
from .checkpoints import checkpoint_path
from .codec_run import SIDE, Options, Run, batch_unit
from .distributed import join
from .images import load_images
from .loop import train
from .memory import decoded_bytes, free_bytes
from .quality_levels import EVEN_LEVELS, calibrated_levels
from .stream import HELD_OUT_EVERY, Stream, files_in
from .symbol_counts import symbol_counts

CHECKPOINT_BYTES = 14  # mean size of a parameter in a checkpoint: the weight, its average and the optimiser's moments
MOST_TO_MEASURE = 48  # largest number of held-out pictures that are measured at the end
# Number of pictures for calibration: the held-out ones, and some of the training pictures if these are too few.
LEAST_TO_CALIBRATE, MOST_TO_CALIBRATE = 8, 24
MOST_OF_MEMORY = 0.7  # part of the free memory that images may take; the rest is for the training


def main(
    data: list[Path],
    output: Path,
    options: Options,
    resume: Path | None,
    init: Path | None,
    anew: Iterable[str],
    blend: tuple[Path, float] | None,
    holdout: Path | None,
    keep_checkpoint: bool,
    report: Callable[[str], None],
    stream: bool = False,
) -> None:
    """Do the work of `aec train`: load the data, train, export the model and measure it.

    Where `torchrun` has started several processes, they train together. All but the first report nothing, and return
    when the training ends.

    Args:
        data: folders of images, tar shards, or images.
        output: path of the model file to write; checkpoints are written to `checkpoints.checkpoint_path(output)`.
        options: a resumed run keeps the checkpoint's config, tune, shares and only.
        resume: the checkpoint to resume; None: a new run.
        init, anew, blend: the model or checkpoint that a new run begins with, the transforms whose branches are
            initialised again, and another model to mix in; see `Run.start_from`.
        holdout: images for the evaluation at the end; None: every fiftieth image of `data`, which is then not used for
            training.
        keep_checkpoint: keep the checkpoint, so that the run can be resumed with a larger budget. Otherwise it is
            removed when the model was written and measured.
        report: called with lines of progress.
        stream: read the images of `data` again and again, and keep only some of them in memory; False: only if all of
            them do not fit, or if the run that is resumed was streamed.

    Raises:
        FileNotFoundError, ValueError: the data or an option cannot be used (the message says which).
        ModelError: `resume` is not a checkpoint, or `init` does not fit.
        BackendError: there is no such device.
        OutputError: the model or a checkpoint cannot be written.
    """
    processes, options.device = join(options.device)
    options.processes = processes
    if processes.rank:
        report = _say_nothing
    if options.batch < 1 or options.batch % batch_unit(processes):
        shared = f"a multiple of {batch_unit(processes)} with {processes.size} processes"
        raise ValueError(f"batch {options.batch}: must be {shared if processes.size > 1 else 'at least 1'}")
    output.parent.mkdir(parents=True, exist_ok=True)  # done first, so that an error is found before hours of work
    if options.config not in (None, *CONFIGS):
        raise ValueError(f"config {options.config!r}: allowed are {', '.join(CONFIGS)}")
    if options.tune not in (None, *TUNES):
        raise ValueError(f"tune {options.tune!r}: allowed are {', '.join(TUNES)}")
    if init is not None:
        run = Run.start_from(init, options, anew, blend)
    elif resume is not None:
        run = Run.load(resume, options)
    else:
        run = Run(options, CONFIGS[options.config or "base"])
    images: list[np.ndarray]  # to train on, or some of them
    held: list[np.ndarray]
    if resume is not None and holdout is None:
        # Which pictures are held out depends on whether they are streamed, and the others were trained on.
        if stream and not run.was_streamed:
            raise ValueError(
                f"--stream: {resume} is of a run that was not streamed, which held out other pictures; resume it "
                "without --stream, or name pictures with --holdout"
            )
        streamed = run.was_streamed
    else:
        streamed = bool(processes.agree(float(stream or not _fit(data, options, report)), False))
    if streamed:
        run.images = source = Stream(data, 2 * SIDE, holdout is None, report)
        images = source.some(options.seed)
        held = []
        if not processes.rank:
            held = source.held_out(MOST_TO_MEASURE) if holdout is None else load_images([holdout], 1)[0]
        report(f"{source}; {len(held)} held out")
    else:
        images, held = _loaded(data, holdout, report)
        run.images = images
    if run.n_known_latents < run.config.latents:
        run.start(images)
    if processes.rank:  # only the first process exports and measures, and memory is short
        images, held = [], []
    size = sum(p.numel() for p in run.model.parameters()) / 1e6
    report(f"{size:.2f} M parameters on {options.device}, trained for {run.tune}")
    checkpoint = checkpoint_path(output)
    stays = "stays there" if keep_checkpoint else "is removed when all is done; --keep-checkpoint keeps it"
    report(
        f"each minute a checkpoint of some {CHECKPOINT_BYTES * size:.0f} MB is written to {checkpoint}, which {stays}"
    )
    train(run, checkpoint, report)
    processes.leave()
    if processes.rank:
        return
    model = run.averaged_model()
    device = torch.device(options.device)
    pictures = [*held, *images[: max(0, LEAST_TO_CALIBRATE - len(held))]][:MOST_TO_CALIBRATE]
    report(f"fitting the coding tables, then what qualities mean, to {len(pictures)} pictures")
    # Drafts are written to a temporary folder, so that nobody takes an unfinished model for the final one.
    with TemporaryDirectory(dir=output.parent) as folder:
        draft = Path(folder) / output.name
        by = export.calibration(model, EVEN_LEVELS, pictures)
        # The first draft has the tables of Gaussians; it is used to count symbols.
        export.save(draft, model, None, run.tune, EVEN_LEVELS, by)
        counts = symbol_counts(torch_codec.load(draft, device), images)
        export.save(draft, model, counts, run.tune, EVEN_LEVELS, by)
        levels = calibrated_levels(torch_codec.load(draft, device), pictures)
    model_id = export.save(output, model, counts, run.tune, levels, by)
    report(f"wrote {output}: model {model_id.hex()}, {output.stat().st_size / 1e6:.1f} MB")
    shown = held[:MOST_TO_MEASURE]
    before = figures.held_out(init, shown, options.device) if init is not None and model_search.is_model(init) else None
    figures.report_of(figures.held_out(output, shown, options.device), before, len(shown), report)
    if not keep_checkpoint:
        checkpoint.unlink(missing_ok=True)


def _say_nothing(line: str) -> None:
    pass


def _fit(data: list[Path], options: Options, report: Callable[[str], None]) -> bool:
    """Return whether all images are likely to fit into the memory of this machine and its GPUs; if not, report it."""
    on_gpu = options.device != "cpu"
    # A GPU has a copy. On a CPU the copy, from which crops are drawn, is beside the images. Each process has its own.
    size = decoded_bytes(files_in(data)[0]) * options.processes.on_this_machine * (1 if on_gpu else 2)
    free = free_bytes()
    if free is not None and size > MOST_OF_MEMORY * free:
        report(f"the images would take some {size / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: streaming")
        return False
    if on_gpu:
        there, needed = torch.cuda.mem_get_info(options.device)[0], size / options.processes.on_this_machine
        if needed > MOST_OF_MEMORY * there:
            report(f"the images would take some {needed / 1e9:.1f} GB of {there / 1e9:.1f} GB on the GPU: streaming")
            return False
    return True


def _loaded(
    data: list[Path], holdout: Path | None, report: Callable[[str], None]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Load the images to train on, and those that are held out. Errors are those of `main`."""
    images, left_out = load_images(data, 2 * SIDE)
    if left_out:
        report(f"left out {len(left_out)}: {'; '.join(left_out[:3])}{' ..' if len(left_out) > 3 else ''}")
    if holdout is not None:
        held, _ = load_images([holdout], 1)
    elif len(images) < 2:
        raise ValueError("one image only: it cannot be both trained on and held out; give more, or --holdout")
    else:
        held = images[::HELD_OUT_EVERY]
        images = [im for i, im in enumerate(images) if i % HELD_OUT_EVERY]
    report(f"{len(images)} images, {sum(im[..., 0].size for im in images) / 1e6:.0f} Mpixel; {len(held)} held out")
    return images, held

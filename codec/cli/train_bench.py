"""`aec train`, `aec bench` and `aec compare`: the commands for training and measuring models."""

import functools
import importlib
import math
import operator
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..extras import need
from ..io import InputError, OutputError, permissions, refuse_existing, write_bytes
from . import runner
from .jobs import Job, UsageError, refuse_own_inputs
from .runner import EXIT_INTERRUPTED, Progress, Row
from .streams import complain


def train(args: Namespace) -> int:
    need("torch", "aec train")
    output = Path(args.output)
    if output.suffix != ".safetensors":
        raise UsageError(f"-o {output}: a model's name ends in .safetensors")
    return _guarded(args, output, _train_codec if args.arch is None else _train_family)


def _guarded(args: Namespace, output: Path, work: Callable[[Namespace, Path], None]) -> int:
    """Run a training, after a check that it would not overwrite a model or a checkpoint that somebody wants to keep."""
    from ..train.checkpoints import checkpoint_path
    from ..train.distributed import of_environment

    checkpoint = checkpoint_path(output)
    goes_on = args.resume is not None and Path(args.resume).resolve() == checkpoint.resolve()
    refuse_existing(output, args.force or goes_on)
    if checkpoint.exists() and not (args.force or goes_on):
        raise OutputError(f"{checkpoint} exists already: --resume goes on from it, -f overwrites it")
    try:
        work(args, output)
    except KeyboardInterrupt:
        if of_environment().rank:
            raise SystemExit(EXIT_INTERRUPTED) from None  # the first process says it for all
        if checkpoint.exists():
            complain(f"aec: {checkpoint} is written; --resume {checkpoint} goes on from it")
        raise
    return 0


def _report(args: Namespace) -> Callable[[str], None]:
    return (lambda line: None) if args.quiet else complain


def _train_codec(args: Namespace, output: Path) -> None:
    from ..coding import model_search
    from ..train import command
    from ..train.codec_run import Options, batch_unit
    from ..train.distributed import of_environment

    if args.minutes is None:
        raise UsageError("--minutes is missing: how long to train")
    if args.latents is not None or args.epochs is not None:
        raise UsageError("--latents and --epochs need --arch: they are of the classic autoencoders")
    if args.anew and args.init is None:
        raise UsageError("--anew needs --init: it begins nets of that model again")
    if args.minutes == 0 and args.init is None and args.resume is None:
        raise UsageError("--minutes 0 needs --init or --resume: there is nothing to fit tables and qualities to")
    if args.blend and args.init is None:
        raise UsageError("--blend needs --init: it says how far to go from that model to another")
    unit = batch_unit(of_environment())
    options = Options(
        minutes=args.minutes,
        config=args.config,
        batch=args.batch or unit * math.ceil(Options.batch / unit),
        learning_rate=args.learning_rate,
        device=args.device,
        seed=args.seed,
        only=tuple(args.only),
        tune=args.tune,
        shares=args.shares,
    )

    def model(name: str) -> Path:
        return Path(name) if Path(name).is_file() else model_search.find(name)

    init = args.init and model(args.init)
    blend = args.blend and (model(args.blend[0]), _share(args.blend[1]))
    holdout, resume = args.holdout and Path(args.holdout), args.resume and Path(args.resume)
    keep = args.keep_checkpoint or resume is not None  # a run that was resumed once may be resumed again
    data = [Path(p) for p in args.data]
    command.main(data, output, options, resume, init, args.anew, blend, holdout, keep, _report(args), args.stream)


def _train_family(args: Namespace, output: Path) -> None:
    from ..train import family_command
    from ..train.distributed import of_environment
    from ..train.family_run import Options

    if of_environment().size > 1:
        raise UsageError(f"--arch {args.arch} is trained by one process: start it without torchrun")
    if (args.minutes is None) == (args.epochs is None):
        raise UsageError("give --minutes or --epochs: how long to train")
    if args.minutes == 0 and args.resume is None:
        raise UsageError("--minutes 0 needs --resume: there is no trained member to write")
    for name in ("init", "anew", "blend", "only", "tune", "shares", "config", "stream"):
        if getattr(args, name):
            raise UsageError(f"--{name} is for the codec's networks: --arch {args.arch} is another")
    options = Options(
        args.arch,
        minutes=args.minutes or 0.0,
        latents=args.latents,
        batch=args.batch or Options.batch,
        learning_rate=args.learning_rate,
        device=args.device,
        seed=args.seed,
    )
    holdout, resume = args.holdout and Path(args.holdout), args.resume and Path(args.resume)
    keep = args.keep_checkpoint or resume is not None
    data = [Path(p) for p in args.data]
    family_command.main(data, output, options, resume, holdout, keep, _report(args), args.epochs)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--blend's share {text!r}: a number from 0, all of --init's model, to 1, all of the other")
    return share


def bench(args: Namespace) -> int:
    return _bench_module("codec.bench").main(args.rest)


def compare(args: Namespace) -> int:
    comparison = _bench_module("codec.bench.compare")
    target = None if args.output == "-" else Path(args.output)
    sources = [Path(name) for name in (args.original, *args.files)]
    refuse_own_inputs(target, sources)
    refuse_existing(target, args.force)
    original, *others = (Job(source, target) for source in sources)
    files: list[Any] = []

    def work(job: Job, progress: Progress) -> Row:
        file = comparison.read(job.source, args.device, args.model, files[0] if files else None)
        files.append(file)
        return Row(line=f"{file.n_bytes} bytes")

    code = runner.run(args, [original], work, done=None) or runner.run(args, others, work, done=None)
    if not code:
        mode = functools.reduce(operator.and_, (permissions(source.stat()) for source in sources))
        write_bytes(target, comparison.page(files[0], files[1:]), args.force, mode=mode)
    return code


def _bench_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name != "codec.bench":
            raise
        raise InputError("the bench is part of an installed aec only; in the tree, run python -m bench") from e

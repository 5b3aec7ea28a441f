"""`aec compress` and `aec decompress`: they translate options into calls of the library, and convert each file."""

import stat
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .. import api
from ..coding import model_search
from ..coding.device import resolve_device
from ..coding.threads import cores
from ..conversion import Compression, Conversion, Decompression
from ..errors import AecError
from ..io import (
    IMAGE_SUFFIXES,
    ExistsError,
    InputError,
    OutputError,
    permissions,
    read_bytes,
    refuse_existing,
    write_bytes,
)
from ..picture import export
from . import arriving, collections, runner, streams
from .jobs import Job, UsageError, expand, namesakes, plan, read_list, tell_left_out
from .runner import Progress, Row
from .streams import complain

if TYPE_CHECKING:
    import numpy as np

GPU_FILES = 4  # files at a time with a GPU: enough to keep it busy while other files are read and written


def compress(args: Namespace) -> int:
    if collections.is_model(args.model):
        return collections.compress(args)
    exact = args.lossless or args.max_error is not None
    if exact:
        name = "--lossless" if args.lossless else "--max-error"
        if args.alpha_quality not in (None, 100):
            raise UsageError(f"{name} keeps every sample of alpha: --alpha-q says nothing then")
        if args.progressive:
            raise UsageError(f"{name} and --progressive: only pictures that the networks code can be progressive")
        if args.roi or args.roi_mask:
            raise UsageError(f"{name} and regions: it holds for every sample, so no region can be better or worse")
    names = ("quality", "max_error", *api.TARGETS, "effort", "alpha_quality", "bits")
    options = {name: value for name in names if (value := getattr(args, name)) is not None}
    for name in ("lossless", "progressive"):
        if getattr(args, name):
            options[name] = True
    if args.roi or args.roi_mask:
        options["roi"] = [*args.roi, *((_mask(path), difference) for path, difference in args.roi_mask)]
    conversion = Compression(options, args.device, args.model, args.metadata, args.if_larger, args.verbose)
    return _convert(args, IMAGE_SUFFIXES, conversion, networks=not exact)


def _mask(path: Path) -> "np.ndarray":
    """Read the mask of --roi-mask: the mean of the channels, uint8 [H, W]."""
    from ..given import open_picture

    try:
        pixels = open_picture(read_bytes(path))
    except OSError as e:
        raise UsageError(f"--roi-mask {path}: {e.strerror or e}") from e
    except (AecError, InputError, ValueError) as e:
        raise UsageError(f"--roi-mask {path}: {e}") from e
    gray = pixels.data.mean(2) / (1 if pixels.depth == 8 else 257)
    return gray.round().astype("uint8")


def decompress(args: Namespace) -> int:
    conversion = Decompression(
        f".{args.format or 'png'}",
        args.device,
        args.model,
        args.metadata,
        args.out_quality,
        args.max_pixels or None,
        args.crop,
        args.scale,
        args.fit,
        args.depth,
        args.allow_partial,
    )
    if args.arriving:
        arriving.check(args)
        return arriving.decompress(args, conversion, _jobs(args, {".aec"}, conversion.suffix))
    return _convert(args, {".aec"}, conversion, networks=True)


def _convert(args: Namespace, suffixes: set[str], conversion: Conversion, networks: bool) -> int:
    if args.shards is not None:
        from . import bulk

        return bulk.run(args, conversion, lambda: _workers(args, cores(), networks))
    for name in ("to", "rows", "engine", "address"):
        if getattr(args, name) != args.parser.get_default(name):
            raise UsageError(f"--{name} is for tar shards: name them with --from")
    jobs = _jobs(args, suffixes, conversion.suffix)
    there = {job for job in jobs if args.skip_existing and job.target is not None and job.target.exists()}
    others = namesakes(there, suffixes)

    def whole(job: Job, progress: Progress) -> Row:
        if job in others:
            raise OutputError(
                f"{job.target} exists already, and {others[job]} becomes that too: which of the two it holds is not "
                "known; name another output with -o, or use --keep-suffix"
            )
        if job in there:
            return Row("skipped", why=f"{job.target} exists already")
        try:
            return convert(job, progress)
        except ExistsError as e:
            raise OutputError(f"{e}, --skip-existing leaves it as it is") from e

    def convert(job: Job, progress: Progress) -> Row:
        # This comes first, so that a mistyped input is reported as missing even if the output exists.
        status = job.source.stat() if job.source else None
        refuse_existing(job.target, args.force)
        if args.dry_run:
            return Row("planned")
        if job.collection:
            return collections.unpack(args, job, progress)
        # --format says the kind of file where the name of the target has no suffix.
        unnamed = job.target is None or args.format and not job.target.suffix
        made = conversion.make(read_bytes(job.source), None if unnamed else job.target, progress)
        if made.data is None:
            return Row("skipped", why=made.why, facts=made.facts)
        progress(1)
        if missing := made.facts.get("missing"):
            complain(f"aec: {job.name}: {_of_missing(missing)}")
        times = (status.st_atime_ns, status.st_mtime_ns) if status and args.preserve_mtime else None
        _make_folders(job)
        write_bytes(job.target, made.data, args.force, times, permissions(status))
        return Row(line=f"{made.line} -> {job.target or 'standard output'}{made.note}", facts=made.facts)

    left = len(jobs) - len(there)
    if args.dry_run or not left:
        return runner.run(args, jobs, whole)
    return runner.run(args, jobs, whole, min(left, _workers(args, left, networks)), networks)


def _of_missing(missing: list[dict]) -> str:
    """Return a phrase that says which areas of a picture are not whole."""
    places = [area["area"] for area in missing if area["what"] in ("colours", "alpha")]
    areas = [f"{w}x{h} at {x},{y}" for x, y, w, h in places[:3]]
    more = f" and {len(places) - 3} more places" if len(places) > 3 else ""
    lost = [area["what"] for area in missing if area["what"] not in ("colours", "alpha")]
    said = [f"the picture is not as it was in and near {', '.join(areas)}{more}"] if places else []
    said += [f"there is no {' and '.join(lost)} metadata"] if lost else []
    return f"the file is cut off or damaged: {'; '.join(said)}"


def _make_folders(job: Job) -> None:
    """Create the missing folders above the target, with the permissions of the corresponding folders of the source."""
    if job.alike and job.target and job.source:
        for folder, like in reversed(list(zip(job.target.parents, job.source.parents, strict=False))[: job.alike]):
            if not folder.exists():
                with suppress(OSError):  # `write_bytes` will fail in the same way, and report it
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    folder.mkdir(permissions(like.stat()) | stat.S_IRWXU)


def _workers(args: Namespace, left: int, networks: bool) -> int:
    """Return how many files to process at a time.

    The device and the model are checked here, so that an error is reported once and not for each file.
    """
    wanted = args.jobs if isinstance(args.jobs, int) else cores()
    named = args.model is not None and not collections.is_model(args.model)
    path = model_search.find(args.model) if named else None
    if not networks:
        return wanted
    device = resolve_device(args.device)
    if path is not None:
        from ..coding import model_file

        model_file.load(path)
    return wanted if args.jobs is not None or device == "cpu" else min(wanted, GPU_FILES)


def _jobs(args: Namespace, suffixes: set[str], suffix: str) -> list[Job]:
    if not args.inputs and args.filelist is None:
        raise UsageError("nothing to do: name files or folders, or a list of them with --filelist")
    if args.filelist == "-" and "-" in args.inputs:
        raise UsageError("standard input cannot be both a picture and the list of --filelist")
    listed = read_list(args.filelist) if args.filelist is not None else []
    sources, left_out = expand(args.inputs, suffixes, args.recursive)
    more, also_left_out = expand(listed, suffixes, args.recursive, literal=True)
    sources += more
    tell_left_out(left_out + also_left_out, suffixes, args.quiet)
    several = len(sources) > 1 or any(Path(name).is_dir() for name in (*args.inputs, *listed))
    to_aec = suffix == ".aec"
    keep_suffix = args.keep_suffix if to_aec else False
    jobs = plan(sources, several, args.output, args.output_dir_mirror, suffix, keep_suffix)
    if not to_aec:
        jobs = [collections.planned(args, job, suffix) for job in jobs]
    if kept := [job.target for job in jobs if job.keeps_suffix and job.target]:
        if not args.quiet:
            complain(f"aec: {len(kept)} pictures keep their suffix, such as {kept[0]}: others have the same name")
    for job in jobs:
        if job.target is not None:
            (_check_aec if to_aec else _check_format)(args, job.target)
        if job.problem is None and job.target is None and not args.force and streams.out_is_terminal():
            raise UsageError("the output would go to a terminal: name a file with -o, or use -f")
        if job.problem is None and job.target is None and (args.json or args.skip_existing):
            raise UsageError("the picture goes to standard output: --json and --skip-existing need a file, with -o")
        if job.source is None and args.preserve_mtime:
            raise UsageError("standard input has no time to preserve")
    return jobs


def _check_aec(args: Namespace, target: Path) -> None:
    if not target.suffix and not target.exists() and not args.format:
        out = args.output
        raise UsageError(f"-o {out}: there is no such folder; write {out}/ to make one, or {out}.aec for a file")
    if (kind := target.suffix.lower()) in {*IMAGE_SUFFIXES, ".jxl", ".heic", ".heif"}:
        raise UsageError(f"-o {args.output}: compress makes .aec files, and {kind} is another kind; name it .aec")


def _check_format(args: Namespace, target: Path) -> None:
    if args.format and target.suffix and export.kind_of(target) != export.kind_of(None, f".{args.format}"):
        raise UsageError(f"-o {args.output} and --format {args.format}: the name says another kind of file")

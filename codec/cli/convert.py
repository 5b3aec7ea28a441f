"""`aec compress` and `aec decompress`: they translate options into calls of the library, and convert each file."""

import stat
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .. import api
from ..coding.device import resolve_device
from ..coding.threads import cores
from ..container import format
from ..io import IMAGE_SUFFIXES, ExistsError, OutputError, permissions, read_bytes, refuse_existing, write_bytes
from ..opened import AecFile
from ..picture import export
from . import collections, runner, streams
from .files import open_picture
from .jobs import Job, UsageError, expand, namesakes, plan, read_list, tell_left_out
from .runner import Progress, Row
from .streams import complain

GPU_FILES = 4  # files at a time with a GPU: enough to keep it busy while other files are read and written
# Takes the bytes of the input, and returns the bytes to write (None to write nothing) and the row of the report.
Work = Callable[[Job, bytes, Progress], tuple[bytes | None, Row]]


def compress(args: Namespace) -> int:
    if collections.is_model(args.model):
        return collections.compress(args)
    if args.lossless and args.alpha_quality is not None:
        raise UsageError("--lossless keeps every sample, those of alpha too: --alpha-q says nothing then")
    names = ("quality", *api.TARGETS, "effort", "alpha_quality", "bits")
    options = {name: value for name in names if (value := getattr(args, name)) is not None}
    if args.lossless:
        options["lossless"] = True
    # The source file may only be stored as it is if all metadata is kept: it may hold more, such as comments.
    all_kept = args.metadata is None or set(args.metadata) == set(format.METADATA)

    def work(job: Job, given: bytes, progress: Progress) -> tuple[bytes | None, Row]:
        pixels = open_picture(given)
        n_source, whole = len(given), given if args.verbose else b""
        may_be_stored = args.if_larger == "store" and all_kept and format.stored_kind(given) is not None
        source = given if may_be_stored else None
        del given  # frees the input's bytes during encoding, unless they may be stored
        data = api.encode(
            pixels,
            device=args.device,
            model=args.model,
            metadata=None if all_kept else pixels.metadata.only(args.metadata),
            source=source,
            progress=progress,
            **options,
        )
        made = AecFile(data, max_pixels=None)
        facts = {"bytes_in": n_source, "bytes_out": len(data), **runner.facts_of(made)}
        line = (
            f"{facts['width']}x{facts['height']}, {n_source} -> {len(data)} bytes "
            f"({len(data) / n_source:.1%}, {facts['bpp']:.3f} bits per pixel)"
        )
        if args.if_larger != "store" and len(data) > n_source:
            larger = f"{n_source} bytes would become {len(data)}"
            if args.if_larger == "fail":
                raise OutputError(f"{larger}; --if-larger store keeps a PNG, WebP or JPEG as it is")
            return None, Row("skipped", why=larger, facts=facts | {"bytes_out": None})
        stored = ", stored" if made.header.stored else ""
        lost = _left_behind(whole, made) if args.verbose else ""
        return data, Row(line=f"{line}{stored} -> {job.target or 'standard output'}{lost}", facts=facts)

    return _convert(args, IMAGE_SUFFIXES, ".aec", work, networks=not args.lossless)


def decompress(args: Namespace) -> int:
    limit = args.max_pixels or None
    kinds = format.METADATA if args.metadata is None else args.metadata
    suffix = f".{args.format or 'png'}"

    def work(job: Job, data: bytes, progress: Progress) -> tuple[bytes, Row]:
        from PIL import Image

        unnamed = job.target is None or args.format and not job.target.suffix
        kind = export.kind_of(None if unnamed else job.target, suffix)
        file = AecFile(data, limit)
        header = file.header
        exact = header.stored and args.out_quality is None
        output = export.check(kind, header.gray, header.alpha, args.depth or header.depth, exact, args.out_quality)
        picture = file.decode(
            args.device,
            args.model,
            output=output,
            region=args.crop,
            scale=args.scale,
            fit=args.fit,
            depth=args.depth,
            progress=progress,
        )
        asked = (args.crop, args.scale != 1, args.fit, args.depth not in (None, header.depth), args.out_quality)
        changed = any(asked) or set(kinds) != set(format.METADATA)
        made = None if changed else _own_file(file, kind)
        if made is None:
            made = export.encoded(picture, kind, file.metadata.only(kinds), exact, args.out_quality)
        height, width = picture.size[::-1] if isinstance(picture, Image.Image) else picture.shape[:2]
        line = f"{len(data)} bytes -> {width}x{height} -> {job.target or 'standard output'}"
        facts = {"bytes_in": len(data), "bytes_out": len(made), **runner.facts_of(file)}
        return made, Row(line=line, facts=facts | {"width": width, "height": height})

    return _convert(args, {".aec"}, suffix, work, networks=True)


def _left_behind(source: bytes, made: AecFile) -> str:
    """Return a phrase that names what the source holds and the .aec file does not; empty if there is nothing."""
    if made.stored_file == source:
        return ""
    from ..picture import left_behind

    names = left_behind.names(source)
    return f"; without its {', '.join(names)}" if names else ""


def _own_file(file: AecFile, kind: str) -> bytes | None:
    """Return the file inside a stored picture, if it is of the wanted kind and already has the right metadata.

    Copying it avoids that a JPEG is encoded a second time. Otherwise None is returned.
    """
    own = file.stored_file
    if own is None or file.layout.metadata or (format.stored_kind(own) or "").upper() != kind:
        return None
    return own


def _convert(args: Namespace, suffixes: set[str], suffix: str, work: Work, networks: bool) -> int:
    jobs = _jobs(args, suffixes, suffix)
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
        data, row = work(job, read_bytes(job.source), progress)
        if data is not None:
            progress(1)
            times = (status.st_atime_ns, status.st_mtime_ns) if status and args.preserve_mtime else None
            _make_folders(job)
            write_bytes(job.target, data, args.force, times, permissions(status))
        return row

    left = len(jobs) - len(there)
    if args.dry_run or not left:
        return runner.run(args, jobs, whole)
    return runner.run(args, jobs, whole, min(left, _workers(args, left, networks)), networks)


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
    if not networks:
        return wanted
    device = resolve_device(args.device)
    if args.model is not None and not collections.is_model(args.model):
        from ..coding import model_file, model_search

        model_file.load(model_search.find(args.model))
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
    if not target.suffix and not target.exists():
        out = args.output
        raise UsageError(f"-o {out}: there is no such folder; write {out}/ to make one, or {out}.aec for a file")
    if (kind := target.suffix.lower()) in {*IMAGE_SUFFIXES, ".jxl", ".heic", ".heif"}:
        raise UsageError(f"-o {args.output}: compress makes .aec files, and {kind} is another kind; name it .aec")


def _check_format(args: Namespace, target: Path) -> None:
    if args.format and target.suffix and export.kind_of(target) != export.kind_of(None, f".{args.format}"):
        raise UsageError(f"-o {args.output} and --format {args.format}: the name says another kind of file")

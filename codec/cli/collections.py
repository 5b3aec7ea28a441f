"""`aec compress` with a model for small pictures, and the other commands for the collection files that it makes."""

import functools
import operator
import shutil
import stat
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..coding import model_search
from ..collection import Collection, encode_collection
from ..container import collection as container
from ..container.metadata import NONE
from ..io import InputError, permissions, refuse_existing, write_bytes
from ..picture import export
from . import runner, streams
from .jobs import Job, UsageError, refuse_options
from .runner import Progress, Row

if TYPE_CHECKING:
    import numpy as np

# The options that mean something here, by the names of argparse; another one that is given is an error.
COMMON = {"verbose", "quiet", "progress", "json", "debug", "keep_going", "jobs", "dry_run", "skip_existing"}
COMMON |= {"inputs", "output", "model", "recursive", "force"}
COMPRESS_OPTIONS = COMMON | {"quality"}
DECOMPRESS_OPTIONS = COMMON | {"output_dir_mirror", "filelist", "format", "pick", "max_pixels"}


def is_model(name: str | None) -> bool:
    """Return whether --model names a model for collections. Raises ModelError if there is no model of that name."""
    return name is not None and model_search.kind_of(model_search.find(name)) == model_search.COLLECTION


def is_collection(path: Path | None) -> bool:
    """Return whether a file begins as a collection does. A pipe is not looked into."""
    try:
        if path is None or not path.is_file():
            return False
        with open(path, "rb") as file:
            return container.is_collection(file.read(len(container.MAGIC)))
    except OSError:
        return False  # the command reports it


def compress(args: Namespace) -> int:
    """Make one collection of all pictures that are named."""
    refuse_options(args, COMPRESS_OPTIONS, "a model for collections of small pictures")
    if args.output is None:
        raise UsageError("a collection is one file of all pictures: name it with -o")
    if not args.inputs:
        raise UsageError("nothing to do: name folders, IDX or npz files, or pictures")
    target = None if args.output == "-" else Path(args.output)
    if target is None and not args.force and streams.out_is_terminal():
        raise UsageError("the output would go to a terminal: name a file with -o, or use -f")
    if target is None and (args.json or args.skip_existing):
        raise UsageError("the collection goes to standard output: --json and --skip-existing need a file, with -o")
    if target is not None and target.suffix.lower() != ".aec" and (not target.exists() or target.is_dir()):
        raise UsageError(f"-o {args.output}: a collection is one file, whose name ends in .aec")

    def work(job: Job, progress: Progress) -> Row:
        from ..small import inputs
        from ..small.model import find

        if args.skip_existing and target is not None and target.exists():
            return Row("skipped", why=f"{target} exists already")
        refuse_existing(target, args.force)
        model = find(args.model)
        mode = _permissions(args.inputs)
        if args.dry_run:
            return Row("planned")
        found = inputs.read([Path(name) for name in args.inputs], model.shape, args.recursive)
        for message in found.left_out:
            streams.complain(f"aec: left out: {message}")
        quality = 75 if args.quality is None else args.quality
        data = encode_collection(found.pictures, args.model, quality, found.names or None)
        progress(1)
        write_bytes(target, data, args.force, mode=mode)
        n, samples = len(found.pictures), found.pictures.nbytes
        line = (
            f"{n} pictures, {samples} -> {len(data)} bytes ({len(data) / samples:.1%}, {len(data) / n:.2f} bytes each)"
        )
        height, width = model.shape[:2]
        facts = {"bytes_in": samples, "bytes_out": len(data), "width": width, "height": height, "quality": quality}
        if found.left_out:  # the collection is whole, but not all that was asked for
            raise InputError(f"some pictures were left out; the others: {line}")
        return Row(line=f"{line} -> {target or 'standard output'}", facts=facts)

    return runner.run(args, [Job(Path(args.inputs[0]), target)], work)


def _permissions(inputs: list[str]) -> int:
    """Return the permissions of a collection, so that no more people can read it than each of the inputs."""
    files = ~(stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)  # folders have these bits in another meaning
    return functools.reduce(operator.and_, (permissions(Path(name).stat()) for name in inputs)) & files


def planned(args: Namespace, job: Job, suffix: str) -> Job:
    """Return the job of a collection with a folder as its target, unless -o names a file. Others stay as they are.

    Raises:
        UsageError: an option means nothing for a collection, or --pick is given for a single picture.
    """
    if job.problem is not None:
        return job
    if not is_collection(job.source):
        if args.pick is not None and job.source is not None and job.source.exists():
            raise UsageError(f"--pick takes a picture of a collection, and {job.name} is none")
        return job
    refuse_options(args, DECOMPRESS_OPTIONS, f"{job.name}, a collection of small pictures")
    if job.target is None:
        raise UsageError("a collection becomes a folder of pictures: name it with -o")
    if job.target == Path(args.output or ""):
        single = job.target.suffix and not job.target.is_dir()
        if single and args.pick is None and export.kind_of(job.target) != export.NPY:
            raise UsageError(
                f"-o {job.target}: a collection becomes a folder or one .npy file; --pick takes one picture"
            )
        return replace(job, collection=True)
    folder = job.target.with_suffix("") if job.target.suffix == suffix else job.target
    return replace(job, target=folder, collection=True)


def unpack(args: Namespace, job: Job, progress: Progress) -> Row:
    """Write the pictures of a collection to a folder, all of them to an .npy file, or the one of --pick to a file."""
    assert job.source is not None and job.target is not None  # `planned` made sure
    collection, target, mode = Collection(job.source, args.model), job.target, permissions(job.source.stat())
    if args.pick is not None and not 0 <= args.pick < len(collection):
        raise InputError(f"--pick {args.pick}: the collection has pictures 0 to {len(collection) - 1}")
    which = range(len(collection)) if args.pick is None else range(args.pick, args.pick + 1)
    collection.check_pixels(len(which), args.max_pixels or None)
    one = target.suffix and not target.is_dir()
    kind = export.kind_of(target if one else None, f".{args.format or 'png'}")
    export.check(kind, collection.header.channels == 1, False, 8, False, None)
    if one:
        made = collection.decode(which, None)
        progress(1)
        write_bytes(target, _encoded(made if args.pick is None else made[0], kind), args.force, mode=mode)
    else:
        _write_folder(collection, which, target, f".{args.format or 'png'}", args.force, mode, progress)
    line = f"{collection.n_bytes} bytes -> {len(which)} of {len(collection)} pictures -> {target}"
    return Row(line=line, facts={"bytes_in": collection.n_bytes, **_size(collection)})


def _size(collection: Collection) -> dict:
    h = collection.header
    return {"width": h.width, "height": h.height, "bpp": collection.bits_per_pixel, "quality": h.quality}


def _encoded(picture: "np.ndarray", kind: str) -> bytes:
    from PIL import Image

    return export.encoded(picture if kind == export.NPY else Image.fromarray(picture), kind, NONE, False, None)


def _write_folder(
    collection: Collection, which: range, folder: Path, suffix: str, force: bool, mode: int, progress: Progress
) -> None:
    kind, new = export.kind_of(None, suffix), not folder.exists()
    try:
        for part, pictures in collection.blocks(which):
            for i, picture in zip(part, pictures, strict=True):
                write_bytes(folder / f"{collection.name_of(i)}{suffix}", _encoded(picture, kind), force, mode=mode)
            progress((part.stop - which.start) / len(which))
    except BaseException:
        if new:  # a folder with some of the pictures would look like a whole one
            shutil.rmtree(folder, ignore_errors=True)
        raise

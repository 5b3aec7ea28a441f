"""`aec compress` with a model for small pictures, and the other commands for the collection files that it makes."""

import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import errors
from ..coding import model_search
from ..collection import Collection, encode_collection
from ..container.collection import MAGIC
from ..container.metadata import NONE
from ..io import InputError, refuse_existing, write_bytes
from ..picture import export
from . import runner, streams
from .jobs import Job, UsageError
from .runner import Progress, Row

if TYPE_CHECKING:
    import numpy as np

# The options that mean something here, by the names of argparse; another one that is given is an error.
TALK = {"verbose", "quiet", "progress", "json", "debug", "keep_going", "jobs", "dry_run"}
COMPRESS_OPTIONS = TALK | {"inputs", "output", "quality", "model", "recursive", "force"}
DECOMPRESS_OPTIONS = COMPRESS_OPTIONS - {"quality"} | {"output_dir_mirror", "filelist", "skip_existing"}
DECOMPRESS_OPTIONS |= {"format", "pick", "max_pixels"}


def is_model(name: str | None) -> bool:
    """Return whether --model names a model for collections."""
    if name is None:
        return False
    try:
        return model_search.kind_of(model_search.find(name)) == model_search.COLLECTION
    except errors.ModelError:
        return False  # the command reports it


def is_collection(path: Path | None) -> bool:
    """Return whether a file begins as a collection does. A pipe is not looked into."""
    try:
        if path is None or not path.is_file():
            return False
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # the command reports it


def compress(args: Namespace) -> int:
    """Make one collection of all pictures that are named."""
    _refuse(args, COMPRESS_OPTIONS, "a model for collections of small pictures")
    if args.output is None:
        raise UsageError("a collection is one file of all pictures: name it with -o")
    if not args.inputs:
        raise UsageError("nothing to do: name folders, IDX or npz files, or pictures")
    target = None if args.output == "-" else Path(args.output)

    def work(job: Job, progress: Progress) -> Row:
        from ..small import inputs
        from ..small.model import find

        refuse_existing(target, args.force)
        model = find(args.model)
        found = inputs.read([Path(name) for name in args.inputs], model.shape, args.recursive)
        for message in found.left_out:
            streams.complain(f"aec: left out: {message}")
        quality = 75 if args.quality is None else args.quality
        data = encode_collection(found.pictures, args.model, quality, found.names or None)
        progress(1)
        write_bytes(target, data, args.force)
        n, samples = len(found.pictures), found.pictures.nbytes
        line = (
            f"{n} pictures, {samples} -> {len(data)} bytes ({len(data) / samples:.1%}, {len(data) / n:.2f} bytes each)"
        )
        height, width = model.shape[:2]
        facts = {"bytes_in": samples, "bytes_out": len(data), "width": width, "height": height, "quality": quality}
        if found.left_out:  # the collection is whole, but not all that was asked for
            raise InputError(f"{len(found.left_out)} pictures were left out; the others: {line}")
        return Row(line=f"{line} -> {target or 'standard output'}", facts=facts)

    return runner.run(args, [Job(Path(args.inputs[0]), target)], work)


def with_folder(args: Namespace, job: Job, suffix: str) -> Job:
    """Return the job of a collection with a folder as its target, unless -o names a file. Others stay as they are."""
    if not is_collection(job.source) or job.target is None or job.target == Path(args.output or ""):
        return job
    return replace(job, target=job.target.with_suffix("") if job.target.suffix == suffix else job.target)


def unpack(args: Namespace, job: Job, progress: Progress) -> Row:
    """Write the pictures of a collection to a folder, all of them to an .npy file, or the one of --pick to a file."""
    _refuse(args, DECOMPRESS_OPTIONS, f"{job.name}, a collection of small pictures")
    if job.source is None or job.target is None:
        raise UsageError("a collection becomes a folder of pictures: name a file to read and a folder to write")
    collection, target = Collection(job.source, args.model), job.target
    if args.pick is not None and not 0 <= args.pick < len(collection):
        raise UsageError(f"--pick {args.pick}: the collection has pictures 0 to {len(collection) - 1}")
    which = range(len(collection)) if args.pick is None else range(args.pick, args.pick + 1)
    if target.suffix and not target.is_dir():
        kind = export.kind_of(target)
        if kind != export.NPY and args.pick is None:
            raise UsageError(f"-o {target}: a collection becomes a folder or one .npy file; --pick takes one picture")
        made = collection.decode(which, args.max_pixels or None)
        data = _encoded(made if args.pick is None else made[0], kind)
        write_bytes(target, data, args.force)
    else:
        _write_folder(collection, which, target, f".{args.format or 'png'}", args.force, progress)
    line = f"{collection.n_bytes} bytes -> {len(which)} of {len(collection)} pictures -> {target}"
    return Row(line=line, facts={"bytes_in": collection.n_bytes, **_size(collection)})


def _size(collection: Collection) -> dict:
    h = collection.header
    bpp = round(8 * collection.n_bytes / (h.count * h.width * h.height), 4)
    return {"width": h.width, "height": h.height, "bpp": bpp, "quality": h.quality}


def _encoded(picture: "np.ndarray", kind: str) -> bytes:
    from PIL import Image

    return export.encoded(picture if kind == export.NPY else Image.fromarray(picture), kind, NONE, False, None)


def _write_folder(
    collection: Collection, which: range, folder: Path, suffix: str, force: bool, progress: Progress
) -> None:
    kind, new = export.kind_of(None, suffix), not folder.exists()
    digits, step = len(str(len(collection) - 1)), collection.header.block
    try:
        for start in range(which.start, which.stop, step):
            part = range(start, min(start + step, which.stop))
            for i, picture in zip(part, collection.decode(part), strict=True):
                name = collection.names[i] if collection.names else f"{i:0{digits}d}"
                write_bytes(folder / f"{name}{suffix}", _encoded(picture, kind), force)
            progress((part.stop - which.start) / len(which))
    except BaseException:
        if new:  # a folder with some of the pictures would look like a whole one
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _refuse(args: Namespace, allowed: set[str], what: str) -> None:
    """Raise UsageError if an option is given that means nothing here."""
    for action in args.parser._actions:
        given = getattr(args, action.dest, action.default)
        if action.option_strings and action.dest not in allowed and given != action.default:
            raise UsageError(f"{action.option_strings[-1]} means nothing for {what}")


def describe(collection: Collection) -> dict:
    """Return the facts about a collection that `aec info` prints."""
    h = collection.header
    return {
        "bytes": collection.n_bytes,
        "pictures": h.count,
        "width": h.width,
        "height": h.height,
        "mode": "gray" if h.channels == 1 else "RGB",
        "quality": h.quality,
        "model": h.model_id.hex(),
        "model_name": model_search.name_of(h.model_id),
        "bytes_per_picture": round(collection.n_bytes / h.count, 3),
        "bits_per_pixel": round(8 * collection.n_bytes / (h.count * h.width * h.height), 4),
        "named": h.named,
        "pictures_per_block": h.block,
        "blocks": h.n_blocks,
    }

"""aec on Ray: shards of pictures on a cluster, and pictures in datasets of `ray.data`.

`AecCompressor` and `AecDecompressor` are callables for `Dataset.map_batches`, which makes actors of them; the model is
loaded once an actor. Pictures are coded one after the other, on one thread, so that an actor takes one core, and a
picture becomes the same bytes as by `codec.encode`. Importing this module does not import Ray.
"""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import api
from ..bulk import files
from ..bulk import shard as shards
from ..bulk.local import Outcome
from ..bulk.names import Shard
from ..bulk.task import Task, convert, one_by_one
from ..coding import threads
from ..container import collection, format
from ..conversion import Compression, Conversion, Decompression
from ..errors import ModelError
from ..extras import need
from ..failures import FAILURES, OF_THE_MACHINE, message
from ..io import ExistsError

if TYPE_CHECKING:
    from ray.data import Dataset

Batch = dict[str, np.ndarray]
# How often a shard is begun again after its process or its machine is lost. It goes on where it was, if the disk of its
# target is still there.
RETRIES = 10
_BATCH = 16  # pictures that an actor is given at once


# ------------------------------------------------------------------ shards


def run(
    todo: Sequence[Shard],
    task: Task,
    tell: Callable[[int], None] = lambda n: None,
    address: str | None = None,
    workers: int | None = None,
) -> Generator[Outcome, None, None]:
    """Convert shards on Ray, one in each worker process, and yield what became of each as soon as it is finished.

    Args:
        tell: called with the number of pictures of each shard that is finished.
        address: of a cluster, as of `ray.init`; None: Ray is started on this machine. If Ray is connected already, that
            connection is used, and stays.
        workers: how many shards at a time; None: one for each core of the cluster.

    The paths of the shards must lead to the same files on all machines of the cluster.

    Raises:
        MissingPackageError: Ray is not installed. ConnectionError: no cluster answers at the address.
    """
    ray = need("ray", "--engine ray", "ray")
    connected = ray.is_initialized()
    if not connected:
        own = {"num_cpus": workers} if address is None else {}
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False, **own)
    try:
        gpus = int(task.conversion.device.startswith("cuda"))
        begin = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES, scheduling_strategy="SPREAD")(_convert)
        at_once = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        under_way: dict[Any, Shard] = {}
        waiting = iter(todo)
        while True:
            while len(under_way) < at_once and (shard := next(waiting, None)) is not None:
                under_way[begin.remote(_anywhere(shard), task)] = shard
            if not under_way:
                return
            for done in ray.wait(list(under_way))[0]:
                yield _outcome(ray, done, under_way.pop(done), tell)
    finally:
        if not connected:
            ray.shutdown()


def _anywhere(shard: Shard) -> Shard:
    """Return the shard with paths that do not depend on the folder in which a process runs."""

    def whole(path: str) -> str:
        return path if files.is_remote(path) else os.path.abspath(files.local(path))

    return Shard(whole(shard.source), whole(shard.target))


def _convert(shard: Shard, task: Task) -> dict[str, Any] | Exception:
    threads.use(1)
    try:
        return shards.convert(shard, task, one_by_one(task.conversion))
    except FAILURES as e:
        return e


def _outcome(ray: Any, reference: Any, shard: Shard, tell: Callable[[int], None]) -> Outcome:
    try:
        found = ray.get(reference)
    except ray.exceptions.RayError as e:  # it was begun again too often, or there is a bug
        found = RuntimeError(str(e).strip().splitlines()[-1])
    if isinstance(found, Exception):
        return Outcome(shard, error=found)
    tell(found["pictures"])
    return Outcome(shard, found)


# ------------------------------------------------------------------ datasets


class _Converter:
    """What both callables have in common: the column "bytes" is converted, and the others stay."""

    def __init__(self, conversion: Conversion):
        threads.use(1)
        conversion.check()  # a wrong option is an error here, not a failure of each picture
        self._conversion = conversion

    def _converted(self, batch: Mapping[str, np.ndarray]) -> Batch:
        if "bytes" not in batch:
            raise ValueError(f"the columns are {', '.join(batch)}: one must be bytes, with the files of the pictures")
        results = [convert(self._conversion, data) for data in batch["bytes"]]
        return {
            **batch,
            "bytes": _objects([result.data for result in results]),
            "status": np.array([result.status for result in results]),
            "error": _objects([result.error for result in results]),
        }


def _objects(values: Sequence[Any]) -> np.ndarray:
    """Return a 1-D array of Python objects, whatever they are."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


class AecCompressor(_Converter):
    """Pictures become .aec files: `dataset.map_batches(AecCompressor, fn_constructor_kwargs={"quality": 60}, ..)`.

    A batch has the files of pictures (PNG, JPEG ..) in its column "bytes", as `ray.data.read_binary_files` gives them,
    or arrays uint8 or uint16 [H, W] or [H, W, 1|2|3|4] in "image", as `ray.data.read_images` does. The result has the
    .aec files in "bytes", no "image", "status", which is "done" or "failed", and "error", which is None or says why
    there is no file; "bytes" is None then.

    Args:
        model: as of `codec.encode`.
        metadata: the kinds of metadata to keep, some of "icc", "exif" and "xmp"; None: all.
        options: further arguments of `codec.encode`, such as quality, effort or target_size.

    Raises:
        TypeError, ValueError: an option is none of `codec.encode`. ModelError: there is no such model.
    """

    def __init__(self, model: str | None = None, metadata: tuple[str, ...] | None = None, **options: Any):
        super().__init__(Compression(options, "cpu", model, metadata))
        self._model, self._options = model, options

    def __call__(self, batch: Mapping[str, np.ndarray]) -> Batch:
        if "bytes" in batch or "image" not in batch:
            return self._converted(batch)
        data: list[bytes | None] = []
        errors: list[str | None] = []
        for image in batch["image"]:
            try:
                data.append(api.encode(np.asarray(image), device="cpu", model=self._model, **self._options))
                errors.append(None)
            except (*OF_THE_MACHINE, ModelError):
                raise
            except FAILURES as e:
                data.append(None)
                errors.append(message(e))
        others = {name: column for name, column in batch.items() if name != "image"}
        status = np.array(["done" if error is None else "failed" for error in errors])
        return {**others, "bytes": _objects(data), "status": status, "error": _objects(errors)}


class AecDecompressor(_Converter):
    """The .aec files in the column "bytes" become files of another kind, or arrays.

    Args:
        format: of the files, such as "png" or "jpg". The result has "bytes", "status" and "error" as that of
            `AecCompressor`. None: the result has arrays [H, W] or [H, W, 2|3|4] in "image", uint8, and no "bytes".
        errors: of arrays: "raise" the error of a file that cannot be decoded, or "drop" its row.
        region, scale, fit: as of `codec.decode`.
        model: as of `codec.decode`.
        max_pixels: larger pictures are refused; None: only the format's own limit holds.

    Raises:
        ValueError: `scale` or `fit` is none of `codec.decode`. OutputError: no such files can be written. ModelError:
            there is no such model.
    """

    def __init__(
        self,
        format: str | None = None,
        errors: Literal["raise", "drop"] = "raise",
        *,
        region: tuple[int, int, int, int] | None = None,
        scale: float = 1,
        fit: tuple[int, int] | None = None,
        model: str | None = None,
        max_pixels: int | None = format.DEFAULT_MAX_PIXELS,
    ):
        suffix = f".{format or 'png'}"
        super().__init__(
            Decompression(suffix, "cpu", model, max_pixels=max_pixels, region=region, scale=scale, fit=fit)
        )
        self._format, self._errors = format, errors
        self._decode: dict[str, Any] = {
            "model": model,
            "max_pixels": max_pixels,
            "region": region,
            "scale": scale,
            "fit": fit,
        }

    def __call__(self, batch: Mapping[str, np.ndarray]) -> Batch:
        if self._format is not None:
            return self._converted(batch)
        images, kept = [], []
        for i, data in enumerate(batch["bytes"]):
            try:
                images.append(api.decode(bytes(data), "cpu", output="numpy", depth=8, **self._decode))
                kept.append(i)
            except OF_THE_MACHINE:
                raise
            except FAILURES as e:
                if self._errors == "raise":
                    name = batch["path"][i] if "path" in batch else f"row {i} of a batch"
                    raise ValueError(f"{name}: {message(e)}") from e
        return {**{n: column[kept] for n, column in batch.items() if n != "bytes"}, "image": _objects(images)}


def read_aec(
    paths: str | Sequence[str], *, errors: Literal["raise", "drop"] = "raise", concurrency: Any = None, **options: Any
) -> "Dataset":
    """Read .aec files into a dataset with the columns "path" and "image", as `ray.data.read_images` does.

    Args:
        paths: files and folders, local or URLs, as of `ray.data.read_binary_files`.
        errors: "raise" the error of a file that cannot be decoded, or "drop" its row.
        concurrency: the number of actors, or (least, most); None: from one to as many as the cluster has cores.
        options: region, scale, fit, model and max_pixels of `AecDecompressor`.
    """
    data = need("ray.data", "read_aec", "ray")
    found = data.read_binary_files(paths, include_paths=True, file_extensions=["aec"])
    return found.map_batches(
        AecDecompressor,
        fn_constructor_kwargs={"errors": errors, **options},
        batch_size=_BATCH,
        concurrency=concurrency or _most(),
    )


def _most() -> tuple[int, int]:
    ray = need("ray", "read_aec", "ray")
    return 1, max(1, int(ray.cluster_resources().get("CPU", 1)))


def write_aec(dataset: "Dataset", path: str) -> dict[str, int]:
    """Write the .aec files of a dataset, as `AecCompressor` makes them, to a folder.

    Each file is called as in the column "path", with the suffix .aec. A file that is there already with the same bytes
    stays, so that a step that Ray repeats, and a run that was killed, write nothing twice.

    Args:
        dataset: has the columns "bytes" and "path". A row whose "bytes" is None is left out.
        path: of the folder, local or a URL that fsspec knows; all machines must have it.

    Returns:
        {"written": the number of files, "failed": the number of rows that are left out}.

    Raises:
        Exception: as Ray raises it, with the cause: a file of that name holds something else (ExistsError), as of two
            pictures of one name; or a row holds no .aec file (ValueError).
    """
    folder = path.rstrip("/") if files.is_remote(path) else os.path.abspath(files.local(path))

    def write(batch: Batch) -> Batch:
        written = sum(_write(folder, *row) for row in zip(batch["path"], batch["bytes"], strict=True))
        return {"written": np.array([written]), "failed": np.array([len(batch["path"]) - written])}

    counts = dataset.map_batches(write, batch_size=_BATCH).take_all()
    return {name: int(sum(row[name] for row in counts)) for name in ("written", "failed")}


def _write(folder: str, path: str, data: bytes | None) -> bool:
    if data is None:
        return False
    if not data.startswith((format.MAGIC, collection.MAGIC)):
        raise ValueError(f"{path}: the column bytes has no .aec file")
    target = f"{folder}/{PurePosixPath(path).stem}.aec"
    if files.exists(target):
        with files.opened(target) as file:
            if file.read() != data:
                raise ExistsError(f"{target} exists already, and {path} becomes another file")
    else:
        files.write(target, data)
    return True

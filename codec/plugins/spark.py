"""aec on Spark: functions for `DataFrame.mapInPandas`. Importing this module imports neither Spark nor pandas.

>>> files = spark.read.format("binaryFile").load("s3a://bucket/photos/*.jpg").select("path", "content")
>>> schema = "path string, content binary, status string, error string"
>>> files.mapInPandas(compressor(quality=60), schema).write.parquet("s3a://bucket/small")
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..bulk.task import convert
from ..coding import threads
from ..conversion import Compression, Conversion, Decompression

if TYPE_CHECKING:
    from pandas import DataFrame

Map = Callable[[Iterator["DataFrame"]], Iterator["DataFrame"]]


def compressor(column: str = "content", model: str | None = None, **options: Any) -> Map:
    """Return a function that makes .aec files of the pictures in a binary column.

    All other columns stay. Two are added: status, "done" or "failed", and error, which says why there is no file; the
    column is null then.

    Args:
        column: has the files of the pictures (PNG, JPEG ..). A row without one, whose value is null, fails.
        model: as of `codec.encode`.
        options: further arguments of `codec.encode`, such as quality, effort or target_size.

    Raises:
        TypeError, ValueError: an option is none of `codec.encode`. ModelError: there is no such model.
    """
    return _map(Compression(options, "cpu", model), column)


def decompressor(format: str = "png", column: str = "content", model: str | None = None, scale: float = 1) -> Map:
    """Return a function that makes pictures of the .aec files in a binary column, as `compressor` makes the files.

    Args:
        format: of the pictures, such as "png" or "jpg".
        model, scale: as of `codec.decode`.

    Raises:
        ValueError: there is no such scale. OutputError: no such pictures can be written. ModelError: there is no such
            model.
    """
    return _map(Decompression(f".{format}", "cpu", model, scale=scale), column)


def _map(conversion: Conversion, column: str) -> Map:
    conversion.check()  # here, and not as a failure of each picture

    def frames(given: "Iterator[DataFrame]") -> "Iterator[DataFrame]":
        threads.use(1)  # Spark runs as many tasks as there are cores
        for frame in given:
            results = [convert(conversion, data) for data in frame[column]]
            made = {column: [r.data for r in results], "status": [r.status for r in results]}
            yield frame.assign(**made, error=[r.error for r in results])

    return frames

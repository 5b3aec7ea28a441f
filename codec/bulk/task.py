"""What is to be done with every picture, as a value that is sent to other processes."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from tarfile import TarInfo
from typing import Any, Literal, Protocol

from ..api import AIMS, DEFAULT_EFFORT, DEFAULT_QUALITY
from ..conversion import Compression, Conversion
from ..errors import ModelError
from ..extras import need
from ..failures import FAILURES, OF_THE_MACHINE, message
from ..io import IMAGE_SUFFIXES

Rows = Literal["jsonl", "parquet"]
# The columns of the rows that are written beside each shard, and their types in Parquet.
COLUMNS = {
    **{"key": "string", "name": "string", "out": "string", "status": "string"},
    **{"bytes_in": "int64", "bytes_out": "int64", "width": "int64", "height": "int64"},
    **{"bpp": "double", "quality": "int64", "sha256": "string", "error": "string"},
}
_NOT_KEPT = ("verbose", "device", "model")  # these change no byte, or are told by the model's id


@dataclass(frozen=True)
class Result:
    """What became of one picture.

    Args:
        data: the bytes of the new file; None: there is none.
        status: "done", "skipped" or "failed".
        facts: some of bytes_in, bytes_out, width, height, bpp, quality and sha256, which is that of `data`.
        error: why there is no file.
    """

    data: bytes | None
    status: str
    facts: dict[str, Any]
    error: str | None = None


def convert(conversion: Conversion, data: bytes | bytearray | None) -> Result:
    """Convert a picture. An error of the picture becomes a result, so that it costs no other one.

    Args:
        data: the bytes of its file; None: an earlier step failed, and so does this one.

    Raises:
        BackendError, ImportError, ModelError: the fault of this machine, because of which other pictures would fail
            too: the device, a package, or the model that is asked for is missing. A file that names an unknown model
            itself is a result.
    """
    if data is None:
        return Result(None, "failed", {}, "there is no picture")
    n = len(data)
    try:
        made = conversion.make(bytes(data))
    except OF_THE_MACHINE:
        raise
    except ModelError as e:
        conversion.check()  # raises the error again, unless it is only this file that cannot be read
        return Result(None, "failed", {"bytes_in": n}, message(e))
    except FAILURES as e:
        return Result(None, "failed", {"bytes_in": n}, message(e))
    except Exception as e:  # a bug of this program
        return Result(None, "failed", {"bytes_in": n}, f"{type(e).__name__}: {e}")
    if made.data is None:
        return Result(None, "skipped", made.facts, made.why)
    return Result(made.data, "done", made.facts | {"sha256": hashlib.sha256(made.data).hexdigest()})


@dataclass(frozen=True)
class Task:
    """What is to be done with every shard.

    Args:
        conversion: of one picture.
        rows: the kind of file that has a row for each picture.
        force: replace what is there.
        model_id: id of the model that compresses, in hexadecimal digits; None: each file names its own.

    Raises:
        MissingPackageError: Parquet needs pyarrow, which is not installed.
    """

    conversion: Conversion
    rows: Rows = "jsonl"
    force: bool = False
    model_id: str | None = None

    def __post_init__(self) -> None:
        if self.rows == "parquet":
            need("pyarrow", "--rows parquet", "bulk")  # said before the work, not after it

    def takes(self, name: str) -> bool:
        """Return whether a member is a picture, by its suffix. Others are copied."""
        wanted = IMAGE_SUFFIXES if isinstance(self.conversion, Compression) else {".aec"}
        return PurePosixPath(name).suffix.lower() in wanted

    def identity(self) -> dict[str, Any]:
        """Return all that decides what a shard is made into, but for the shard itself: values as JSON has them."""
        kept = {name: value for name, value in vars(self.conversion).items() if name not in _NOT_KEPT}
        if isinstance(self.conversion, Compression):
            options = kept.pop("options")
            aimed = any(aim in options for aim in AIMS)
            kept |= {} if aimed else {"quality": DEFAULT_QUALITY}
            kept |= {"effort": DEFAULT_EFFORT, **options}
        command = type(self.conversion).__name__.lower()
        return json.loads(json.dumps({"command": command, "model": self.model_id, "rows": self.rows, **kept}))


@dataclass(frozen=True)
class Item:
    """A member of a shard on its way.

    Args:
        index: of the member among all of the shard.
        info: its header.
        data: its bytes.
        name: its new name; None: there is none that is free.
        picture: whether it is to be converted; else it is copied.
    """

    index: int
    info: TarInfo
    data: bytes
    name: str | None
    picture: bool


class Ordered(Protocol):
    """Converts pictures lazily, and yields items and results in the order of the items. Others than pictures have None.

    It may work ahead, as far as its memory permits.
    """

    def __call__(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result | None]]: ...


def one_by_one(conversion: Conversion) -> Ordered:
    """Return an `Ordered` that works in the calling thread."""

    def ordered(items: Iterable[Item]) -> Iterator[tuple[Item, Result | None]]:
        return ((item, convert(conversion, item.data) if item.picture else None) for item in items)

    return ordered

"""One shard, from its source to its target: the same on every engine.

A shard is done when its statistics are there; they are written last. Until then what is made of it lies beside the
target in files that end in .part and .journal, and a run that is started again goes on behind the last state in the
journal. For a target on an object store these files lie in a temporary folder, and the shard is begun again.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, BinaryIO

from .. import __version__
from ..extras import need
from ..io import ExistsError
from . import files, tars
from .journal import Journal
from .names import Names, Shard, key_of
from .task import COLUMNS, Item, Ordered, Result, Rows, Task

SAVE_EVERY = 2.0  # seconds between states in the journal: as much work as a kill may cost
COUNTS = ("pictures", "done", "failed", "skipped", "copied", "left_out", "bytes_in", "bytes_out")
Stats = dict[str, Any]


@dataclass(frozen=True)
class _Places:
    """Where the unfinished files of a shard lie."""

    made: Path
    rows: Path
    journal: Path


def convert(shard: Shard, task: Task, ordered: Ordered, tell: Callable[[int], None] = lambda n: None) -> Stats:
    """Convert a shard, or go on with it; if it is done already, do nothing.

    Args:
        ordered: converts the pictures.
        tell: called with the number of pictures that were done since the last call.

    Returns:
        The statistics, as in the file: identity, source, version, start, end, seconds, the counts pictures, done,
        failed, skipped, copied and left_out, bytes_in and bytes_out. In those of a shard that was done before, "before"
        is true.

    Raises:
        InputError: the source is no tar file, or damaged, or cut off. Nothing of it gets its name then.
        ExistsError: something else is at the place of the target, or it was made of another source or with other
            options, unless `task.force`.
        OutputError: another process is at work on the same shard.
        OSError: a file cannot be read or written. MissingPackageError: fsspec is needed.
    """
    stats_path, claim = f"{shard.stem}_stats.json", f"{shard.stem}.journal"
    wanted = {"identity": task.identity(), "source": files.fingerprint(shard.source), "version": __version__}
    if not task.force and (stats := _done(stats_path, wanted, shard)) and not files.exists(claim):
        return stats
    with _places(shard) as places, Journal(places.journal) as journal:
        if not task.force and (stats := _done(stats_path, wanted, shard)):
            # Another process has finished it in this moment, or was killed just before it had tidied up.
            _tidy(places, claim)
            return stats
        if journal.first != wanted:
            remote = files.is_remote(shard.target)
            if not (remote and files.read_json(claim) == wanted):
                _refuse_existing(shard, stats_path, task)
            if remote:  # on an object store the claim alone tells a run of its own that was killed
                files.write_json(claim, wanted)
            files.remove(str(places.made))
            files.remove(str(places.rows))
            journal.begin(wanted)
        files.remove(stats_path)  # with -f: from here on the shard is not done
        if "complete" not in journal.last:
            journal.append({"complete": wanted | _fill(shard, task, ordered, tell, places, journal)})
        stats = journal.last["complete"]
        _publish_rows(shard, task.rows, places)
        files.publish(places.made, shard.target)
        files.write_json(stats_path, stats)
        _tidy(places, claim)
    return stats


def _tidy(places: _Places, claim: str) -> None:
    """Remove what is left beside a shard that is done; the journal last, for it tells that there is something left."""
    files.remove(str(places.rows))
    files.remove(claim)


def _done(path: str, wanted: dict[str, Any], shard: Shard) -> Stats | None:
    """Return the statistics of a shard that is done. Raises ExistsError if it was made of something else."""
    stats = files.read_json(path)
    if stats is None:
        return None
    before, now = stats.get("identity"), wanted["identity"]
    if not isinstance(before, dict):
        raise ExistsError(f"{path} exists already, and is not of aec: -f overwrites it")
    if shard.is_tar and not files.exists(shard.target):
        raise ExistsError(f"{path} is there, but not {shard.target}: -f makes it again")
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise ExistsError(
                f"{shard.target} was made with {name} {before.get(name)!r}, not {now.get(name)!r}: -f makes it again"
            )
    if stats.get("source") != wanted["source"]:
        raise ExistsError(f"{shard.target} was made of another version of {shard.source}: -f makes it again")
    return stats | {"before": True}


def _refuse_existing(shard: Shard, stats_path: str, task: Task) -> None:
    for path in (shard.target, f"{shard.stem}.{task.rows}"):
        if not task.force and files.exists(path):
            raise ExistsError(f"{path} exists already, and no {stats_path} says of what it was made: -f overwrites it")
    if not shard.is_tar and files.exists(shard.target) and not files.exists(stats_path):
        raise ExistsError(f"{shard.target} is a folder that this command has not made: remove it, or name another")


@contextmanager
def _places(shard: Shard) -> Iterator[_Places]:
    if files.is_remote(shard.target):
        with tempfile.TemporaryDirectory(prefix="aec-") as folder:
            yield _Places(Path(folder, "made"), Path(folder, "rows"), Path(folder, "journal"))
        return
    stem, target = files.local(shard.stem), files.local(shard.target)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    yield _Places(Path(f"{target}.part"), Path(f"{stem}.jsonl.part"), Path(f"{stem}.journal"))


def _fill(
    shard: Shard, task: Task, ordered: Ordered, tell: Callable[[int], None], places: _Places, journal: Journal
) -> Stats:
    """Convert what is not yet converted, and return the counts and times."""
    began = time.monotonic()
    state = journal.last or {
        **{"members": 0, "position": 0, "rows": 0, "start": _now(), "seconds": 0.0},
        **dict.fromkeys(COUNTS, 0),
    }
    before, saved = state["seconds"], began
    with open(places.rows, "r+b" if state["rows"] else "wb") as rows, files.opened(shard.source) as source:
        rows.truncate(state["rows"])
        rows.seek(state["rows"])
        out = tars.TarOutput(places.made, state["position"]) if shard.is_tar else tars.FolderOutput(places.made)
        for item, converted in ordered(_items(source, task, shard.is_tar, state["members"])):
            result = _placed(out, item, converted)
            if result is not None:
                rows.write(json.dumps(_row(item, result)).encode() + b"\n")
                tell(1)
            state = _counted(state, item, result)
            if (now := time.monotonic()) - saved >= SAVE_EVERY:
                state |= {"position": out.position(), "rows": _synced(rows), "seconds": before + now - began}
                journal.append(state)
                saved = now
        out.finish()
        _synced(rows)
    kept = {name: state[name] for name in ("start", *COUNTS)}
    return kept | {"end": _now(), "seconds": round(before + time.monotonic() - began, 3)}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _items(source: IO[bytes], task: Task, is_tar: bool, begin: int) -> Iterator[Item]:
    """Read the files in a shard. Those before member `begin` are not yielded, but take their names."""
    names = Names(task.conversion.suffix)
    for index, (info, data) in enumerate(tars.members(source, begin)):
        if data is None:
            name, picture = None, False
        elif picture := task.takes(info.name):
            name = names.of_picture(info.name)
        else:  # a tar file may hold several files of one name
            name = info.name if names.take(info.name) or is_tar else None
        if index >= begin:
            yield Item(index, info, data or b"", name, picture and name is not None)


def _placed(out: tars.Output, item: Item, result: Result | None) -> Result | None:
    """Write what was made of a member, and return the result for its row; None for a member without a row."""
    if not item.info.isreg():
        return None
    if item.name is None:
        return Result(
            None, "failed", {"bytes_in": len(item.data)}, "another member has the same name, and both suffixes"
        )
    data = item.data if result is None else result.data
    try:
        if data is not None:
            out.add(item.info, item.name, data)
    except ValueError as e:
        return Result(None, "failed", {"bytes_in": len(item.data)}, str(e))
    return result


def _row(item: Item, result: Result) -> dict[str, Any]:
    own = {"key": key_of(item.info.name), "name": item.info.name, "out": item.name if result.data else None}
    return dict.fromkeys(COLUMNS) | own | result.facts | {"status": result.status, "error": result.error}


def _counted(state: Stats, item: Item, result: Result | None) -> Stats:
    """Return the state with one member more."""
    state = state | {"members": item.index + 1}
    if result is None:
        state["copied" if item.info.isreg() else "left_out"] += 1
        return state
    state["pictures"] += 1
    state[result.status] += 1
    if result.data is not None:
        state["bytes_in"] += result.facts["bytes_in"]
        state["bytes_out"] += result.facts["bytes_out"]
    return state


def _synced(file: BinaryIO) -> int:
    """Return the position in a file, after all before it is safe on the disk."""
    file.flush()
    os.fsync(file.fileno())
    return file.tell()


def _publish_rows(shard: Shard, kind: Rows, places: _Places) -> None:
    """Give the rows their name. They stay in their unfinished place too, in case that this is interrupted."""
    if not places.rows.exists():
        return
    ready = places.rows.with_name(f"{places.rows.name}.{kind}")
    if kind == "jsonl":
        shutil.copyfile(places.rows, ready)
    else:
        _write_parquet(places.rows, ready)
    files.publish(ready, f"{shard.stem}.{kind}")


def _write_parquet(rows: Path, path: Path) -> None:
    arrow, parquet = need("pyarrow", "--rows parquet", "bulk"), need("pyarrow.parquet", "--rows parquet", "bulk")
    types = {"string": arrow.string(), "int64": arrow.int64(), "double": arrow.float64()}
    schema = arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    with open(rows, "rb") as file:
        table = arrow.Table.from_pylist([json.loads(line) for line in file], schema)
    parquet.write_table(table, path)

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
from ..io import ExistsError, OutputError
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
            options. With `task.force` it is replaced, unless it is a folder that this command has not made.
        OutputError: another process is at work on the same shard, or files of it were removed meanwhile.
        OSError: a file cannot be read or written. MissingPackageError: fsspec is needed.
    """
    stats_path, claim = f"{shard.stem}_stats.json", f"{shard.stem}.journal"
    wanted = {
        **{"identity": task.identity(), "source": files.fingerprint(shard.source), "version": __version__},
        "as": "tar" if shard.is_tar else "folder",
    }
    if (stats := _done(stats_path, wanted, shard, task.force)) and not files.exists(claim):
        return stats
    with _places(shard) as places, Journal(places.journal) as journal:
        if stats := _done(stats_path, wanted, shard, task.force):
            # Another process has finished it in this moment, or was killed just before it had tidied up.
            _tidy(places, claim)
            return stats
        if not _goes_on(shard, wanted, places, journal):
            try:
                _refuse_existing(shard, wanted, stats_path, task.force, places, journal)
            except ExistsError:
                journal.drop_if_empty()
                raise
            if files.is_remote(claim):  # on an object store the claim alone tells a run of its own that was killed
                files.write_json(claim, wanted)
            files.remove(str(places.made))
            files.remove(str(places.rows))
            journal.begin(wanted | {"replaces": files.inode(shard.target)})
        files.remove(stats_path)  # with -f: from here on the shard is not done
        if "complete" not in journal.last:
            journal.append(_fill(shard, wanted, task, ordered, tell, places, journal))
        stats = journal.last["complete"]
        _publish_rows(shard, task.rows, places)
        if places.made.exists():  # else it was moved already
            expected = journal.first is not None and files.inode(shard.target) == journal.first["replaces"]
            _refuse_target(shard, task.force or expected or files.is_remote(shard.target), expected)
            files.publish(places.made, shard.target)
        files.write_json(stats_path, stats)
        _tidy(places, claim)
    return stats


def _tidy(places: _Places, claim: str) -> None:
    """Remove what is left beside a shard that is done; the journal last, for it tells that there is something left."""
    files.remove(str(places.rows))
    files.remove(claim)


def _done(path: str, wanted: dict[str, Any], shard: Shard, force: bool) -> Stats | None:
    """Return the statistics of a shard that is done.

    Raises:
        ExistsError: it was made of something else, and not `force`; or it is the other one of a tar file and a folder,
            whose rows and statistics have the same names.
    """
    stats = files.read_json(path)
    if stats is None:
        return None
    if _is_ours(stats) and stats.get("as") != wanted["as"]:
        raise ExistsError(f"{path} is of a {stats.get('as')}, not of a {wanted['as']}: name another target")
    why = _difference(path, stats, wanted, shard)
    if why is None:
        return stats | {"before": True}
    if force:
        return None
    raise ExistsError(why)


def _difference(path: str, stats: Stats, wanted: dict[str, Any], shard: Shard) -> str | None:
    """Return why statistics are not those of the shard that is wanted; None if they are."""
    before, now = stats.get("identity"), wanted["identity"]
    if not isinstance(before, dict):
        return f"{path} exists already, and is not of aec: -f overwrites it"
    # An object store has no empty folders.
    if not (files.exists(shard.target) or (not shard.is_tar and files.is_remote(shard.target))):
        return f"{path} is there, but not {shard.target}: -f makes it again"
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"{shard.target} was made with {name} {before.get(name)!r}, not {now.get(name)!r}: -f makes it again"
    if stats.get("source") != wanted["source"]:
        return f"{shard.target} was made of another version of {shard.source}: -f makes it again"
    return None


def _is_ours(found: dict[str, Any] | None) -> bool:
    """Return whether statistics or a claim were written by this command."""
    return found is not None and isinstance(found.get("identity"), dict)


def _goes_on(shard: Shard, wanted: dict[str, Any], places: _Places, journal: Journal) -> bool:
    """Return whether the journal is of this shard, and what it speaks of is there: somebody may have tidied up."""
    if journal.first is None or {**journal.first, "replaces": None} != {**wanted, "replaces": None}:
        return False
    state = journal.last
    if not state:
        return True
    if not (places.rows.is_file() and places.rows.stat().st_size >= state["rows"]):
        return False
    made = places.made
    if "complete" in state:
        moved = Path(files.local(shard.target))
        found = [path for path in (made, moved) if files.inode(str(path)) == state["inode"]]
        if not found:
            return False
        made = found[0]
    if shard.is_tar:
        return made.is_file() and made.stat().st_size >= state["position"]
    return made.is_dir() and _n_files(made) >= state["done"] + state["copied"]


def _n_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def _refuse_existing(
    shard: Shard, wanted: dict[str, Any], stats_path: str, force: bool, places: _Places, journal: Journal
) -> None:
    """Raise ExistsError if a new beginning would replace what it may not replace."""
    stats, first = files.read_json(stats_path), journal.first
    ours = _is_ours(stats)
    if files.is_remote(shard.target):
        claim = files.read_json(f"{shard.stem}.journal")
        if claim == wanted:
            return
        if claim is not None and not (force and _is_ours(claim)):
            hint = "-f takes it over" if _is_ours(claim) else "name another target"
            raise ExistsError(f"{shard.stem}.journal exists already, and is not of this command: {hint}")
        ours |= claim is not None
    elif first is not None:
        if first.get("as") != wanted["as"]:
            raise ExistsError(
                f"{places.journal} is of an unfinished {first.get('as')}: remove it, or name another target"
            )
        # Whatever that run would have replaced, or has put there itself, this one may replace too.
        ours |= files.inode(shard.target) in {first.get("replaces"), journal.last.get("inode")}
    else:
        for part in (places.made, places.rows):
            if os.path.lexists(part) and (part.is_dir() or not force):
                hint = "remove it" if part.is_dir() else "-f overwrites it"
                raise ExistsError(f"{part} exists already, and no {places.journal.name} says of what it is: {hint}")
    _refuse_target(shard, force, ours)
    rows = f"{shard.stem}.{wanted['identity']['rows']}"
    if not force and "complete" not in journal.last and files.exists(rows):
        raise ExistsError(f"{rows} exists already, and no {stats_path} says of what it was made: -f overwrites it")


def _refuse_target(shard: Shard, force: bool, ours: bool) -> None:
    """Raise ExistsError if something is at the place of the target that may not be replaced.

    Args:
        ours: whether this command has made it. Only then a folder is replaced.
    """
    if not files.exists(shard.target):
        return
    if not files.is_remote(shard.target) and os.path.isdir(files.local(shard.target)) == shard.is_tar:
        what = "a folder" if shard.is_tar else "a file"
        raise ExistsError(f"{shard.target} exists already, and is {what}: remove it, or name another target")
    if not shard.is_tar and not ours:
        raise ExistsError(
            f"{shard.target} exists already, and is a folder that this command has not made: remove it, or name another"
        )
    if not force:
        raise ExistsError(
            f"{shard.target} exists already, and no {shard.stem}_stats.json says of what it was made: -f overwrites it"
        )


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
    shard: Shard,
    wanted: dict[str, Any],
    task: Task,
    ordered: Ordered,
    tell: Callable[[int], None],
    places: _Places,
    journal: Journal,
) -> Stats:
    """Convert what is not yet converted, and return the last state. Its "complete" are the statistics."""
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
        state |= {"position": out.finish(), "rows": _synced(rows), "inode": files.inode(str(places.made))}
    if not shard.is_tar and _n_files(places.made) < state["done"] + state["copied"]:
        files.remove(str(places.made))  # so that it is begun again
        raise OutputError(f"files of {places.made} were removed while it was made: the same command begins it again")
    kept = {name: state[name] for name in ("start", *COUNTS)}
    times = {"end": _now(), "seconds": round(before + time.monotonic() - began, 3)}
    return state | {"complete": wanted | kept | times}


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
        else:
            name = names.of_copy(info.name, again=is_tar)
        if index >= begin:
            yield Item(index, info, data or b"", name, picture and name is not None)


def _placed(out: tars.Output, item: Item, result: Result | None) -> Result | None:
    """Write what was made of a member, and return the result for its row; None for a member without a row."""
    if not tars.is_file(item.info):
        return None
    if item.name is None:
        why = "another file of this shard has the name that it would get"
        return Result(None, "failed", {"bytes_in": len(item.data)}, why)
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
        state["copied" if tars.is_file(item.info) else "left_out"] += 1
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
        found = [{name: _unicode(value) for name, value in json.loads(line).items()} for line in file]
        table = arrow.Table.from_pylist(found, schema)
    parquet.write_table(table, path)


def _unicode(value: Any) -> Any:
    """Return a value that Parquet can hold: the names of members need not be UTF-8."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

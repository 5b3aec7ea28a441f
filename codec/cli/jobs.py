"""Names, folders, patterns and lists of them -> jobs, each a file in and a file out, before anything is read."""

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..io import InputError, read_bytes


class UsageError(Exception):
    """Arguments that contradict each other."""


@dataclass(frozen=True)
class Source:
    """A file to read.

    Args:
        path: None: standard input.
        relative: the path below the folder that was named; of a file that was named itself, its name.
        problem: why there is nothing to read; such a source fails, and the others go on.
    """

    path: Path | None
    relative: Path
    problem: InputError | None = None


@dataclass(frozen=True)
class Job:
    """One file to make. None is standard input or output; `info` and `verify` make no file."""

    source: Path | None
    target: Path | None
    problem: InputError | None = None

    @property
    def name(self) -> str:
        return str(self.source or "standard input")


def read_list(name: str) -> list[str]:
    """The file names in a list, one a line or as `find -print0` ends them, taken literally; "-" is standard input."""
    text = read_bytes(None if name == "-" else Path(name))
    lines = text.split(b"\0") if b"\0" in text else text.splitlines()
    return [os.fsdecode(line) for line in lines if line]


def _matches(name: str) -> list[str]:
    """What a pattern stands for, where the shell left it to us. A name that exists is no pattern."""
    if not glob.has_magic(name) or os.path.lexists(name):
        return [name]
    return sorted(glob.glob(name, recursive=True))


def _sources(path: Path, suffixes: set[str], recursive: bool) -> list[Source]:
    if not path.is_dir():
        return [Source(path, Path(path.name))]
    found = sorted(path.rglob("*") if recursive else path.iterdir())
    found = [p for p in found if p.suffix.lower() in suffixes and p.is_file()]
    if not found:
        hint = "" if recursive else "; -r looks in the folders below it too"
        raise InputError(f"no file ending in {', '.join(sorted(suffixes))} in this folder{hint}")
    return [Source(p, p.relative_to(path)) for p in found]


def expand(names: Iterable[str], suffixes: set[str], recursive: bool, literal: bool = False) -> list[Source]:
    """All files that were meant.

    Args:
        names: files, folders, patterns, and "-" for standard input.
        suffixes: lower-case; of a folder only the files that end so are meant, of what was named itself all.
        recursive: folders with all that is below them.
        literal: no patterns and no standard input, as in a list of names.
    """
    out = []
    for name in names:
        if name == "-" and not literal:
            out.append(Source(None, Path("stdin")))
            continue
        found = [name] if literal else _matches(name)
        if not found:
            out.append(Source(Path(name), Path(name), InputError("no file matches this pattern")))
        for path in map(Path, found):
            try:
                out += _sources(path, suffixes, recursive)
            except InputError as e:
                out.append(Source(path, path, e))
            except OSError as e:
                out.append(Source(path, path, InputError(f"cannot be listed: {e.strerror}")))
    return out


def plan(sources: list[Source], several: bool, output: str | None, mirror: str | None, suffix: str) -> list[Job]:
    """Decide where each file goes.

    Args:
        several: more may be meant than one file, so that `output` must be a folder.
        output: file, folder, or "-" for standard output; None: beside the input.
        mirror: folder below which the inputs' paths are repeated; excludes `output`.
        suffix: of the files that are made, unless `output` names one.

    Raises:
        UsageError: a file would be written onto itself, or several to the one that `output` names.
    """
    into_folder = output is not None and output != "-" and (output.endswith(os.sep) or Path(output).is_dir())
    if several and output is not None and not into_folder:
        if output == "-" or Path(output).suffix:
            raise UsageError(f"several inputs or a folder, but -o {output} is one file: name a folder, as in -o out/")
        into_folder = True
    jobs = []
    for source in sources:
        if source.problem:
            jobs.append(Job(source.path, None, source.problem))
            continue
        if mirror is not None:
            target = Path(mirror) / _mirrored(source.path).with_suffix(suffix)
        elif into_folder:
            target = Path(output) / source.relative.with_suffix(suffix)
        elif output == "-" or (output is None and source.path is None):
            target = None
        else:
            target = Path(output) if output is not None else source.path.with_suffix(suffix)
        jobs.append(Job(source.path, target))
    return _unlike(jobs)


def _mirrored(path: Path | None) -> Path:
    """A path as it is repeated below another folder: without its root."""
    if path is None or ".." in path.parts:
        raise UsageError(f"{path or 'standard input'} has no place below the mirror: name it without '..'")
    return path.relative_to(path.anchor)


def _unlike(jobs: list[Job]) -> list[Job]:
    """The jobs, each once; of two that would write to one place the later has a problem, so that the others go on."""
    first: dict[Path, Job] = {}
    out = []
    for job in jobs:
        if job.target is not None and job.problem is None:
            target = job.target.resolve()
            if job.source is not None and target == job.source.resolve():
                raise UsageError(
                    f"{job.source} would be written onto itself, for {target.suffix} is what this makes: "
                    "name other inputs, or another output with -o"
                )
            if (other := first.setdefault(target, job)) is not job:
                if other.source and job.source and other.source.resolve() == job.source.resolve():
                    continue
                problem = f"{other.name} becomes {job.target} too: name one of the two alone, with another -o"
                job = Job(job.source, None, InputError(problem))
        out.append(job)
    return out

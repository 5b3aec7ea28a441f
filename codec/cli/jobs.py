"""Names, folders, patterns and lists of them -> jobs, each a file in and a file out, before anything is read."""

import glob
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..io import InputError, read_bytes, search
from .streams import complain


class UsageError(Exception):
    """Arguments that contradict each other."""


@dataclass(frozen=True)
class Source:
    """A file to read.

    Args:
        path: None: standard input.
        relative: the path below the folder that was named; of a file that was named itself, its name.
        problem: why there is nothing to read; such a source fails, and the others go on.
        in_folder: it was found in a folder that was named.
    """

    path: Path | None
    relative: Path
    problem: InputError | None = None
    in_folder: bool = False


@dataclass(frozen=True)
class Job:
    """One file to make.

    Args:
        source: None: standard input.
        target: None: standard output, or, of `info` and `verify`, no file.
        problem: why there is nothing to do.
        alike: how many of the folders above the target stand for those above the source.
        keeps_suffix: the target has the whole name of the source before its own suffix, for another source would have
            got the same name.
    """

    source: Path | None
    target: Path | None
    problem: InputError | None = None
    alike: int = 0
    keeps_suffix: bool = False

    @property
    def name(self) -> str:
        return str(self.source or "standard input")


def read_list(name: str) -> list[str]:
    """The file names in a list, one a line or as `find -print0` ends them, taken literally; "-" is standard input."""
    text = read_bytes(None if name == "-" else Path(name))
    if b"\0" in text:
        lines = text.split(b"\0")
    else:  # nothing but these ends a line: a name may have any other character
        lines = [line.removesuffix(b"\r") for line in text.split(b"\n")]
    return [os.fsdecode(line) for line in lines if line]


def _matches(name: str) -> list[str]:
    """What a pattern stands for, where the shell left it to us. A name that exists is no pattern."""
    if not glob.has_magic(name) or os.path.lexists(name):
        return [name]
    return sorted(glob.glob(name, recursive=True))


def _sources(path: Path, suffixes: set[str], recursive: bool) -> tuple[list[Source], list[Path]]:
    if not path.is_dir():
        return [Source(path, Path(path.name))], []
    found = search(path, suffixes, recursive)
    sources = [Source(p, p.relative_to(path), in_folder=True) for p in found.files]
    for e in found.problems:
        sources.append(Source(Path(e.filename), path, InputError(f"cannot be listed: {e.strerror}")))
    if not sources:
        hint = "" if recursive else "; -r looks in the folders below it too"
        problem = InputError(f"no file ending in {', '.join(sorted(suffixes))} in this folder{hint}")
        sources.append(Source(path, path, problem))
    return sources, found.left_out


def expand(
    names: Iterable[str], suffixes: set[str], recursive: bool, literal: bool = False
) -> tuple[list[Source], list[Path]]:
    """All files that were meant; and what is in the folders beside them.

    Args:
        names: files, folders, patterns, and "-" for standard input.
        suffixes: lower-case; of a folder only the files that end so are meant, of what was named itself all.
        recursive: folders with all that is below them.
        literal: no patterns and no standard input, as in a list of names.
    """
    out, left_out = [], []
    for name in names:
        if name == "-" and not literal:
            out.append(Source(None, Path("stdin")))
            continue
        found = [name] if literal else _matches(name)
        if not found:
            out.append(Source(Path(name), Path(name), InputError("no file matches this pattern")))
        for path in map(Path, found):
            sources, others = _sources(path, suffixes, recursive)
            out += sources
            left_out += others
    return out, left_out


def tell_left_out(left_out: Iterable[Path], suffixes: set[str], quiet: bool) -> None:
    """Say what is left out of folders, in a line: 12 .mov, 3 .heic, 1 link to a folder.

    Where .aec files are meant, others are to be expected beside them. Where pictures are meant, others may be pictures.
    """

    def kind(path: Path) -> str | None:
        suffix = path.suffix.lower()
        if path.is_dir():
            return "link to a folder"
        if suffix in suffixes:
            return f"{suffix} that is no file"
        return None if suffix == ".aec" or ".aec" in suffixes else suffix or "without a suffix"

    counts = Counter(filter(None, map(kind, left_out)))
    if counts and not quiet:
        found = ", ".join(f"{n} {name}" for name, n in counts.most_common())
        complain(f"aec: left out of the folders: {found}; name what is meant nevertheless")


def namesakes(jobs: Iterable[Job], suffixes: set[str]) -> dict[Job, Path]:
    """Of jobs whose target has the name of the source, another file beside the source that has this name too."""
    folders: dict[Path, dict[str, list[Path]]] = {}
    found = {}
    for job in jobs:
        if job.source is None or job.target is None or job.source.stem != job.target.stem:
            continue
        if (folder := job.source.parent) not in folders:
            folders[folder] = defaultdict(list)
            with suppress(OSError):
                for path in folder.iterdir():
                    if path.suffix.lower() in suffixes:
                        folders[folder][path.stem].append(path)
        if others := [path for path in folders[folder][job.source.stem] if path.name != job.source.name]:
            found[job] = others[0]
    return found


def plan(
    sources: list[Source],
    several: bool,
    output: str | None,
    mirror: str | None,
    suffix: str,
    keep_suffix: bool | None = False,
) -> list[Job]:
    """Decide where each file goes.

    Args:
        several: more may be meant than one file, so that `output` must be a folder.
        output: file, folder, or "-" for standard output; None: beside the input.
        mirror: folder below which the inputs' paths are repeated; excludes `output`.
        suffix: of the files that are made, unless `output` names one.
        keep_suffix: a.jpg becomes a.jpg.aec and not a.aec; None: only where another input, such as a.png, would become
            the same file.

    Raises:
        UsageError: a file would be written onto itself, or several to the one that `output` names.
    """
    folder = None
    if output is not None and output != "-" and (output.endswith(os.sep) or Path(output).is_dir()):
        folder = Path(output)
    if several and output is not None and folder is None:
        if output == "-" or Path(output).suffix:
            raise UsageError(f"several inputs or a folder, but -o {output} is one file: name a folder, as in -o out/")
        folder = Path(output)

    def job(source: Source, keep: bool) -> Job:
        def named(path: Path) -> Path:
            return path.with_name(path.name + suffix) if keep else path.with_suffix(suffix)

        if source.problem:
            return Job(source.path, None, source.problem)
        target: Path | None
        alike = 0
        if mirror is not None:
            mirrored = _mirrored(source.path)
            target, alike = Path(mirror) / named(mirrored), len(mirrored.parts) - 1
        elif folder is not None:
            target = folder / named(source.relative)
            alike = len(source.relative.parts) if source.in_folder else 0
        elif output is not None:
            target = None if output == "-" else Path(output)
        else:
            target = None if source.path is None else named(source.path)
        return Job(source.path, target, alike=alike)

    jobs = [job(source, bool(keep_suffix)) for source in sources]
    while keep_suffix is None and (meeting := _meeting(jobs)):  # a.jpg.aec may meet what a.jpg.png becomes
        for i in meeting:
            jobs[i] = replace(job(sources[i], True), keeps_suffix=True)
    return _unlike(jobs)


def _meeting(jobs: list[Job]) -> list[int]:
    """Which jobs would write the same file as another one, though their sources have other names."""
    places: dict[int, str] = {}
    names: dict[str, set[str]] = defaultdict(set)
    for i, job in enumerate(jobs):
        if job.source is not None and job.target is not None:
            places[i] = os.path.realpath(job.target)
            names[places[i]].add(job.source.name)
    return [i for i, place in places.items() if len(names[place]) > 1 and not jobs[i].keeps_suffix]


def _mirrored(path: Path | None) -> Path:
    """A path as it is repeated below another folder: without its root."""
    if path is None or ".." in path.parts:
        raise UsageError(f"{path or 'standard input'} has no place below the mirror: name it without '..'")
    return path.relative_to(path.anchor)


def _unlike(jobs: list[Job]) -> list[Job]:
    """The jobs, each once; of two that would write to one place the later has a problem, so that the others go on."""
    first: dict[str, Job] = {}
    out = []
    for job in jobs:
        if job.target is not None and job.problem is None:
            target = os.path.realpath(job.target)
            if job.source is not None and target == os.path.realpath(job.source):
                raise UsageError(
                    f"{job.source} would be written onto itself, for {job.target.suffix} is what this makes: "
                    "name other inputs, or another output with -o"
                )
            if (other := first.setdefault(target, job)) is not job:
                if other.source and job.source and os.path.realpath(other.source) == os.path.realpath(job.source):
                    continue
                problem = f"{other.name} becomes {job.target} too: name one of the two alone, with another -o"
                job = Job(job.source, None, InputError(problem))
        out.append(job)
    return out

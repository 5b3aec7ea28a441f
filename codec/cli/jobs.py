"""Turns the names, folders, patterns and lists on the command line into jobs, before any file is read.

A job is an input file and the output file that is made from it.
"""

import glob
import os
import re
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..io import InputError, read_bytes, search
from .streams import complain


class UsageError(Exception):
    """The arguments contradict each other, or make no sense together."""


def refuse_options(args: Namespace, allowed: set[str], what: str) -> None:
    """Raise UsageError if an option is given that means nothing here."""
    for action in args.parser._actions:
        given = getattr(args, action.dest, action.default)
        own = action.dest in allowed or action.dest == "device" and given == "cpu"  # which its nets run on in any case
        if action.option_strings and not own and given != action.default:
            raise UsageError(f"{action.option_strings[-1]} means nothing for {what}")


def refuse_own_inputs(target: Path | None, sources: Iterable[Path | None]) -> None:
    """Raise UsageError if the output would replace an input, which not even -f asks for. None: a standard stream."""
    if target is None or not target.is_file():
        return
    for source in sources:
        if source is not None and source.is_file() and source.samefile(target):
            raise UsageError(f"{source} would be replaced by the output: name another one")


@dataclass(frozen=True)
class Source:
    """An input file.

    Args:
        path: of the file; None: standard input.
        relative: the path relative to the folder on the command line; for a file on the command line, only its name.
        problem: why the file cannot be read, or None. Such a source fails, and the others are still processed.
        in_folder: whether it was found in a folder on the command line, and not named itself.
    """

    path: Path | None
    relative: Path
    problem: InputError | None = None
    in_folder: bool = False


@dataclass(frozen=True)
class Job:
    """An input file and its output.

    Args:
        source: the input; None: standard input.
        target: the output; None: standard output, or no output, as in `info` and `verify`.
        problem: why the job cannot be done, or None.
        alike: how many folders directly above the target correspond to those directly above the source.
        keeps_suffix: the target is named after the source with its suffix, such as a.jpg.aec, because another source
            would otherwise have the same target.
        collection: the source is a collection, which is unpacked to the target.
    """

    source: Path | None
    target: Path | None
    problem: InputError | None = None
    alike: int = 0
    keeps_suffix: bool = False
    collection: bool = False

    @property
    def name(self) -> str:
        return str(self.source or "standard input")


def read_list(name: str) -> list[str]:
    """Read a list of file names: one in each line, or separated by zero bytes as by `find -print0`.

    The names are not patterns. `name` is the list's path, or "-" for standard input.
    """
    text = read_bytes(None if name == "-" else Path(name))
    if b"\0" in text:
        lines = text.split(b"\0")
    else:  # not splitlines(), which also splits at characters that file names may contain
        lines = [line.removesuffix(b"\r") for line in text.split(b"\n")]
    return [os.fsdecode(line) for line in lines if line]


def _matches(name: str) -> list[str]:
    """Expand a pattern that the shell has not expanded. A name that exists is not taken as a pattern."""
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
    """Find all input files.

    Args:
        names: files, folders, patterns, and "-" for standard input.
        suffixes: in lower case; from a folder, only files with one of these suffixes are taken. Files that are named
            themselves are always taken.
        recursive: whether to search the folders below the named ones too.
        literal: take the names literally, as those in a list: no patterns, and no standard input.

    Returns:
        (the input files, and everything else that is in the folders)
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
    """Print a line that counts what is left out of folders, such as: 1 folder (-r takes it too), 12 .mov, 3 .heic.

    If .aec files are wanted, files with other suffixes are not counted, because it is normal to have them in the same
    folder. If pictures are wanted, they are counted, because they may be pictures of unknown formats.
    """

    def kind(path: Path) -> str | None:
        suffix = path.suffix.lower()
        if path.is_dir():
            return "link to a folder" if path.is_symlink() else "folder (-r takes it too)"
        if suffix in suffixes:
            return f"{suffix} that is no file"
        return None if suffix == ".aec" or ".aec" in suffixes else suffix or "without a suffix"

    counts = Counter(filter(None, map(kind, left_out)))
    if counts and not quiet:
        found = ", ".join(f"{n} {name}" for name, n in counts.most_common())
        complain(f"aec: left out of the folders: {found}; a file that is named itself is tried")


def namesakes(jobs: Iterable[Job], suffixes: set[str]) -> dict[Job, Path]:
    """Find files that compete for the same target.

    Returns, for jobs whose target is named after the source, another file in the source's folder with the same name
    except for its suffix.
    """
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
        several: whether there may be more than one input, so that `output` must be a folder.
        output: a file, a folder, or "-" for standard output; None: into the folder of the input.
        mirror: a folder below which the paths of the inputs are repeated; cannot be combined with `output`.
        suffix: of the output files, unless `output` names a file.
        keep_suffix: whether a.jpg becomes a.jpg.aec and not a.aec; None: only if another input, such as a.png, would
            become the same file.

    Raises:
        UsageError: a file would be overwritten by its own output, several files would go to one `output`, or there is
            no `output` for an input that is a stream of the system, such as /dev/stdin.
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
        elif source.path is not None and _STREAMS.fullmatch(str(source.path.parent)):
            raise UsageError(f"{source.path}: nothing is to be written beside it; name an output with -o")
        else:
            target = None if source.path is None else named(source.path)
        return Job(source.path, target, alike=alike)

    jobs = [job(source, bool(keep_suffix)) for source in sources]
    # Repeated, because a new name such as a.jpg.aec may in turn equal the target of another input, a.jpg.png.
    while keep_suffix is None and (meeting := _meeting(jobs)):
        for i in meeting:
            jobs[i] = replace(job(sources[i], True), keeps_suffix=True)
    return _unlike(jobs, suffix)


# Folders of streams, such as /dev/stdin, or /dev/fd/63 of <(..). Other folders below /dev hold files, as /dev/shm does.
_STREAMS = re.compile("/dev|/dev/fd|/proc/[^/]+/fd")


def _meeting(jobs: list[Job]) -> list[int]:
    """Return the indexes of jobs that have the same target as another job whose source has a different name."""
    places: dict[int, str] = {}
    names: dict[str, set[str]] = defaultdict(set)
    for i, job in enumerate(jobs):
        if job.source is not None and job.target is not None:
            places[i] = os.path.realpath(job.target)
            names[places[i]].add(job.source.name)
    return [i for i, place in places.items() if len(names[place]) > 1 and not jobs[i].keeps_suffix]


def _mirrored(path: Path | None) -> Path:
    """Return a path relative to its root, to be repeated below another folder. Raises UsageError if ".." is in it."""
    if path is None or ".." in path.parts:
        raise UsageError(f"{path or 'standard input'} has no place below the mirror: name it without '..'")
    return path.relative_to(path.anchor)


def _onto_itself(source: Path, suffix: str) -> str:
    """Say what is wrong with an input that would become itself, in a command that makes files of this suffix."""
    if not os.path.lexists(source):
        return f"{source}: no such file; to name an output, write -o {source}"
    is_aec = source.suffix.lower() == ".aec"
    if is_aec == (suffix == ".aec"):
        return f"{source} is {'an .aec file already' if is_aec else 'not an .aec file'}"
    return f"{source} would be written onto itself: name another output with -o"


def _unlike(jobs: list[Job], suffix: str) -> list[Job]:
    """Remove jobs that occur twice. If two different jobs have the same target, the second one gets a problem."""
    first: dict[str, Job] = {}
    out = []
    for job in jobs:
        if job.target is not None and job.problem is None:
            target = os.path.realpath(job.target)
            if job.source is not None and target == os.path.realpath(job.source):
                raise UsageError(_onto_itself(job.source, suffix))
            if (other := first.setdefault(target, job)) is not job:
                if other.source and job.source and os.path.realpath(other.source) == os.path.realpath(job.source):
                    continue
                problem = f"{other.name} becomes {job.target} too: --output-dir-mirror keeps the folders of both apart"
                job = Job(job.source, None, InputError(problem))
        out.append(job)
    return out

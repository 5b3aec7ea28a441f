"""The names of shards: patterns of inputs, names of outputs, and the names of members in them."""

import glob
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath

from . import files

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_TAR = re.compile(r"\.(tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
MOST_SHARDS = 1_000_000  # that a pattern may stand for, so that a mistyped one does not fill the memory


@dataclass(frozen=True)
class Shard:
    """A shard and what becomes of it.

    Args:
        source: path or URL of a tar file, which may be compressed.
        target: path or URL of the tar file to make (it ends in .tar), or of a folder.
    """

    source: str
    target: str

    @property
    def is_tar(self) -> bool:
        return self.target.endswith(".tar")

    @property
    def stem(self) -> str:
        """The target without .tar: the names of its rows and statistics begin with it."""
        return self.target.removesuffix(".tar")


def expand(pattern: str) -> list[str]:
    """Expand the name of one or more shards.

    Args:
        pattern: path or URL. {000..099} stands for all numbers of the range, with as many digits as the first one;
            {a,b} for each of the words; "::" separates patterns. Then *, ? and [..] stand for the files that are
            there. A local file of exactly this name is taken literally.

    Raises:
        ValueError: the pattern is empty, a range runs backwards, or there are more than `MOST_SHARDS` names.
        OSError: a folder cannot be listed. MissingPackageError: a URL with * needs fsspec, which is not installed.
    """
    if not files.is_remote(pattern) and os.path.lexists(files.local(pattern)):
        return [pattern]
    found: list[str] = []
    for part in pattern.split("::"):
        if not part:
            raise ValueError(f"{pattern!r}: an empty name of a shard")
        for name in _braces(part):
            found += _matches(name) if glob.has_magic(name) else [name]
    return found


def _braces(text: str) -> list[str]:
    parts = _BRACES.split(text)  # text, inside of braces, text, inside ..
    choices = [[part] if i % 2 == 0 else _choices(part) for i, part in enumerate(parts)]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MOST_SHARDS:
        raise ValueError(f"{text!r}: stands for {total} shards, and at most {MOST_SHARDS} are allowed")
    return ["".join(words) for words in product(*choices)]


def _choices(inside: str) -> list[str]:
    match = _RANGE.fullmatch(inside)
    if match is None:
        return inside.split(",") if "," in inside else [f"{{{inside}}}"]
    first, last = int(match[1]), int(match[2])
    if first > last:
        raise ValueError(f"{{{inside}}}: the first number of a range must not be above the last")
    if last - first >= MOST_SHARDS:
        raise ValueError(f"{{{inside}}}: stands for {last - first + 1} shards, and at most {MOST_SHARDS} are allowed")
    return [f"{n:0{len(match[1])}}" for n in range(first, last + 1)]


def _matches(name: str) -> list[str]:
    return files.glob(name) if files.is_remote(name) else sorted(glob.glob(files.local(name), recursive=True))


def plan(sources: Iterable[str], to: str) -> list[Shard]:
    """Decide what becomes of each shard.

    Args:
        sources: paths or URLs of the shards.
        to: if it ends in .tar, each shard becomes a tar file of that name, in which {} or {:05d} is the shard's number,
            counted from 0, and {name} is the source's name without .tar. Otherwise it is a folder: each shard is
            unpacked into a folder in it that is called as the shard is, or where {} and {name} say.

    Raises:
        ValueError: `to` is no such name, two shards would become the same, or a source would be overwritten.
    """
    if not to:
        raise ValueError("an empty name for what is made of the shards")
    if _TAR.search(to) and not to.endswith(".tar"):
        raise ValueError(f"{to}: shards are written as plain .tar, without compression")
    if not to.endswith(".tar"):
        to = to.rstrip("/") or "/"
        to = to if "{" in to else f"{to}/{{name}}"
    shards: dict[str, Shard] = {}
    for number, source in enumerate(sources):
        name = _TAR.sub("", PurePosixPath(source).name)
        try:
            target = to.format(number, name=name)
        except (LookupError, ValueError, AttributeError) as e:
            raise ValueError(f"{to!r}: allowed in braces are a number, such as {{:05d}}, and {{name}} ({e})") from e
        if target in shards:
            hint = "" if "{" in to else ", for it has no place for a number, such as {:05d}"
            raise ValueError(f"{shards[target].source} and {source} would both become {target}{hint}")
        shards[target] = Shard(source, target)
    _refuse_overwriting(shards.values())
    return list(shards.values())


def _refuse_overwriting(shards: Collection[Shard]) -> None:
    """Raise ValueError if a source is the target of a shard, or lies in a folder that is one."""
    targets = {PurePosixPath(files.real(shard.target)): shard for shard in shards}
    for source in (shard.source for shard in shards):
        real = PurePosixPath(files.real(source))
        for made in (targets[path] for path in (real, *real.parents) if path in targets):
            if made.source == source:
                raise ValueError(f"{source} would be written onto itself")
            raise ValueError(
                f"{source} would be overwritten by {made.target}, which {made.source} becomes: if the pattern of the "
                f"sources also matches what an earlier run has made, write to another folder"
            )


def key_of(name: str) -> str:
    """Return what files of one sample have in common: the path up to the first dot in the file's name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


class Names:
    """Gives the members of one shard their new names, so that no two of them have the same.

    The names depend on nothing but the names that came before, so that a run that is taken up again finds the same.
    """

    def __init__(self, suffix: str):
        self._suffix = suffix
        self._pictures: set[str] = set()
        self._copied: set[str] = set()

    def of_picture(self, name: str) -> str | None:
        """Return the name with the new suffix; or with both, if the name is taken: a.png, behind a.jpg, becomes
        a.png.aec. Returns None if that is taken too."""
        for new in (name.removesuffix(PurePosixPath(name).suffix) + self._suffix, name + self._suffix):
            plain = _plain(new)
            if plain not in self._pictures and plain not in self._copied:
                self._pictures.add(plain)
                return new
        return None

    def of_copy(self, name: str, again: bool) -> str | None:
        """Return the name of a file that is copied; None if a picture has got it before.

        Args:
            again: whether several files that are copied may have one name, as in a tar file.
        """
        plain = _plain(name)
        if plain in self._pictures or (plain in self._copied and not again):
            return None
        self._copied.add(plain)
        return name


def _plain(name: str) -> str:
    return str(PurePosixPath(name))  # ./a and a are one file


def inside(name: str) -> PurePosixPath | None:
    """Return the path of a member below the folder that it is unpacked into; None if it would lie outside of it."""
    path = PurePosixPath(name)
    bad = path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name
    return None if bad else path

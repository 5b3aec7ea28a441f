"""Parses the directories of a TIFF file, classic or BigTIFF, and finds the one of the picture (TIFF 6.0, section 2)."""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

NEW_SUBFILE, OLD_SUBFILE, PHOTOMETRIC, SUB_DIRECTORIES, DNG_VERSION = 254, 255, 262, 330, 50706
WIDTH, HEIGHT = 256, 257
# Photometric interpretations of TIFF/EP and DNG.
_CAMERA = {32803: "a colour filter array", 34892: "linear raw samples"}
_MAX_DIRECTORIES = _MAX_ENTRIES = 1024
# The types of fields in TIFF 6.0 and BigTIFF, by number: the format letter of `struct`, and how many numbers of that
# format make one value.
_TYPES = {
    **{1: ("B", 1), 2: ("B", 1), 3: ("H", 1), 4: ("I", 1), 5: ("I", 2), 6: ("b", 1), 7: ("B", 1), 8: ("h", 1)},
    **{9: ("i", 1), 10: ("i", 2), 11: ("f", 1), 12: ("d", 1), 13: ("I", 1), 16: ("Q", 1), 17: ("q", 1), 18: ("Q", 1)},
}


@dataclass(frozen=True)
class Entry:
    """A field of a directory.

    Args:
        kind: the number of its type.
        count: number of values.
        at: offset of the values in the file.
    """

    kind: int
    count: int
    at: int


@dataclass(frozen=True)
class Directory:
    """A directory: the description of one image in a file, or of a preview or mask.

    Args:
        data: the whole file.
        order: byte order of its numbers, as in `struct` and numpy.
        at: offset of the directory.
        entries: the fields, by tag.
        next: offset of the next directory; 0 if there is none.
    """

    data: bytes
    order: Literal["<", ">"]
    at: int
    entries: dict[int, Entry]
    next: int

    @property
    def big(self) -> bool:
        return _is_big(self.data)

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a field's values; empty if it is absent. Raises ValueError if it exceeds the file."""
        entry = self.entries.get(tag)
        return b"" if entry is None else bytes(self._unpacked(entry, _size(entry), "B"))

    def _unpacked(self, entry: Entry, n: int, letter: str = "") -> tuple[int, ...]:
        try:
            return struct.unpack_from(f"{self.order}{n}{letter or _TYPES[entry.kind][0]}", self.data, entry.at)
        except (struct.error, OverflowError) as e:  # BigTIFF's offsets may be too large for Python
            raise ValueError(f"a TIFF field of {entry.count} values reaches beyond the end of the file") from e

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return the values of a field, or `default` if it is absent. A fraction gives two numbers.

        Raises ValueError if the field exceeds the file, or holds floating point.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return default
        if _TYPES[entry.kind][0] in "fd":
            raise ValueError(f"the TIFF field {tag} holds floating point: integers and fractions of them are allowed")
        return self._unpacked(entry, entry.count * _TYPES[entry.kind][1])

    def number(self, tag: int, default: int | None = None) -> int:
        """Return the value of a field with one value, or `default` if it is absent.

        Raises ValueError if it does not have exactly one value, if it is absent without a default, or as `numbers`.
        """
        found = self.numbers(tag, () if default is None else (default,))
        if len(found) != 1:
            raise ValueError(f"the TIFF field {tag} has {len(found)} values: 1 is allowed")
        return found[0]

    @property
    def reduced(self) -> bool:
        """Whether the directory is marked as a reduced version of another image: a preview or an overview."""
        return bool(self.number(NEW_SUBFILE, 0) & 1) or self.number(OLD_SUBFILE, 1) == 2

    @property
    def mask(self) -> bool:
        return bool(self.number(NEW_SUBFILE, 0) & 4)

    @property
    def area(self) -> int:
        return self.number(WIDTH, 0) * self.number(HEIGHT, 0)


def _size(entry: Entry) -> int:
    letter, parts = _TYPES[entry.kind]
    return entry.count * parts * struct.calcsize("=" + letter)


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _is_big(data: bytes) -> bool:
    return b"+" in data[2:4]


def _directory(data: bytes, at: int) -> Directory:
    order: Literal["<", ">"] = "<" if data[:1] == b"I" else ">"
    big = _is_big(data)
    n_form, entry_form, offset_form = (order + form for form in (("Q", "HHQ", "Q") if big else ("H", "HHI", "I")))
    inline = struct.calcsize(offset_form)
    try:
        (n,) = struct.unpack_from(n_form, data, at)
        if n > _MAX_ENTRIES:
            raise ValueError(f"a TIFF directory of {n} fields: at most {_MAX_ENTRIES} are allowed")
        start, each = at + struct.calcsize(n_form), struct.calcsize(entry_form) + inline
        (following,) = struct.unpack_from(offset_form, data, start + n * each)  # fails if entries are missing
        entries: dict[int, Entry] = {}
        for place in range(start, start + n * each, each):
            tag, kind, count = struct.unpack_from(entry_form, data, place)
            if kind not in _TYPES:
                continue  # TIFF 6.0: readers skip fields of types that they do not know
            entry = Entry(kind, count, place + each - inline)
            if _size(entry) > inline:
                entry = Entry(kind, count, struct.unpack_from(offset_form, data, entry.at)[0])
            entries.setdefault(tag, entry)
    except (struct.error, OverflowError) as e:
        raise ValueError(f"the TIFF directory at byte {at} reaches beyond the end of the file") from e
    return Directory(data, order, at, entries, following)


def _chain(data: bytes) -> Iterator[Directory]:
    """Yield the main directories, each of which points to the next. The header points to the first one."""
    at = struct.unpack_from(("<" if data[:1] == b"I" else ">") + ("8xQ" if _is_big(data) else "4xI"), data)[0]
    seen = set()
    while at and at not in seen:  # some writers make the last directory point to an earlier one
        seen.add(at)
        directory = _directory(data, at)
        yield directory
        at = directory.next


def _below(directories: list[Directory]) -> Iterator[Directory]:
    for directory in directories:
        for at in directory.numbers(SUB_DIRECTORIES):
            if at:
                yield _directory(directory.data, at)


def _all(directories: Iterator[Directory]) -> list[Directory]:
    found = list(itertools.islice(directories, _MAX_DIRECTORIES + 1))
    if len(found) > _MAX_DIRECTORIES:
        raise ValueError(f"a TIFF file of more than {_MAX_DIRECTORIES} images: only single pictures can be encoded")
    return found


def picture_directory(data: bytes) -> Directory:
    """Find the directory of the picture in a file, which must hold exactly one picture.

    Images that are marked as a reduced version of another one (NewSubfileType 1, SubfileType 2) are ignored, such as
    the overviews of a cloud-optimised GeoTIFF, and the preview at the beginning of many cameras' files. The picture may
    also be in a subdirectory of another directory (SubIFDs).

    Raises:
        ValueError: there are several pictures, a separate mask, or a camera's raw data; or the file is damaged.
    """
    try:
        main = _all(_chain(data))
    except struct.error as e:
        raise ValueError(f"a TIFF file of {len(data)} bytes, which is less than its header takes") from e
    if not main:
        raise ValueError("a TIFF file without any image")
    below = _all(_below(main))
    if any(DNG_VERSION in d.entries for d in main):
        raise ValueError("a DNG file, a camera's raw data: only pictures that were developed from it can be encoded")
    if data[8:10] == b"CR" and not _is_big(data):
        raise ValueError("a CR2 file, a camera's raw data: only pictures that were developed from it can be encoded")
    for directory in (*main, *below):
        if (kind := directory.number(PHOTOMETRIC, 0)) in _CAMERA:
            raise ValueError(f"a camera's raw data, {_CAMERA[kind]}: only pictures developed from it can be encoded")
        if directory.mask:
            raise ValueError("a transparency mask in an image of its own (NewSubfileType 4), which is not supported")
    whole = [d for d in main if not d.reduced] or [d for d in below if not d.reduced] or main
    if len(whole) > 1:
        raise ValueError(
            f"an animation of {len(whole)} frames, or as many pages or layers: only single pictures can be encoded"
        )
    if any(d.area > whole[0].area for d in below):
        raise ValueError("a picture with a larger one in a directory below it (SubIFDs): which is meant is not clear")
    return whole[0]

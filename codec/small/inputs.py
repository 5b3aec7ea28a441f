"""Reading of small pictures of one size as people have them: IDX files, arrays (npy, npz), folders and tar archives."""

import gzip
import io
import math
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..container.collection import MAX_COUNT, MAX_SAMPLES, MAX_SIDE, OUTSIDE, is_forbidden, numbered
from ..io import IMAGE_SUFFIXES, search
from ..picture.pixels import of_file
from ..picture.samples import as_rgb, to_depth

IDX_TYPE = 0x08  # unsigned bytes
ARRAY_SUFFIXES = {".npy", ".npz"}
MOST_BYTES = 2**32  # of a compressed file, unpacked: a limit against files that unpack to far more than they are
IDX_SUFFIXES = {"-ubyte", ".idx"}  # after a ".gz", if there is one, was taken off


@dataclass(frozen=True)
class SmallPictures:
    """Pictures of one size.

    Args:
        pictures: uint8 [N, H, W, C] with C of 1 (gray) or 3 (RGB).
        names: of each one, a relative path with forward slashes and without suffix, as collections have them; no two
            are equal. Empty if all are from one array, in which they have numbers only.
        left_out: a message for each picture, or array of pictures, that could not be taken.
    """

    pictures: np.ndarray
    names: list[str]
    left_out: list[str]

    def name_of(self, i: int) -> str:
        """Return the name of picture i, or its number if all are from one array."""
        return self.names[i] if self.names else numbered(i, len(self.pictures))


def is_array_file(path: Path) -> bool:
    """Return whether a file is one of many pictures by its name: IDX, npy or npz."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix in ARRAY_SUFFIXES or name.endswith(tuple(IDX_SUFFIXES))


def read(paths: Sequence[Path], shape: tuple[int, int, int] | None = None, recursive: bool = True) -> SmallPictures:
    """Read all pictures in some files, folders and tar archives.

    Args:
        paths: IDX files (also gzipped), npy and npz files of uint8 [N, H, W] or [N, H, W, 1 or 3], pictures, and
            folders and tar archives of all these.
        shape: the wanted (height, width, channels); None: that of the first picture, and RGB if any has colours.
        recursive: whether to look in the folders below those that are named.

    Returns:
        The pictures; those that cannot be read or are of another size are left out.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: a file that was named cannot be read, or there is no usable picture at all.
    """
    parts: list[np.ndarray] = []
    names: list[str] = []
    left_out: list[str] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        for name, found in _of_path(path, recursive):
            if isinstance(found, str):
                left_out.append(f"{name}: {found}")
                continue
            size = shape[:2] if shape is not None else parts[0].shape[1:3] if parts else found.shape[1:3]
            if found.shape[1:3] != size:
                wanted = "others are" if shape is None else "the model is for"
                left_out.append(f"{name}: {found.shape[2]}x{found.shape[1]}, where {wanted} {size[1]}x{size[0]}")
                continue
            if shape is not None and found.shape[3] > shape[2]:
                left_out.append(f"{name}: in colour, where the model is for gray")
                continue
            parts.append(found)
            names += [name] if len(found) == 1 else [f"{name}/{numbered(i, len(found))}" for i in range(len(found))]
    if not parts:
        more = f" ({left_out[0]})" if left_out else ""
        hint = "" if recursive or not any(path.is_dir() for path in paths) else "; -r looks in the folders below it too"
        raise ValueError(f"no usable picture in {', '.join(map(str, paths))}{more}{hint}")
    if len(names) > MAX_COUNT:
        raise ValueError(f"{len(names)} pictures: at most {MAX_COUNT} are allowed")
    colours = any(part.shape[3] == 3 for part in parts) if shape is None else shape[2] == 3
    whole = np.concatenate([np.repeat(part, 3, 3) if colours and part.shape[3] == 1 else part for part in parts])
    return SmallPictures(whole, _unlike(names) if len(parts) > 1 or len(whole) == 1 else [], left_out)


def _unlike(names: list[str]) -> list[str]:
    """Return names that a collection can have: what it forbids becomes _, and of equal names the later get a number."""
    out: dict[str, None] = {}
    counts: dict[str, int] = {}
    for name in names:
        parts = [
            part for part in "".join("_" if is_forbidden(c) else c for c in name).split("/") if part not in OUTSIDE
        ]
        first = unused = "/".join(parts) or "_"
        while unused in out:
            counts[first] = counts.get(first, 1) + 1
            unused = f"{first}-{counts[first]}"
        out[unused] = None
    return list(out)


def _of_path(path: Path, recursive: bool) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield (name, pictures uint8 [N, H, W, 1 or 3]) of a path, or (name, message) of what cannot be read."""
    if path.is_dir():
        found = search(path, IMAGE_SUFFIXES | ARRAY_SUFFIXES | {".tar", ".gz", ".idx"}, recursive)
        yield from ((str(e.filename), str(e.strerror)) for e in found.problems)
        for p in sorted((*found.files, *(p for p in found.left_out if is_array_file(p) and p.is_file()))):
            if p.suffix.lower() in IMAGE_SUFFIXES | {".tar"} or is_array_file(p):
                folder = p.relative_to(path).parent.as_posix()
                try:
                    for name, one in _of_file(p):
                        yield f"{folder}/{name}".removeprefix("./"), one
                except _NotPictures:  # such as the labels, which lie beside the pictures
                    pass
                except Exception as e:  # for damaged files numpy, gzip and tarfile raise many kinds of errors
                    yield p.relative_to(path).as_posix(), _words(e)
        return
    try:
        yield from _of_file(path)
    except Exception as e:
        raise ValueError(f"{path}: {_words(e)}") from e


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


class _NotPictures(ValueError):
    """A file holds a sound array, but not one of pictures."""


def _of_file(path: Path) -> Iterator[tuple[str, np.ndarray | str]]:
    if is_array_file(path):
        name = path.name[:-3] if path.suffix.lower() == ".gz" else path.name
        stem = Path(name).stem if Path(name).suffix.lower() in ARRAY_SUFFIXES else name
        for key, array in _arrays(path):
            yield stem + key, _checked(array)
    elif path.suffix.lower() == ".tar":
        with tarfile.open(path) as tar:
            for member in tar:
                inside = Path(member.name)
                right = member.isfile() and inside.suffix.lower() in IMAGE_SUFFIXES
                if right and (file := tar.extractfile(member)) is not None:
                    yield inside.with_suffix("").as_posix(), _of_image(file.read())
    else:
        yield path.stem, _of_image(path.read_bytes())


def _arrays(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the array of a file, or all arrays of an npz that may be pictures; and what to add to the file's name."""
    name = path.name.lower().removesuffix(".gz")
    data = _unzipped(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    if Path(name).suffix not in ARRAY_SUFFIXES:
        yield "", of_idx(data)
        return
    file = np.load(io.BytesIO(data), allow_pickle=False)
    if isinstance(file, np.ndarray):
        yield "", file
        return
    # An array that would be too large is refused before it is unpacked.
    if (size := sum(member.file_size for member in file.zip.infolist())) > MOST_BYTES:
        raise ValueError(f"{size} bytes unpacked: at most {MOST_BYTES} are allowed")
    count = 0
    for key in file.files:
        array = file[key]
        if array.dtype == np.uint8 and array.ndim in (3, 4):
            count += 1
            yield f"/{key}", array
    if not count:
        raise _NotPictures(f"no array of uint8 [N, H, W] or [N, H, W, C] among its {len(file.files)}")


def _unzipped(path: Path) -> bytes:
    with gzip.open(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"unpacked it has more than {MOST_BYTES} bytes, which is the most that is allowed")
    return data


def of_idx(data: bytes) -> np.ndarray:
    """Return the array of an IDX file of unsigned bytes, uint8 of any shape. Raises ValueError if it is not one."""
    # IDX: 0, 0, the type, the number of dimensions, then each side in 4 bytes, the largest first.
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != IDX_TYPE or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"not an IDX file of unsigned bytes: starts with {data[:4].hex(' ')}")
    sides = np.frombuffer(data, ">u4", data[3], 4).tolist()
    if len(data) - 4 - 4 * data[3] != math.prod(sides):
        raise ValueError(f"an IDX file of {sides}, but with {len(data) - 4 - 4 * data[3]} values")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sides)


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.size == 0:
        raise _NotPictures(
            f"an array of {array.dtype} {list(array.shape)}: must be uint8 [N, H, W] or [N, H, W, 1 or 3]"
        )
    array = array[..., None] if array.ndim == 3 else array
    _check_size(array.shape[1:])
    return array


def _check_size(shape: tuple[int, ...]) -> None:
    height, width, channels = shape
    if max(height, width) > MAX_SIDE or channels not in (1, 3) or height * width * channels > MAX_SAMPLES:
        raise ValueError(f"{width}x{height} with {channels} channels: at most {MAX_SAMPLES} samples, 1 or 3 channels")


def _of_image(data: bytes) -> np.ndarray | str:
    """Decode a picture: uint8 [1, H, W, 1 or 3], gray if it has no colours; or return what is wrong with it."""
    try:
        pixels = of_file(data)
        if pixels.alpha is not None:
            return "has an alpha channel, which a collection does not keep"
        rgb = as_rgb(to_depth(pixels.data, 8))
        _check_size(rgb.shape)
    except Exception as e:  # for damaged files Pillow raises many kinds of errors; one must not stop the others
        return str(e)
    return (rgb[..., :1] if (rgb == rgb[..., :1]).all() else rgb)[None]

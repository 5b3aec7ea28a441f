"""Collections: many small pictures of one size in one file, coded by an autoencoder that was trained for them.

>>> data = codec.encode_collection(digits, "mnist.safetensors")   # uint8 [N, 28, 28] -> bytes
>>> collection = codec.open_collection(data)
>>> collection[17]                                                 # -> uint8 [28, 28]
"""

import operator
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .container import collection as container
from .container.collection import numbered
from .container.format import DEFAULT_MAX_PIXELS
from .errors import CorruptError, LimitError
from .opened import Source, bytes_of

if TYPE_CHECKING:
    import numpy as np

    from .small.model import SmallModel


def encode_collection(
    pictures: Any, model: str | os.PathLike, quality: int = 75, names: Sequence[str] | None = None
) -> bytes:
    """Encode pictures of one size into one collection file.

    Args:
        pictures: uint8 [N, H, W] or [N, H, W, 1] (gray), or [N, H, W, 3] (RGB); N is at least 1.
        model: path or name of a model that `aec train --arch` has made, for pictures of this size.
        quality: 1..100. Ten of them are one step: 71..80 give the same file.
        names: a relative path with forward slashes for each picture, to which `aec decompress` writes it; None: no
            names.

    Returns:
        The bytes of the file. They are the same on every machine, but for names: builds of zlib may pack them
        differently.

    Raises:
        TypeError, ValueError: an argument is not as described, or the model is for pictures of another size.
        LimitError: there are more than 2^24 pictures.
        ModelError: there is no such model, or it is not one for collections.
    """
    import numpy as np

    from .small import coder
    from .small.model import find, level_of

    array = np.asarray(pictures)
    if array.dtype != np.uint8:
        raise TypeError(f"pictures of {array.dtype}: must be uint8")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or len(array) == 0:
        raise ValueError(f"pictures of shape {list(array.shape)}: must be [N, H, W] or [N, H, W, 1 or 3], N above 0")
    quality = operator.index(quality)
    if not 1 <= quality <= 100:
        raise ValueError(f"quality {quality}: allowed are 1..100")
    used = find(model)
    coder.check_fits(used, array.shape)
    level, block = level_of(quality), coder.block_size(used)
    height, width, channels = used.shape
    header = container.Header(
        len(array), width, height, channels, quality, used.id, min(block, len(array)), names is not None
    )
    names = _checked_names(names)
    container.check(header, names)
    payloads = []
    for i in range(0, len(array), block):
        symbols = coder.quantise(used, coder.latents(used, array[i : i + block]), level)
        payloads.append(coder.encode(used, symbols, level))
    return container.write(header, payloads, names)


def _checked_names(names: Sequence[str] | None) -> list[str]:
    """Return names as a list, empty if there are none. Raises TypeError if they are not several texts."""
    found = [] if names is None else list(names)
    if isinstance(names, str) or not all(isinstance(name, str) for name in found):
        raise TypeError("names: must be a list of texts, one for each picture")
    return [str(name) for name in found]  # texts of numpy are a class of their own


def open_collection(data: Source, model: str | os.PathLike | None = None) -> "Collection":
    """Open a collection file: parse it, and compare all its checksums.

    Args:
        data: bytes, or another object with a contiguous buffer, which must not be changed afterwards; or the path of a
            file; or a file opened in binary mode.
        model: path or name of the model that wrote the file; None: it is found by the id in the file when it is needed.

    Raises:
        FormatError: the data is not a complete, undamaged collection (the subclasses say what is wrong).
        OSError: the file cannot be read.
        TypeError: `data` is of another type.
    """
    return Collection(data, model)


class Collection:
    """A parsed and verified collection file: a sequence of pictures, each decoded when it is asked for.

    Attributes:
        header: count, width, height, channels, quality and so on (`codec.container.collection.Header`).
        names: of the pictures; empty if they have none.
        n_bytes: size of the file in bytes.
    """

    def __init__(self, data: Source, model: str | os.PathLike | None = None):
        whole = bytes_of(data)
        self.layout = container.read(whole)
        self.header, self.names, self.n_bytes = self.layout.header, self.layout.names, whole.nbytes
        self._model_name = model
        self._last: tuple[int, np.ndarray] | None = None  # the block that was decoded last, and its symbols

    def __repr__(self) -> str:
        h = self.header
        return f"<Collection of {h.count} pictures of {h.width}x{h.height}, quality {h.quality}, {self.n_bytes} bytes>"

    def __len__(self) -> int:
        return self.header.count

    @property
    def bits_per_pixel(self) -> float:
        """Of the whole file, to 4 digits after the point."""
        h = self.header
        return round(8 * self.n_bytes / (h.count * h.width * h.height), 4)

    def name_of(self, i: int) -> str:
        """Return the name of picture i; where pictures have no names, its number, as many digits as the last one's."""
        return self.names[i] if self.names else numbered(i, len(self))

    def check_pixels(self, n: int, max_pixels: int | None) -> None:
        """Raise LimitError if n pictures have more pixels than `max_pixels`; None: no limit."""
        h = self.header
        if max_pixels is not None and n * h.width * h.height > max_pixels:
            raise LimitError(f"{n} pictures of {h.width}x{h.height}: at most {max_pixels} pixels are allowed at once")

    @cached_property
    def model(self) -> "SmallModel":
        """The model that wrote the file. Raises ModelError if it is not at hand, or another one was given."""
        from .small.model import find_id

        found, h = find_id(self.header.model_id, self._model_name), self.header
        if found.shape != (h.height, h.width, h.channels):
            raise CorruptError(f"pictures of {h.width}x{h.height}x{h.channels}, which the model is not for")
        return found

    def __getitem__(self, i: Any) -> Any:
        """Return picture i, uint8 [H, W] or [H, W, 3]; or of a slice, uint8 [N, H, W] or [N, H, W, 3].

        Numbers below 0 count from the end. Only the blocks of pictures are decoded that are needed, of at most 256
        pictures each. Errors are those of `decode`.
        """
        if isinstance(i, slice):
            return self.decode(range(*i.indices(len(self))))
        number, n = operator.index(i), len(self)
        if not -n <= number < n:
            raise IndexError(f"picture {number}: there are {n}, from 0")
        return self.decode([number % n])[0]

    def decode(self, which: Sequence[int] | None = None, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> "np.ndarray":
        """Decode several pictures, in the given order.

        Args:
            which: their numbers, 0..len - 1; None: all.
            max_pixels: more pixels in all are refused; None: no limit.

        Returns:
            uint8 [N, H, W] or [N, H, W, 3]; the same on every machine.

        Raises:
            CorruptError: the checksums are right, but no encoder writes such data.
            IndexError: there is no picture of a number.
            LimitError: there are more than `max_pixels` pixels.
            ModelError: the model that wrote the file is not available.
            TypeError, ValueError: `which` is not a list of integers.
        """
        import numpy as np

        from .small import coder

        h, numbers = self.header, self._numbers(which, max_pixels)
        out = np.empty((len(numbers), h.height, h.width, h.channels), np.uint8)
        for here, latents in self._latents_of(numbers):
            out[here] = coder.pictures(self.model, latents)
        return out[..., 0] if h.channels == 1 else out

    def latents(self, which: Sequence[int] | None = None, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> "np.ndarray":
        """Return the decoded latents of several pictures, without running the decoder's network.

        Args:
            which, max_pixels: as in `decode`.

        Returns:
            float64 [N, D] of integers in -32767..32767, on the model's own scale.

        Raises:
            CorruptError, IndexError, LimitError, ModelError, TypeError, ValueError: as in `decode`.
        """
        import numpy as np

        numbers = self._numbers(which, max_pixels)
        out = np.empty((len(numbers), self.model.n_latents))
        for here, latents in self._latents_of(numbers):
            out[here] = latents
        return out

    def _numbers(self, which: Sequence[int] | None, max_pixels: int | None) -> "np.ndarray":
        """Return the numbers of pictures that `decode` is given, int64 [N]; checked as it says."""
        import numpy as np

        n = len(self) if which is None else len(which)
        self.check_pixels(n, max_pixels)
        if which is None:
            return np.arange(n)
        given = np.asarray(which)
        if given.ndim != 1 or given.size and given.dtype.kind not in "iuO":
            raise TypeError(f"which is {given.dtype} {list(given.shape)}: must be a list of integers")
        numbers = [operator.index(i) for i in given.tolist()]
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(self):
            raise IndexError(f"pictures {min(numbers)}..{max(numbers)}: there are {len(self)}, from 0")
        return np.array(numbers, np.int64)

    def _latents_of(self, numbers: "np.ndarray") -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        """Decode the blocks in which pictures are: yields (their places in `numbers`, their latents [n, D])."""
        import numpy as np

        from .small.model import dequantise, level_of

        level, size = level_of(self.header.quality), self.header.block
        order = np.argsort(numbers, kind="stable")
        sorted_blocks = numbers[order] // size
        edges = np.flatnonzero(np.diff(sorted_blocks)) + 1
        for here in np.split(order, edges) if len(order) else []:
            symbols = self._symbols(int(numbers[here[0]] // size))[numbers[here] % size]
            # A picture may be asked for many times: no more of them at a time than a block has.
            for i in range(0, len(here), size):
                yield here[i : i + size], dequantise(self.model, symbols[i : i + size], level)

    def _symbols(self, block: int) -> "np.ndarray":
        """Return the symbols of a block, int16 [n, D]. The last one is kept, for callers that go from one to the next.

        Threads may call it at once: each takes or replaces the kept block as a whole.
        """
        from .small import coder
        from .small.model import level_of

        if (kept := self._last) is not None and kept[0] == block:
            return kept[1]
        h = self.header
        count = min(h.block, h.count - block * h.block)
        symbols = coder.decode(self.model, self.layout.payloads[block], count, level_of(h.quality))
        self._last = block, symbols
        return symbols

    def blocks(self, which: range | None = None) -> "Iterator[tuple[range, np.ndarray]]":
        """Decode many pictures in pieces of bounded memory: yields (numbers of the pictures, the pictures).

        Args:
            which: their numbers, one after the other; None: all.
        """
        wanted, size = range(len(self)) if which is None else which, self.header.block
        for start in range(wanted.start, wanted.stop, size):
            numbers = range(start, min(start + size, wanted.stop))
            yield numbers, self.decode(numbers, None)

    def verify(self, deep: bool = False) -> None:
        """Check the file beyond its checksums, which were compared when it was opened.

        Args:
            deep: also decode all symbols; the model is needed.

        Raises:
            CorruptError: no encoder writes such data.
            ModelError: the model that wrote the file is not available.
        """
        if deep:
            for block in range(self.header.n_blocks):
                self._symbols(block)

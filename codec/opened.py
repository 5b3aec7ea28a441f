"""`AecFile`: an .aec file that is parsed once, and gives its header, its metadata and its pixels."""

import io
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, overload

from .coding.device import check_device, resolve_device
from .container import format
from .container.format import DEFAULT_MAX_PIXELS, Header, Layout, Tile, region_of
from .container.metadata import Metadata, reset_orientation, unpacked
from .errors import CorruptError
from .extras import need
from .io import read_bytes
from .picture import code_points

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from .coding.decoder import Decoder
    from .picture.samples import Pixels

SCALES = {1: 1, 1 / 2: 2, 1 / 4: 4, 1 / 8: 8}
Region = tuple[int, int, int, int]
Progress = Callable[[float], None]
Output = Literal["pil", "numpy", "torch"]
Source = bytes | bytearray | memoryview | str | os.PathLike | BinaryIO


def bytes_of(data: Source) -> memoryview:
    """Return the bytes of a file.

    Args:
        data: an object with a contiguous buffer (such as bytes), a path, or a file opened in binary mode.

    Raises:
        OSError: the file cannot be read.
        LimitError: a path's file has more than `codec.io.MOST_BYTES` bytes.
        TypeError: `data` is of another type, or a file opened in text mode.
    """
    if isinstance(data, (str, os.PathLike)):
        return memoryview(read_bytes(Path(os.fsdecode(data))))
    if (view := _buffer(data)) is not None:  # asked before `read`, because an mmap object has both
        return view
    if isinstance(data, io.TextIOBase):
        raise TypeError(f"a file opened in text mode ({type(data).__name__}): it must be opened in binary mode, 'rb'")
    read = getattr(data, "read", None)
    if not callable(read):
        raise TypeError(f"{type(data).__name__}: must be contiguous bytes, a path, or a file opened for reading")
    whole = read()
    if not isinstance(whole, bytes):
        raise TypeError(f"a file that gives {type(whole).__name__}: must be opened in binary mode")
    return memoryview(whole)


def _buffer(data: Any) -> memoryview | None:
    """Return the bytes of an object that has a contiguous buffer, or None if it has none."""
    try:
        return memoryview(data).cast("B")
    except TypeError:
        return None


@dataclass(frozen=True)
class Missing:
    """An area of which a file opened with `allow_partial` does not have everything.

    Args:
        area: (x, y, width, height) in pixels. Around it the colours may differ a little too, because the networks look
            some pixels further: 112 with the models that are shipped.
        what: "colours"; "alpha", which is opaque there; or a kind of metadata, as in `format.KINDS`, of the picture.
        parts: how many parts of the area's colours are whole. The other colours are what the networks predict from
            these, and from what there is of the next part; if there is nothing at all, the area is flat.
        of: how many parts there would be.
    """

    area: Region
    what: str
    parts: int
    of: int


def kind_of(header: Header) -> str:
    """Return a few words on how the picture is kept, such as "quality 75"."""
    if header.stored:
        return "stored"
    if header.exact:
        return f"exact to {header.quality} levels" if header.quality else "lossless"
    return f"quality {header.quality}"


class AecFile:
    """A parsed and verified .aec file, as `codec.open` returns it. It is immutable, and threads may share it.

    Args:
        data: bytes, or another object with a contiguous buffer, which must not be changed afterwards; or the path of a
            file; or a file opened in binary mode, which is read from its current position to its end.
        max_pixels: pictures with more pixels are refused; None: only the format's own limit holds.
        allow_partial: also take a file that ends too early or is damaged, as long as its head, the table behind it and
            its map of qualities are there. `missing` says which parts of the picture are not, or only coarsely. The
            beginning of a part that is cut is used although its checksum cannot be compared; a part whose checksum is
            wrong is not.

    Attributes:
        header: the fields of the file's header: width, height, quality and so on.
        layout: the payloads and metadata sections (`codec.container.format.Layout`). All checksums were compared.
        n_bytes: size of the file in bytes.

    Raises:
        FormatError: the data is not a complete, undamaged .aec file (the subclasses say what is wrong); with
            `allow_partial`, there is not enough of it. A stored picture is never read in part.
        OSError: the file cannot be read.
        TypeError: `data` is of another type.
    """

    def __init__(self, data: Source, max_pixels: int | None = DEFAULT_MAX_PIXELS, *, allow_partial: bool = False):
        whole = bytes_of(data)
        self.layout: Layout = format.read(whole, max_pixels, allow_partial)
        self.header: Header = self.layout.header
        self.n_bytes: int = whole.nbytes

    def __repr__(self) -> str:
        h = self.header
        kind = kind_of(h)
        return f"<AecFile {h.width}x{h.height}, {kind}, {self.n_bytes} bytes>"

    @cached_property
    def metadata(self) -> Metadata:
        """Colour profile, EXIF, XMP, code points and significant bits, as the decoded picture has them.

        No model is needed. Of code points without a profile, one that says the same is made.

        Raises:
            CorruptError: a block of metadata, or the file inside a stored picture, cannot be read.
        """
        stored = self.stored_file
        if stored is None or not self.layout.own_metadata_counts:
            return code_points.of_sections(self.layout.metadata, self.header)
        from .picture import embedded

        own = reset_orientation(embedded.read_metadata(stored, self.header))
        return code_points.of_stored(own, self.layout.metadata, self.header)

    @cached_property
    def missing(self) -> tuple[Missing, ...]:
        """What a file that was opened with `allow_partial` does not have as it was; empty if it has everything."""
        damage, header = self.layout.damage, self.header
        if damage is None:
            return ()
        found = []
        for i, tile in enumerate(header.tiles):
            area = tile.x, tile.y, tile.width, tile.height
            if (whole := self.layout.whole_parts(i)) < header.parts:
                found.append(Missing(area, "colours", whole, header.parts))
            if i in damage.alphas:
                found.append(Missing(area, "alpha", 0, 1))
        found += [Missing((0, 0, header.width, header.height), kind, 0, 1) for kind in damage.metadata]
        return tuple(found)

    @property
    def stored_file(self) -> bytes | None:
        """The bytes of the PNG, WebP or JPEG file inside, if the picture is stored; else None."""
        return bytes(self.layout.payloads[0]) if self.header.stored else None

    @overload
    def decode(
        self,
        device: str = ...,
        model: str | os.PathLike | None = ...,
        output: Literal["pil"] = ...,
        *,
        region: Region | None = ...,
        scale: float = ...,
        fit: tuple[int, int] | None = ...,
        depth: Literal[8, 16] | None = ...,
        progress: Progress = ...,
    ) -> "Image.Image": ...

    @overload
    def decode(
        self,
        device: str = ...,
        model: str | os.PathLike | None = ...,
        *,
        output: Literal["numpy"],
        region: Region | None = ...,
        scale: float = ...,
        fit: tuple[int, int] | None = ...,
        depth: Literal[8, 16] | None = ...,
        progress: Progress = ...,
    ) -> "np.ndarray": ...

    @overload
    def decode(
        self,
        device: str = ...,
        model: str | os.PathLike | None = ...,
        *,
        output: Literal["torch"],
        region: Region | None = ...,
        scale: float = ...,
        fit: tuple[int, int] | None = ...,
        depth: Literal[8, 16] | None = ...,
        progress: Progress = ...,
    ) -> "torch.Tensor": ...

    @overload
    def decode(
        self,
        device: str = ...,
        model: str | os.PathLike | None = ...,
        output: Output = ...,
        *,
        region: Region | None = ...,
        scale: float = ...,
        fit: tuple[int, int] | None = ...,
        depth: Literal[8, 16] | None = ...,
        progress: Progress = ...,
    ) -> "Image.Image | np.ndarray | torch.Tensor": ...

    def decode(
        self,
        device: str = "auto",
        model: str | os.PathLike | None = None,
        output: Output = "pil",
        *,
        region: Region | None = None,
        scale: float = 1,
        fit: tuple[int, int] | None = None,
        depth: Literal[8, 16] | None = None,
        progress: Progress = lambda share: None,
    ) -> "Image.Image | np.ndarray | torch.Tensor":
        """Decode the picture, or a part of it.

        Args:
            device: where the networks run, and where a returned tensor lies: "auto", "cpu", "cuda" or "cuda:N". The
                pixels are the same on all devices. "auto" uses a GPU only if the caller has already imported torch or
                asks for a tensor, because importing torch takes longer than decoding on the CPU.
            model: path or name of the model that wrote the file; None: the model is found by the id in the file.
            output: "pil": an image of mode L, LA, RGB, RGBA or I;16, whose `info` has icc_profile, exif, xmp, cicp
                (four ints) and significant_bits as far as the file has them. "numpy": [H, W], or [H, W, 2|3|4] with
                alpha last. "torch": [1|2|3|4, H, W] on the device; needs the extra `train`. Arrays and tensors are
                uint8 or uint16.
            region: (x, y, width, height) in pixels of the whole picture. Only this part, and a margin around it, is
                decoded. Its pixels equal those of the whole picture.
            scale: 1, 1/2, 1/4 or 1/8: each pixel is the mean of a square of pixels. The squares are counted from the
                picture's origin, and the sides of the result are rounded up. For a stored or exact picture with alpha,
                the mean of the colours is weighted by alpha.
            fit: (width, height) of a box that the picture, or the region, must fit into. The picture is decoded at the
                next larger scale and then reduced by a Lanczos filter; it is never enlarged. It cannot be combined
                with `scale`.
            depth: bits a sample, 8 (uint8) or 16 (uint16); None: as in the file.
            progress: called with the share of the network's work that is done, rising to 1; never called if no network
                runs.

        Raises:
            CorruptError: the checksums are right, but no encoder writes such data.
            ModelError: the model that wrote the file is not available, or `model` is a different one.
            BackendError: a GPU was asked for, but there is none. MissingPackageError (a BackendError): torch is needed,
                but not installed.
            TypeError, ValueError: an argument is not as described above; the region reaches outside the picture; or
                "pil" for 16-bit colour, for which Pillow has no mode.
        """
        if output not in ("pil", "numpy", "torch"):
            raise ValueError(f"output {output!r}: allowed are pil, numpy and torch")
        if scale not in SCALES:
            raise ValueError(f"scale {scale!r}: allowed are 1, 1/2, 1/4 and 1/8")
        if depth not in (None, 8, 16):
            raise ValueError(f"depth {depth!r}: allowed are 8 and 16 bits a sample")
        check_device(device)
        header = self.header if depth is None else replace(self.header, depth=depth)
        if header.by_network and model is None and device in ("auto", "cpu"):
            from .coding import loading

            loading.begin(header.model_id)
        tile = Tile(0, 0, header.width, header.height) if region is None else region_of(region, header)
        shrink = SCALES[scale] if fit is None else _shrink_around(fit, scale, tile)
        from .picture.samples import Pixels, to_numpy, to_pil

        if output == "torch":
            need("torch", 'output="torch"')  # from here on, `resolve_device("auto")` sees torch and may choose a GPU
        if not header.by_network:
            colours, alpha = self._without_network(tile, shrink, header.depth)
        else:
            from .coding import decoder

            reader = decoder.load_for(header.model_id, model, resolve_device(device))
            stays = output == "torch" and fit is None  # the Lanczos filter of `fit` works on numpy arrays
            colours, alpha = self._of_network(reader, header, tile, shrink, stays, progress)
        # Read for every output, so that a file with damaged metadata is always refused.
        metadata = code_points.settled(self.metadata, header.gray, header.depth)
        if fit is not None:
            from .picture.resizing import resized, size_within

            # The decoded area consists of whole squares of `shrink` pixels; the region may begin and end inside them.
            left, top = tile.x % shrink / shrink, tile.y % shrink / shrink
            box = (left, top, left + tile.width / shrink, top + tile.height / shrink)
            smaller = resized(Pixels(colours, alpha), size_within(tile.width, tile.height, fit), box)
            colours, alpha = smaller.data, smaller.alpha
        if output == "torch":
            return _tensor(colours, alpha, resolve_device(device))
        return (to_pil if output == "pil" else to_numpy)(Pixels(colours, alpha, metadata))

    def scale_above(self, least: tuple[int, int], region: Region | None = None) -> float:
        """Return the smallest scale of `decode` at which the picture, or the region, is not smaller than `least`.

        Args:
            least: (width, height) in pixels, at least 1.
            region: (x, y, width, height) in pixels of the whole picture; None: the picture.

        Returns:
            1, 1/2, 1/4 or 1/8. It is 1 also if the picture is smaller than `least`.

        Raises:
            TypeError, ValueError: an argument is not as described, or the region reaches outside the picture.
        """
        h = self.header
        tile = Tile(0, 0, h.width, h.height) if region is None else region_of(region, h)
        return 1 / shrink_above(_box("least", least), (tile.width, tile.height))

    def verify(self, deep: bool = False, device: str = "auto", model: str | os.PathLike | None = None) -> None:
        """Check the contents of the file beyond its checksums, which were compared when it was opened.

        The metadata is always decompressed and checked. A file that was opened with `allow_partial` must be whole.

        Args:
            deep: also decode all symbols of the network and the alpha channel, or the stored picture. The networks that
                turn symbols into pixels do not run. The model is needed, unless the picture is stored or exact.
            device, model: as in `decode`.

        Raises:
            CorruptError: no encoder writes such data.
            ModelError, BackendError: as in `decode`, only if `deep`.
        """
        if damage := self.layout.damage:
            n = len(damage.cut | damage.damaged) + len(damage.alphas) + len(damage.metadata)
            after = f", and {damage.surplus} bytes come after its end" if damage.surplus else ""
            raise CorruptError(f"{n} parts of the file are cut off or damaged{after}")
        unpacked(self.layout.metadata, self.header.depth)
        if not deep:
            return
        everything = Tile(0, 0, self.header.width, self.header.height)
        if self.header.stored:
            self._stored_pixels()
            return
        if self.header.exact:
            from .coding import exact

            exact.decode(self.layout, everything)
            return
        from .coding import decoder
        from .picture import alpha

        reader = decoder.load_for(self.header.model_id, model, resolve_device(device))
        for _ in decoder.read_latents(reader, decoder.Coded.of(reader, self.layout)):
            pass
        if self.header.alpha:
            alpha.decode(self.layout, everything)

    def _stored_pixels(self) -> "Pixels":
        from .picture import stored

        pixels = stored.decode(self.layout)
        # Fills the cached property, so that the file inside is not parsed a second time for its metadata.
        self.__dict__.setdefault("metadata", pixels.metadata)
        return pixels

    def _without_network(self, region: Tile, shrink: int, depth: int) -> "tuple[np.ndarray, np.ndarray | None]":
        """Decode a stored or an exact picture: colours [h, w, C], and alpha [h, w] or None."""
        from .picture.samples import aligned, box_means, to_depth

        wide = aligned(region, shrink, self.header.width, self.header.height)
        if self.header.exact:
            from .coding import exact

            some = exact.decode(self.layout, wide)
            colours, alpha = some.data, some.alpha
        else:
            whole = self._stored_pixels()

            def inside(samples: "np.ndarray") -> "np.ndarray":
                some = samples[wide.y : wide.y + wide.height, wide.x : wide.x + wide.width]
                # A copy, because a view would keep the whole picture in memory.
                return some if some.shape == samples.shape else some.copy()

            colours, alpha = inside(whole.data), None if whole.alpha is None else inside(whole.alpha)
        colours = to_depth(box_means(colours, shrink, alpha), depth)
        if alpha is not None:
            alpha = to_depth(box_means(alpha[..., None], shrink)[..., 0], depth)
        return colours, alpha

    def _of_network(
        self, reader: "Decoder", header: Header, region: Tile, shrink: int, on_device: bool, progress: Progress
    ) -> "tuple[Any, np.ndarray | None]":
        """Decode a picture coded by the network: colours as `decoder.decode` returns them, and alpha [h, w] or None.

        Args:
            header: the file's header, except that `depth` is the depth that the caller wants.
        """
        from .coding import decoder

        coded = decoder.Coded.of(reader, self.layout)
        colours = decoder.decode(reader, coded, region, shrink, on_device, progress, header.depth)
        channel = None
        if header.alpha:
            from .picture import alpha
            from .picture.samples import aligned, box_means, to_depth

            wide = aligned(region, shrink, header.width, header.height)
            channel = alpha.decode(self.layout, wide)
            channel = to_depth(box_means(channel[..., None], shrink)[..., 0], header.depth)
        return colours, channel


def _tensor(colours: "np.ndarray | torch.Tensor", alpha: "np.ndarray | None", device: str) -> "torch.Tensor":
    """Join colours and alpha into a contiguous tensor [1|2|3|4, h, w] on the device.

    Args:
        colours: an array [h, w, C], or a tensor [C, h, w] that is already on the device.
        alpha: [h, w], or None.
    """
    import torch

    if isinstance(colours, torch.Tensor):
        return colours if alpha is None else torch.cat([colours, torch.from_numpy(alpha)[None].to(device)])
    import numpy as np

    # numpy joins the arrays, because torch could hang in a forked child process, where its threads are missing.
    channels = colours if alpha is None else np.dstack([colours, alpha])
    return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1))).to(device)


def shrink_above(least: tuple[int, int], sides: tuple[int, int]) -> int:
    """Return the largest decoding shrink (1, 2, 4 or 8) that leaves a picture at least as large as `least`; or 1.

    Both are (width, height).
    """
    widest = min(side // max(1, low) for low, side in zip(least, sides, strict=True))
    return max(shrink for shrink in SCALES.values() if shrink <= max(1, widest))


def _shrink_around(fit: tuple[int, int], scale: float, region: Tile) -> int:
    """Return the largest decoding shrink (1, 2, 4 or 8) whose result is not smaller than the box `fit` requires.

    Raises:
        TypeError: `fit` is not two integers.
        ValueError: a side of `fit` is below 1, or `scale` is given as well.
    """
    box = _box("fit", fit)
    if scale != 1:
        raise ValueError(f"fit {fit} and scale {scale}: each says how large the picture is to be; give one of them")
    share = min(box[0] / region.width, box[1] / region.height)
    return max(shrink for shrink in SCALES.values() if shrink == 1 or shrink * share <= 1)


def _box(name: str, sides: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) as ints. Raises TypeError or ValueError if they are not two integers of at least 1."""
    try:
        width, height = map(operator.index, sides)
    except (TypeError, ValueError) as e:
        raise TypeError(f"{name} {sides!r}: must be two ints, (width, height)") from e
    if min(width, height) < 1:
        raise ValueError(f"{name} {sides}: both sides must be at least 1")
    return width, height

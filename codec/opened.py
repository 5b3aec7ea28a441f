"""An .aec file that is opened once: its header, its metadata, its pixels, and whether it is whole."""

import operator
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, overload

from .coding.device import check_device, resolve_device
from .container import format
from .container.format import DEFAULT_MAX_PIXELS, Header, Layout, Tile
from .container.metadata import Metadata, reset_orientation, unpacked
from .extras import need

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from .coding.decoder import Decoder
    from .picture.pixels import Pixels

SCALES = {1: 1, 1 / 2: 2, 1 / 4: 4, 1 / 8: 8}
Region = tuple[int, int, int, int]
Progress = Callable[[float], None]
Output = Literal["pil", "numpy", "torch"]
Source = bytes | bytearray | memoryview | str | os.PathLike | BinaryIO


def bytes_of(data: Source) -> memoryview:
    """The bytes of a file that is given as anything with a buffer, as a path, or opened in binary mode.

    Raises:
        OSError: it cannot be read.
        TypeError: it is none of these.
    """
    if isinstance(data, (str, os.PathLike)):
        return memoryview(Path(os.fsdecode(data)).read_bytes())
    if (view := _buffer(data)) is not None:  # first, for a file that is mapped into memory can be read as well
        return view
    read = getattr(data, "read", None)
    if not callable(read):
        raise TypeError(f"{type(data).__name__}: must be contiguous bytes, a path, or a file opened for reading")
    whole = read()
    if not isinstance(whole, bytes):
        raise TypeError(f"a file that gives {type(whole).__name__}: must be opened in binary mode")
    return memoryview(whole)


def _buffer(data: Any) -> memoryview | None:
    """The bytes of an object that has a contiguous buffer; None: it has none."""
    try:
        return memoryview(data).cast("B")
    except TypeError:
        return None


class AecFile:
    """What `codec.open` returns. Immutable; threads may share one.

    Args:
        data: bytes, or anything with a contiguous buffer, which must not be changed afterwards; or the path of a file;
            or a file opened in binary mode, of which the rest is read.
        max_pixels: refuse larger pictures; None: no limit but the format's.

    Attributes:
        header: what the file says before its payloads: width, height, quality ..
        layout: its parts, all checksums compared: `codec.container.format.Layout`.
        n_bytes: of the file.

    Raises:
        FormatError: it is not a whole, undamaged .aec file (the subclasses say what is wrong).
        OSError: it cannot be read.
        TypeError: `data` is none of these.
    """

    def __init__(self, data: Source, max_pixels: int | None = DEFAULT_MAX_PIXELS):
        whole = bytes_of(data)
        self.layout: Layout = format.read(whole, max_pixels)
        self.header: Header = self.layout.header
        self.n_bytes: int = whole.nbytes

    def __repr__(self) -> str:
        h = self.header
        kind = "stored" if h.stored else f"quality {h.quality}"
        return f"<AecFile {h.width}x{h.height}, {kind}, {self.n_bytes} bytes>"

    @cached_property
    def metadata(self) -> Metadata:
        """Colour profile, EXIF and XMP, as the decoded picture has them; needs no model.

        Raises:
            CorruptError: a block is not what it should be.
        """
        layout, size = self.layout, (self.header.width, self.header.height)
        if not self.header.stored or layout.metadata:
            return unpacked(layout.metadata)
        from .picture import embedded  # a stored picture without blocks of its own has those of the file inside

        return reset_orientation(embedded.read_metadata(bytes(layout.payloads[0]), {size, size[::-1]}))

    @property
    def stored_file(self) -> bytes | None:
        """The PNG, WebP or JPEG file inside, if the picture is stored."""
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
        """The picture, or a part of it.

        Args:
            device: where the networks run, and where tensors are to be; the pixels are the same on all. "auto" takes a
                GPU only where the caller has imported torch, or for a tensor: to import it takes longer than to decode.
            model: path or name of the model that wrote the file; None: found by the id in the file.
            output: "pil": image of mode L, LA, RGB, RGBA or I;16, whose `info` has icc_profile, exif and xmp if the
                file has; "numpy": [H, W], or [H, W, 2|3|4] with alpha last; "torch": [1|2|3|4, H, W], on the device,
                which needs the extra `train`.
            region: (x, y, width, height) in pixels of the whole picture: only this part, and little more, is decoded.
                Its pixels are those of the whole picture.
            scale: 1, 1/2, 1/4 or 1/8: means of squares of pixels, aligned to the picture's origin. Sides are rounded
                up. Of a stored picture's colours each counts as much as its alpha.
            fit: (width, height) into which the picture, or the region, is to fit: decoded at the scale that is next
                above and then made smaller by a Lanczos filter, never larger. Not beside `scale`.
            depth: bits a sample, 8 (uint8) or 16 (uint16); None: the file's.
            progress: called with the share of the network's work that is done, rising to 1; never where none runs.

        Raises:
            CorruptError: the checksums hold, but what they cover is not what an encoder writes.
            ModelError: the model that wrote it is not at hand, or `model` is another one.
            BackendError: CUDA asked for, but not there; MissingPackageError, which is one, if torch is not installed.
            TypeError, ValueError: an argument is not as above; a region that reaches outside the picture; "pil" for
                16-bit colour, for which Pillow has no mode.
        """
        if output not in ("pil", "numpy", "torch"):
            raise ValueError(f"output {output!r}: allowed are pil, numpy and torch")
        if scale not in SCALES:
            raise ValueError(f"scale {scale!r}: allowed are 1, 1/2, 1/4 and 1/8")
        if depth not in (None, 8, 16):
            raise ValueError(f"depth {depth!r}: allowed are 8 and 16 bits a sample")
        check_device(device)
        header = self.header if depth is None else replace(self.header, depth=depth)
        tile = Tile(0, 0, header.width, header.height) if region is None else _region(region, header)
        shrink = SCALES[scale] if fit is None else _shrink_above(fit, scale, tile)
        from .picture.pixels import Pixels, to_numpy, to_pil

        if output == "torch":
            need("torch", 'output="torch"')  # and "auto" finds its GPU
        if header.stored:
            colours, alpha = self._of_stored(tile, shrink, header.depth)
        else:
            from .coding import decoder

            reader = decoder.load_for(header.model_id, model, resolve_device(device))
            stays = output == "torch" and fit is None  # else numpy makes it smaller
            colours, alpha = self._of_network(reader, header, tile, shrink, stays, progress)
        metadata = self.metadata  # a file whose metadata is damaged is refused, whatever is asked of it
        if fit is not None:
            from .picture.resizing import resized, size_within

            # What was decoded covers whole squares of `shrink` pixels; the region may begin and end inside of them.
            left, top = tile.x % shrink / shrink, tile.y % shrink / shrink
            box = (left, top, left + tile.width / shrink, top + tile.height / shrink)
            smaller = resized(Pixels(colours, alpha), size_within(tile.width, tile.height, fit), box)
            colours, alpha = smaller.data, smaller.alpha
        if output == "torch":
            return _tensor(colours, alpha, resolve_device(device))
        return (to_pil if output == "pil" else to_numpy)(Pixels(colours, alpha, metadata))

    def verify(self, deep: bool = False, device: str = "auto", model: str | os.PathLike | None = None) -> None:
        """See whether what the checksums cover is sound too; they were compared when the file was opened.

        Args:
            deep: decode all symbols of the network and all of the alpha channel as well, or the stored picture; but
                not the network's pixels. Needs the model.
            device, model: as of `decode`.

        Raises:
            CorruptError: something is not what an encoder writes.
            ModelError, BackendError: as `decode`, if `deep`.
        """
        for section in self.layout.metadata.values():
            section.unpack()
        if not deep:
            return
        if self.header.stored:
            self._stored_pixels()
            return
        from .coding import decoder
        from .picture import alpha

        reader = decoder.load_for(self.header.model_id, model, resolve_device(device))
        for _ in decoder.read_latents(reader, self.header, self.layout.payloads):
            pass
        if self.header.alpha:
            alpha.decode(self.header, self.layout.alphas, Tile(0, 0, self.header.width, self.header.height))

    def _stored_pixels(self) -> "Pixels":
        from .picture import stored

        pixels = stored.decode(self.layout)
        self.__dict__.setdefault("metadata", pixels.metadata)  # so that the file inside is not read once more for it
        return pixels

    def _of_stored(self, region: Tile, shrink: int, depth: int) -> "tuple[np.ndarray, np.ndarray | None]":
        from .picture.pixels import aligned, box_means, to_depth

        whole = self._stored_pixels()
        wide = aligned(region, shrink, whole.width, whole.height)

        def inside(samples: "np.ndarray") -> "np.ndarray":
            some = samples[wide.y : wide.y + wide.height, wide.x : wide.x + wide.width]
            return some if some.shape == samples.shape else some.copy()  # which does not hold the whole

        colours, alpha = inside(whole.data), None if whole.alpha is None else inside(whole.alpha)
        colours = to_depth(box_means(colours, shrink, alpha), depth)
        if alpha is not None:
            alpha = to_depth(box_means(alpha[..., None], shrink)[..., 0], depth)
        return colours, alpha

    def _of_network(
        self, reader: "Decoder", header: Header, region: Tile, shrink: int, on_device: bool, progress: Progress
    ) -> "tuple[Any, np.ndarray | None]":
        """Colours as `decoder.decode` gives them, and alpha [h, w].

        Args:
            header: the file's own, but for its depth, which is what the caller wants.
        """
        from .coding import decoder
        from .picture import alpha
        from .picture.pixels import aligned, box_means, to_depth

        colours = decoder.decode(reader, header, self.layout.payloads, region, shrink, on_device, progress)
        channel = None
        if header.alpha:
            wide = aligned(region, shrink, header.width, header.height)
            channel = alpha.decode(self.header, self.layout.alphas, wide)
            channel = to_depth(box_means(channel[..., None], shrink)[..., 0], header.depth)
        return colours, channel


def _tensor(colours: "np.ndarray | torch.Tensor", alpha: "np.ndarray | None", device: str) -> "torch.Tensor":
    """[1|2|3|4, h, w], contiguous, of [h, w, C] or of a tensor [C, h, w] on the device, and of alpha [h, w]."""
    import torch

    if isinstance(colours, torch.Tensor):
        return colours if alpha is None else torch.cat([colours, torch.from_numpy(alpha)[None].to(device)])
    import numpy as np

    # By numpy, which needs none of the threads that torch has lost in the child of a fork.
    channels = colours if alpha is None else np.dstack([colours, alpha])
    return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1))).to(device)


def _region(region: tuple[int, int, int, int], header: Header) -> Tile:
    try:
        x, y, width, height = map(operator.index, region)
    except (TypeError, ValueError) as e:
        raise TypeError(f"region {region!r}: must be four ints, (x, y, width, height)") from e
    if min(x, y) < 0 or min(width, height) < 1 or x + width > header.width or y + height > header.height:
        raise ValueError(
            f"region of {width}x{height} at ({x}, {y}): must be within the picture of {header.width}x{header.height}"
        )
    return Tile(x, y, width, height)


def _shrink_above(fit: tuple[int, int], scale: float, region: Tile) -> int:
    """The most by which a region may be shrunk without being smaller than it will be in the end."""
    try:
        width, height = map(operator.index, fit)
    except (TypeError, ValueError) as e:
        raise TypeError(f"fit {fit!r}: must be two ints, (width, height)") from e
    if scale != 1:
        raise ValueError(f"fit {fit} and scale {scale}: each says how large the picture is to be; give one of them")
    if min(width, height) < 1:
        raise ValueError(f"fit {fit}: both sides must be at least 1")
    share = min(width / region.width, height / region.height)
    return max(shrink for shrink in SCALES.values() if shrink == 1 or shrink * share <= 1)

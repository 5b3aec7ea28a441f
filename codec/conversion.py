"""The work on one picture: `Compression` makes an .aec file of a picture's file, and `Decompression` the other way.

Both are plain values that can be sent to other processes. The commands, the bulk shards and the plugins for Ray and
Spark all convert pictures by them, so that the results are the same bytes everywhere.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from . import api
from .container import format
from .given import open_picture
from .io import OutputError
from .opened import AecFile, Progress, Region, kind_of
from .picture import export

if TYPE_CHECKING:
    import numpy as np

IfLarger = Literal["store", "skip", "fail"]


@dataclass(frozen=True)
class Made:
    """The result of a conversion.

    Args:
        data: the bytes of the new file; None: nothing is to be written, and `why` says why.
        facts: bytes_in, bytes_out, width, height, bpp and quality.
        line: a phrase for people that says what became of the picture.
        note: what else is to be said, after the name of the new file; may be empty.
        why: the reason for not writing anything.
    """

    data: bytes | None
    facts: dict[str, Any]
    line: str = ""
    note: str = ""
    why: str | None = None


class Conversion(Protocol):
    """What `Compression` and `Decompression` have in common."""

    @property
    def device(self) -> str:
        """Where the networks run: auto, cpu, cuda or cuda:N."""

    @property
    def suffix(self) -> str:
        """The suffix of the new files, such as ".aec", unless their names say another."""

    def make(self, data: bytes, name: Path | None = None, progress: Progress = ...) -> Made:
        """Convert a picture.

        Args:
            data: the bytes of its file.
            name: of the new file; its suffix says the kind of file. None: `suffix` does.
            progress: called with the share of the network's work that is done.

        Raises:
            InputError: the data is not a picture. OutputError: the new file cannot be as it was asked for.
            AecError, ValueError, MemoryError: as `codec.encode` and `AecFile.decode` raise them.
        """

    def check(self) -> None:
        """Try what would fail for every picture: whether the options are right, and the model can be loaded.

        Raises:
            TypeError, ValueError: an option is unknown, or its value is not allowed. OutputError: there is no such kind
                of file. ModelError, BackendError: the model or the device cannot be used on this machine.
        """


def facts_of(file: AecFile) -> dict[str, Any]:
    """Return the facts about an .aec file for a row of a report."""
    h = file.header
    bpp = round(8 * file.n_bytes / (h.width * h.height), 4)
    return {"width": h.width, "height": h.height, "bpp": bpp, "quality": h.quality if h.by_network else None}


@dataclass(frozen=True)
class Compression:
    """Pictures become .aec files.

    Args:
        options: further arguments of `codec.encode`, such as quality, effort or target_size.
        device, model: as of `codec.encode`.
        metadata: the kinds of metadata to keep, some of `format.METADATA`; None: all.
        if_larger: what to do where a file would be larger than its picture: store the picture's own bytes if they are
            PNG, WebP or JPEG, make no file, or raise OutputError.
        verbose: whether the note says what of the picture's file is not kept.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    model: str | None = None
    metadata: tuple[str, ...] | None = None
    if_larger: IfLarger = "store"
    verbose: bool = False
    suffix = ".aec"

    def make(self, data: bytes, name: Path | None = None, progress: Progress = lambda share: None) -> Made:
        pixels = open_picture(data)
        n_source, whole = len(data), data if self.verbose else b""
        # The source file may only be stored as it is if all metadata is kept: it may hold more, such as comments.
        all_kept = self.metadata is None or set(self.metadata) == set(format.METADATA)
        may_be_stored = self.if_larger == "store" and all_kept and format.stored_kind(data) is not None
        source = data if may_be_stored else None
        del data  # frees the input's bytes during encoding, unless they may be stored
        made = api.encode(
            pixels,
            device=self.device,
            model=self.model,
            metadata=None if all_kept else pixels.metadata.only(self.metadata or ()),
            source=source,
            progress=progress,
            **self.options,
        )
        file = AecFile(made, max_pixels=None)
        facts = {"bytes_in": n_source, "bytes_out": len(made), **facts_of(file)}
        if self.if_larger != "store" and len(made) > n_source:
            larger = f"{n_source} bytes would become {len(made)}"
            if self.if_larger == "fail":
                raise OutputError(f"{larger}; --if-larger store keeps a PNG, WebP or JPEG as it is")
            return Made(None, facts | {"bytes_out": None}, why=larger)
        line = (
            f"{facts['width']}x{facts['height']}, {n_source} -> {len(made)} bytes "
            f"({len(made) / n_source:.1%}, {facts['bpp']:.3f} bits per pixel)"
        )
        if not file.header.by_network:
            line += f", {kind_of(file.header)}"
        return Made(made, facts, line, _left_behind(whole, file) if self.verbose else "")

    def check(self) -> None:
        from .coding.targets import OutOfReach

        with suppress(OutOfReach):  # a larger picture may well reach the target
            api.encode(_tiny(), device=self.device, model=self.model, **self.options)


@dataclass(frozen=True)
class Decompression:
    """The .aec files become pictures of another kind.

    Args:
        suffix: says the kind of file where the name does not, such as ".png".
        device, model, region, scale, fit, depth: as of `AecFile.decode`.
        metadata: the kinds of metadata to write, some of `format.METADATA`; None: all.
        quality: of .jpg, .webp and .avif files, 1..100; None: near to the picture.
        max_pixels: larger pictures are refused; None: only the format's own limit holds.
        allow_partial: as of `codec.open`; then the facts have `missing`, a list with the areas that are not whole.
    """

    suffix: str = ".png"
    device: str = "auto"
    model: str | None = None
    metadata: tuple[str, ...] | None = None
    quality: int | None = None
    max_pixels: int | None = format.DEFAULT_MAX_PIXELS
    region: Region | None = None
    scale: float = 1
    fit: tuple[int, int] | None = None
    depth: Literal[8, 16] | None = None
    allow_partial: bool = False

    def make(self, data: bytes, name: Path | None = None, progress: Progress = lambda share: None) -> Made:
        from PIL import Image

        kinds = format.METADATA if self.metadata is None else self.metadata
        kind = export.kind_of(name, self.suffix)
        file = AecFile(data, self.max_pixels, allow_partial=self.allow_partial)
        header = file.header
        exact = not header.by_network and self.quality is None
        output = export.check(kind, header.gray, header.alpha, self.depth or header.depth, exact, self.quality)
        picture = file.decode(
            self.device,
            self.model,
            output=output,
            region=self.region,
            scale=self.scale,
            fit=self.fit,
            depth=self.depth,
            progress=progress,
        )
        asked = (self.region, self.scale != 1, self.fit, self.depth not in (None, header.depth), self.quality)
        changed = any(asked) or set(kinds) != set(format.METADATA)
        made = None if changed else _own_file(file, kind)
        if made is None:
            made = export.encoded(picture, kind, file.metadata.only(kinds), exact, self.quality)
        height, width = picture.size[::-1] if isinstance(picture, Image.Image) else picture.shape[:2]
        facts = {"bytes_in": len(data), "bytes_out": len(made), **facts_of(file)}
        if self.allow_partial:
            facts["missing"] = [asdict(area) for area in file.missing]
        return Made(made, facts | {"width": width, "height": height}, f"{len(data)} bytes -> {width}x{height}")

    def check(self) -> None:
        kind = export.kind_of(None, self.suffix)
        export.check(kind, gray=True, alpha=False, depth=self.depth or 8, exact=False, quality=self.quality)
        tiny = AecFile(api.encode(_tiny(), lossless=True))  # its region is not tried: it may lie in larger pictures
        tiny.decode(self.device, output="numpy", scale=self.scale, fit=self.fit, depth=self.depth)
        if self.model is not None:
            from .coding import model_file, model_search

            model_file.load(model_search.find(self.model))


def _tiny() -> "np.ndarray":
    """Return a picture with which options are tried. Its 16 bits allow any number of `bits`."""
    import numpy as np

    return np.zeros((8, 8, 3), np.uint16)


def _left_behind(source: bytes, made: AecFile) -> str:
    """Return a phrase that names what the source holds and the .aec file does not; empty if there is nothing."""
    if made.stored_file == source:
        return ""
    from .picture import left_behind

    names = left_behind.names(source)
    return f"; without its {', '.join(names)}" if names else ""


def _own_file(file: AecFile, kind: str) -> bytes | None:
    """Return the file inside a stored picture, if it is of the wanted kind and already has the right metadata.

    Copying it avoids that a JPEG is encoded a second time. Otherwise None is returned.
    """
    own, beside = file.stored_file, file.layout.metadata or not file.layout.own_metadata_counts
    if own is None or beside or (format.stored_kind(own) or "").upper() != kind:
        return None
    return own

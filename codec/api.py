"""`encode`, `decode`, `open`, `inspect`: what the package is imported for. torch is for GPUs."""

import math
import numbers
import operator
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, SupportsIndex, overload

from .coding.device import check_device, resolve_device
from .container import format
from .container.format import DEFAULT_MAX_PIXELS, Header
from .container.metadata import Metadata, reset_orientation
from .opened import AecFile, Output, Progress, Region, Source

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from .coding.tiles import Encoder
    from .picture.pixels import Pixels

TILE = 1024
QUALITIES, EFFORTS, ALPHA_QUALITIES, BITS = range(1, 101), range(1, 10), range(0, 101), range(1, 17)
DEFAULT_QUALITY, DEFAULT_EFFORT = 75, 2
TARGETS = ("target_size", "target_bpp", "target_psnr", "target_ssimulacra2")  # of `encode`, in place of a quality
MAX_TARGET = 1 << 40  # bytes: no file is larger, and floats take it


def encode(
    image: "Image.Image | np.ndarray | torch.Tensor | Pixels",
    quality: int | None = None,
    device: str = "auto",
    model: str | os.PathLike | None = None,
    *,
    effort: int = DEFAULT_EFFORT,
    lossless: bool = False,
    alpha_quality: int = 100,
    bits: int | None = None,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ssimulacra2: float | None = None,
    metadata: Metadata | None = None,
    source: bytes | None = None,
    progress: Progress = lambda share: None,
) -> bytes:
    """Compress a picture.

    Args:
        image: PIL image; numpy uint8 or uint16 [H, W] or [H, W, 1|2|3|4], alpha last; any other array that numpy can
            read (`__array__`, DLPack), the same; or torch, the same as [1|2|3|4, H, W]; or what
            `codec.picture.pixels.to_pixels` makes of these, which has more on modes. 1x1 up to 2^28 pixels, sides up to
            65535. A tensor on a GPU is copied to the CPU.
            An alpha channel that is opaque everywhere is dropped; colours where alpha is 0 are not kept.
            Of 16 bits the range is kept whole and nothing is banded, but the network is no more precise than 8: a
            smooth gradient comes back with 57 dB at quality 100. `lossless` keeps all 16.
        quality: 1 (smallest) .. 100 (the network's best, which is not lossless), about the mean SSIMULACRA 2 that
            photographs have at it, where the model reaches that: 50 is medium, 70 high, and from 90 on most people see
            no difference. None: 75, or what a target asks for.
            Where keeping the picture exactly, or its `source`, takes fewer bytes than the network, that is done.
        device: "auto", "cpu", "cuda" or "cuda:N", where a network runs. "auto" takes a GPU only where the caller has
            imported torch. A GPU needs torch, the extra `train`.
        model: name of a shipped model ("eye", the default, or "psnr") or path of a model file; None: the default.
        effort: how symbols are chosen; decoders need not know. 1: the nearest to the latents. 2: a 0 where that saves
            more bits than its error is worth (`codec.coding.cdf_tables.dead_zones`). 3..9: all are chosen anew, 1 to
            16 times, knowing what the decoder makes of them (`codec.coding.refinement`); each time takes as long as two
            or three encodings. A model for squared error, such as "psnr", does so twice at 2, and 3 to 16 times from 3
            on. One for MS-SSIM alone is left as it is: 3..9 are 2.
        lossless: every sample comes back as it was, colours under alpha = 0 included; no network runs.
        alpha_quality: 100: the alpha channel comes back as it was; 0 (smallest) .. 99: with fewer levels,
            unless it has 16 bits.
        bits: samples, alpha's too, are integers of so many bits, 1..16, as those of a camera of 12 that lie in uint16.
            They are spread over the whole range of their type, for 2^bits - 1 is white, and come back so: their upper
            bits, `decoded >> 16 - bits` of uint16, are what was given. None: as many as the type has.
        target_size: at most so many bytes, and close to it.
        target_bpp: the same in bits per pixel.
        target_psnr: at least so many dB, and close to it; where no quality has as many, the picture is kept exactly.
        target_ssimulacra2: at least so many points of SSIMULACRA 2, above 0, at most 100, and close to it: 90 cannot be
            told from the original by most people, 70 is high quality, 50 medium. It is measured on the decoded picture
            at 8 bits a sample; with alpha, before a dark and a bright background, of which the lower counts. Where no
            quality has as many, the picture is kept exactly; so is one with a side below 8, which has no such score.
        metadata: None: a PIL image's own; arrays have none. An orientation in it is set to 1.
        source: the file that the picture came from. If it is a PNG, WebP or JPEG of the same pixels and smaller than
            what can be made, it is stored as it is; not if `metadata` is given, for it may hold more than was asked.
        progress: called with the share of the network's work that is done, rising to 1, by the threads that do it, one
            at a time; never where no network runs.

    Returns:
        The bytes of an .aec file (codec/container/FORMAT.md).

    Raises:
        TypeError, ValueError: an argument is not as above, two contradict, or no file is as small as asked; LimitError
            (a ValueError) for the size of the picture.
        ModelError: no such model.
        BackendError: CUDA asked for, but not there; MissingPackageError, which is one, if torch is not installed.
    """
    targets = {"target_size": target_size, "target_bpp": target_bpp, "target_psnr": target_psnr}
    targets["target_ssimulacra2"] = target_ssimulacra2
    asked = [k for k, v in ({"quality": quality, "lossless": lossless or None} | targets).items() if v is not None]
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(asked)}: each says how good the picture must be, so only one can be given")
    quality = _int_of("quality", DEFAULT_QUALITY if quality is None else quality, QUALITIES)
    effort = _int_of("effort", effort, EFFORTS)
    alpha_quality = _int_of("alpha_quality", alpha_quality, ALPHA_QUALITIES)
    bits = None if bits is None else _int_of("bits", bits, BITS)
    if lossless and alpha_quality != 100:
        raise ValueError(f"lossless and alpha_quality {alpha_quality}: lossless keeps every sample, those of alpha too")
    _positive("target_size", target_size, numbers.Integral)
    _positive("target_bpp", target_bpp)
    _positive("target_psnr", target_psnr)
    _positive("target_ssimulacra2", target_ssimulacra2, most=100)
    if metadata is not None and not isinstance(metadata, Metadata):
        raise TypeError(f"metadata of type {type(metadata).__name__}: must be codec.Metadata")
    check_device(device)
    from .picture import stored
    from .picture.pixels import of_bits, to_pixels

    pixels = to_pixels(image) if bits is None else of_bits(to_pixels(image), bits)
    if metadata is not None:
        pixels, source = replace(pixels, metadata=reset_orientation(metadata)), None
    limit = target_size if target_bpp is None else target_bpp * pixels.width * pixels.height / 8
    limit = None if limit is None else int(min(limit, MAX_TARGET))
    files: list[bytes | None] = []
    if lossless or limit is not None and stored.may_take_less(pixels, limit):
        files.append(stored.lossless(pixels, effort, exact=lossless))
    if limit is not None:
        if source is not None and len(source) < limit:
            files.append(stored.original(pixels, source))
        files = [file for file in files if file and len(file) <= limit]  # what is exact has no need of more bytes
    if not files:
        from .coding import model_search, tiles

        encoder = tiles.encoder_for(model_search.find(model), resolve_device(device))
        wanted = _Wanted(quality, limit, target_psnr, target_ssimulacra2, effort, alpha_quality)
        files.append(_by_network(encoder, pixels, wanted, progress))
        if files[0] is None or limit is None and stored.may_take_less(pixels, len(files[0])):
            files.append(stored.lossless(pixels, effort, exact=False))
    if limit is None and source is not None and len(source) < min(map(len, filter(None, files))):
        files.append(stored.original(pixels, source))
    return min(filter(None, files), key=len)


@dataclass(frozen=True)
class _Wanted:
    """Of a network: a quality, or the most bytes of a file, or the least of a measure; and how to go about it."""

    quality: int
    n_bytes: int | None
    psnr: float | None
    ssimulacra2: float | None
    effort: int
    alpha_quality: int


def _by_network(encoder: "Encoder", pixels: "Pixels", wanted: _Wanted, progress: Progress) -> bytes | None:
    """A file; None if no quality is as good as wanted. Raises ValueError if none is as small as wanted."""
    from .coding import tiles
    from .picture import alpha

    header = pixels.header(wanted.quality, encoder.file.id, TILE)
    alphas = [] if pixels.alpha is None else alpha.encode(pixels.alpha, header.tiles, wanted.alpha_quality)
    blocks = pixels.metadata.blocks()
    if wanted.n_bytes is None and wanted.psnr is None and wanted.ssimulacra2 is None:
        payloads = tiles.encode(encoder, pixels, header, wanted.effort, progress)
    else:
        from .coding import targets

        least = [bytes(format.MIN_PAYLOAD)] * header.n_tiles
        alone = len(format.write(replace(header, alpha=False), least))
        other_bytes = len(format.write(header, least, alphas, blocks)) - alone
        target = targets.Target(wanted.n_bytes, wanted.psnr, wanted.ssimulacra2)
        try:
            header, payloads = targets.encode(encoder, pixels, header, wanted.effort, target, other_bytes, progress)
        except targets.OutOfReach:
            if wanted.n_bytes is not None:
                raise
            return None
    return format.write(header, payloads, alphas, blocks)


def _int_of(name: str, value: SupportsIndex, allowed: range) -> int:
    limits = f"{allowed[0]}..{allowed[-1]}"
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} {value!r}: must be an int, {limits}")
    if operator.index(value) not in allowed:
        raise ValueError(f"{name} {value}: allowed are {limits}")
    return operator.index(value)


def _positive(name: str, value: float | None, kind: type = numbers.Real, most: float = math.inf) -> None:
    if value is None:
        return
    limits = "above 0" if most == math.inf else f"above 0, at most {most}"
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name} {value!r}: must be {'an int' if kind is numbers.Integral else 'a number'} {limits}")
    if not 0 < value <= most or value == math.inf:
        raise ValueError(f"{name} {value}: must be {limits}")


def open(data: Source, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> AecFile:
    """Parse and verify a file once, to look at its header and metadata and to decode it, or parts of it, afterwards.

    Args:
        data: bytes of an .aec file, its path, or a file opened in binary mode.
        max_pixels: refuse larger pictures; None: no limit but the format's.

    Raises:
        FormatError: it is not a whole, undamaged .aec file (its subclasses say what is wrong).
        OSError: it cannot be read.
        TypeError: `data` is none of these.
    """
    return AecFile(data, max_pixels)


@overload
def decode(
    data: Source,
    device: str = ...,
    model: str | os.PathLike | None = ...,
    output: Literal["pil"] = ...,
    max_pixels: int | None = ...,
    *,
    region: Region | None = ...,
    scale: float = ...,
    fit: tuple[int, int] | None = ...,
    depth: Literal[8, 16] | None = ...,
    progress: Progress = ...,
) -> "Image.Image": ...


@overload
def decode(
    data: Source,
    device: str = ...,
    model: str | os.PathLike | None = ...,
    *,
    output: Literal["numpy"],
    max_pixels: int | None = ...,
    region: Region | None = ...,
    scale: float = ...,
    fit: tuple[int, int] | None = ...,
    depth: Literal[8, 16] | None = ...,
    progress: Progress = ...,
) -> "np.ndarray": ...


@overload
def decode(
    data: Source,
    device: str = ...,
    model: str | os.PathLike | None = ...,
    *,
    output: Literal["torch"],
    max_pixels: int | None = ...,
    region: Region | None = ...,
    scale: float = ...,
    fit: tuple[int, int] | None = ...,
    depth: Literal[8, 16] | None = ...,
    progress: Progress = ...,
) -> "torch.Tensor": ...


@overload
def decode(
    data: Source,
    device: str = ...,
    model: str | os.PathLike | None = ...,
    output: Output = ...,
    max_pixels: int | None = ...,
    *,
    region: Region | None = ...,
    scale: float = ...,
    fit: tuple[int, int] | None = ...,
    depth: Literal[8, 16] | None = ...,
    progress: Progress = ...,
) -> "Image.Image | np.ndarray | torch.Tensor": ...


def decode(
    data: Source,
    device: str = "auto",
    model: str | os.PathLike | None = None,
    output: Output = "pil",
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    *,
    region: Region | None = None,
    scale: float = 1,
    fit: tuple[int, int] | None = None,
    depth: Literal[8, 16] | None = None,
    progress: Progress = lambda share: None,
) -> "Image.Image | np.ndarray | torch.Tensor":
    """Decompress a picture: `open` and `AecFile.decode` in one, whose arguments and errors these are."""
    opened = AecFile(data, max_pixels)
    return opened.decode(device, model, output, region=region, scale=scale, fit=fit, depth=depth, progress=progress)


def read_metadata(data: Source) -> Metadata:
    """Colour profile, EXIF and XMP of a file, as `decode` gives them. Arguments and errors are those of `open`."""
    return AecFile(data, max_pixels=None).metadata


def inspect(data: Source) -> Header:
    """Parse and verify a file without decoding it; needs no model. Arguments and errors are those of `open`."""
    return AecFile(data, max_pixels=None).header

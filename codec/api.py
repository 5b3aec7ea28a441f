"""The public functions of the package: `encode`, `decode`, `open`, `inspect`, `read_metadata` and `features`.

None of them needs torch, except to run on a GPU or to return tensors.
"""

import math
import numbers
import operator
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

from .coding.device import check_device, resolve_device
from .container import format
from .container.format import DEFAULT_MAX_PIXELS, NO_MODEL, Header
from .container.metadata import Metadata, reset_orientation
from .opened import AecFile, Output, Progress, Region, Source

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from .coding.tiles import Encoder
    from .picture.samples import Pixels

TILE = 1024
QUALITIES, EFFORTS, ALPHA_QUALITIES, BITS = range(1, 101), range(1, 10), range(0, 101), range(1, 17)
MAX_ERRORS = range(format.MAX_ERROR + 1)
DEFAULT_QUALITY, DEFAULT_EFFORT = 75, 2
# Arguments of `encode` that replace `quality`.
TARGETS = ("target_size", "target_bpp", "target_psnr", "target_ssimulacra2")
AIMS = ("lossless", "max_error", *TARGETS)
# In bytes. No .aec file is larger, and the number has an exact float.
MAX_TARGET = 1 << 40


def encode(
    image: "Image.Image | np.ndarray | torch.Tensor | Pixels",
    quality: int | None = None,
    device: str = "auto",
    model: str | os.PathLike | None = None,
    *,
    effort: int = DEFAULT_EFFORT,
    lossless: bool = False,
    max_error: int | None = None,
    alpha_quality: int = 100,
    bits: int | None = None,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ssimulacra2: float | None = None,
    roi: "Iterable[tuple[Region | np.ndarray | Image.Image, int]]" = (),
    progressive: bool = False,
    metadata: Metadata | None = None,
    source: bytes | None = None,
    progress: Progress = lambda share: None,
) -> bytes:
    """Compress a picture.

    Args:
        image: a PIL image; a numpy array, uint8 or uint16, [H, W] or [H, W, 1|2|3|4] with alpha last; any other array
            of these types and shapes that numpy can read (`__array__`, DLPack); a torch tensor [1|2|3|4, H, W] of the
            same types; or a `Pixels` made by `codec.picture.pixels.to_pixels`, whose docstring lists the PIL modes.
            The picture may have 1x1 to 2^28 pixels and sides of up to 65535. A tensor on a GPU is copied to the CPU.
            An alpha channel that is opaque everywhere is dropped. Colours of pixels whose alpha is 0 are not kept.
            16-bit samples keep their full range and decode without banding, but the network is no more precise than
            8 bits: a smooth gradient reaches 57 dB at quality 100. `lossless` keeps all 16 bits.
        quality: 1 (smallest file) .. 100 (the network's best, which is not lossless). The number is about the mean
            SSIMULACRA 2 score of photographs at that quality, as far as the model reaches it: 50 is medium, 70 is
            high, and from 90 on most people see no difference. None: 75, or the quality that a target leads to.
            If storing the picture exactly, or storing its `source`, takes fewer bytes than the network's file, that
            is done instead.
        device: where the network runs: "auto", "cpu", "cuda" or "cuda:N". "auto" uses a GPU only if the caller has
            already imported torch. A GPU needs torch (the extra `train`).
        model: the name of a shipped model ("eye", the default, or "psnr") or the path of a model file; None: the
            default. It must exist even where no network runs, and so none is used.
        effort: how carefully the symbols are chosen, 1..9. It does not change how the file is decoded. 1 rounds each
            latent to the nearest symbol. 2 also chooses the symbol 0 where that saves more bits than its error is
            worth (csrc/model/model.cpp: `dead_zones_of`). 3..9 decode the picture and choose all symbols again, 1 to
            16 times (`csrc/tile/refinement.h`); each time takes as long as two or three encodings. A model for squared
            error, such as "psnr", does this twice at effort 2, and 3 to 16 times from effort 3 on. A model for MS-SSIM
            alone never does it: there, 3..9 are the same as 2.
        lossless: every decoded sample equals the original, also the colours where alpha is 0. No network runs. The file
            is coded by our own exact coder (FORMAT §9), or stored as WebP or PNG if that is smaller. `effort` 1 only
            stores it, which is faster and about a seventh larger.
        max_error: 0..255: near-lossless: every decoded colour sample differs from the original by at most this many
            levels of its own depth, and alpha is exact; 0 is the same as `lossless`. No network runs.
        alpha_quality: 100 keeps the alpha channel exactly. 0 (smallest) .. 99 reduce its number of levels, unless it
            has 16 bits.
        bits: 1..16: the samples, alpha's included, are integers of this many bits in a wider type, such as the 12 bits
            of a camera in a uint16 array. They are scaled so that 2^bits - 1 becomes the white of their type, and the
            decoded picture is scaled in the same way: `decoded >> 16 - bits` gives the original numbers in uint16. The
            file keeps the number, as `Metadata.bits`. None: the samples use all bits of their type, or as many as the
            picture's file says.
        target_size: the file has at most this many bytes, and is close to that.
        target_bpp: the file has at most this many bits per pixel, and is close to that.
        target_psnr: the decoded picture has at least this PSNR in dB, and is close to it. If no quality reaches it,
            the picture is kept exactly, in as few bytes as `lossless` needs at this effort.
        target_ssimulacra2: the decoded picture has at least this SSIMULACRA 2 score, above 0 and at most 100, and is
            close to it: at 90 most people see no difference from the original, 70 is high quality, 50 is medium. The
            score is measured at 8 bits a sample. A picture with alpha is composited over a dark and over a bright
            background, and the lower score counts. If no quality reaches the score, the picture is kept exactly; so
            is a picture with a side below 8 pixels, for which the score is not defined.
        roi: regions that are to be better or worse than the rest: (where, difference) pairs. `where` is a rectangle,
            (x, y, width, height) in pixels of the upright picture; or a mask, bool or uint8 [H, W] or a Pillow image of
            mode 1 or L, where True or 255 stands for the whole difference. The difference, -99..99, is added to the
            quality, which stays within 1..100. It holds for blocks of 64x64 pixels: a block that a region touches is
            made better as a whole, and is made worse only if all of it lies within the region. Where regions overlap,
            their differences add up.
        progressive: order the file such that its first half holds a coarse version of the whole picture, for
            `allow_partial` of `decode`. Files are 1 to 5 % larger, small ones more so, and take somewhat longer to
            decode. Without it, the beginning of a large file holds a coarse picture too, but a worse one.
        metadata: replaces the picture's metadata. None: a PIL image keeps its own; arrays have none. The orientation
            in it is set to 1. The number of significant bits is only replaced if `metadata` has one and `bits` is None.
        source: the bytes of the file that the picture was read from. If that is a PNG, WebP or JPEG file of the same
            pixels, and smaller than what this function makes, it is stored unchanged. It is ignored if `metadata` is
            given, because the file may hold metadata that the caller left out.
        progress: called with the share of the network's work that is done, rising to 1. The threads that do the work
            call it, one at a time. It is never called if no network runs.

    Returns:
        The bytes of an .aec file (codec/container/FORMAT.md).

    Raises:
        TypeError, ValueError: an argument is not as described above, two arguments contradict each other, or no file
            can be as small as the target. LimitError (a ValueError): the picture is too large.
        ModelError: the model does not exist or cannot be used.
        BackendError: a GPU was asked for, but there is none. MissingPackageError (a BackendError): a GPU was asked
            for, but torch is not installed.
    """
    targets = {"target_size": target_size, "target_bpp": target_bpp, "target_psnr": target_psnr}
    targets["target_ssimulacra2"] = target_ssimulacra2
    aims = {"quality": quality, "lossless": lossless or None, "max_error": max_error} | targets
    asked = [k for k, v in aims.items() if v is not None]
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(asked)}: each says how good the picture must be, so only one can be given")
    quality = _int_of("quality", DEFAULT_QUALITY if quality is None else quality, QUALITIES)
    effort = _int_of("effort", effort, EFFORTS)
    alpha_quality = _int_of("alpha_quality", alpha_quality, ALPHA_QUALITIES)
    bits = None if bits is None else _int_of("bits", bits, BITS)
    max_error = None if max_error is None else _int_of("max_error", max_error, MAX_ERRORS)
    lossless = lossless or max_error is not None
    if lossless and alpha_quality != 100:
        name = "lossless" if max_error is None else f"max_error {max_error}"
        raise ValueError(f"{name} and alpha_quality {alpha_quality}: {name} keeps every sample of alpha")
    _positive("target_size", target_size, numbers.Integral)
    _positive("target_bpp", target_bpp)
    _positive("target_psnr", target_psnr)
    _positive("target_ssimulacra2", target_ssimulacra2, most=100)
    if lossless and progressive:
        raise ValueError("lossless and progressive: only pictures that the networks code can be progressive")
    if metadata is not None and not isinstance(metadata, Metadata):
        raise TypeError(f"metadata of type {type(metadata).__name__}: must be codec.Metadata")
    check_device(device)
    from .coding import model_search, quality_map
    from .picture import code_points, stored
    from .picture.pixels import of_bits, to_pixels

    path = None if model is None else model_search.find(model)
    pixels = to_pixels(image) if bits is None else of_bits(to_pixels(image), bits)
    if metadata is not None:
        metadata.blocks()  # raises an error for values that no file can hold
        own = pixels.metadata.bits
        metadata = replace(metadata, bits=own if bits is not None else metadata.bits or own)
        metadata = code_points.settled(reset_orientation(metadata), pixels.gray, pixels.depth)
        pixels, source = replace(pixels, metadata=metadata), None
    blocks = quality_map.differences(roi, pixels.header(quality, NO_MODEL, TILE))
    if lossless and blocks is not None:
        raise ValueError("lossless and roi: lossless keeps every sample, so no region can be better")
    limit = target_size if target_bpp is None else target_bpp * pixels.width * pixels.height / 8
    limit = None if limit is None else int(min(limit, MAX_TARGET))
    files: list[bytes | None] = []
    if lossless or limit is not None and stored.may_take_less(pixels, limit):
        files += _kept_exactly(pixels, effort, lossless, max_error or 0, limit)
    if limit is not None:
        if source is not None and len(source) < limit:
            files.append(stored.original(pixels, source))
        # An exact file within the limit ends the search: more bytes could not improve it.
        files = [file for file in files if file and len(file) <= limit]
    if not files:
        from .coding import tiles

        encoder = tiles.encoder_for(path or model_search.find(None), resolve_device(device))
        wanted = _Wanted(quality, limit, target_psnr, target_ssimulacra2, effort, alpha_quality, blocks, progressive)
        coded = _by_network(encoder, pixels, wanted, progress)
        files.append(coded)
        most = None if coded is None else len(coded)
        if most is None or limit is None and stored.may_take_less(pixels, most):
            if target_psnr is not None or target_ssimulacra2 is not None:
                files += _kept_exactly(pixels, effort, hidden=False, limit=most)
            else:
                # Not by the exact coder: who asks for a quality need not wait seconds a megapixel for each decoding.
                files.append(stored.lossless(pixels, effort, exact=False))
    if limit is None and source is not None and len(source) < min(map(len, filter(None, files))):
        files.append(stored.original(pixels, source))
    return min(filter(None, files), key=len)


# The exact coder is not tried where it would have to take less than this share of the bytes of WebP or PNG: of
# photographs it takes 0.87.
_LEAST_SHARE = 0.6


def _kept_exactly(
    pixels: "Pixels", effort: int, hidden: bool, max_error: int = 0, limit: int | None = None
) -> "list[bytes]":
    """Return files that keep the picture exactly: a WebP or PNG and, from effort 2 on, one of the exact coder.

    Args:
        pixels: the picture.
        effort: as of `encode`.
        hidden: whether to keep the colours of pixels whose alpha is 0 too.
        max_error: as of `encode`. Other than 0, the exact coder is used at effort 1 too.
        limit: files with more bytes are of no use; None: all are.
    """
    from .coding import exact
    from .picture import stored

    files = [stored.lossless(pixels, effort, exact=hidden)]
    if max_error or effort > 1 and (limit is None or len(files[0]) * _LEAST_SHARE <= limit):
        files.append(exact.file(pixels, max_error, TILE, hidden))
    return files


@dataclass(frozen=True)
class _Wanted:
    """What a file coded by the network must be like.

    At most one of `n_bytes` (upper limit), `psnr` and `ssimulacra2` (lower limits) is set; else `quality` counts.
    `differences` are those of the quality of each block, as `quality_map.differences` returns them.
    """

    quality: int
    n_bytes: int | None
    psnr: float | None
    ssimulacra2: float | None
    effort: int
    alpha_quality: int
    differences: "np.ndarray | None"
    progressive: bool


def _by_network(encoder: "Encoder", pixels: "Pixels", wanted: _Wanted, progress: Progress) -> bytes | None:
    """Encode with the network and return the file.

    Returns None if no quality reaches the wanted PSNR or SSIMULACRA 2 score. Raises ValueError if no quality gives a
    file as small as wanted.
    """
    from .coding import quality_map, tiles
    from .picture import alpha, code_points

    header = pixels.header(wanted.quality, encoder.file.id, TILE)
    if wanted.progressive:
        header = replace(header, first=tiles.first_of(encoder.file, wanted.quality))
    alphas = [] if pixels.alpha is None else alpha.encode(pixels.alpha, header.tiles, wanted.alpha_quality)
    blocks = code_points.blocks(pixels.metadata, pixels.gray)
    if wanted.n_bytes is None and wanted.psnr is None and wanted.ssimulacra2 is None:
        quality = quality_map.applied(wanted.differences, header.quality)
        coded = tiles.encode(encoder, pixels, header, wanted.effort, progress, quality)
    else:
        from .coding import targets

        least = [bytes(format.MIN_PAYLOAD)] * header.n_tiles
        plain = replace(header, first=0)
        alone = len(format.write(replace(plain, alpha=False), least))
        other_bytes = len(format.write(plain, least, alphas, blocks)) - alone
        target = targets.Target(wanted.n_bytes, wanted.psnr, wanted.ssimulacra2)
        try:
            header, coded = targets.encode(
                encoder, pixels, header, wanted.effort, target, other_bytes, progress, wanted.differences
            )
        except targets.OutOfReach:
            if wanted.n_bytes is not None:
                raise
            return None
    quality = quality_map.applied(wanted.differences, header.quality)
    return tiles.file(encoder, header, coded, quality, alphas, blocks)


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
    limits = "finite and above 0" if most == math.inf else f"above 0, at most {most}"
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name} {value!r}: must be {'an int' if kind is numbers.Integral else 'a number'} {limits}")
    if not 0 < value <= most or value == math.inf:
        raise ValueError(f"{name} {value}: must be {limits}")


def open(data: Source, max_pixels: int | None = DEFAULT_MAX_PIXELS, *, allow_partial: bool = False) -> AecFile:
    """Parse and verify a file once. The returned object gives its header and metadata, and decodes all or parts of it.

    Args:
        data: the bytes of an .aec file, its path, or a file opened in binary mode.
        max_pixels: pictures with more pixels are refused; None: only the format's own limit holds.
        allow_partial: also take a file that ends too early or is damaged, and decode what there is of it;
            `AecFile.missing` says what is not. Then a short file can become a large picture, as large as `max_pixels`
            allows.

    Raises:
        FormatError: the data is not a complete, undamaged .aec file (the subclasses say what is wrong); with
            `allow_partial`, there is not enough of it.
        OSError: the file cannot be read.
        TypeError: `data` is of another type.
    """
    return AecFile(data, max_pixels, allow_partial=allow_partial)


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
    allow_partial: bool = ...,
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
    allow_partial: bool = ...,
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
    allow_partial: bool = ...,
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
    allow_partial: bool = ...,
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
    allow_partial: bool = False,
    progress: Progress = lambda share: None,
) -> "Image.Image | np.ndarray | torch.Tensor":
    """Decompress a picture: `open`, and then `AecFile.decode`, which explains all arguments, results and errors.

    Args:
        data, max_pixels: as of `open`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        model: path or name of the model that wrote the file; None: it is found by the id in the file.
        output: "pil" (the default), "numpy" or "torch".
        region: (x, y, width, height) in pixels: only this part is decoded.
        scale: 1, 1/2, 1/4 or 1/8.
        fit: (width, height) that the picture is shrunk to fit into; not together with `scale`.
        depth: 8 or 16 bits a sample; None: the file's.
        allow_partial: as of `open`.
        progress: called with the share of the work that is done.
    """
    opened = AecFile(data, max_pixels, allow_partial=allow_partial)
    return opened.decode(device, model, output, region=region, scale=scale, fit=fit, depth=depth, progress=progress)


def read_metadata(data: Source) -> Metadata:
    """Return the colour profile, EXIF, XMP, code points and significant bits of a file. No model is needed.

    `data` and the errors are as in `open`; there is no limit on the size of the picture.
    """
    return AecFile(data, max_pixels=None).metadata


def inspect(data: Source) -> Header:
    """Parse and verify a file without decoding it, and return its header. No model is needed.

    `data` and the errors are as in `open`; there is no limit on the size of the picture.
    """
    return AecFile(data, max_pixels=None).header


def features(
    source: "Image.Image | np.ndarray | torch.Tensor | Pixels | AecFile | Source",
    model: str | os.PathLike | None = None,
) -> "np.ndarray":
    """Describe what a picture looks like by a vector, so that pictures can be compared: `features(a) @ features(b)`.

    This product is the similarity: 1 for equal pictures, about 0 for pictures that have nothing in common, at least -1.
    From 0.9 on (`codec.similarity.NEAR`) two pictures are nearly always copies of each other. Copies of another
    quality, size, brightness or contrast, gray copies, and copies cut by a few percent stay near to each other; turned
    and mirrored copies do not.

    Of an .aec file the symbols are decoded, but no network makes pixels of them. A picture is analysed as `encode` does
    it at quality 75, but nothing is entropy-coded; so are stored pictures. The features do not depend on the file's
    quality, size, tiles and model, but for small differences. Alpha does not count: colours where it is 0 are taken
    from their surroundings.

    Args:
        source: an .aec file, as `open` takes it or as it returns it (`AecFile`); or a picture, as `encode` takes it. A
            numpy array of one dimension is the bytes of a file.
        model: name or path of the model that wrote the file, or with which a picture is analysed; None: the file's own,
            or the default.

    Returns:
        float32 [309], of length 1.

    Raises:
        FormatError: the data is not a complete, undamaged .aec file (the subclasses say what is wrong).
        LimitError: the picture is too large.
        ModelError: the model that wrote the file is not available, or `model` is a different one.
        OSError: the file cannot be read.
        TypeError, ValueError: `source` is neither a file nor a picture.
    """
    from .coding import features, model_file, model_search, tiles
    from .picture.pixels import to_pixels

    file = _file_of(source)
    if file is not None and file.header.by_network:
        return features.of_file(model_file.load_for(file.header.model_id, model), file.layout)
    picture: Any = source if file is None else file.decode(output="numpy")
    pixels = to_pixels(picture)
    encoder = tiles.encoder_for(model_search.find(model), "cpu")
    return features.of_pixels(encoder, pixels, pixels.header(DEFAULT_QUALITY, encoder.file.id, TILE))


def _file_of(source: Any) -> AecFile | None:
    """Return the .aec file that `features` was given, or None for a picture. Arrays of one dimension are bytes."""
    from .picture.samples import Pixels

    if isinstance(source, AecFile):
        return source
    # Of the class, because an opened PIL image decodes its pixels when it is asked for its attribute.
    is_array = any(hasattr(type(source), k) for k in ("__array__", "__array_interface__", "__dlpack__"))
    if isinstance(source, Pixels) or is_array and getattr(source, "ndim", 2) != 1:
        return None
    return AecFile(source)

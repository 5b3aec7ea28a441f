"""`encode`, `decode`, `inspect`: what the package is imported for. torch is for GPUs."""

import math
import numbers
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, SupportsIndex

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
    from .coding.tiles import Encoder
    from .picture.pixels import Pixels

TILE = 1024
QUALITIES, EFFORTS, ALPHA_QUALITIES, BITS = range(1, 101), range(1, 10), range(0, 101), range(1, 17)
DEFAULT_QUALITY, DEFAULT_EFFORT = 75, 2
MAX_TARGET = 1 << 40  # bytes: no file is larger, and floats take it
SCALES = {1: 1, 1 / 2: 2, 1 / 4: 4, 1 / 8: 8}


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
    progress: Callable[[float], None] = lambda share: None,
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
    files = []
    if lossless or limit is not None and stored.may_take_less(pixels, limit):
        files.append(stored.lossless(pixels, effort, exact=lossless))
    if limit is not None:
        if source is not None and len(source) < limit:
            files.append(stored.original(pixels, source))
        files = [file for file in files if file and len(file) <= limit]  # what is exact has no need of more bytes
    if not files:
        from .coding import model_file, tiles

        encoder = tiles.encoder_for(model_file.find(model), resolve_device(device))
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


def _by_network(
    encoder: "Encoder", pixels: "Pixels", wanted: _Wanted, progress: Callable[[float], None]
) -> bytes | None:
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


def decode(
    data: bytes | bytearray | memoryview,
    device: str = "auto",
    model: str | os.PathLike | None = None,
    output: Literal["pil", "numpy", "torch"] = "pil",
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    *,
    region: tuple[int, int, int, int] | None = None,
    scale: float = 1,
    depth: Literal[8, 16] | None = None,
) -> "Image.Image | np.ndarray | torch.Tensor":
    """Decompress a picture.

    Args:
        data: the bytes of an .aec file.
        device: where the networks run, and where tensors are to be; the pixels are the same on all. "auto" takes a GPU
            only where the caller has imported torch, or for a tensor: to import it takes longer than to decode.
        model: path or name of the model that wrote the file; None: found by the id in the file.
        output: "pil": image of mode L, LA, RGB, RGBA or I;16, whose `info` has icc_profile, exif and xmp if the file
            has; "numpy": [H, W], or [H, W, 2|3|4] with alpha last; "torch": [1|2|3|4, H, W], on the device, which needs
            the extra `train`.
        max_pixels: refuse larger images; None: no limit but the format's.
        region: (x, y, width, height) in pixels of the whole picture: only this part, and little more, is decoded. Its
            pixels are those of the whole picture.
        scale: 1, 1/2, 1/4 or 1/8: means of squares of pixels, aligned to the picture's origin. Sides are rounded up.
            Of a stored picture's colours each counts as much as its alpha.
        depth: bits a sample, 8 (uint8) or 16 (uint16); None: the file's.

    Raises:
        FormatError: the data is not a whole, undamaged .aec file (its subclasses say what is wrong).
        ModelError: the model that wrote it is not at hand, or `model` is another one.
        BackendError, TypeError, ValueError: as in `encode`; a region that reaches outside the picture; "pil" for
            16-bit colour, for which Pillow has no mode.
    """
    if output not in ("pil", "numpy", "torch"):
        raise ValueError(f"output {output!r}: allowed are pil, numpy and torch")
    if scale not in SCALES:
        raise ValueError(f"scale {scale!r}: allowed are 1, 1/2, 1/4 and 1/8")
    if depth not in (None, 8, 16):
        raise ValueError(f"depth {depth!r}: allowed are 8 and 16 bits a sample")
    check_device(device)
    layout = format.read(data, max_pixels)
    header = layout.header if depth is None else replace(layout.header, depth=depth)
    tile = Tile(0, 0, header.width, header.height) if region is None else _region(region, header)
    shrink = SCALES[scale]
    from .picture.pixels import Pixels, to_numpy, to_pil

    if output == "torch":
        need("torch", 'output="torch"')  # and "auto" finds its GPU
    if header.stored:
        colours, alpha, metadata = _of_stored(layout, tile, shrink, header.depth)
    else:
        from .coding import decoder

        reader = decoder.load_for(header.model_id, model, resolve_device(device))
        colours, alpha = _of_network(layout, header, reader, tile, shrink, output == "torch")
        metadata = unpacked(layout.metadata)
    if output == "torch":
        return _tensor(colours, alpha, resolve_device(device))
    return (to_pil if output == "pil" else to_numpy)(Pixels(colours, alpha, metadata))


def _of_stored(
    layout: Layout, region: Tile, shrink: int, depth: int
) -> "tuple[np.ndarray, np.ndarray | None, Metadata]":
    from .picture import stored
    from .picture.pixels import aligned, box_means, to_depth

    whole = stored.decode(layout)
    wide = aligned(region, shrink, whole.width, whole.height)

    def inside(samples: "np.ndarray") -> "np.ndarray":
        some = samples[wide.y : wide.y + wide.height, wide.x : wide.x + wide.width]
        return some if some.shape == samples.shape else some.copy()  # which does not hold the whole

    colours, alpha = inside(whole.data), None if whole.alpha is None else inside(whole.alpha)
    colours = to_depth(box_means(colours, shrink, alpha), depth)
    if alpha is not None:
        alpha = to_depth(box_means(alpha[..., None], shrink)[..., 0], depth)
    return colours, alpha, whole.metadata


def _of_network(
    layout: Layout, header: Header, reader: "Decoder", region: Tile, shrink: int, on_device: bool
) -> "tuple[np.ndarray | torch.Tensor, np.ndarray | None]":
    """Colours as `decoder.decode` gives them, and alpha [h, w].

    Args:
        header: the file's, but for its depth, which is what the caller wants.
    """
    from .coding import decoder
    from .picture import alpha
    from .picture.pixels import aligned, box_means, to_depth

    colours = decoder.decode(reader, header, layout.payloads, region, shrink, on_device)
    channel = None
    if header.alpha:
        wide = aligned(region, shrink, header.width, header.height)
        channel = alpha.decode(layout.header, layout.alphas, wide)
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


def read_metadata(data: bytes | bytearray | memoryview) -> Metadata:
    """Colour profile, EXIF and XMP of a file, as `decode` gives them.

    Raises:
        FormatError: as `decode`.
    """
    return metadata_of(format.read(data, max_pixels=None))


def metadata_of(layout: Layout) -> Metadata:
    """Without sections a stored picture's is that of the file inside. Raises CorruptError for what is none."""
    if not layout.header.stored or layout.metadata:
        return unpacked(layout.metadata)
    from .picture import embedded

    width, height = layout.header.width, layout.header.height
    return reset_orientation(embedded.read_metadata(bytes(layout.payloads[0]), {(width, height), (height, width)}))


def inspect(data: bytes | bytearray | memoryview) -> Header:
    """Parse and verify a file without decoding it; needs neither torch nor a model.

    Raises:
        FormatError: as `decode`.
    """
    return format.read(data, max_pixels=None).header

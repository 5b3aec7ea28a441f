"""Pictures of any accepted kind <-> `Pixels`: numpy arrays, in which the channels come last."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from PIL import (
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)
from PIL.ImageFile import ImageFile

from ..container.format import DEFAULT_MAX_PIXELS, Header, Tile, check_size
from ..container.metadata import NONE, Metadata, as_info, orientation, reset_orientation
from . import carried, file_colour, jpeg_blocks, png_info, png_samples, samples16, tga, tiff
from .opening import opened
from .sample_bits import whole_range
from .tiff_directory import is_tiff

if TYPE_CHECKING:
    from torch import Tensor

CONVERTED = {"1": "L", "P": "RGB", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB"}
GRAY_MODES = ("1", "L", "LA", "La")
STRIP = 256  # rows that are converted at once
PROFILED = ("CMYK", "LAB")  # become sRGB by their profile, which is used up
DEEP_GRAY_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True)
class Pixels:
    """An upright picture.

    Both arrays may be views of any strides, read-only, and the caller's own: they are never written.

    Args:
        data: uint8 or uint16 [H, W, C], C = 1 (gray) or 3 (RGB).
        alpha: [H, W] of the same dtype, not premultiplied; None: opaque.
        metadata: what travels with it.
    """

    data: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata = NONE

    @property
    def gray(self) -> bool:
        return self.data.shape[2] == 1

    @property
    def depth(self) -> int:
        """Bits a sample, 8 or 16."""
        return 8 * self.data.itemsize

    @property
    def height(self) -> int:
        return self.data.shape[0]

    @property
    def width(self) -> int:
        return self.data.shape[1]

    def header(self, quality: int, model_id: bytes, tile: int = 1024) -> Header:
        """Of the file that a model makes of it."""
        return Header(
            self.width, self.height, quality, model_id, self.gray, tile, alpha=self.alpha is not None, depth=self.depth
        )


def _loaded(image: Image.Image) -> Image.Image:
    """A picture of any format but TIFF, its pixels read and all there, as Pillow has them.

    Raises:
        ValueError: 16 bits a sample in a format of which Pillow keeps 8; or pixels are missing in the file.
        Exception: whatever Pillow raises for a damaged file.
    """
    if isinstance(image, ImageFile) and image.tile:  # not read yet
        if isinstance(image, PngImagePlugin.PngImageFile):
            data = _file_of(image)
            png_samples.sample_stream(data)
            if (key := png_samples.transparent(data)) is not None:
                image.info["transparency"] = key  # Pillow's is on the scale of the file, and its samples are not
        elif isinstance(image, JpegImagePlugin.JpegImageFile):
            return jpeg_blocks.loaded(image, _file_of(image))
        elif isinstance(image, TgaImagePlugin.TgaImageFile):
            data = _file_of(image)
            image.load()
            return tga.with_meaning(image, data)
        elif _is_halved(image):
            raise ValueError(f"16 bits a sample in {image.format}: only PNG, TIFF and gray files of so many are read")
    image.load()
    return image


def _file_of(image: ImageFile) -> bytes:
    """The file of a picture that was opened but not yet read, and which is left as it was."""
    if image.fp is None:
        raise ValueError("cannot read the picture: its file was closed before its pixels were read")
    at = image.fp.tell()
    image.fp.seek(0)
    data = image.fp.read()
    image.fp.seek(at)
    return data


def _is_halved(image: ImageFile) -> bool:
    """Whether a picture that is not yet read has 16 bits a sample of which Pillow keeps 8."""
    args = image.tile[0].args
    rawmode = args if isinstance(args, str) else str(args[0]) if args else ""
    if image.mode in DEEP_GRAY_MODES or image.mode == "F":
        return False
    of_ppm = image.format == "PPM" and isinstance(args, tuple) and args[-1] > 255
    return rawmode.endswith((";16L", ";16B", ";16N")) or of_ppm  # without the letter: 5, 6, 5 bits


def _to_srgb(image: Image.Image) -> Image.Image:
    """CMYK by its profile, if it has a usable one, and LAB -> RGB; the profile is used up."""
    profile = image.info.get("icc_profile", b"")
    try:
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        # None, as it may give too, is what it gives if asked to work in place.
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")  # type: ignore[return-value]
    except (ImageCms.PyCMSError, OSError, TypeError):  # no profile, a damaged one, or one of another kind of picture
        if image.mode == "LAB":
            raise
        return image.convert("RGB")


def _converted(image: Image.Image, mode: str) -> np.ndarray:
    """uint8 [H, W] or [H, W, C], strip by strip: Pillow would hold a copy as large as the picture, or two."""
    channels = Image.getmodebands(mode)
    out = np.empty((image.height, image.width, channels) if channels > 1 else (image.height, image.width), np.uint8)
    for y in range(0, image.height, STRIP):
        bottom = min(y + STRIP, image.height)
        out[y:bottom] = np.asarray(image.crop((0, y, image.width, bottom)).convert(mode))
    return out


def _samples(image: Image.Image) -> np.ndarray:
    """A loaded picture -> uint8 or uint16 [H, W], or [H, W, 2|3|4] with alpha last."""
    if image.mode in DEEP_GRAY_MODES:
        samples = np.asarray(image)
        if image.mode == "I" and not 0 <= samples.min() <= samples.max() <= 65535:
            raise ValueError("image of mode I with samples outside 0..65535: only 16 bits can be encoded")
        samples = samples.astype(np.uint16)
        key = image.info.get("transparency")
        return samples if key is None else np.stack([samples, (samples != key) * np.uint16(65535)], 2)
    if image.has_transparency_data:
        return _converted(image, "LA" if image.mode in GRAY_MODES else "RGBA")
    if image.mode not in ("L", "RGB", *CONVERTED):
        allowed = ", ".join(("L", "LA", "RGB", "RGBA", "I;16", "PA", *CONVERTED))
        raise ValueError(f"images of mode {image.mode} cannot be encoded: allowed are {allowed}")
    if image.mode in PROFILED:
        return np.array(_to_srgb(image))
    return _converted(image, CONVERTED.get(image.mode, image.mode))


def _turned(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1..8: 5..8 swap the axes; then the first row or column is not where it should be."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def _split(samples: np.ndarray, metadata: Metadata = NONE) -> Pixels:
    """uint8 or uint16 [H, W] or [H, W, 1|2|3|4], alpha last; one that is opaque everywhere says nothing and is dropped.

    What it gives are views, unless the bytes of the samples lie in the other order than this machine's.
    """
    samples = np.asarray(samples, samples.dtype.newbyteorder("="))
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.shape[2] % 2:
        return Pixels(samples, None, metadata)
    alpha = samples[..., -1]
    opaque = bool((alpha == np.iinfo(alpha.dtype).max).all())
    return Pixels(samples[..., :-1], None if opaque else alpha, metadata)


def read(image: Image.Image, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> tuple[np.ndarray, Metadata]:
    """Samples, uint8 or uint16 [H, W] or [H, W, 1|2|3|4] with alpha last, and metadata, both as they are in the file.

    Raises:
        LimitError, ValueError: as `to_pixels`, also for whatever Pillow raises about a damaged file.
    """
    unread = bool(getattr(image, "tile", None))
    with _told():
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            if unread:
                return _read_tiff(_file_of(image), max_pixels)
            tiff.check_loaded(image)
        check_size(*image.size, max_pixels)
        # The other frames of a camera's multi-picture JPEG are previews and gain maps, not an animation; those of TIFF
        # files are looked at apart.
        if (n_frames := getattr(image, "n_frames", 1)) > 1 and image.format not in ("MPO", "TIFF"):
            raise ValueError(
                f"an animation of {n_frames} frames, or as many pages or layers: only single pictures can be encoded"
            )
        file_colour.note(image)
        if unread and isinstance(image, PngImagePlugin.PngImageFile) and samples16.is_deep(data := _file_of(image)):
            for key, value in png_info.info(data).items():  # what lies behind the pixels Pillow has not read
                image.info.setdefault(key, value)
            samples = samples16.read(data)
            return samples, carried.of(image, gray=samples.shape[2] == 2)  # which Pillow calls RGBA
        image = _loaded(image)
        return _samples(image), carried.of(image)  # after loading: PNG has it at the end


def read_file(data: bytes, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> tuple[np.ndarray, Metadata]:
    """The same of a file of any kind that Pillow reads, or of a TIFF file that it does not.

    Raises:
        UnidentifiedImageError: no reader knows it.
        LimitError, ValueError: as `read`.
    """
    if is_tiff(data):
        return _read_tiff(data, max_pixels)
    with _told():
        image = opened(data, max_pixels)
    return read(image, max_pixels)


def _read_tiff(data: bytes, max_pixels: int | None) -> tuple[np.ndarray, Metadata]:
    with _told():
        picture, metadata = tiff.read(data, max_pixels)
        return _samples(picture) if isinstance(picture, Image.Image) else picture, metadata


@contextmanager
def _told() -> Iterator[None]:
    """As ValueError what Pillow's readers raise for damaged files: struct.error, SyntaxError, OverflowError .."""
    try:
        yield
    except (ValueError, MemoryError, UnidentifiedImageError):
        raise
    except Exception as e:
        raise ValueError(f"cannot read the picture: {e}") from e


def upright(samples: np.ndarray, metadata: Metadata) -> Pixels:
    """What `read` gives, with the orientation that the metadata name applied and set to 1."""
    return _split(_turned(samples, orientation(metadata)), reset_orientation(metadata))


def of_file(data: bytes) -> Pixels:
    """The picture of a file. Raises what `read_file` does."""
    return upright(*read_file(data))


def to_pixels(image: "Image.Image | np.ndarray | Tensor | Pixels") -> Pixels:
    """Accept a picture.

    Args:
        image: one of
            PIL image: 1, L, LA, I;16, I (samples 0..65535), P, PA, RGB, RGBA, and to sRGB: CMYK (by its profile if it
            has one, which is then dropped), YCbCr, HSV, LAB. Premultiplied alpha is divided out. EXIF's or XMP's
            orientation is applied to the pixels and set to 1. What a file says of its colour without a profile becomes
            one (`carried.of`), of cICP and nclx as long as it is opened and not yet loaded. PNG and TIFF files should
            be opened but not yet loaded: in loading Pillow halves colour of 16 bits, and overlooks most of what a TIFF
            file says that its samples mean (`codec.picture.tiff`). From JPEG 2000 and AVIF files of more than 8 bits
            Pillow gives 8, and 8 are kept.
            numpy uint8 or uint16 [H, W] or [H, W, 1|2|3|4]; and the same of any other library whose arrays numpy can
            read, by `__array__` or DLPack.
            torch uint8 or uint16 [1|2|3|4, H, W]; of one on a GPU the samples are copied to the CPU.
            2 and 4 channels have alpha last. One that is opaque everywhere is dropped: the picture comes back without.
            Pixels, as this gives them.

    Raises:
        TypeError: another type or dtype, such as floats, or an array that numpy cannot read, such as one on a GPU.
        ValueError: another shape or mode, an animation, or a damaged file that was opened but not yet read.
        LimitError (a ValueError): it is too large; nothing was copied.
    """
    if isinstance(image, Pixels):
        check_size(image.width, image.height)
        return image
    if isinstance(image, Image.Image):
        pixels = upright(*read(image))
    elif _is_tensor(image):
        if str(image.dtype) not in ("torch.uint8", "torch.uint16"):
            raise TypeError(f"torch image of dtype {image.dtype}: must be torch.uint8 or torch.uint16")
        if image.ndim != 3 or not 1 <= image.shape[0] <= 4:
            raise ValueError(f"torch image of shape {list(image.shape)}: must be [1|2|3|4, H, W]")
        check_size(image.shape[2], image.shape[1])
        pixels = _split(image.permute(1, 2, 0).cpu().numpy())
    else:
        array, kind = _as_numpy(image), type(image).__name__
        if array.dtype.kind != "u" or array.itemsize > 2:
            raise TypeError(f"{kind} image of dtype {array.dtype}: must be uint8 or uint16")
        if array.ndim not in (2, 3) or array.ndim == 3 and not 1 <= array.shape[2] <= 4:
            raise ValueError(f"{kind} image of shape {list(array.shape)}: must be [H, W] or [H, W, 1|2|3|4]")
        check_size(array.shape[1], array.shape[0])
        pixels = _split(array)
    if pixels.data.size == 0:
        raise ValueError(f"image of {pixels.width}x{pixels.height}: both sides must be at least 1")
    return pixels


def of_bits(pixels: Pixels, bits: int) -> Pixels:
    """The picture whose samples, alpha too, are integers of so many bits, here over the whole range of their type.

    Raises:
        ValueError: more bits than the samples have, or a sample that takes more.
    """
    if bits > pixels.depth:
        raise ValueError(f"bits {bits}: samples of uint{pixels.depth} have {pixels.depth} at most")

    def spread(samples: np.ndarray) -> np.ndarray:
        if (most := int(samples.max())) >= 2**bits:
            raise ValueError(f"bits {bits}: samples up to {2**bits - 1} are allowed, and there is {most}")
        out = np.empty_like(samples)
        for y in range(0, len(samples), STRIP):
            out[y : y + STRIP] = whole_range(samples[y : y + STRIP], bits)
        return out

    colours = spread(pixels.data)
    if pixels.alpha is None:
        return replace(pixels, data=colours)
    return _split(np.concatenate([colours, spread(pixels.alpha)[..., None]], 2), pixels.metadata)


def _is_tensor(image: object) -> "TypeGuard[Tensor]":
    return isinstance(image, getattr(sys.modules.get("torch"), "Tensor", ()))  # who has one has imported torch


def _as_numpy(image: Any) -> np.ndarray:
    """An array of any library, which shares its memory where that is possible. Raises TypeError if it is none."""
    if isinstance(image, np.ndarray):
        return image
    kind = type(image).__name__
    if not (hasattr(image, "__array__") or hasattr(image, "__dlpack__")):
        raise TypeError(f"image of type {kind}: must be a PIL image, an array or a torch tensor")
    try:
        return np.asarray(image) if hasattr(image, "__array__") else np.from_dlpack(image)
    except (TypeError, ValueError, RuntimeError, BufferError) as e:  # such as of an array on a GPU
        raise TypeError(f"image of type {kind}: numpy cannot read it: {e}") from e


def as_rgb(samples: np.ndarray) -> np.ndarray:
    """[H, W, 1|3] -> [H, W, 3]: itself, or a view that has the gray samples three times."""
    return np.broadcast_to(samples, (*samples.shape[:2], 3)) if samples.shape[2] == 1 else samples


def to_depth(samples: np.ndarray, depth: int) -> np.ndarray:
    """uint8 or uint16 [H, W, ..] -> uint8 (depth 8) or uint16 (16), the whole range of the one on that of the other."""
    if samples.itemsize * 8 == depth:
        return samples
    out = np.empty(samples.shape, np.uint8 if depth == 8 else np.uint16)
    for y in range(0, samples.shape[0], STRIP):
        wide = samples[y : y + STRIP].astype(np.uint32)
        out[y : y + STRIP] = wide * 257 if depth == 16 else (wide * 255 + 32767) // 65535
    return out


def aligned(region: Tile, shrink: int, width: int, height: int) -> Tile:
    """A region widened to whole squares of side `shrink` from the origin, within the picture."""
    x, y = region.x // shrink * shrink, region.y // shrink * shrink
    right, bottom = (-(-end // shrink) * shrink for end in (region.x + region.width, region.y + region.height))
    return Tile(x, y, min(right, width) - x, min(bottom, height) - y)


def box_means(samples: np.ndarray, shrink: int, alpha: np.ndarray | None = None) -> np.ndarray:
    """uint8 or uint16 [h, w, C] of an aligned region -> [ceil(h / shrink), ceil(w / shrink), C]: means of squares.

    Those at the right and bottom are of as many samples as there are. Halves are rounded to even.

    Args:
        alpha: [h, w]: of colours, what each counts; those that cannot be seen count where there are no others.
    """
    if shrink == 1:
        return samples

    def sums(whole: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        # In float32, one sample of each square after another, whatever the machine: with weights of 16 bits, where they
        # are rounded, the order counts. The others are exact, as they stay below 2^24.
        out = np.zeros((-(-whole.shape[0] // shrink), -(-whole.shape[1] // shrink), whole.shape[2]), np.float32)
        for i, j in np.ndindex(shrink, shrink):
            some = whole[i::shrink, j::shrink]
            if weights is not None:
                some = some * weights[i::shrink, j::shrink].astype(np.float32)
            out[: some.shape[0], : some.shape[1]] += some
        return out

    rows, columns = (
        np.minimum(shrink, size - np.arange(0, size, shrink)).astype(np.float32) for size in samples.shape[:2]
    )
    areas = (rows[:, None] * columns)[..., None]
    means = sums(samples) / areas
    if alpha is not None:
        seen = alpha[..., None]
        share = sums(seen) / areas
        means = np.divide(sums(samples, seen) / areas, share, out=means, where=share > 0)
    return np.rint(means).astype(samples.dtype)


def to_numpy(pixels: Pixels) -> np.ndarray:
    """uint8 or uint16 [H, W] if gray and opaque, else [H, W, 2|3|4]; contiguous, a view of pixels.data if it can be."""
    if pixels.alpha is not None:
        out = np.empty((pixels.height, pixels.width, pixels.data.shape[2] + 1), pixels.data.dtype)
        out[..., :-1], out[..., -1] = pixels.data, pixels.alpha
        return out
    return np.ascontiguousarray(pixels.data[..., 0] if pixels.gray else pixels.data)


def to_pil(pixels: Pixels) -> Image.Image:
    """L, LA, RGB, RGBA or I;16, the metadata in `info` where Pillow's savers look for it.

    Raises:
        ValueError: 16 bits a sample and more than one channel, for which Pillow has no mode.
    """
    if pixels.depth == 16 and (not pixels.gray or pixels.alpha is not None):
        raise ValueError('Pillow has no mode for 16 bits in several channels: ask for output="numpy", or for depth=8')
    image = Image.fromarray(to_numpy(pixels))
    image.info.update(as_info(pixels.metadata))
    return image

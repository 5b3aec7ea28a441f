"""Conversion of pictures of any accepted kind to `Pixels`."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from PIL import (
    AvifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)
from PIL.ImageFile import ImageFile

from ..container.format import DEFAULT_MAX_PIXELS, check_size
from ..container.metadata import NONE, Metadata, orientation, reset_orientation
from . import (
    boxes,
    carried,
    deep_avif,
    file_colour,
    jpeg_blocks,
    png_info,
    png_samples,
    reduced,
    samples16,
    tga,
    tiff,
)
from .opening import UNUSED, opened
from .sample_bits import whole_range
from .samples import STRIP, Pixels
from .tiff_directory import is_tiff

if TYPE_CHECKING:
    from torch import Tensor

# Modes of Pillow that are converted, and the mode that they are converted to.
CONVERTED = {"1": "L", "P": "RGB", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB"}
GRAY_MODES = ("1", "L", "LA", "La")
_SCALED = "; scale other numbers to one of these first, for aec does not know their range"
PROFILED = ("CMYK", "LAB")  # modes that are converted to sRGB by a colour profile, which is then dropped


def _loaded(image: Image.Image) -> Image.Image:
    """Load the pixels of a picture of any format except TIFF, and check that none are missing.

    Raises:
        ValueError: pixels are missing in the file; or Pillow would silently change samples (`reduced.refuse`).
        Exception: any error that Pillow raises for a damaged file.
    """
    if isinstance(image, ImageFile) and image.tile:  # the pixels are not loaded yet
        if image.format in UNUSED:
            raise ValueError(
                f"a picture that Pillow has opened as {image.format} is not loaded: Pillow may run programs"
            )
        if isinstance(image, PngImagePlugin.PngImageFile):
            data = _file_of(image)
            png_samples.sample_stream(data)
            if (key := png_samples.transparent(data)) is not None:
                image.info["transparency"] = key  # Pillow's value does not have the range of its samples
        elif isinstance(image, JpegImagePlugin.JpegImageFile):
            return jpeg_blocks.loaded(image, _file_of(image))
        elif isinstance(image, TgaImagePlugin.TgaImageFile):
            data = _file_of(image)
            image.load()
            return tga.with_meaning(image, data)
        else:
            reduced.refuse(image, data := _file_of(image))
            if image.format == "JPEG2000" and image.mode in reduced.DEEP_GRAY_MODES:
                image.load()
                return _in_range(image, boxes.jpeg2000_bits(data))
    image.load()
    return image


def _in_range(image: Image.Image, bits: int) -> Image.Image:
    """Scale the samples of a loaded gray JPEG 2000 picture to the whole range. Pillow has shifted them to the left."""
    if bits >= 16:
        return image
    shifted = np.asarray(image).astype(np.uint16)
    made = Image.fromarray(whole_range(shifted >> 16 - bits, bits))
    made.info, made.format = image.info | {"significant_bits": bits}, image.format
    return made


def _file_of(image: ImageFile) -> bytes:
    """Return the bytes of the file of an opened picture whose pixels are not loaded. The file's position is restored.

    Raises ValueError if the file was closed.
    """
    if image.fp is None:
        raise ValueError("cannot read the picture: its file was closed before its pixels were read")
    at = image.fp.tell()
    image.fp.seek(0)
    data = image.fp.read()
    image.fp.seek(at)
    return data


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert to sRGB: LAB, or another mode by the picture's profile; without a usable one by Pillow's formula."""
    profile = image.info.get("icc_profile", b"")
    try:
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        # It returns None only if it is asked to work in place.
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")  # type: ignore[return-value]
    except (ImageCms.PyCMSError, OSError, TypeError):  # a missing, damaged or wrong kind of profile
        if image.mode == "LAB":
            raise
        return image.convert("RGB")


def _converted(image: Image.Image, mode: str) -> np.ndarray:
    """Convert a picture to a mode, and return uint8 [H, W] or [H, W, C].

    This is done in strips, because Pillow would make one or two temporary copies of the whole picture.
    """
    channels = Image.getmodebands(mode)
    out = np.empty((image.height, image.width, channels) if channels > 1 else (image.height, image.width), np.uint8)
    for y in range(0, image.height, STRIP):
        bottom = min(y + STRIP, image.height)
        out[y:bottom] = np.asarray(image.crop((0, y, image.width, bottom)).convert(mode))
    return out


def _samples(image: Image.Image) -> np.ndarray:
    """Return the samples of a loaded picture: uint8 or uint16 [H, W], or [H, W, 2|3|4] with alpha last.

    Raises ValueError if the mode, or the range of its samples, is not supported.
    """
    if image.mode in reduced.DEEP_GRAY_MODES:
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
        why = ", for their samples are floating point" if image.mode == "F" else ""
        raise ValueError(f"images of mode {image.mode} cannot be encoded{why}: allowed are {allowed}")
    if image.mode in PROFILED:
        return np.array(to_srgb(image))
    return _converted(image, CONVERTED.get(image.mode, image.mode))


def _turned(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1..8, so that the picture is upright. 5..8 swap the axes, before axes are flipped."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def _split(samples: np.ndarray, metadata: Metadata = NONE) -> Pixels:
    """Split samples uint8 or uint16 [H, W] or [H, W, 1|2|3|4], with alpha last, into colours and alpha.

    An alpha channel that is opaque everywhere is dropped. The results are views, unless the samples have another byte
    order than this machine.
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
    """Read the samples and the metadata of a PIL image. The orientation is not applied.

    Returns:
        (samples uint8 or uint16 [H, W] or [H, W, 1|2|3|4] with alpha last, metadata)

    Raises:
        LimitError, ValueError: as in `to_pixels`. Errors of Pillow about damaged files become ValueError.
    """
    unread = bool(getattr(image, "tile", None))
    with _told():
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            if unread:
                return _read_tiff(_file_of(image), max_pixels)
            tiff.check_loaded(image)
        check_size(*image.size, max_pixels)
        # The other frames of a camera's multi-picture JPEG are previews and gain maps, not an animation. The frames of
        # TIFF files were checked above.
        if (n_frames := getattr(image, "n_frames", 1)) > 1 and image.format not in ("MPO", "TIFF"):
            raise ValueError(
                f"an animation of {n_frames} frames, or as many pages or layers: only single pictures can be encoded"
            )
        file_colour.note(image)
        if unread and isinstance(image, PngImagePlugin.PngImageFile) and samples16.is_deep(data := _file_of(image)):
            for key, value in png_info.info(data).items():  # Pillow has not read chunks behind the pixels
                image.info.setdefault(key, value)
            samples = samples16.read(data)
            return samples, carried.of(image, gray=samples.shape[2] == 2, depth=16)  # Pillow says RGBA of 8 bits
        if (
            unread
            and isinstance(image, AvifImagePlugin.AvifImageFile)
            and (bits := boxes.avif_bits(data := _file_of(image))) > 8
        ):
            samples = deep_avif.read(data, bits)
            if samples.shape[1::-1] != image.size:
                raise ValueError(f"an AVIF file of {image.size} pixels that decodes to {samples.shape[1::-1]}")
            image.info["significant_bits"] = bits
            return samples, carried.of(image, gray=samples.ndim == 2 or samples.shape[2] == 2, depth=16)
        reduced.refuse_heif(image)
        image = _loaded(image)
        return _samples(image), carried.of(image)  # metadata last: in PNG files some is behind the pixels


def read_file(data: bytes, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> tuple[np.ndarray, Metadata]:
    """Read the samples and the metadata of a file, as `read` does. TIFF files may also be of kinds unknown to Pillow.

    Raises:
        UnidentifiedImageError: no reader recognises the file.
        LimitError, ValueError: as in `read`.
    """
    if is_tiff(data):
        return _read_tiff(data, max_pixels)
    with _told():
        image = opened(data, max_pixels)
    samples, metadata = read(image, max_pixels)
    if image.format == "XBM":  # bits that are set are ink, so black; Pillow makes them white
        samples = 255 - samples
    return samples, metadata


def _read_tiff(data: bytes, max_pixels: int | None) -> tuple[np.ndarray, Metadata]:
    with _told():
        picture, metadata = tiff.read(data, max_pixels)
        return _samples(picture) if isinstance(picture, Image.Image) else picture, metadata


@contextmanager
def _told() -> Iterator[None]:
    """Context manager: turns the errors of Pillow's readers for damaged files (struct.error and so on) into ValueError.

    ValueError, MemoryError and UnidentifiedImageError are passed on.
    """
    try:
        yield
    except (ValueError, MemoryError, UnidentifiedImageError):
        raise
    except Exception as e:
        raise ValueError(f"cannot read the picture: {str(e) or 'its file is damaged'}") from e


def upright(samples: np.ndarray, metadata: Metadata) -> Pixels:
    """Make `Pixels` from the results of `read`: the orientation in the metadata is applied and set to 1."""
    return _split(_turned(samples, orientation(metadata)), reset_orientation(metadata))


def of_file(data: bytes) -> Pixels:
    """Read the picture of a file. Raises the errors of `read_file`."""
    return upright(*read_file(data))


def to_pixels(image: "Image.Image | np.ndarray | Tensor | Pixels") -> Pixels:
    """Convert a picture of any accepted kind to `Pixels`.

    Args:
        image: one of these:

            A PIL image of mode 1, L, LA, I;16, I (with samples 0..65535), P, PA, RGB or RGBA; or of mode CMYK, YCbCr,
            HSV or LAB, which is converted to sRGB (CMYK by its profile, if it has one, which is then dropped).
            Premultiplied alpha is divided out. The orientation in EXIF or XMP is applied to the pixels and set to 1.
            Code points of colour are kept, and of another description without a profile one is made (`carried.of`). For
            cICP and nclx this is only possible if the pixels are not loaded yet. PNG and TIFF files should be opened
            but not loaded, because Pillow reduces 16-bit colour to 8 bits when it loads them, and ignores most fields
            that affect the meaning of a TIFF file's samples (`codec.picture.tiff`). So should AVIF files: those of 10
            and 12 bits a sample are read with all of them, by imagecodecs (the extra `deep`), and refused without it.

            A numpy array uint8 or uint16 [H, W] or [H, W, 1|2|3|4], or such an array of another library that numpy can
            read by `__array__` or DLPack.

            A torch tensor uint8 or uint16 [1|2|3|4, H, W]. If it is on a GPU, the samples are copied to the CPU.

            `Pixels`, which is returned as it is.

            With 2 and 4 channels, the last one is alpha. It is dropped if it is opaque everywhere.

    Raises:
        TypeError: another type or dtype, such as floats, or an array that numpy cannot read, such as one on a GPU.
        ValueError: another shape or mode, an animation, a damaged file, or one whose samples Pillow would change.
        LimitError (a ValueError): the picture is too large; it was not copied.
    """
    if isinstance(image, Pixels):
        check_size(image.width, image.height)
        return image
    if isinstance(image, Image.Image):
        pixels = upright(*read(image))
    elif _is_tensor(image):
        if str(image.dtype) not in ("torch.uint8", "torch.uint16"):
            raise TypeError(f"torch image of dtype {image.dtype}: must be torch.uint8 or torch.uint16{_SCALED}")
        if image.ndim != 3 or not 1 <= image.shape[0] <= 4:
            raise ValueError(f"torch image of shape {list(image.shape)}: must be [1|2|3|4, H, W]")
        check_size(image.shape[2], image.shape[1])
        pixels = _split(image.permute(1, 2, 0).cpu().numpy())
    else:
        array, kind = _as_numpy(image), type(image).__name__
        if array.dtype.kind != "u" or array.itemsize > 2:
            raise TypeError(f"{kind} image of dtype {array.dtype}: must be uint8 or uint16{_SCALED}")
        if array.ndim not in (2, 3) or array.ndim == 3 and not 1 <= array.shape[2] <= 4:
            raise ValueError(f"{kind} image of shape {list(array.shape)}: must be [H, W] or [H, W, 1|2|3|4]")
        check_size(array.shape[1], array.shape[0])
        pixels = _split(array)
    if pixels.data.size == 0:
        raise ValueError(f"image of {pixels.width}x{pixels.height}: both sides must be at least 1")
    return pixels


def of_bits(pixels: Pixels, bits: int) -> Pixels:
    """Scale the samples of a picture, alpha included, from integers of `bits` bits to the whole range of their type.

    Raises:
        ValueError: `bits` is more than the type has, or a sample needs more bits.
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
    metadata = replace(pixels.metadata, bits=bits if bits < pixels.depth else None)
    if pixels.alpha is None:
        return replace(pixels, data=colours, metadata=metadata)
    return _split(np.concatenate([colours, spread(pixels.alpha)[..., None]], 2), metadata)


def _is_tensor(image: object) -> "TypeGuard[Tensor]":
    # If torch was not imported, the image cannot be a tensor.
    return isinstance(image, getattr(sys.modules.get("torch"), "Tensor", ()))


def _as_numpy(image: Any) -> np.ndarray:
    """Convert an array of any library to numpy, without copying if possible. Raises TypeError if it is not possible."""
    if isinstance(image, np.ndarray):
        return image
    kind = type(image).__name__
    if not (hasattr(image, "__array__") or hasattr(image, "__dlpack__")):
        raise TypeError(f"image of type {kind}: must be a PIL image, an array or a torch tensor")
    try:
        return np.asarray(image) if hasattr(image, "__array__") else np.from_dlpack(image)
    except (TypeError, ValueError, RuntimeError, BufferError) as e:  # such as of an array on a GPU
        raise TypeError(f"image of type {kind}: numpy cannot read it: {e}") from e

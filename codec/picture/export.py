"""Writes a decoded picture to a file format that is chosen by the file name, with the metadata that it supports."""

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..container.metadata import DAMAGES, Cicp, Metadata, as_info
from ..extras import need
from ..io import OutputError

if TYPE_CHECKING:
    from typing import TypeGuard

    import numpy as np
    from PIL import Image

NPY = "NPY"
WITH_ALPHA = {"PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif", "TGA": ".tga", NPY: ".npy"}
DEEP = {"PNG": ".png", "TIFF": ".tif", "AVIF": ".avif", NPY: ".npy"}  # can hold more than 8 bits a sample
# Formats that Pillow writes without changing any sample. A test tries all formats that Pillow can write.
EXACT = {
    **{"PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", NPY: ".npy", "BMP": ".bmp", "DIB": ".dib", "PPM": ".ppm"},
    **{"TGA": ".tga", "QOI": ".qoi", "JPEG2000": ".jp2", "PCX": ".pcx", "SGI": ".sgi", "DDS": ".dds", "IM": ".im"},
}
# Lossy formats, which are written if the user asks for them.
LOSSY = {"JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif"}
_HIGH_QUALITY = 95  # of lossy formats, if the user names none
XMP_TAG = 700
# Tags that describe the samples of a TIFF file (TIFF 6.0). EXIF that came from a TIFF file may have them, but they
# would be wrong in another file.
_LAYOUT_TAGS = {*range(254, 267), *range(273, 282), 284, 317, *range(320, 326), *range(338, 342), *range(512, 522)}


def kind_of(path: Path | None, default: str = ".png") -> str:
    """Return Pillow's name of the format with this suffix, or NPY.

    Args:
        path: None: standard output, for which the default suffix counts.
        default: a suffix.

    Raises:
        OutputError: pictures cannot be written in such a format.
    """
    from PIL import Image

    suffix = default if path is None else path.suffix.lower()
    Image.preinit()  # only the common formats; importing all takes 60 ms, and is done below if it is needed
    if suffix == ".npy":
        return NPY
    kind = Image.EXTENSION.get(suffix) or Image.registered_extensions().get(suffix)
    if kind is None or kind not in Image.SAVE:
        raise OutputError(f"{path}: pictures of kind {suffix or '(no suffix)'} cannot be written; try .png")
    return kind


def check(
    kind: str, gray: bool, alpha: bool, depth: int, exact: bool, quality: int | None = None
) -> Literal["pil", "numpy"]:
    """Check that a format can hold a picture, and return the `output` of `codec.decode` that it needs.

    Args:
        kind: the format, from `kind_of`.
        gray, alpha, depth: as in the picture's header.
        exact: whether the picture was stored exactly and must not change. JPEG is allowed all the same.
        quality: as in `encoded`.

    Raises:
        OutputError: the format would drop the alpha channel or half of the bits, or change the picture; or a quality is
            given, and the format has none.
        MissingPackageError: it is AVIF with more than 8 bits, and imagecodecs is not installed.
    """
    if quality is not None and kind not in LOSSY:
        raise OutputError(f"{kind} has no quality to choose: {_among(LOSSY)} have one")
    if alpha and kind not in WITH_ALPHA:
        but = "AVIF" if exact else ""
        raise OutputError(
            f"{kind} is written without an alpha channel, and the picture has one; {_try(WITH_ALPHA, but)}"
        )
    deep_colour = depth == 16 and (alpha or not gray)
    if depth == 16 and kind not in DEEP:
        what = "16-bit colour" if deep_colour else "16 bits a sample"
        raise OutputError(f"{what} cannot be written as {kind}; {_try(DEEP)}, or --depth 8")
    if kind not in {*EXACT, *LOSSY}:
        most = {k: EXACT[k] for k in ("PNG", "WEBP", "TIFF", NPY)}
        raise OutputError(f"{kind} would change the picture, its size or its colours; {_try(most)}, or .jpg")
    if kind == "AVIF" and exact:
        raise OutputError(f"AVIF would change the picture, which was kept exactly; {_try(WITH_ALPHA, but=kind)}")
    if kind == "AVIF" and depth == 16:
        need("imagecodecs", "AVIF with more than 8 bits a sample (--depth 8 makes 8)", "deep")
        return "numpy"
    return "numpy" if deep_colour or kind == NPY else "pil"


def _among(kinds: dict[str, str], word: str = "and") -> str:
    *most, last = kinds.values()
    return f"{', '.join(most)} {word} {last}"


def _try(kinds: dict[str, str], but: str = "") -> str:
    return "try " + _among({kind: suffix for kind, suffix in kinds.items() if kind != but}, "or")


def encoded(
    picture: "Image.Image | np.ndarray", kind: str, metadata: Metadata, exact: bool, quality: int | None = None
) -> bytes:
    """Encode a picture in a format, and return the bytes of the file.

    Args:
        picture: the result of `codec.decode`, with the output that `check` returned.
        kind: the format, from `kind_of`.
        metadata: written as far as the format supports it.
        exact: as in `check`; WebP is then lossless, and larger.
        quality: 1..100, for JPEG, WebP and AVIF; None: 95, or lossless WebP if `exact`.

    Raises:
        OutputError: the picture exceeds a limit of the format; or the EXIF block is damaged, and Pillow must parse it
            to write this format; or the format would lose metadata silently, as AVIF with more than 8 bits.
        MissingPackageError: as in `check`.
    """
    if kind == NPY:
        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, np.asarray(picture))
        return buffer.getvalue()
    from PIL import Image

    if isinstance(picture, Image.Image):
        channels, depth = len(picture.getbands()), 16 if picture.mode.startswith("I") else 8
    else:
        channels, depth = 1 if picture.ndim == 2 else picture.shape[2], 16
    metadata = _for_kind(metadata, kind, channels < 3, depth)
    try:
        if isinstance(picture, Image.Image):
            return _by_pillow(picture, kind, metadata, exact, quality)
        return _deep(picture, kind, metadata, quality)
    except (OSError, *DAMAGES) as e:
        damaged = metadata.exif and not isinstance(e, (OSError, ValueError))  # limits of a format
        fault = "too long" if "too long" in str(e) else "damaged" if damaged else None
        hint = f"; --metadata none leaves out what may be {fault}" if fault else ""
        height, width = picture.size[::-1] if isinstance(picture, Image.Image) else picture.shape[:2]
        raise OutputError(f"cannot write a picture of {width}x{height} as {kind}: {e}{hint}") from e


def _for_kind(metadata: Metadata, kind: str, gray: bool, depth: int) -> Metadata:
    """Return the metadata with the profile that a file of this kind needs, and no bits beyond its depth.

    Where a profile counts more than code points, or is all there is, it must say what the code points say.
    """
    from . import code_points

    metadata = code_points.settled(metadata, gray, depth)
    if kind == "PNG" or metadata.cicp is None:
        return metadata
    made = code_points.profile(metadata.cicp, gray)
    icc = metadata.icc if code_points.of_profile(metadata.icc) == metadata.cicp else made
    return replace(metadata, icc=None if kind == "AVIF" and _in_nclx(metadata.cicp) and icc == made else icc)


def _by_pillow(picture: "Image.Image", kind: str, metadata: Metadata, exact: bool, quality: int | None) -> bytes:
    picture.info = {}  # some of Pillow's writers would take metadata from here that `metadata` leaves out
    buffer = io.BytesIO()
    options = _metadata_options(kind, metadata, len(picture.getbands()))
    picture.save(buffer, kind, **_quality_options(kind, exact, quality), **options)
    made = buffer.getvalue()
    return _with_nclx(made, metadata.cicp) if kind == "AVIF" and _in_nclx(metadata.cicp) else made


def _deep(samples: "np.ndarray", kind: str, metadata: Metadata, quality: int | None) -> bytes:
    """Encode samples of 16 bits where Pillow is not enough: as AVIF, or as TIFF or PNG of several channels."""
    if kind == "AVIF":
        from . import deep_avif

        return deep_avif.write(samples, metadata, quality or _HIGH_QUALITY)
    if kind == "TIFF":
        from . import deep_tiff

        return deep_tiff.write(samples, metadata.icc, _metadata_options(kind, metadata, samples.shape[2]).get("exif"))
    from . import samples16

    return samples16.write_png(samples, metadata)


def _quality_options(kind: str, exact: bool, quality: int | None) -> dict:
    if kind == "PNG":
        # What a network made is noise to deflate: at level 2, Kodak pictures have 1.5 % more bytes than at Pillow's own
        # level, 6, in 0.3 of the time. Exact pictures are often drawings, which level 6 makes 10 % smaller.
        return {} if exact else {"compress_level": 2}
    if kind == "WEBP" and exact and quality is None:
        return {"lossless": True, "exact": True}
    # By default, Pillow marks QOI files as linear light.
    return {"quality": quality or _HIGH_QUALITY} if kind in LOSSY else {"colorspace": "sRGB"} if kind == "QOI" else {}


def _in_nclx(cicp: Cicp | None) -> "TypeGuard[Cicp]":
    """Return whether an AVIF file can hold these code points: they are of the full range, as the samples there are."""
    return cicp is not None and cicp[3] == 1


def _with_nclx(avif: bytes, cicp: Cicp) -> bytes:
    """Put code points into an AVIF file that Pillow made: into its colr box, which counts more than the AV1 stream.

    Matrix and range stay, because they say how Pillow made Y, Cb and Cr of the samples.
    """
    at = avif.index(b"colrnclx") + 8
    return avif[:at] + struct.pack(">HH", *cicp[:2]) + avif[at + 4 :]


def _metadata_options(kind: str, metadata: Metadata, channels: int) -> dict:
    """Return the metadata as options of `Image.save`."""
    from PIL import Image, PngImagePlugin

    if kind not in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
        return {}
    options = as_info(metadata)
    xmp, cicp, bits = (options.pop(key, None) for key in ("xmp", "cicp", "significant_bits"))
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        if cicp:
            options["pnginfo"].add(b"cICP", bytes(cicp))
        if bits:
            options["pnginfo"].add(b"sBIT", bytes([bits] * channels))
        if xmp:
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    elif kind == "TIFF":
        tags = Image.Exif()
        tags.load(options.pop("exif", b""))
        for tag in _LAYOUT_TAGS & set(tags):
            del tags[tag]
        if xmp:
            tags[XMP_TAG] = xmp
        if tags:
            options["exif"] = tags
    elif kind == "JPEG" and xmp:
        from . import extended_xmp

        options["xmp"], options["extra"] = extended_xmp.split(xmp)
    elif xmp:
        options["xmp"] = xmp
    return options

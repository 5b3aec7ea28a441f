"""Writes a decoded picture to a file format that is chosen by the file name, with the metadata that it supports."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..container.metadata import DAMAGES, Metadata, as_info
from ..io import OutputError
from . import extended_xmp

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

NPY = "NPY"
WITH_ALPHA = {"PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif", "TGA": ".tga", NPY: ".npy"}
DEEP_GRAY = {"PNG": ".png", "TIFF": ".tif", NPY: ".npy"}
DEEP_COLOUR = {"PNG": ".png", NPY: ".npy"}
# Formats that Pillow writes without changing any sample. A test tries all formats that Pillow can write.
EXACT = {
    **{"PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", NPY: ".npy", "BMP": ".bmp", "DIB": ".dib", "PPM": ".ppm"},
    **{"TGA": ".tga", "QOI": ".qoi", "JPEG2000": ".jp2", "PCX": ".pcx", "SGI": ".sgi", "DDS": ".dds", "IM": ".im"},
}
# Lossy formats, which are written if the user asks for them.
LOSSY = {"JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif"}
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
    """
    if quality is not None and kind not in LOSSY:
        raise OutputError(f"{kind} has no quality to choose: {_among(LOSSY)} have one")
    if alpha and kind not in WITH_ALPHA:
        but = "AVIF" if exact else ""
        raise OutputError(
            f"{kind} is written without an alpha channel, and the picture has one; {_try(WITH_ALPHA, but)}"
        )
    deep_colour = depth == 16 and (alpha or not gray)
    able = DEEP_COLOUR if deep_colour else DEEP_GRAY
    if depth == 16 and kind not in able:
        what = "16-bit colour" if deep_colour else "16 bits a sample"
        raise OutputError(f"{what} cannot be written as {kind}; {_try(able)}, or --depth 8")
    if kind not in {*EXACT, *LOSSY}:
        most = {k: EXACT[k] for k in ("PNG", "WEBP", "TIFF", NPY)}
        raise OutputError(f"{kind} would change the picture, its size or its colours; {_try(most)}, or .jpg")
    if kind == "AVIF" and exact:
        raise OutputError(f"AVIF would change the picture, which was kept exactly; {_try(WITH_ALPHA, but=kind)}")
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
            to write this format.
    """
    buffer = io.BytesIO()
    if kind == NPY:
        import numpy as np

        np.save(buffer, np.asarray(picture))
        return buffer.getvalue()
    from PIL import Image

    if not isinstance(picture, Image.Image):
        from . import samples16

        return samples16.write_png(picture, metadata)
    picture.info = {}  # some of Pillow's writers would take metadata from here that `metadata` leaves out
    try:
        picture.save(buffer, kind, **_quality_options(kind, exact, quality), **_metadata_options(kind, metadata))
    except (OSError, *DAMAGES) as e:
        damaged = metadata.exif and not isinstance(e, (OSError, ValueError))  # limits of a format
        fault = "too long" if "too long" in str(e) else "damaged" if damaged else None
        hint = f"; --metadata none leaves out what may be {fault}" if fault else ""
        raise OutputError(f"cannot write a picture of {picture.width}x{picture.height} as {kind}: {e}{hint}") from e
    return buffer.getvalue()


def _quality_options(kind: str, exact: bool, quality: int | None) -> dict:
    if kind == "WEBP" and exact and quality is None:
        return {"lossless": True, "exact": True}
    # By default, Pillow marks QOI files as linear light.
    return {"quality": quality or 95} if kind in LOSSY else {"colorspace": "sRGB"} if kind == "QOI" else {}


def _metadata_options(kind: str, metadata: Metadata) -> dict:
    """Return the metadata as options of `Image.save`."""
    from PIL import Image, PngImagePlugin

    if kind not in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
        return {}
    options = as_info(metadata)
    xmp = options.pop("xmp", None)
    if kind == "PNG" and xmp:
        options["pnginfo"] = PngImagePlugin.PngInfo()
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
        options["xmp"], options["extra"] = extended_xmp.split(xmp)
    elif xmp:
        options["xmp"] = xmp
    return options

"""Refuses opened pictures whose samples Pillow would silently change: it would drop bits, clip or misread them."""

from PIL import Image
from PIL.ImageFile import ImageFile

from . import boxes

DEEP_GRAY_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# Of a DDS file: the offset of a field in the extended header that says "DX10", and the value that means premultiplied.
_DDS_KIND, _DDS_ALPHA, _DDS_PREMULTIPLIED = 84, 144, 2


def refuse(image: ImageFile, data: bytes) -> None:
    """Refuse a picture that Pillow cannot load as it is.

    Args:
        image: opened, and of any format except TIFF; its pixels are not loaded.
        data: the bytes of its file.

    Raises:
        ValueError: it has more than 8 bits a sample, of which Pillow would keep 8; or floating point samples, which it
            would clip; or colours that are premultiplied by alpha, which it would not divide.
    """
    args = image.tile[0].args
    if image.format == "DDS":
        if isinstance(args, tuple) and str(args[-1]).startswith("BC6H"):
            raise ValueError("a DDS file of BC6H, floating point samples: only integers of 8 bits are read of DDS")
        if data[_DDS_KIND:][:4] == b"DX10" and data[_DDS_ALPHA:][:1] == bytes([_DDS_PREMULTIPLIED]):
            raise ValueError("a DDS file of premultiplied alpha: straight alpha is allowed")
    if image.format == "JPEG2000" and boxes.is_premultiplied_jpeg2000(data):
        raise ValueError("a JPEG 2000 file of premultiplied alpha: straight alpha is allowed")
    if (bits := _lost_bits(image, data)) > 8:
        raise ValueError(
            f"{bits} bits a sample in {image.format}: so many are read of PNG, TIFF, AVIF and gray pictures only; "
            "convert it to PNG with 16 bits a sample"
        )


def refuse_heif(image: Image.Image) -> None:
    """Refuse a HEIF picture of more than 8 bits a sample, of which pillow_heif gives Pillow 8.

    Raises ValueError, unless the image is a copy, which the caller made to take the 8 bits.
    """
    bits = image.info.get("bit_depth")
    if image.format == "HEIF" and isinstance(bits, int) and bits > 8 and image.mode not in DEEP_GRAY_MODES:
        raise ValueError(
            f"{bits} bits a sample in HEIF, of which pillow_heif gives Pillow 8: image.copy() takes those, and "
            "pillow_heif.open_heif(.., convert_hdr_to_8bit=False) gives all"
        )


def _lost_bits(image: ImageFile, data: bytes) -> int:
    """Return the bits a sample of the file if Pillow would keep only 8 of them, else 8."""
    args = image.tile[0].args
    rawmode = args if isinstance(args, str) else str(args[0]) if args else ""
    if image.mode in DEEP_GRAY_MODES or image.mode == "F":
        return 8
    if image.format == "JPEG2000":
        return boxes.jpeg2000_bits(data)
    of_ppm = image.format == "PPM" and isinstance(args, tuple) and args[-1] > 255
    return 16 if rawmode.endswith((";16L", ";16B", ";16N")) or of_ppm else 8  # ";16" alone is 5, 6, 5 bits

"""The meaning of the fourth channel of a TGA file (Truevision TGA 2.0), which Pillow always takes for alpha."""

from PIL import Image

_FOOTER = b"TRUEVISION-XFILE.\0"
_ATTRIBUTES_TYPE = 494  # offset of this field in the extension area
_STRAIGHT, _PREMULTIPLIED = 3, 4


def with_meaning(image: Image.Image, data: bytes) -> Image.Image:
    """Return a loaded picture with the fourth channel corrected.

    The channel is removed if it is not alpha. If the colours were premultiplied by alpha, they are divided by it.

    Args:
        image: the picture, whose pixels are loaded.
        data: the bytes of its file.
    """
    if image.mode != "RGBA":  # the second channel of gray files is always alpha
        return image
    kind = _STRAIGHT if data[17] & 15 else 0  # these bits of the image descriptor give the number of alpha bits
    if data.endswith(_FOOTER) and (extension := int.from_bytes(data[-26:-22], "little")):
        kind = next(iter(data[extension + _ATTRIBUTES_TYPE :][:1]), kind)
    if kind == _PREMULTIPLIED:
        return Image.frombytes("RGBa", image.size, image.tobytes()).convert("RGBA")
    return image if kind in (_STRAIGHT, _PREMULTIPLIED) else image.convert("RGB")

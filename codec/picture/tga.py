"""What a TGA file says of its fourth channel (Truevision TGA 2.0), which Pillow takes for alpha whatever it is."""

from PIL import Image

_FOOTER = b"TRUEVISION-XFILE.\0"
_ATTRIBUTES_TYPE = 494  # where in the extension area it lies
_STRAIGHT, _PREMULTIPLIED = 3, 4


def with_meaning(image: Image.Image, data: bytes) -> Image.Image:
    """A loaded picture without a channel that is no alpha, and with alpha divided out where colours were multiplied.

    Args:
        data: its file.
    """
    if image.mode != "RGBA":  # gray ones of 16 bits, in which Pillow writes no number, have alpha or would be of 8
        return image
    kind = _STRAIGHT if data[17] & 15 else 0  # bits of the image descriptor: how many are alpha
    if data.endswith(_FOOTER) and (extension := int.from_bytes(data[-26:-22], "little")):
        kind = next(iter(data[extension + _ATTRIBUTES_TYPE :][:1]), kind)
    if kind == _PREMULTIPLIED:
        return Image.frombytes("RGBa", image.size, image.tobytes()).convert("RGBA")
    return image if kind in (_STRAIGHT, _PREMULTIPLIED) else image.convert("RGB")

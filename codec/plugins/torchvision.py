"""The torchvision plugin: `DatasetFolder(root, codec.plugins.torchvision.loader, extensions=(".aec",))`.

With `import codec` alone, torchvision's own loader reads .aec files through Pillow; but a spawned worker process, which
may not import `codec`, does not.
"""

import os

from PIL import Image

from ..picture.opening import UNUSED
from .picture_decoder import PictureDecoder


def loader(path: str | os.PathLike, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Read a picture, an .aec file or any other that Pillow reads, as RGB with 8 bits a sample.

    `functools.partial` sets the option, as in `partial(loader, at_least=(224, 224))`.

    Args:
        path: of the file.
        at_least: (width, height): .aec and JPEG files are decoded at the smallest scale (1, 1/2, 1/4 or 1/8) at which
            they are not smaller than this. None: at their full size.

    Raises:
        OSError: the file cannot be read, or Pillow does not know its format.
        AecError, TypeError, ValueError: as `PictureDecoder.of_file`, for .aec files.
    """
    if os.fsdecode(path).lower().endswith(".aec"):
        image: Image.Image = PictureDecoder("pil", at_least=at_least).of_file(path)
        return image.convert("RGB")
    with Image.open(path) as other:
        if other.format in UNUSED:
            raise ValueError(
                f"{os.fsdecode(path)}: {other.format} files are not read: Pillow may run programs for them"
            )
        other.draft("RGB", at_least)
        return other.convert("RGB")

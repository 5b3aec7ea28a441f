"""The plugin for Hugging Face's datasets. After `import codec.plugins.huggingface`, they find .aec files.

`load_dataset("imagefolder", ..)` and `load_dataset("webdataset", ..)` then take .aec files for pictures. The feature
`Image()` decodes them through Pillow, as soon as `codec` is imported. `decoder` gives arrays and tensors instead of PIL
images, and decodes parts and smaller pictures.

Importing this module raises MissingPackageError (an ImportError) if datasets is not installed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..extras import need
from .picture_decoder import PictureDecoder

Batch = dict[str, list[Any]]


def register() -> None:
    """Add .aec to the lists of suffixes that datasets keeps for pictures. It may be called more than once."""
    modules = need("datasets.packaged_modules", "codec.plugins.huggingface", "loaders")
    folders, shards = modules.imagefolder.ImageFolder.EXTENSIONS, modules.webdataset.WebDataset.IMAGE_EXTENSIONS
    for suffixes, suffix in ((folders, ".aec"), (shards, "aec")):
        if suffix not in suffixes:
            suffixes.append(suffix)


def decoder(column: str = "image", **options: Any) -> Callable[[Batch], Batch]:
    """Return a function for `Dataset.with_transform` and `set_transform` that decodes a column of .aec files.

    The column must not be decoded before: `dataset.cast_column("image", Image(decode=False))` sees to that. The
    function can be pickled, and worker processes that are spawned import `codec` with it.

    Args:
        column: its name. Its cells are bytes, or dicts with "bytes" and "path" as an `Image(decode=False)` gives them.
        options: those of `PictureDecoder`: output, device, region, scale, at_least and depth.

    Returns:
        A function from a batch, which is a dict of columns, to the same dict with decoded pictures in the column.

    Raises:
        ValueError: as `PictureDecoder`. The function raises the errors of `codec.decode`.
    """
    return partial(_decode_column, column, PictureDecoder(**options))


def _decode_column(column: str, decode: PictureDecoder, batch: Batch) -> Batch:
    return {**batch, column: [_decode_cell(decode, cell) for cell in batch[column]]}


def _decode_cell(decode: PictureDecoder, cell: Any) -> Any:
    if not isinstance(cell, dict):
        return decode(cell)
    return decode.of_file(cell["path"]) if cell["bytes"] is None else decode(cell["bytes"])


register()

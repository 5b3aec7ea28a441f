"""aec: a learned image codec.

>>> import codec
>>> data = codec.encode(image, quality=60)   # PIL image, array or torch tensor -> bytes of an .aec file
>>> picture = codec.decode(data)             # -> PIL image

Importing it also teaches Pillow the format: `Image.open("x.aec")`, `image.save("x.aec", quality=60)`.
"""

import importlib.util

if importlib.util.find_spec("codec._C") is None:
    raise ImportError(
        f"codec was imported from {__path__[0]}, the folder of its sources, which is not built: "
        "start Python in another folder, or build it there (CONTRIBUTING.md)"
    )

from .api import decode, encode, features, inspect, open, read_metadata
from .collection import Collection, encode_collection, open_collection
from .container.format import Header
from .container.metadata import Metadata
from .errors import (
    AecError,
    BackendError,
    CorruptError,
    FormatError,
    LimitError,
    MissingPackageError,
    ModelError,
    NotAecError,
    TruncatedError,
    UnsupportedVersionError,
)
from .opened import AecFile, Missing
from .plugins import pillow

__version__ = "1.0.0"  # pyproject.toml reads it from here

pillow.register()

__all__ = [
    "AecError",
    "AecFile",
    "BackendError",
    "Collection",
    "CorruptError",
    "FormatError",
    "Header",
    "LimitError",
    "Metadata",
    "Missing",
    "MissingPackageError",
    "ModelError",
    "NotAecError",
    "TruncatedError",
    "UnsupportedVersionError",
    "__version__",
    "decode",
    "encode",
    "encode_collection",
    "features",
    "inspect",
    "open",
    "open_collection",
    "read_metadata",
]

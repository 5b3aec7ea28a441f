"""aec: a learned image codec.

>>> import codec
>>> data = codec.encode(image, quality=60)   # PIL image, numpy array or torch tensor -> bytes of an .aec file
>>> picture = codec.decode(data)             # -> PIL image
"""

from .api import decode, encode, inspect, read_metadata
from .errors import (
    AecError,
    BackendError,
    CorruptError,
    FormatError,
    LimitError,
    ModelError,
    NotAecError,
    TruncatedError,
    UnsupportedVersionError,
)
from .format import Header
from .metadata import Metadata

__all__ = [
    "AecError",
    "BackendError",
    "CorruptError",
    "FormatError",
    "Header",
    "LimitError",
    "Metadata",
    "ModelError",
    "NotAecError",
    "TruncatedError",
    "UnsupportedVersionError",
    "decode",
    "encode",
    "inspect",
    "read_metadata",
]

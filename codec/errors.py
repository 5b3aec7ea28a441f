"""The exceptions that the package raises about files, models and devices.

Wrong arguments raise a plain TypeError or ValueError instead.
"""


class AecError(Exception):
    """The base class: `except codec.AecError` catches every error that a file, a model or a device can cause."""


class FormatError(AecError, ValueError):
    """The data is not a complete, undamaged .aec file; the subclasses say what is wrong."""


class NotAecError(FormatError):
    """The data does not start with the magic of an .aec file."""


class UnsupportedVersionError(FormatError):
    """The file needs a newer decoder: its version is unknown, or it sets a flag that has no meaning yet."""


class TruncatedError(FormatError):
    """The file is shorter than its header says."""


class CorruptError(FormatError):
    """A field, a checksum or a payload contradicts the format."""


class LimitError(FormatError):
    """The image is larger than the format, or the caller, allows."""


class ModelError(AecError):
    """The model cannot be found, is not the one that wrote the file, or its file is damaged."""


class BackendError(AecError, RuntimeError):
    """The device that was asked for is missing, or the build has no code for it."""


class MissingPackageError(BackendError, ImportError):
    """The call needs a package that is not installed, such as torch; the message says how to install it."""

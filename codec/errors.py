"""Everything the package raises about files, models and devices. Wrong arguments are plain TypeError or ValueError."""


class AecError(Exception):
    """The root: `except codec.AecError` catches whatever an input can cause."""


class FormatError(AecError, ValueError):
    """The data is not a whole, undamaged .aec file; the subclasses say in which way."""


class NotAecError(FormatError):
    """The data does not start with the magic of an .aec file."""


class UnsupportedVersionError(FormatError):
    """The file needs a newer decoder: an unknown version, or a flag without a meaning yet."""


class TruncatedError(FormatError):
    """The file ends before its header says so."""


class CorruptError(FormatError):
    """A field, a checksum or a payload contradicts the format."""


class LimitError(FormatError):
    """The image is larger than the format, or the caller, allows."""


class ModelError(AecError):
    """No such model is at hand, or its file is damaged."""


class BackendError(AecError, RuntimeError):
    """The device that was asked for is missing, or the build has no code for it."""


class MissingPackageError(BackendError, ImportError):
    """What was asked for needs a package that is not installed, such as torch; the message says how to get it."""

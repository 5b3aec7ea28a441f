"""Which exceptions a file or a machine can cause, and what is said about them."""

import os

from .errors import AecError, BackendError
from .io import InputError, OutputError

# Any other exception is a bug of this program. If memory runs out, torch raises RuntimeError, and a module that is
# just being imported raises ImportError or SystemError.
UNLOADED = (ImportError, SystemError)
FAILURES = (AecError, OutputError, InputError, OSError, ValueError, MemoryError, RuntimeError, *UNLOADED)
OF_THE_MACHINE = (BackendError, ImportError)  # those that do not depend on the file


def message(error: Exception, name: str | None = None) -> str:
    """Return the message of an error, without the file name if that is `name`, which is printed before it."""
    if isinstance(error, OSError) and error.strerror:  # str(error) would contain its number and the file name too
        about = error.filename if error.filename is not None and str(error.filename) != name else None
        return error.strerror if about is None else f"{os.fsdecode(about)}: {error.strerror}"
    if isinstance(error, UNLOADED):  # only the last line, because numpy prints a page of advice before the reason
        return f"what this needs cannot be loaded: {str(error).rstrip().rpartition(chr(10))[2]}"
    return str(error) or type(error).__name__

"""Output of the command: results go to standard output, and messages to standard error. Either may be closed."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from ..io import OutputError

# Control characters, line and paragraph separators, changes of writing direction, and undecodable bytes (surrogates).
_MOVES = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def occupy() -> None:
    """Open the null device in place of each standard stream that was closed when the command started.

    Otherwise the next file that is opened would get the descriptor 0, 1 or 2, and printed text would go into that file.
    `sys.stderr` is replaced too, because `print` writes to standard output if it is None. `sys.stdin` and `sys.stdout`
    stay None, so that a missing input, or a result that cannot be written, is reported as an error.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system assigns the lowest free descriptor, which is this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names may contain bytes that cannot be decoded


def shown(text: str) -> str:
    """Make a line safe for a terminal: escape the characters that move the cursor or make one line look like two."""
    return _MOVES.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """Print a result on standard output. The caller has passed each line through `shown`.

    Raises:
        OutputError: standard output cannot be written.
        BrokenPipeError: the process that reads it has ended.
    """
    if sys.stdout is None:
        raise OutputError("cannot write standard output: it is closed")
    with _errors_told():
        print(text, flush=True)


def flush() -> None:
    """Flush standard output. Raises the same errors as `say`."""
    if sys.stdout is not None:
        with _errors_told():
            sys.stdout.flush()


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as e:
        raise OutputError(f"cannot write standard output: {e.strerror}") from e


def on_terminal() -> bool:
    """Return whether standard error is a terminal."""
    return sys.stderr.isatty()


def out_is_terminal() -> bool:
    """Whether standard output is a terminal, where the bytes of a file do no good."""
    return sys.stdout is not None and sys.stdout.isatty()


def complain(line: str) -> None:
    """Print a line on standard error. If that cannot be written, the line is silently lost."""
    with suppress(OSError):
        print(shown(line), file=sys.stderr, flush=True)


class Unfailing:
    """A file object for standard error that ignores errors when writing, as `complain` does."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def let_go() -> None:
    """Discard buffered output that cannot be written. Else Python would try again at exit, and print its own error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            _into_nothing(stream)


def _into_nothing(stream: TextIO) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
    stream.flush()

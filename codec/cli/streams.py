"""What the command says: on standard output its results, on standard error what went wrong. Either may be closed."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from ..io import OutputError

# Control characters, ends of lines and paragraphs, changes of direction, and bytes that are no text.
_MOVES = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def occupy() -> None:
    """Have something at the descriptors 0, 1 and 2 and at `sys.stderr`, where who started the command closed them.

    A file that is opened would take such a descriptor, and what is printed would go into it. Where `sys.stderr` is
    None, `print` takes standard output in its place. `sys.stdout` and `sys.stdin` stay None: to lose a result, or to
    have nothing to read, is an error.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names may be bytes that are no text


def shown(text: str) -> str:
    """A line as a terminal may have it: what would move its cursor, or make a line look like two, is spelled out."""
    return _MOVES.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """Print a result on standard output, of which each line is `shown` already.

    Raises:
        OutputError: it cannot be written.
        BrokenPipeError: whoever read it has gone.
    """
    if sys.stdout is None:
        raise OutputError("cannot write standard output: it is closed")
    with _errors_told():
        print(text, flush=True)


def flush() -> None:
    """See that what others have printed on standard output is written. Raises as `say`."""
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
    """Whether someone sits before standard error."""
    return sys.stderr.isatty()


def complain(line: str) -> None:
    """Print a line on standard error, which is not worth an error of its own where it cannot be written."""
    with suppress(OSError):
        print(shown(line), file=sys.stderr, flush=True)


class Unfailing:
    """Standard error, as `complain` takes it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def let_go() -> None:
    """Forget what could not be written, or Python tries once more as it ends, and says so in words of its own."""
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

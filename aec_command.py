"""The console script `aec`: it answers for the moment in which the package is imported, which `codec.cli` cannot.

It stands outside of the package, for to import anything in that is to import all of it.
"""

import sys


def main() -> int:
    """The exit code of the command, as `codec.cli.main`."""
    try:
        from codec.cli import main
    except KeyboardInterrupt:
        return _end("interrupted", 130)
    except MemoryError:
        return _end("there is not enough memory to begin", 3)
    except (ImportError, SystemError) as e:  # of a damaged installation, or where memory is short
        return _end(f"cannot begin: {e}", 3)
    return main()


def _end(why: str, code: int) -> int:
    if sys.stderr is not None:
        print(f"aec: {why}", file=sys.stderr)
    return code

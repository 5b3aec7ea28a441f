"""`python -m bench DIR`: `aec bench DIR` without an install."""

import sys

from . import main

if __name__ == "__main__":  # the processes that decode import this again
    sys.exit(main(sys.argv[1:], prog="python -m bench"))

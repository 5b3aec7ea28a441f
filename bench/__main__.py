"""`python -m bench DIR` does the same as `aec bench DIR`, where aec is not installed."""

import sys

from . import main

if __name__ == "__main__":  # the processes that decode import this module too, and must not run it
    sys.exit(main(sys.argv[1:], prog="python -m bench"))

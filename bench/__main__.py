"""`python -m bench DIR`: `aec bench DIR` without an install."""

import sys

from . import main

sys.exit(main(sys.argv[1:], prog="python -m bench"))

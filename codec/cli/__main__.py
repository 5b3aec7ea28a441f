"""`python -m codec.cli` is the command where the package is not installed."""

import sys

from . import main

sys.exit(main())

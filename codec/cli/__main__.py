"""`python -m codec.cli` runs the `aec` command in a source tree, where the package is not installed."""

import sys

from . import main

sys.exit(main())

"""`torchrun -m codec.train ..` is `aec train ..` in each of several processes (`distributed`)."""

import sys

from ..cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))

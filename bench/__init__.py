"""`aec bench`: rate, distortion and time of aec and its rivals, on the bytes of real files.

In the tree this is the package `bench` (`python -m bench DIR`); installed, it is `codec.bench` (`aec bench DIR`).
So siblings are imported relatively and the core as `codec`.
"""

from .command import main

__all__ = ["main"]

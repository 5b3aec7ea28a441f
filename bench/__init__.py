"""`aec bench`: rate, distortion and time of aec and its rivals, on the bytes of real files.

In the source tree this package is called `bench` (`python -m bench DIR`); where aec is installed, it is `codec.bench`
(`aec bench DIR`). Therefore its modules import each other relatively, and the codec as `codec`.
"""

from .command import main

__all__ = ["main"]

"""How much memory training images would take, and how much there is."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from .images import encoded

SAMPLED = 32  # files from which the size of all is estimated


def decoded_bytes(files: Sequence[Path]) -> int:
    """Estimate the bytes of all images in files and tar shards as uint8 [H, W, 3], without decoding them.

    The first image in each of up to SAMPLED files says how many pixels a byte of the files holds. What cannot be read
    is left out.
    """
    pixels = n_bytes = 0
    for file in files[:: max(1, -(-len(files) // SAMPLED))]:
        try:
            data = next((data for _, data in encoded(file) if isinstance(data, bytes)), b"")
            with Image.open(io.BytesIO(data)) as image:
                pixels, n_bytes = pixels + image.width * image.height, n_bytes + len(data)
        except Exception:  # for damaged files Pillow raises many kinds of errors, and what is wrong is told elsewhere
            continue
    return 3 * pixels * sum(os.path.getsize(f) for f in files if f.is_file()) // max(1, n_bytes)


def free_bytes() -> int | None:
    """Return the bytes of memory that this process may still take; None: this system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None
    group = Path("/sys/fs/cgroup")  # in a container its limit counts
    try:
        limit = int((group / "memory.max").read_text())
        taken = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["anon"]
    except (OSError, KeyError, ValueError):  # there is none, or it is the word "max"
        return free
    return min(free, limit - int(taken))

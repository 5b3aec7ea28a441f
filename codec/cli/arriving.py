"""`aec decompress --arriving -`: a file that comes through a pipe becomes a picture that is written again and again.

The picture is written when the first payloads of all tiles are there, and then after each further part of them. So it
is decoded as many times as a tile has parts, and not for each packet. The last time is like any other decompression.
"""

import os
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from ..container import format
from ..conversion import Decompression
from ..errors import FormatError, TruncatedError
from ..io import InputError, write_bytes
from . import streams
from .jobs import UsageError

_AT_ONCE = 1 << 16  # bytes that are read from the pipe at a time, at most


def decompress(args: Namespace, conversion: Decompression) -> int:
    """Decode standard input as it arrives, to the file of `-o`. Returns the exit code."""
    if args.inputs != ["-"] or args.output in (None, "-"):
        raise UsageError("--arriving reads standard input, and writes a file: aec decompress --arriving - -o OUT")
    if args.skip_existing or args.json or args.filelist or args.allow_partial:
        raise UsageError("--arriving does not go with --skip-existing, --json, --filelist and --allow-partial")
    if sys.stdin is None:
        raise InputError("closed, so that nothing can be read from it")
    target, force = Path(args.output), args.force
    data, stages = bytearray(), None  # sizes of the file at which there is more to show
    early = replace(conversion, allow_partial=True)
    while chunk := os.read(sys.stdin.fileno(), _AT_ONCE):
        data += chunk
        stages = _stages(data) if stages is None else stages
        if not stages or len(data) < stages[0]:
            continue
        stages = [size for size in stages if size > len(data)]
        force = _write(early, bytes(data), target, force)
        streams.complain(f"aec: {len(data)} bytes have arrived")
    _write(conversion, bytes(data), target, force)
    return 0


def _write(conversion: Decompression, data: bytes, target: Path, force: bool) -> bool:
    """Decode and write the picture. Returns whether it may be replaced by the next one."""
    made = conversion.make(data, target)
    if made.data is not None:
        write_bytes(target, made.data, force)
    return True


def _stages(data: bytearray) -> list[int] | None:
    """Return the sizes at which there is more to show, without that of the whole file; None: they are not known yet."""
    try:
        return format.stages(bytes(data))[:-1]
    except TruncatedError:
        return None
    except FormatError:
        return []  # the last decompression will say what is wrong

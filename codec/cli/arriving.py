"""`aec decompress --arriving -`: a file that comes through a pipe becomes a picture that is written again and again.

The picture is written when the first payloads of all tiles are there, and then after each further part of them, unless
more has arrived already. The last time is like any other decompression. If the pipe breaks, the last picture stays.
"""

import os
import select
import sys
from argparse import Namespace
from dataclasses import replace

from ..container import format
from ..conversion import Decompression
from ..errors import FormatError, TruncatedError
from ..io import InputError, check_length, refuse_existing, write_bytes
from . import runner, streams
from .jobs import Job, UsageError, refuse_options
from .runner import Progress, Row

_AT_ONCE = 1 << 16  # bytes that are read from the pipe at a time, at most
_OPTIONS = {"inputs", "output", "force", "arriving", "metadata", "model", "device"}
_OPTIONS |= {"verbose", "quiet", "progress", "debug"}
_OPTIONS |= {"crop", "scale", "fit", "depth", "format", "out_quality", "max_pixels"}


def check(args: Namespace) -> None:
    """Raise UsageError if another option was given that has no meaning here."""
    refuse_options(args, _OPTIONS, "--arriving")
    if args.inputs != ["-"] or args.output in (None, "-"):
        raise UsageError("--arriving reads standard input, and writes a file: aec decompress --arriving - -o OUT")


def decompress(args: Namespace, conversion: Decompression, jobs: list[Job]) -> int:
    """Decode standard input as it arrives, to the target of the one job. Returns the exit code."""

    def work(job: Job, progress: Progress) -> Row:
        if sys.stdin is None:
            raise InputError("closed, so that nothing can be read from it")
        refuse_existing(job.target, args.force)
        early, force, pipe = replace(conversion, allow_partial=True), args.force, sys.stdin.fileno()
        data, stages = bytearray(), None  # sizes of the file at which there is more to show
        while chunk := os.read(pipe, _AT_ONCE):
            data += chunk
            check_length(len(data))
            stages = _stages(data) if stages is None else stages
            if not stages or len(data) < stages[0] or select.select([pipe], [], [], 0)[0]:
                continue
            stages = [size for size in stages if size > len(data)]
            if stages:  # else all of it is there
                _write(early, bytes(data), job, force)
                force = True
                if not args.quiet:
                    streams.complain(f"aec: {len(data)} bytes have arrived")
        line = _write(conversion, bytes(data), job, force)
        return Row(line=f"{line} -> {job.target}", facts={"bytes_in": len(data)})

    return runner.run(args, jobs, work)


def _write(conversion: Decompression, data: bytes, job: Job, force: bool) -> str:
    """Decode and write the picture. Returns a line about it."""
    made = conversion.make(data, job.target if job.target and job.target.suffix else None)
    write_bytes(job.target, made.data or b"", force)
    return made.line


def _stages(data: bytearray) -> list[int] | None:
    """Return the sizes at which there is more to show; the last is the whole file's. None: they are not known yet."""
    try:
        return format.stages(bytes(data))
    except TruncatedError:
        return None
    except FormatError:
        return []  # the last decompression will say what is wrong

"""`aec similar`: finds near-duplicates among pictures, or the pictures that are most similar to one."""

import json
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import api, similarity
from ..coding.threads import cores
from ..container import format
from ..failures import FAILURES, message
from ..given import open_picture
from ..io import IMAGE_SUFFIXES, read_bytes
from ..opened import AecFile
from . import runner, streams
from .jobs import Job, UsageError, expand, tell_left_out
from .runner import EXIT_INTERRUPTED, Progress, Row

SUFFIXES = {".aec"} | IMAGE_SUFFIXES
NEIGHBOURS = 10


def similar(args: Namespace) -> int:
    if args.k is not None and args.query is None:
        raise UsageError("-k says how many pictures are shown for the one of --query, which is missing")
    if args.query == "-" and "-" in args.inputs:
        raise UsageError("standard input cannot be both the picture of --query and one of the others")
    query = None if args.query is None else Job(None if args.query == "-" else Path(args.query), None)
    jobs = _jobs(args)
    found: dict[str, np.ndarray] = {}
    errors: list[dict[str, str]] = []

    def work(job: Job, progress: Progress) -> Row:
        try:
            if job.problem:
                raise job.problem
            found[_identity(job)] = _features(job)
        except FAILURES as e:
            errors.append({"file": job.name, "error": message(e, job.name)})
            raise
        return Row(line="described")

    everything = jobs if query is None or _identity(query) in map(_identity, jobs) else [query, *jobs]
    workers = min(len(everything), args.jobs if isinstance(args.jobs, int) else cores())
    # The runner's own JSON rows are about files that were converted.
    options = Namespace(**vars(args) | {"json": False})
    code = runner.run(options, everything, work, workers, networks=True, done=None)
    if code == EXIT_INTERRUPTED:
        return code
    if args.json:
        for row in sorted(errors, key=lambda row: row["file"]):
            streams.say(json.dumps(row))
    whole = [job for job in jobs if _identity(job) in found]
    if query is None:
        _tell_groups(args, whole, found)
    elif _identity(query) in found:
        others = [job for job in whole if _identity(job) != _identity(query)]
        _tell_neighbours(args, others, found, found[_identity(query)])
    return code


def _jobs(args: Namespace) -> list[Job]:
    """Return each file once, in the order of their names, so that the order of the arguments does not matter."""
    sources, left_out = expand(args.inputs, SUFFIXES, args.recursive)
    tell_left_out(left_out, SUFFIXES, args.quiet)
    jobs = sorted((Job(s.path, None, s.problem) for s in sources), key=lambda job: job.name)
    return list({_identity(job): job for job in reversed(jobs)}.values())[::-1]


def _identity(job: Job) -> str:
    """Return what is the same for two names of a file."""
    return "-" if job.source is None else os.path.realpath(job.source)


def _features(job: Job) -> np.ndarray:
    data = read_bytes(job.source)
    is_aec = data.startswith(format.MAGIC) or job.source is not None and job.source.suffix.lower() == ".aec"
    return api.features(AecFile(data) if is_aec else open_picture(data))


def _stacked(jobs: Sequence[Job], found: dict[str, np.ndarray]) -> np.ndarray:
    if not jobs:
        return np.zeros((0, 1), np.float32)
    return np.stack([found[_identity(job)] for job in jobs])


def _tell_groups(args: Namespace, jobs: Sequence[Job], found: dict[str, np.ndarray]) -> None:
    threshold = similarity.NEAR if args.threshold is None else args.threshold
    groups = similarity.near_duplicates(_stacked(jobs, found), threshold)
    for n, group in enumerate(groups):
        members = [(jobs[m.index].name, jobs[m.nearest].name, m.similarity) for m in group]
        if args.json:
            rows = [{"file": name, "nearest": other, "similarity": round(value, 4)} for name, other, value in members]
            streams.say(json.dumps({"group": n + 1, "files": rows}))
            continue
        lines = [f"{len(group)} pictures are nearly the same:"]
        lines += [streams.shown(f"  {name}  ({value:.3f} to {other})") for name, other, value in members]
        streams.say("\n".join([*lines, *([] if n == len(groups) - 1 else [""])]))
    if jobs and not args.quiet:
        pictures = f"{len(jobs)} picture{'' if len(jobs) == 1 else 's'}"
        in_groups = f"{sum(map(len, groups))} of them in {len(groups)} group{'' if len(groups) == 1 else 's'}"
        said = f"{in_groups} of near-duplicates" if groups else "no near-duplicates"
        streams.complain(f"aec: {pictures}: {said}, with a similarity of at least {threshold:g}")


def _tell_neighbours(args: Namespace, jobs: Sequence[Job], found: dict[str, np.ndarray], query: np.ndarray) -> None:
    if not jobs:
        return
    k = NEIGHBOURS if args.k is None else args.k
    for i, value in similarity.nearest_neighbours(_stacked(jobs, found), query, k):
        if args.threshold is not None and value < args.threshold:
            break
        if args.json:
            streams.say(json.dumps({"file": jobs[i].name, "similarity": round(value, 4)}))
        else:
            streams.say(streams.shown(f"{value:.3f}  {jobs[i].name}"))

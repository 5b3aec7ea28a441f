"""Are pixels the same, whatever decodes them? `python -m bench.pixels KODAK [--only avx2 webassembly] [--pictures 3]`.

Each file has one SHA-256 of its samples of 8 bits, and one of those of 16. They are compared over instruction sets and
machines, some of them emulated; over 1 and 2 threads; and over the whole picture, four regions that are put together,
and its tiles by themselves in a random order. Files are also encoded again, and their bytes compared.

The files are the photographs at five qualities, half of them in tiles, and pictures of odd sizes. Slow machines decode
each photograph by one or two of the ways, in turn, and the slowest only one of its files. What is found is kept in
--work, so that a run that was stopped goes on when it is started again; builds for other machines are kept there too.
Markdown is printed. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import codec
from codec.cli.streams import complain, say

from ..inputs import find_sets
from ..machine import machine_line, source_commit
from ..promises.check import NotHere
from .files import FILES_OF_A_PHOTO, WAYS, File, files
from .machines import KINDS, Machine


@dataclass(frozen=True)
class Task:
    """What a machine is asked, by what name its answer is kept, and with what it is compared."""

    asked: dict
    name: str
    subject: str  # whose answers are all to be the same
    is_photo: bool


@dataclass(frozen=True)
class Found:
    """The answers of a machine: {name of a task: SHA-256}."""

    machine: Machine
    tasks: list[Task]
    answers: dict[str, str]


def tasks_of(machine: Machine, chosen: Sequence[File], folder: Path) -> Iterator[Task]:
    turn: Counter[bool] = Counter()
    photos = [file for file in chosen if file.is_photo]
    left_out = {
        file.name
        for i, file in enumerate(photos)
        if machine.one_of_each and i % FILES_OF_A_PHOTO != i // FILES_OF_A_PHOTO % FILES_OF_A_PHOTO
    }
    for file in chosen:
        if file.name in left_out:
            continue
        header = codec.inspect(file.path(folder).read_bytes())
        digest = hashlib.sha256(file.path(folder).read_bytes()).hexdigest()[:16]
        n = machine.of_photos if file.is_photo else machine.of_small
        for i in range(n):
            way = WAYS[(turn[file.is_photo] + i) % len(WAYS)]
            areas = way.areas(header.width, header.height, file.side)
            asked = {"decode": str(file.path(folder)), "threads": way.threads, "depth": way.depth, "areas": areas}
            yield Task(asked, f"{digest}: {way}", f"{file.name}: {way.depth} bits", file.is_photo)
        turn[file.is_photo] += n
        if machine.encodes == "all" or machine.encodes == "small" and not file.is_photo:
            about = {"quality": file.quality, "side": file.side, "model": file.model}
            asked = {"encode": str(file.source(folder)), **about}
            yield Task(asked, f"{digest}: encoded", f"{file.name}: file", file.is_photo)


def answered(machine: Machine, tasks: list[Task], folder: Path, only_known: bool) -> Found:
    """Ask a machine for what is not known from an earlier run of the same build; or leave that out, if `only_known`."""
    kept = folder / f"{machine.name} {machine.digest}.jsonl"
    lines = kept.read_text().splitlines(keepends=True) if kept.exists() else []
    answers = dict(json.loads(line) for line in lines if line.endswith("\n"))
    left = [task for task in tasks if task.name not in answers]
    if only_known:
        return Found(machine, [task for task in tasks if task.name in answers], answers)
    complain(f"{machine.name}: {len(tasks) - len(left)} of {len(tasks)} are known")
    with open(kept, "a") as out:
        if lines and not lines[-1].endswith("\n"):  # that run was killed while it wrote
            out.truncate(sum(map(len, lines[:-1])))
        for number, digest in machine.run([task.asked for task in left]) if left else ():
            answers[left[number].name] = digest
            out.write(json.dumps([left[number].name, digest]) + "\n")
            out.flush()
    return Found(machine, tasks, answers)


def right_answers(results: Sequence[Found]) -> dict[str, str]:
    """What all answers are compared with: the first machine's first pixels of each file, and the files themselves."""
    right: dict[str, str] = {}
    for found in results:
        for task in found.tasks:
            if "encode" in task.asked:
                data = Path(task.asked["encode"]).with_suffix(".aec").read_bytes()
                right[task.subject] = hashlib.sha256(data).hexdigest()
            else:
                right.setdefault(task.subject, found.answers[task.name])
    return right


def table(results: Sequence[Found], right: dict[str, str]) -> tuple[list[str], list[str]]:
    """(the lines of a table in Markdown, what differs)."""
    lines = ["| machine | photographs' files | small files | decodings | encodings | differences |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    differing: list[str] = []
    for found in results:
        wrong = [task for task in found.tasks if found.answers[task.name] != right[task.subject]]
        differing += [f"{found.machine.name}: {task.subject}: {task.name}" for task in wrong]
        decoded = [task for task in found.tasks if "decode" in task.asked]
        of_photos = len({task.asked["decode"] for task in decoded if task.is_photo})
        of_small = len({task.asked["decode"] for task in decoded if not task.is_photo})
        cells = [of_photos, of_small, len(decoded), len(found.tasks) - len(decoded), len(wrong)]
        lines.append(f"| {found.machine.name} | {' | '.join(map(str, cells))} |")
    return lines, differing


def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m bench.pixels", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photographs", nargs="+", help="a folder, such as that of Kodak, or files")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="default: all")
    parser.add_argument("--pictures", type=int, help="how many photographs (default: all)")
    parser.add_argument("--work", type=Path, default=Path("build/pixels"), help="default: build/pixels")
    parser.add_argument("--known", action="store_true", help="decode nothing: print what earlier runs have found")
    args = parser.parse_args(argv)
    sets, missing = find_sets(args.photographs)
    paths = [path for image_set in sets.values() for path in image_set][: args.pictures]
    if missing or not paths:
        parser.error(f"no pictures in {' '.join(map(str, missing or args.photographs))}")
    work = args.work.resolve()
    chosen = files(paths)
    for file in chosen:
        file.write(work / "files")

    results, notes = [], []
    for kind in args.only:
        try:
            machine = KINDS[kind](work)
            tasks = list(tasks_of(machine, chosen, work / "files"))
            results.append(answered(machine, tasks, work, args.known))
        except NotHere as reason:
            notes.append(f"- {kind}: not run here, for {reason}")
    right = right_answers(results)
    lines, differing = table(results, right)
    every = hashlib.sha256("".join(f"{subject}: {right[subject]}\n" for subject in sorted(right)).encode()).hexdigest()
    n_samples = sum(file.picture.size for file in chosen)
    say(f"{machine_line(with_gpu=False)}, commit {source_commit() or 'unknown'}, {date.today()}")
    say(f"`python -m bench.pixels {shlex.join(argv)}`\n")
    say("\n".join(lines))
    say(f"\n{len(chosen)} files of {n_samples} samples; SHA-256 of all hashes: {every}")
    for line in notes:
        say(line)
    for line in differing:
        say(f"- differs: {line}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

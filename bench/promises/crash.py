"""A process that is killed, or that finds the disk full, leaves whole files and nothing else."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

import codec

from .check import Check, Extent, Measured, NotHere, environment, tests
from .pictures import photo

PICTURES = 12


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "codec.cli", *map(str, words)]


def killed(extent: Extent) -> Measured:
    """`aec compress` and `aec decompress`, killed at random moments again and again, also while they overwrite."""
    if not hasattr(signal, "SIGKILL"):
        raise NotHere("there is no signal here that ends a process at once")
    rng, n = random.Random(13), extent.of(12, 200)
    partial = lost = changed = made = hits = 0
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / part for part in ("in", "packed", "back")]
        for folder in folders:
            folder.mkdir()
        source, packed, back = folders
        for i in range(PICTURES):
            Image.fromarray(photo(160 + i, 200, i)).save(source / f"{i:02}.png")
        before = _digests(source)
        steps = (
            (_command("compress", source, "-o", packed, "-f", "-j", 2), packed, source),
            (_command("decompress", packed, "-o", back, "-f", "-j", 2), back, packed),
        )
        wholes = []
        for words, _, _ in steps:
            start = time.monotonic()
            subprocess.run(words, env=environment(), capture_output=True, check=True)
            wholes.append((time.monotonic() - start, _digests(steps[len(wholes)][1])))
        for i in range(n):
            (words, folder, inputs), (seconds, right) = steps[i % 2], wholes[i % 2]
            for path in folder.iterdir() if i % 4 < 2 else ():  # without these, what is there is overwritten
                path.unlink()
            had = _digests(inputs)
            run = subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.3 * seconds, 1.05 * seconds))
            run.send_signal(signal.SIGKILL)
            hits += run.wait() == -signal.SIGKILL
            found = _digests(folder)
            made += len(found)
            partial += sum(found[file] != right.get(file) for file in found)
            lost += len(right) - len(found) if i % 4 >= 2 else 0
            changed += had != _digests(inputs)
            for file, digest in found.items():
                if digest != right.get(file):
                    (folder / file).unlink()
            subprocess.run(words, env=environment(), capture_output=True, check=True)
        changed += before != _digests(source)
    figure = (
        f"{hits} of {n} runs killed before their end: {made} files were there, {partial} not whole or left over, "
        f"{lost} old ones lost, inputs changed {changed} times"
    )
    return Measured(figure, partial == lost == changed == 0 and hits > n // 3)


FULL = """
set -e
mount -t tmpfs -o size={size} tmpfs "$1"
cd "$1"
shift
set +e
"$@" 2>/dev/null
code=$?
set -e
cp -r . "$COPY"
exit $code
"""


def full(extent: Extent) -> Measured:
    """A disk of its own, in memory, that is full after so many bytes; in a namespace that nobody else sees."""
    unshare = shutil.which("unshare")
    if unshare is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise NotHere("needs Linux, unshare and the rights of root, to mount a small disk")
    n, codes, left, whole = 0, set(), [], 0
    with tempfile.TemporaryDirectory() as name:
        packed = Path(name) / "a.aec"
        packed.write_bytes(codec.encode(photo(300, 400), 80, "cpu"))
        for i, size in enumerate(extent.of((4096, 65536), tuple(4096 * k for k in range(1, 80, 4)))):
            disk, copy = Path(name) / f"disk{i}", Path(name) / f"copy{i}"
            disk.mkdir()
            words = _command("decompress", packed, "-o", "out.png")
            script = FULL.format(size=size)
            command = [unshare, "--mount", "bash", "-c", script, "bash", str(disk), *words]
            done = subprocess.run(command, env=environment(COPY=str(copy)), capture_output=True, text=True)
            if not copy.exists():
                raise NotHere(f"a small disk cannot be mounted: {done.stderr.strip()[-100:]}")
            n += 1
            codes.add(done.returncode)
            left += [path.name for path in copy.iterdir()]
            whole += packed.exists()
    codes_said = ", ".join(map(str, sorted(codes)))
    figure = f"{n} disks too small: exit code {codes_said}, {len(left)} files left, {whole} of {n} inputs as before"
    return Measured(figure, codes == {7} and not left and whole == n)


CHECKS = [
    Check(13, "`aec compress` and `decompress` killed at random moments", killed),
    Check(13, "a disk that is full", full),
    Check(13, "outputs that appear while another is written, and kills in the middle of writing", tests("test_io.py")),
]

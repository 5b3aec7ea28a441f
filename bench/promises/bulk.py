"""Many files: what is broken costs a row, and a kill costs no file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image

import codec

from ..bulk import command, counted, killed, loop, make_shards
from .check import Check, Extent, Measured, NotHere, environment
from .pictures import photo


def folder(extent: Extent) -> Measured:
    """A folder of which one in a hundred files is broken, killed when half is done, and taken up again."""
    if not hasattr(signal, "SIGKILL"):
        raise NotHere("there is no signal here that ends a process at once")
    n, side = extent.of(300, 10_000), 48
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "in", Path(name) / "out"
        source.mkdir()
        image = photo(side + n // 100, side + 100, 7)
        for i in range(n):
            path = source / f"{i:05}.png"
            if i % 100 == 50:
                path.write_bytes(b"broken")
            else:
                Image.fromarray(image[i // 100 :, i % 100 :][:side, :side]).save(path)
        n_broken, n_good = n // 100, n - n // 100
        words = [sys.executable, "-m", "codec.cli", "compress", str(source), "-o", str(out)]
        words += ["--skip-existing", "--json", "-e", "1"]
        first = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while first.poll() is None and len(list(out.glob("*"))) < n // 2:
            time.sleep(0.02)
        first.kill()
        first_rows = [json.loads(line) for line in first.communicate()[0].splitlines() if line.endswith("}")]
        there = {path.name: path.stat().st_mtime_ns for path in out.glob("*.aec")}
        second = subprocess.run(words, env=environment(), capture_output=True, text=True)
        rows = [json.loads(line) for line in second.stdout.splitlines()]
        status = Counter(row["status"] for row in rows)
        again = sum(path.stat().st_mtime_ns != there.get(path.name, path.stat().st_mtime_ns) for path in out.glob("*"))
        whole = sum(codec.inspect(path.read_bytes()).width == side for path in out.glob("*.aec"))
        others = len(list(out.glob("*"))) - whole
    figure = (
        f"{n} files, {n_broken} broken: killed at {len(there)}, then {status['done']} done, "
        f"{status['skipped']} skipped, {status['failed']} rows of errors, exit code {second.returncode}; "
        f"{whole} whole files, {again} made twice, {others} others"
    )
    kept = whole == n_good and again == others == 0 and status["failed"] == n_broken and second.returncode == 1
    kept &= status["skipped"] == len(there) and 0 < len(there) < n_good
    return Measured(figure, kept and all(row["status"] in ("done", "failed") for row in first_rows))


def shards(extent: Extent) -> Measured:
    """Tar shards, killed with all processes several times at random moments, and finished (bench.bulk)."""
    n, kills = extent.of((400, 3), (10_000, 20))
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "in", Path(name) / "out"
        source.mkdir()
        make_shards(source, n, max(50, n // 20), 48)
        seconds, hashes = loop(source, n)
        moments = killed(command(source, out, "local", 2), seconds / 2, kills, seed=20)
        found = counted(out, hashes)
    figure = (
        f"{n} pictures, killed {len(moments)} times: {found['pictures']} there, {found['wrong']} wrong, "
        f"{found['twice']} twice"
    )
    return Measured(figure, found["pictures"] == n and not found["wrong"] and not found["twice"] and len(moments) > 0)


CHECKS = [
    Check(20, "a folder with 1 % of broken files, killed at half, and resumed", folder),
    Check(20, "tar shards, killed at random moments, and resumed", shards),
]

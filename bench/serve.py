"""How does the server of docs/serve.py bear a load? `python -m bench.serve [--requests 10000] [--workers 1 2]`.

gunicorn serves, and threads of this process ask: one picture after the other is sent to be compressed, or asked for as
PNG or JPEG, in equal shares. Each answer is compared with what `codec` makes in this process. The memory is that of all
workers together, after the first requests and after the last ones; memory that they share is counted once
(proportional set size). It prints Markdown.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

import codec

from .machine import machine_line, source_commit

SOURCES = Path(__file__).resolve().parents[1]  # whose docs/ has the server
SAMPLE = Path(__file__).parent / "samples/coffee.png"
PICTURES, QUALITY = 16, 60
PATIENCE = 60  # seconds for one answer, and for the server's start and end


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes
    answer: bytes


@dataclass(frozen=True)
class Load:
    """What a server did: seconds for all requests and for each, the memory of its workers in bytes, and failures."""

    seconds: float
    times: list[float]
    memory: tuple[int, int]
    failures: Counter[str]


def requests_for(folder: Path, side: int) -> list[Request]:
    """Write .aec files into the folder and return requests for them, and for compressing pictures like them.

    The pictures are parts of a photograph, side x side pixels.
    """
    made, photo = [], Image.open(SAMPLE).convert("RGB")
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        x, y = (int(rng.integers(0, whole - side + 1)) for whole in photo.size)
        file = io.BytesIO()
        photo.crop((x, y, x + side, y + side)).save(file, "PNG")
        data = codec.encode(Image.open(file), QUALITY, source=file.getvalue())
        (folder / f"{i}.aec").write_bytes(data)
        made.append(Request("POST", f"/?quality={QUALITY}", file.getvalue(), data))
        shown = io.BytesIO()
        kind, options = (("png", {}), ("jpg", {"quality": 90}))[i % 2]
        codec.decode(data).save(shown, Image.registered_extensions()[f".{kind}"], **options)
        made.append(Request("GET", f"/{i}.{kind}", b"", shown.getvalue()))
    return made


def command(folder: str, workers: int, threads: int, bind: str) -> list[str]:
    """Return the command that docs/serve.md shows. It is run in docs/.

    Args:
        folder: an absolute path.
        bind: an address, as gunicorn takes it.
    """
    size = f"--workers {workers} --threads {threads} --env OMP_NUM_THREADS=1"
    return shlex.split(f"gunicorn --preload {size} --env AEC_PICTURES={shlex.quote(folder)} --bind {bind} serve:app")


@contextmanager
def served(folder: Path, workers: int, threads: int) -> Iterator[tuple[int, int]]:
    """Context manager: a server of the pictures in a folder, given as (its port, the id of its main process).

    Raises:
        RuntimeError: it did not start.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        given = command(str(folder), workers, threads, f"fd://{listening.fileno()}")[1:]
        paths = filter(None, [str(Path(codec.__file__).parents[1]), *sys.path])  # the same packages as here
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--log-level", "warning", *given],
            cwd=SOURCES / "docs",
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            pass_fds=[listening.fileno()],
        )
        try:
            _wait_for_workers(server, workers)
            yield listening.getsockname()[1], server.pid
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _wait_for_workers(server: subprocess.Popen, workers: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(children(server.pid)) < workers:
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the server did not start; is gunicorn installed? pip install 'aec-codec[bench]'")
        time.sleep(0.05)


def children(process: int) -> list[int]:
    """Return the ids of the child processes of a process. On Linux only."""
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def memory(processes: Sequence[int]) -> int:
    """Return the memory of processes in bytes. What they share with each other or their parent is counted once."""
    lines = [line.split() for p in processes for line in Path(f"/proc/{p}/smaps_rollup").read_text().splitlines()]
    return sum(int(words[1]) * 1024 for words in lines if words[0] == "Pss:")


def load(port: int, server: int, asked: Sequence[Request], count: int, clients: int, warm: int) -> Load:
    """Send requests to a server from several threads, each of which waits for an answer before it sends the next.

    Args:
        port: of the server on this machine.
        server: the id of the server's main process.
        asked: the requests, which are sent in turn.
        count: how many requests are sent and measured.
        clients: number of threads.
        warm: how many requests are sent before, until whose end the memory may grow.
    """
    failures: Counter[str] = Counter()
    before = set(children(server))

    def send(n: int) -> list[float]:
        numbers, times = iter(range(n)), []

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            for number in numbers:
                request, start = asked[number % len(asked)], time.perf_counter()
                try:
                    connection.request(request.method, request.path, request.body or None)
                    answer = connection.getresponse()
                    body = answer.read()
                    if answer.status != 200 or body != request.answer:
                        failures[f"{request.method}: status {answer.status}, {len(body)} bytes"] += 1
                except (OSError, http.client.HTTPException) as e:
                    failures[f"{request.method}: {type(e).__name__}"] += 1
                    connection.close()
                times.append(time.perf_counter() - start)
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return times

    send(warm)
    at_start, start = memory(children(server)), time.perf_counter()
    times = send(count)
    seconds = time.perf_counter() - start
    if before != set(children(server)):
        failures["a worker ended"] += 1
    return Load(seconds, times, (at_start, memory(children(server))), failures)


HEAD = [
    "workers",
    "threads each",
    "requests a second",
    "p50, ms",
    "p99, ms",
    "failures",
    "memory at first, MB",
    "at the end, MB",
]


def row(workers: int, threads: int, done: Load) -> str:
    p50, p99 = 1000 * np.percentile(done.times, (50, 99))
    cells = [workers, threads, f"{len(done.times) / done.seconds:.1f}", f"{p50:.0f}", f"{p99:.0f}"]
    cells += [done.failures.total(), *(f"{n / 1e6:.1f}" for n in done.memory)]
    return f"| {' | '.join(map(str, cells))} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or 1 if any request failed."""
    arguments = argparse.ArgumentParser(prog="python -m bench.serve", description=__doc__)
    arguments.add_argument("--requests", type=int, default=10_000, help="with each number of workers (default: 10000)")
    arguments.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes (default: 1 2)")
    arguments.add_argument("--threads", type=int, default=2, help="of each process (default: 2)")
    arguments.add_argument("--clients", type=int, default=4, help="requests at a time (default: 4)")
    arguments.add_argument("--side", type=int, default=128, help="of the pictures, in pixels (default: 128)")
    arguments.add_argument("--warm", type=int, default=1000, help="requests before the measured ones (default: 1000)")
    args = arguments.parse_args(argv)
    if not (SOURCES / "docs/serve.py").exists():
        arguments.error(f"{SOURCES / 'docs/serve.py'} does not exist: this runs in the source tree only")
    print("# The server of docs/serve.py under load\n")
    print(f"`python -m bench.serve {shlex.join(sys.argv[1:] if argv is None else argv)}`, {date.today()}  ")
    print(f"{machine_line(with_gpu=False)}, commit {source_commit()}\n")
    print(f"{args.requests} requests with each number of workers, by {args.clients} clients at a time, for pictures of")
    print(
        f"{args.side}x{args.side} pixels, after {args.warm} that were not measured. Half of them compress a PNG file,"
    )
    print("a quarter asks for a PNG file, and a quarter for a JPEG file. The clients ran on the same machine.\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    failures: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        asked = requests_for(Path(folder), args.side)
        for workers in args.workers:
            with served(Path(folder), workers, args.threads) as (port, server):
                done = load(port, server, asked, args.requests, args.clients, args.warm)
            print(row(workers, args.threads, done), flush=True)
            failures += done.failures
    for what, n in failures.items():
        print(f"\n{n} times: {what}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

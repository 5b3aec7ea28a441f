"""Memory that the system refuses: each allocation of the C++ code fails once, and nobody dies of it.

A library that is loaded before all others (tests/allocations/failing.cpp) lets the n-th allocation of a call fail, for
every n. The call must then raise a MemoryError or an AecError, or do without and give the right result; afterwards the
same call must work, and no object may be left that a call without failures does not leave.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import codec
from codec import _C
from codec.coding import exact, model_file, rans, threads
from codec.picture.pixels import to_pixels

from .check import GOLDEN, Check, Extent, Measured, NotHere, environment, need_tests, python
from .pictures import photo

MODULE = __spec__.name
# Objects that may be left after all failures of an operation: what caches keep, and no object for each failure.
MOST_LEFT = 8


def build(folder: Path) -> Path:
    """Compile the library. Raises NotHere without a compiler or glibc."""
    source, library = need_tests() / "allocations" / "failing.cpp", folder / "failing.so"
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None or sys.platform != "linux":
        raise NotHere("needs Linux and g++")
    command = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "-fno-optimize-sibling-calls"]
    done = subprocess.run([*command, str(source), "-o", str(library), "-ldl"], capture_output=True, text=True)
    if done.returncode:
        raise NotHere(f"the library that lets allocations fail cannot be built: {done.stderr[-200:]}")
    return library


def operations(model: Path) -> dict[str, Callable[[], object]]:
    """Calls of the C++ code, by name. Each returns what must be equal whenever it works."""
    image = photo(70, 100, seed=1)
    data = codec.encode(image, 60, "cpu", model)
    small = np.ascontiguousarray(image[:20, :30])
    near = exact.file(to_pixels(small), 2, 64)
    mapped = codec.encode(image, 60, "cpu", model, roi=[((0, 0, 64, 64), 20)])
    file, whole = model_file.load(model), model.read_bytes()

    def decode(data: bytes, **options) -> bytes:
        return codec.decode(data, "cpu", model, output="numpy", **options).tobytes()

    def load() -> None:
        _C.Encoder(whole, _C.Model(whole, 2), 2)

    return {
        "decode": lambda: decode(data),
        "decode a region at half the size": lambda: decode(data, region=(8, 8, 60, 40), scale=0.5),
        "decode a picture with a map of qualities": lambda: decode(mapped),
        "decode half a file": lambda: decode(data[: len(data) * 2 // 3], allow_partial=True),
        "encode": lambda: codec.encode(image, 60, "cpu", model),
        "encode an exact picture": lambda: exact.encode(small),
        "decode one with a largest error": lambda: decode(near),
        "encode with care": lambda: codec.encode(image, 60, "cpu", model, effort=3),
        "load a model": load,
        "coder": lambda: coder(file),
    }


def coder(file: model_file.ModelFile) -> bytes:
    """Symbols into many streams and out of them, on several threads."""
    indexes = np.full(40_000, 20, np.uint8)
    symbols = (np.arange(40_000) % 7 - 3).astype(np.int16)
    payload = rans.encode(symbols, indexes, [30_000, 10_000], file.tables, 8, 3)
    reader = rans.Decoder(file.tables, payload)
    read = np.concatenate([reader.decode(part) for part in (indexes[:30_000], indexes[30_000:])])
    reader.finish()
    return read.tobytes()


def work(library: str, log: str, most: int) -> None:
    """The main function of the process that has the library: prints what came of each operation as JSON."""
    failing, found = ctypes.CDLL(library), {}
    failing.failing_live.restype = failing.failing_disarm.restype = failing.failing_failed.restype = ctypes.c_long
    failing.failing_arm.argtypes = [ctypes.c_long, ctypes.c_int]
    model = GOLDEN / "tiny4.safetensors"
    threads.use(3)
    for name, operation in operations(model).items():
        expected = [operation() for _ in range(3)][-1]
        failing.failing_arm(1 << 40, 0)
        operation()
        n, outcomes, left = failing.failing_disarm(), Counter(), failing.failing_live()
        for i in sorted({i * n // most for i in range(most)} if n > most else range(n)):
            for all_after in (0, 1):
                Path(log).write_text(f"{name}: allocation {i} of {n} fails{', and all after it' * all_after}")
                failing.failing_arm(i, all_after)
                try:
                    outcome = "right" if operation() == expected else "WRONG RESULT"
                except (MemoryError, codec.AecError) as error:
                    outcome = type(error).__name__
                except Exception as error:
                    outcome = f"WRONG ERROR {type(error).__name__}: {error}"
                failing.failing_disarm()
                outcomes[outcome if failing.failing_failed() else "not reached"] += 1
            if i % 16 == 0 and operation() != expected:
                outcomes["WRONG AFTERWARDS"] += 1
        operation()
        found[name] = {"allocations": n, "outcomes": outcomes, "left": failing.failing_live() - left}
    print(json.dumps(found))


def failures(most: int) -> tuple[dict, str]:
    """Let up to `most` allocations of each operation fail, each once alone and once with all that follow it.

    Returns (what was found by operation, or {} if the process died; what it did when it died).
    """
    with tempfile.TemporaryDirectory() as name:
        library, log = build(Path(name)), Path(name) / "log"
        env = environment(LD_PRELOAD=str(library), OMP_NUM_THREADS="3", PYTHONMALLOC="pymalloc")
        done = python("-m", MODULE, library, log, most, env=env)
        if done.returncode:
            doing = log.read_text() if log.exists() else "the beginning"
            return {}, f"exit code {done.returncode} at {doing}: {done.stderr.strip()[-300:]}"
        return json.loads(done.stdout), ""


def injected(extent: Extent) -> Measured:
    found, died = failures(extent.of(150, 1 << 40))
    if died:
        return Measured(died, False)
    outcomes: Counter[str] = Counter()
    for row in found.values():
        outcomes.update(row["outcomes"])
    outcomes.pop("not reached", None)
    left = max(row["left"] for row in found.values())
    wrong = [outcome for outcome in outcomes if outcome.startswith("WRONG")]
    said = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
    figure = f"{sum(outcomes.values())} failures in {len(found)} operations: {said}; 0 aborts; {left} objects left"
    return Measured(figure, not wrong and left <= MOST_LEFT and outcomes["MemoryError"] > 0)


def symbols(extent: Extent) -> Measured:
    """What ends a process must not be called by csrc: the extension does not ask for such functions."""
    nm = shutil.which("nm")
    if nm is None:
        raise NotHere("nm is not installed (Debian: binutils)")
    done = subprocess.run([nm, "-D", "--undefined-only", _C.__file__], capture_output=True, text=True, check=True)
    asked = {line.split()[-1].partition("@")[0] for line in done.stdout.splitlines()}
    ends = sorted(asked & {"abort", "exit", "_exit", "_Exit", "quick_exit", "__assert_fail", "raise", "kill"})
    return Measured(
        f"{len(asked)} symbols asked for, of these: {', '.join(ends) or 'none that ends a process'}", not ends
    )


CHECKS = [
    Check(10, "allocations of encoding, decoding and loading that fail, each alone and with all that follow", injected),
    Check(10, "the extension, searched for functions that end a process", symbols),
]

if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))

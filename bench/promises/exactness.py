"""A file means the same symbols and the same pixels, whatever computes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import codec
from codec import _C
from codec.coding import threads

from .. import determinism
from .check import Check, Extent, Measured, NotHere, run_tests, tests
from .pictures import photo

QUALITIES = (5, 25, 50, 75, 100)
ODD_SIZES = ((1, 1), (1, 97), (97, 1), (17, 3), (63, 65), (64, 64), (65, 129), (127, 61), (131, 257))


def settings(extent: Extent) -> Measured:
    """Kernels, threads, layouts and batches of torch, csrc and their libraries: bench.determinism."""
    pictures = [photo(192, 192, seed) for seed in range(extent.of(1, 1000))]
    environments = extent.of(("all least",), tuple(determinism.ENVIRONMENTS))
    rows = list(determinism.matrix(pictures, environments=environments, wide_control=not extent.long))
    wrong = sum(row.integer_symbols for row in rows)
    control = sum(row.float_symbols for row in rows)
    figure = f"{len(pictures)} pictures, {len(rows)} settings: {wrong} integers differ (control of floats: {control})"
    if not wrong and not control:
        raise NotHere(f"the settings show nothing, for even the control is equal: {figure}")
    return Measured(figure, wrong == 0 and len({row.sha256 for row in rows}) == 1)


def decoded(data: bytes) -> Iterator[np.ndarray]:
    """The samples of a file in all instruction sets and several numbers of threads, and put together from regions."""
    height, width = codec.inspect(data).height, codec.inspect(data).width
    before = _C.isa()
    for isa in _C.isas():
        _C.set_isa(isa)
        for n in (1, 3):
            threads.use(n)
            yield codec.decode(data, "cpu", output="numpy")
        y, x = (height + 1) // 2, (width + 1) // 2
        areas = [(0, 0, x, y), (x, 0, width - x, y), (0, y, x, height - y), (x, y, width - x, height - y)]
        parts = [codec.decode(data, "cpu", output="numpy", region=area) if min(area[2:]) else None for area in areas]
        rows = [[part for part in pair if part is not None] for pair in (parts[:2], parts[2:])]
        yield np.concatenate([np.concatenate(row, 1) for row in rows if row], 0)
    _C.set_isa(before)


def here(extent: Extent) -> Measured:
    """All instruction sets of this machine, threads and regions."""
    sizes = [*ODD_SIZES, *[(256, 384)] * extent.of(1, 24)]
    files = wrong = samples = 0
    for i, size in enumerate(sizes):
        for quality in (*extent.of(QUALITIES[i % 5 :][:1], QUALITIES), None):
            options = {"lossless": True} if quality is None else {"quality": quality}
            data = codec.encode(photo(*size, seed=i), device="cpu", **options)
            all_of_it = list(decoded(data))
            files += 1
            samples += all_of_it[0].size
            wrong += sum(int((one != all_of_it[0]).sum()) for one in all_of_it)
    figure = f"{files} files x {len(all_of_it)} ways ({', '.join(_C.isas())}): {wrong} of {samples} samples differ"
    return Measured(figure, wrong == 0)


def _machine(build: str):
    """A machine that is emulated; in a long run with the photographs and the model that is shipped, too."""

    def run(extent: Extent) -> Measured:
        names = [f"test_other_machines.py::test_another_machine_computes_the_same[{build}]"]
        if not extent.long:
            return run_tests(names)
        every = ["test_other_machines.py", "-k", build]
        return run_tests(every, "-m", "exhaustive or not exhaustive")

    return run


def emulated_cuda(extent: Extent) -> Measured:
    if not extent.long:
        raise NotHere("minutes of compiling with sanitizers: --long, or `pytest tests/test_cuda_emulation.py`")
    return run_tests(["test_cuda_emulation.py"])


def on_gpu(extent: Extent) -> Measured:
    """On a GPU: symbols, payloads and pixels are those of the CPU."""
    if not _C.cuda_built():
        raise NotHere("this build has no CUDA")
    import torch

    if not torch.cuda.is_available():
        raise NotHere("no GPU")
    parts = [f"test_{part}_cuda.py" for part in ("coder", "nets", "analysis", "synthesis")]
    return run_tests(["test_exactness.py", "test_cuda.py", *parts], "-m", "needs_cuda")


POISON = "test_exactness.py::test_writing_and_reading_a_file_use_no_float_network_at_all"
CHECKS = [
    Check(1, "kernels x threads x layouts x batches, in csrc and torch (bench.determinism)", settings, seconds=600),
    Check(1, "CUDA against the CPU", on_gpu),
    Check(2, "float networks replaced by errors while files are written and read", tests(POISON)),
    Check(3, "instruction sets x threads x regions, odd sizes and photographs", here),
    Check(3, "aarch64 (scalar and NEON, under qemu)", _machine("aarch64"), seconds=600),
    Check(3, "a big-endian machine, s390x (scalar, under qemu)", _machine("s390x"), seconds=600),
    Check(3, "WebAssembly (scalar and simd128, in node)", _machine("wasm"), seconds=600),
    Check(3, "CUDA kernels, emulated on the CPU", emulated_cuda),
]

"""The checks of `aec doctor`: what is installed, and whether this machine computes the same as every other one.

Each implementation of the nets that works on this machine runs the self-test in `codec.coding.self_test`. Checks that
need torch are left out if it is not installed.
"""

import importlib.util
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .. import _C
from ..coding import model_file, model_search, self_test
from ..container import format

LEAST_DB = 20  # least PSNR of a simple picture at quality 75 with any model; the shipped models reach twice as much


@dataclass(frozen=True)
class Check:
    """One row of the report. `ok` is None if the check does not apply to this machine."""

    name: str
    ok: bool | None
    detail: str


Outcome = tuple[bool | None, str]


def checks() -> Iterator[Check]:
    """Run all checks, and yield each as soon as it is done. This takes some seconds on a slow core.

    Errors are not raised, but become failed checks.
    """
    yield _run("build", _build)
    yield (torch := _run("torch", _torch))
    yield _run("CUDA", _cuda) if torch.ok else Check("CUDA", None, "not looked for: torch is what uses it")
    models = model_search.available()
    for path in models:
        yield _run(f"model {path.stem}", partial(_model, path))
    for (name, _), package in model_search.PACKAGES.items():
        if name not in {path.stem for path in models}:
            yield Check(f"model {name}", None, f"not installed: {model_search.installs(package)}")
    for name, make in _arithmetics(with_torch=bool(torch.ok)):
        yield _run(f"integers, {name}", partial(_digest, make, self_test.decoder_digest, self_test.DECODER))
        yield _run(f"analysis, {name}", partial(_digest, make, self_test.encoder_digest, self_test.ENCODER))


def _run(name: str, check: Callable[[], Outcome]) -> Check:
    try:
        return Check(name, *check())
    except Exception as e:  # a broken installation may raise any error
        return Check(name, False, f"{type(e).__name__}: {e}")


# ------------------------------------------------------------------ what is installed


def _build() -> Outcome:
    cuda = f"CUDA for {_C.cuda_archs()}" if _C.cuda_built() else "no CUDA"
    isas = f"{', '.join(_C.isas())}; {_C.isa()} in use"
    python = f"Python {platform.python_version()}"
    return True, f"format {format.VERSION}, {python}, {platform.machine()}: {isas}; {cuda}"


def _torch() -> Outcome:
    if importlib.util.find_spec("torch") is None:
        return None, "not installed: training, tensors and GPUs need it (pip install 'aec-codec[train]')"
    import torch

    return True, f"{torch.__version__}, {torch.get_num_threads()} threads"


def _cuda() -> Outcome:
    from ..nets import torch_self_test

    return torch_self_test.about_gpus()


def _model(path: Path) -> Outcome:
    file = model_file.load(path)
    decibels = self_test.round_trip(file)
    said = f"{file.id.hex()}, all hashes are right; a picture comes back with {decibels:.1f} dB; {path}"
    return decibels >= LEAST_DB, said if decibels >= LEAST_DB else f"{said}: at least {LEAST_DB} dB were to come back"


# ------------------------------------------------------------------ integers


def _arithmetics(with_torch: bool) -> Iterator[tuple[str, Callable[[], self_test.Arithmetic]]]:
    """Yield the name and the factory of each implementation that can run the nets on this machine.

    For the C++ code there is one for each instruction set of the processor, which is active while that one is tested.
    The entropy coder uses the same instruction set.
    """
    before = _C.isa()
    try:
        for isa in _C.isas():
            _C.set_isa(isa)
            yield isa, self_test.Native
    finally:
        _C.set_isa(before)
    if with_torch:
        from ..nets.torch_self_test import InTorch, devices

        for device in devices():
            yield "reference" if device.type == "cpu" else str(device), partial(InTorch, device)


def _digest(
    make: Callable[[], self_test.Arithmetic], digest: Callable[[self_test.Arithmetic], str], expected: str
) -> Outcome:
    found = digest(make())
    right = found == expected
    return right, "the same numbers as everywhere" if right else f"SHA-256 {found[:8]}.., not {expected[:8]}.."

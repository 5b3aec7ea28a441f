"""Does this machine compute what every other one does? What `aec doctor` prints: what is installed, and a self-test.

Whether a file can be read at all hangs on integers being exact. So entropy nets as wide as the shipped model's, coding
tables and symbols are drawn from a hash, and every arithmetic that this machine has must make the bytes of them whose
SHA-256 stands below, and read them back. No float takes part and no model file, so the constant stands as long as the
format does. The synthesis is floating point: there the same network in float64 is the measure (FORMAT §8).
"""

import copy
import hashlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import _C
from ..coding import model_file, payloads, rans, rans_cuda, segment_walk
from ..coding.floats import to_samples
from ..coding.model_config import Config
from ..container import format
from ..nets import torch_codec
from ..nets.integer import IntegerConv, IntegerEntropyNet, IntegerQualityVector
from ..nets.layers import exact_convolutions

EXPECTED = "92d7d342ce45db82128d58de02a2c3bbaa7f53e2bc084a060090a60ec6b4a7fa"
NETS = Config(wide8=8, blocks8=1, wide16=8, blocks16=1)  # the transforms take no part
QUALITY, ROWS, COLUMNS = 50, 21, 35  # of latents: odd, so that no vector is full at a row's end
LANES_LOG2 = 7  # four streams; the encoder's own choice may change
SYNTHESIS_ROWS, SYNTHESIS_COLUMNS = 6, 9  # of latents


@dataclass(frozen=True)
class Check:
    """One row of the report; `ok` None: not applicable on this machine."""

    name: str
    ok: bool | None
    detail: str


def checks() -> Iterator[Check]:
    """All checks, each as soon as it is done; some seconds on a slow core. None raises: what goes wrong is a row."""
    yield _run("build", _build)
    yield _run("torch", _torch)
    yield _run("CUDA", _cuda)
    for path in model_file.available():
        yield _run(f"model {path.stem}", partial(_model, path))
    for name, arithmetic in _arithmetics():
        yield _run(f"integers, {name}", partial(_integers, arithmetic))
    for device in _devices():
        yield _run(f"synthesis, {device}", partial(_synthesis, device))


def _run(name: str, check: Callable[[], tuple[bool | None, str]]) -> Check:
    try:
        return Check(name, *check())
    except Exception as e:  # of a machine that is out of order anything may come
        return Check(name, False, f"{type(e).__name__}: {e}")


# ------------------------------------------------------------------ what is installed


def _build() -> tuple[bool, str]:
    cuda = f"CUDA for {_C.cuda_archs()}" if _C.cuda_built() else "no CUDA"
    return True, f"format {format.VERSION}, {platform.machine()}: {', '.join(_C.isas())}; {_C.isa()} in use; {cuda}"


def _torch() -> tuple[bool, str]:
    return True, f"{torch.__version__}, {torch.get_num_threads()} threads, Python {platform.python_version()}"


def _cuda() -> tuple[bool | None, str]:
    if not torch.cuda.is_available():
        return None, "no device answers"
    devices = [torch.cuda.get_device_properties(device) for device in _devices()[1:]]
    names = "; ".join(f"{d.name}, compute capability {d.major}.{d.minor}, {d.total_memory >> 20} MiB" for d in devices)
    if not all(map(rans_cuda.serves, _devices()[1:])):
        return True, f"{names}; without kernels for it in this build: entropy nets run in torch, the coder on the CPU"
    return True, names


def _model(path: Path) -> tuple[bool, str]:
    return True, f"{model_file.load(path).id.hex()}, all hashes are right; {path}"


# ------------------------------------------------------------------ integers


def _devices() -> list[torch.device]:
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.device("cpu"), *(torch.device("cuda", i) for i in range(n))]


def _arithmetics() -> Iterator[tuple[str, Callable[[], segment_walk.Start]]]:
    """Name and maker of all that may run the entropy nets here; the CPU's coder uses the same instruction set."""
    net = fixed_net()
    yield "reference", lambda: partial(segment_walk.ReferenceWalk, net)
    before = _C.isa()
    try:
        for isa in _C.isas():
            _C.set_isa(isa)
            yield isa, lambda: partial(segment_walk.CpuWalk, segment_walk.cpu_nets(net))
    finally:
        _C.set_isa(before)
    for device in _devices()[1:]:
        yield str(device), lambda device=device: segment_walk.starter(copy.deepcopy(net).to(device), "native")


def _integers(make: Callable[[], segment_walk.Start]) -> tuple[bool, str]:
    start, tables = make(), fixed_tables()
    found = digest(start, tables)
    ok = found == EXPECTED
    return ok, "the same bytes and latents as everywhere" if ok else f"SHA-256 {found[:8]}.., not {EXPECTED[:8]}.."


def digest(start: segment_walk.Start, tables: rans.Tables) -> str:
    """SHA-256 of the payload that the fixed symbols make and of the latents that come back from it.

    Raises:
        CorruptError: the payload cannot be read back.
    """
    at, symbols, indexes = start(QUALITY, ROWS, COLUMNS), [], []
    for k in range(at.segments):
        indexes.append(at.predict(k))
        symbols.append(fixed_symbols(k, indexes[-1]))
        at.accept(k, symbols[-1])
    segments, coded, by = [len(s) for s in symbols], torch.cat(symbols), torch.cat(indexes)
    if rans_cuda.serves(at.device):
        payload = rans_cuda.encode(coded, by, segments, tables, LANES_LOG2)
    else:
        payload = rans.encode(coded.cpu().numpy(), by.cpu().numpy(), segments, tables, LANES_LOG2)
    back = payloads.read(start(QUALITY, ROWS, COLUMNS), tables, payload)
    units = (back.cpu() * 2**12).to(torch.int16).contiguous().numpy().astype("<i2")
    return hashlib.sha256(payload + units.tobytes()).hexdigest()


def drawn(name: str, shape: tuple[int, ...] | torch.Size, dtype: str) -> np.ndarray:
    """Integers that depend on `name` alone, whatever the machine and the libraries."""
    kind = np.dtype(dtype).newbyteorder("<")
    n_bytes = int(np.prod(shape)) * kind.itemsize
    return np.frombuffer(hashlib.shake_256(name.encode()).digest(n_bytes), kind).reshape(shape).astype(np.int32)


def fixed_net() -> IntegerEntropyNet:
    """Entropy nets whose gains are near 1, so that activations, means and indexes take all values; some saturate."""
    net = IntegerEntropyNet(NETS)

    def fill(buffer: Tensor, values: np.ndarray) -> None:
        buffer.copy_(torch.from_numpy(values))

    for name, module in net.net.named_modules():
        if isinstance(module, IntegerConv):
            shift = 6 + module.weight[0].numel().bit_length() // 2  # weights of deviation 2^6, times sqrt(terms)
            module.shift.fill_(shift)
            fill(module.weight, drawn(f"{name}.weight", module.weight.shape, "i1"))
            fill(module.bias, drawn(f"{name}.bias", module.bias.shape, "i2") << shift - 3)
        elif isinstance(module, IntegerQualityVector):
            fill(module.table, drawn(f"{name}.table", module.table.shape, "i2") >> 2)
    fill(net.step, 1 + (drawn("step", net.step.shape, "u2") >> 4))
    fill(net.hyper_step, 1 + (drawn("hyper_step", net.hyper_step.shape, "u2") >> 4))
    fill(net.hyper_index, drawn("hyper_index", net.hyper_index.shape, "u1") >> 2)
    net.check()
    return net.eval().requires_grad_(False)


def fixed_tables() -> rans.Tables:
    """Triangles of all the widths and raw bit counts that FORMAT §5 allows."""
    freqs = np.zeros((rans.INDEX_COUNT, rans.MAX_ALPHABET), np.uint16)
    limits, raw_bits = (np.zeros(rans.INDEX_COUNT, np.uint8) for _ in range(2))
    for i in range(1, rans.INDEX_COUNT):
        limits[i], raw_bits[i] = limit, _ = i // 2, i % (_C.MAX_RAW_BITS + 1)
        heights = np.append(limit + 1 - abs(np.arange(-limit, limit + 1)), 1)
        row = 1 + heights * ((1 << _C.SCALE_BITS) - len(heights)) // heights.sum()
        row[limit] += (1 << _C.SCALE_BITS) - row.sum()
        freqs[i, : len(row)] = row
    return rans.Tables(freqs, limits, raw_bits)


def fixed_symbols(segment: int, indexes: Tensor) -> Tensor:
    """int16 [N], of all magnitudes up to 16383; 0 where the index is 0. On the device of `indexes`."""
    values = drawn(f"symbols {segment}", indexes.shape, "i2") >> 1 + drawn(f"size {segment}", indexes.shape, "u1") % 15
    symbols = torch.from_numpy(values.clip(-rans.MAX_SYMBOL, rans.MAX_SYMBOL).astype(np.int16))
    return symbols.to(indexes.device) * (indexes > 0)


# ------------------------------------------------------------------ pixels


@torch.inference_mode()
@exact_convolutions
def _synthesis(device: torch.device) -> tuple[bool, str]:
    """The default model's pixels of fixed latents, in float32 as `decode` makes them and in float64 on the CPU."""
    path = model_file.find(None)
    model, fast = torch_codec.load(path, torch.device("cpu")), torch_codec.load(path, device).synthesis
    exact = copy.deepcopy(model.synthesis).double()
    exact.shortcut.register_forward_pre_hook(lambda conv, inputs: (inputs[0].double(),))  # model.linear feeds float32
    shape = (1, model.config.latents, SYNTHESIS_ROWS, SYNTHESIS_COLUMNS)
    y, q = torch.from_numpy(drawn("latents", shape, "i2")) / 2**17, torch.tensor([float(QUALITY)])
    y32 = y.float().to(device).contiguous(memory_format=torch.channels_last)
    pixels = [exact(y.double(), q.double())[0], fast(y32, q.to(device))[0].cpu()]
    expected, found = (to_samples(x + 0.5, gray=False, depth=8).int() for x in pixels)
    worst = int((expected - found).abs().max())
    return worst <= 1, f"at most {worst} of 255 levels from float64"

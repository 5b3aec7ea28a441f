"""Does this machine compute what every other one does? What `aec doctor` prints: what is installed, and a self-test.

Whether a file can be read at all, and to which pixels, hangs on integers being exact. So nets, coding tables and
symbols are drawn from a hash, the entropy nets as wide as the shipped model's, and every arithmetic that this machine
has must make the bytes of them whose SHA-256 stands below, read them back, and make the same samples. No float takes
part and no model file, so the constant stands as long as the format does.
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
from ..coding import engine, model_file, payloads, rans, rans_cuda, segment_walk
from ..coding.decoder import Synthesis
from ..coding.model_config import LATENT_STRIDE, Config
from ..coding.model_tensors import PIXEL_BITS
from ..container import format
from ..nets.integer import IntegerConv, IntegerEntropyNet, IntegerQualityVector
from ..nets.integer_synthesis import IntegerSynthesis
from ..nets.torch_decoder import ReferenceSynthesis

EXPECTED = "606af303c142bef86ab392287f87ace5d3f8d4f43889c522b87e2695b1e7de7c"
NETS = Config(wide8=40, blocks8=2, wide16=72, blocks16=1)
LEVELS = np.linspace(1, 100, 100, dtype=np.float32)  # whatever they are, the branch is heard where nothing is shrunk
QUALITY, ROWS, COLUMNS = 50, 21, 35  # of latents: odd, so that no vector is full at a row's end
SAMPLES = (("u1", 3, 1), ("<u2", 1, 1), ("<u2", 3, 2))  # type, channels, shrink
LANES_LOG2 = 7  # four streams; the encoder's own choice may change


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


def _arithmetics() -> Iterator[tuple[str, Callable[[], tuple[segment_walk.Start, Synthesis]]]]:
    """Name and maker of all that may run the nets here; the CPU's coder uses the same instruction set."""
    net, synthesis = fixed_net(), fixed_synthesis()
    yield "reference", lambda: (partial(segment_walk.ReferenceWalk, net), ReferenceSynthesis(synthesis, LEVELS))
    tensors = {f"synthesis.{name}": tensor.numpy() for name, tensor in synthesis.state_dict().items()}
    before = _C.isa()
    try:
        for isa in _C.isas():
            _C.set_isa(isa)
            yield (
                isa,
                lambda: (
                    partial(segment_walk.CpuWalk, segment_walk.cpu_nets(net)),
                    engine.Synthesis(NETS, LEVELS, tensors),
                ),
            )
    finally:
        _C.set_isa(before)
    for device in _devices()[1:]:
        yield (
            str(device),
            lambda device=device: (
                segment_walk.starter(copy.deepcopy(net).to(device), "native"),
                ReferenceSynthesis(copy.deepcopy(synthesis).to(device), LEVELS),
            ),
        )


def _integers(make: Callable[[], tuple[segment_walk.Start, Synthesis]]) -> tuple[bool, str]:
    found = digest(*make(), fixed_tables())
    ok = found == EXPECTED
    return ok, "the same bytes and pixels as everywhere" if ok else f"SHA-256 {found[:8]}.., not {EXPECTED[:8]}.."


def digest(start: segment_walk.Start, synthesis: Synthesis, tables: rans.Tables) -> str:
    """SHA-256 of the payload that the fixed symbols make, of the latents that come back from it, and of their samples.

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
    units = (back.permute(1, 2, 0) * 2**12).to(torch.int16).contiguous()
    latents = units if units.is_cuda else units.numpy()
    samples = [
        np.empty((LATENT_STRIDE * ROWS // shrink, LATENT_STRIDE * COLUMNS // shrink, channels), kind)
        for kind, channels, shrink in SAMPLES
    ]
    for out, (_, _, shrink) in zip(samples, SAMPLES, strict=True):
        synthesis.run(latents, (0, 0), (ROWS, COLUMNS), QUALITY, shrink, (0, 0), out)
    known = payload, units.cpu().permute(2, 0, 1).numpy().astype("<i2").tobytes(), *(out.tobytes() for out in samples)
    return hashlib.sha256(b"".join(known)).hexdigest()


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


def fixed_synthesis() -> IntegerSynthesis:
    """A synthesis whose samples take all values; some activations saturate."""
    net = IntegerSynthesis(NETS)
    state = net.state_dict()
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        terms = state[f"{layer}.weight"][0].numel() if f"{layer}.weight" in state else 0
        shift = 6 + terms.bit_length() // 2  # weights of deviation 2^6, times sqrt(terms)
        if part == "shift":
            tensor.fill_({"gain": 14, "shortcut": 7}.get(layer, shift))
        elif part == "table":
            tensor.copy_(torch.from_numpy(drawn(name, tensor.shape, "i2") >> (0 if layer == "gain" else 2)))
        elif part == "weight":
            weight = drawn(name, tensor.shape, "i2") >> 1 if layer == "shortcut" else drawn(name, tensor.shape, "i1")
            tensor.copy_(torch.from_numpy(weight))
        elif part == "bias":
            middle = 127 << 17 if layer == "shortcut" else 0
            tensor.copy_(torch.from_numpy(middle + (drawn(name, tensor.shape, "i2") << shift - 3)))
    net.shortcut.fraction.fill_(PIXEL_BITS)
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

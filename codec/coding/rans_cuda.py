"""The entropy coder on tensors of a CUDA device (FORMAT §3-§6): the bytes of `rans`, and they alone are copied.

A batch of tiles is one launch after the other for all of them. Once the tables are there and `decode` has seen its
lengths, nothing waits for the device but `Encoder.payloads` and `finish`; so `Encoder.run`, `BatchDecoder.rewind` and
`decode` can be captured as CUDA graphs.
"""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .. import _C
from ..errors import BackendError, CorruptError
from .rans import AUTO_LANES, MAX_LANES_LOG2, Tables

# In the emulation of tests/cuda_emulation device memory is the process's memory.
DEVICE_TYPE = "cpu" if _C.cuda_archs() == "emulated" else "cuda"

_copies: WeakKeyDictionary[Tables, dict[torch.device, Tensor]] = WeakKeyDictionary()


def _pointer(name: str, tensor: Tensor, dtype: torch.dtype, numel: int, device: torch.device) -> int:
    """Address of a tensor of the caller's, checked; what is made here needs no check."""
    if not isinstance(tensor, Tensor) or tensor.dtype != dtype:
        found = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a tensor of {dtype}, not {found}")
    if tensor.device != device:
        raise ValueError(f"{name} is on {tensor.device}, expected {device}")
    if tensor.ndim != 1 or not tensor.is_contiguous():
        raise ValueError(f"{name} must be one-dimensional and contiguous")
    if tensor.numel() != numel:
        raise ValueError(f"{name} has {tensor.numel()} elements, expected {numel}")
    return tensor.data_ptr()


def _buffer(n_bytes: int, device: torch.device) -> Tensor:
    return torch.empty(n_bytes, dtype=torch.uint8, device=device)


def _upload(data: bytes, device: torch.device) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).to(device) if data else _buffer(0, device)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.cpu().numpy().tobytes()


def _checked(device: torch.device) -> torch.device:
    """`device`, with its number."""
    if not _C.cuda_built():
        raise BackendError("this build has no CUDA code")
    device = torch.device(device)
    if device.type != DEVICE_TYPE:
        raise ValueError(f"tensors are on {device}, expected {DEVICE_TYPE}")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


@cache
def serves(device: torch.device) -> bool:
    """Whether tensors of this device are for this build's CUDA code: for the others torch's operations have to do."""
    if device.type != "cuda" or DEVICE_TYPE != "cuda" or not _C.cuda_built():
        return False
    return runs_on(_C.cuda_archs(), torch.cuda.get_device_capability(device))


def runs_on(archs: str, capability: tuple[int, int]) -> bool:
    """Whether code for `archs`, as in "sm_80 sm_90 compute_90", runs on a device of this compute capability.

    sm_XY is machine code, for devices of the same X and at least that Y; compute_XY is compiled for any later one.
    """
    for arch in archs.split():
        kind, number = arch.split("_")
        major, minor = divmod(int(number), 10)
        if capability >= (major, minor) and (kind == "compute" or capability[0] == major):
            return True
    return False


def launch_site(device: torch.device) -> tuple[int, int]:
    """Device number and current stream, as launchers take them; both 0 in the emulation."""
    return (device.index, torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else (0, 0)


def _tables_on(device: torch.device, tables: Tables) -> int:
    copies = _copies.setdefault(tables, {})
    if device not in copies:
        copies[device] = _upload(_C.tables_data(tables._handle), device)
    return copies[device].data_ptr()


class Encoder:
    """Encodes batches of tiles of given sizes, each in the same memory.

    Args:
        tables: of the model.
        segments: for each tile the lengths of its segments, as many for each.
        lanes_log2: for each tile, 0..12.
        device: where the symbols will be.
        tables_in_shared: whether kernels copy the tables to shared memory; for measurements.

    Raises:
        ValueError: lengths or lanes do not fit.
        BackendError: the build has no CUDA code.
    """

    def __init__(
        self,
        tables: Tables,
        segments: Sequence[Sequence[int]],
        lanes_log2: Sequence[int],
        device: torch.device,
        tables_in_shared: bool = True,
    ):
        self._device = device = _checked(device)
        self._tables, self._in_shared = tables, tables_in_shared
        self._plan = plan = _C.EncodePlan([list(s) for s in segments], list(lanes_log2))
        self._plan_data = _upload(plan.data, device)
        self._words, self._scratch = _buffer(plan.words_bytes, device), _buffer(plan.scratch_bytes, device)
        self._payloads, self._result = _buffer(plan.capacity, device), _buffer(plan.result_bytes, device)

    def run(self, symbols: Tensor, indexes: Tensor) -> None:
        """Start encoding; does not wait.

        Args:
            symbols: [N] int16, tile after tile, segment after segment; |s| <= MAX_SYMBOL, and 0 where the index is 0.
            indexes: [N] uint8, below INDEX_COUNT.
        """
        n, device = self._plan.n, self._device
        self._inputs = symbols, indexes
        self._plan.run(
            _tables_on(device, self._tables),
            self._plan_data.data_ptr(),
            _pointer("symbols", symbols, torch.int16, n, device),
            _pointer("indexes", indexes, torch.uint8, n, device),
            self._words.data_ptr(),
            self._words.numel(),
            self._scratch.data_ptr(),
            self._payloads.data_ptr(),
            self._payloads.numel(),
            self._result.data_ptr(),
            self._in_shared,
            *launch_site(device),
        )

    def payloads(self) -> list[bytes]:
        """The tiles' payloads (FORMAT §3), of what was encoded last.

        Raises:
            ValueError: the position of a symbol or index out of range is named, counted over the batch.
        """
        result = _bytes(self._result)
        position = self._plan.wrong_argument(result)
        if position >= 0:
            symbols, indexes = self._inputs
            _C.check_argument(position, int(symbols[position]), int(indexes[position]))
            raise ValueError(f"position {position}: the symbol or its index was wrong, and has changed since")
        ends = self._plan.ends(result)
        data = _bytes(self._payloads[: ends[-1]])
        return [data[a:b] for a, b in zip(ends, ends[1:], strict=False)]


def encode(
    symbols: Tensor, indexes: Tensor, segments: Sequence[int], tables: Tables, lanes_log2: int = AUTO_LANES
) -> bytes:
    """`rans.encode` of tensors: one tile, the same bytes and errors. AUTO_LANES waits for the device once more.

    Raises:
        ValueError: as there; or tensors are not on the same CUDA device.
        BackendError: the build has no CUDA code.
    """
    device, segments = _checked(symbols.device), list(segments)
    if not AUTO_LANES <= lanes_log2 <= MAX_LANES_LOG2:
        raise ValueError(f"lanes_log2 is {lanes_log2}, allowed are -1 (automatic) to 12")
    if sum(segments) != symbols.numel():
        raise ValueError(f"segments sum to {sum(segments)}, not to the {symbols.numel()} symbols")
    if lanes_log2 == AUTO_LANES:
        n, cost = symbols.numel(), torch.zeros(1, dtype=torch.int64, device=device)
        address = _pointer("indexes", indexes, torch.uint8, n, device)
        _C.cost_cuda(_tables_on(device, tables), address, n, cost.data_ptr(), *launch_site(device))
        lanes_log2 = _C.choose_lanes_log2(int(cost) // (16 * 8))
    encoder = Encoder(tables, [segments], [lanes_log2], device)
    encoder.run(symbols, indexes)
    return encoder.payloads()[0]


class BatchDecoder:
    """Decodes tiles side by side, segment by segment, in the order of encoding. Not for two threads at once.

    Args:
        tables: of the model that encoded.
        payloads: bytes-like, one for each tile; copied.
        device: where the indexes will be, and the symbols.
        tables_in_shared: whether kernels copy the tables to shared memory; for measurements.

    Raises:
        CorruptError: a payload breaks FORMAT §3.
        BackendError: the build has no CUDA code.
    """

    def __init__(
        self,
        tables: Tables,
        payloads: Sequence[bytes | bytearray | memoryview],
        device: torch.device,
        tables_in_shared: bool = True,
    ):
        self._device = device = _checked(device)
        self._tables, self._in_shared = tables, tables_in_shared
        try:
            self._plan = _C.DecodePlan(list(payloads))
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None
        self._payloads = _upload(b"".join(payloads), device)
        self._start = _upload(self._plan.data, device)
        self._firsts: dict[tuple[int, ...], Tensor] = {}  # by lengths
        self.rewind()

    def rewind(self) -> None:
        """Back to the first segment."""
        self._state, self._segment = self._start.clone(), 0

    def decode(self, indexes: Tensor, lengths: Sequence[int]) -> Tensor:
        """The symbols, [N] int16, of every tile's next segment. Damage shows in `finish` alone.

        Args:
            indexes: [N] uint8, on the decoder's device, tile after tile.
            lengths: of each tile's segment; they sum to N. Several tiles' are uploaded when first seen, which waits.

        Raises:
            ValueError: the lengths or the tensor do not fit.
        """
        n, device, lengths = indexes.numel(), self._device, tuple(lengths)
        if len(lengths) != self._plan.n_tiles or min(lengths, default=0) < 0 or sum(lengths) != n:
            raise ValueError(f"lengths {lengths} are not those of {n} symbols in {self._plan.n_tiles} tiles")
        if len(lengths) > 1 and lengths not in self._firsts:
            self._firsts[lengths] = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32).to(device)
        symbols = torch.empty(n, dtype=torch.int16, device=device)
        scratch = _buffer(self._plan.scratch_bytes(n), device)
        self._plan.run(
            _tables_on(device, self._tables),
            self._payloads.data_ptr(),
            self._state.data_ptr(),
            self._segment,
            _pointer("indexes", indexes, torch.uint8, n, device),
            self._firsts[lengths].data_ptr() if len(lengths) > 1 else 0,
            n,
            symbols.data_ptr(),
            scratch.data_ptr(),
            self._in_shared,
            *launch_site(device),
        )
        self._segment += 1
        return symbols

    def finish(self) -> None:
        """Wait for the device, and check that each payload was sound and ended with its last symbol.

        Raises:
            CorruptError: it was not; the first fault of the first such tile, in the words of `rans.Decoder`.
            ValueError: the position of an index above 63, in its segment, is named.
        """
        try:
            self._plan.check(_bytes(self._state))
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None


class Decoder:
    """`rans.Decoder` for tensors: one tile."""

    def __init__(self, tables: Tables, payload: bytes | bytearray | memoryview, device: torch.device):
        self._batch = BatchDecoder(tables, [payload], device)

    def decode(self, indexes: Tensor) -> Tensor:
        """The symbols, [N] int16, of the next segment, given their indexes, [N] uint8."""
        return self._batch.decode(indexes, [indexes.numel()])

    def finish(self) -> None:
        """Wait for the device, and check the payload, as `BatchDecoder.finish`."""
        self._batch.finish()

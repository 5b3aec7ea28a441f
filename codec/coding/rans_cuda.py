"""The entropy coder (FORMAT §3-§6) on tensors of a CUDA device. It makes the same bytes as `rans`.

Only the finished payloads are copied between device and host. Each kernel launch serves all tiles of a batch. Once the
tables were uploaded, and `decode` has seen the same lengths before, only `Encoder.payloads` and `finish` wait for the
device. So `Encoder.run`, `BatchDecoder.rewind` and `BatchDecoder.decode` can be captured as CUDA graphs.
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

# In the emulation of CUDA in tests/cuda_emulation, device memory is ordinary memory.
DEVICE_TYPE = "cpu" if _C.cuda_archs() == "emulated" else "cuda"

_copies: WeakKeyDictionary[Tables, dict[torch.device, Tensor]] = WeakKeyDictionary()


def _pointer(name: str, tensor: Tensor, dtype: torch.dtype, numel: int, device: torch.device) -> int:
    """Check a tensor that the caller passed, and return its address.

    Raises:
        TypeError: it is no tensor, or of another dtype.
        ValueError: it is on another device, has another size, or is not one-dimensional and contiguous.
    """
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
    """Check that this module can run on a device, and return the device with its number.

    Raises:
        BackendError: the build has no CUDA code.
        ValueError: it is not a CUDA device.
    """
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
    """Return whether this build's CUDA code runs on a device. On others, torch's operations do the same work."""
    if device.type != "cuda" or DEVICE_TYPE != "cuda" or not _C.cuda_built():
        return False
    return runs_on(_C.cuda_archs(), torch.cuda.get_device_capability(device))


def runs_on(archs: str, capability: tuple[int, int]) -> bool:
    """Return whether code for `archs`, such as "sm_80 sm_90 compute_90", runs on a device of this compute capability.

    sm_XY is machine code for devices with the same major version X and a minor version of at least Y. compute_XY is
    PTX, which the driver compiles for that device and any later one.
    """
    for arch in archs.split():
        kind, number = arch.split("_")
        major, minor = divmod(int(number), 10)
        if capability >= (major, minor) and (kind == "compute" or capability[0] == major):
            return True
    return False


def launch_site(device: torch.device) -> tuple[int, int]:
    """Return (device number, handle of the current stream), as the launchers in `_C` take them; (0, 0) in emulation."""
    return (device.index, torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else (0, 0)


def _tables_on(device: torch.device, tables: Tables) -> int:
    copies = _copies.setdefault(tables, {})
    if device not in copies:
        copies[device] = _upload(_C.tables_data(tables.handle), device)
    return copies[device].data_ptr()


class Encoder:
    """Encodes batches of tiles of fixed sizes. All batches use the same memory.

    Args:
        tables: of the model.
        segments: for each tile, the lengths of its segments; all tiles have the same number of segments.
        lanes_log2: for each tile, the logarithm of the number of lanes, 0..12.
        device: the CUDA device on which the symbols will be.
        tables_in_shared: whether kernels copy the tables to shared memory; changed only for measurements.

    Raises:
        ValueError: the lengths or the numbers of lanes are not allowed.
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
        """Start to encode a batch. This does not wait for the device.

        Args:
            symbols: [N] int16, tile after tile, segment after segment; |s| <= MAX_SYMBOL, and 0 where the index is 0.
            indexes: [N] uint8, below INDEX_COUNT, in the same order.

        Raises:
            TypeError, ValueError: a tensor has another type, size or device.
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
        """Wait for the device, and return the payload (FORMAT §3) of each tile of the last batch.

        Raises:
            ValueError: a symbol or an index is out of range; the message names its position in the batch.
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
    """Entropy-code one tile. Arguments, result and errors are as in `rans.encode`, but with tensors on a CUDA device.

    With AUTO_LANES it waits for the device one more time.

    Raises:
        ValueError: as in `rans.encode`, or the tensors are not on the same CUDA device.
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
    """Decodes several tiles in parallel, segment by segment, in the order of encoding.

    Only one thread may use it at a time.

    Args:
        tables: of the model that encoded the tiles.
        payloads: bytes-like, one for each tile; they are copied.
        device: the CUDA device of the indexes and of the decoded symbols.
        tables_in_shared: whether kernels copy the tables to shared memory; changed only for measurements.

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
        self._firsts: dict[tuple[int, ...], Tensor] = {}  # lengths -> position of each tile's first symbol
        self.rewind()

    def rewind(self) -> None:
        """Go back to the first segment."""
        self._state, self._segment = self._start.clone(), 0

    def decode(self, indexes: Tensor, lengths: Sequence[int]) -> Tensor:
        """Decode the next segment of every tile to its symbols, [N] int16. Damage is only reported by `finish`.

        Args:
            indexes: [N] uint8, on the decoder's device, tile after tile.
            lengths: the length of each tile's segment; they sum to N. With several tiles, lengths that are used for the
                first time are uploaded, which waits for the device.

        Raises:
            TypeError: `indexes` is not a tensor of uint8.
            ValueError: the lengths do not match the number of tiles or of indexes, or the tensor is on another device.
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
        """Wait for the device, and check that each payload was valid and ended exactly with its last symbol.

        Raises:
            CorruptError: a payload was damaged. The message is that of `rans.Decoder` for the first damaged tile.
            ValueError: an index is above 63; the message names its position in the segment.
        """
        try:
            self._plan.check(_bytes(self._state))
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None


class Decoder:
    """Decodes one tile, like `rans.Decoder`, with tensors on a CUDA device."""

    def __init__(self, tables: Tables, payload: bytes | bytearray | memoryview, device: torch.device):
        self._batch = BatchDecoder(tables, [payload], device)

    def decode(self, indexes: Tensor) -> Tensor:
        """Decode the next segment: from the indexes of its symbols, [N] uint8, to the symbols, [N] int16."""
        return self._batch.decode(indexes, [indexes.numel()])

    def finish(self) -> None:
        """Wait for the device, and check the payload, as `BatchDecoder.finish` does."""
        self._batch.finish()

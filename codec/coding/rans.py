"""The entropy coder on the CPU (rANS, FORMAT §3-§6), in the extension `_C`, with numpy arrays.

`rans_cuda` is the same coder on a GPU, with tensors.
"""

from collections.abc import Sequence

import numpy as np

from .. import _C
from ..errors import CorruptError

MAX_SYMBOL: int = _C.MAX_SYMBOL
INDEX_COUNT: int = _C.INDEX_COUNT
MAX_ALPHABET: int = _C.MAX_ALPHABET
MAX_LANES_LOG2: int = _C.MAX_LANES_LOG2
AUTO_LANES = -1


def _array(name: str, value: np.ndarray, dtype: type, ndim: int = 1) -> np.ndarray:
    """Check an array, and return it contiguous and aligned.

    The type is never converted, because a cast could silently change symbols.

    Raises:
        TypeError: it is no numpy array, or of another dtype.
        ValueError: it has another number of dimensions.
    """
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name} must be a numpy array of {np.dtype(dtype)}, not {found}")
    if value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), not {value.ndim}")
    return np.require(value, requirements=["C", "A"])


class Tables:
    """The integer CDF tables of a model (FORMAT §5), checked and prepared for the coder.

    They are immutable, and threads may share them.

    Args:
        freqs: [64, 64] uint16; row i holds 2 * limits[i] + 2 frequencies that sum to 2^14, then zeros. Row 0 is
            ignored.
        limits: [64] uint8, at most 31.
        raw_bits: [64] uint8, at most 8.

    Raises:
        TypeError: an array is of another dtype.
        ValueError: a row breaks a rule of FORMAT §5; the message names it.
    """

    def __init__(self, freqs: np.ndarray, limits: np.ndarray, raw_bits: np.ndarray):
        self.handle = _C.Tables(
            _array("freqs", freqs, np.uint16, ndim=2),
            _array("limits", limits, np.uint8),
            _array("raw_bits", raw_bits, np.uint8),
        )

    @classmethod
    def of_model(cls, model: _C.Model) -> "Tables":
        """Return the tables of a model that the extension has loaded."""
        tables = cls.__new__(cls)
        tables.handle = model.tables
        return tables


def encode(
    symbols: np.ndarray,  # [N] int16
    indexes: np.ndarray,  # [N] uint8
    segments: Sequence[int],
    tables: Tables,
    lanes_log2: int = AUTO_LANES,
    threads: int = 1,
) -> bytes:
    """Entropy-code the symbols of one tile.

    Args:
        symbols: [N] int16, |s| <= MAX_SYMBOL, and 0 where the index is 0.
        indexes: [N] uint8, the table of each symbol, below INDEX_COUNT.
        segments: lengths of the segments, which sum to N.
        tables: of the model.
        lanes_log2: logarithm of the number of interleaved lanes, 0..12; AUTO_LANES: about one lane for each 2 KB.
        threads: the largest number of threads; with fewer than 64 lanes only one has work.

    Returns:
        The tile's payload (FORMAT §3).

    Raises:
        TypeError: an array is of another dtype.
        ValueError: a symbol or an index is out of range (the message names its position), or the lengths do not fit.

    Source: Duda 2013 (arXiv:1311.2540); interleaving, Giesen 2014 (arXiv:1402.3392).
    """
    return join(encode_parts(symbols, indexes, segments, tables, lanes_log2, threads))


def encode_parts(
    symbols: np.ndarray,
    indexes: np.ndarray,
    segments: Sequence[int],
    tables: Tables,
    lanes_log2: int = AUTO_LANES,
    threads: int = 1,
) -> list[bytes]:
    """Entropy-code the symbols of one tile, and return its payload in parts, one for each segment.

    Arguments and errors are as in `encode`; `join` makes the payload of the parts.
    """
    symbols, indexes = _array("symbols", symbols, np.int16), _array("indexes", indexes, np.uint8)
    return _C.encode(tables.handle, symbols, indexes, list(segments), lanes_log2, threads)


def join(parts: Sequence[bytes | memoryview], ends_early: bool = False) -> bytes:
    """Return the payload that consists of these parts.

    Args:
        parts: the first parts of a payload, in order.
        ends_early: whether the last of these parts may be only the beginning of one.

    Raises:
        CorruptError: a part breaks FORMAT §3.
    """
    try:
        return _C.join(list(parts), ends_early)
    except _C.CorruptError as error:
        raise CorruptError(str(error)) from None


class Decoder:
    """Decodes one tile, segment by segment, in the order of encoding. Only one thread may use it at a time.

    Args:
        tables: of the model that encoded the tile.
        payload: bytes-like (FORMAT §3); it is copied.
        is_prefix: the payload may end early. All symbols that it does not hold are 0, and `finish` must not be called.

    Raises:
        CorruptError: the payload breaks FORMAT §3.
    """

    def __init__(self, tables: Tables, payload: bytes | bytearray | memoryview, is_prefix: bool = False):
        try:
            self._handle = _C.Decoder(tables.handle, payload, is_prefix)
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None

    def decode(self, indexes: np.ndarray, threads: int = 1) -> np.ndarray:
        """Decode the next segment: from the indexes of its symbols, [N] uint8, to the symbols, [N] int16.

        Raises:
            CorruptError: the payload ends too early, or holds an impossible symbol. The decoder cannot be used further.
            TypeError: `indexes` is of another dtype.
            ValueError: an index is above 63; the message names its position.
        """
        indexes = _array("indexes", indexes, np.uint8)
        symbols = np.empty(indexes.shape, np.int16)
        try:
            self._handle.decode(indexes, symbols, threads)
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None
        return symbols

    def finish(self) -> None:
        """Check that the payload ended exactly with the last symbol.

        Raises:
            CorruptError: it did not. So the payload was damaged, or the indexes differed from the encoder's.
        """
        try:
            self._handle.finish()
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None

"""The CPU's entropy coder in `_C` (FORMAT §3-§6), on numpy arrays; `rans_cuda` is the GPU's, on tensors."""

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
    """`value`, contiguous and aligned. Never converts: a cast would change symbols without a word."""
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name} must be a numpy array of {np.dtype(dtype)}, not {found}")
    if value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), not {value.ndim}")
    return np.require(value, requirements=["C", "A"])


class Tables:
    """Integer CDFs, checked and laid out for the coder (FORMAT §5). Immutable; threads may share one.

    Args:
        freqs: [64, 64] uint16; row i holds 2 * limits[i] + 2 frequencies that sum to 2^14, then zeros. Row 0: ignored.
        limits: [64] uint8, at most 31.
        raw_bits: [64] uint8, at most 8.

    Raises:
        ValueError: the row that breaks a rule is named.
    """

    def __init__(self, freqs: np.ndarray, limits: np.ndarray, raw_bits: np.ndarray):
        self._handle = _C.Tables(
            _array("freqs", freqs, np.uint16, ndim=2),
            _array("limits", limits, np.uint8),
            _array("raw_bits", raw_bits, np.uint8),
        )


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
        symbols: |s| <= MAX_SYMBOL, and 0 where the index is 0.
        indexes: table of each symbol, below INDEX_COUNT.
        segments: lengths of the segments, which sum to N.
        tables: of the model.
        lanes_log2: 2^lanes_log2 lanes, 0..12; AUTO_LANES: about one for each 2 KB.
        threads: at most this many; below 64 lanes there is work for one.

    Returns:
        The tile's payload, FORMAT §3.

    Raises:
        ValueError: the position of a symbol or index out of range is named; or the lengths do not fit.

    Source: Duda 2013 (arXiv:1311.2540); interleaving, Giesen 2014 (arXiv:1402.3392).
    """
    symbols, indexes = _array("symbols", symbols, np.int16), _array("indexes", indexes, np.uint8)
    return _C.encode(tables._handle, symbols, indexes, list(segments), lanes_log2, threads)


class Decoder:
    """Decodes one tile, segment by segment, in the order of encoding. Not for two threads at once.

    Args:
        tables: of the model that encoded.
        payload: bytes-like; copied.

    Raises:
        CorruptError: the payload breaks FORMAT §3.
    """

    def __init__(self, tables: Tables, payload: bytes | bytearray | memoryview):
        try:
            self._handle = _C.Decoder(tables._handle, payload)
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None

    def decode(self, indexes: np.ndarray, threads: int = 1) -> np.ndarray:
        """The symbols, [N] int16, of the next segment, given their indexes, [N] uint8.

        Raises:
            CorruptError: the payload ends, or holds no such symbol; the decoder is of no use from then on.
            ValueError: the position of an index above 63 is named.
        """
        indexes = _array("indexes", indexes, np.uint8)
        symbols = np.empty(indexes.shape, np.int16)
        try:
            self._handle.decode(indexes, symbols, threads)
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None
        return symbols

    def finish(self) -> None:
        """Check that the payload ended with the last symbol.

        Raises:
            CorruptError: it did not: something in it was damaged, or the indexes were not the encoder's.
        """
        try:
            self._handle.finish()
        except _C.CorruptError as error:
            raise CorruptError(str(error)) from None

"""Packed model files, for readers that fetch a model over the network: losslessly compressed, and mostly without the
encoder's half.

Weights are noise to a general compressor. Here each is coded with the entropy coder of pictures, with a table for its
scale, which is the product of one of its output channel and one of its input channel. csrc/web/packed_model.cpp unpacks
such a file, to the bytes of a model file. All numbers are little-endian:

    magic D7 41 45 4D, version 1 (uint8), three bytes 0; the sizes of the next part, inflated and as it is (uint32 each)
    a zlib stream that holds
        the size of the model file's head (uint32), and the head: all that comes before its tensors
        tables.freqs (uint16 [64, 64]), .limits and .raw_bits (uint8 [64] each), as in FORMAT §5
        the number of tensors (uint32), and for each, in the order of the model file,
            method (uint8), bytes an element (uint8), rows and columns (uint32 each), and its values:
            PLAIN: the first bytes of all elements, then the second bytes, and so on
            SMOOTH: as PLAIN, of what each row of int16 adds to the line through the two rows above it, modulo 2^16
            CODED: n (uint8), row and column classes (int8 each), then, if n is 1, the lowest bits of all elements, low
                bits of a byte first. values >> n are symbols, one segment for each tensor
    the payload of the symbols, FORMAT §3. The table of a symbol is clamp((row class + column class) >> 1, 1, 63).
"""

import json
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import save as serialise

from . import model_search, rans
from .cdf_tables import INDEX_COUNT, MAX_LIMIT, best_table, gaussian_pmf
from .model_file import ENCODER, ModelFile

MAGIC = bytes.fromhex("d741454d")
PLAIN, SMOOTH, CODED = range(3)
LEAST_CODED = 2048  # smaller tensors would not pay for their classes
SCALE_MIN, SCALE_MAX = 0.25, 5000.0
STEP = math.log(SCALE_MAX / SCALE_MIN) / (INDEX_COUNT - 2)  # between the scales of neighbouring tables
OF_MEAN = math.sqrt(math.pi / 2)  # a Gaussian's standard deviation, in units of its mean magnitude
LANES_LOG2 = 5
GAUSSIAN_COUNT = 1000  # as in cdf_tables


@dataclass(frozen=True)
class _Coded:
    """The symbols of a tensor and the table of each: int16 and uint8 [rows * columns]."""

    symbols: np.ndarray
    indexes: np.ndarray


def pack(file: ModelFile, encoder: bool = False) -> bytes:
    """Pack the decoder's half of a model, or both halves."""
    tensors = {k: v for k, v in file.tensors.items() if encoder or not k.startswith(ENCODER)}
    whole = serialise(tensors, model_search.header_of(file.path, model_search.CODEC))
    start = 8 + int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8:start])
    names = sorted(head.keys() - {"__metadata__"}, key=lambda name: head[name]["data_offsets"][0])
    parts, coded = [struct.pack("<I", len(names))], list[_Coded]()
    for name in names:
        parts.append(_packed(tensors[name], coded))
    tables = _tables(coded)
    plain = b"".join((struct.pack("<I", start), whole[:start], *(v.tobytes() for v in tables), *parts))
    deflated = zlib.compress(plain, 9)
    symbols, indexes = np.concatenate([c.symbols for c in coded]), np.concatenate([c.indexes for c in coded])
    payload = rans.encode(symbols, indexes, [c.symbols.size for c in coded], rans.Tables(*tables), LANES_LOG2)
    return MAGIC + bytes([1, 0, 0, 0]) + struct.pack("<II", len(plain), len(deflated)) + deflated + payload


def _packed(tensor: np.ndarray, coded: list[_Coded]) -> bytes:
    """Return what the zlib stream has of a tensor. What is coded of it is appended to `coded`."""
    rows = tensor.reshape(len(tensor), -1)
    head = struct.pack("<BII", tensor.itemsize, *rows.shape)
    if tensor.dtype in (np.int8, np.int16) and tensor.ndim == 4 and tensor.size >= LEAST_CODED:
        return bytes([CODED]) + head + _coded(rows, coded)
    if tensor.dtype == np.int16 and tensor.ndim == 2:
        above = np.zeros((2, rows.shape[1]), np.int16)
        rows = np.diff(np.concatenate([above, rows]), n=2, axis=0)  # int16 wraps around
        return bytes([SMOOTH]) + head + _planes(rows)
    return bytes([PLAIN]) + head + _planes(rows)


def _planes(values: np.ndarray) -> bytes:
    little = values.astype(values.dtype.newbyteorder("<"))
    return little.reshape(-1, 1).view(np.uint8).T.tobytes()


def _coded(weights: np.ndarray, coded: list[_Coded]) -> bytes:
    low_bits = int(np.abs(weights.astype(np.int32)).max() > rans.MAX_SYMBOL)
    symbols = weights.astype(np.int16) >> low_bits
    magnitudes = np.abs(symbols.astype(np.float64)) + 0.3
    row, column = np.ones((len(weights), 1)), np.ones((1, weights.shape[1]))
    for _ in range(6):
        row = (magnitudes / column).mean(1, keepdims=True)
        column = (magnitudes / row).mean(0, keepdims=True)
    # In units of half a step; the index of SCALE_MIN is 1.
    rows = np.rint(2 + 2 * np.log(row * OF_MEAN / SCALE_MIN) / STEP).clip(-128, 127).astype(np.int8)
    columns = np.rint(2 * np.log(column) / STEP).clip(-128, 127).astype(np.int8)
    indexes = ((rows.astype(int) + columns) >> 1).clip(1, INDEX_COUNT - 1).astype(np.uint8)
    coded.append(_Coded(symbols.ravel(), indexes.ravel()))
    low = np.packbits((weights & 1).ravel().astype(np.uint8), bitorder="little").tobytes() if low_bits else b""
    return bytes([low_bits]) + rows.tobytes() + columns.tobytes() + low


def _tables(coded: list[_Coded]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the table of each index: of its Gaussian, with a small weight, and of the symbols that there are."""
    counts = np.zeros((INDEX_COUNT, 2 * rans.MAX_SYMBOL + 1))
    for part in coded:
        np.add.at(counts, (part.indexes, part.symbols.astype(int) + rans.MAX_SYMBOL), 1)
    freqs = np.zeros((INDEX_COUNT, 2 * MAX_LIMIT + 2), "<u2")
    limits, raw_bits = np.zeros(INDEX_COUNT, np.uint8), np.zeros(INDEX_COUNT, np.uint8)
    for i in range(1, INDEX_COUNT):
        scale = SCALE_MIN * math.exp(STEP * (i - 1))
        pmf = gaussian_pmf(scale)
        middle = len(pmf) // 2
        n = min(middle, rans.MAX_SYMBOL)
        pmf = GAUSSIAN_COUNT * pmf[middle - n : middle + n + 1]
        seen = counts[i, rans.MAX_SYMBOL - n : rans.MAX_SYMBOL + n + 1]
        pmf += (seen + seen[::-1]) / 2
        _, row, limits[i], raw_bits[i] = best_table(scale, pmf / pmf.sum())
        freqs[i, : len(row)] = row
    return freqs, limits, raw_bits

"""`python -m bench.coder --device cuda`: the entropy coder on a GPU, with a batch of tiles and with one tile.

Symbols, indexes and payloads are on the device. Two CUDA graphs are timed: one of all kernels of `Encoder.run`, and one
of `BatchDecoder.rewind` (which copies its states) and of `decode` for every segment. So the times are those of the GPU.
They do not include launches from Python, copies between host and device, and the calls `payloads` and `finish`, which
wait for the device. The floor is the time to move each index, symbol and payload byte once, at the speed of a large
copy within the device's memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from codec.coding import rans, rans_cuda

from .coder import Contender, Row, chosen_lanes_log2, compare, wall_seconds
from .cuda_time import captured, event_seconds
from .symbols import Model, Symbols

LANES_LOG2 = (rans.AUTO_LANES, 8, 10, 12)
COPY_BYTES = 1 << 30
EMULATED = rans_cuda.DEVICE_TYPE == "cpu"  # the CUDA emulation of the tests, which has neither graphs nor events


@dataclass(frozen=True)
class Batch:
    """A batch of tiles on the device. All tiles have the same number of segments.

    Args:
        symbols, indexes: [N] int16 and uint8, tile after tile, as the encoder takes them.
        by_segment: for each segment the indexes of all tiles, and their number in each tile, as the decoder takes them.
        segments: for each tile the lengths of its segments.
        auto_lanes_log2: for each tile log2 of the number of lanes that `rans.encode` chooses.
        expected: [N] int16, a copy of `symbols` on the host.
        n_coded: how many symbols are coded, that is, have an index above 0.
        information_bits: information content of the symbols under the model's tables.
    """

    symbols: torch.Tensor
    indexes: torch.Tensor
    by_segment: list[tuple[torch.Tensor, list[int]]]
    segments: list[tuple[int, ...]]
    auto_lanes_log2: list[int]
    expected: np.ndarray
    n_coded: int
    information_bits: float

    @classmethod
    def of(cls, model: Model, tiles: Sequence[Symbols], copies: int = 1) -> Batch:
        def upload(arrays: Sequence[np.ndarray]) -> torch.Tensor:
            return torch.from_numpy(np.concatenate(arrays)).to(rans_cuda.DEVICE_TYPE).repeat(copies)

        by_segment = zip(*(t.parts() for t in tiles), strict=True)
        return cls(
            symbols=upload([t.symbols for t in tiles]),
            indexes=upload([t.indexes for t in tiles]),
            by_segment=[(upload(parts), [len(p) for p in parts] * copies) for parts in by_segment],
            segments=[t.segments for t in tiles] * copies,
            auto_lanes_log2=[chosen_lanes_log2(model, t) for t in tiles] * copies,
            expected=np.tile(np.concatenate([t.symbols for t in tiles]), copies),
            n_coded=copies * sum(t.n_coded for t in tiles),
            information_bits=copies * sum(model.information_bits(t) for t in tiles),
        )


def contender(name: str, model: Model, batch: Batch, lanes_log2: int, in_shared: bool) -> Contender:
    """The GPU's coder for a batch. It holds device memory until it is deleted.

    Args:
        lanes_log2: for all tiles the same, or AUTO_LANES.
        in_shared: whether kernels copy the tables to shared memory, or read them through the caches.
    """
    device = batch.symbols.device
    lanes = batch.auto_lanes_log2 if lanes_log2 == rans.AUTO_LANES else [lanes_log2] * len(batch.segments)
    encoder = rans_cuda.Encoder(model.tables, batch.segments, lanes, device, in_shared)

    def run() -> None:
        encoder.run(batch.symbols, batch.indexes)

    def read(decoder: rans_cuda.BatchDecoder) -> list[torch.Tensor]:
        decoder.rewind()
        return [decoder.decode(*segment) for segment in batch.by_segment]

    def encode() -> tuple[list[bytes], int]:
        run()
        payloads = encoder.payloads()
        return payloads, sum(map(len, payloads))

    def decode(payloads: list[bytes]) -> np.ndarray:
        decoder = rans_cuda.BatchDecoder(model.tables, payloads, device, in_shared)
        parts = [out.cpu().split(lengths) for out, (_, lengths) in zip(read(decoder), batch.by_segment, strict=True)]
        decoder.finish()
        return torch.cat([part for tile in zip(*parts, strict=True) for part in tile]).numpy()

    def calls(payloads: list[bytes]) -> tuple[Callable, Callable]:
        decoder = rans_cuda.BatchDecoder(model.tables, payloads, device, in_shared)
        both = run, lambda: read(decoder)
        return both if EMULATED else tuple(map(captured, both))

    return Contender(
        *(name, 0, encode, decode, batch.expected, batch.n_coded, batch.information_bits, sum(1 << k for k in lanes)),
        *(calls, wall_seconds if EMULATED else event_seconds),
    )


def measure(model: Model, tiles: Sequence[Symbols], n_symbols: int, runs: int) -> list[tuple[Row, int]]:
    """Rows of the table, each with its number of symbols, which includes the skipped ones.

    Measured are a batch of all tiles, repeated until it has at least `n_symbols` symbols, and a single tile, both with
    several numbers of lanes. Unlike on the CPU, the contenders are not timed in turns, because each needs some 13 bytes
    of device memory for each symbol, and because nothing else uses the GPU.
    """
    copies = -(-n_symbols // sum(len(t.symbols) for t in tiles))
    groups = [
        (f"{copies * len(tiles)} tiles", Batch.of(model, tiles, copies)),
        ("one tile", Batch.of(model, [tiles[len(tiles) // 2]])),
    ]
    out = []
    for lanes_log2 in LANES_LOG2:
        lanes = "auto" if lanes_log2 == rans.AUTO_LANES else f"2^{lanes_log2}"
        for size, batch in groups:
            for in_shared in (True, False):
                name = f"cuda, {size}, {lanes} lanes each, tables {'shared' if in_shared else 'cached'}"
                (row,) = compare([contender(name, model, batch, lanes_log2, in_shared)], runs)
                out.append((row, len(batch.expected)))
    return out


def copy_bytes_per_second() -> float:
    """The memory speed of the device: bytes read plus bytes written per second by a large copy."""
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * COPY_BYTES / statistics.median(event_seconds(lambda: target.copy_(source), 5) for _ in range(9))


def floor_table(rows: Sequence[tuple[Row, int]], bytes_per_second: float) -> str:
    """The times of each row of `measure` in microseconds, and relative to the floor, as a Markdown table."""
    lines = ["| coder | floor us | encode us | x floor | decode us | x floor |", "|---|---:|---:|---:|---:|---:|"]
    for row, n in rows:
        floor = 1e6 * (3 * n + row.payload_bytes) / bytes_per_second
        encode, decode = row.n_coded / row.encode_msym_s, row.n_coded / row.decode_msym_s
        cells = f"{floor:.1f} | {encode:.1f} | {encode / floor:.1f} | {decode:.1f} | {decode / floor:.1f}"
        lines.append(f"| {row.coder} | {cells} |")
    return "\n".join(lines)

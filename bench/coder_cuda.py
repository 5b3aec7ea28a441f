"""The GPU's rows of bench.coder: symbols, indexes and payloads stay on the device, CUDA events take the times.

A launch codes a whole batch of tiles, or one. The floor is what moving each index, symbol and payload byte once would
take at the memory speed that a large copy reaches.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch

from codec import entropy, entropy_cuda

from .coder import Contender, Row
from .symbols import Model, Symbols

LANES_LOG2 = (entropy.AUTO_LANES, 8, 10, 12)
COPY_BYTES = 1 << 30


def event_seconds(call: Callable, repeats: int) -> float:
    """Mean time on the device; launches wait for each other, not for Python."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / repeats


def contender(
    name: str, model: Model, tiles: Sequence[Symbols], lanes_log2: int, in_shared: bool, clock: Callable
) -> Contender:
    """Tiles as one batch; all have equally many segments.

    Args:
        lanes_log2: of each tile, or AUTO_LANES: what `entropy.encode` chooses.
        in_shared: tables in shared memory, or read through the caches.
        clock: as `Contender.clock`.
    """
    device = torch.device(entropy_cuda.DEVICE_TYPE)
    lanes = [lanes_log2] * len(tiles)
    if lanes_log2 == entropy.AUTO_LANES:
        lanes = [entropy.encode(t.symbols, t.indexes, t.segments, model.tables)[0] for t in tiles]

    def upload(arrays: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(arrays)).to(device)

    symbols, indexes = upload([t.symbols for t in tiles]), upload([t.indexes for t in tiles])
    # The encoder takes tile after tile, the decoder segment after segment.
    by_segment = list(zip(*(t.parts() for t in tiles), strict=True))
    segments = [(upload(parts), [len(p) for p in parts]) for parts in by_segment]
    encoder = entropy_cuda.Encoder(model.tables, [t.segments for t in tiles], lanes, device, in_shared)

    def encode() -> tuple[list[bytes], int]:
        encoder.run(symbols, indexes)
        payloads = encoder.payloads()
        return payloads, sum(map(len, payloads))

    def read(decoder: entropy_cuda.BatchDecoder) -> list[torch.Tensor]:
        decoder.rewind()
        return [decoder.decode(*segment) for segment in segments]

    def decode(payloads: list[bytes]) -> np.ndarray:
        decoder = entropy_cuda.BatchDecoder(model.tables, payloads, device, in_shared)
        parts = [out.cpu().split(lengths) for out, (_, lengths) in zip(read(decoder), segments, strict=True)]
        decoder.finish()
        return torch.cat([part for tile in zip(*parts, strict=True) for part in tile]).numpy()

    def calls(payloads: list[bytes]) -> tuple[Callable, Callable]:
        decoder = entropy_cuda.BatchDecoder(model.tables, payloads, device, in_shared)
        return lambda: encoder.run(symbols, indexes), lambda: read(decoder)

    expected = np.concatenate([t.symbols for t in tiles])
    n_coded, bits = sum(t.n_coded for t in tiles), sum(model.information_bits(t) for t in tiles)
    return Contender(name, 0, encode, decode, expected, n_coded, bits, sum(1 << k for k in lanes), calls, clock)


def contenders(model: Model, tiles: Sequence[Symbols], n_coded: int) -> list[Contender]:
    """A batch of at least `n_coded` coded symbols, tiles repeated, and one tile, each with more and fewer lanes."""
    batch: list[Symbols] = []
    while sum(t.n_coded for t in batch) < n_coded:
        batch += tiles
    middle = tiles[len(tiles) // 2]
    out = []
    for lanes_log2 in LANES_LOG2:
        lanes = "auto" if lanes_log2 == entropy.AUTO_LANES else f"2^{lanes_log2}"
        for group in (batch, [middle]):
            size = "one tile" if len(group) == 1 else f"{len(group)} tiles"
            for in_shared in (True, False):
                name = f"cuda, {size}, {lanes} lanes each, tables {'shared' if in_shared else 'cached'}"
                out.append(contender(name, model, group, lanes_log2, in_shared, event_seconds))
    return out


def copy_bytes_per_second() -> float:
    """Bytes read and written by a large copy on the device."""
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * COPY_BYTES / statistics.median(event_seconds(lambda: target.copy_(source), 5) for _ in range(9))


def floor_table(rows: Sequence[Row], expected: Sequence[int], bytes_per_second: float) -> str:
    """Markdown: microseconds of each row, and how many times the floor that is.

    Args:
        expected: symbols of each row, skipped ones included.
    """
    lines = ["| coder | floor us | encode us | x floor | decode us | x floor |", "|---|---:|---:|---:|---:|---:|"]
    for row, n in zip(rows, expected, strict=True):
        floor = 1e6 * (3 * n + row.payload_bytes) / bytes_per_second
        encode, decode = row.n_coded / row.encode_msym_s, row.n_coded / row.decode_msym_s
        cells = f"{floor:.1f} | {encode:.1f} | {encode / floor:.1f} | {decode:.1f} | {decode / floor:.1f}"
        lines.append(f"| {row.coder} | {cells} |")
    return "\n".join(lines)

"""All figures of the entropy coder: `python -m bench.coder [--images DIR] [--symbols N] [--threads 1 2] [--runs 9]`.

The symbols and indexes are those that the shipped model makes of real pictures at several qualities. The coder gets
them as in the codec, including the symbols with index 0, which are skipped; speeds count only the symbols that are
coded. Before anything is timed, each coder's output is decoded and compared with the input. Then all coders are timed
in turns, and the medians are reported. Freed memory is kept by the process instead of being returned to the system, as
happens when a codec handles one tile after another; otherwise the system would need as long to provide new pages for
millions of symbols as the coding takes. With `--lanes`, the table that justifies `choose_lanes_log2` is measured
instead, and with `--device cuda`, the coder on a GPU.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import datetime
import importlib.metadata
import importlib.util
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from codec import _C
from codec.coding import rans
from codec.coding.cdf_tables import allocate, gaussian_pmf, scales

from .machine import machine_line, source_commit
from .symbols import Model, Symbols, joined, of_pictures, pictures, sample
from .tables import write_table

LANE_SIZES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000, 4_000_000, 10_000_000)
LANES_LOG2 = range(11)
MIN_TIMED_S = 0.002  # a call that takes less time is repeated until it adds up to about so many seconds


def wall_seconds(call: Callable, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


@dataclass(frozen=True)
class Contender:
    """A coder and the data that it is to code.

    Args:
        encode: returns the payload, which `decode` takes, and its size in bytes.
        decode: returns the symbols, [n] of any integer type.
        expected: the symbols that `decode` must return.
        n_coded: how many symbols are coded; speeds are relative to this number.
        information_bits: the information content of the symbols under the tables that they are encoded with; for
            other coders, under aec's tables.
        lanes: number of rANS states.
        calls: takes a payload, and returns the two calls to time; None: `encode` and `decode` are timed.
        clock: takes a call and a number of repeats, and returns the seconds of one call.
    """

    name: str
    threads: int
    encode: Callable[[], tuple[object, int]]
    decode: Callable[[object], np.ndarray]
    expected: np.ndarray
    n_coded: int
    information_bits: float
    lanes: int = 1
    calls: Callable[[object], tuple[Callable, Callable]] | None = None
    clock: Callable[[Callable, int], float] = wall_seconds


@dataclass(frozen=True)
class Row:
    """A line of the table. Speeds are in millions of coded symbols and in millions of payload bytes per second."""

    coder: str
    threads: int
    lanes: int
    n_coded: int
    payload_bytes: int
    overhead_percent: float
    overhead_bytes_per_lane: float
    encode_msym_s: float
    encode_mb_s: float
    decode_msym_s: float
    decode_mb_s: float

    @classmethod
    def of(cls, it: Contender, payload_bytes: int, encode_s: float, decode_s: float) -> Row:
        over = payload_bytes - it.information_bits / 8
        return cls(
            *(it.name, it.threads, it.lanes, it.n_coded, payload_bytes),
            *(100 * over / (it.information_bits / 8), over / it.lanes),
            *(it.n_coded / encode_s / 1e6, payload_bytes / encode_s / 1e6),
            *(it.n_coded / decode_s / 1e6, payload_bytes / decode_s / 1e6),
        )


# ----------------------------------------------------------------------------------------------------------- contenders


def aec(
    name: str, model: Model, tiles: Sequence[Symbols], isa: str, threads: int = 1, lanes_log2: int = rans.AUTO_LANES
) -> Contender:
    """aec's coder with one instruction set. Each tile is a payload. The threads share out the tiles, or the lanes of a
    single tile."""
    parts = [tile.parts() for tile in tiles]
    lane_threads = threads if len(tiles) == 1 else 1
    pool = ThreadPoolExecutor(threads) if threads > lane_threads else None

    def of_all(work: Callable, *arguments: Sequence) -> list:
        _C.set_isa(isa)
        return list((pool.map if pool else map)(work, *arguments))

    def encode_tile(t: Symbols) -> bytes:
        return rans.encode(t.symbols, t.indexes, t.segments, model.tables, lanes_log2, lane_threads)

    def encode() -> tuple[list[bytes], int]:
        payloads = of_all(encode_tile, tiles)
        return payloads, sum(map(len, payloads))

    def decode_tile(payload: bytes, indexes: list[np.ndarray]) -> list[np.ndarray]:
        decoder = rans.Decoder(model.tables, payload)
        out = [decoder.decode(segment, lane_threads) for segment in indexes]
        decoder.finish()
        return out

    def decode(payloads: list[bytes]) -> np.ndarray:
        return np.concatenate([part for tile in of_all(decode_tile, payloads, parts) for part in tile])

    return Contender(
        name,
        threads,
        encode,
        decode,
        np.concatenate([t.symbols for t in tiles]),
        sum(t.n_coded for t in tiles),
        sum(model.information_bits(t) for t in tiles),
        sum(1 << payload[0] for payload in encode()[0]),
        lambda payloads: (encode, lambda: of_all(decode_tile, payloads, parts)),
    )


def one_table(data: Symbols) -> tuple[Model, Symbols]:
    """The coded symbols as plain bytes that all have the same index, and a table that fits their distribution: the data
    that a coder without a model would get."""
    values = data.coded()[0].astype(np.int8).astype(np.int16)  # larger symbols wrap around to bytes
    limit = 31
    letters = np.where(np.abs(values) <= limit, values + limit, 2 * limit + 1)
    freqs = np.zeros((64, 64), np.uint16)
    freqs[1:] = allocate(np.bincount(letters, minlength=2 * limit + 2) / len(letters))
    model = Model.of(freqs, np.full(64, limit, np.uint8), np.zeros(64, np.uint8))
    return model, Symbols(values, np.ones(len(values), np.uint8), (len(values),))


def constriction_gaussians(data: Symbols, information_bits: float) -> Contender:
    """constriction's stack coder with a Gaussian for each symbol. Its input arrays are made before the clock starts."""
    import constriction

    symbols, indexes = data.coded()
    symbols, deviations, means = symbols.astype(np.int32), scales()[indexes], np.zeros(len(symbols))
    family = constriction.stream.model.QuantizedGaussian(-rans.MAX_SYMBOL, rans.MAX_SYMBOL)

    def encode() -> tuple[np.ndarray, int]:
        coder = constriction.stream.stack.AnsCoder()
        coder.encode_reverse(symbols, family, means, deviations)
        words = coder.get_compressed()
        return words, words.nbytes

    def decode(words: np.ndarray) -> np.ndarray:
        return constriction.stream.stack.AnsCoder(words).decode(family, means, deviations)

    return Contender("constriction, a Gaussian a symbol", 1, encode, decode, symbols, len(symbols), information_bits)


def constriction_tables(data: Symbols, information_bits: float) -> Contender:
    """constriction's stack coder with a table for each index, on symbols that were sorted by index before the clock
    starts: the fastest way to use it from Python."""
    import constriction

    symbols, indexes = data.coded()
    order = np.argsort(indexes, kind="stable")
    symbols, counts = symbols[order].astype(np.int32), np.bincount(indexes, minlength=rans.INDEX_COUNT)
    groups = []
    for index, part in enumerate(np.split(symbols, np.cumsum(counts)[:-1])):
        if len(part) == 0:
            continue
        weights = gaussian_pmf(scales()[index])
        reach = max(len(weights) // 2, int(np.abs(part).max()))
        weights = np.pad(weights, reach - len(weights) // 2)
        table = constriction.stream.model.Categorical(weights, perfect=False)
        groups.append(((part + reach).astype(np.int32), table, reach))

    def encode() -> tuple[np.ndarray, int]:
        coder = constriction.stream.stack.AnsCoder()
        for part, table, _ in reversed(groups):
            coder.encode_reverse(part, table)
        words = coder.get_compressed()
        return words, words.nbytes

    def decode(words: np.ndarray) -> np.ndarray:
        coder = constriction.stream.stack.AnsCoder(words)
        return np.concatenate([coder.decode(table, len(part)) - reach for part, table, reach in groups])

    return Contender("constriction, tables, sorted", 1, encode, decode, symbols, len(symbols), information_bits)


# -------------------------------------------------------------------------------------------------------------- timing


def compare(contenders: Sequence[Contender], runs: int) -> list[Row]:
    """Check all coders, then time them in turns, so that a slow phase of the machine affects all of them.

    Raises:
        AssertionError: a coder does not decode to its symbols.
    """
    payloads, sizes = [], []
    for it in contenders:
        payload, size = it.encode()
        if not np.array_equal(it.decode(payload), it.expected):
            raise AssertionError(f"{it.name}: what was decoded is not what was encoded")
        payloads.append(payload)
        sizes.append(size)
    calls = [(it.clock, call) for it, payload in zip(contenders, payloads, strict=True) for call in _calls(it, payload)]
    repeats = [max(1, int(MIN_TIMED_S / clock(call, 1))) for clock, call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(runs):
        for (clock, call), n, seconds in zip(calls, repeats, times, strict=True):
            seconds.append(clock(call, n))
    medians = [statistics.median(seconds) for seconds in times]
    return [
        Row.of(it, size, *medians[2 * i : 2 * i + 2])
        for i, (it, size) in enumerate(zip(contenders, sizes, strict=True))
    ]


def _calls(it: Contender, payload: object) -> tuple[Callable, Callable]:
    return it.calls(payload) if it.calls else (it.encode, lambda: it.decode(payload))


def chosen_lanes_log2(model: Model, data: Symbols) -> int:
    return rans.encode(data.symbols, data.indexes, data.segments, model.tables)[0]


def lane_rows(model: Model, data: Symbols, runs: int, sizes: Sequence[int] = LANE_SIZES) -> list[tuple[Row, bool]]:
    """For each payload size in bytes, which is only met approximately: a row for each number of lanes, and whether the
    encoder would choose this number.

    For a size that is larger than the payload of all data, all data are used.
    """
    bytes_a_symbol = model.information_bits(data) / 8 / data.n_coded
    out = []
    for size in sizes:
        part = sample(data, round(size / bytes_a_symbol))
        chosen = chosen_lanes_log2(model, part)
        rows = compare([aec(_C.isa(), model, [part], _C.isa(), 1, k) for k in LANES_LOG2], runs)
        out += [(row, k == chosen) for k, row in zip(LANES_LOG2, rows, strict=True)]
    return out


# -------------------------------------------------------------------------------------------------------------- output


def describe(model: Model, tiles: Sequence[Symbols]) -> str:
    n = sum(len(t.symbols) for t in tiles)
    coded = sum(t.n_coded for t in tiles)
    bits = sum(model.information_bits(t) for t in tiles)
    escapes, raw = sum(model.escapes(t) for t in tiles), sum(model.raw_bits(t) for t in tiles)
    return (
        f"{n:,} symbols, {100 * (1 - coded / n):.1f} % skipped (index 0); {coded:,} coded "
        f"at {bits / coded:.3f} bits, of which {raw / coded:.3f} raw; {escapes / coded:.1e} escapes a symbol"
    )


def table(rows: Sequence[Row], rival: str) -> str:
    """The rows as a Markdown table. The last columns are the speeds relative to those of the coder `rival`, if any."""
    against = next((row for row in rows if row.coder == rival), None)
    head = ["coder", "threads", "lanes", "bytes", "over", "bytes a lane"]
    head += ["encode Msym/s", "MB/s", "decode Msym/s", "MB/s"] + (["encode x", "decode x"] if against else [])
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        line = [row.coder, row.threads, row.lanes, f"{row.payload_bytes:,}", f"{row.overhead_percent:+.3f} %"]
        line += [f"{row.overhead_bytes_per_lane:.2f}"]
        line += [f"{v:.1f}" for v in (row.encode_msym_s, row.encode_mb_s, row.decode_msym_s, row.decode_mb_s)]
        if against:
            ratios = row.encode_msym_s / against.encode_msym_s, row.decode_msym_s / against.decode_msym_s
            line += [f"{v:.1f}" for v in ratios]
        lines.append(list(map(str, line)))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def lane_table(rows: Sequence[tuple[Row, bool]]) -> str:
    lines = [
        "| bytes | lanes | over | bytes over | bytes a lane | encode Msym/s | decode Msym/s |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row, chosen in rows:
        mark = "**" if chosen else ""
        over = row.overhead_bytes_per_lane * row.lanes
        lines.append(
            f"| {row.payload_bytes:,} | {mark}{row.lanes}{mark} | {row.overhead_percent:.3f} % | {over:.0f} "
            f"| {row.overhead_bytes_per_lane:.2f} | {row.encode_msym_s:.1f} | {row.decode_msym_s:.1f} |"
        )
    return "\n".join(lines)


def write_csv(path: Path, rows: Sequence[Row], about: dict[str, str]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*(f.name for f in fields(Row)), *about])
        writer.writeheader()
        writer.writerows(asdict(row) | about for row in rows)


def json_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str | float]]]:
    """(columns, rows) for `write_table`, with speeds in millions of symbols per second."""
    columns = ["coder", "threads", "lanes", "bytes", "over the information, %", "encode Msym/s", "decode Msym/s"]
    return columns, [
        [
            *(row.coder, row.threads, row.lanes, row.payload_bytes, round(row.overhead_percent, 3)),
            *(round(row.encode_msym_s, 1), round(row.decode_msym_s, 1)),
        ]
        for row in rows
    ]


def keep_memory() -> None:
    """Tell glibc's malloc not to return freed memory to the system. With other C libraries it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(parameter, 2**30)


def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m bench.coder", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="default: the Kodak images if at hand, else synthetic pictures")
    parser.add_argument("--qualities", type=int, nargs="+", default=[10, 30, 50, 70, 90])
    parser.add_argument("--symbols", type=int, default=8_000_000, help="coded symbols, at least (default: %(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument(
        "--lanes", action="store_true", help="measure sizes and speeds for each number of lanes and payload size"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=LANE_SIZES, help="payload sizes in bytes, for --lanes")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: measure the coder on a GPU")
    parser.add_argument("--batch", type=int, default=64_000_000, help="symbols in a GPU's batch, with skipped ones")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE", help="the table for aec bench --tables")
    args = parser.parse_args(argv)
    if args.lanes and args.device == "cuda":
        parser.error("--lanes measures the CPU")

    keep_memory()
    model = Model.shipped()
    found, source = pictures(args.images)
    tiles = of_pictures(found, args.qualities, args.symbols)
    source = f"{min(len(found), len(tiles) // len(args.qualities))} of {source}"
    about = {
        "machine": machine_line(with_gpu=args.device == "cuda"),
        "commit": source_commit(),
        "date": datetime.date.today().isoformat(),
        "command": f"python -m bench.coder {shlex.join(argv)}".strip(),
    }
    rivals, version = False, ""
    if args.device == "cpu":
        rivals = importlib.util.find_spec("constriction") is not None
        found_version = f"constriction {importlib.metadata.version('constriction')}" if rivals else None
        version = f"; {found_version or 'constriction is not installed: left out'}"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{about['command']}\n{about['date']}, commit {about['commit']}, {about['machine']}{load}{version}")
    print(f"{source}, qualities {' '.join(map(str, args.qualities))}: {describe(model, tiles)}\n")

    before = _C.isa()
    try:
        if args.lanes:
            marked = lane_rows(model, joined(tiles), args.runs, args.sizes)
            rows, text = [row for row, _ in marked], lane_table(marked)
        elif args.device == "cuda":
            from . import coder_cuda

            counted, speed = coder_cuda.measure(model, tiles, args.batch, args.runs), coder_cuda.copy_bytes_per_second()
            rows = [row for row, _ in counted]
            text = table(rows, "")
            text += f"\n\nFloor: 3 bytes a symbol and the payload, at {speed / 1e9:.0f} GB/s of a large copy\n\n"
            text += coder_cuda.floor_table(counted, speed)
        else:
            rows = compare(contenders(model, tiles, args.threads, rivals), args.runs)
            text = table(rows, "constriction, tables, sorted")
    finally:
        _C.set_isa(before)
    print(text)
    if args.csv:
        write_csv(args.csv, rows, about)
    if args.json:
        note = f"{source}; {about['machine']}{load}, commit {about['commit'] or 'unknown'}, {about['date']}; "
        write_table(args.json, "Entropy coder", note + about["command"], *json_table(rows))
    return 0


def contenders(model: Model, tiles: Sequence[Symbols], threads: Sequence[int], rivals: bool) -> list[Contender]:
    """aec with every instruction set on one thread, and with the best one on more threads; then the best one on
    separate tiles and on plain bytes; then other coders, if `rivals`."""
    whole, best = joined(tiles), _C.isa()
    out = [aec(f"aec, {isa}", model, [whole], isa) for isa in _C.isas()]
    out += [aec(f"aec, {best}", model, [whole], best, n) for n in threads if n > 1]
    out += [aec(f"aec, {best}, {len(tiles)} tiles", model, tiles, best, n) for n in threads]
    plain_model, plain = one_table(whole)
    out.append(aec(f"aec, {best}, bytes, one table", plain_model, [plain], best))
    if rivals:
        out += [make(whole, out[0].information_bits) for make in (constriction_gaussians, constriction_tables)]
    return out


if __name__ == "__main__":
    sys.exit(main())

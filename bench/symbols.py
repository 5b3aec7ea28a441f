"""Symbols and indexes for benchmarks of the entropy coder: those that the shipped model makes of real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from codec.api import DEFAULT_EFFORT
from codec.coding import model_file, model_search, payloads, rans
from codec.coding.cdf_tables import cost_bits
from codec.coding.tiles import TileTask
from codec.container.format import Header
from codec.io import IMAGE_SUFFIXES
from codec.nets import torch_codec, torch_encoder
from codec.picture.pixels import to_pixels

KODAK = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "test" / "kodak"
TILE = 1024
RUN = 256  # `sample` takes so many neighbouring symbols at a time
CHUNK = 1 << 20  # symbols whose information content is computed at a time, to limit memory


@dataclass(frozen=True)
class Symbols:
    """The input of `rans.encode`. Symbols with index 0 are not coded ("skipped").

    Args:
        symbols: [N] int16.
        indexes: [N] uint8.
        segments: the lengths of the segments, which sum to N.
    """

    symbols: np.ndarray
    indexes: np.ndarray
    segments: tuple[int, ...]

    @property
    def n_coded(self) -> int:
        return int(np.count_nonzero(self.indexes))

    def coded(self) -> tuple[np.ndarray, np.ndarray]:
        """Symbols and indexes without the skipped ones."""
        kept = self.indexes > 0
        return self.symbols[kept], self.indexes[kept]

    def parts(self) -> list[np.ndarray]:
        """The indexes of each segment."""
        return np.split(self.indexes, np.cumsum(self.segments)[:-1])


@dataclass(frozen=True)
class Model:
    """The tables of a model, as the coder takes them and as arrays."""

    tables: rans.Tables
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray]  # freqs, limits, raw_bits

    @classmethod
    def of(cls, *arrays: np.ndarray) -> Model:
        return cls(rans.Tables(*arrays), arrays)

    @classmethod
    def shipped(cls) -> Model:
        tensors = model_file.load(model_search.find(None)).tensors
        return cls.of(*(tensors[f"tables.{name}"] for name in model_file.TABLES))

    def information_bits(self, data: Symbols) -> float:
        """The number of bits that an ideal coder would write with these tables, raw bits and escapes included."""
        starts = range(0, len(data.symbols), CHUNK)
        costs = (cost_bits(*self.arrays, data.symbols[i : i + CHUNK], data.indexes[i : i + CHUNK]) for i in starts)
        return sum(float(bits.sum()) for bits in costs)

    def escapes(self, data: Symbols) -> int:
        """The number of symbols that are coded as escapes."""
        _, limits, raw_bits = self.arrays
        symbols, indexes = data.coded()
        limit, k = limits.astype(np.int32)[indexes], raw_bits.astype(np.int32)[indexes]
        return int(np.count_nonzero(np.abs(symbols >> k) > limit))

    def raw_bits(self, data: Symbols) -> int:
        """The number of raw bits of FORMAT §5, without the bits of escapes."""
        _, limits, raw_bits = self.arrays
        symbols, indexes = data.coded()
        k = raw_bits.astype(np.int32)[indexes]
        return int(k[np.abs(symbols >> k) <= limits.astype(np.int32)[indexes]].sum())


def pictures(folder: Path | None) -> tuple[list[Image.Image], str]:
    """(RGB pictures, cropped to at most one tile; a text that says where they come from).

    Args:
        folder: None: the Kodak images if their folder exists, else synthetic pictures.

    Raises:
        FileNotFoundError: there is no picture in the folder.
    """
    if folder is None and not KODAK.is_dir():
        return [_synthetic(seed) for seed in range(8)], "8 synthetic pictures of 768x512 (no Kodak images at hand)"
    folder = folder or KODAK
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder}: no pictures")
    found = [Image.open(path).convert("RGB") for path in paths]
    return [
        p.crop((0, 0, min(TILE, p.width), min(TILE, p.height))) for p in found
    ], f"{len(paths)} pictures of {folder}"


def _synthetic(seed: int) -> Image.Image:
    """A picture of 768x512 pixels of noise, whose spectrum falls with frequency as that of photographs does."""
    rng = np.random.default_rng(seed)
    total = np.full((512, 768, 3), 120.0)
    for octave in range(1, 8):
        grid = rng.normal(0, 60 / 2 ** (0.9 * octave), (2 << octave, 3 << octave, 3)).astype(np.float32)
        for channel in range(3):
            total[..., channel] += np.array(Image.fromarray(grid[..., channel]).resize((768, 512), Image.BICUBIC))
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


@torch.inference_mode()
def quantised(codec: torch_codec.Codec, picture: Image.Image, quality: int) -> Symbols:
    """The symbols of a picture, which must fit one tile."""
    pixels = to_pixels(picture)
    (tile,) = Header(*picture.size, quality, codec.id, tile=TILE).tiles
    y, z = torch_encoder.analyse(codec, TileTask(pixels, tile, quality, DEFAULT_EFFORT))
    symbols, indexes, segments, _ = payloads.quantise(codec.walk(quality, *y.shape[1:]), y, z, codec.dead_zones)
    return Symbols(symbols.numpy(), indexes.numpy(), tuple(segments))


def of_pictures(found: Sequence[Image.Image], qualities: Sequence[int], n_coded: int) -> list[Symbols]:
    """The symbols of each picture at all qualities, a tile for each, until at least `n_coded` symbols are coded.

    If all pictures together have fewer symbols, they are repeated.

    Raises:
        ValueError: the model skips every symbol.
    """
    codec = torch_codec.load(model_search.find(None), torch.device("cpu"))
    tiles: list[Symbols] = []
    total = 0
    while total < n_coded:
        i = len(tiles) // len(qualities)
        again = i - len(found)
        if again < 0:
            more = [quantised(codec, found[i], quality) for quality in qualities]
        else:
            more = tiles[again * len(qualities) :][: len(qualities)]
        tiles += more
        total += sum(t.n_coded for t in more)
        if total == 0 and again == 0:
            raise ValueError("the model skips every symbol of these pictures")
    return tiles


def joined(tiles: Sequence[Symbols]) -> Symbols:
    """The symbols of all tiles as one segment."""
    return Symbols(
        np.concatenate([t.symbols for t in tiles]),
        np.concatenate([t.indexes for t in tiles]),
        (sum(len(t.symbols) for t in tiles),),
    )


def sample(data: Symbols, n_coded: int) -> Symbols:
    """About `n_coded` coded symbols as one segment: random pieces of the data, of RUN neighbouring symbols each."""
    rng = np.random.default_rng(1)
    n_runs = -(-len(data.symbols) // RUN)
    n_wanted = max(1, round(n_runs * n_coded / max(1, data.n_coded)))
    at = (rng.permutation(n_runs)[:n_wanted, None] * RUN + np.arange(RUN)).ravel()
    at = at[at < len(data.symbols)]
    return Symbols(data.symbols[at], data.indexes[at], (len(at),))

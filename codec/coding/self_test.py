"""Self-test: every machine must compute the same integers from a fixed pseudorandom model.

A file can only be decoded correctly if all integer arithmetic is exact. So the weights, coding tables and symbols of a
test model are derived from a hash; its entropy nets are as wide as the shipped model's. Every implementation that a
machine has must make the same payload, latents and samples, whose SHA-256 is DECODER below, and the same results of the
encoder's transforms, whose SHA-256 is ENCODER. Neither floating point nor a model file is involved, so the constants
only change if the format or the encoder does. `codec.nets.torch_self_test` runs the same test with torch.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from .. import _C
from ..container import format
from ..container.format import Tile
from ..container.metadata import Metadata
from ..picture import fidelity
from ..picture.samples import Pixels
from . import decoder, engine, model_file, model_search, rans, tiles
from .decoder import CodedTile, Place
from .model_config import LATENT_STRIDE, Config
from .model_file import ModelFile
from .model_tensors import PIXEL_BITS, Form, forms

DECODER = "606af303c142bef86ab392287f87ace5d3f8d4f43889c522b87e2695b1e7de7c"
ENCODER = "08cc240ec569f85a6a144553da0825047e2aa9aa916a154e51fcb8b7ffb62cdf"
CONFIG = Config(wide8=40, blocks8=2, wide16=72, blocks16=1)
LEVELS = np.linspace(1, 100, 100, dtype=np.float32)  # any levels will do: at full size the branch always runs
QUALITY, ROWS, COLUMNS = 50, 21, 35  # size in latents; odd, so that the last vector of a row is only partly filled
SAMPLES = (("u1", 3, 1), ("<u2", 1, 1), ("<u2", 3, 2))  # type, channels, shrink
LANES_LOG2 = 7  # fixed, because the encoder's automatic choice may change one day; makes four streams
ROUND_TRIP_QUALITY = 75


class Arithmetic(Protocol):
    """One of the implementations on this machine that can run the nets of the fixed model."""

    @property
    def decoder(self) -> decoder.Decoder: ...

    @property
    def encoder(self) -> "Encoder": ...

    def payload(self, symbols: Callable[[int, np.ndarray], np.ndarray]) -> bytes:
        """Encode a tile of ROWS x COLUMNS latents. `symbols(k, indexes)` returns the symbols of segment k to encode."""


class Encoder(Protocol):
    """The part of `tiles.Encoder` that is tested here."""

    def latents(self, pixels: Pixels, area: Tile, quality: int) -> np.ndarray: ...
    def hyperlatents(self, y: np.ndarray, quality: int) -> np.ndarray: ...


class Native:
    """The C++ implementation, with the instruction set that is active when it is created and when it runs."""

    def __init__(self) -> None:
        file = fixed_model()
        self.decoder, self.encoder, self._tables = engine.Engine(file), engine.Encoder(file), file.tables

    def payload(self, symbols: Callable[[int, np.ndarray], np.ndarray]) -> bytes:
        walk, coded, by = self.decoder.walk(QUALITY, ROWS, COLUMNS), [], []
        for k in range(walk.segments):
            by.append(np.empty(walk.segment_size(k), np.uint8))
            walk.predict(k, by[-1])
            coded.append(symbols(k, by[-1]))
            walk.accept(k, coded[-1])
        return rans.encode(np.concatenate(coded), np.concatenate(by), list(map(len, coded)), self._tables, LANES_LOG2)


def decoder_digest(arithmetic: Arithmetic) -> str:
    """Encode the fixed symbols, decode the payload, and return the SHA-256 of the payload, the latents and the samples.

    Raises:
        CorruptError: the payload cannot be read back.
    """
    payload = arithmetic.payload(fixed_symbols)
    latents = arithmetic.decoder.read(CodedTile(payload, QUALITY, (ROWS, COLUMNS)))
    samples = [
        np.empty((LATENT_STRIDE * ROWS // shrink, LATENT_STRIDE * COLUMNS // shrink, channels), kind)
        for kind, channels, shrink in SAMPLES
    ]
    place = Place((0, 0), (ROWS, COLUMNS), QUALITY)
    for out, (_, _, shrink) in zip(samples, SAMPLES, strict=True):
        arithmetic.decoder.synthesis.run(latents, place, shrink, (0, 0), out)
    on_cpu = latents if isinstance(latents, np.ndarray) else latents.cpu().numpy()
    return _sha256(payload, on_cpu.transpose(2, 0, 1).astype("<i2").tobytes(), *(out.tobytes() for out in samples))


def encoder_digest(arithmetic: Arithmetic) -> str:
    """Return the SHA-256 of the latents and hyperlatents of a noise picture whose sides are not multiples of 16."""
    height, width = LATENT_STRIDE * ROWS - 5, LATENT_STRIDE * COLUMNS - 9
    pixels = Pixels(drawn("picture", (height, width, 3), "u1").astype(np.uint8), None, Metadata())
    y = arithmetic.encoder.latents(pixels, Tile(0, 0, width, height), QUALITY)
    z = arithmetic.encoder.hyperlatents(y, QUALITY)
    return _sha256(*(np.ascontiguousarray(v).astype("<i2").tobytes() for v in (y, z)))


def _sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def round_trip(file: ModelFile) -> float:
    """Encode and decode a simple picture with a model at quality 75, on the CPU, and return its PSNR in dB.

    Raises:
        ModelError: the model cannot be run.
        CorruptError: the model cannot decode its own payload.
    """
    y, x = np.mgrid[0:100, 0:150]
    picture = np.stack([x + y // 2, 2 * y, 255 - x], axis=2).astype(np.uint8)
    picture[20:60, 30:80] = (200, 60, 40)
    pixels = Pixels(picture, None, Metadata())
    header = pixels.header(ROUND_TRIP_QUALITY, file.id, 1024)
    encoder, reader = engine.Encoder(file), engine.Engine(file)
    made = tiles.file(encoder, header, tiles.encode(encoder, pixels, header, effort=1))
    return fidelity.psnr(pixels, decoder.decode(reader, decoder.Coded.of(reader, format.read(made))))


# ------------------------------------------------------------------ the fixed model and its symbols


def drawn(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return pseudorandom integers that depend only on the arguments, on every machine and with every library version.

    Args:
        name: seed.
        shape: of the result.
        dtype: integer type that sets the range, such as "i2"; the result itself is int32.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    n_bytes = int(np.prod(shape)) * kind.itemsize
    return np.frombuffer(hashlib.shake_256(name.encode()).digest(n_bytes), kind).reshape(shape).astype(np.int32)


@cache
def fixed_model() -> ModelFile:
    """Return a model whose activations, means, indexes and samples take all values, including saturated ones."""
    wanted, tables = forms(CONFIG), fixed_tables()
    tensors = {f"tables.{name}": values for name, values in tables.items()} | {"levels": LEVELS}
    for name, form in wanted.items():
        if name not in tensors:
            tensors[name] = _fixed_tensor(name, form, wanted).astype(form.dtypes[-1])
    return model_file.of_tensors(tensors, {model_search.CODEC: json.dumps(asdict(CONFIG))}, Path("fixed"))


def _fixed_tensor(name: str, form: Form, wanted: Mapping[str, Form]) -> np.ndarray:
    """Draw one tensor of the fixed model.

    The gain of each layer is near 1: weights have a standard deviation of about 2^6, and sums are divided by that and
    by the square root of the number of terms.
    """
    layer, _, part = name.rpartition(".")
    # The seeds are names that tensors had when the digest was first computed.
    said = name.removeprefix("entropy.net.").removeprefix("entropy.").removeprefix("synthesis.")
    weight = wanted.get(f"{layer}.weight")
    shift = 6 + int(np.prod(weight.shape[1:])).bit_length() // 2 if weight else 0
    # The shortcut of the synthesis reads values of the full range of int16, and the shortcut of the analysis reads
    # smaller ones. The results of both have a finer unit than the tensors they are added to.
    shortcut, of_pixels = layer == "synthesis.shortcut", layer == "analysis.shortcut"
    if part == "weight":
        return drawn(said, form.shape, "i2") >> 1 if shortcut else drawn(said, form.shape, "i1")
    if part == "bias":
        return (127 << 17 if shortcut else 0) + (drawn(said, form.shape, "i2") << shift - 3)
    if part == "shift":
        if layer == "analysis.gain":
            return 10 + drawn(said, form.shape, "u1") % 8
        return np.full(form.shape, {"synthesis.gain": 14, "synthesis.shortcut": 7}.get(layer, shift - 6 * of_pixels))
    if part == "table":
        return drawn(said, form.shape, "i2") >> (0 if layer.endswith(".gain") else 2)
    if part == "fraction":
        return np.full(form.shape, PIXEL_BITS if shortcut else 0)
    if part == "hyper_index":
        return drawn(said, form.shape, "u1") >> 2
    return 1 + (drawn(said, form.shape, "u2") >> 4)  # quantisation steps


def fixed_tables() -> dict[str, np.ndarray]:
    """Return arguments for `rans.Tables`: triangular distributions of all widths and raw bit counts (FORMAT §5)."""
    freqs = np.zeros((rans.INDEX_COUNT, rans.MAX_ALPHABET), np.uint16)
    limits, raw_bits = (np.zeros(rans.INDEX_COUNT, np.uint8) for _ in range(2))
    for i in range(1, rans.INDEX_COUNT):
        limits[i], raw_bits[i] = limit, _ = i // 2, i % (_C.MAX_RAW_BITS + 1)
        heights = np.append(limit + 1 - abs(np.arange(-limit, limit + 1)), 1)
        row = 1 + heights * ((1 << _C.SCALE_BITS) - len(heights)) // heights.sum()
        row[limit] += (1 << _C.SCALE_BITS) - row.sum()
        freqs[i, : len(row)] = row
    return {"freqs": freqs, "limits": limits, "raw_bits": raw_bits}


def fixed_symbols(segment: int, indexes: np.ndarray) -> np.ndarray:
    """Return fixed symbols for a segment: int16 [N], of all magnitudes up to 16383, and 0 where the index is 0."""
    values = drawn(f"symbols {segment}", indexes.shape, "i2") >> 1 + drawn(f"size {segment}", indexes.shape, "u1") % 15
    return values.clip(-rans.MAX_SYMBOL, rans.MAX_SYMBOL).astype(np.int16) * (indexes > 0)

"""Measures a codec on a picture at a quality. The file is written to disk, and decoded in another process."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .cache import Cache, hash_of_pixels
from .clock import timed
from .codecs import Codec
from .decoder import Decoded, DecodeError, Decoder, seconds_on_gpu
from .inputs import load_image
from .metrics import METRICS
from .rivals import About

WARM_UP_SIDE = 64


@dataclass(frozen=True)
class Entrant:
    """A codec that takes part, and the qualities to measure it at."""

    codec: Codec
    about: About
    qualities: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """A picture file to measure on, and its names in the results."""

    image_set: str
    name: str
    path: Path


@dataclass(frozen=True)
class Conditions:
    """What is the same for all measurements of a run."""

    entrants: tuple[Entrant, ...]
    metrics: tuple[str, ...]  # keys of METRICS
    runs: int  # as in `clock.timed`
    jobs: int  # how many processes measure at the same time, and so slow each other down
    machine: str  # as `machine_line` describes it
    commit: str  # as `source_commit` names it
    cache: Path | None  # folder of the cache; None: there is none


@dataclass(frozen=True)
class Point:
    """A measurement as a row of the results. `fresh` is False if it comes from the cache."""

    row: dict[str, object]
    fresh: bool


@dataclass(frozen=True)
class Failure:
    """An error, and how many points are missing because of it."""

    message: str
    n_points: int


@dataclass
class Bench:
    """Measures under the given conditions. It keeps a decoding process for each codec, which `close` ends."""

    conditions: Conditions
    folder: Path  # for temporary files; no other Bench may use the same folder
    _decoders: dict[str, Decoder] = field(default_factory=dict)

    def measure(self, picture: Picture) -> Iterator[Point | Failure]:
        """Yield all points of a picture, each as soon as it is measured."""
        entrants = self.conditions.entrants
        try:
            original = load_image(picture.path)
        # For a bad file Pillow may raise a dozen kinds of exceptions. One bad file must not end a run of many hours.
        except Exception as error:
            missing = sum(len(entrant.qualities) for entrant in entrants)
            yield Failure(f"{picture.path}: skipped: {describe(error)}", missing)
            return
        height, width = original.shape[:2]
        about = {"set": picture.image_set, "image": picture.name, "width": width, "height": height}
        content = hash_of_pixels(original)
        for entrant in entrants:
            for i, quality in enumerate(entrant.qualities):
                try:
                    row, fresh = self._point(original, content, entrant, quality)
                except Exception as error:  # a codec may raise anything; the others go on
                    message = f"{picture.path}: {entrant.codec.name}: quality {quality}: {describe(error)}"
                    yield Failure(message, len(entrant.qualities) - i)
                    break
                yield Point(about | {"codec": entrant.codec.name, "quality": quality} | row, fresh)

    def _point(self, original: np.ndarray, content: str, entrant: Entrant, quality: int) -> tuple[dict, bool]:
        c = self.conditions
        cache = Cache(c.cache)
        key = {
            "form": 1,  # to be raised whenever the key, the value or the way of measuring changes
            "pixels": content,
            "codec": [entrant.codec.name.split("+")[0], entrant.about.version, entrant.about.settings],
            "quality": quality,
            "conditions": [c.machine, entrant.about.threads, c.runs, c.jobs],
        }
        found = cache.get(key)
        wanted = {metric: METRICS[metric].identity() for metric in c.metrics}
        fresh = found is None or not all(identity in found["metrics"] for identity in wanted.values())
        if fresh:
            row, decoded = self.encode_and_decode(original, entrant.codec, quality)
            values = {identity: METRICS[m].measure(original, decoded.pixels) for m, identity in wanted.items()}
            content_decoded = hash_of_pixels(decoded.pixels)
            if found and found["decoded"] == content_decoded:
                values = found["metrics"] | values
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            found = {"row": row | {"measured": now, "commit": c.commit}, "metrics": values, "decoded": content_decoded}
            cache.put(key, found)
        return found["row"] | {m: found["metrics"][identity] for m, identity in wanted.items()}, fresh

    def _warm_decoder(self, codec: Codec, original: np.ndarray, quality: int) -> Decoder:
        """The codec's decoding process, which has already decoded a small picture, so that the time to load libraries
        and the model is not measured."""
        if codec.name not in self._decoders:
            decoder = self._decoders[codec.name] = Decoder(codec.decode, codec.resident, self.folder)
            path = self.folder / "encoded"
            path.write_bytes(codec.encode(original[:WARM_UP_SIDE, :WARM_UP_SIDE], quality))
            decoder.decode(path, 1)
        return self._decoders[codec.name]

    def encode_and_decode(
        self, original: np.ndarray, codec: Codec, quality: int, runs: int | None = None
    ) -> tuple[dict[str, object], Decoded]:
        """Encode the picture to a file in this process, and decode the file in the codec's decoding process.

        Args:
            original: [H, W, 3] uint8.
            runs: as in `clock.timed`; None: as in the conditions.

        Returns:
            (columns of the results: bytes, bpp, and for encoding and decoding seconds and peaks of memory; the decoded
            picture).

        Raises:
            DecodeError: as in `Decoder.decode`; also if the decoded array is not uint8 of the original's shape.
            Exception: anything that the codec's encoder raises.
        """
        try:
            return self._encode_and_decode(original, codec, quality, runs or self.conditions.runs)
        except Exception:
            # After an error the process may have ended, or may not be warmed up. So the next file gets a new process.
            if codec.name in self._decoders:
                self._decoders.pop(codec.name).close()
            raise

    def _encode_and_decode(
        self, original: np.ndarray, codec: Codec, quality: int, runs: int
    ) -> tuple[dict[str, object], Decoded]:
        original = original.view()
        original.setflags(write=False)  # the decoded picture must not be compared with one that the encoder has changed
        decoder = self._warm_decoder(codec, original, quality)
        path = self.folder / "encoded"
        data, encode_s, encode_peak = timed(lambda: codec.encode(original, quality), runs)
        path.write_bytes(data)
        n_bytes = os.stat(path).st_size
        on_gpu = codec.resident()
        uploaded = on_gpu and on_gpu.upload(original)
        decoded = decoder.decode(path, runs)
        if decoded.pixels.dtype != np.uint8 or decoded.pixels.shape != original.shape:
            raise DecodeError(
                f"decoded to {decoded.pixels.dtype} {list(decoded.pixels.shape)}, "
                f"the original is uint8 {list(original.shape)}"
            )
        row = {
            "bytes": n_bytes,
            "bpp": 8 * n_bytes / (original.shape[0] * original.shape[1]),
            "encode_s": encode_s,
            "decode_s": decoded.seconds,
            "encode_resident_s": on_gpu and seconds_on_gpu(on_gpu, lambda: codec.encode(uploaded, quality), runs),
            "decode_resident_s": decoded.resident_seconds,
            "encode_peak_bytes": encode_peak,
            "decode_peak_bytes": decoded.peak_bytes,
        }
        return row, decoded

    def close(self) -> None:
        for decoder in self._decoders.values():
            decoder.close()


def describe(error: Exception) -> str:
    return str(error) if isinstance(error, DecodeError) else f"{type(error).__name__}: {error}"

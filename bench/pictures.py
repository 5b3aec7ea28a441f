"""Makes the pictures for the page's viewer: each codec's version of a picture, at about the size of aec's file."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .clock import SLOW_S
from .codecs import Codec, is_aec
from .inputs import load_image
from .measure import Bench, Conditions, describe
from .measure import Picture as Source
from .metrics import METRICS

if TYPE_CHECKING:
    from .page import Picture, Version


def make_pictures(
    sources: Sequence[Source],
    conditions: Conditions,
    rows: Sequence[dict],
    per_set: int,
    rates: Sequence[float],
    side: int,
) -> list[Picture]:
    """Encode the first pictures of each set with all codecs, at about the same size.

    aec's versions (of the first codec that is aec) have the measured qualities whose rates are nearest to `rates`. Each
    other codec gets the highest quality at which its file is not larger than aec's; if it is larger at all qualities
    that were measured, the lowest of these. Qualities between those that were measured are tried too, unless the codec
    takes more than SLOW_S seconds.

    Args:
        rows: the points that were measured.
        per_set: how many pictures of each set to show, from the first on.
        rates: in bits per pixel.
        side: pictures with a larger side are scaled down to it (Lanczos), after the metrics were measured; 0: no limit.

    Returns:
        The pictures with their versions. Pictures for which aec has no point are left out; without a codec that is aec
        there are none. If a codec fails, a message is printed on stderr and its version is left out.
    """
    from tqdm import tqdm

    points: dict[tuple[str, str], dict[str, dict[int, dict]]] = {}
    for row in rows:
        of_picture = points.setdefault((row["set"], row["image"]), {})
        of_picture.setdefault(row["codec"], {})[row["quality"]] = row
    ours = next((e.codec.name for e in conditions.entrants if is_aec(e.codec.name)), None)
    chosen = []
    for image_set in dict.fromkeys(source.image_set for source in sources):
        have = [s for s in sources if s.image_set == image_set and ours in points.get((s.image_set, s.name), {})]
        chosen += have[:per_set]
    if not chosen:
        return []
    with tempfile.TemporaryDirectory(prefix="aec-bench-") as folder:
        bench = Bench(conditions, Path(folder))
        try:
            bar = tqdm(chosen, desc="pictures for the viewer", unit="picture", file=sys.stderr, disable=None)
            made = [_picture(bench, source, points[source.image_set, source.name], ours, rates, side) for source in bar]
            return [picture for picture in made if picture.versions]
        finally:
            bench.close()


def _picture(
    bench: Bench,
    source: Source,
    points: Mapping[str, Mapping[int, dict]],
    ours: str,
    rates: Sequence[float],
    side: int,
) -> Picture:
    from tqdm import tqdm

    from .page import Picture

    original = load_image(source.path)
    targets = {_nearest(points[ours], rate) for rate in rates}
    limits = [points[ours][quality]["bytes"] for quality in targets]
    versions = []
    for codec in (e.codec for e in bench.conditions.entrants if e.codec.name in points):
        try:
            wanted = targets
            if codec.name != ours:
                wanted = {_quality_for(codec, original, points[codec.name], limit) for limit in limits}
            versions += [_version(bench, original, codec, quality, side) for quality in sorted(wanted)]
        except Exception as error:  # a codec may raise any exception, and at qualities that were not measured yet
            message = f"{source.path}: {codec.name} is not in the viewer: {describe(error)}"
            tqdm.write(f"aec: bench: {message}", file=sys.stderr)
    return Picture(source.image_set, source.name, _scaled(original, side), versions)


def _version(bench: Bench, original: np.ndarray, codec: Codec, quality: int, side: int) -> Version:
    from .page import Version

    row, decoded = bench.encode_and_decode(original, codec, quality, runs=1)
    figures = {key: METRICS[key].measure(original, decoded.pixels) for key in bench.conditions.metrics}
    return Version(codec.name, quality, row["bytes"], _scaled(decoded.pixels, side), figures)


def _nearest(points: Mapping[int, dict], bpp: float) -> int:
    return min(points, key=lambda quality: abs(math.log(points[quality]["bpp"] / bpp)))


def _quality_for(codec: Codec, original: np.ndarray, points: Mapping[int, dict], limit: int) -> int:
    """The highest quality whose file has at most `limit` bytes, or the lowest measured quality if there is none. It is
    searched between the two measured qualities around the limit."""
    below = max((q for q, point in points.items() if point["bytes"] <= limit), default=None)
    if below is None:
        return min(points)
    above = min((q for q in points if q > below), default=below)
    if points[below]["encode_s"] > SLOW_S:
        return below
    while above - below > 1:
        middle = (below + above) // 2
        if len(codec.encode(original, middle)) <= limit:
            below = middle
        else:
            above = middle
    return below


def _scaled(pixels: np.ndarray, side: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    if not side or max(height, width) <= side:
        return pixels
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))

"""For the viewer: what each codec makes of a picture at about the size of aec's file."""

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
    """Pictures with their versions: of the first codec that is aec, near `rates`, and of each other at the same size.

    That size is the largest of whole qualities that is not above aec's; where all are above, the smallest. A codec
    that takes more than SLOW_S seconds keeps to the qualities that were measured, the others are tried in between.

    Args:
        rows: the points that were measured.
        per_set: how many pictures of each set, from the first on.
        rates: bits per pixel.
        side: larger pictures are scaled down to it (Lanczos) after all figures were measured; 0: no limit.

    Returns:
        None for a picture without a point of aec, nor where no codec is aec. A codec that fails is told on stderr and
        not shown.
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
        except Exception as error:  # a codec may raise anything, at a quality that was not measured too
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
    """The highest quality whose file has at most `limit` bytes, between those measured; else the lowest measured."""
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

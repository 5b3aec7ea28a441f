"""Stored pictures, which no network codes: they are PNG or WebP files, or the unchanged original file (FORMAT §2)."""

from dataclasses import replace

import numpy as np

from ..container import format
from ..container.format import NO_MODEL, STORED_KINDS, Layout, stored_kind
from ..container.metadata import NONE, Metadata
from ..errors import CorruptError, FormatError
from . import code_points
from .embedded import fits_webp, open_still, write_png, write_webp
from .pixels import read, upright
from .samples import Pixels, to_numpy

_SMALL = 1 << 16  # pictures of at most this many samples are also tried as PNG, which has less overhead than WebP
# libwebp's method and quality, from each effort on. The last entry makes files 3 to 9 % smaller, in 20 times the time.
_WEBP = {1: (2, 25), 2: (4, 50), 7: (6, 100)}
_PROBE_SIDE, _PROBE_SHARE = 128, 12  # the crops for the guess have this side or half of it, and cover 1/12 of the area
_PROBE_LARGE = 1 << 18  # pictures of at least this many pixels use crops of the full side
# The whole picture may take this many times fewer bytes than its crops suggest, because WebP finds repetitions across
# the crops, and because the crops are coded with less effort.
_OPTIMISM = 2.5
_SLACK = 200  # bytes that are allowed in addition, so that tiny pictures are always tried


def file(pixels: Pixels, payload: bytes, metadata: Metadata) -> bytes:
    header = replace(pixels.header(0, NO_MODEL, format.MIN_TILE), stored=True)
    return format.write(header, [payload], metadata=code_points.blocks(metadata, pixels.gray))


def lossless(pixels: Pixels, effort: int, exact: bool) -> bytes:
    """Return an .aec file that stores the picture losslessly.

    Args:
        pixels: the picture.
        effort: 1..9, as in `api.encode`.
        exact: whether to keep the colours of pixels whose alpha is 0 too.
    """
    samples = to_numpy(pixels)
    method, quality = _WEBP[max(e for e in _WEBP if e <= effort)]
    bilevel = samples.ndim == 2 and samples.dtype == np.uint8 and bool(((samples == 0) | (samples == 255)).all())
    if bilevel:
        quality = 100  # makes pages of rendered text a third smaller in about the same time; scans stay the same
    best = None
    if fits_webp(samples):
        best = write_webp(samples, lossless=True, exact=exact, method=method, quality=quality)
    if best is None or bilevel or samples.size <= _SMALL:
        png = write_png(samples > 0 if bilevel else samples)
        best = png if best is None else min(best, png, key=len)
    return file(pixels, best, pixels.metadata)


def original(pixels: Pixels, source: bytes) -> bytes | None:
    """Return an .aec file that stores the picture's source file unchanged.

    Returns None if the source is not a PNG, WebP or JPEG file, or if its pixels or metadata differ from the picture's.
    """
    if stored_kind(source) is None:
        return None
    try:
        sizes = {(pixels.width, pixels.height), (pixels.height, pixels.width)}
        found = upright(*read(open_still(source, STORED_KINDS, sizes)))
    except (FormatError, ValueError):
        return None
    same = found.metadata == pixels.metadata and _equal(found.data, pixels.data) and _equal(found.alpha, pixels.alpha)
    return file(pixels, source, NONE) if same else None


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and np.array_equal(a, b)


def may_take_less(pixels: Pixels, n_bytes: int) -> bool:
    """Return whether the file of `lossless` may have fewer bytes than `n_bytes`.

    It is a guess from crops, which takes 4 to 15 % of the network's time. Lossless files of photographs are 2 to 3
    times as large as the network's at quality 100; those of flat pictures, icons and screenshots are much smaller.
    """
    area = pixels.height * pixels.width
    side = _PROBE_SIDE if area >= _PROBE_LARGE else _PROBE_SIDE // 2
    n = max(2, area // (_PROBE_SHARE * side**2))
    places = []
    if area <= n * side**2:
        n, side, places = 0, max(pixels.height, pixels.width), [(0, 0)]
    # The rows follow multiples of the golden ratio, and the columns are evenly spaced. So the crops do not fall into
    # step with a periodic picture.
    for i in range(n):
        y = int(i * 0.618034 % 1 * max(0, pixels.height - side))
        places.append((y, int((i + 0.5) / n * max(0, pixels.width - side))))
    probed = probed_area = 0
    for y, x in places:
        alpha = None if pixels.alpha is None else pixels.alpha[y : y + side, x : x + side]
        crop = to_numpy(Pixels(pixels.data[y : y + side, x : x + side], alpha))
        if pixels.depth == 16:
            crop = (crop >> 8).astype(np.uint8)  # if the high bytes are flat, all 16 bits may be
        probed += len(write_webp(crop, lossless=True, method=1, quality=20))
        probed_area += crop.shape[0] * crop.shape[1]
    other_bytes = len(file(pixels, bytes(format.MIN_PAYLOAD), pixels.metadata))
    return probed * area / probed_area < _OPTIMISM * (n_bytes - other_bytes) + _SLACK


def decode(layout: Layout) -> Pixels:
    """Decode the picture of a stored file.

    Raises:
        CorruptError: the payload is damaged, or is not the picture that the header describes.
    """
    header, payload = layout.header, bytes(layout.payloads[0])
    sizes = {(header.width, header.height)}
    if layout.own_metadata_counts:  # and its orientation may swap the sides
        sizes.add((header.height, header.width))
    try:
        samples, metadata = read(open_still(payload, STORED_KINDS, sizes), max_pixels=None)  # checked already
    except ValueError as e:
        raise CorruptError(f"the stored picture: {e}") from e
    if layout.own_metadata_counts:
        pixels = upright(samples, metadata)
        pixels = replace(pixels, metadata=code_points.of_stored(pixels.metadata, layout.metadata, header))
    else:
        pixels = replace(upright(samples, NONE), metadata=code_points.of_sections(layout.metadata, header))
    if header.gray and stored_kind(payload) == "WebP":  # WebP has no gray
        pixels = replace(pixels, data=pixels.data[..., :1])
    found = pixels.header(0, NO_MODEL, format.MIN_TILE)
    if replace(found, stored=True) != header:
        raise CorruptError(f"the stored picture is not such as its header says: {found} instead of {header}")
    return pixels

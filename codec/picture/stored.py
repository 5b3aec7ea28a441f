"""Pictures that no network codes: kept exactly as PNG or WebP, or as the file they came in. FORMAT §2."""

from dataclasses import replace

import numpy as np

from ..container import format
from ..container.format import NO_MODEL, STORED_KINDS, Layout, stored_kind
from ..container.metadata import NONE, Metadata, unpacked
from ..errors import CorruptError, FormatError
from .embedded import fits_webp, open_still, write_png, write_webp
from .pixels import Pixels, read, to_numpy, upright

_SMALL = 1 << 16  # samples up to which PNG is tried beside WebP: its overhead is less
# libwebp's method and quality from an effort on: the last makes files 3 to 9 % smaller, in 20 times the time.
_WEBP = {1: (2, 25), 2: (4, 50), 7: (6, 100)}
_PROBE_SIDE, _PROBE_SHARE = 128, 12  # crops of this side, or half, one twelfth of the picture in all
_PROBE_LARGE = 1 << 18  # pixels from which the side is whole
# How much smaller the whole may be than its crops tell: WebP finds repetitions across them, and is run at less effort.
_OPTIMISM = 2.5
_SLACK = 200  # bytes: so tiny pictures are always tried


def file(pixels: Pixels, payload: bytes, metadata: Metadata) -> bytes:
    header = replace(pixels.header(0, NO_MODEL, format.MIN_TILE), stored=True)
    return format.write(header, [payload], metadata=metadata.blocks())


def lossless(pixels: Pixels, effort: int, exact: bool) -> bytes:
    """A file whose samples are those of the picture.

    Args:
        effort: 1..9, as of api.encode.
        exact: colours where alpha is 0 count too.
    """
    samples = to_numpy(pixels)
    method, quality = _WEBP[max(e for e in _WEBP if e <= effort)]
    bilevel = samples.ndim == 2 and samples.dtype == np.uint8 and bool(((samples == 0) | (samples == 255)).all())
    if bilevel:
        quality = 100  # a third off pages of rendered text, nothing off real scans, in about the same time
    best = None
    if fits_webp(samples):
        best = write_webp(samples, lossless=True, exact=exact, method=method, quality=quality)
    if best is None or bilevel or samples.size <= _SMALL:
        png = write_png(samples > 0 if bilevel else samples)
        best = png if best is None else min(best, png, key=len)
    return file(pixels, best, pixels.metadata)


def original(pixels: Pixels, source: bytes) -> bytes | None:
    """A file that holds the picture's own file as it is; None if that is of another kind, or not of this picture."""
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
    """Whether the file of `lossless` may have fewer bytes: a guess from crops, in 4 to 15 % of the network's time.

    Photographs take 2 to 3 times what the network takes at its best; flat pictures, icons and screenshots much less.
    """
    area = pixels.height * pixels.width
    side = _PROBE_SIDE if area >= _PROBE_LARGE else _PROBE_SIDE // 2
    n = max(2, area // (_PROBE_SHARE * side**2))
    places = []
    if area <= n * side**2:
        n, side, places = 0, max(pixels.height, pixels.width), [(0, 0)]
    for i in range(n):  # spread by the golden ratio and evenly: whatever period a picture has, they miss it
        y = int(i * 0.618034 % 1 * max(0, pixels.height - side))
        places.append((y, int((i + 0.5) / n * max(0, pixels.width - side))))
    probed = probed_area = 0
    for y, x in places:
        alpha = None if pixels.alpha is None else pixels.alpha[y : y + side, x : x + side]
        crop = to_numpy(Pixels(pixels.data[y : y + side, x : x + side], alpha))
        if pixels.depth == 16:
            crop = (crop >> 8).astype(np.uint8)  # what is flat in these may be so in all
        probed += len(write_webp(crop, lossless=True, method=1, quality=20))
        probed_area += crop.shape[0] * crop.shape[1]
    other_bytes = len(file(pixels, bytes(format.MIN_PAYLOAD), pixels.metadata))
    return probed * area / probed_area < _OPTIMISM * (n_bytes - other_bytes) + _SLACK


def decode(layout: Layout) -> Pixels:
    """The picture of a stored file.

    Raises:
        CorruptError: the payload is not a picture such as the header says.
    """
    header, payload = layout.header, bytes(layout.payloads[0])
    sizes = {(header.width, header.height)}
    if not layout.metadata:  # then the payload's own count, and its orientation may swap its sides
        sizes.add((header.height, header.width))
    try:
        samples, metadata = read(open_still(payload, STORED_KINDS, sizes), max_pixels=None)  # the caller's limit held
    except ValueError as e:
        raise CorruptError(f"the stored picture: {e}") from e
    if layout.metadata:
        pixels = replace(upright(samples, NONE), metadata=unpacked(layout.metadata))
    else:
        pixels = upright(samples, metadata)
    if header.gray and stored_kind(payload) == "WebP":  # which has no gray
        pixels = replace(pixels, data=pixels.data[..., :1])
    found = pixels.header(0, NO_MODEL, format.MIN_TILE)
    if replace(found, stored=True) != header:
        raise CorruptError(f"the stored picture is not such as its header says: {found} instead of {header}")
    return pixels

"""AVIF files with 10 and 12 bits a sample, by the optional package imagecodecs: Pillow reads and writes 8 bits."""

import numpy as np

from ..container.metadata import Metadata
from ..extras import need
from ..io import OutputError
from .sample_bits import whole_range

EXTRA = "deep"  # of pyproject.toml
_BT2020 = 9  # the primaries, and the matrix that belongs to them
_BT601 = 6  # matrix
_SRGB = (1, 13)  # primaries and transfer characteristics
_SPEED = 6  # as Pillow's


def read(data: bytes, bits: int) -> np.ndarray:
    """Read the samples of a file: uint16 [H, W] or [H, W, 2|3|4] with alpha last, scaled to the whole range.

    Alpha is not premultiplied. The orientation is not applied.

    Args:
        data: the bytes of the file.
        bits: of its samples, 10 or 12.

    Raises:
        MissingPackageError: imagecodecs is not installed.
        ValueError: the file is damaged.
    """
    codecs = need("imagecodecs", f"an AVIF picture of {bits} bits a sample", EXTRA)
    try:
        samples = codecs.avif_decode(data, index=0)
    except codecs.AvifError as e:
        raise ValueError(f"cannot read the picture: {e}") from e
    if samples.dtype != np.uint16 or samples.ndim not in (2, 3) or samples.max() >= 1 << bits:
        raise ValueError(f"an AVIF file of {bits} bits a sample that decodes to other samples")
    return whole_range(samples, bits)


def write(samples: np.ndarray, metadata: Metadata, quality: int) -> bytes:
    """Return a file of 10 bits a sample, or of 12 if more than 10 are significant.

    Args:
        samples: uint16 [H, W] or [H, W, 2|3|4] with alpha last.
        metadata: only code points and significant bits can be written.
        quality: 1..100.

    Raises:
        MissingPackageError: imagecodecs is not installed.
        OutputError: there is other metadata, which would be lost; the colours are of the limited range; or the picture
            is too large.
    """
    codecs = need("imagecodecs", "AVIF with more than 8 bits a sample", EXTRA)
    lost = {"an ICC profile": metadata.cicp is None and metadata.icc, "EXIF": metadata.exif, "XMP": metadata.xmp}
    if names := [name for name, block in lost.items() if block]:
        option = "none" if metadata.cicp is None else "icc"  # which keeps the code points
        raise OutputError(
            f"AVIF of more than 8 bits is written without {' and '.join(names)}: "
            f"--metadata {option} leaves out what is lost, and .png keeps it"
        )
    primaries, transfer, _, full = metadata.cicp or (*_SRGB, 0, 1)
    if not full:
        raise OutputError("AVIF holds no RGB of the limited range: .png does")
    bits = 10 if metadata.bits is not None and metadata.bits <= 10 else 12
    top = (1 << bits) - 1
    try:
        made = codecs.avif_encode(
            ((samples.astype(np.uint32) * top + 32767) // 65535).astype(np.uint16),
            quality,
            speed=_SPEED,
            bitspersample=bits,
            primaries=primaries,
            transfer=transfer,
            matrix=_BT2020 if primaries == _BT2020 else _BT601,
        )
    except codecs.AvifError as e:  # such as of a picture that is too large for AV1
        raise OutputError(f"cannot write a picture of {samples.shape[1]}x{samples.shape[0]} as AVIF: {e}") from e
    return bytes(made)

"""The code points of a picture beside its colour profile: which are kept, and the profile that says the same."""

import struct
from collections.abc import Mapping
from dataclasses import replace

from ..container.format import Header, Section
from ..container.metadata import Cicp, Metadata, unpacked

_PRIMARIES = {1: "BT.709", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {1: "BT.709", 8: "linear", 13: "sRGB", 14: "BT.2020", 15: "BT.2020", 16: "PQ", 18: "HLG"}
_FIRST_TAG, _TAG_BYTES = 132, 12  # the table of an ICC profile (ICC.1:2022, 7.3)


def settled(metadata: Metadata, gray: bool, depth: int) -> Metadata:
    """Make the metadata of a picture consistent with the picture, and with itself.

    Where there are no code points, those in the profile's `cicp` tag count. Code points that mean nothing are left out:
    unspecified or reserved ones, and those of sRGB if there is no profile that they overrule. If code points are left
    and there is no profile, one is made of them. A number of significant bits that is not less than the depth is left
    out.

    Args:
        metadata: any.
        gray: whether the picture has one colour channel.
        depth: bits a sample, 8 or 16.
    """
    bits = metadata.bits if metadata.bits is not None and metadata.bits < depth else None
    icc, cicp = metadata.icc, metadata.cicp
    if cicp is None or not known(cicp):
        cicp = of_profile(icc)
    if cicp is not None and not icc:
        icc = profile(cicp, gray)
        cicp = cicp if icc else None
    return replace(metadata, icc=icc, cicp=cicp, bits=bits)


def blocks(metadata: Metadata, gray: bool) -> dict[str, bytes]:
    """Return the blocks to write into a file: no profile that the code points make, no code points of the profile's.

    Args:
        metadata: as `settled` returns it.
        gray: whether the picture has one colour channel.
    """
    if metadata.cicp is not None:
        if metadata.icc == profile(metadata.cicp, gray):
            metadata = replace(metadata, icc=None)
        elif metadata.cicp == of_profile(metadata.icc):
            metadata = replace(metadata, cicp=None)
    return metadata.blocks()


def of_sections(sections: Mapping[str, Section], header: Header) -> Metadata:
    """Return the metadata in the sections of a file, with the profile that belongs to its code points.

    Raises CorruptError as `container.metadata.unpacked` does.
    """
    return settled(unpacked(sections, header.depth), header.gray, header.depth)


def of_stored(own: Metadata, sections: Mapping[str, Section], header: Header) -> Metadata:
    """Return the metadata of a stored picture: that of the PNG, WebP or JPEG file inside, and what stands beside it.

    Args:
        own: the metadata of the file inside, as the upright picture has it.
        sections: of the .aec file: significant bits, which count more than those inside, and extra blocks.
        header: of the .aec file.

    Raises CorruptError as `container.metadata.unpacked` does.
    """
    beside = unpacked(sections, header.depth)
    return replace(own, bits=beside.bits or own.bits, extra=beside.extra)


def known(cicp: Cicp) -> bool:
    """Return whether code points say anything: they are not unspecified, and H.273 defines them."""
    from . import colour

    return not cicp[0] == cicp[1] == 2 and colour.is_defined(cicp)


def profile(cicp: Cicp, gray: bool) -> bytes | None:
    """Return the profile that is made of code points; None if they mean sRGB, or say nothing."""
    from . import colour

    return colour.of_cicp(cicp, gray) if known(cicp) else None


def of_profile(icc: bytes | None) -> Cicp | None:
    """Return the code points in the `cicp` tag of a profile; None if it has none, or they say nothing."""
    if not icc or len(icc) < _FIRST_TAG:
        return None
    count = int.from_bytes(icc[_FIRST_TAG - 4 : _FIRST_TAG], "big")
    for at in range(_FIRST_TAG, min(_FIRST_TAG + _TAG_BYTES * count, len(icc) - _TAG_BYTES + 1), _TAG_BYTES):
        name, start, length = struct.unpack_from(">4sII", icc, at)
        if name == b"cicp":
            tag = icc[start : start + length]
            return of_samples(tag[8:12]) if len(tag) == 12 and tag[:4] == b"cicp" else None
    return None


def of_samples(values: object) -> Cicp | None:
    """Return code points as they are true of decoded samples, which are RGB or gray: with matrix 0.

    Args:
        values: four numbers, of a file or from a picture's `info`. The matrix is ignored, because readers have undone
            it. Any range but 0 is taken for the full one.

    Returns:
        The code points; None if these are not four numbers of 0..255, or if they say nothing.
    """
    try:
        primaries, transfer, _, full = (int(v) for v in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
    if not (0 <= primaries <= 255 and 0 <= transfer <= 255):
        return None
    found = (primaries, transfer, 0, int(full != 0))
    return found if known(found) else None


def words(cicp: Cicp) -> str:
    """Describe code points for people: 9/16/0/1 (BT.2020, PQ, full range)."""
    names = _PRIMARIES.get(cicp[0], f"primaries {cicp[0]}"), _TRANSFERS.get(cicp[1], f"transfer {cicp[1]}")
    return f"{'/'.join(map(str, cicp))} ({', '.join(names)}, {'full' if cicp[3] else 'limited'} range)"

"""Extended XMP: packets that are too long for one segment of a JPEG file, and are continued in other segments.

Source: XMP specification, part 3, section 1.1.3.1.
"""

import hashlib
import re
import struct
from collections.abc import Iterable

from .jpeg_segments import APP1, LONGEST

XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_POINTER = re.compile(
    rb"""xmpNote:HasExtendedXMP\s*=\s*["'](\w{32})["']|<xmpNote:HasExtendedXMP>\s*(\w{32})\s*</xmpNote:HasExtendedXMP>"""
)
_POINTING = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
_NAMESPACE = re.compile(rb"""\s(xmlns:[\w.-]+)\s*=\s*(?:"[^"]*"|'[^']*')""")


def whole(xmp: bytes, extensions: Iterable[bytes]) -> bytes:
    """Merge the extension of a packet into the packet, and remove the pointer to the extension.

    Args:
        xmp: the main packet.
        extensions: the data of APP1 segments. Those that belong to another packet are ignored, and so is an extension
            of which pieces are missing.
    """
    match = _POINTER.search(xmp)
    if match is None:
        return xmp
    head = EXTENSION + (match[1] or match[2])
    at = len(head)  # where the length of the whole extension lies, followed by the offset of this piece in it
    own = sorted((d[at + 4 : at + 8], d[at + 8 :], d[at : at + 4]) for d in extensions if d.startswith(head))
    end, pieces, lengths = 0, [], set()
    for offset, piece, length in own:
        if int.from_bytes(offset, "big") == end:
            pieces.append(piece)
            end += len(piece)
            lengths.add(int.from_bytes(length, "big"))
    xmp, more = _POINTER.sub(b"", xmp), b"".join(pieces)
    main, other = _rdf(xmp), _rdf(more)
    if lengths != {end} or main is None or other is None:
        return xmp
    # Namespaces that the extension declares in its rdf:RDF tag are added to the rdf:RDF tag of the packet.
    name, start, stop = main
    declared = {found[1] for found in _NAMESPACE.finditer(xmp, name, start)}
    names = (found for found in _NAMESPACE.finditer(more, other[0], other[1]) if found[1] not in declared)
    added = b"".join(found[0] for found in names)
    return xmp[:name] + added + xmp[name:stop] + more[other[1] : other[2]] + xmp[stop:]


def split(xmp: bytes) -> tuple[bytes, bytes]:
    """Split a packet for a JPEG file.

    Returns (the main packet, the bytes of the segments with its extension). The latter are empty if it fits into one.
    """
    if len(XMP) + len(xmp) <= LONGEST or _rdf(xmp) is None:
        return xmp, b""
    head = EXTENSION + hashlib.md5(xmp, usedforsecurity=False).hexdigest().upper().encode()
    parts, step = [], LONGEST - len(head) - 8
    for at in range(0, len(xmp), step):
        data = head + struct.pack(">II", len(xmp), at) + xmp[at : at + step]
        parts.append(struct.pack(">BBH", 0xFF, APP1, 2 + len(data)) + data)
    return _POINTING % head[-32:], b"".join(parts)


def _rdf(xmp: bytes) -> tuple[int, int, int] | None:
    """Find the rdf:RDF element.

    Returns (offset at which the name of its tag ends, start of its content, end of its content), or None. Simple
    searches are used, so that the time is linear in the size.
    """
    name = xmp.find(b"<rdf:RDF") + len(b"<rdf:RDF")
    start, stop = xmp.find(b">", name) + 1, xmp.rfind(b"</rdf:RDF")
    return (name, start, stop) if len(b"<rdf:RDF") <= name < start <= stop else None

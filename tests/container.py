"""Files put together byte by byte, and an independent reader of them: written from FORMAT §2, not from the code."""

import dataclasses
import tracemalloc
import zlib

from hypothesis import strategies as st

from codec.container import format
from codec.container.format import Header

ID = bytes.fromhex("0123abcd")
payload_bytes = st.binary(min_size=5, max_size=300)


@st.composite
def headers(draw, max_tiles=30):
    """Any header whose tiles are few enough to make payloads for."""
    tile = 64 << draw(st.integers(0, 6))
    max_tiles = min(max_tiles, 2**28 // tile**2)
    columns = draw(st.integers(1, min(max_tiles, -(-65535 // tile))))
    rows = draw(st.integers(1, min(max_tiles // columns, -(-65535 // tile))))
    side = lambda n: draw(st.integers(tile * (n - 1) + 1, min(tile * n, 65535)))  # noqa: E731
    return Header(
        side(columns),
        side(rows),
        draw(st.integers(1, 100)),
        draw(st.binary(min_size=4, max_size=4)),
        draw(st.booleans()),
        tile,
    )


@st.composite
def files(draw):
    """Arguments of write(): of network's and of stored pictures, with and without alpha, metadata and 16 bits."""
    header = dataclasses.replace(draw(headers()), alpha=draw(st.booleans()), depth=draw(st.sampled_from([8, 16])))
    kind = draw(st.sampled_from(["network", "network", "network", "stored", "exact"]))
    if kind == "stored":
        header = dataclasses.replace(header, stored=True, quality=0, model_id=bytes(4), tile=64)
    elif kind == "exact":
        header = dataclasses.replace(header, exact=True, quality=draw(st.integers(0, 255)), model_id=bytes(4))
    elif draw(st.booleans()):
        parts, first = draw(st.integers(2, 16)), draw(st.integers(0, 2**14 - 1))
        header = dataclasses.replace(header, mapped=draw(st.booleans()), parts=parts, first=first)
    n = len(header.tiles)
    payloads = [draw(payload_bytes) for _ in range(n)]
    payloads += [draw(st.binary(max_size=30)) for _ in range(n * (header.parts - 1))]
    alphas = [draw(st.binary(max_size=20)) for _ in range(n)] if header.alpha and kind == "network" else []
    block = st.one_of(st.binary(min_size=1, max_size=40), st.integers(1, 500).map(bytes))
    metadata = draw(st.dictionaries(st.sampled_from(["icc", "exif", "xmp", "extra"]), block))
    if draw(st.booleans()):
        metadata["cicp"] = bytes([*draw(st.tuples(*[st.integers(0, 255)] * 2)), 0, draw(st.integers(0, 1))])
    if draw(st.booleans()):
        metadata["bits"] = bytes([draw(st.integers(1, header.depth - 1))])
    return header, payloads, alphas, metadata, draw(st.binary(min_size=1, max_size=40)) if header.mapped else None


def small_file(width=100, height=70, tile=64, sizes=(5, 7, 131, 6), **fields):
    header = Header(width, height, fields.pop("quality", 50), ID, tile=tile, **fields)
    return format.write(header, [bytes((i + j) & 255 for j in range(n)) for i, n in enumerate(sizes)])


def head(width=b"\x01", height=b"\x01", quality=50, flags=0, version=2, magic=b"\xd7AEC"):
    return magic + bytes([version]) + ID + bytes([quality, flags]) + width + height


def assemble(header: bytes, *payloads: bytes, lengths: list[bytes] | None = None) -> bytes:
    """A file with right CRCs round whatever header and length bytes the test wants."""
    lengths = lengths or [leb(len(p)) for p in payloads]
    table = b"".join(
        n + zlib.crc32(header + n + p).to_bytes(4, "little") for n, p in zip(lengths, payloads, strict=True)
    )
    return header + table + b"".join(payloads)


# ------------------------------------------------------------------ an independent reader, from FORMAT §2


def leb(value: int) -> bytes:
    out = b""
    while True:
        value, low = divmod(value, 128)
        out += bytes([low + 128 * (value > 0)])
        if not value:
            return out


def unleb(data: bytes, at: int) -> tuple[int, int]:
    end = at
    while data[end] >= 128:
        end += 1
    return sum((b & 127) * 128**i for i, b in enumerate(data[at : end + 1])), end + 1


def independent_read(data: bytes) -> dict:
    assert data[:5] == bytes.fromhex("d741454302")
    more = data[11] if data[10] & 8 else 0
    width, at = unleb(data, 12 if data[10] & 8 else 11)
    height, at = unleb(data, at)
    kinds = data[at] if more & 1 else 0
    at += more & 1
    parts, first = 1, 0
    if more & 32:
        parts = data[at]
        first, at = unleb(data, at + 1)
    header, side = data[:at], 64 << (data[10] >> 4)
    n = 1 if more & 8 else ((width + side - 1) // side) * ((height + side - 1) // side)
    names = [name for i, name in enumerate(["icc", "exif", "xmp", "cicp", "bits", "extra"]) if kinds >> i & 1]
    maps, alphas = more >> 4 & 1, n if more & 0b1001010 == 2 else 0
    entries = []
    for i in range(len(names) + maps + alphas + n * parts):
        start = at
        whole, at = unleb(data, at)
        length, at = unleb(data, at) if i < len(names) else (whole, at)
        entries.append((whole, length, data[start:at], data[at : at + 4]))
        at += 4
    overhead, found = at, []
    for whole, length, raw, crc in entries:
        part = data[at : at + length]
        assert int.from_bytes(crc, "little") == zlib.crc32(header + raw + part)
        found.append((at, zlib.decompress(part) if length < whole else part))
        at += length
    assert at == len(data)
    m = len(names)
    blocks = dict(zip(names, (part for _, part in found[:m]), strict=True))
    depth = 8 << (more >> 2 & 1)
    assert len(blocks.get("cicp", bytes(4))) == 4 and blocks.get("cicp", bytes(4))[2:] in (b"\0\0", b"\0\1")
    assert len(blocks.get("bits", bytes(1))) == 1 and 1 <= blocks.get("bits", b"\1")[0] < depth
    return {
        "fields": (width, height, data[9], data[5:9], bool(data[10] & 1), side, bool(more & 2), depth)
        + (bool(more & 8), bool(maps), parts, first, bool(more & 64)),
        "metadata": blocks,
        "map": found[m][1] if maps else None,
        "alphas": [part for _, part in found[m + maps : m + maps + alphas]],
        "payloads": found[m + maps + alphas :],
        "overhead": overhead,
    }


EVERYTHING = format.write(
    Header(70, 50, 50, ID, alpha=True, depth=16, tile=64),
    [bytes(range(9)), bytes(7)],
    [b"", bytes(range(30))],
    {"icc": bytes(90), "exif": bytes(range(20)), "xmp": b"x" * 33, "cicp": bytes([9, 16, 0, 1]), "bits": b"\x0a"}
    | {"extra": b"Test\2ab"},
)
EXACT = format.write(
    Header(100, 50, 3, bytes(4), tile=64, alpha=True, exact=True),
    [bytes(range(9)), bytes(6)],
    metadata={"xmp": b"<x/>"},
)
STORED = format.write(Header(300, 50, 0, bytes(4), tile=64, stored=True), [bytes(range(9))], metadata={"exif": b"MM"})


def peak_bytes(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

"""TIFF files of any layout, written from TIFF 6.0 and not from the reader that is tested."""

import struct
import zlib

import numpy as np

NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773


def file(*directories: dict, order: str = "<", big: bool = False, subs: tuple = (), inside: int = 0) -> bytes:
    """A file of directories, {tag: (type, values)}, one after the other; of STRIPS or TILES the values are bytes.

    Args:
        subs: more directories, which the SubIFDs field of directory number `inside` names.
    """
    body = bytearray(16)
    body[: 16 if big else 8] = (b"II" if order == "<" else b"MM") + struct.pack(
        order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0))
    )
    places = [_directory(body, d, order, big) for d in subs]
    number = 18 if big else 13
    whole = list(directories)
    if subs:
        whole[inside] = {**whole[inside], 330: (number, places)}
    link = 8 if big else 4
    for directory in whole:
        at = _directory(body, directory, order, big)
        struct.pack_into(order + ("Q" if big else "I"), body, link, at)
        link = at + (8 + 20 * struct.unpack_from(order + "Q", body, at)[0] if big else 2 + 12 * int(len(directory)))
    return bytes(body)


_LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 6: "b", 7: "B", 8: "h", 11: "f", 13: "I", 16: "Q", 18: "Q"}


def _directory(body: bytearray, fields: dict, order: str, big: bool) -> int:
    entries, inline = b"", 8 if big else 4
    for tag, (kind, values) in sorted(fields.items()):
        if values and isinstance(values[0], bytes):
            places = []
            for part in values:
                body += bytes(len(body) % 2)
                places.append(len(body))
                body += part
            values = places
        count = len(values) // (2 if kind == 5 else 1)
        raw = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(raw) > inline:
            body += bytes(len(body) % 2)
            place, at = struct.pack(order + ("Q" if big else "I"), len(body)), raw
            body += at
            raw = place
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + raw.ljust(inline, b"\0")
    body += bytes(len(body) % 2)
    at = len(body)
    body += struct.pack(order + ("Q" if big else "H"), len(fields)) + entries + bytes(inline)
    return at


def picture(
    values: np.ndarray,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    compression: int = NONE,
    predictor: int = 1,
    planar: int = 1,
    fill: int = 1,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    extra: int | None = None,
    more: dict | None = None,
) -> dict:
    """The directory of integers [H, W, S] of so many bits a sample, as `file` takes it.

    Args:
        rows: of a strip; None: all.
        tile: height and width; None: strips.
        extra: what a sample behind the colours is; None: there is none, or nothing is said.
        more: other fields, or others than these.
    """
    height, width, samples = values.shape
    planes = [values] if planar == 1 else [values[..., i : i + 1] for i in range(samples)]
    down, across = tile or (rows or height, width)
    parts, lengths = [], []
    for plane in planes:
        for y in range(0, height, down):
            for x in range(0, width, across):
                part = plane[y : y + down, x : x + across]
                if tile:
                    part = np.pad(part, ((0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)), mode="edge")
                data = compressed(packed(part, bits, order, predictor), compression)
                data = bytes(int(f"{v:08b}"[::-1], 2) for v in data) if fill == 2 else data
                parts.append(data)
                lengths.append(len(data))
    fields = {
        **{256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * samples), 259: (3, [compression])},
        **{262: (3, [photometric]), 266: (3, [fill]), 277: (3, [samples]), 284: (3, [planar]), 317: (3, [predictor])},
    }
    if tile:
        fields |= {322: (3, [across]), 323: (3, [down]), 324: (4, parts), 325: (4, lengths)}
    else:
        fields |= {273: (4, parts), 278: (3, [down]), 279: (4, lengths)}
    if extra is not None:
        fields[338] = (3, [extra])
    return fields | (more or {})


def packed(part: np.ndarray, bits: int, order: str, predictor: int) -> bytes:
    """Integers [h, w, S] -> the bytes of a strip: each row begins at a whole byte, the upper bits first."""
    if predictor == 2:
        part = np.concatenate([part[:, :1], np.diff(part.astype(np.int64), axis=1) % 2**bits], axis=1)
    if bits == 16:
        return part.astype(order + "u2").tobytes()
    out = b""
    for row in part:
        text = "".join(f"{v:0{bits}b}" for v in row.ravel().tolist())
        text += "0" * (-len(text) % 8)
        out += int(text, 2).to_bytes(len(text) // 8, "big")
    return out


def compressed(data: bytes, compression: int) -> bytes:
    if compression == DEFLATE:
        return zlib.compress(data)
    if compression == PACKBITS:
        pieces = [data[i : i + 128] for i in range(0, len(data), 128)]
        return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)
    if compression == LZW:  # the table is cleared before codes would grow beyond 9 bits
        codes = []
        for i in range(0, len(data), 200):
            codes += [256, *data[i : i + 200]]
        text = "".join(f"{code:09b}" for code in [*codes, 257])
        return int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8), "big")
    return data

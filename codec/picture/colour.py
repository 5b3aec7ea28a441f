"""Colour that a file tells without an ICC profile -> an ICC profile, so that one thing says what samples mean.

A profile here is version 4.4 of matrix and tone curves, or of a tone curve alone for gray (ICC.1:2022). Where the file
names its colour by the code points of ITU-T H.273, a `cicp` tag has them too: from it a reader that shows high dynamic
range knows that the curve is PQ or HLG, which for others goes from black to the brightest that the code can name.
"""

import math
import struct
from collections.abc import Callable, Sequence

import numpy as np

# White, red, green and blue, as x and y of each: the order of PNG's cHRM.
Chromaticities = Sequence[float]
# Primaries, transfer characteristics, matrix, full range: numbers of H.273.
Cicp = tuple[int, int, int, int]

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
# H.273, table 2; numbers that it does not give are reserved. 2 is unspecified: sRGB, as of a file that says nothing.
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    2: SRGB,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1, 0, 0, 1, 0, 0),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_BT709 = (1 / 0.45, 1 / 1.0992968, 0.0992968 / 1.0992968, 1 / 4.5, 0.0812428)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# Light for each code, table 3: the exponent of a power, or the five parameters of one with a linear foot.
_CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), _BT709),  # 11 and 12 differ only below 0 and above 1
    **dict.fromkeys((2, 13), _SRGB_CURVE),
    4: (2.2,),
    5: (2.8,),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 4 * 0.0228),
    8: (1.0,),
}


def _pq(code: np.ndarray) -> np.ndarray:  # SMPTE ST 2084: 1 is 10000 cd/m2
    root = code ** (32 / 2523)
    return (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)


def _hlg(code: np.ndarray) -> np.ndarray:  # ARIB STD-B67: of the scene, before the display's own gamma
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * math.log(4 * a)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


# Those that ICC has no formula for, as tables: of samples 0..1.
_TABLES: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    9: lambda code: np.where(code > 0, 10 ** (2 * (code - 1)), 0),
    10: lambda code: np.where(code > 0, 10 ** (2.5 * (code - 1)), 0),
    16: _pq,
    17: lambda code: np.minimum(code**2.6 * 52.37 / 48, 1),
    18: _hlg,
}
_TABLE_SIZE = 1024  # between its entries PQ, the steepest, is off by less than 1e-4 of the light
_D50 = (0.9642, 1.0, 0.8249)  # of the profile connection space
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_PROSE = "Made by aec of what the file said of its colour"
# As near to sRGB as what programs write for it: x and y, and the exponent.
_SAME_XY, _SAME_GAMMA = 0.0015, 0.005


def of_cicp(cicp: Cicp, gray: bool) -> bytes | None:
    """A profile of code points; None: they say sRGB, which needs none, or nothing.

    Raises:
        ValueError: a reserved number, which says nothing that is known.
    """
    primaries, transfer, _, full = cicp
    if primaries not in _PRIMARIES or transfer not in {*_CURVES, *_TABLES}:
        raise ValueError(f"colour of primaries {primaries} and transfer {transfer}: H.273 does not define both")
    if full and transfer in (2, 13) and (gray or primaries in (1, 2)):
        return None
    if full and transfer in _CURVES:
        curve = _parametric(_CURVES[transfer])
    else:
        code = np.linspace(0, 1, _TABLE_SIZE)
        code = code if full else np.clip((code * 255 - 16) / 219, 0, 1)  # BT.709's range of 16..235
        curve = _table(_TABLES[transfer](code) if transfer in _TABLES else _power(_CURVES[transfer], code))
    return _gray(curve) if gray else _coloured(_PRIMARIES[primaries], curve, cicp=cicp)


def of_gamma(gamma: float | None, chromaticities: Chromaticities | None, gray: bool) -> bytes | None:
    """A profile of what PNG's gAMA and cHRM say; None: sRGB, or nothing that makes sense.

    Args:
        gamma: that of the file, light = code ** (1 / gamma); None: sRGB's curve.
        chromaticities: None: sRGB's.
    """
    if gamma is not None and not 0.01 <= gamma <= 100:
        gamma = None
    if gray or chromaticities is None or not _sound(chromaticities):
        chromaticities = SRGB
    ours = all(abs(a - b) <= _SAME_XY for a, b in zip(chromaticities, SRGB, strict=True))
    if ours and (gamma is None or abs(gamma * 2.2 - 1) <= _SAME_GAMMA):
        return None
    curve = _parametric(_SRGB_CURVE if gamma is None else (1 / gamma,))
    return _gray(curve) if gray else _coloured(chromaticities, curve)


def of_curves(curves: Sequence[np.ndarray] | None, chromaticities: Chromaticities | None, gray: bool) -> bytes | None:
    """A profile of TIFF's TransferFunction, WhitePoint and PrimaryChromaticities; None: sRGB, or nothing known.

    Args:
        curves: one, or of colour three: light for each code, float [n], 0..1.
        chromaticities: None: sRGB's.
    """
    if curves is None:
        return of_gamma(None, chromaticities, gray)
    if gray or chromaticities is None or not _sound(chromaticities):
        chromaticities = SRGB
    tables = [_table(curve) for curve in curves]
    return _gray(tables[0]) if gray else _coloured(chromaticities, *tables)


def _sound(chromaticities: Chromaticities) -> bool:
    """Whether white is a mixture of three primaries that are not on a line."""
    if len(chromaticities) != 8 or not all(math.isfinite(v) and -2 <= v <= 2 for v in chromaticities):
        return False
    white, primaries = _matrix_and_white(chromaticities)
    return primaries is not None and bool((np.abs(primaries) < 8).all()) and bool((white < 8).all())


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x, y, 1 - x - y])


def _matrix_and_white(chromaticities: Chromaticities) -> tuple[np.ndarray, np.ndarray | None]:
    """White's XYZ, and the primaries' as columns that add up to it, or None if there are none."""
    if chromaticities[1] <= 0:
        return np.zeros(3), None
    white = _xyz(*chromaticities[:2]) / chromaticities[1]
    primaries = np.stack([_xyz(*chromaticities[i : i + 2]) for i in (2, 4, 6)], 1)
    if abs(np.linalg.det(primaries)) < 1e-4:
        return white, None
    shares = np.linalg.solve(primaries, white)
    return white, primaries * shares if (shares > 0).all() else None


def _power(parameters: tuple[float, ...], code: np.ndarray) -> np.ndarray:
    if len(parameters) == 1:
        return code ** parameters[0]
    gamma, a, b, c, d = parameters
    return np.where(code >= d, (a * code + b) ** gamma, c * code)


# ------------------------------------------------------------------ ICC.1:2022


def _fixed(*values: float) -> bytes:
    """s15Fixed16Number."""
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def _parametric(parameters: tuple[float, ...]) -> bytes:
    kind = 0 if len(parameters) == 1 else 3
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(*parameters)


def _table(light: np.ndarray) -> bytes:
    values = np.rint(np.clip(light, 0, 1) * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(values)) + values.tobytes()


def _point(xyz: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*xyz)


def _text(words: str) -> bytes:
    return (
        b"mluc"
        + bytes(4)
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(words), 28)
        + words.encode("utf-16-be")
    )


def _coloured(chromaticities: Chromaticities, *curves: bytes, cicp: Cicp | None = None) -> bytes:
    white, primaries = _matrix_and_white(chromaticities)
    cones = _BRADFORD @ white
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / cones) @ _BRADFORD
    tags = {b"wtpt": _point(_D50), b"chad": b"sf32" + bytes(4) + _fixed(*adapted.ravel())}
    for name, column, curve in zip(
        "rgb", (adapted @ primaries).T, curves * 3 if len(curves) == 1 else curves, strict=True
    ):
        tags[f"{name}XYZ".encode()] = _point(column)
        tags[f"{name}TRC".encode()] = curve
    if cicp is not None:
        tags[b"cicp"] = b"cicp" + bytes(4) + bytes(cicp)
    return _profile(b"RGB ", tags)


def _gray(curve: bytes) -> bytes:
    return _profile(b"GRAY", {b"wtpt": _point(_D50), b"kTRC": curve})


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text(_PROSE), b"cprt": _text("No copyright, use freely"), **tags}
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}  # equal ones lie there once
    for name, tag in tags.items():
        if tag not in places:
            places[tag] = at + len(data)
            data += tag + bytes(-len(tag) % 4)
        table += name + struct.pack(">II", places[tag], len(tag))
    size = at + len(data)
    # No time in it, so that the same picture makes the same file.
    made = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x04400000, b"mntr", space, b"XYZ ", made, b"acsp")
    head = head.ljust(68, b"\0") + _fixed(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data

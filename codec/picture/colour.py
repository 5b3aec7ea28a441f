"""Makes ICC profiles for files that describe their colour in another way.

The profiles are of version 4.4 (ICC.1:2022), with a matrix and tone curves for colour, or one tone curve for gray. If
the file gives its colour by the code points of ITU-T H.273, the profile has a `cicp` tag with them. This tells readers
that can show high dynamic range that the curve is PQ or HLG. For other readers, the curve goes from black to the
highest brightness that the code can express.
"""

import math
import struct
from collections.abc import Callable, Sequence

import numpy as np

from ..container.metadata import Cicp

# x and y of white, red, green and blue, in the order of PNG's cHRM: 8 numbers.
Chromaticities = Sequence[float]

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
# H.273, table 2; other numbers are reserved. 2 means unspecified, which is taken for sRGB, as in files without any
# information.
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
# H.273, table 3: the curve from sample values to light. It is given by the exponent of a power function, or by the five
# parameters of a power function with a linear part near black.
_CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), _BT709),  # 11 and 12 differ only below 0 and above 1
    **dict.fromkeys((2, 13), _SRGB_CURVE),
    4: (2.2,),
    5: (2.8,),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 4 * 0.0228),
    8: (1.0,),
}


def _pq(code: np.ndarray) -> np.ndarray:  # SMPTE ST 2084; the result 1 is 10000 cd/m2
    root = code ** (32 / 2523)
    return (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)


def _hlg(code: np.ndarray) -> np.ndarray:  # ARIB STD-B67; the result is light of the scene, before the display's gamma
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * math.log(4 * a)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


# Curves for which ICC has no formula, so that profiles have tables. They map samples 0..1 to light 0..1.
_TABLES: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    9: lambda code: np.where(code > 0, 10 ** (2 * (code - 1)), 0),
    10: lambda code: np.where(code > 0, 10 ** (2.5 * (code - 1)), 0),
    16: _pq,
    17: lambda code: np.minimum(code**2.6 * 52.37 / 48, 1),
    18: _hlg,
}
_TABLE_SIZE = 1024  # interpolation between the entries is off by less than 1e-4, even for PQ, the steepest curve
_D50 = (0.9642, 1.0, 0.8249)  # the white of the profile connection space
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_PROSE = "Made by aec of what the file said of its colour"
# Colour that differs from sRGB by at most this counts as sRGB, because programs write such values for it: tolerance of
# x and y, and relative tolerance of the exponent.
_SAME_XY, _SAME_GAMMA = 0.0015, 0.005


def is_defined(cicp: Cicp) -> bool:
    """Return whether H.273 defines the primaries and the transfer characteristics."""
    return cicp[0] in _PRIMARIES and cicp[1] in {*_CURVES, *_TABLES}


def of_cicp(cicp: Cicp, gray: bool) -> bytes | None:
    """Make a profile from code points. Returns None if they mean sRGB, which needs no profile, or are unspecified.

    Args:
        cicp: the code points.
        gray: whether the picture has one channel.

    Raises:
        ValueError: a number is reserved, so that its meaning is unknown.
    """
    primaries, transfer, _, full = cicp
    if not is_defined(cicp):
        raise ValueError(f"colour of primaries {primaries} and transfer {transfer}: H.273 does not define both")
    if full and transfer in (2, 13) and (gray or primaries in (1, 2)):
        return None
    if full and transfer in _CURVES:
        curve = _parametric(_CURVES[transfer])
    else:
        code = np.linspace(0, 1, _TABLE_SIZE)
        code = code if full else np.clip((code * 255 - 16) / 219, 0, 1)  # the limited range, 16..235
        curve = _table(_TABLES[transfer](code) if transfer in _TABLES else _power(_CURVES[transfer], code))
    return _gray(curve) if gray else _coloured(_PRIMARIES[primaries], curve, cicp=cicp)


def of_gamma(gamma: float | None, chromaticities: Chromaticities | None, gray: bool) -> bytes | None:
    """Make a profile from PNG's gAMA and cHRM. Returns None if they mean sRGB, or make no sense.

    Args:
        gamma: of the file, so that light = code ** (1 / gamma); None: the curve is sRGB's.
        chromaticities: None: those of sRGB.
        gray: whether the picture has one channel.
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
    """Make a profile from TIFF's TransferFunction, WhitePoint and PrimaryChromaticities.

    Args:
        curves: one curve, or three for colour: the light for each sample value, float [n], 0..1. None: sRGB's curve.
        chromaticities: None: those of sRGB.
        gray: whether the picture has one channel.

    Returns:
        The profile; None if the colour is sRGB, or the values make no sense.
    """
    if curves is None:
        return of_gamma(None, chromaticities, gray)
    if gray or chromaticities is None or not _sound(chromaticities):
        chromaticities = SRGB
    tables = [_table(curve) for curve in curves]
    return _gray(tables[0]) if gray else _coloured(chromaticities, *tables)


def _sound(chromaticities: Chromaticities) -> bool:
    """Return whether the chromaticities make sense: white is a mixture of three primaries that are not on one line."""
    if len(chromaticities) != 8 or not all(math.isfinite(v) and -2 <= v <= 2 for v in chromaticities):
        return False
    white, primaries = _matrix_and_white(chromaticities)
    return primaries is not None and bool((np.abs(primaries) < 8).all()) and bool((white < 8).all())


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x, y, 1 - x - y])


def _matrix_and_white(chromaticities: Chromaticities) -> tuple[np.ndarray, np.ndarray | None]:
    """Return white in XYZ, and the primaries in XYZ as columns that add up to white, or None if that is impossible."""
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
    """Encode values as ICC's s15Fixed16Number."""
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
    places: dict[bytes, int] = {}  # equal tags are stored only once
    for name, tag in tags.items():
        if tag not in places:
            places[tag] = at + len(data)
            data += tag + bytes(-len(tag) % 4)
        table += name + struct.pack(">II", places[tag], len(tag))
    size = at + len(data)
    # The date is fixed, so that the same picture always makes the same file.
    made = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x04400000, b"mntr", space, b"XYZ ", made, b"acsp")
    head = head.ljust(68, b"\0") + _fixed(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data

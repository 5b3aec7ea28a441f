"""A small report with everything in it that a page must cope with, and pictures for the viewer."""

import importlib
import math
from collections.abc import Sequence

import numpy as np
import photos

try:
    import bench  # the tree
except ImportError:
    from codec import bench  # the wheel

page_module = importlib.import_module(f"{bench.__name__}.page")

HEIGHT, WIDTH = 240, 320
LARGER = {"width": 80, "height": 100}  # twice what the viewer has of it
HOSTILE = '<img src=x onerror="document.title=1">&amp;</script><script>alert(1)</script>.png'
CODECS = {"aec": 0.6, "jpeg": 1.0, "webp": 0.75, "avif": 0.55}  # bits that each needs, beside jpeg


def report(names: Sequence[str] = ("small", HOSTILE)) -> dict:
    """As bench/report.py makes it: two sets, four codecs, a published curve, values that are not known or infinite."""
    return {
        "command": f"aec bench '{HOSTILE}' -o report/",
        "date": "2026-11-21T12:00:00+00:00",
        "commit": "0123456789ab",
        "machine": "AMD EPYC 9555, 2 cores, Python 3.11.2, torch 2.13.0, pillow 13.0.0",
        "runs": 3,
        "jobs": 1,
        "method": ["Curves are means over the images of a set."],
        "notes": [f"{HOSTILE} is left out: it cannot be read"],
        "metrics": [
            {"key": "psnr", "name": "PSNR, RGB", "unit": "dB", "digits": 2},
            {"key": "ms-ssim", "name": "MS-SSIM", "unit": "", "digits": 4},
            {"key": "ssimulacra2", "name": "SSIMULACRA 2", "unit": "", "digits": 1},
        ],
        "codecs": [
            {"name": name, "version": "1.0", "settings": f"settings of {name} " * 6, "threads": 1} for name in CODECS
        ],
        "sets": [_set("kodak", names), _set("second", names[:1])],
        "tables": [
            {"title": "Stages", "note": "ms", "columns": ["stage", "encode", HOSTILE], "rows": [["nets", 8.1, 5.6]]}
        ],
    }


def _set(name: str, images: Sequence[str]) -> dict:
    curves = {codec: [_point(codec, i) for i in range(5)] for codec in CODECS}
    published = {"vtm": [{"bpp": 0.5 * bpp, "psnr": psnr} for bpp, psnr in ((0.2, 28.0), (2.0, 36.0), (9.0, 47.0))]}
    rows = [*CODECS, "vtm (published)"]
    return {
        "name": name,
        "images": [
            {"name": image, "width": WIDTH, "height": HEIGHT} if image == "small" else {"name": image, **LARGER}
            for image in images
        ],
        "notes": [],
        "verdicts": ["Smaller than JPEG at equal PSNR at every rate: yes"],
        "curves": curves,
        "published": published,
        "bd": {
            "psnr": {
                "range": [29.5, 37.3],
                "rate": {a: {b: _bd(a, b) for b in CODECS} for a in rows},
                "quality": {a: {b: _bd_quality(a, b) for b in CODECS} for a in rows},
            }
        },
        "size_at": {
            "psnr": [
                {"target": target, "bpp": {c: k * 2 ** ((target - 32) / 4) for c, k in CODECS.items()} | {"avif": None}}
                for target in (30.0, 32.0, 34.0)
            ]
        },
        "points": [
            {
                **{"image": image, "codec": codec, "bytes": 100 * (i + 1) + j},
                **{"encode_s": 0.01, "decode_s": None, **_point(codec, i)},
                "psnr": math.inf if codec == "webp" and i == 4 else 28.0 + 2 * i,
            }
            for j, image in enumerate(images)
            for codec in CODECS
            for i in range(5)
        ],
    }


def _point(codec: str, i: int) -> dict:
    point = {"quality": 20 * (i + 1), "bpp": 0.4 * CODECS[codec] * 1.6**i, "psnr": 28.0 + 2 * i}
    point |= {"encode_mpx_per_s": 20 * CODECS[codec] ** 3, "decode_mpx_per_s": 40 * CODECS[codec] ** 2}
    point |= {"encode_peak_bytes": None if codec == "avif" else 10**8, "decode_peak_bytes": 5 * 10**7}
    return point | {"ms-ssim": None if codec == "avif" and i == 0 else 1 - 0.1 / (i + 1), "ssimulacra2": None}


def _bd(codec: str, anchor: str) -> dict | None:
    value = 100 * (CODECS.get(codec, 0.5) / CODECS[anchor] - 1)
    if (codec, anchor) == ("aec", "avif"):
        return {"value": value, "low": 29.5, "high": 30.4, "short": True}
    if (codec, anchor) == ("aec", "jpeg"):
        return {"value": value, "low": 29.5, "high": 37.3, "short": False}
    return {"value": value, "low": 29.5, "high": 36.0, "short": "vtm" in codec or codec == "webp"}


def _bd_quality(codec: str, anchor: str) -> dict | None:
    if "vtm" in codec:
        return None
    return {"value": 4 * math.log2(CODECS[anchor] / CODECS[codec]), "low": 0.4, "high": 1.42, "short": False}


def _noisy(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Another picture of the same size that no one takes for it."""
    noise = np.random.default_rng(seed).integers(-40, 41, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


PICTURE = photos.photo(HEIGHT, WIDTH, seed=3)
VERSIONS = {  # (codec, quality): bytes; aec at 30 and webp at 40 are of nearly one size, and so are aec and jpeg at 60
    ("aec", 30): 1000,
    ("jpeg", 20): 900,
    ("webp", 40): 1010,
    ("aec", 60): 2000,
    ("jpeg", 60): 2010,
    ("webp", 80): 2100,
}
PIXELS = {key: _noisy(PICTURE, seed) for seed, key in enumerate(VERSIONS)}


def pictures():
    versions = [
        page_module.Version(name, quality, n_bytes, PIXELS[name, quality], {"psnr": 31.25, "ssimulacra2": None})
        for (name, quality), n_bytes in VERSIONS.items()
    ]
    flat = np.full((50, 40, 3), 99, np.uint8)
    lossless = [page_module.Version("aec", 100, 400, flat, {"psnr": math.inf})]
    return [
        page_module.Picture("kodak", "small", PICTURE, versions),
        page_module.Picture("kodak", HOSTILE, flat, lossless),
        page_module.Picture("second", "small", PICTURE, versions[:2]),
    ]

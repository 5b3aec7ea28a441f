"""The metrics that `bench` can measure, and what it needs to know of each to compare curves. Higher is always better.

A report begins with the metric that was named first. Distances, and MS-SSIM, are converted to dB, because their curves
over the rate are then nearly straight, and a mean over a curve is not dominated by its worst end.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import metrics
from codec.picture import ssimulacra2

from . import butteraugli, nlpd


@dataclass(frozen=True)
class Metric:
    key: str  # on the command line, in the CSV and the report
    name: str  # with details of the measurement after a comma, if needed
    unit: str
    measure: Callable[[np.ndarray, np.ndarray], float | None]  # (original, decoded); None: undefined; inf: equal
    digits: int  # decimal places to print
    targets: tuple[float, ...]  # values of the metric at which sizes are compared
    least: float  # if two curves overlap by less than this, their BD-rate is marked "short"
    range: tuple[float, float] | None = None  # BD-rates are restricted to it; None: the whole overlap of two curves
    packages: tuple[str, ...] = ()  # Python packages that it needs; the values depend on the version of the first
    program: str | None = None  # a program of libjxl's tools that it needs; the values depend on its version
    edition: int = 1  # to be raised whenever a change of the code in bench or codec changes the values

    @property
    def short_name(self) -> str:
        """The name without details, for use in sentences."""
        return self.name.split(",")[0]

    def missing(self) -> str | None:
        """Why the metric cannot be measured here, or None if it can."""
        for package in self.packages:
            if not importlib.util.find_spec(package.replace("-", "_")):
                return f"{package} is not installed"
        if self.program and not shutil.which(self.program):
            return f"there is no program {self.program}; libjxl's tools have it (Debian: libjxl-devtools)"
        return None

    def identity(self) -> str:
        """A text that is different whenever the metric's values may be, so that the cache can tell them apart."""
        needs = [f"{package} {importlib.metadata.version(package)}" for package in self.packages[:1]]
        needs += [f"{self.program} {_hash_of(shutil.which(self.program))}"] if self.program else []
        return " ".join([self.key, str(self.edition), *needs])


@functools.cache
def _hash_of(program: str) -> str:
    """A hash of the program's file, which identifies its version, because libjxl's programs do not print it."""
    return hashlib.sha256(Path(program).read_bytes()).hexdigest()[:12]


def _decibels(distance: float) -> float:
    return math.inf if distance <= 0 else -10 * math.log10(distance)


def _ms_ssim_db(original: np.ndarray, decoded: np.ndarray) -> float | None:
    similarity = metrics.ms_ssim(original, decoded)
    return None if similarity is None else _decibels(1 - similarity)


def _ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    return None if min(original.shape[:2]) < 8 else ssimulacra2.ssimulacra2(original, decoded)


def _butteraugli_db(original: np.ndarray, decoded: np.ndarray) -> float | None:
    if min(original.shape[:2]) < butteraugli.MIN_SIDE:
        return None
    return _decibels(butteraugli.butteraugli(original, decoded))


def _nlpd_db(original: np.ndarray, decoded: np.ndarray) -> float | None:
    if min(original.shape[:2]) < nlpd.MIN_SIDE:
        return None
    return _decibels(nlpd.nlpd(*(x @ metrics.LUMA / 255 for x in (original, decoded))))


# Each range is about what Pillow's default JPEG reaches in the mean over the Kodak images, from 0.53 to 2.1 bits per
# pixel. JPEG at quality 95, all AVIF variants at 90 and aec at 100 go beyond its upper end.
PSNR_TARGETS = (28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0)
METRICS = {
    m.key: m
    for m in (
        Metric(
            *("ssimulacra2", "SSIMULACRA 2", "", _ssimulacra2, 1),
            targets=(30.0, 50.0, 70.0, 90.0),  # libjxl calls these low, medium, high and very high quality
            least=5,
            range=(30.0, 85.0),  # up to 2.5 bpp, so that it includes high quality
            edition=2,
        ),
        Metric(
            *("ms-ssim", "MS-SSIM, -10 log10(1 - m)", "dB", _ms_ssim_db, 2),
            targets=(10.0, 12.0, 14.0, 16.0, 18.0, 20.0),
            least=1,
            range=(13.0, 21.0),
            packages=("pytorch-msssim", "torch"),
        ),
        Metric("psnr", "PSNR, RGB", "dB", metrics.psnr, 2, PSNR_TARGETS, 1, (29.5, 37.3)),
        Metric("psnr-y", "PSNR, luma (BT.601)", "dB", metrics.psnr_y, 2, PSNR_TARGETS, 1),
        # No model of aec was trained for the next two metrics. JPEG XL's encoder minimises the first of them.
        Metric(
            *("butteraugli", "Butteraugli, -10 log10(3-norm)", "dB", _butteraugli_db, 2),
            targets=(-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0),
            least=0.5,
            range=(-4.0, 1.0),  # 3-norms of 2.5 to 0.8
            program=butteraugli.PROGRAM,
        ),
        Metric(
            *("nlpd", "NLPD, -10 log10(d)", "dB", _nlpd_db, 2),
            targets=(6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0),
            least=0.5,
            range=(7.5, 12.0),  # distances of 0.18 to 0.06
        ),
    )
}

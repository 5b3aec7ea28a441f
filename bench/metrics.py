"""The metrics that `bench` can measure, and what it must know of each to compare curves. Higher is better for all."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codec import metrics

from .ssimulacra2 import ssimulacra2


@dataclass(frozen=True)
class Metric:
    key: str  # on the command line, in the CSV and the report
    name: str
    unit: str
    measure: Callable[[np.ndarray, np.ndarray], float | None]  # (original, decoded); None: undefined; inf: equal
    digits: int  # after the point that are worth printing
    targets: tuple[float, ...]  # qualities at which sizes are compared
    least: float  # an overlap narrower than this is too short for a BD-rate to mean much
    range: tuple[float, float] | None = None  # of BD-rates; None: all that two curves both reach
    package: str | None = None  # what it needs beside the core

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""
        if self.package is None or importlib.util.find_spec(self.package.replace("-", "_")):
            return None
        return f"{self.package} is not installed"

    def identity(self) -> str:
        """What a cached value depends on; raise the number when the code here or in codec.metrics changes it."""
        return f"{self.key} 1" + (f" {self.package} {importlib.metadata.version(self.package)}" if self.package else "")


def _ms_ssim_db(original: np.ndarray, decoded: np.ndarray) -> float | None:
    similarity = metrics.ms_ssim(original, decoded)
    if similarity is None:
        return None
    return math.inf if similarity >= 1 else -10 * math.log10(1 - similarity)


def _ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    return None if min(original.shape[:2]) < 8 else ssimulacra2(original, decoded)


PSNR_TARGETS = (28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0)
METRICS = {
    m.key: m
    for m in (
        # 29.5 to 37.3 dB: on Kodak Pillow's default JPEG spends about 0.56 to 2.1 bpp there.
        Metric("psnr", "PSNR, RGB", "dB", metrics.psnr, 2, PSNR_TARGETS, 1, (29.5, 37.3)),
        Metric("psnr-y", "PSNR, luma (BT.601)", "dB", metrics.psnr_y, 2, PSNR_TARGETS, 1),
        # In dB, as learned codecs' papers draw it: as it is, a mean over a curve is all about its worst end.
        Metric(
            *("ms-ssim", "MS-SSIM, -10 log10(1 - m)", "dB", _ms_ssim_db, 2),
            targets=(10.0, 12.0, 14.0, 16.0, 18.0, 20.0),
            least=1,
            range=(13.0, 21.0),  # the same rates of that JPEG, 0.53 to 2.0 bpp
            package="pytorch-msssim",
        ),
        # The targets are what libjxl calls low, medium, high and very high quality.
        Metric("ssimulacra2", "SSIMULACRA 2", "", _ssimulacra2, 1, (30.0, 50.0, 70.0, 90.0), 5, package="scipy"),
    )
}

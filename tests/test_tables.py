import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from codec.coding import rans
from codec.coding.cdf_tables import (
    INDEX_COUNT,
    TOTAL,
    allocate,
    cost_bits,
    fitted_tables,
    gaussian_pmf,
    gaussian_tables,
    scales,
)
from codec.coding.model_file import TABLES, of_tensors
from codec.coding.self_test import CONFIG, fixed_model


@pytest.fixture(scope="module")
def tables():
    return gaussian_tables()


def test_scales_are_evenly_spaced_logarithms():
    assert scales()[0] == 0.11 and math.isclose(scales()[63], 256)
    assert np.allclose(np.diff(np.log(scales())), math.log(256 / 0.11) / 63)


def test_tables_are_accepted_by_the_coder(tables):
    freqs, limits, raw_bits = tables
    rans.Tables(freqs, limits, raw_bits)
    assert (freqs[1:].sum(axis=1) == TOTAL).all() and not freqs[0].any()


def test_tables_are_deterministic(tables):
    assert all(np.array_equal(a, b) for a, b in zip(tables, gaussian_tables(), strict=True))


def test_allocation_is_optimal():
    # Against every split of a small total, by scaling: the optimum of three letters, found by brute force.
    p = np.array([0.7, 0.2999, 0.0001])
    freqs = allocate(p)
    near = [freqs + d for d in np.array([[a, b, -a - b] for a in range(-3, 4) for b in range(-3, 4)])]
    cost = [-(p * np.log2(f)).sum() for f in near if f.min() >= 1]
    assert freqs.sum() == TOTAL and -(p * np.log2(freqs)).sum() <= min(cost) + 1e-12


def test_mean_code_length_is_close_to_the_entropy(tables):
    for index, scale in enumerate(scales()):
        if index == 0:
            continue
        pmf = gaussian_pmf(scale)
        n = len(pmf) // 2
        entropy_bits = -(pmf[pmf > 0] * np.log2(pmf[pmf > 0])).sum()
        excess = float(pmf @ cost_bits(*tables, np.arange(-n, n + 1), np.full(2 * n + 1, index))) - entropy_bits
        assert -1e-9 < excess < (0.00035 if scale < 8.5 else 0.0027), (index, scale, excess)


def test_code_lengths_satisfy_kraft_with_equality_but_for_unused_escapes(tables):
    for index in (1, 20, 63):
        symbols = np.arange(-16383, 16384)
        total = (2.0 ** -cost_bits(*tables, symbols, np.full(symbols.shape, index))).sum()
        assert 1 - 2 * 2**-10 < total <= 1 + 1e-9


def test_dead_zones_are_in_proportion_to_what_a_one_costs_more_than_a_zero(tables):
    tensors = dict(fixed_model().tensors) | {f"tables.{k}": v for k, v in zip(TABLES, tables, strict=True)}
    zones = of_tensors(tensors, {"aec_model": json.dumps(asdict(CONFIG))}, Path("tables")).dead_zones
    assert zones.dtype == np.int16 and zones.shape == (64,) and zones[0] == 0
    assert zones[1:].max() == 4096 // 4 and (np.diff(zones[1:]) <= 0).all() and zones.min() >= 0
    for index in (8, 12, 20, 30):  # of the Gaussian itself; its tables are within 2^-14 of it
        pmf = gaussian_pmf(scales()[index])
        zero = len(pmf) // 2
        assert abs(zones[index] - 4096 * 0.045 * math.log2(pmf[zero] / pmf[zero + 1])) < 2


def test_fitted_tables_cost_what_the_symbols_are_worth():
    """Zeros beyond a Gaussian's, long tails: the tables follow, up to the counts' own entropy."""
    rng, n = np.random.default_rng(0), 300
    counts = np.zeros((INDEX_COUNT, 2 * n + 1), np.int64)
    indexes = (8, 16, 24)
    for index in indexes:
        s = np.rint(rng.laplace(0, scales()[index], 200_000)).astype(int) * (rng.random(200_000) < 0.8)
        np.add.at(counts[index], s[np.abs(s) <= n] + n, 1)
    gaussian, fitted = gaussian_tables(), fitted_tables(counts)
    for index in indexes:
        s = np.repeat(np.arange(-n, n + 1), counts[index]).astype(np.int16)
        i = np.full(s.shape, index)
        p = counts[index][counts[index] > 0] / len(s)
        entropy_bits = -len(s) * (p * np.log2(p)).sum()
        before, after = cost_bits(*gaussian, s, i).sum(), cost_bits(*fitted, s, i).sum()
        assert entropy_bits < after < 1.01 * entropy_bits < before


def test_tables_of_indexes_that_were_not_seen_are_gaussians(tables):
    counts = np.zeros((INDEX_COUNT, 9), np.int64)
    counts[12, 4] = 5000
    fitted = fitted_tables(counts)
    for index in range(INDEX_COUNT):
        same = all(np.array_equal(a[index], b[index]) for a, b in zip(fitted, tables, strict=True))
        assert same == (index != 12)

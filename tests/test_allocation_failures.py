"""Allocations of the C++ code that fail, each once: a MemoryError, and never the end of the process."""

import bench_package
import pytest

allocations = bench_package.module("promises.allocations")
NotHere = bench_package.module("promises.check").NotHere


def test_an_allocation_that_fails_is_a_memory_error_and_leaves_nothing_behind():
    """Also those of threads for themselves, and those of pybind11 for an object that it registers.

    `python -m bench.promises --only 10 --long` lets every allocation fail; this takes up to 40 of each operation.
    """
    try:
        found, died = allocations.failures(40)
    except NotHere as reason:
        pytest.skip(str(reason))
    assert died == ""
    for name, row in found.items():
        outcomes = row["outcomes"]
        assert row["allocations"] > 30 and outcomes["MemoryError"] > 30, name
        assert set(outcomes) <= {"MemoryError", "right", "not reached"}, (name, outcomes)
        assert row["left"] <= allocations.MOST_LEFT, name

"""The promises by number, and all checks of them in that order."""

from __future__ import annotations

from . import (
    allocations,
    bulk,
    crash,
    damage,
    exactness,
    fuzzing,
    golden,
    inputs,
    installs,
    limits,
    memory,
    processes,
    seams,
    targets,
    weights,
)
from .check import Check

PROMISES = {
    1: "The same symbols everywhere",
    2: "Symbols are decoded without floating-point numbers",
    3: "The same pixels everywhere",
    4: "Damage is always seen",
    5: "Files that are cut off are safe to read",
    6: "Bombs are refused before anything is allocated",
    7: "It opens what it writes",
    8: "Flat memory",
    9: "No seams",
    10: "It never ends the process that calls it",
    11: "Fuzzed",
    12: "Weights cannot run code",
    13: "Outputs are whole or absent",
    14: "Old files stay readable",
    15: "Any picture comes back",
    16: "Never larger than the input",
    17: "A wanted size is met",
    18: "Honest figures",
    19: "It can be installed",
    20: "Bulk runs survive",
    21: "Threads, workers and the end of the interpreter",
    22: "Memory does not grow with the number of pictures",
}

_MODULES = (allocations, bulk, crash, damage, exactness, fuzzing, golden, inputs, installs, limits)
_MODULES += (memory, processes, seams, targets, weights)
CHECKS: list[Check] = sorted((check for module in _MODULES for check in module.CHECKS), key=lambda c: c.promise)

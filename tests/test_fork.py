"""The child of a fork does all that its parent did, or says at once that it cannot. In processes of their own."""

import os
import subprocess
import sys

import pytest
import torch

import codec
from codec.coding.device import resolve_device

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")

BEGIN = """
import multiprocessing, os, sys, threading, time
import numpy as np, torch, codec
from codec.coding import threads

def ends_well(action, seconds=60):
    child = multiprocessing.get_context("fork").Process(target=lambda: os._exit(0 if action() else 3))
    child.start()
    child.join(seconds)
    if child.exitcode is None:
        child.kill()
    return child.exitcode
"""


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_child_codes_as_its_parent_did():
    """Of many threads torch's are those of the parent, which have done work of every kind before."""
    run("""
torch.set_num_threads(2)
rng = np.random.default_rng(0)
small, large = (rng.integers(0, 256, (n, n, 3), np.uint8) for n in (64, 300))
alpha = rng.integers(0, 256, (300, 300, 4), np.uint8)
torch.from_numpy(large).float().sqrt().sum()  # on all of its threads
coded = codec.encode(small, 50)
def tensor(image):
    channels = image.transpose(2, 0, 1)
    made = codec.decode(codec.encode(torch.from_numpy(channels.copy()), lossless=True), output="torch")
    return np.array_equal(made.numpy(), channels)
actions = {
    "encode": lambda: codec.encode(small, 50) == coded,
    "decode": lambda: np.array_equal(codec.decode(coded, output="numpy"), before["decode"]),
    "decode to a tensor": lambda: tensor(large),
    "and with alpha": lambda: tensor(alpha),
    "effort": lambda: codec.encode(small, 50, effort=3) == before["effort"],
}
before = {
    "decode": codec.decode(coded, output="numpy"),
    "effort": codec.encode(small, 50, effort=3),
}
codes = {name: ends_well(action) for name, action in actions.items()}
assert not any(codes.values()), codes
assert ends_well(lambda: ends_well(actions["encode"]) == 0) == 0  # and so does the child's own
assert torch.get_num_threads() == 2 and actions["encode"]()
""")


def test_an_error_in_a_child_is_the_same_error():
    run("""
def refused():
    try:
        codec.encode(np.zeros((9, 9, 3), np.uint8), model="nosuch")
    except codec.ModelError:
        return True
assert ends_well(refused) == 0 and refused()
""")


def test_a_fork_waits_for_a_thread_that_loads_a_model():
    run("""
lock, held = threads.lock_across_forks(), threading.Event()
def load():
    with lock:
        held.set()
        time.sleep(0.3)
thread = threading.Thread(target=load)
thread.start()
held.wait()
assert ends_well(lambda: lock.acquire(timeout=0)) == 0
thread.join()
assert lock.acquire(timeout=0)
""")


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_the_parent_has_used_is_refused_by_name_and_not_taken_unasked(device, monkeypatch):
    def refuse():
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(codec.BackendError, match=f"device '{device}': Cannot re-initialize CUDA in forked subprocess"):
        resolve_device(device)
    assert resolve_device("auto") == "cpu"


@pytest.mark.needs_cuda
def test_a_child_of_a_process_that_used_a_gpu_says_so_or_takes_the_processor():
    run("""
image = np.zeros((64, 64, 3), np.uint8)
coded = codec.encode(image, 50, device="cuda")
pixels = codec.decode(coded, output="numpy")
def refused():
    try:
        codec.encode(image, 50, device="cuda")
    except codec.BackendError:
        return True
assert ends_well(refused) == 0
assert ends_well(lambda: np.array_equal(codec.decode(coded, output="numpy"), pixels)) == 0
""")

"""Ctrl-C and errors end what is being computed, although csrc knows nothing of Python."""

import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image
from shell import AEC, files

from codec import _C
from codec.coding import exact
from codec.coding.threads import team

LARGE = np.zeros((4096, 4096, 3), np.uint16)  # takes a minute
SMALL = np.ones((4, 4, 3), np.uint16)


def in_thread(work):
    """The exception that a new thread ends with, or None."""
    raised = []

    def run():
        try:
            work()
        except Exception as e:
            raised.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_a_thread_stops_at_its_flag_and_at_those_above_it():
    above, other = _C.StopFlag(), _C.StopFlag()

    def obeying(flag):
        flag.obey()
        _C.encode_exact(SMALL, 8)

    def obeying_one_below(flag):
        flag.obey()
        below = _C.StopFlag()
        raised = in_thread(lambda: obeying(below))
        if raised:
            raise raised

    assert in_thread(lambda: obeying(above)) is None
    above.set()
    assert isinstance(in_thread(lambda: obeying(above)), _C.Stopped)
    assert isinstance(in_thread(lambda: obeying_one_below(above)), _C.Stopped)
    assert in_thread(lambda: obeying_one_below(other)) is None
    _C.encode_exact(SMALL, 8)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_other_threads_compute_ends_with_an_error(threads, kind):
    threads(2)
    begun, ended = threading.Event(), []

    def work(item):
        if item == 0:
            begun.wait()
            raise kind
        begun.set()
        try:
            exact.encode(LARGE)
        except _C.Stopped as e:
            ended.append(e)
            raise

    with pytest.raises(kind), team(2) as ordered:
        list(ordered(work, range(2)))
    assert len(ended) == 1


def test_a_signal_ends_what_the_main_thread_computes():
    image = photos.photo(400, 400)
    payload, out = exact.encode(image), np.zeros(image.shape, np.uint16)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.02)  # of this process's own time, of which decoding needs much more
        with pytest.raises(KeyboardInterrupt):
            _C.decode_exact(payload, out, 8)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert not out[..., 2].any()  # blue comes last
    _C.decode_exact(payload, out, 8)
    assert np.array_equal(out, image)


@pytest.mark.parametrize("n_threads", ["1", "2"])
@pytest.mark.parametrize("names", [["a.png"], ["a.png", "b.png"]])
@pytest.mark.parametrize("option", [["-e", "9"], ["--lossless"]], ids=" ".join)
def test_ctrl_c_leaves_no_file(tmp_path, monkeypatch, n_threads, names, option):
    monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
    noise = np.random.default_rng(0).integers(0, 256, (1100, 2000, 3), np.uint8)
    for name in names:
        Image.fromarray(noise).save(tmp_path / name, compress_level=0)
    command = [*AEC, "compress", *names, *option, "-j", str(len(names)), "--progress"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as running:
        running.stderr.read(1)  # of the progress bar
        maps = Path(f"/proc/{running.pid}/maps")
        while "/_C." not in maps.read_text():  # numpy is loaded before, and makes an ImportError of a Ctrl-C meanwhile
            time.sleep(0.05)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read().decode()
        # Python ends by the signal itself if that came while C code ran Python's; shells call both 130.
        assert running.wait() in (130, -signal.SIGINT)
    assert "aec: interrupted" in said and "Traceback" not in said
    assert files(tmp_path) == set(names)

"""Measures GPU times with CUDA events, around a call or around the CUDA graph of a call."""

from collections.abc import Callable

import torch


def event_seconds(call: Callable[[], object], repeats: int) -> float:
    """Mean time of one call in seconds, between two events in the current stream.

    If a call launches many short kernels, this is mostly the time that Python takes to launch them. `captured` avoids
    that.
    """
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / repeats


def captured(run: Callable[[], object]) -> Callable[[], None]:
    """Record the kernels of `run` as a CUDA graph, and return a function that replays it, so that only the GPU's time
    counts. `run` must not wait for the device."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()  # warms up: a capture fails if anything is loaded or allocated for the first time
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay

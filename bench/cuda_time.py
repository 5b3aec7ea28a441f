"""How GPU times are taken: CUDA events around a call, or around the CUDA graph of a call."""

from collections.abc import Callable

import torch


def event_seconds(call: Callable[[], object], repeats: int) -> float:
    """Mean time of one call, between two events in the current stream.

    A call that launches short kernels one by one shows the time that Python takes to launch them; see `captured`.
    """
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / repeats


def captured(run: Callable[[], object]) -> Callable[[], None]:
    """`run`, which must not wait for the device, as a CUDA graph: what the GPU itself takes."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()  # what is made or loaded on first use must be there before a capture
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay

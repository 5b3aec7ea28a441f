"""Several processes that train one model together, each on a GPU of its own or on cores of its own.

`torchrun` starts them, on one machine or on several. Each one computes the gradients of its share of a batch; then all
of them take the mean of the gradients, and so make the same step. The random numbers of a step are drawn for the whole
batch in each process, which takes its share of them. So the number of processes does not change what is computed,
unless images are streamed: then each process draws its own crops.

The gradients are averaged in one call after the backward pass, not by DistributedDataParallel. That sends the first
gradients while others are still computed, but it wraps the model, so that everything which looks into it would have to
know. The networks here have 20 to 50 MB of gradients, which take little time between GPUs.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..coding.device import check_device, resolve_device

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process


@dataclass(frozen=True)
class Processes:
    """The processes that train together; by default this one alone, for which nothing here does anything.

    Args:
        rank: number of this process, 0..size - 1. The first, 0, writes files and tells of progress.
        size: number of processes.
        on_this_machine: how many of them are on this machine.
    """

    rank: int = 0
    size: int = 1
    on_this_machine: int = 1

    def share(self, whole: Any, axis: int = 0) -> Any:
        """Return this process's part of an array or a tensor that is for all of them, along an axis: every process
        gets the same number of entries. Their number must be a multiple of `size`."""
        n = whole.shape[axis] // self.size
        return whole[(slice(None),) * axis + (slice(self.rank * n, (self.rank + 1) * n),)]

    def uniform_like(self, x: Tensor, axis: int) -> Tensor:
        """Draw numbers in 0..1, of the shape of x: this process's share of the numbers for all processes.

        Args:
            axis: the one along which x is a share.
        """
        if self.size == 1:
            return torch.rand_like(x)
        return self.share(torch.rand_like(torch.cat([x] * self.size, axis)), axis)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float tensors by their means over all processes, which must give tensors of the same shapes."""
        if self.size > 1:
            flat = torch.cat([t.flatten() for t in tensors])
            dist.all_reduce(flat)
            _put_back(flat / self.size, tensors)

    def equalise(self, step: int, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first process: what each one computes at the start may differ in last bits.

        Args:
            step: at which this process begins.

        Raises:
            ValueError: the first process begins at another step.
        """
        if self.size == 1:
            return
        first = torch.tensor([step])
        dist.broadcast(first, 0)
        if int(first) != step:
            raise ValueError(f"process {self.rank} begins at step {step}, and process 0 at step {int(first)}")
        flat = torch.cat([t.flatten() for t in tensors])
        dist.broadcast(flat, 0)
        _put_back(flat, tensors)

    def agree(self, progress: float, stop: bool) -> float:
        """Return the `progress` of the first process. It waits for all processes.

        Args:
            stop: whether this process was asked to end.

        Raises:
            KeyboardInterrupt: any process was asked to end; it is raised in all of them, so that none waits for ever.
        """
        if self.size == 1:
            return progress
        # On the CPU, so that no GPU has to be waited for.
        both = torch.tensor([progress if self.rank == 0 else 0.0, float(stop)], dtype=torch.float64)
        dist.all_reduce(both)
        if both[1]:
            raise KeyboardInterrupt
        return float(both[0])

    @contextmanager
    def signals(self) -> Iterator[list[int]]:
        """Context manager: gives a list, to which the numbers of signals that ask to end are added.

        In the midst of a step the others would wait for a process that ends. A single process has no need of it: there
        the list stays empty, and an interrupt is raised as always.

        Raises:
            KeyboardInterrupt: at the end, if a signal came.
        """
        caught: list[int] = []
        asking = (signal.SIGINT, signal.SIGTERM) if self.size > 1 else ()
        before = {s: signal.signal(s, lambda number, frame: caught.append(number)) for s in asking}
        try:
            yield caught
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)
        if caught:
            raise KeyboardInterrupt

    def leave(self) -> None:
        """End the connections, after the last step. After an error they are left alone, because that might wait."""
        if self.size > 1:
            dist.destroy_process_group()


def _put_back(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    for t, value in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        t.copy_(value.view_as(t))


ALONE = Processes()


def of_environment() -> Processes:
    """Return the processes of which this is one, as torchrun's environment variables say; without them, ALONE."""
    if not all(os.environ.get(name) for name in VARIABLES):
        return ALONE
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return Processes(rank, size, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


def join(device: str) -> tuple[Processes, str]:
    """Connect to the other processes, and find this one's device.

    Args:
        device: "auto", "cpu", "cuda", or, for a single process, "cuda:N" (`resolve_device`).

    Returns:
        (the processes, the device as torch names it)

    Raises:
        BackendError: there is no such GPU, or there are fewer GPUs than processes on this machine.
        ValueError: `device` is another word, or names one GPU for several processes.
    """
    processes = of_environment()
    if processes.size == 1:
        return ALONE, resolve_device(device)
    check_device(device)
    if ":" in device:
        raise ValueError(f"device {device!r}: several processes take a GPU each; allowed are auto, cpu and cuda")
    if device == "cuda" or device == "auto" and torch.cuda.is_available():
        device = resolve_device(f"cuda:{os.environ.get('LOCAL_RANK', processes.rank)}")
        torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        device = "cpu"
        dist.init_process_group("gloo")
    return processes, device

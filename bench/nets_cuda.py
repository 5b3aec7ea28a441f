"""`python -m bench.nets --device cuda`: the entropy networks of a tile on a GPU, timed by CUDA events.

Each time is the median of many runs after a warm-up, for all segments of a tile, without the entropy coder. *Eager* is
the time with kernels launched from Python one by one, as the codec does it. *Graph* is the time of the same kernels in
a CUDA graph, that is, of the GPU alone. The floor is the time for the arithmetic alone: the multiply-adds that are
needed (bench.nets), with four products of bytes for each product of int16, at the peak speed of the tensor cores.
"""

import statistics
from collections.abc import Callable

import torch

from codec.coding import model_search, segment_walk
from codec.coding.model_config import HYPER_STRIDE, LATENT_STRIDE, Config
from codec.coding.segment_walk_cuda import CudaNets, CudaWalk
from codec.nets import torch_codec

from .cuda_time import captured, event_seconds

WARM_UP = 10
H200_BYTE_MULTIPLY_ADDS = 1979e12 / 2  # per second, for dense int8, from NVIDIA's data sheet


def launches(config: Config) -> int:
    """The number of kernels that decoding launches: two for the hyperlatents, five that predict in the first context
    step and two in each further one, and in each step one that accepts its symbols."""
    return 2 + 5 + 2 * (config.steps - 1) + config.steps


def median_ms(run: Callable[[], object], runs: int) -> float:
    return 1000 * statistics.median([event_seconds(run, 1) for _ in range(WARM_UP + runs)][WARM_UP:])


def encode(
    start: segment_walk.Start, shape: tuple[int, int, int], y: torch.Tensor, z: torch.Tensor, dead_zones: torch.Tensor
) -> list[torch.Tensor]:
    at, said = start(*shape), []
    for k in range(at.segments):
        said += [at.predict(k), at.choose(k, y if k else z, dead_zones)]
    return [*said, at.latents()]


def decode(start: segment_walk.Start, shape: tuple[int, int, int], symbols: list[torch.Tensor]) -> torch.Tensor:
    at = start(*shape)
    for k, s in enumerate(symbols):
        at.predict(k)
        at.accept(k, s)
    return at.latents()


def stages(
    start: segment_walk.Start, shape: tuple[int, int, int], symbols: list[torch.Tensor], runs: int
) -> list[float]:
    """The median time of each predict(k) in milliseconds, with kernels launched one by one."""
    times = [[] for _ in symbols]
    for i in range(WARM_UP + runs):
        at, events = start(*shape), []
        for k, s in enumerate(symbols):
            events.append([torch.cuda.Event(enable_timing=True) for _ in range(2)])
            events[k][0].record()
            at.predict(k)
            events[k][1].record()
            at.accept(k, s)
        torch.cuda.synchronize()
        if i >= WARM_UP:
            for k, (a, b) in enumerate(events):
                times[k].append(a.elapsed_time(b))
    return [statistics.median(t) for t in times]


def measure(model: str | None, size: str, runs: int, needed: Callable[[Config, int, int], int]) -> None:
    """Print the table for an image size. `needed`: (config, rows, columns of latents) -> multiply-adds of a tile."""
    codec = torch_codec.load(model_search.find(model), torch.device("cpu"))
    width, height = (-(-int(side) // LATENT_STRIDE) for side in size.split("x"))
    shape, c = (60, height, width), codec.config
    rng = torch.Generator().manual_seed(0)
    y = torch.randn(height, width, c.latents, generator=rng).permute(2, 0, 1)
    z = torch.randn(c.hyper, -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE), generator=rng)
    nets = CudaNets(c, segment_walk.cpu_nets(codec.net), torch.device("cuda"))
    given = y, z, codec.dead_zones
    expected = encode(codec.walk, shape, *given)
    given, symbols = [t.cuda() for t in given], [s.cuda() for s in expected[1:-1:2]]

    def start(quality: int, height: int, width: int) -> CudaWalk:
        return CudaWalk(nets, quality, height, width)

    said = encode(start, shape, *given)
    if not all(torch.equal(a.cpu(), b) for a, b in zip(said, expected, strict=True)):
        raise RuntimeError("the GPU differs from the CPU")
    n = needed(c, height, width)
    floor = 1000 * 4 * n / H200_BYTE_MULTIPLY_ADDS
    print(f"{size}: {n / 1e6:.0f} million multiply-adds, floor {floor:.3f} ms (H200); {launches(c)} launches")
    print("           eager [ms]    graph [ms]  of the floor")
    for name, run in (
        ("encoding", lambda: encode(start, shape, *given)),
        ("decoding", lambda: decode(start, shape, symbols)),
    ):
        eager, graph = median_ms(run, runs), median_ms(captured(run), runs)
        print(f"{name:9}{eager:12.3f}{graph:14.3f}{floor / graph:14.0%}")
    print("predict(k), eager [ms]:", " ".join(f"{ms:.3f}" for ms in stages(start, shape, symbols, runs)))

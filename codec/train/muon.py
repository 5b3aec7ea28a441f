"""Muon: the momentum of a matrix, made orthogonal, is its step (Jordan 2024, kellerjordan.github.io/posts/muon).

Every direction of a matrix moves alike. In the branches of the transforms the gradient is dominated by the few
directions that carry a picture's mean, and under Adam the others learn several times more slowly (bench/ablations.md).
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..nets.layers import multiplies_bf16

MOMENTUM = 0.95
# Newton-Schulz: five times x -> a x + b x^3 + c x^5 takes singular values from 0.01 .. 1 to about 0.7 .. 1.2.
ITERATIONS, A, B, C = 5, 3.4445, -4.7750, 2.0315
RMS = 0.2  # of a step, in learning rates, as Adam's is: one rate then suits both (Liu 2025, arXiv:2502.16982, 2.2)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, for 1x1 convolutions. The state of each is `momentum`, of its shape.

    Args:
        parameters: weights [out, in, 1, 1].
        lr: learning rate, of the size that suits Adam.
        every: each matrix moves in one of so many calls of `step`, so many times as far; the momentum is kept in all.
            A momentum changes slowly, and making it orthogonal takes time. `calls`, in the group beside it, counts.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, every: int = 2):
        super().__init__(parameters, {"lr": lr, "every": every, "calls": 0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # takes no closure, which nothing here gives
        for group in self.param_groups:
            matrices, every, turn = group["params"], group["every"], group["calls"] % group["every"]
            group["calls"] += 1
            for p in matrices:
                if not self.state[p]:
                    self.state[p] = {"momentum": torch.zeros_like(p)}
            momenta = [self.state[p]["momentum"] for p in matrices]
            torch._foreach_lerp_(momenta, [p.grad for p in matrices], 1 - MOMENTUM)
            shapes = defaultdict(list)  # matrices of one shape go through every product together
            for p in matrices[turn::every]:
                shapes[p.shape].append(p)
            for same in shapes.values():
                gradient = torch.stack([p.grad for p in same])
                momentum = torch.stack([self.state[p]["momentum"] for p in same])
                steps = orthogonal(gradient.lerp(momentum, MOMENTUM)[..., 0, 0])
                size = RMS * max(same[0].shape[:2]) ** 0.5
                torch._foreach_add_(same, list(steps[..., None, None]), alpha=-group["lr"] * every * size)


def orthogonal(x: Tensor) -> Tensor:
    """Matrices [n, rows, columns] with singular values taken to about 1; those of a zero matrix stay 0."""
    wide = x if x.shape[1] <= x.shape[2] else x.mT
    y = wide.bfloat16() if multiplies_bf16(x.device) else wide
    y = y / (y.norm(dim=(1, 2), keepdim=True) + 1e-12)
    for _ in range(ITERATIONS):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), y, beta=A)
    return (y if wide is x else y.mT).float()

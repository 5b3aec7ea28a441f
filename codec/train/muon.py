"""The optimiser Muon: the step of a weight matrix is its momentum, made orthogonal.

So the matrix moves equally far in all directions. In the branches of the transforms, a few directions that carry the
picture's mean dominate the gradient, and with Adam the others learn several times more slowly (bench/ablations.md).

Source: Jordan 2024, kellerjordan.github.io/posts/muon.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..nets.layers import multiplies_bf16

MOMENTUM = 0.95
# Newton-Schulz iteration: five times x -> a x + b x^3 + c x^5 maps singular values in 0.01 .. 1 to about 0.7 .. 1.2.
ITERATIONS, A, B, C = 5, 3.4445, -4.7750, 2.0315
# RMS of a step in units of the learning rate. It equals that of Adam, so that one learning rate suits both (Liu 2025,
# arXiv:2502.16982, section 2.2).
RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, for 1x1 convolutions. The state of each weight is `momentum`, of the same shape.

    Args:
        parameters: weights [out, in, 1, 1].
        lr: learning rate; a good one for Adam is good here.
        every: each matrix moves only in one of this many calls of `step`, and then this many times as far, because
            making a matrix orthogonal takes time and the momentum changes slowly. The momentum is updated in every
            call. The parameter group counts the calls in `calls`.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, every: int = 2):
        super().__init__(parameters, {"lr": lr, "every": every, "calls": 0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # without the optional closure of torch's interface
        for group in self.param_groups:
            matrices, every, turn = group["params"], group["every"], group["calls"] % group["every"]
            group["calls"] += 1
            for p in matrices:
                if not self.state[p]:
                    self.state[p] = {"momentum": torch.zeros_like(p)}
            momenta = [self.state[p]["momentum"] for p in matrices]
            torch._foreach_lerp_(momenta, [p.grad for p in matrices], 1 - MOMENTUM)
            shapes = defaultdict(list)  # matrices of the same shape are processed as one batch
            for p in matrices[turn::every]:
                shapes[p.shape].append(p)
            for same in shapes.values():
                gradient = torch.stack([p.grad for p in same])
                momentum = torch.stack([self.state[p]["momentum"] for p in same])
                steps = orthogonal(gradient.lerp(momentum, MOMENTUM)[..., 0, 0])
                size = RMS * max(same[0].shape[:2]) ** 0.5
                torch._foreach_add_(same, list(steps[..., None, None]), alpha=-group["lr"] * every * size)


def orthogonal(x: Tensor) -> Tensor:
    """Return matrices [n, rows, columns] with their singular values changed to about 1. A zero matrix stays zero."""
    wide = x if x.shape[1] <= x.shape[2] else x.mT
    y = wide.bfloat16() if multiplies_bf16(x.device) else wide
    y = y / (y.norm(dim=(1, 2), keepdim=True) + 1e-12)
    for _ in range(ITERATIONS):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), y, beta=A)
    return (y if wide is x else y.mT).float()

"""Rounding of weights such that a layer's outputs change little, although each weight is rounded coarsely.

Rounding to the nearest integer ignores that a layer's inputs are correlated. Here the columns of a matrix are rounded
one after the other, and the error of each column is passed on to those that are not rounded yet, which partly make up
for it. With 8 bits a weight, this takes more than half off the squared error of the outputs (bench/ablations.md).

Source: GPTQ, Frantar 2023 (arXiv:2210.17323), sections 3.2 and 3.3.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

DAMPING = 0.01  # is added to the diagonal of the moments, relative to its mean, so that they have an inverse
POSITIONS = 1024  # so many positions of a feature map are enough for its moments


def rounded(weight: Tensor, moments: Tensor, heaviest: int) -> Tensor:
    """Round the weights of a linear layer to integers of magnitude at most `heaviest`.

    Args:
        weight: float64 [O, I]; each output may have its own unit.
        moments: second moments of the inputs, float [I, I], of any scale: the mean of x x^T.

    Returns:
        float64 [O, I] that holds integers.
    """
    strength = moments.diagonal().double()
    if not float(strength.mean()) > 0:  # without an input there is nothing to compensate
        return weight.round().clamp(-heaviest, heaviest)
    order = strength.argsort(descending=True)
    damped = moments.double() + DAMPING * strength.mean() * torch.eye(len(strength), dtype=torch.float64)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped[order][:, order]))
    spread = torch.linalg.cholesky(inverse, upper=True)
    left, out = weight[:, order].clone(), torch.empty_like(weight)
    for column, at in enumerate(order.tolist()):
        out[:, at] = left[:, column].round().clamp(-heaviest, heaviest)
        error = (left[:, column] - out[:, at]) / spread[column, column]
        left[:, column:] -= error[:, None] * spread[column, column:]
    return out


@contextmanager
def input_moments(net: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Context manager: sums up the second moments of the inputs of all 1x1 convolutions while a float net runs.

    Yields:
        The sums of x x^T by the name of the convolution, float64 [I, I] on the CPU, complete at the end.
    """
    sums: dict[str, Tensor] = {}

    def note(name: str, x: Tensor) -> None:
        rows = x.detach().permute(0, 2, 3, 1).flatten(0, 2)
        rows = rows[:: -(-len(rows) // POSITIONS)].float()
        sums[name] = sums.get(name, 0) + (rows.T @ rows).double().cpu()

    with ExitStack() as hooks:
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
                hook = module.register_forward_pre_hook(lambda _, args, name=name: note(name, args[0]))
                hooks.callback(hook.remove)
        yield sums

"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas 2024, arXiv:2409.11321, algorithm 3).

Nearly all weights of aec are 1x1 convolutions, that is, matrices, which is what the method is for. Everything else
(depthwise kernels, biases, quality vectors) takes plain Adam steps. Matrices of one shape are stacked and go through
every operation together: on a GPU a step is a few batched products for each shape.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def _groups(parameters: Iterable[nn.Parameter]) -> tuple[list[list[nn.Parameter]], list[nn.Parameter]]:
    """(1x1 convolutions by shape, the rest)."""
    matrices, rest = defaultdict(list), []
    for p in parameters:
        if p.dim() == 4 and p.shape[2:] == (1, 1) and min(p.shape[:2]) > 1:
            matrices[p.shape].append(p)
        else:
            rest.append(p)
    return list(matrices.values()), rest


class Soap(torch.optim.Optimizer):
    """SOAP for 1x1 convolutions, Adam for all other parameters.

    The state of a stack of matrices is held under its first parameter: `exp_avg` and `exp_avg_sq` [n, rows, columns] in
    the rotated basis; for each side not longer than max_side, `left` and `right` [n, side, side], the averages of G G^T
    and G^T G, and `left_basis` and `right_basis`, their eigenvectors by columns.

    Args:
        parameters: to train.
        lr: learning rate, of the size that suits Adam.
        betas: decay of the averages of gradient and squared gradient; the second is the preconditioners' too.
        every: steps between two power iterations of the bases.
        max_side: a longer side of a matrix is not rotated.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.95),
        every: int = 10,
        max_side: int = 400,
    ):
        stacks, rest = _groups(parameters)
        super().__init__([{"params": stack} for stack in (*stacks, rest)], {"lr": lr})
        self._rest = len(stacks)
        self._betas, self._every, self._max_side = betas, every, max_side

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups[: self._rest]:
            self._step_matrices(group)
        self._step_rest(self.param_groups[self._rest])

    def _step_matrices(self, group: dict) -> None:
        parameters = group["params"]
        state = self.state[parameters[0]]
        g = torch.stack([p.grad[:, :, 0, 0] for p in parameters]).float()
        sides = [name for name, n in zip(("left", "right"), g.shape[1:], strict=True) if n <= self._max_side]
        if not state:
            self._start(state, g, sides)
            return  # the first gradient makes the bases; a step in bases made from itself would be a sign step
        state["step"] += 1
        b1, b2 = self._betas
        rotated = _rotate(g, state)
        mean = state["exp_avg"].lerp_(rotated, 1 - b1)
        square = state["exp_avg_sq"].lerp_(rotated.square(), 1 - b2)
        t = int(state["step"])
        update = mean / (square.sqrt() * ((1 - b1**t) / (1 - b2**t) ** 0.5)).add_(1e-12)
        torch._foreach_add_([p[:, :, 0, 0] for p in parameters], list(_rotate_back(update, state)), alpha=-group["lr"])
        for side in sides:
            state[side].lerp_(_outer(g, side), 1 - b2)
        if t % self._every == 0:
            for side in sides:
                self._turn(state, side)

    def _start(self, state: dict, g: Tensor, sides: list[str]) -> None:
        state["step"] = torch.tensor(0.0)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(g), torch.zeros_like(g)
        for side in sides:
            state[side] = _outer(g, side)
            _, vectors = torch.linalg.eigh(state[side])
            state[side + "_basis"] = vectors.flip(2)

    def _turn(self, state: dict, side: str) -> None:
        """One power iteration, orthonormalised; the averages move into the new basis."""
        basis, gram = state[side + "_basis"], state[side]
        product = gram @ basis
        # Rotated axes in falling order of their eigenvalue: QR keeps the leading ones best. The squares go with them.
        order = (basis * product).sum(1).argsort(1, descending=True)
        axis = 1 if side == "left" else 2
        wide = order[:, :, None] if side == "left" else order[:, None, :]
        square = state["exp_avg_sq"]
        state["exp_avg_sq"] = square.gather(axis, wide.expand_as(square))
        new, _ = torch.linalg.qr(product.gather(2, order[:, None, :].expand_as(product)))
        turn = new.mT @ basis
        state["exp_avg"] = turn @ state["exp_avg"] if side == "left" else state["exp_avg"] @ turn.mT
        state[side + "_basis"] = new

    def _step_rest(self, group: dict) -> None:
        if not group["params"]:
            return
        b1, b2 = self._betas
        for p in group["params"]:
            if not self.state[p]:
                self.state[p] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        states = [self.state[p] for p in group["params"]]
        torch._fused_adam_(
            group["params"],
            [p.grad for p in group["params"]],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            self._count(states),
            lr=group["lr"],
            beta1=b1,
            beta2=b2,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    @staticmethod
    def _count(states: list[dict]) -> list[Tensor]:
        steps = [s["step"] for s in states]
        torch._foreach_add_(steps, 1)
        return steps


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of bf16 factors: five times as fast on a CPU that has them, and the error is far below a gradient's."""
    return (a.bfloat16() @ b.bfloat16()).float()


def _outer(g: Tensor, side: str) -> Tensor:
    return _product(g, g.mT) if side == "left" else _product(g.mT, g)


def _rotate(g: Tensor, state: dict) -> Tensor:
    if "left" in state:
        g = _product(state["left_basis"].mT, g)
    return _product(g, state["right_basis"]) if "right" in state else g


def _rotate_back(u: Tensor, state: dict) -> Tensor:
    if "left" in state:
        u = _product(state["left_basis"], u)
    return _product(u, state["right_basis"].mT) if "right" in state else u

"""Muon: what it does to a matrix, and when."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codec.train.muon import Muon, orthogonal


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_steps_of_muon_move_all_directions_of_a_matrix_alike(rows, columns, seed):
    x = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    spectrum = torch.linspace(1, 0.05, min(rows, columns), dtype=torch.float64)
    found = orthogonal((u * spectrum @ v).float()).double()
    assert found.shape == x.shape
    along = (u.mT @ found @ v.mT).diagonal(dim1=1, dim2=2)
    assert along.min() > 0.5 and along.max() < 1.3  # Jordan's polynomial trades exactness for speed
    assert torch.equal(orthogonal(torch.zeros(1, rows, columns)), torch.zeros(1, rows, columns))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
def test_muon_takes_the_steps_of_torchs_own():
    shapes = [(12, 20), (12, 20), (20, 12), (7, 7)]
    torch.manual_seed(0)
    flat = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
    ours = [torch.nn.Parameter(p.detach().clone()[..., None, None]) for p in flat]
    oracle = torch.optim.Muon(flat, lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    optimiser = Muon(ours, lr=0.01, every=1)
    for _ in range(5):
        for p, o in zip(flat, ours, strict=True):
            p.grad = torch.randn(p.shape)
            o.grad = p.grad[..., None, None]
        oracle.step()
        optimiser.step()
    for p, o in zip(flat, ours, strict=True):
        assert torch.allclose(p, o[..., 0, 0], atol=2e-3)  # both in bf16, in another order
        assert not torch.equal(o[..., 0, 0], torch.zeros(p.shape))


def test_muon_moves_a_part_of_the_matrices_in_each_call_by_as_much_in_all_and_learns_from_all():
    torch.manual_seed(0)
    same = torch.randn(3, 8, 6, 1, 1)

    def run(every: int, gradients: list[Tensor]) -> tuple[Tensor, Tensor]:
        matrices = [torch.nn.Parameter(torch.zeros(8, 6, 1, 1)) for _ in same]
        optimiser = Muon(matrices, lr=0.01, every=every)
        for gradient in gradients:
            for p, g in zip(matrices, gradient, strict=True):
                p.grad = g
            optimiser.step()
        momenta = torch.stack([optimiser.state[p]["momentum"] for p in matrices])
        return torch.stack([p.detach() for p in matrices]), momenta

    assert [bool(m.any()) for m in run(2, [same])[0]] == [True, False, True]
    # A momentum of one gradient keeps its direction: all that differs is when a step is taken.
    assert torch.allclose(run(2, 4 * [same])[0], run(1, 4 * [same])[0], atol=1e-3)
    assert torch.allclose(run(3, 6 * [same])[0], run(1, 6 * [same])[0], atol=1e-3)
    changing = [torch.randn_like(same) for _ in range(5)]
    assert torch.equal(run(2, changing)[1], run(1, changing)[1])

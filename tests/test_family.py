"""The classic autoencoders: each learns, does what its name says, and is the same in integers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from codec.family import MEMBERS
from codec.family.contractive import Contractive
from codec.family.denoising import CORRUPTIONS
from codec.family.linear import Linear, Tied
from codec.family.sparse import Sparse
from codec.family.stacked import LAYERWISE_UNTIL, Classifier, Stacked
from codec.family.variational import Variational
from codec.small import coder
from codec.small import model as small_model
from codec.train import family_command, small_export
from codec.train.family_run import Options, Run
from codec.train.loop import train

SIDE = 12


@pytest.fixture(scope="module")
def blobs() -> np.ndarray:
    """Pictures of one bright blob each, at random places and of random sizes: uint8 [400, 12, 12, 1]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    centres, sizes = rng.uniform(2, SIDE - 3, (400, 2)), rng.uniform(1, 2.5, 400)
    distance = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
    return np.rint(255 * np.exp(-distance / (2 * sizes[:, None, None] ** 2))).astype(np.uint8)[..., None]


def as_input(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 255


def trained(arch: str, pictures: np.ndarray, folder: Path, steps: int = 300, rate: float = 3e-3) -> Run:
    run = Run(Options(arch, steps=steps, batch=64, learning_rate=rate), pictures)
    train(run, folder / "c.safetensors", lambda line: None)
    run.member.eval()
    return run


@pytest.mark.parametrize("arch", MEMBERS)
def test_each_member_learns_and_is_the_same_in_integers(arch, blobs, tmp_path):
    run = trained(arch, blobs, tmp_path, 150 if arch.startswith(("conv", "seq")) else 300)
    x = as_input(blobs)
    with torch.no_grad():
        made = run.member(x).clamp(0, 1)
    error, mean = float((made - x).square().mean()), float((x - x.mean(0)).square().mean())
    # The mean of all pictures for each one would have the error `mean`. The latents of a variational one are noisy.
    assert error < (0.9 if arch == "variational" else 0.5) * mean
    small_export.save(tmp_path / "m.safetensors", run.member, arch, blobs)
    model = small_model.load(tmp_path / "m.safetensors")
    ours = coder.pictures(model, coder.latents(model, blobs))
    off = np.abs(ours - 255 * made.permute(0, 2, 3, 1).numpy())
    assert off.mean() < 0.5 and off.max() < 3  # rounding to 8 bits alone takes up to 0.5


@pytest.mark.parametrize("member", [Linear, Tied])
def test_a_linear_autoencoder_finds_the_subspace_of_the_principal_components(member):
    rng = np.random.default_rng(1)
    d, n, k = 16, 512, 3
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    data = torch.from_numpy(rng.standard_normal((n, d)) * ([3.0] * k + [0.3] * (d - k)) @ basis.T).float()
    x = (data - data.mean(0)).reshape(n, 1, 4, 4)
    torch.manual_seed(0)
    net = member((1, 4, 4), k)
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=300, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = net.loss(x, 0)
        loss.backward()
        return loss

    optimiser.step(closure)
    _, vectors = np.linalg.eigh(np.cov(x.flatten(1).double().numpy().T))
    found = net.decoder[0].weight.detach().double().numpy()
    assert np.degrees(subspace_angles(found, vectors[:, -k:])).max() < 1


def test_the_tied_one_has_half_the_weights():
    shape, latents = (1, 12, 12), 20
    weights = [sum(p.numel() for p in m(shape, latents).parameters() if p.ndim == 2) for m in (Linear, Tied)]
    assert weights == [2 * 144 * latents, 144 * latents]


def test_the_contractive_penalty_is_the_norm_of_the_jacobian():
    torch.manual_seed(0)
    net = Contractive((1, 5, 5), 7)
    x = torch.rand(3, 1, 5, 5)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda v: net.encode(v)[0], x[i : i + 1])
        assert net.jacobian_norm(net.encode(x))[i].item() == pytest.approx(float(jacobian.square().sum()), rel=1e-4)


def test_the_divergence_of_the_variational_one_is_that_of_torch():
    mean, log_variance = torch.randn(4, 6), torch.randn(4, 6)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    right = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(Variational.divergences(mean, log_variance), right, atol=1e-5)


def test_the_penalty_makes_latents_sparse(blobs, tmp_path):
    x = as_input(blobs)
    torch.manual_seed(0)
    active = []
    for weight in (0.0, 3e-3):
        run = Run(Options("sparse-l1", steps=200, batch=64, learning_rate=3e-3), blobs)
        assert isinstance(run.member, Sparse)
        run.member.penalty = lambda x, z, weight=weight: weight * z.sum(1).mean()
        train(run, tmp_path / "c.safetensors", lambda line: None)
        with torch.no_grad():
            active.append(float((run.member.encode(x) > 1e-3).float().mean()))
    assert active[1] < 0.5 * active[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_as_much_as_its_level_says(name):
    torch.manual_seed(0)
    x = torch.full((50, 1, 20, 20), 0.5)
    assert torch.equal(CORRUPTIONS[name](x, 0.0), x)
    made = CORRUPTIONS[name](x, 0.2)
    assert 0 <= made.min() and made.max() <= 1
    amount = float((made - x).std()) if name == "gaussian" else float((made != x).float().mean())
    assert amount == pytest.approx(0.2, rel=0.1)


def test_a_stacked_one_trains_one_layer_after_the_other():
    torch.manual_seed(0)
    net, x = Stacked((1, 12, 12), 8, (32, 16)), torch.rand(8, 1, 12, 12)
    touched = []
    for layer in range(net.n_layers):
        net.zero_grad(set_to_none=True)
        net.loss(x, LAYERWISE_UNTIL * (layer + 0.5) / net.n_layers).backward()
        touched.append({name for name, p in net.named_parameters() if p.grad is not None})
    assert not any(a & b for i, a in enumerate(touched) for b in touched[:i])
    assert set.union(*touched) == {name for name, _ in net.named_parameters()}
    assert Classifier(net, 10)(x).shape == (8, 10)


@pytest.mark.parametrize("arch", ["undercomplete", "denoising", "variational"])
def test_a_resumed_run_is_the_same_run(arch, blobs, tmp_path):
    def options(steps: int) -> Options:
        return Options(arch, steps=steps, batch=64)

    whole = Run(options(14), blobs)
    # The learning rate depends on the budget, so both runs are told theirs step by step.
    for step in range(14):
        whole.advance(step / 14, 1e-3)
    first = Run(options(14), blobs)
    for step in range(9):
        first.advance(step / 14, 1e-3)
    first.save(tmp_path / "c.safetensors")
    second = Run.load(tmp_path / "c.safetensors", options(14), blobs)
    for step in range(9, 14):
        second.advance(step / 14, 1e-3)
    assert all(torch.equal(a, b) for a, b in zip(whole.member.parameters(), second.member.parameters(), strict=True))


@pytest.mark.parametrize("arch", ["stacked", "convolutional-narrow"])
def test_a_resumed_run_has_the_latents_of_its_checkpoint_whatever_the_default_is(arch, blobs, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"

    def begun(latents: int | None) -> Run:
        run = Run(Options(arch, latents, batch=64), blobs)
        run.advance(0.0, 1e-3)
        run.save(path)
        return run

    default = begun(None).latents
    assert Run.load(path, Options(arch, batch=64), blobs).latents == default
    begun(6)  # as if that had been the default
    for latents in (None, 6):
        assert Run.load(path, Options(arch, latents, batch=64), blobs).latents == 6
    with pytest.raises(ValueError, match='"latents": 6.*not .*"latents": 7'):
        Run.load(path, Options(arch, 7, batch=64), blobs)
    monkeypatch.setattr(Run, "latents", None)  # older checkpoints do not say what the default was
    begun(6)
    monkeypatch.undo()
    assert Run.load(path, Options(arch, 6, batch=64), blobs).latents == 6


def test_epochs_are_the_budget_of_a_resumed_run_too(blobs, tmp_path, monkeypatch):
    run = Run(Options("linear", batch=64), blobs)
    run.advance(0.0, 1e-3)
    run.save(tmp_path / "c.safetensors")
    budgets: list[int | None] = []

    def begin(run, checkpoint, report):
        budgets.append(run.options.steps)
        raise KeyboardInterrupt

    monkeypatch.setattr(family_command, "train", begin)
    for resume in (None, tmp_path / "c.safetensors"):
        with pytest.raises(KeyboardInterrupt):
            options = Options("linear", batch=64)
            family_command.fit(blobs, blobs, tmp_path / "m.safetensors", options, resume, print, 3.0)
    assert budgets == [3 * run.steps_of_epoch] * 2


def test_bits_of_the_tables_are_those_of_the_file(blobs, tmp_path):
    run = trained("undercomplete", blobs, tmp_path, steps=100)
    small_export.save(tmp_path / "m.safetensors", run.member, "undercomplete", blobs)
    model = small_model.load(tmp_path / "m.safetensors")
    symbols = coder.quantise(model, coder.latents(model, blobs[:256]), 9)
    n_bytes = len(coder.encode(model, symbols, 9))
    assert math.isclose(coder.bits(model, symbols, 9).sum() / 8, n_bytes, rel_tol=0.02, abs_tol=8)

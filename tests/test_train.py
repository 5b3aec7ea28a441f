"""Training's parts, exactly: schedule and checkpoints."""

import itertools
import json
import math
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import photos
import pytest
import torch
from safetensors.torch import load_file

from codec.coding import model_file
from codec.coding.cdf_tables import INDEX_COUNT, cost_bits, fitted_tables, gaussian_tables
from codec.coding.model_config import CONFIGS, LAMBDA_RANGE, Config, level_lambda
from codec.errors import ModelError
from codec.nets import torch_codec
from codec.nets.model import Model, bits_of
from codec.train import export, loop
from codec.train.codec_run import Options, Run, loss_of
from codec.train.loop import DECAY_FROM, WARM_UP, learning_rate_at, train
from codec.train.muon import Muon
from codec.train.symbol_counts import LARGEST, symbol_counts

CPU = torch.device("cpu")
TINY = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)

# ------------------------------------------------------------------ schedule and lambda


def test_learning_rate_warms_up_stays_and_falls_to_zero():
    rates = [learning_rate_at(i / 1000) for i in range(1001)]
    top = [i / 1000 for i, r in enumerate(rates) if r == 1]
    assert top[0] == pytest.approx(WARM_UP) and top[-1] == pytest.approx(DECAY_FROM)
    assert all(r == 1 for p, r in zip(range(1001), rates, strict=True) if WARM_UP <= p / 1000 <= DECAY_FROM)
    warm, rest = rates[: int(1000 * WARM_UP)], rates[int(1000 * WARM_UP) :]
    assert warm == sorted(warm) and rest == sorted(rest, reverse=True)
    assert 0 < rates[0] <= 0.01 and rates[-1] == 0 and max(rates) == 1
    assert learning_rate_at(1.5) == 0  # the last step may end after the budget
    middle = (1 + DECAY_FROM) / 2
    assert learning_rate_at(middle) == pytest.approx(0.5)


def test_level_lambda_runs_between_its_ends_evenly_in_its_logarithm():
    lam = level_lambda(torch.arange(1, 101, dtype=torch.float64))
    assert lam[0].item() == pytest.approx(LAMBDA_RANGE[0]) and lam[-1].item() == pytest.approx(LAMBDA_RANGE[1])
    steps = lam.log().diff()
    assert (steps > 0).all() and torch.allclose(steps, steps[:1].expand(99))


def test_loss_is_rate_and_distortion_weighted_by_quality():
    class Fixed(torch.nn.Module):
        def forward(self, x, q):
            return x + 0.1, torch.full((len(x),), 4096.0)

    x, q = torch.zeros(2, 3, 64, 32), torch.tensor([10.0, 90.0])
    loss, bpp, error = loss_of(Fixed(), x, q, {"mse": 1.0})
    assert bpp.tolist() == [2.0, 2.0] and error.tolist() == pytest.approx([255**2 * 0.01] * 2)
    lam, middle = level_lambda(q), level_lambda(torch.tensor(50.5))
    expected = ((middle / lam).sqrt() * (2.0 + lam * 255**2 * 0.01)).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_trained_rate_is_the_rate_of_the_tables():
    """What training minimises is what files cost: bits_of at integer symbols against the coder's own tables."""
    tables, rng = gaussian_tables(), np.random.default_rng(0)
    for index in (5, 20, 40, 60):
        scale = 0.11 * math.exp(index * math.log(256 / 0.11) / 63)
        symbols = np.rint(rng.normal(0, scale, 4000)).astype(np.int16)
        symbols = symbols[np.abs(symbols) < 4 * scale + 1]
        trained = bits_of(torch.from_numpy(symbols), torch.full(symbols.shape, float(index))).sum().item()
        real = cost_bits(*tables, symbols, np.full(symbols.shape, index)).sum()
        assert trained == pytest.approx(real, rel=0.02, abs=20), index


def test_training_chooses_the_encoders_symbols():
    """The nets must meet in training the zeros that the encoder's dead zones make."""
    zero, one = (cost_bits(*gaussian_tables(), np.full(64, symbol), np.arange(64)) for symbol in (0, 1))
    zones = torch.from_numpy((0.045 * (one - zero)).clip(0, 0.25)).float()
    model = Model(TINY)
    assert torch.allclose(model.dead_zones[1:], zones[1:], atol=2e-3)  # from Gaussians; the tables' have 14 bits
    assert model.dead_zones.max() == 0.25 and (model.dead_zones.diff() <= 1e-5).all()
    index = torch.tensor([0.0, 9.4, 9.6, 63.0, 99.0]).repeat_interleave(4)
    v = torch.tensor([0.5, -0.76, 1.49, -2.51]).repeat(5)
    inside = v.abs() <= 0.5 + model.dead_zones[[0, 9, 10, 63, 63]].repeat_interleave(4)
    assert torch.equal(model._quantise(v, index), torch.where(inside, 0.0, v.round()))


# ------------------------------------------------------------------ a run and its checkpoint


def started(seed=0, minutes=1.0, only=()) -> Run:
    run = Run(Options(minutes=minutes, batch=2, seed=seed, only=only), TINY)
    run.start([photos.photo(256, 256, seed=seed), photos.photo(270, 256, seed=seed + 1)])
    return run


def pixels(seed=0):
    return torch.from_numpy(np.stack([photos.photo(64, 64, seed=seed + i) for i in range(2)])).permute(0, 3, 1, 2)


def state_of(run: Run) -> dict[str, torch.Tensor]:
    out = {f"model.{k}": v for k, v in run.model.state_dict().items()} | {f"ema.{k}": v for k, v in run.ema.items()}
    for optimiser, names, _ in run.optimisers:
        for i, state in optimiser.state_dict()["state"].items():
            out |= {f"{key}.{names[i]}": v for key, v in state.items()}
    return {k: v.detach().clone() for k, v in out.items()}


def test_a_checkpoint_holds_everything_exactly_and_training_goes_on_as_if_never_stopped(tmp_path):
    run = started()
    for i in range(3):
        run.update(pixels(i), 1e-3)
    run.seconds = 12.5
    run.save(tmp_path / "c.safetensors")
    loaded = Run.load(tmp_path / "c.safetensors", Options(minutes=1.0, batch=2))
    assert (loaded.step, loaded.seconds, loaded.config) == (3, 12.5, TINY)
    before, after = state_of(run), state_of(loaded)
    assert before.keys() == after.keys() and len(before) > 100
    assert [k for k in before if not torch.equal(before[k], after[k])] == []
    for each in (run, loaded):
        torch.manual_seed(7)
        each.update(pixels(9), 5e-4)
    before, after = state_of(run), state_of(loaded)
    assert [k for k in before if not torch.equal(before[k], after[k])] == []
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_new_run_begins_with_the_average_and_with_the_nets_asked_for_anew(tmp_path):
    run = started()
    for i in range(3):
        run.update(pixels(i), 1e-3)
    run.save(tmp_path / "c.safetensors")
    new = Run.start_from(tmp_path / "c.safetensors", Options(minutes=1.0, batch=2, seed=9), anew=["synthesis"])
    assert (new.step, new.seconds, new.config) == (0, 0.0, TINY)
    scales = ("shortcut", "log_gain", "whiten")
    tensors = new.model.state_dict()
    kept = {k for k in run.ema if not k.startswith("synthesis.") or k.split(".")[1] in scales}
    assert all(torch.equal(tensors[k], run.ema[k]) for k in kept) and 0 < len(kept) < len(tensors)
    assert not any(tensors[f"synthesis.tail8.{k}"].any() for k in ("weight", "bias"))
    y = torch.randn(1, TINY.latents, 4, 4)
    linear = torch.nn.functional.pixel_shuffle(new.model.synthesis.shortcut(y), 16)
    assert torch.equal(new.model.synthesis(y, torch.tensor([50.0])), linear)  # the branch is silent
    new.update(pixels(5), 1e-3)


LARGER = replace(TINY, wide8=12, blocks8=2, wide16=10, blocks16=3, context=16)


@pytest.fixture
def larger(monkeypatch):
    monkeypatch.setitem(CONFIGS, "larger", LARGER)


def test_a_larger_model_begins_by_computing_what_the_smaller_one_does(tmp_path, larger):
    run = started()
    for i in range(3):
        run.update(pixels(i), 1e-3)
    run.save(tmp_path / "c.safetensors")
    grown = Run.start_from(tmp_path / "c.safetensors", Options(minutes=1.0, batch=2, config="larger"))
    assert grown.config == LARGER
    x, q = pixels(7) / 255, torch.tensor([20.0, 80.0])
    with torch.no_grad():
        for a, b in zip(run.averaged_model()(x, q), grown.averaged_model()(x, q), strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_model_file_is_trained_further(tmp_path):
    run = started()
    for i in range(3):
        run.update(pixels(i), 1e-3)
    model = run.averaged_model()
    export.save(tmp_path / "m.safetensors", model)
    further = Run.start_from(tmp_path / "m.safetensors", Options(minutes=1.0, batch=2))
    assert further.config == TINY
    x, q = pixels(7) / 255, torch.tensor([20.0, 80.0])
    with torch.no_grad():
        for a, b in zip(model(x, q), further.averaged_model()(x, q), strict=True):
            assert abs(float(a.mean() / b.mean()) - 1) < 0.01
            assert float((a - b).square().mean()) < 1e-4 * float(a.square().mean())
    export.save(tmp_path / "again.safetensors", further.averaged_model())
    before, after = load_file(tmp_path / "m.safetensors"), load_file(tmp_path / "again.safetensors")
    same = [k for k in before if k.startswith(("levels", "tables.")) or k.endswith(".fraction")]
    assert all(torch.equal(before[k], after[k]) for k in same) and len(same) > 20
    weights = [k for k in before if k.endswith(".weight")]
    assert {k.split(".")[0] for k in weights} == {"analysis", "hyper_analysis", "synthesis", "entropy"}
    for k in weights:
        scales = (2.0 ** -t[k.replace("weight", "shift")].double()[:, None, None, None] for t in (before, after))
        assert torch.equal(*(t[k] * scale for t, scale in zip((before, after), scales, strict=True))), k
    for k in (k for k in before if k.endswith(("table", "step", "hyper_index"))):
        assert (before[k].int() - after[k].int()).abs().max() <= 1, k
    further.update(pixels(), 1e-3)


def test_what_is_new_in_a_larger_model_learns(tmp_path, larger):
    run = started()
    run.update(pixels(), 1e-3)
    run.save(tmp_path / "c.safetensors")
    grown = Run.start_from(tmp_path / "c.safetensors", Options(minutes=1.0, batch=2, config="larger"))
    before = state_of(grown)
    for i in range(6):  # what follows a layer of zeros learns once that has begun to, and moves every second time
        grown.update(pixels(i), 1e-3)
    after = state_of(grown)
    assert [
        k for k in before if k.startswith("model.") and "whiten" not in k and torch.equal(before[k], after[k])
    ] == []


def test_new_latents_tell_what_the_old_ones_cannot(tmp_path, monkeypatch):
    run = started()
    run.update(pixels(), 1e-3)
    run.save(tmp_path / "c.safetensors")
    monkeypatch.setitem(CONFIGS, "finer", replace(TINY, latents=24))
    images = [photos.photo(256, 256, seed=i) for i in range(2)]
    finer = Run.start_from(tmp_path / "c.safetensors", Options(minutes=1.0, config="finer"))
    finer.start(images)
    analysis, synthesis = (
        net.shortcut.weight.detach()[..., 0, 0] for net in (finer.model.analysis, finer.model.synthesis)
    )
    state = finer.model.state_dict()
    for name, old in run.ema.items():
        assert torch.equal(state[name][tuple(slice(n) for n in old.shape)], old), name
    assert torch.allclose(synthesis[:, :8].T @ synthesis[:, 8:], torch.zeros(8, 16), atol=1e-5)
    assert torch.allclose(analysis[8:] @ synthesis[:, 8:], torch.eye(16), atol=1e-4)
    x, q = pixels(7) / 255, torch.tensor([60.0, 95.0])
    with torch.no_grad():
        before, after = ((r.averaged_model()(x, q)[0] - x).square().mean() for r in (run, finer))
    assert after < 0.7 * before
    finer.update(pixels(), 1e-3)


def test_a_model_does_not_grow_into_a_smaller_or_another_one(tmp_path, monkeypatch):
    run = started()
    run.update(pixels(), 1e-3)
    run.save(tmp_path / "c.safetensors")
    for change in ({"wide8": 7}, {"blocks16": 0}, {"latents": 4}, {"hyper": 8}, {"steps": 4}):
        monkeypatch.setitem(CONFIGS, "other", replace(TINY, **change))
        with pytest.raises(ModelError, match="cannot grow into other"):
            Run.start_from(tmp_path / "c.safetensors", Options(minutes=1.0, config="other"))


def test_only_the_nets_named_are_trained_and_their_checkpoints_resume(tmp_path):
    run = started(only=("synthesis",))
    before = state_of(run)
    for i in range(3):
        run.update(pixels(i), 1e-3)
    after = state_of(run)
    moved = {k for k in before if k.startswith("model.") and not torch.equal(before[k], after[k])}
    assert moved and all(k.startswith("model.synthesis.") for k in moved)
    run.save(tmp_path / "c.safetensors")
    loaded = Run.load(tmp_path / "c.safetensors", replace(run.options, only=()))
    for each in (run, loaded):
        torch.manual_seed(7)
        each.update(pixels(9), 5e-4)
    before, after = state_of(run), state_of(loaded)
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    with pytest.raises(ValueError, match="only entropy: .*c.safetensors is of a run for synthesis"):
        Run.load(tmp_path / "c.safetensors", replace(run.options, only=("entropy",)))


def test_branches_learn_by_muon_and_shortcuts_slowly():
    run = started()
    (adam, others, _), (slow, shortcuts, _), (muon, matrices, _) = run.optimisers
    assert all(isinstance(o, torch.optim.AdamW) for o in (adam, slow)) and isinstance(muon, Muon)
    run.update(pixels(), 1e-3)
    assert [o.param_groups[0]["lr"] for o in (adam, slow, muon)] == pytest.approx([1e-3, 1e-4, 1e-3])
    assert all(n.startswith(("analysis.", "synthesis.")) and "shortcut" not in n for n in matrices)
    assert {"analysis.head8.weight", "synthesis.tail8.weight", "synthesis.body16.0.mix_in.weight"} <= set(matrices)
    assert sorted(shortcuts) == [f"{t}.shortcut.{k}" for t in ("analysis", "synthesis") for k in ("bias", "weight")]
    assert {"analysis.body8.0.space.weight", "synthesis.log_gain.knots", "entropy.up2.weight"} <= set(others)
    assert sorted(others + shortcuts + matrices) == sorted(name for name, _ in Model(TINY).named_parameters())


def test_the_checkpoint_is_safetensors_with_the_clock_in_its_metadata(tmp_path):
    from safetensors import safe_open

    run = started()
    run.update(pixels(), 1e-3)
    run.save(tmp_path / "c.safetensors")
    with safe_open(tmp_path / "c.safetensors", "pt") as f:
        meta = json.loads(f.metadata()["aec_checkpoint"])
    told = {"tune": "mse", "shares": {"mse": 1.0}, "only": [], "streamed": False}
    assert meta == {"step": 1, "seconds": 0.0, "config": asdict(TINY)} | told


@pytest.mark.parametrize("content", [b"", b"text", bytes(100)])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an aec training checkpoint"):
        Run.load(path, Options(minutes=1.0))


def test_a_blend_lies_between_two_models(tmp_path):
    states = []
    for seed in (0, 1):
        run = started(seed)
        run.update(pixels(seed), 1e-3)
        run.save(tmp_path / f"{seed}.safetensors")
        states.append(run.ema)
    blend = (tmp_path / "1.safetensors", 0.25)
    mixed = Run.start_from(tmp_path / "0.safetensors", Options(minutes=1.0, batch=2), blend=blend)
    for name, value in mixed.model.state_dict().items():
        assert torch.allclose(value, torch.lerp(states[0][name], states[1][name], 0.25))
    export.save(tmp_path / "other.safetensors", Model(replace(TINY, blocks8=2)))
    with pytest.raises(ModelError, match=r"other.safetensors: its configuration is .*blocks8=2.* that of .*blocks8=1"):
        Run.start_from(tmp_path / "0.safetensors", Options(1.0), blend=(tmp_path / "other.safetensors", 0.5))


def test_one_step_moves_every_weight_and_the_average_follows():
    run = started()
    before = state_of(run)
    first = run.update(pixels(), 1e-3)
    for i in range(4):
        run.update(pixels(i), 1e-3)
    after = state_of(run)
    assert torch.isfinite(first).all() and first.shape == (3,)
    names = [n for n, p in run.model.named_parameters() if p.requires_grad]
    # Fresh blocks are the identity, so on the first steps nothing flows into the layers before their zero weights.
    moved = [n for n in names if not torch.equal(before[f"model.{n}"], after[f"model.{n}"])]
    assert set(moved) >= {n for n in names if n.endswith("mix_out.weight") or "shortcut" in n}
    assert len(moved) > 0.9 * len(names)
    for n in moved:
        assert not torch.equal(before[f"ema.{n}"], after[f"ema.{n}"])
        assert (after[f"ema.{n}"] - before[f"ema.{n}"]).abs().max() < (
            after[f"model.{n}"] - before[f"model.{n}"]
        ).abs().max()


def test_a_step_with_gradients_that_are_not_numbers_changes_no_weight(monkeypatch):
    from codec.train import codec_run as training

    run = started()
    before = {n: p.detach().clone() for n, p in run.model.named_parameters()}
    monkeypatch.setattr(
        training,
        "loss_of",
        lambda model, x, q, shares: (sum(p.sum() for p in model.parameters()) * math.nan, torch.ones(2), torch.ones(2)),
    )
    run.update(pixels(), 1e-3)
    assert all(torch.equal(before[n], p.detach()) for n, p in run.model.named_parameters())


def test_training_stops_at_its_budget_and_leaves_a_checkpoint(tmp_path, monkeypatch):
    ticks = itertools.count()  # every step takes as long, however busy the machine is
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 16))
    run = started(minutes=0.5 / 60)
    images = [photos.photo(256, 256, seed=i) for i in range(2)]
    run.images = images
    train(run, tmp_path / "c.safetensors", lambda line: None)
    assert run.step >= 1 and 0 < run.seconds < 10  # to half a step: test_cli_train says so by a clock of its own
    again = Run.load(tmp_path / "c.safetensors", Options(minutes=0.5 / 60, batch=2))
    again.images = images
    train(again, tmp_path / "c.safetensors", lambda line: None)
    assert again.step == run.step  # the budget is the total


def test_an_interrupted_training_leaves_a_checkpoint(tmp_path, monkeypatch):
    run = started()
    step = run.update

    def update(pixels, rate):
        if run.step == 2:
            raise KeyboardInterrupt
        return step(pixels, rate)

    monkeypatch.setattr(run, "update", update)
    run.images = [photos.photo(256, 256)]
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path / "c.safetensors", lambda line: None)
    assert Run.load(tmp_path / "c.safetensors", Options(minutes=1.0)).step == 2


def test_a_fresh_model_is_already_a_codec():
    """init_from_patches: PCA, so one look at the data gives pictures back without a step of training."""
    run = Run(
        Options(minutes=1.0), Config(latents=64, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=4)
    )
    images = [photos.photo(256, 256, seed=i) for i in range(4)]
    run.start(images)
    x = torch.from_numpy(images[0]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        x_hat, bits = run.model(x, torch.tensor([60.0]))
    assert -10 * math.log10((x_hat - x).square().mean().item()) > 22
    assert 0.01 < bits.item() / 256**2 < 24


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_has_what_the_networks_need(name):
    config = CONFIGS[name]
    assert config.latents % config.steps == 0 and config.steps in (2, 4)
    with torch.device("meta"):
        model = Model(config)
    parameters = sum(p.numel() for p in model.parameters())
    assert 1e6 < parameters < 1e8
    assert model.entropy.steps[0].from_latents is None and len(model.entropy.steps) == config.steps
    assert INDEX_COUNT == 64


def test_counts_are_of_the_symbols_that_the_encoder_writes(tmp_path):
    model = Model(TINY)
    model.init_from_patches(torch.randn(2000, 768).cumsum(1) / 100)
    export.save(tmp_path / "m.safetensors", model)
    codec = torch_codec.load(tmp_path / "m.safetensors", CPU)
    images = [photos.photo(256, 300, seed=i) for i in range(2)]
    counts = symbol_counts(codec, images, crops=3)
    per_crop = 16 * 16 * TINY.latents + 4 * 4 * TINY.hyper
    assert counts.sum() == 3 * per_crop and counts.shape == (INDEX_COUNT, 2 * LARGEST + 1)
    assert np.array_equal(counts, symbol_counts(codec, images, crops=3))
    assert counts[0, LARGEST] == counts[0].sum()  # index 0 is surely zero: no other symbol is ever chosen
    export.save(tmp_path / "fitted.safetensors", model, counts)
    fitted = load_file(tmp_path / "fitted.safetensors")
    assert torch.equal(fitted["tables.freqs"], torch.from_numpy(fitted_tables(counts)[0]))
    assert model_file.load(tmp_path / "fitted.safetensors").id != codec.id  # other tables, another model

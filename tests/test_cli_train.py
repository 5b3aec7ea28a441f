"""`aec train`: models that decode what they encode, and hours of work that nothing overwrites."""

import re
from functools import partial
from pathlib import Path

import photos
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shell import files, here

import codec
from codec.cli import arguments, parser
from codec.coding import model_file
from codec.coding.model_config import CONFIGS, TUNES
from codec.nets import calibration, losses, torch_codec
from codec.train import command, figures, loop
from codec.train.checkpoints import checkpoint_path
from codec.train.codec_run import Options, Run
from codec.train.quality_levels import EVEN_LEVELS


@pytest.fixture
def quick_export(monkeypatch):
    """Fits to a few pictures what a training fits to many, which takes most of the time of one that is short."""
    pictures = calibration.synthetic_pictures()[:2]
    monkeypatch.setattr(calibration, "synthetic_pictures", lambda: pictures)
    monkeypatch.setattr(command, "symbol_counts", partial(command.symbol_counts, crops=8))


def test_train_does_not_overwrite_a_checkpoint_unless_told(tmp_path, capsys):
    (tmp_path / "m.checkpoint.safetensors").write_bytes(b"hours of work")
    assert here("train", tmp_path, "-o", tmp_path / "m.safetensors", "--minutes", 1) == 7
    assert "--resume" in capsys.readouterr().err
    assert (tmp_path / "m.checkpoint.safetensors").read_bytes() == b"hours of work"
    assert here("train", tmp_path, "-o", tmp_path / "m", "--minutes", 1) == 2
    (tmp_path / "other.checkpoint.safetensors").write_bytes(b"of another run")
    resume = ("--resume", tmp_path / "other.checkpoint.safetensors")
    assert here("train", tmp_path, "-o", tmp_path / "m.safetensors", "--minutes", 1, *resume) == 7
    assert (tmp_path / "m.checkpoint.safetensors").read_bytes() == b"hours of work"


def test_train_makes_a_model_that_decodes_what_it_encodes_and_goes_on_from_its_checkpoint(
    tmp_path, quick_export, capsys
):
    data = tmp_path / "data"
    data.mkdir()
    for i in range(2):
        Image.fromarray(photos.photo(256, 272, seed=i)).save(data / f"{i}.png")
    (data / "broken.png").write_bytes(b"broken")
    Image.fromarray(photos.photo(100, 300)).save(data / "small.png")
    model, checkpoint = tmp_path / "models" / "mine.safetensors", tmp_path / "models" / "mine.checkpoint.safetensors"
    options = ["--config", "small", "--batch", 2, "--device", "cpu"]
    assert here("train", data, "-o", model, "--minutes", 0.03, "--keep-checkpoint", *options) == 0
    said = capsys.readouterr().err
    assert (
        "left out 2: broken.png" in said
        and "smaller than 256" in said
        and "held out: 1 images" in said
        and "before:" not in said
    )
    assert files(tmp_path / "models") == {"mine.safetensors", "mine.checkpoint.safetensors"}

    image = photos.photo(70, 50, seed=9)
    packed = codec.encode(image, 80, model=model)
    assert codec.inspect(packed).model_id == model_file.load(model).id
    assert photos.psnr(codec.decode(packed, model=model, output="numpy"), image) > 15
    (tmp_path / "x.aec").write_bytes(packed)
    assert here("decompress", tmp_path / "x.aec") == 6
    assert here("decompress", tmp_path / "x.aec", "--model", model) == 0

    capsys.readouterr()
    assert here("train", data, "-o", model, "--minutes", 0.05, "--resume", checkpoint, "--quiet", *options) == 0
    assert capsys.readouterr().err == ""
    assert codec.decode(codec.encode(image, model=model), model=model).size == (50, 70)

    tuned = tmp_path / "models" / "tuned.safetensors"
    assert here("train", data, "-o", tuned, "--minutes", 0.002, "--init", model, "--batch", 2) == 0
    assert files(tmp_path / "models") == {
        "mine.safetensors",
        "mine.checkpoint.safetensors",
        "tuned.safetensors",
    }
    said = capsys.readouterr().err
    assert re.search(r"each minute a checkpoint of some \d+ MB is written to .*, which is removed when", said)
    assert said.count("  before: 1 images  q ") == said.count("held out: 1 images  q ") == 6
    assert codec.decode(codec.encode(image, model=tuned), model=tuned).size == (50, 70)

    assert here("train", data, "-o", model, "--minutes", 0.01, *options) == 7
    assert "exists already" in capsys.readouterr().err


def test_a_model_tuned_for_ms_ssim_says_so_and_its_symbols_are_not_refined(tmp_path, quick_export, capsys):
    for i in range(2):
        Image.fromarray(photos.photo(256, 256, seed=i)).save(tmp_path / f"{i}.png")
    model, options = tmp_path / "m.safetensors", ["--config", "small", "--batch", 4, "--device", "cpu"]
    options.append("--keep-checkpoint")
    assert here("train", tmp_path, "-o", model, "--minutes", 0.002, "--tune", "ms-ssim", *options) == 0
    scores = r"q  40  .* bpp  SSIMULACRA 2 -?\d+\.\d\d  MS-SSIM 0\.\d{4}  PSNR \d+\.\d\d\n"
    assert re.search(scores, capsys.readouterr().err)
    assert model_file.load(model).tune == "ms-ssim"
    plain, zeros, thorough = (codec.encode(photos.photo(64, 80), 60, effort=e, model=model) for e in (1, 2, 9))
    assert zeros == thorough and len(zeros) < len(plain)
    for further in (Run.load(checkpoint_path(model), Options(1)), Run.start_from(model, Options(1))):
        assert further.tune == "ms-ssim"
    assert Run.start_from(checkpoint_path(model), Options(1, tune="mse")).tune == "mse"
    with pytest.raises(ValueError, match="tune 'mse': .* is of a run for 'ms-ssim'"):
        Run.load(checkpoint_path(model), Options(1, tune="mse"))


def test_no_minutes_fit_tables_and_qualities_and_train_nothing(tmp_path, tiny_model):
    for i in range(2):
        Image.fromarray(photos.photo(256, 256, seed=i)).save(tmp_path / f"{i}.png")
    fitted = tmp_path / "fitted.safetensors"
    assert here("train", tmp_path, "-o", fitted, "--minutes", 0, "--init", tiny_model[0], "--quiet") == 0
    before, after = (torch_codec.load(path, torch.device("cpu")) for path in (tiny_model[0], fitted))
    for net in ("analysis", "hyper_analysis", "synthesis"):
        ours, theirs = (model.integers[net].state_dict() for model in (before, after))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(after.levels, EVEN_LEVELS) and (after.levels.diff() > 0).all()
    assert not checkpoint_path(fitted).exists()


def test_a_mixture_of_its_own_can_be_trained_for_and_is_gone_on_with(tmp_path, quick_export, tiny_model):
    for i in range(2):
        Image.fromarray(photos.photo(256, 256, seed=i)).save(tmp_path / f"{i}.png")
    model = tmp_path / "m.safetensors"
    options = ["--init", tiny_model[0], "--tune", "eye", "--shares", "mse=0.4,ssimulacra2=0.6", "--batch", 4, "--quiet"]
    options.append("--keep-checkpoint")
    assert here("train", tmp_path, "-o", model, "--minutes", 0.002, *options) == 0
    assert model_file.load(model).tune == "eye"
    assert Run.load(checkpoint_path(model), Options(1)).shares == {"mse": 0.4, "ssimulacra2": 0.6}
    with pytest.raises(ValueError, match="shares {'mse': 1.0}: .* is of a run for {'mse': 0.4, 'ssimulacra2': 0.6}"):
        Run.load(checkpoint_path(model), Options(1, shares={"mse": 1.0}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shares", "mse=0.5,lpips=0.5"], "'lpips=0.5': NAME=SHARE, where NAME is one of mse, ms-ssim, ssimulacra2"),
        (["--shares", "mse=0"], "'mse=0': the share must be a number above 0"),
        (["--shares", "mse="], "'mse=': the share must be a number"),
        (["--shares", "mse=0.5,mse=0.5"], "mse is there twice"),
        (["--shares", "mse=0.5,ms-ssim=1"], "the shares are 1.5 together, and must be 1"),
        (["--minutes", "0"], "--minutes 0 needs --init or --resume"),
        (["--minutes", "-1"], "-1: must be a number, at least 0"),
        (["--blend", "psnr", "0.5"], "--blend needs --init"),
        (["--init", "psnr", "--blend", "psnr", "1.5"], "share '1.5': a number from 0"),
        (["--init", "psnr", "--blend", "psnr", "half"], "share 'half': a number from 0"),
    ],
)
def test_mixtures_that_make_no_sense_are_usage_errors(options, words, tmp_path, capsys):
    assert here("train", tmp_path, "-o", tmp_path / "m.safetensors", "--minutes", 1, *options) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("seconds_a_step", "steps"), [(10, 6), (25, 2), (45, 1), (300, 1)])
def test_a_budget_is_held_to_whatever_a_step_takes(seconds_a_step, steps, monkeypatch, tmp_path):
    """To half a step, and one is made at least."""
    clock = [0.0]

    def update(self, pixels, learning_rate):
        clock[0] += seconds_a_step
        self.step += 1
        return torch.zeros(3)

    monkeypatch.setattr(Run, "update", update)
    monkeypatch.setattr(Run, "save", lambda self, path: None)
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    run = Run(Options(1), CONFIGS["small"])
    run.place()
    run.images = [photos.photo(256, 256)]
    loop.train(run, tmp_path / "x", lambda line: None)
    assert run.step == steps and run.seconds == steps * seconds_a_step


@given(st.floats(0.5, 2), st.lists(st.tuples(st.floats(0.1, 4), st.floats(1, 20)), min_size=2, max_size=8))
def test_what_a_run_bought_is_told_in_bits_at_equal_scores(share, points):
    score, curve, cheaper = 0.0, {}, {}
    for i, (bits, step) in enumerate(points):
        score += step
        bpp = (i + 1) * bits
        curve[i], cheaper[i] = {"bpp": bpp, "PSNR": score}, {"bpp": share * bpp, "PSNR": score}
    assert figures.bits_at_equal("PSNR", cheaper, curve) == pytest.approx(share - 1, abs=1e-9)
    assert figures.bits_at_equal("MS-SSIM", cheaper, curve) is None
    apart = {i: {"bpp": row["bpp"], "PSNR": row["PSNR"] + 1000} for i, row in curve.items()}
    assert figures.bits_at_equal("PSNR", apart, curve) is None


def test_the_measures_that_shares_name_are_those_of_the_losses():
    assert arguments.MEASURES == tuple(losses.MEASURES)


@pytest.mark.parametrize("tune", TUNES)
def test_every_distortion_can_be_asked_for(tune):
    arguments = ["train", "data", "-o", "m.safetensors", "--minutes", "1", "--tune", tune]
    assert parser.make_parser().parse_args(arguments).tune == tune


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_can_be_asked_for(name):
    arguments = ["train", "data", "-o", "m.safetensors", "--minutes", "1", "--config", name]
    assert parser.make_parser().parse_args(arguments).config == name


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["absent"], 3, "absent"),
        (["notes"], 3, "no usable image"),
        (["one"], 3, "one image only"),
        (["bad.tar"], 3, "bad.tar"),
        (["notes", "--resume", "notes/a.txt"], 6, "not an aec training checkpoint"),
        (["notes", "--init", "notes/a.txt"], 6, "not an aec training checkpoint"),
        (["two", "--init", "one"], 6, "no model 'one'"),
        (["notes", "--init", "psnr", "--config", "small"], 6, "cannot grow into small"),
    ],
)
def test_train_says_what_is_wrong_before_it_starts(arguments, code, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, n in (("notes", 0), ("one", 1), ("two", 2)):
        Path(name).mkdir()
        for i in range(n):
            Image.fromarray(photos.photo(256, 256, seed=i)).save(f"{name}/{i}.png")
    Path("notes/a.txt").write_text("hello")
    Path("bad.tar").write_bytes(b"not a tar")
    assert here("train", *arguments, "-o", "m.safetensors", "--minutes", 0.01, "--device", "cpu") == code
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err
    assert not Path("m.safetensors").exists()

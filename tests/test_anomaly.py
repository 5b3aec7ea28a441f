"""`aec anomaly` and `aec sheet`: unusual pictures come first, and a bad one costs a message."""

import json

import numpy as np
import pytest
from bench_package import module
from PIL import Image
from shell import here

from codec.family import MEMBERS
from codec.small import anomaly, sheet
from codec.train import small_export


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model and pictures, 12 high and 8 wide, to which its tables are fitted."""
    folder = tmp_path_factory.mktemp("small")
    pictures = np.random.default_rng(0).integers(0, 60, (64, 12, 8, 1)).astype(np.uint8)
    np.save(folder / "usual.npy", pictures)
    small_export.save(folder / "m.safetensors", MEMBERS["linear"]((1, 12, 8), 6), "linear", pictures)
    return folder


def test_the_odd_picture_is_first_and_a_bad_one_costs_a_row(model, tmp_path, capsys):
    Image.fromarray(np.full((12, 8), 255, np.uint8)).save(tmp_path / "odd.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    files = (model / "usual.npy", tmp_path / "bad.png", tmp_path / "odd.png")
    args = ("anomaly", "--model", model / "m.safetensors", *files, "--json", "--top", 2, "--maps", tmp_path / "maps")
    assert here(*args) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows] == ["failed", "done", "done"]
    assert rows[1]["picture"].endswith("odd.png") and Image.open(rows[1]["map"]).size == (320, 240)


def test_a_sheet_is_written_as_a_picture_and_as_a_page(model, tmp_path, capsys):
    for name in ("s.png", "s.html"):
        assert here("sheet", model / "m.safetensors", model / "usual.npy", "-o", tmp_path / name) == 0
    assert "64 pictures, 6 latents" in capsys.readouterr().err
    assert Image.open(tmp_path / "s.png").size == (4 + 16 * 60, 4 + 4 * 88)
    page = (tmp_path / "s.html").read_text()
    assert "<th>latent</th>" in page and "default-src 'none'" in page


def test_latents_are_laid_out_in_whole_rows():
    assert sheet.grid(np.zeros((2, 32))).shape == (2, 8, 4)
    assert sheet.grid(np.zeros((2, 8, 7, 7))).shape == (2, 28, 14)


def test_auc_and_the_length_of_a_description():
    assert module("anomaly").auc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 0.875
    scores = anomaly.Scores(np.array([0.02]), np.array([5.0]), 10)
    assert np.allclose(scores.lengths(0.01), 5 + 10 / np.log(2))

"""A quality means a score."""

import numpy as np
import photos
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.coding import model_search
from codec.coding.model_config import MAX_LEVEL
from codec.nets import calibration, torch_codec
from codec.picture.ssimulacra2 import ssimulacra2
from codec.train import export
from codec.train.quality_levels import EVEN_LEVELS, LEAST_SLOPE, MEASURED, calibrated_levels, levels_for

AT = EVEN_LEVELS.numpy()[np.array(MEASURED) - 1]


def test_levels_are_those_at_which_the_scores_are_the_qualities():
    scores = 100 - 120 * np.exp(-AT / 40)  # -17 .. 92.7
    levels = levels_for(scores, AT)
    for q in (30, 50, 70, 90):
        assert np.interp(levels[q - 1], AT, scores) == pytest.approx(q, abs=0.5)


@given(st.lists(st.floats(-100, 100), min_size=len(AT), max_size=len(AT)))
def test_levels_rise_from_end_to_end_whatever_was_measured(scores):
    levels = levels_for(np.array(scores), AT)
    assert levels.dtype == torch.float32 and levels.shape == (100,)
    assert levels[0] == 1 and levels[-1] == MAX_LEVEL and (levels.diff() > 0.99 * LEAST_SLOPE).all()


def test_pictures_that_have_no_score_leave_the_levels_even(shipped):
    assert torch.equal(calibrated_levels(shipped, [photos.photo(7, 100)]), EVEN_LEVELS)


def test_a_calibrated_model_has_its_qualities_scores_on_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "synthetic_pictures", list)  # it is for its own picture alone
    image = photos.astronaut()[:128, 128:320]
    model = export.float_model(model_search.find(None))
    largest = export.calibration(model, EVEN_LEVELS, [image])
    export.save(tmp_path / "even.safetensors", model, None, "eye", EVEN_LEVELS, largest)
    even = torch_codec.load(tmp_path / "even.safetensors", torch.device("cpu"))
    levels = calibrated_levels(even, [image])
    export.save(tmp_path / "calibrated.safetensors", model, None, "eye", levels, largest)
    import codec

    for q in (50, 70):
        decoded = codec.decode(
            codec.encode(image, q, model=tmp_path / "calibrated.safetensors"),
            model=tmp_path / "calibrated.safetensors",
            output="numpy",
        )
        assert ssimulacra2(image, decoded) == pytest.approx(q, abs=3)

"""The viewer's pictures: the versions of about the size of aec's file."""

from dataclasses import replace

import numpy as np
import pytest
from bench_package import module, picture
from PIL import Image
from test_bench_measure import JPEG, conditions, encode_small_ones, measured

codecs, measure, pictures = map(module, ("codecs", "measure", "pictures"))
WEBP = codecs.make_codec("webp")
RATES = (0.25, 0.5, 1.0)


def encode_as_aec(image, quality):
    """No need of a model here: JPEG, between the qualities of the rivals."""
    return JPEG.encode(image, quality // 2 + 5)


OURS = codecs.Codec("aec+e=1", (10, 50, 100), encode_as_aec, JPEG.decode, JPEG.about, JPEG.missing, JPEG.resident)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(sources, conditions, rows) of two pictures of one set, and one of another."""
    folder = tmp_path_factory.mktemp("pictures")
    sources = []
    for image_set, name, seed in (("a", "0.png", 0), ("a", "1.png", 1), ("b", "0.png", 2)):
        path = folder / f"{image_set}{name}"
        Image.fromarray(picture(96, 120, seed)).save(path)
        sources.append(measure.Picture(image_set, name, path))
    wanted = conditions(WEBP, OURS, JPEG, qualities=(5, 20, 60, 95), metrics=("psnr",))
    points, failures = measured(sources, wanted)
    assert not failures
    return sources, wanted, [point.row for point in points]


def test_rivals_are_the_largest_that_are_not_above_aec(made):
    (shown, *_) = pictures.make_pictures(*made, per_set=1, rates=RATES, side=0)
    original = picture(96, 120, 0)
    assert np.array_equal(shown.original, original)
    ours = [version for version in shown.versions if version.codec == "aec+e=1"]
    assert 1 <= len(ours) <= 3 and {v.codec for v in shown.versions} == {"webp", "aec+e=1", "jpeg"}
    for codec in (JPEG, WEBP):
        sizes = {v.quality: v.n_bytes for v in shown.versions if v.codec == codec.name}
        for limit in (version.n_bytes for version in ours):
            best = max(size for size in sizes.values() if size <= limit)
            (quality,) = (q for q, size in sizes.items() if size == best)
            assert len(codec.encode(original, quality + 1)) > limit  # one more would be too much
            assert best > 0.85 * limit
    for version in shown.versions:
        codec = {"jpeg": JPEG, "webp": WEBP, "aec+e=1": OURS}[version.codec]
        data = codec.encode(original, version.quality)
        assert version.n_bytes == len(data) and np.array_equal(version.pixels, codec.decode(data))
        mse = ((original.astype(float) - version.pixels) ** 2).mean()
        assert version.figures["psnr"] == pytest.approx(10 * np.log10(255**2 / mse))


def test_slow_codecs_keep_to_the_measured_qualities(made, monkeypatch):
    monkeypatch.setattr(pictures, "SLOW_S", 0)
    (shown, *_) = pictures.make_pictures(*made, per_set=1, rates=RATES, side=0)
    assert {v.quality for v in shown.versions if v.codec == "jpeg"} <= {5, 20, 60, 95}


def test_so_many_of_each_set_scaled_down_to_the_side(made):
    shown = pictures.make_pictures(*made, per_set=1, rates=RATES, side=60)
    assert [(p.set, p.name) for p in shown] == [("a", "0.png"), ("b", "0.png")]
    for p in shown:
        assert {x.pixels.shape for x in p.versions} | {p.original.shape} == {(48, 60, 3)}
    assert len(pictures.make_pictures(*made, per_set=5, rates=RATES, side=60)) == 3


def test_without_aec_there_are_none(made):
    sources, wanted, rows = made
    others = [row for row in rows if row["codec"] != "aec+e=1"]
    assert pictures.make_pictures(sources, wanted, others, 2, RATES, 0) == []


def test_a_codec_that_failed_on_the_picture_is_not_shown(tmp_path):
    path = tmp_path / "0.png"
    Image.fromarray(picture(64, 33)).save(path)
    source = measure.Picture("a", "0.png", path)
    picky = codecs.Codec("picky", (5,), encode_small_ones, JPEG.decode, JPEG.about, JPEG.missing, JPEG.resident)
    wanted = conditions(picky, OURS, qualities=(20, 95))
    points, failures = measured([source], wanted)
    assert len(failures) == 1
    (shown,) = pictures.make_pictures([source], wanted, [point.row for point in points], 1, RATES, 0)
    assert {version.codec for version in shown.versions} == {"aec+e=1"}


def test_a_codec_that_fails_between_the_measured_qualities_costs_only_itself(made, capsys):
    sources, wanted, rows = made

    def encode(image, quality):
        if quality not in (5, 20, 60, 95):
            raise RuntimeError("odd quality")
        return JPEG.encode(image, quality)

    entrants = tuple(
        replace(entrant, codec=replace(JPEG, encode=encode)) if entrant.codec.name == "jpeg" else entrant
        for entrant in wanted.entrants
    )
    (shown,) = pictures.make_pictures(sources[:1], replace(wanted, entrants=entrants), rows, 1, RATES, 0)
    assert {version.codec for version in shown.versions} == {"webp", "aec+e=1"}
    assert "0.png: jpeg is not in the viewer: RuntimeError: odd quality" in capsys.readouterr().err

"""Targets: sizes are never exceeded and hardly undercut, PSNRs and scores are reached; what cannot be is said."""

import itertools
import math
from dataclasses import replace

import coded
import numpy as np
import photos
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codec import metrics
from codec.coding import decoder, engine, knob_search, model_search, targets, tiles
from codec.coding.targets import Target
from codec.picture.pixels import to_pixels
from codec.picture.samples import as_rgb
from codec.picture.ssimulacra2 import ssimulacra2

PICTURES = {
    "photo": lambda: photos.photo(150, 200),
    "gradient": lambda: photos.gradient(128, 160),
    "astronaut": lambda: photos.astronaut()[:192, 128:288],
    "gray": lambda: photos.photo(160, 130, seed=4)[..., 1].copy(),
}


def encoder(codec):
    return tiles.encoder_for(codec.path, "cpu")


def plain(codec, pixels, quality, effort=2, tile=1024):
    header = pixels.header(quality, codec.id, tile)
    return header, tiles.encode(encoder(codec), pixels, header, effort)


def size(header, payloads):
    any_encoder = tiles.encoder_for(model_search.find(None), "cpu")  # which matters only for a map of qualities
    return len(tiles.file(any_encoder, replace(header, alpha=False), payloads))


def reached(codec, pixels, header, payloads):
    return metrics.psnr(pixels.data, decoder.decode(codec.decoder, coded.read(codec, header, payloads)))


def score(codec, pixels, header, payloads):
    pair = pixels.data, decoder.decode(codec.decoder, coded.read(codec, header, payloads))
    return ssimulacra2(*map(as_rgb, pair))


def made(codec, pixels, effort, target):
    """What `targets.encode` gives, and how often it decoded all of the picture."""
    decoded, decode = [], decoder.decode

    def counted(reader, read, **options):
        decoded.append(read.header.width == pixels.width)
        return decode(reader, read, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "decode", counted)
        found = targets.encode(encoder(codec), pixels, pixels.header(1, codec.id), effort, target)
    return *found, sum(decoded)


@pytest.fixture(scope="module", params=["unrefined", "refined"])
def model(request, frozen_eye, frozen_psnr):
    """At effort 2 files of the one are of latents as the analysis gives them; of the other they are refined."""
    return frozen_eye if request.param == "unrefined" else frozen_psnr


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("bits_per_pixel", [0.35, 0.8, 1.9])
def test_a_size_is_not_exceeded_and_97_percent_of_it_are_used(frozen_eye, picture, bits_per_pixel):
    pixels = to_pixels(PICTURES[picture]())
    limit = int(bits_per_pixel * pixels.height * pixels.width / 8)
    header, payloads = targets.encode(
        encoder(frozen_eye), pixels, pixels.header(75, frozen_eye.id), 2, Target(bytes=limit)
    )
    if picture == "gradient" and header.quality == 100:
        assert payloads == plain(frozen_eye, pixels, 100)[1]  # nothing makes it larger
    assert 0.97 * limit <= size(header, payloads) <= limit or header.quality == 100
    assert decoder.decode(frozen_eye.decoder, coded.read(frozen_eye, header, payloads)).shape == pixels.data.shape


@settings(max_examples=12)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(60, 20000), st.sampled_from([0, 700]))
def test_no_file_is_larger_than_allowed_and_what_is_impossible_says_what_is_not(
    frozen_eye, width, height, limit, other
):
    pixels = to_pixels(photos.photo(height, width))
    header = pixels.header(50, frozen_eye.id, 64)
    try:
        header, payloads = targets.encode(encoder(frozen_eye), pixels, header, 2, Target(bytes=limit), other)
    except ValueError as e:
        least = int(str(e).split()[-1])
        assert least > limit
        header, payloads = targets.encode(encoder(frozen_eye), pixels, header, 2, Target(bytes=least), other)
        assert size(header, payloads) + other <= least
    else:
        assert size(header, payloads) + other <= limit


def test_a_size_above_the_best_quality_gets_the_best_quality(frozen_eye):
    pixels = to_pixels(photos.photo(80, 100))
    best = plain(frozen_eye, pixels, 100)
    assert targets.encode(encoder(frozen_eye), pixels, pixels.header(1, frozen_eye.id), 2, Target(bytes=10**6)) == best
    limit = size(*best)
    used = size(*targets.encode(encoder(frozen_eye), pixels, pixels.header(1, frozen_eye.id), 2, Target(bytes=limit)))
    assert 0.97 * limit <= used <= limit


def test_many_tiles_and_effort_share_the_size(frozen_psnr):
    pixels, limit, files = to_pixels(photos.astronaut()[:140, 128:328]), 4000, set()
    for effort in (1, 2, 3):
        header = pixels.header(75, frozen_psnr.id, 64)
        header, payloads = targets.encode(encoder(frozen_psnr), pixels, header, effort, Target(bytes=limit))
        assert len(payloads) == 12 and 0.97 * limit <= size(header, payloads) <= limit
        files.add(tuple(map(tuple, payloads)))
    assert len(files) == 3  # two of them refined


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("quality", [12, 70])
def test_a_psnr_is_reached_and_hardly_passed(model, picture, quality):
    pixels = to_pixels(PICTURES[picture]())
    wanted = reached(model, pixels, *plain(model, pixels, quality)) + 0.05
    header, payloads, _ = made(model, pixels, 2, Target(psnr=wanted))
    # Of the gradient's files, of 40 bytes and more, not one lies in each 0.2 dB.
    most = 0.6 if picture == "gradient" else 0.2
    assert wanted <= reached(model, pixels, header, payloads) <= wanted + most


def test_scores_are_reached_and_hardly_passed(model):
    """Files' scores jump: of one picture in eight here not one file lies within 0.7 points above what was asked for.
    Those of refined files jump farther, for the best of several tries is kept.
    """
    passed = {picture: [] for picture in PICTURES}
    for picture, quality in itertools.product(PICTURES, (25, 70)):
        pixels = to_pixels(PICTURES[picture]())
        wanted = score(model, pixels, *plain(model, pixels, quality)) + 0.2
        header, payloads, _ = made(model, pixels, 2, Target(ssimulacra2=wanted))
        passed[picture].append(score(model, pixels, header, payloads) - wanted)
    assert min(map(min, passed.values())) >= 0
    assert max(passed.pop("gradient")) <= 4  # its files have 40 bytes and more
    passed = sorted(itertools.chain(*passed.values()))
    assert passed[-2] <= 0.7 and passed[-1] <= (1.5 if model.tune == "eye" else 2)


@pytest.mark.parametrize("target", [Target(psnr=31), Target(psnr=37), Target(ssimulacra2=60), Target(ssimulacra2=80)])
def test_few_trials_are_decoded(model, target):
    pixels = to_pixels(photos.astronaut()[:192, 128:448])
    assert 1 <= made(model, pixels, 2, target)[2] <= 7


def test_a_score_out_of_reach_says_what_is_in_reach(frozen_eye):
    pixels = to_pixels(photos.photo(64, 64))
    with pytest.raises(ValueError, match=r"target of SSIMULACRA 2 99: this picture reaches at most (\d\d\.\d\d)") as e:
        targets.encode(encoder(frozen_eye), pixels, pixels.header(1, frozen_eye.id), 2, Target(ssimulacra2=99))
    best = score(frozen_eye, pixels, *plain(frozen_eye, pixels, 100))
    assert math.isclose(float(str(e.value).split()[-1]), best, abs_tol=0.005)
    header, payloads, _ = made(frozen_eye, pixels, 2, Target(ssimulacra2=best - 0.01))
    assert score(frozen_eye, pixels, header, payloads) >= best - 0.01


def test_pictures_with_a_side_below_8_have_no_score(frozen_eye):
    for height, width in ((7, 40), (40, 7)):
        pixels = to_pixels(photos.photo(height, width))
        with pytest.raises(targets.OutOfReach, match=rf"{width}x{height} has none; both sides must be at least 8"):
            targets.encode(encoder(frozen_eye), pixels, pixels.header(1, frozen_eye.id), 2, Target(ssimulacra2=1))
    pixels = to_pixels(photos.photo(8, 8))
    assert score(frozen_eye, pixels, *made(frozen_eye, pixels, 2, Target(ssimulacra2=20))[:2]) >= 20


def test_latents_are_of_a_level_near_that_of_each_trial(frozen_eye, monkeypatch):
    analysed, analyse = [], engine.Encoder.analyse

    def noted(self, task):
        analysed.append(float(frozen_eye.level(task.quality)))
        return analyse(self, task)

    monkeypatch.setattr(engine.Encoder, "analyse", noted)
    pixels = to_pixels(photos.photo(40, 50))
    task = targets._Task(encoder(frozen_eye), pixels, Target(ssimulacra2=50), 0, 1024)
    code = targets._coder(task, lambda: lambda share: None)
    for knob in (50.0, 50.2, 49.0, 70.0, 69.5, 99.0, knob_search.HIGHEST, knob_search.LOWEST, -5.0):
        code(knob)
        assert abs(analysed[-1] - task.level(knob)) <= targets.NEAR
    assert len(analysed) == 5 and analysed[3:] == [float(frozen_eye.level(100)), float(frozen_eye.level(1))]
    best = code(knob_search.HIGHEST)
    monkeypatch.undo()
    assert best == plain(frozen_eye, pixels, 100)[1]


def test_a_psnr_out_of_reach_says_what_is_in_reach(frozen_eye):
    pixels = to_pixels(photos.photo(64, 64))
    with pytest.raises(ValueError, match=r"target of 99 dB: this picture reaches at most (\d\d\.\d\d)") as e:
        targets.encode(encoder(frozen_eye), pixels, pixels.header(1, frozen_eye.id), 2, Target(psnr=99))
    best = reached(frozen_eye, pixels, *plain(frozen_eye, pixels, 100))
    assert math.isclose(float(str(e.value).split()[-1]), best, abs_tol=0.05)


def test_flat_pictures_have_targets_too(frozen_eye):
    """Whose PSNR jumps to infinity."""
    pixels = to_pixels(np.full((40, 50, 3), 77, np.uint8))
    aims = [Target(psnr=60), Target(psnr=300), Target(bytes=60), Target(bytes=10**5)]
    for target in (*aims, Target(ssimulacra2=50), Target(ssimulacra2=100)):
        try:
            header, payloads = targets.encode(encoder(frozen_eye), pixels, pixels.header(90, frozen_eye.id), 2, target)
        except ValueError as e:
            assert "this picture" in str(e)
        else:
            assert reached(frozen_eye, pixels, header, payloads) >= (target.psnr or 0)
            assert score(frozen_eye, pixels, header, payloads) >= (target.ssimulacra2 or 0)
            assert size(header, payloads) <= (target.bytes or math.inf)


@pytest.mark.parametrize("target", [Target(psnr=3), Target(ssimulacra2=0.01)])
def test_what_any_file_has_gets_the_smallest(frozen_eye, target):
    pixels = to_pixels(photos.gradient(64, 64))
    header, payloads = targets.encode(encoder(frozen_eye), pixels, pixels.header(90, frozen_eye.id), 2, target)
    assert header.quality == 1 and size(header, payloads) <= size(*plain(frozen_eye, pixels, 1))


def test_for_a_size_the_picture_is_analysed_once_or_twice_and_again_for_refined_files(model, monkeypatch):
    """Apart from a sample of an eighth of it; of refined files on average the first or second is right."""
    areas, by, latents = [], encoder(model), engine.Encoder.latents

    def counted(self, pixels, area, quality):
        areas.append(area.width * area.height)
        return latents(self, pixels, area, quality)

    monkeypatch.setattr(engine.Encoder, "latents", counted)
    pixels, sizes = to_pixels(photos.astronaut()[:256, :384]), (3000, 6000, 12000)
    for wanted in sizes:
        targets.encode(by, pixels, pixels.header(1, model.id), 2, Target(bytes=wanted))
    assert sum(areas) <= len(sizes) * (2.6 if model.tune == "eye" else 4.6) * 256 * 384


def test_a_whole_knob_is_the_plain_quality(frozen_eye):
    for quality in (1, 40, 100):
        tuned, got = targets._setting(encoder(frozen_eye), float(quality))
        assert got == quality and np.array_equal(tuned.dead_zones, frozen_eye.file.dead_zones)


def test_the_sample_is_made_of_pieces_of_the_picture():
    image = photos.photo(350, 450)
    task = targets._Task(None, to_pixels(image), Target(bytes=1), 0, 1024)
    sample = task.sample()
    n = sample.pixels.height // targets.CELL
    assert sample.pixels.data.shape == (64 * n, 64 * n, 3)
    assert math.isclose(sample.area * (64 * n) ** 2, targets.TORN_BYTES * 350 * 450)
    rows = np.lib.stride_tricks.sliding_window_view(image, (1, 64, 3))[:287, :, 0, 0]
    for cell in sample.pixels.data.reshape(n, 64, n, 64, 3).swapaxes(1, 2).reshape(-1, 64, 64, 3):
        places = np.argwhere((rows == cell[0]).all((2, 3)))
        assert any(np.array_equal(image[y : y + 64, x : x + 64], cell) for y, x in places)
    small = targets._Task(None, to_pixels(image[:100, :100]), Target(bytes=1), 0, 1024)
    assert small.sample() is small


SHAPES = {  # values by knob, from the goal's lower end, the middle of the scale and its steepness
    "a line": lambda low, middle, steep, noise: lambda knob: low + steep * (knob - middle),
    "steps": lambda low, middle, steep, noise: lambda knob: low + steep * round((knob - middle) / 10),
    "noise": lambda low, middle, steep, noise: lambda knob: low + steep * (knob - middle) + noise.gauss(0, 1),
    "out of reach": lambda low, middle, steep, noise: lambda knob: low + min(-0.001, steep * (knob - middle)),
    "a jump": lambda low, middle, steep, noise: lambda knob: low - 0.001 if knob < middle else low + 5,
    "a jump to infinity": lambda low, middle, steep, noise: lambda knob: low - 0.001 if knob < middle else math.inf,
    "nonsense": lambda low, middle, steep, noise: lambda knob: noise.uniform(-100, 100),
}


@settings(max_examples=300)
@example("a jump to infinity", Target(psnr=1e308), 20.0, 1.0, 50.0, None, None)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.one_of(
        st.builds(Target, bytes=st.integers(0, 10**15)),
        st.builds(Target, psnr=st.floats(0.001, 1e308, exclude_min=True)),
        st.builds(Target, ssimulacra2=st.floats(0.001, 100)),
    ),
    st.floats(-30, 120),
    st.floats(-4, 1).map(lambda exponent: 10**exponent),
    st.floats(0, 99),
    st.sampled_from([None, knob_search.Trial(knob_search.HIGHEST, 100.0)]),
    st.randoms(use_true_random=False),
)
def test_every_search_ends_with_what_is_right_if_values_rise(
    frozen_eye, shape, target, middle, steep, start, before, noise
):
    goal, seen = target.goal(frozen_eye.file.levels), []
    value = SHAPES[shape](goal.low, middle, steep, noise)

    def measure(knob):
        assert knob_search.LOWEST <= knob <= knob_search.HIGHEST and len(seen) < 30
        seen.append(knob_search.Trial(knob, value(knob)))
        return seen[-1]

    found = knob_search.find(measure, goal, start, before)
    assert found in seen
    if any(goal.met(trial.value) for trial in seen) and shape not in ("noise", "nonsense"):
        assert goal.met(found.value)


def test_progress_rises_to_one(frozen_psnr):
    pixels = to_pixels(photos.photo(100, 140))
    for effort, target in ((2, Target(bytes=2500)), (3, Target(bytes=2500)), (2, Target(ssimulacra2=60))):
        shares = []
        header = pixels.header(1, frozen_psnr.id, 64)
        targets.encode(encoder(frozen_psnr), pixels, header, effort, target, progress=shares.append)
        assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 2

"""How a point is measured: codecs that lie are caught, failures cost only themselves, and nothing is measured twice."""

import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import photos
import pytest
from bench_package import module, picture
from PIL import Image

cache, clock, codecs, decoder, measure, run = map(module, ("cache", "clock", "codecs", "decoder", "measure", "run"))
rivals, memory, targets = map(module, ("rivals", "memory", "targets"))
GOLDEN = Path(__file__).parent / "golden"

JPEG = codecs.make_codec("jpeg")
remembered = {}  # what a cheating encoder leaves for its decoder


class Shrunk(bytes):
    """A file that says it is small."""

    def __len__(self):
        return 7


def encode_shrunk(image, quality):
    return Shrunk(JPEG.encode(image, quality))


def encode_remembering(image, quality):
    remembered["pixels"] = image.copy()
    return b"tiny"


def decode_remembered(data):
    return remembered["pixels"]


def decode_without_the_last_row(data):
    return JPEG.decode(data)[:-1]


def decode_to_floats(data):
    return JPEG.decode(data) / 255


def decode_to_a_picture(data):
    return Image.fromarray(JPEG.decode(data))


def decode_by_chance(data):
    pixels = JPEG.decode(data)
    pixels[0, 0] = np.random.default_rng().integers(0, 256, 3)
    return pixels


def decode_and_die(data):
    os._exit(3)


def encode_and_die(image, quality):
    os._exit(1)


def encode_and_change(image, quality):
    """So that what it makes of the picture is what it is compared with."""
    data = JPEG.encode(image, quality)
    image[:] = JPEG.decode(data)
    return data


def encode_small_ones(image, quality):
    if image.shape[0] == 64 and image.shape[1] == 33:
        raise MemoryError("no")
    return JPEG.encode(image, quality)


@pytest.fixture
def pictures(tmp_path):
    made = []
    for i, (height, width) in enumerate([(41, 60), (64, 33)]):
        path = tmp_path / f"{i}.png"
        Image.fromarray(picture(height, width, i)).save(path)
        made.append(measure.Picture("set", path.name, path))
    return made


def conditions(*made, qualities=(20, 80), **changed):
    about = rivals.About("1", "none", 1)
    entrants = tuple(measure.Entrant(codec, about, qualities) for codec in made)
    standard = {"metrics": ("psnr",), "runs": 1, "jobs": 1, "machine": "m", "commit": "c", "cache": None}
    return measure.Conditions(entrants, **(standard | changed))


def measured(pictures, wanted, tmp_path=None):
    """With a folder: not through `run`, so that no processes are started for several jobs."""
    results = []
    if tmp_path is None:
        run.run(pictures, wanted, results)
    else:
        bench = measure.Bench(wanted, tmp_path)
        results += [result for p in pictures for result in bench.measure(p)]
        bench.close()
    points = [result for result in results if isinstance(result, measure.Point)]
    return points, [result.message for result in results if isinstance(result, measure.Failure)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encode": encode_remembering, "decode": decode_remembered}, "KeyError"),
        ({"encode": encode_and_change}, "read-only"),
        ({"decode": decode_without_the_last_row}, r"decoded to uint8 \[40, 60, 3\], the original is uint8 \[41"),
        ({"decode": decode_to_floats}, "decoded to float64"),
        ({"decode": decode_to_a_picture}, "decoded to Image, not to an array"),
        ({"decode": decode_by_chance}, "decoded to other pixels the second time"),
        ({"decode": decode_and_die}, "its decoder died with exit code 3"),
    ],
)
def test_a_codec_that_lies_is_caught_and_the_others_go_on(pictures, change, message):
    liar = replace(JPEG, name="liar", **change)
    points, failures = measured(pictures[:1], conditions(liar, JPEG, qualities=(50,)))
    assert [point.row["codec"] for point in points] == ["jpeg"]
    assert len(failures) == 1
    assert re.search(f"liar: quality 50: .*{message}", failures[0])


def test_the_size_is_that_of_the_file_whatever_the_codec_says(pictures):
    points, failures = measured(pictures[:1], conditions(replace(JPEG, encode=encode_shrunk), qualities=(50,)))
    size = len(JPEG.encode(picture(41, 60), 50))
    assert not failures and [point.row["bytes"] for point in points] == [size]
    assert points[0].row["bpp"] == pytest.approx(8 * size / (41 * 60))


def test_a_failure_on_one_image_costs_only_that(pictures):
    picky = replace(JPEG, name="picky", encode=encode_small_ones)
    points, failures = measured(pictures, conditions(picky, JPEG))
    assert [(p.row["image"], p.row["codec"]) for p in points] == [
        *[("0.png", "picky")] * 2,
        *[("0.png", "jpeg")] * 2,
        *[("1.png", "jpeg")] * 2,
    ]
    assert len(failures) == 1 and "1.png: picky: quality 20: MemoryError: no" in failures[0]


def test_after_a_failure_loading_is_nobodys_time_again(pictures, monkeypatch):
    picky = replace(JPEG, name="picky", encode=encode_small_ones)
    begun = []
    decode = decoder.Decoder.decode
    monkeypatch.setattr(decoder.Decoder, "decode", lambda self, *rest: begun.append(self) or decode(self, *rest))
    points, failures = measured([pictures[0], pictures[1], pictures[0]], conditions(picky, qualities=(20,)))
    assert len(points) == 2 and len(failures) == 1
    assert [begun.count(one) for one in dict.fromkeys(begun)] == [2, 2]  # a warm-up for each process


def test_several_processes_give_the_results_of_one(pictures):
    figures = ("image", "quality", "bytes", "psnr")
    alone, together = (
        [[point.row[key] for key in figures] for point in measured(pictures, conditions(JPEG, jobs=jobs))[0]]
        for jobs in (1, 2)
    )
    assert alone == together and len(alone) == 4


def test_a_process_that_dies_is_reported(pictures):
    killer = replace(JPEG, name="killer", encode=encode_and_die)
    points, failures = measured(pictures[:1], conditions(killer, jobs=2))
    assert not points and "0.png: BrokenProcessPool" in failures[0]


# ------------------------------------------------------------------------------------------------------- cache


def test_what_was_measured_is_not_measured_again(pictures, tmp_path):
    wanted = conditions(JPEG, cache=tmp_path / "cache")
    first, again = measured(pictures, wanted)[0], measured(pictures, wanted)[0]
    assert all(point.fresh for point in first) and not any(point.fresh for point in again)
    assert [point.row for point in first] == [point.row for point in again]


@pytest.mark.parametrize(
    "change", [{"machine": "other"}, {"runs": 2}, {"jobs": 2}, {"metrics": ("psnr", "psnr-y")}, {"qualities": (21,)}]
)
def test_whatever_changes_a_result_has_it_measured_again(pictures, tmp_path, change):
    measured(pictures[:1], conditions(JPEG, cache=tmp_path / "cache"))
    points, _ = measured(pictures[:1], conditions(JPEG, cache=tmp_path / "cache", **change), tmp_path)
    assert all(point.fresh for point in points)


def test_other_versions_settings_and_pixels_are_measured_again(pictures, tmp_path):
    wanted = conditions(JPEG, cache=tmp_path / "cache")
    measured(pictures[:1], wanted)
    for about in (rivals.About("2", "none", 1), rivals.About("1", "some", 1), rivals.About("1", "none", 2)):
        changed = replace(wanted, entrants=tuple(replace(entrant, about=about) for entrant in wanted.entrants))
        assert all(point.fresh for point in measured(pictures[:1], changed)[0])
    Image.fromarray(picture(41, 60, seed=9)).save(pictures[0].path)
    assert all(point.fresh for point in measured(pictures[:1], wanted)[0])


def test_a_metric_measured_before_is_kept_beside_a_new_one(pictures, tmp_path):
    for metrics in (("psnr",), ("psnr-y",)):
        assert measured(pictures[:1], conditions(JPEG, cache=tmp_path / "cache", metrics=metrics))[0][0].fresh
    both = conditions(JPEG, cache=tmp_path / "cache", metrics=("psnr", "psnr-y"))
    assert not any(point.fresh for point in measured(pictures[:1], both)[0])


def test_a_damaged_cache_file_is_no_cache_file(tmp_path):
    kept = cache.Cache(tmp_path)
    key = {"a": [1, "x"]}
    kept.put(key, {"b": 2.5, "c": float("inf")})
    assert kept.get(key) == {"b": 2.5, "c": float("inf")} and kept.get({"a": [2, "x"]}) is None
    (path,) = tmp_path.rglob("*.json")
    for text in ("{", "[]", '{"key": {"a": 1}, "value": 3}'):
        path.write_text(text)
        assert kept.get(key) is None
    assert cache.Cache(None).get(key) is None


def test_a_cache_that_has_grown_too_large_loses_what_is_oldest(tmp_path):
    kept = cache.Cache(tmp_path)
    for i in range(10):
        kept.put({"i": i}, {"value": i})
    for i, path in enumerate(sorted(tmp_path.rglob("*.json"))):
        os.utime(path, (i, i))
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.json"))
    newest = sorted(tmp_path.rglob("*.json"))[5:]
    cache.prune(tmp_path, size // 2)
    assert sorted(tmp_path.rglob("*.json")) == newest
    cache.prune(tmp_path, size)
    assert sorted(tmp_path.rglob("*.json")) == newest


# ------------------------------------------------------------------------------------------------ time and memory


def test_times_are_medians_after_a_warm_up():
    pauses = iter([0.05, 0.001, 0.08, 0.02])
    _, seconds, _ = clock.timed(lambda: time.sleep(next(pauses)), 3)
    assert 0.02 <= seconds < 0.05


def test_what_is_slow_is_timed_once_and_checked_twice(monkeypatch):
    monkeypatch.setattr(clock, "SLOW_S", 0.01)
    calls = []
    clock.timed(lambda: calls.append(time.sleep(0.02)), 5)
    assert len(calls) == 1
    clock.timed(lambda: calls.append(time.sleep(0.02)), 5, check=lambda first, again: None)
    assert len(calls) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_peak_memory_is_what_the_call_took_and_gave_back():
    size = 40_000_000

    def call():
        np.ones(size, np.uint8)  # freed again
        return 5

    for _ in range(2):  # what an earlier call left must not hide a later one's
        result, peak = clock.peak_bytes(call)
        assert result == 5 and 0.99 * size < peak < 1.2 * size  # a few pages of others come and go
    assert clock.peak_bytes(lambda: None)[1] < 2_000_000


def test_times_without_transfer_wait_for_the_gpu():
    log = []
    on_gpu = codecs.Resident(upload=None, decode=None, wait=lambda: log.append("wait"))
    assert decoder.seconds_on_gpu(on_gpu, lambda: log.append("call"), 2) >= 0
    assert log == ["wait", "call", "wait"] * 2


def test_the_large_picture_is_a_mosaic_of_the_images_that_were_given(tmp_path):
    images = {tmp_path / f"{i}.png": photos.photo(40, 30 + 10 * i, seed=i) for i in range(2)}
    for path, pixels in images.items():
        Image.fromarray(pixels).save(path)
    memory.write_mosaic(str(tmp_path / "large.ppm"), list(images), 100, 64)
    large = np.asarray(Image.open(tmp_path / "large.ppm")).astype(int)
    a, b = (pixels.astype(int) for pixels in images.values())
    assert large.shape == (64, 100, 3)
    assert abs(large[:40, :30] - a).max() <= memory.NOISE and abs(large[:40, 30:70] - b).max() <= memory.NOISE
    assert abs(large[40:, :40] - b[:24]).max() <= memory.NOISE  # the next row begins with the next image


def test_peak_memory_is_the_child_s_own():
    held = np.ones(2**27, np.uint8)
    peak, seconds, cpu = memory.measure(["verify", str(GOLDEN / "v2-tiny2-1x1.aec")])
    assert len(held) and 5 < peak < 2**27 / 1e6 and cpu > 0 and seconds > 0


def test_the_targets_figures_are_of_files_that_meet_them(tmp_path, capsys):
    Image.fromarray(photos.photo(96, 128)).save(tmp_path / "a.png")
    wanted = ["--bpp", "1,2", "--psnr", "30", "--ssimulacra2", "60,70,75"]
    assert targets.main([str(tmp_path / "a.png"), *wanted]) == 0
    sizes, decibels, scores = capsys.readouterr().out.splitlines()
    least, _, most = (float(v) for v in re.findall(r"[\d.]+", sizes.split("used")[1].split(";")[0]))
    assert sizes.startswith("target_bpp: 2 cases") and 0 < least <= most <= 100
    assert decibels.startswith("target_psnr: 1 cases") and float(decibels.split("target ")[1].split(",")[0]) >= 0
    assert scores.startswith("target_ssimulacra2: 3 cases") and float(scores.split("target ")[1].split(",")[0]) >= 0

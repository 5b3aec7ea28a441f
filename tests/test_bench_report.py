"""What is made of measured points: means, BD-rates, verdicts, and the files of a report. Nothing is measured here."""

import csv
import json
import math
import xml.etree.ElementTree as ElementTree

import pytest
from bench_package import module
from PIL import Image

codecs, curves, deltas, measure, published, report, summary, tables, verdicts = map(
    module, ("codecs", "curves", "deltas", "measure", "published", "report", "summary", "tables", "verdicts")
)
rivals, METRICS = module("rivals"), module("metrics").METRICS
PSNR = METRICS["psnr"]

JPEG = [(0.2, 24), (0.5, 29), (1, 32.5), (2, 37), (3, 39)]
# Straight in log-rate, so that the range changes no BD-rate.
STRAIGHT = [(0.2, 25), (0.4, 29), (0.8, 33), (1.6, 37), (3.2, 41)]


def points(pairs):
    return [{"quality": i, "bpp": bpp, "psnr": psnr} for i, (bpp, psnr) in enumerate(pairs)]


def rows_of(image_set, factors, curve=JPEG, image="a", **more):
    """Of each codec: the curve at so many times the rate."""
    base = {"set": image_set, "image": image, "width": 1000, "height": 1000, "bytes": 1}
    base |= {"encode_s": 0.5, "decode_s": 0.25, "encode_resident_s": None, "decode_resident_s": None}
    base |= {"encode_peak_bytes": 3_000_000, "decode_peak_bytes": None, "measured": "2026-01-01", "commit": "c"}
    return [
        base | {"codec": name, "quality": i, "bpp": bpp * factor, "psnr": psnr} | more
        for name, factor in factors.items()
        for i, (bpp, psnr) in enumerate(curve)
    ]


def report_of(rows, metrics=("psnr",), **more):
    names = dict.fromkeys(row["codec"] for row in rows)
    entrants = [measure.Entrant(codecs.make_codec(n), rivals.About("v1", f"of {n}", 1), (1,)) for n in names]
    conditions = measure.Conditions(tuple(entrants), metrics, 3, 1, "a machine", "abc", None)
    return report.make_report(rows, conditions, command="aec bench x", date="2026-11-21T12:00:00+00:00", **more)


# -------------------------------------------------------------------------------------------------------- means


def test_means_are_of_values_and_speeds_of_all_pixels_over_all_seconds():
    rows = rows_of("x", {"jpeg": 1}, [(1, 30)]) + rows_of("x", {"jpeg": 1}, [(2, 40)], "b", encode_s=1.5, width=3000)
    (point,) = curves.mean_curves(rows, ["psnr"])[0]["jpeg"]
    assert (point["bpp"], point["psnr"]) == (1.5, 35)
    assert point["encode_mpx_per_s"] == pytest.approx(4 / 2) and point["decode_mpx_per_s"] == pytest.approx(4 / 0.5)
    assert point["encode_resident_mpx_per_s"] is None
    assert (point["encode_peak_bytes"], point["decode_peak_bytes"]) == (3_000_000, None)


def test_means_are_over_the_images_every_codec_finished():
    rows = rows_of("x", {"jpeg": 1, "webp": 1}) + rows_of("x", {"jpeg": 1}, image="b")
    means, images, notes = curves.mean_curves(rows, ["psnr"])
    assert images == ["a"] and notes == ["b is in no mean: 5 of 10 measurements are missing"]
    assert [p["bpp"] for p in means["jpeg"]] == [p["bpp"] for p in means["webp"]]


def test_a_metric_undefined_for_one_image_has_no_mean():
    rows = rows_of("x", {"jpeg": 1}, ssimulacra2=50.0) + rows_of("x", {"jpeg": 1}, image="b", ssimulacra2=None)
    means, _, notes = curves.mean_curves(rows, ["psnr", "ssimulacra2"])
    assert notes == ["ssimulacra2 has no curves: it is not defined for b"]
    assert {p["ssimulacra2"] for p in means["jpeg"]} == {None} and None not in {p["psnr"] for p in means["jpeg"]}


def test_an_image_that_one_codec_keeps_exactly_is_in_no_mean():
    rows = rows_of("x", {"aec": 1, "jpeg": 1}, [(1, 30), (5, 40)])
    rows += rows_of("x", {"aec": 1}, [(1, 31), (2, math.inf)], "b") + rows_of("x", {"jpeg": 1}, [(3, 31), (9, 41)], "b")
    means, images, notes = curves.mean_curves(rows, ["psnr"])
    assert images == ["a"] and notes == ["b is in no mean: aec keeps it exactly at quality 1"]
    assert [[p["psnr"] for p in means[name]] for name in ("aec", "jpeg")] == [[30, 40], [30, 40]]


def test_a_lossless_point_is_left_out_of_the_curve_and_said(tmp_path):
    rows = rows_of("x", {"jpeg": 1}, [(1, 30), (5, math.inf)])
    means, _, notes = curves.mean_curves(rows, ["psnr"])
    assert [p["quality"] for p in means["jpeg"]] == [0]
    assert notes == ["jpeg at quality 1 is in no curve: every image comes back exactly"]
    made = report_of(rows)
    assert [p["psnr"] for p in made["sets"][0]["points"]] == [30, "∞"]  # JSON has no infinity
    report.write_report(made, tmp_path)
    with open(tmp_path / "rd.csv", newline="") as file:
        assert [float(row["psnr"]) for row in csv.DictReader(file)] == [30, math.inf]


# -------------------------------------------------------------------------------------------------- comparisons


def matrix_of(**pairs):
    lines, reasons = deltas.lines_of({name: points(curve) for name, curve in pairs.items()}, "psnr")
    assert not reasons
    return deltas.bd_matrix(lines, METRICS["psnr"])


def test_bd_rates_are_of_every_codec_against_every_other():
    halved = [(bpp / 2, psnr) for bpp, psnr in STRAIGHT]
    matrix = matrix_of(a=STRAIGHT, b=halved)
    assert matrix["range"] == (29.5, 37.3)
    rate, quality = matrix["rate"], matrix["quality"]
    assert rate["b"]["a"] == pytest.approx({"value": -50, "low": 29.5, "high": 37.3, "short": False})
    assert rate["a"]["b"]["value"] == pytest.approx(100) and rate["a"]["a"]["value"] == 0
    # 4 dB for twice the bits, over the rates that both spend.
    assert quality["b"]["a"] == pytest.approx({"value": 4, "low": 0.2, "high": 1.6, "short": False})


@pytest.mark.parametrize(
    ("curve", "overlap"),
    [
        ([(0.8, 33), (1.6, 37)], (33, 37, False)),  # all that the narrower one has
        ([(0.2, 26), (0.5, 30.4)], (29.5, 30.4, True)),  # all of it within the range, but less than 1 dB
        ([(0.2, 20), (0.3, 25), (0.5, 30.6)], (29.5, 30.6, False)),  # of what it has within the range, all
        ([(1.6, 37.2), (3.2, 41)], (37.2, 37.3, True)),
    ],
)
def test_a_short_overlap_is_marked(curve, overlap):
    found = matrix_of(a=STRAIGHT, b=curve)["rate"]["b"]["a"]
    assert (found["low"], found["high"], found["short"]) == overlap


def test_less_than_half_of_the_narrower_curve_is_short():
    low, high = [(0.2, 29.5), (0.4, 31.5), (0.8, 33.5)], [(0.4, 32.2), (0.8, 34.5), (1.6, 37.3)]
    assert matrix_of(a=low, b=high)["rate"]["b"]["a"]["short"]  # 1.3 of 4 dB


def test_no_overlap_is_none():
    matrix = matrix_of(a=[(0.1, 20), (0.2, 25)], b=[(1, 30), (2, 35)])
    assert matrix["rate"]["a"]["b"] is None and matrix["quality"]["a"]["b"] is None


def test_a_curve_that_is_not_monotone_is_not_compared_and_named():
    lines, reasons = deltas.lines_of({"a": points(STRAIGHT), "b": points([(1, 30), (2, 29)])}, "psnr")
    assert list(lines) == ["a"] and reasons[0].startswith("b is not compared by psnr: curve is not monotone")


def test_sizes_at_equal_quality():
    lines, _ = deltas.lines_of({"a": points(STRAIGHT), "b": points(STRAIGHT[2:])}, "psnr")
    found = deltas.sizes_at(lines, (10.0, 31.0, 35.0))
    assert [at["target"] for at in found] == [31, 35]  # nobody has 10 dB
    assert found[0]["bpp"] == {"a": pytest.approx(0.4 * 2**0.5), "b": None}
    assert found[1]["bpp"] == {name: pytest.approx(0.8 * 2**0.5) for name in "ab"}


# ----------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("curve", "answer"),
    [
        ([(0.1, 27), (0.3, 31), (1.1, 36.8)], "yes (least saving: "),
        ([(0.1, 27), (0.3, 31), (1.1, 45)], "yes (least saving: "),  # beyond JPEG's best: it needs over 3 bpp
        ([(0.1, 24.2), (0.5, 28.9), (1.1, 36)], "no (at 0."),  # crosses JPEG once
        ([(0.2, 27), (0.3, 31), (1.1, 36.8)], "not shown (at 0.15 bpp: the curve spans 0.200-1.100 bpp)"),
        ([(0.1, 20), (0.17, 23), (0.3, 31), (1.1, 36.8)], "not shown (at 0.15 bpp: "),  # JPEG cannot go as low
        ([(0.1, 27), (0.3, 31), (1.1, 30)], "not shown (curve is not monotone"),
    ],
)
def test_smaller_at_every_rate(curve, answer):
    assert verdicts.smaller_at_every_rate(points(JPEG), points(curve), PSNR).startswith(answer)


@pytest.mark.parametrize(
    ("pairs", "answer"),
    [
        (JPEG, "yes (largest steps of the mean: 2.50 times the bits from quality 0 to 1, 5.00 dB from 0 to 1)"),
        ([(0.2, 24), (0.2, 29)], "no (a goes from quality 0 to 1 from 0.2000 to 0.2000 bpp)"),
        ([(0.2, 24), (0.5, 29), (1, 28)], "no (a goes from quality 1 to 2 from 29.0000 to 28.0000 dB)"),
        ([(0.2, 24)], "not shown (fewer than two qualities)"),
    ],
)
def test_rises_with_quality(pairs, answer):
    rows = rows_of("x", {"aec": 1}, pairs)
    assert verdicts.rises_with_quality(rows[::-1], points(pairs), PSNR) == answer


def test_one_image_that_does_not_rise_is_named_though_the_mean_does():
    rows = rows_of("x", {"aec": 1})
    rows += [row | {"image": "odd", "psnr": 30 - row["quality"] / 10} for row in rows]
    answer = verdicts.rises_with_quality(rows, curves.mean_curves(rows, ["psnr"])[0]["aec"], PSNR)
    assert answer == "no (odd goes from quality 0 to 1 from 30.0000 to 29.9000 dB)"


def test_verdicts_speak_of_the_first_metric():
    """SSIMULACRA 2 of aec is JPEG's at half the bits; its PSNR would say otherwise."""
    rows = [row | {"ssimulacra2": row["psnr"] * 2} for row in rows_of("x", {"aec": 0.5, "jpeg": 1})]
    rows = [row | {"psnr": 30 - row["quality"]} for row in rows]
    told = report_of(rows, ("ssimulacra2", "psnr"))["sets"][0]["verdicts"]
    assert [text.split(": ")[0] for text in told] == [
        "Smaller than JPEG at equal SSIMULACRA 2 at every rate from 0.15 to 1.0 bpp",
        "Bits and SSIMULACRA 2 of aec rise with every step of its quality on every image",
    ]
    text = summary.summarise(report_of(rows, ("ssimulacra2", "psnr")))
    assert "| 50 SSIMULACRA 2 | 70 SSIMULACRA 2 |" in text and "28 dB" not in text
    assert "yes (least saving: 50.0 %" in told[0]
    assert "yes (" in told[1] and told[1].endswith("10.0 SSIMULACRA 2 from 0 to 1)")
    rows[2] |= {"ssimulacra2": 57.0}
    told = report_of(rows, ("ssimulacra2", "psnr"))["sets"][0]["verdicts"]
    assert told[1].endswith("no (a goes from quality 1 to 2 from 58.0000 to 57.0000 SSIMULACRA 2)")


def test_every_avif_has_a_verdict_whether_aec_is_ahead_or_not():
    rows = rows_of("x", {"aec": 0.5, "avif": 1, "avif-ss2": 0.4, "webp": 1}, STRAIGHT)
    rows += rows_of("x", {"avif-420": 1}, [(0.4, 29), (0.45, 30)]) + rows_of("x", {"avif-psnr": 1}, [(9, 50), (10, 51)])
    told = report_of(rows)["sets"][0]["verdicts"]
    assert told[:2] == [
        "At equal PSNR aec takes 50.0 % fewer bits than avif (29.5 to 37.3 dB)",
        "At equal PSNR aec takes 25.0 % more bits than avif-ss2 (29.5 to 37.3 dB)",
    ]
    assert told[2].startswith("At equal PSNR aec takes 4") and told[2].endswith("(29.5 to 30.0 dB, a short range)")
    assert told[3] == "aec and avif-psnr reach no PSNR in common" and len(told) == 5
    rows = [row | {"ssimulacra2": 3 * row["psnr"] - 40} for row in rows]
    told = report_of(rows, ("ssimulacra2", "psnr"))["sets"][0]["verdicts"]
    assert told[0] == "At equal SSIMULACRA 2 aec takes 50.0 % fewer bits than avif (35 to 83)"


def test_a_metric_that_is_not_defined_for_an_image_gives_no_verdicts():
    rows = [row | {"ms-ssim": None} for row in rows_of("x", {"aec": 0.5, "jpeg": 1, "avif": 1})]
    assert report_of(rows, ("ms-ssim", "psnr"))["sets"][0]["verdicts"] == []


def test_an_image_in_no_mean_may_lack_the_metric():
    rows = [row | {"ms-ssim": row["psnr"]} for row in rows_of("x", {"aec": 0.5, "jpeg": 1})]
    rows += [row | {"ms-ssim": None} for row in rows_of("x", {"aec": 0.5}, image="small")]
    told = report_of(rows, ("ms-ssim",))["sets"][0]["verdicts"]
    assert told[-1].startswith("Bits and MS-SSIM of aec rise with every step of its quality on every image: yes (")


# ------------------------------------------------------------------------------------------------------- report


def lines_starting(text, start):
    """The lines of a summary that begin so, without the spaces that align tables."""
    return [" ".join(line.split()) for line in text.splitlines() if line.startswith(start)]


def test_summary_has_the_bd_rates_the_sizes_and_the_verdicts():
    text = summary.summarise(report_of(rows_of("x", {"aec": 0.5, "jpeg": 1}, STRAIGHT)))
    main, matrix, sizes = lines_starting(text, "| aec ")[:3]
    assert main == "| aec | -50.0 | 0.100-1.600 | 2.00 | 4.00 | 3.0 / 0.0 |"
    assert matrix == "| aec | +0.0 | -50.0 |"
    assert "| 0.238 (-50 %) |" in sizes  # at 30 dB
    assert "from 0.15 to 1.0 bpp: yes (least saving: 50.0 %" in text
    assert "rise with every step of its quality on every image: yes (" in text
    assert "| aec | v1 | of aec | 1 |" in [" ".join(line.split()) for line in text.splitlines()]


def test_summary_states_an_overlap_that_is_not_the_whole_range():
    rows = rows_of("x", {"aec": 0.5, "jpeg": 1}, STRAIGHT) + rows_of("x", {"avif": 0.4}, STRAIGHT[:4])
    rows += rows_of("x", {"webp": 0.4}, [(0.4, 29), (0.45, 30)])
    main = summary.summarise(report_of(rows)).split("###")[0]
    assert lines_starting(main, "| avif ")[0].startswith("| avif | -60.0 (29.50..37.00) |")
    assert lines_starting(main, "| webp ")[0].startswith("| webp | -6") and "* (29.50..30.00) |" in main


def test_sets_have_means_and_tables_of_their_own():
    rows = rows_of("kodak", {"aec": 0.5, "jpeg": 1}) + rows_of("clic", {"aec": 0.25, "jpeg": 1})
    kodak, clic = summary.summarise(report_of(rows)).split("## clic: 1 image\n")
    assert "## kodak: 1 image\n" in kodak
    assert lines_starting(kodak, "| aec ")[0].startswith("| aec | -50.0 |")
    assert lines_starting(clic, "| aec ")[0].startswith("| aec | -75.0 |")


def test_published_curves_are_compared_on_their_own_set_only():
    rows = rows_of("kodak", {"jpeg": 1, "webp": 0.5}) + rows_of("clic", {"jpeg": 1})
    vtm = published.Published("kodak", {"vtm": [{"bpp": bpp / 4, "psnr": psnr} for bpp, psnr in JPEG]})
    made = report_of(rows, published=vtm)
    kodak, clic = made["sets"]
    assert list(kodak["published"]) == ["vtm"] and not clic["published"]
    assert kodak["bd"]["psnr"]["rate"]["vtm (published)"]["webp"]["value"] == pytest.approx(-50)
    kodak, clic = summary.summarise(made).split("## clic: ")
    assert lines_starting(kodak, "| vtm (published)")[0] == "| vtm (published) | -75.0 | 0.050-0.750 | - | - | - |"
    assert "vtm" not in clic


def test_tables_of_other_benches_are_read_and_shown(tmp_path):
    path = tmp_path / "t.json"
    tables.write_table(path, "Stages", "of a machine", ["stage", "ms"], [["analysis", 1.5]])
    made = report_of(rows_of("x", {"jpeg": 1}), tables=[tables.read_table(path)])
    assert made["tables"][0]["rows"] == [["analysis", 1.5]]
    assert "| analysis | 1.5 |" in summary.summarise(made)
    for wrong in ("[]", '{"title": "a", "note": "", "columns": ["x"], "rows": [[1, 2]]}'):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="not a table"):
            tables.read_table(path)


def test_stages_write_such_a_table(tmp_path, capsys):
    picture = tmp_path / "a.png"
    Image.new("RGB", (64, 48), (90, 120, 60)).save(picture)
    made = ["--runs", "1", "--device", "cpu", "--json", str(tmp_path / "t.json")]
    assert module("stages").main([str(picture), *made]) == 0
    table = tables.read_table(tmp_path / "t.json")
    printed = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in table["rows"]] == printed and "encode: total" in printed
    # Refinement is a difference of two times, and next to nothing with a model that is not refined by squared error.
    assert all(ms > 0 for stage, ms in table["rows"] if stage != "encode: refinement")
    assert "python -m bench.stages" in table["note"]


def test_files_are_drawn_again_from_the_report_alone(tmp_path):
    rows = rows_of("x", {"aec": 0.5, "aec+e=1": 0.6, "jpeg": 1}) + rows_of("y", {"aec": 0.5, "jpeg": 1})
    rows = [row | {"psnr-y": row["psnr"] + 1, "ssimulacra2": None} for row in rows]
    report.write_report(report_of(rows, ("psnr", "psnr-y", "ssimulacra2")), tmp_path)
    names = ["rd.csv", "rd.png", "rd.svg", "report.json", "summary.md"]
    first = {name: (tmp_path / name).read_bytes() for name in names}
    for name in names:
        if name != "report.json":
            (tmp_path / name).unlink()
    assert report.main([str(tmp_path / "report.json")]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in names} == first
    with Image.open(tmp_path / "rd.png") as image:
        image.load()
        assert image.format == "PNG" and image.size == (3 * 1200, 2 * 810)  # a row for each set, a column a metric
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20  # something is drawn
    text = "".join(ElementTree.parse(tmp_path / "rd.svg").getroot().itertext())
    assert "aec+e=1" in text and "not defined for these images" in text
    with open(tmp_path / "rd.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == len(rows) and written[0]["settings"] == "of aec" and written[0]["machine"] == "a machine"


def test_a_report_that_is_none_is_refused(tmp_path, capsys):
    (tmp_path / "report.json").write_text(json.dumps({"sets": []}))
    assert report.main([str(tmp_path / "report.json")]) == 1
    assert "report.json" in capsys.readouterr().err

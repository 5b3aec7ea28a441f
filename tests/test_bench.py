"""`aec bench` as a user calls it: folders in, files out."""

import csv
import io
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from bench_package import bench, module, picture
from PIL import Image

codecs, command, inputs, parsing = map(module, ("codecs", "command", "inputs", "arguments"))
WRITE_PAGE = command._write_page
FILES = ["rd.csv", "rd.png", "rd.svg", "report.json", "summary.md"]


def make_folder(path, seed=0):
    path.mkdir()
    for i, (height, width) in enumerate([(41, 60), (64, 33)]):
        Image.fromarray(picture(height, width, seed + i)).save(path / f"{i}.png")
    return path


@pytest.fixture(autouse=True)
def small_curves(tmp_path, monkeypatch):
    """A cache of its own for every test, and fewer qualities."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make_codec(name):
        made = codecs.make_codec(name)
        return replace(made, qualities=made.qualities[1::4])

    monkeypatch.setattr(parsing, "make_codec", make_codec)


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "images")


@pytest.fixture
def other_folder(tmp_path):
    """Other pictures, under the same names."""
    return make_folder(tmp_path / "other", seed=7)


def bench_main(*arguments):
    """Without the page, which has tests of its own."""
    standard = ["--metrics", "psnr", "--runs", "1"]
    return bench.main([*standard, *(str(a) for a in arguments)])


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
    monkeypatch.setattr(command, "_write_page", lambda *_: True)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_what_pillow_says_of_a_file_of_its_own(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert bench_main(folder, "--codecs", "jpeg", "-o", out) == 0
    rows = rows_of(out / "rd.csv")
    assert [(row["image"], row["quality"]) for row in rows] == [
        (i, q) for i in ("0.png", "1.png") for q in ("10", "50", "80")
    ]
    for row in rows:
        original = Image.open(folder / row["image"])
        file = io.BytesIO()
        original.save(file, "JPEG", quality=int(row["quality"]))
        mse = ((np.array(original).astype(float) - np.array(Image.open(file))) ** 2).mean()
        assert int(row["bytes"]) == len(file.getvalue())
        assert float(row["psnr"]) == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-9)
        assert float(row["bpp"]) == pytest.approx(8 * int(row["bytes"]) / (original.width * original.height))
        assert float(row["encode_s"]) > 0 and float(row["decode_s"]) > 0
        assert row["codec"] == "jpeg" and "Pillow" in row["version"] and row["settings"] and row["machine"]
    assert sorted(p.name for p in out.iterdir()) == FILES
    printed = capsys.readouterr().out
    assert printed == (out / "summary.md").read_text()
    assert f"--codecs jpeg -o {out}" in printed and "cores" in printed and "| jpeg  | " in printed
    report = json.loads((out / "report.json").read_text())
    assert [metric["key"] for metric in report["metrics"]] == ["psnr"] and len(report["sets"][0]["points"]) == 6


def test_an_unreadable_image_is_reported_and_skipped(folder, tmp_path, capsys):
    data = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "text.png").write_text("no image")
    Image.new("RGBA", (8, 8), (9, 9, 9, 100)).save(folder / "clear.png")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "deep.png")
    assert bench_main(folder, "--codecs", "jpeg", "-o", tmp_path / "out") == 1
    errors = capsys.readouterr().err
    for name in ("cut.png", "text.png", "deep.png", "clear.png"):
        assert f"{name}: skipped: " in errors
        assert f"{name}: skipped: " in (tmp_path / "out" / "summary.md").read_text()
    assert {row["image"] for row in rows_of(tmp_path / "out" / "rd.csv")} == {"0.png", "1.png"}


def test_missing_inputs_are_named(tmp_path, capsys):
    assert bench_main(tmp_path / "nowhere", "--codecs", "jpeg", "-o", tmp_path / "none") == 1
    errors = capsys.readouterr().err
    assert "nowhere: no such file" in errors and "nothing to measure" in errors
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--codecs", "jpg"], "unknown codec 'jpg'"),
        (["--codecs", "aec+fast=1"], "'fast=1' is not KEY=VALUE of aec"),
        (["--qualities", "0,50"], "qualities are 1..100"),
        (["--metrics", "vmaf"], "known: ssimulacra2, ms-ssim, psnr, psnr-y, butteraugli, nlpd"),
        (["--runs", "0"], "above 0"),
        (["-j", "x"], "not a whole number"),
        (["--tables", "nowhere.json"], "--tables: "),
    ],
)
def test_usage_errors_exit_with_2(folder, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        bench_main(folder, "-o", tmp_path / "out", *arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_results_are_not_overwritten_without_force_and_come_from_the_cache_with_it(folder, tmp_path, capsys):
    arguments = (folder, "--codecs", "jpeg", "-o", tmp_path / "out")
    assert bench_main(*arguments) == 0
    out, err = capsys.readouterr()
    assert "come from the cache" not in out
    assert f"aec: bench: the report is in {tmp_path / 'out'}" in err
    assert (f"; open {tmp_path / 'out' / 'index.html'} in a browser" in err) == (
        tmp_path / "out" / "index.html"
    ).exists()
    assert "aec: bench: 2 of 2 images, the last " in err  # what it is doing, where nobody sees a bar
    with pytest.raises(SystemExit) as caught:
        bench_main(*arguments)
    assert caught.value.code == 2 and "-f" in capsys.readouterr().err
    assert bench_main(*arguments, "-f") == 0
    assert "6 of 6 points come from the cache: measured on this machine" in capsys.readouterr().out
    assert bench_main(*arguments, "-f", "--no-cache") == 0
    assert "come from the cache" not in capsys.readouterr().out


def test_interrupt_keeps_and_summarises_what_was_measured_and_the_next_run_goes_on(folder, tmp_path, monkeypatch):
    made = parsing.make_codec("jpeg")

    def encode(image, quality):
        if image.shape[0] == 64 and quality == 50:
            raise KeyboardInterrupt
        return made.encode(image, quality)

    arguments = (folder, "--codecs", "jpeg", "-f", "-o", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(parsing, "make_codec", lambda name: replace(made, encode=encode))
        assert bench_main(*arguments) == 130
    assert len(rows_of(tmp_path / "out" / "rd.csv")) == 4
    assert "interrupted" in (tmp_path / "out" / "summary.md").read_text()
    assert bench_main(*arguments) == 0
    assert "4 of 6 points come from the cache" in (tmp_path / "out" / "summary.md").read_text()


def test_codecs_and_metrics_that_are_missing_are_left_out_and_named(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # what makes an import fail
    metrics = module("metrics")
    absent = replace(metrics.METRICS["ms-ssim"], packages=("no-such-package",))
    monkeypatch.setitem(metrics.METRICS, "ms-ssim", absent)
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ("--codecs", "jpeg,heic", "--metrics", "psnr,ms-ssim,butteraugli", "-o", tmp_path / "out")
    assert bench_main(folder, *arguments) == 1
    errors, summary = capsys.readouterr().err, (tmp_path / "out" / "summary.md").read_text()
    for text in (errors, summary):
        assert "heic is left out: pillow-heif does not import" in text
        assert "MS-SSIM, -10 log10(1 - m) is left out: no-such-package is not installed" in text
        assert "Butteraugli, -10 log10(3-norm) is left out: there is no program butteraugli_main" in text
    assert {row["codec"] for row in rows_of(tmp_path / "out" / "rd.csv")} == {"jpeg"}


def test_the_eye_leads_unless_told_otherwise(folder, other_folder, tmp_path):
    assert parsing.parser().parse_args([]).metrics == ["ssimulacra2", "ms-ssim", "psnr"]
    arguments = ("--metrics", "ssimulacra2,psnr", "--codecs", "jpeg,jpeg-444", "-o", tmp_path / "out")
    assert bench_main(folder, other_folder, *arguments) == 0
    summary = (tmp_path / "out" / "summary.md").read_text()
    for section in summary.split("\n## ")[1:3]:
        assert section.startswith(("images: 2 images", "other: 2 images"))
        assert "| ssimulacra2, % " in section and section.index("ssimulacra2, %") < section.index("psnr, %")
        assert section.index("### SSIMULACRA 2, within ") < section.index("### PSNR, ")


def test_several_aec_are_rivals_under_their_names(folder, tmp_path, capsys, tiny_model):
    names = ["aec+device=cpu+e=1", f"aec+device=cpu+model={tiny_model[0]}"]
    arguments = ("--codecs", ",".join([*names, "jpeg"]), "--qualities", "90,30", "-o", tmp_path / "out")
    assert bench_main(folder / "0.png", *arguments) == 0
    rows = rows_of(tmp_path / "out" / "rd.csv")
    for name in names:
        assert [int(row["quality"]) for row in rows if row["codec"] == name] == [30, 90]
    assert len({row["bytes"] for row in rows if row["quality"] == "90" and row["codec"] in names}) == 2


def test_each_folder_is_a_set_and_named_files_are_one_together(folder, other_folder, tmp_path):
    arguments = (folder, other_folder / "1.png", other_folder, folder / "0.png", "--codecs", "jpeg")
    assert bench_main(*arguments, "-o", tmp_path / "out") == 0
    seen = {(row["set"], row["image"]): int(row["bytes"]) for row in rows_of(tmp_path / "out" / "rd.csv")}
    names = [("images", "0.png"), ("images", "1.png"), ("files", "1.png"), ("files", "0.png")]
    assert list(seen) == [*names, ("other", "0.png"), ("other", "1.png")]
    assert seen["files", "0.png"] == seen["images", "0.png"] != seen["other", "0.png"]


def test_folders_of_one_name_are_sets_by_their_paths(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        make_folder(tmp_path / parent / "images")
    found, empty = inputs.find_sets([str(tmp_path / "a/images"), str(tmp_path / "b/images"), str(tmp_path / "a")])
    assert list(found) == [(tmp_path / "a/images").as_posix(), (tmp_path / "b/images").as_posix()]
    assert empty == [tmp_path / "a"]


def test_a_folder_called_files_is_not_the_named_files(tmp_path, monkeypatch):
    make_folder(tmp_path / "files")
    monkeypatch.chdir(tmp_path)
    found, _ = inputs.find_sets(["files", "files/0.png"])
    assert {name: len(paths) for name, paths in found.items()} == {"files": 2, "named files": 1}


@pytest.mark.parametrize("with_scikit_image", [True, False])
def test_without_arguments_there_are_pictures(monkeypatch, with_scikit_image):
    if with_scikit_image:
        pytest.importorskip("skimage")
    else:
        monkeypatch.setattr(inputs.importlib.util, "find_spec", lambda name: None)
    name, paths = inputs.default_set()
    assert name == ("scikit-image" if with_scikit_image else "aec") and len(paths) >= 2
    for path in paths:
        assert inputs.load_image(path).std() > 20


def test_published_curves_need_their_set_said_where_there_are_several(folder, other_folder, tmp_path, capsys):
    anchors = tmp_path / "anchors.json"
    anchors.write_text('{"vtm": {"bpp": [0.1, 1, 9], "psnr": [20, 30, 40]}}')
    arguments = (folder, other_folder, "--codecs", "jpeg", "--anchors", anchors, "-o", tmp_path / "out")
    with pytest.raises(SystemExit) as caught:
        bench_main(*arguments, "--anchor-names", "vtm")
    assert caught.value.code == 2 and "which of the sets they belong to: images, other" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        bench_main(*arguments, "--anchor-set", "other", "--anchor-names", "hm")
    assert caught.value.code == 2 and "no PSNR curve 'hm'; there are: vtm" in capsys.readouterr().err
    assert bench_main(*arguments, "--anchor-set", "other") == 0
    images, other = capsys.readouterr().out.split("## other: ")
    assert "vtm (published)" in other and "vtm (published)" not in images


@pytest.fixture
def without(monkeypatch):
    """without(PACKAGE): as if it was not installed."""
    find = command.importlib.util.find_spec

    def hide(package):
        monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None if name == package else find(name))

    return hide


def test_without_what_it_needs_nothing_is_measured(folder, tmp_path, without, capsys):
    without("scipy")
    with pytest.raises(SystemExit) as caught:
        bench_main(folder, "--codecs", "jpeg", "-o", tmp_path / "out")
    assert caught.value.code == 2
    assert "not installed: scipy; try: pip install 'aec-codec[bench]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_plotly_only_the_page_is_left_out(folder, tmp_path, without, monkeypatch, capsys):
    without("plotly")
    monkeypatch.setattr(command, "_write_page", WRITE_PAGE)
    assert bench_main(folder, "--codecs", "jpeg", "-o", tmp_path / "out") == 1
    assert "index.html is left out: plotly is not installed; try: " in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES


def test_a_page_of_another_run_does_not_stay_and_ctrl_c_costs_only_its_pictures(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "_write_page", WRITE_PAGE)
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("of another run")

    def make_pictures(*_):
        assert sorted(p.name for p in out.iterdir()) == FILES
        raise KeyboardInterrupt

    monkeypatch.setattr(module("pictures"), "make_pictures", make_pictures)
    assert bench_main(folder, "--codecs", "jpeg", "-o", out, "-f") == 130
    assert "interrupted: index.html has no pictures" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == sorted([*FILES, "index.html"])
    assert "jpeg" in (out / "index.html").read_text()


def test_what_is_there_is_not_replaced_without_force(folder, tmp_path, capsys):
    (tmp_path / "summary.md").write_text("mine")
    for out, complaint in ((tmp_path, "summary.md exists; -f replaces it"), (folder / "0.png", "is not a folder")):
        with pytest.raises(SystemExit) as caught:
            bench_main(folder, "--codecs", "jpeg", "-o", out)
        assert caught.value.code == 2 and complaint in capsys.readouterr().err
    assert (tmp_path / "summary.md").read_text() == "mine"


def test_without_a_place_for_the_cache_it_is_said_and_measured_all_the_same(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert bench_main(folder, "--codecs", "jpeg", "-o", tmp_path / "out") == 0
    assert "nothing is kept for another run: " in capsys.readouterr().err
    assert len(rows_of(tmp_path / "out" / "rd.csv")) == 6


def test_names_of_files_are_no_formulas_and_no_markup(tmp_path):
    folder, odd = make_folder(tmp_path / "a $\\x$, <b>"), 'x, "y" $\\z$.png'
    (folder / "0.png").rename(folder / odd)
    assert bench_main(folder, "--codecs", "jpeg", "-o", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out" / "rd.csv")
    assert {(row["set"], row["image"]) for row in rows} == {(folder.name, name) for name in ("1.png", odd)}
    assert "a $\\x$, &lt;b&gt;: mean of 2 images" in (tmp_path / "out" / "rd.svg").read_text()


def test_parsing_imports_no_torch():
    code = f"import sys; from {bench.__name__} import arguments; arguments.parser().parse_args(['--codecs', 'aec+e=7'])"
    code += "; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

"""bench against Pillow called directly, and against codecs that misbehave. Needs no aec model."""

import csv
import importlib
import io
import math
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

try:
    import bench  # the tree
except ImportError:
    from codec import bench  # the wheel

codecs = importlib.import_module(f"{bench.__name__}.codecs")
curves = importlib.import_module(f"{bench.__name__}.curves")
plot = importlib.import_module(f"{bench.__name__}.plot")
publications = importlib.import_module(f"{bench.__name__}.published")
rd = importlib.import_module(f"{bench.__name__}.rd")
summary = importlib.import_module(f"{bench.__name__}.summary")


def picture(height, width, seed=0):
    """Smooth shapes with a little noise, so that quality matters."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = [127 + 90 * np.sin(x / (5 + c) + seed) * np.cos(y / (7 - c)) for c in range(3)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


def make_folder(path, seed=0):
    path.mkdir()
    for i, (height, width) in enumerate([(41, 60), (64, 33)]):
        Image.fromarray(picture(height, width, seed + i)).save(path / f"{i}.png")
    return path


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "images")


@pytest.fixture
def other_folder(tmp_path):
    """Other pictures, under the same names."""
    return make_folder(tmp_path / "other", seed=7)


def bench_main(*arguments):
    return bench.main([str(a) for a in arguments])


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def pillow_jpeg(path, quality, **options):
    out = io.BytesIO()
    Image.open(path).save(out, "JPEG", quality=quality, **options)
    decoded = np.array(Image.open(out)).astype(float)
    mse = ((np.array(Image.open(path)).astype(float) - decoded) ** 2).mean()
    return len(out.getvalue()), 10 * math.log10(255**2 / mse)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jpeg", {}),  # Pillow's default, not merely what we think it is
        ("jpeg-opt", {"optimize": True, "progressive": True}),
        ("jpeg-444", {"subsampling": 0}),
    ],
)
def test_rows_equal_pillow_called_directly(folder, tmp_path, name, options):
    assert bench_main(folder, "--codecs", name, "-o", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out" / "rd.csv")
    assert len(rows) == 2 * len(codecs.JPEG_QUALITIES)
    for row in rows:
        n_bytes, psnr = pillow_jpeg(folder / row["image"], int(row["quality"]), **options)
        assert int(row["bytes"]) == n_bytes
        assert float(row["psnr"]) == pytest.approx(psnr, abs=1e-9)
        assert float(row["bpp"]) == pytest.approx(8 * n_bytes / (int(row["width"]) * int(row["height"])))
        assert row["ms_ssim"] == ""  # too small for it
        assert float(row["encode_s"]) > 0 and float(row["decode_s"]) > 0
        assert row["codec"] == name and "Pillow" in row["version"] and row["settings"] and row["machine"]


def test_outputs_are_a_csv_a_summary_and_a_real_png(folder, tmp_path, capsys):
    assert bench_main(folder, "--codecs", "jpeg,jpeg-opt", "--runs", 2, "-o", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["rd.csv", "rd.png", "summary.md"]
    with Image.open(tmp_path / "out" / "rd.png") as image:
        image.load()
        assert image.format == "PNG" and image.size == (1200, 810)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20  # something is drawn
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out" / "summary.md").read_text()
    assert f"--codecs jpeg,jpeg-opt --runs 2 -o {tmp_path / 'out'}" in printed
    assert "cores" in printed and "pillow" in printed
    assert "| jpeg     | +0.0 " in printed


def test_an_unreadable_image_is_reported_and_skipped(folder, tmp_path, capsys):
    data = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "text.png").write_text("no image")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "deep.png")
    assert bench_main(folder, "--codecs", "jpeg", "-o", tmp_path / "out") == 1
    errors = capsys.readouterr().err
    for name in ("cut.png", "text.png", "deep.png"):
        assert f"{name}: skipped: " in errors
    assert {row["image"] for row in rows_of(tmp_path / "out" / "rd.csv")} == {"0.png", "1.png"}


def test_missing_inputs_are_named(folder, tmp_path, capsys):
    assert bench_main(folder, tmp_path / "nowhere", "--codecs", "jpeg", "-o", tmp_path / "out") == 1
    assert "nowhere: no such file" in capsys.readouterr().err
    assert bench_main(tmp_path / "nowhere", "--codecs", "jpeg", "-o", tmp_path / "none") == 1


def test_usage_errors_exit_with_2(folder, tmp_path, capsys):
    for arguments in (
        [],
        [folder, "--codecs", "jpg"],
        [folder, "--qualities", "0,50"],
        [folder, "--metrics", "vmaf"],
        [folder, "--runs", "0"],
    ):
        with pytest.raises(SystemExit) as caught:
            bench_main(*arguments, "-o", tmp_path / "out")
        assert caught.value.code == 2
    capsys.readouterr()


def test_results_are_not_overwritten_without_force(folder, tmp_path, capsys):
    arguments = (folder, "--codecs", "jpeg", "-o", tmp_path)
    assert bench_main(*arguments) == 0
    with pytest.raises(SystemExit) as caught:
        bench_main(*arguments)
    assert caught.value.code == 2 and "-f" in capsys.readouterr().err
    assert bench_main(*arguments, "-f") == 0


def run_plan(folder, tmp_path, *made, qualities=(20, 80)):
    lines = []
    path = tmp_path / "rd.csv"
    images = sorted(folder.glob("*.png"))
    plan = [(codec, qualities) for codec in made]
    failures = rd.run({"images": images}, plan, path, metrics=("psnr",), report=lines.append)
    return failures, lines, curves.read_rows(path)


def test_a_codec_that_lies_about_the_size_is_caught(folder, tmp_path):
    jpeg = codecs.jpeg()
    liar = replace(jpeg, name="liar", decode=lambda data: jpeg.decode(data)[:-1])
    failures, lines, rows = run_plan(folder, tmp_path, jpeg, liar)
    assert failures == 2
    assert all("liar: ValueError: decoded to uint8" in line for line in lines)
    assert {row["codec"] for row in rows} == {"jpeg"}


def test_a_codec_that_decodes_floats_is_caught(folder, tmp_path):
    jpeg = codecs.jpeg()
    failures, lines, rows = run_plan(folder, tmp_path, replace(jpeg, decode=lambda data: jpeg.decode(data) / 255))
    assert failures == 2 and not rows
    assert "float64" in lines[0]


def test_means_are_over_the_images_every_codec_finished(folder, tmp_path):
    jpeg = codecs.jpeg()

    def encode(image, quality):
        if image.shape[0] == 64:
            raise MemoryError("no")
        return jpeg.encode(image, quality)

    failures, _, rows = run_plan(folder, tmp_path, jpeg, replace(jpeg, name="picky", encode=encode))
    means, images, notes = curves.mean_curves(rows)
    assert failures == 1
    assert images == ["0.png"]
    assert "1.png is in no mean" in notes[0]
    assert [p.bpp for p in means["jpeg"]] == [p.bpp for p in means["picky"]]


def test_mean_curve_is_the_mean_of_per_image_values(folder, tmp_path):
    _, _, rows = run_plan(folder, tmp_path, codecs.jpeg(), qualities=(50,))
    point = curves.mean_curves(rows)[0]["jpeg"][0]
    assert point.psnr == pytest.approx((rows[0]["psnr"] + rows[1]["psnr"]) / 2)
    assert point.bpp == pytest.approx((rows[0]["bpp"] + rows[1]["bpp"]) / 2)
    assert point.ms_ssim is None


def test_a_lossless_point_is_left_out_of_the_curve_and_said(folder, tmp_path):
    lossless = replace(
        codecs.jpeg(),
        name="png",
        encode=lambda image, quality: image.tobytes() + struct.pack("<HH", *image.shape[:2]),
        decode=lambda data: np.frombuffer(data[:-4], np.uint8).reshape(*struct.unpack("<HH", data[-4:]), 3),
    )
    _, _, rows = run_plan(folder, tmp_path, lossless, qualities=(1,))
    assert rows[0]["psnr"] == math.inf
    means, _, notes = curves.mean_curves(rows)
    assert means == {"png": []}
    assert "lossless on 0.png, 1.png" in notes[0]


def test_interrupt_keeps_and_summarises_what_was_measured(folder, tmp_path, monkeypatch, capsys):
    jpeg = codecs.jpeg()

    def encode(image, quality):
        if image.shape[0] == 64 and quality == 50:
            raise KeyboardInterrupt
        return jpeg.encode(image, quality)

    monkeypatch.setattr(rd, "make_codecs", lambda *_: {"jpeg": replace(jpeg, encode=encode)})
    assert bench_main(folder, "--codecs", "jpeg", "-o", tmp_path) == 130
    rows = rows_of(tmp_path / "rd.csv")
    assert len(rows) == len(jpeg.qualities) + jpeg.qualities.index(50)
    assert "interrupted" in (tmp_path / "summary.md").read_text()
    capsys.readouterr()


def points(pairs):
    return [curves.Point(*pair) for pair in pairs]


JPEG = [(0.2, 24), (0.5, 29), (1, 32.5), (2, 37), (3, 39)]


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
    assert summary.smaller_at_every_rate(points(JPEG), points(curve)).startswith(answer)


def rows_with_rates(image_set, factors, curve=JPEG):
    """Of each codec: the curve at so many times the rate."""
    base = {"set": image_set, "image": "a", "width": 1000, "height": 1000, "ms_ssim": None}
    base |= {"encode_s": 1.0, "decode_s": 2.0, "threads": 1, "commit": "", "version": "v", "settings": "s"}
    return [
        base | {"codec": name, "quality": i, "bpp": bpp * factor, "psnr": psnr}
        for name, factor in factors.items()
        for i, (bpp, psnr) in enumerate(curve)
    ]


def lines_of(text, start):
    """The lines of a summary that begin so, without the spaces that align tables."""
    return [" ".join(line.split()) for line in text.splitlines() if line.startswith(start)]


def test_summary_has_the_checks_and_the_bd_rates():
    text = summary.summarise(rows_with_rates("x", {"aec": 0.5, "jpeg": 1}), "aec bench x", "a machine")
    assert "| aec   | -50.0     | 29.50-37.30" in text
    assert "from 0.15 to 1.0 bpp: yes (least saving: 50.0 %" in text
    assert "rise with every step of its quality on every image: yes (" in text


def test_bd_rates_are_against_the_other_rivals_too_and_state_a_short_overlap():
    straight = [(0.2, 25), (0.4, 29), (0.8, 33), (1.6, 37), (3.2, 41)]  # so that the overlap changes no BD-rate
    rows = rows_with_rates("x", {"aec": 0.5, "jpeg": 1, "webp": 0.8}, straight)
    rows += rows_with_rates("x", {"avif": 0.4}, straight[:4])
    text = summary.summarise(rows, "", "")
    assert lines_of(text, "| BD-rate %") == ["| BD-rate % | vs webp | vs avif |"]
    assert lines_of(text, "| aec ")[1] == "| aec | -37.5 | +25.0 (29.50-37.00) |"
    assert lines_of(text, "| webp ")[1] == "| webp | +0.0 | +100.0 (29.50-37.00) |"


def test_sets_have_means_and_tables_of_their_own():
    rows = rows_with_rates("kodak", {"aec": 0.5, "jpeg": 1}) + rows_with_rates("clic", {"aec": 0.25, "jpeg": 1})
    text = summary.summarise(rows, "", "")
    kodak, clic = text.split("## clic: 1 image\n")
    assert "## kodak: 1 image\n" in kodak
    assert lines_of(kodak, "| aec ")[0].startswith("| aec | -50.0 |")
    assert lines_of(clic, "| aec ")[0].startswith("| aec | -75.0 |")


def test_published_curves_are_compared_on_their_own_set_only():
    rows = rows_with_rates("kodak", {"jpeg": 1, "webp": 0.5}) + rows_with_rates("clic", {"jpeg": 1})
    published = publications.Published("kodak", {"vtm": points([(bpp / 4, psnr) for bpp, psnr in JPEG])})
    kodak, clic = summary.summarise(rows, "", "", published=published).split("## clic: ")
    against_jpeg, against_webp = lines_of(kodak, "| vtm (published)")
    assert against_jpeg == "| vtm (published) | -75.0 | 29.50-37.30 | 0.050-0.750 | - | - |"
    assert against_webp == "| vtm (published) | -50.0 |"
    assert "vtm" not in clic


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
    rows = rows_with_rates("x", {"aec": 1}, pairs)
    assert summary.rises_with_quality(rows[::-1], curves.mean_curves(rows)[0]["aec"]) == answer


def test_one_image_that_does_not_rise_is_named_though_the_mean_does():
    rows = rows_with_rates("x", {"aec": 1})
    rows += [row | {"image": "odd", "psnr": 30 - row["quality"] / 10} for row in rows]
    answer = summary.rises_with_quality(rows, curves.mean_curves(rows)[0]["aec"])
    assert answer == "no (odd goes from quality 0 to 1 from 30.0000 to 29.9000 dB)"


def test_aec_is_called_through_the_public_api(folder, tmp_path, monkeypatch):
    import codec

    jpeg = codecs.jpeg()
    calls = set()

    def encode(image, *, quality, device, model, effort="default"):
        calls.add((quality, device, model, effort))
        return jpeg.encode(image, quality)

    def decode(data, *, device, model):
        calls.add((device, model))
        return Image.open(io.BytesIO(data))

    monkeypatch.setattr(codec, "encode", encode, raising=False)
    monkeypatch.setattr(codec, "decode", decode, raising=False)
    arguments = ("--codecs", "aec,aec-e1,jpeg", "--qualities", "90,30", "--device", "cpu", "--model", "m.safetensors")
    assert bench_main(folder, *arguments, "--metrics", "psnr", "-o", tmp_path) == 0
    encoded = {(quality, "cpu", "m.safetensors", effort) for quality in (30, 90) for effort in ("default", 1)}
    assert calls == encoded | {("cpu", "m.safetensors")}
    rows = rows_of(tmp_path / "rd.csv")
    for name in ("aec", "aec-e1"):
        assert [int(row["quality"]) for row in rows if row["codec"] == name] == [30, 90] * 2
    assert "Smaller than JPEG at equal PSNR at every rate from 0.15" in (tmp_path / "summary.md").read_text()


def test_avif_missing_from_pillow_is_a_message(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(codecs.features, "get_supported", lambda: ["jpg"])
    assert bench_main(folder, "--codecs", "jpeg,avif", "-o", tmp_path) == 1
    assert "avif is left out: this Pillow" in capsys.readouterr().err
    assert {row["codec"] for row in rows_of(tmp_path / "rd.csv")} == {"jpeg"}


def test_heic_without_pillow_heif_is_a_message(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # what makes an import fail
    assert bench_main(folder, "--codecs", "jpeg,heic,heic-psnr", "-o", tmp_path) == 1
    errors = capsys.readouterr().err
    assert "heic is left out: pillow-heif does not import" in errors
    assert "heic-psnr is left out: pillow-heif does not import" in errors
    assert {row["codec"] for row in rows_of(tmp_path / "rd.csv")} == {"jpeg"}
    assert "heic is left out" in (tmp_path / "summary.md").read_text()


def codec_or_skip(name):
    codec = codecs.make_codecs()[name]
    if codec.missing():
        pytest.skip(codec.missing())
    return codec


@pytest.mark.parametrize("name", ["webp", "avif", "avif-psnr", "avif-speed0", "heic", "heic-psnr"])
def test_other_codecs_round_trip(name):
    codec = codec_or_skip(name)
    image = picture(41, 50)
    small, large = (codec.encode(image, quality) for quality in (codec.qualities[0], codec.qualities[-1]))
    assert len(small) < len(large)
    assert codec.decode(large).shape == image.shape and codec.decode(large).dtype == np.uint8


def test_settings_tell_rivals_of_one_format_apart():
    made = codecs.make_codecs()
    assert "speed=0 subsampling=4:4:4" in made["avif-speed0"].settings
    assert "speed=6 subsampling=4:4:4" in made["avif"].settings
    heic = "HEIC subsampling=4:4:4 matrix_coefficients=6 full_range_flag=1 preset=slow tune="
    assert (made["heic"].settings, made["heic-psnr"].settings) == (heic + "ssim", heic + "psnr")
    assert len({codec.settings for codec in made.values()}) == len(made)


def test_heic_is_444_of_8_bits_in_jpegs_colours_and_what_libheif_does_by_default():
    heic = codec_or_skip("heic")
    import pillow_heif

    image = picture(64, 80)
    data = heic.encode(image, 50)
    info = pillow_heif.open_heif(io.BytesIO(data)).info
    assert (info["chroma"], info["bit_depth"]) == (444, 8)
    assert (info["nclx_profile"]["matrix_coefficients"], info["nclx_profile"]["full_range_flag"]) == (6, 1)
    default = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(default, quality=50, chroma=444)
    assert data == default.getvalue()


def test_heics_colour_conversion_does_not_limit_the_psnr():
    heic = codec_or_skip("heic")
    image = picture(64, 80)
    decoded = heic.decode(heic.encode(image, 100)).astype(float)
    assert 10 * math.log10(255**2 / ((image - decoded) ** 2).mean()) > 45


def test_plot_draws_published_curves_and_names_unknown_ones(folder, tmp_path):
    assert bench_main(folder, "--codecs", "jpeg", "--metrics", "psnr", "-o", tmp_path) == 0
    anchors = tmp_path / "anchors.json"
    anchors.write_text('{"vtm": {"bpp": [1, 2, 3], "psnr": [30, 33, 36]}}')
    draw = ("-o", str(tmp_path / "b.png"), "--anchors", str(anchors), "--anchor-names")
    assert plot.main([str(tmp_path / "rd.csv"), *draw, "vtm"]) == 0
    assert (tmp_path / "b.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "b.png").read_bytes() != (tmp_path / "rd.png").read_bytes()
    assert plot.main([str(tmp_path / "rd.csv"), *draw, "hm"]) == 1
    assert plot.main([str(tmp_path / "rd.csv"), *draw, "vtm", "--anchor-set", "elsewhere"]) == 1


def test_each_folder_is_a_set_and_named_files_are_one_together(folder, other_folder, tmp_path):
    arguments = (folder, other_folder / "1.png", other_folder, folder / "0.png", "--codecs", "jpeg")
    assert bench_main(*arguments, "--metrics", "psnr", "-o", tmp_path / "out") == 0
    seen = {(row["set"], row["image"]): int(row["bytes"]) for row in rows_of(tmp_path / "out" / "rd.csv")}
    names = [("images", "0.png"), ("images", "1.png"), ("files", "1.png"), ("files", "0.png")]
    assert list(seen) == [*names, ("other", "0.png"), ("other", "1.png")]
    assert seen["files", "0.png"] == seen["images", "0.png"] != seen["other", "0.png"]
    with Image.open(tmp_path / "out" / "rd.png") as image:
        assert image.size == (1200, 3 * 810)  # a panel each


def test_folders_of_one_name_are_sets_by_their_paths(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        make_folder(tmp_path / parent / "images")
    assert bench_main(tmp_path / "a/images", tmp_path / "b/images", "--codecs", "jpeg", "-o", tmp_path / "out") == 0
    sets = {row["set"] for row in rows_of(tmp_path / "out" / "rd.csv")}
    assert sets == {(tmp_path / "a/images").as_posix(), (tmp_path / "b/images").as_posix()}


def test_published_curves_need_their_set_said_where_there_are_several(folder, other_folder, tmp_path, capsys):
    anchors = tmp_path / "anchors.json"
    anchors.write_text('{"vtm": {"bpp": [0.1, 1, 9], "psnr": [20, 30, 40]}}')
    arguments = (folder, other_folder, "--codecs", "jpeg", "--anchors", anchors, "--anchor-names", "vtm")
    with pytest.raises(SystemExit) as caught:
        bench_main(*arguments, "-o", tmp_path / "out")
    assert caught.value.code == 2 and "which of the sets they belong to: images, other" in capsys.readouterr().err
    assert bench_main(*arguments, "--anchor-set", "other", "-o", tmp_path / "out") == 0
    images, other = capsys.readouterr().out.split("## other: ")
    assert "vtm (published)" in other and "vtm (published)" not in images


def test_parsing_imports_no_torch():
    code = f"import sys; from {bench.__name__} import rd; rd.parser().parse_args(['x']); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

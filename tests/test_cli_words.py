"""What `aec` says of what it has done, and the names and sizes that it takes."""

import json
import time

import numpy as np
import photos
import pytest
from PIL import Image, ImageCms
from shell import files, here

import codec
from codec.cli import arguments, parser, runner, streams
from codec.cli.jobs import Job
from codec.picture import stored
from codec.picture.pixels import of_file


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Standard error as a terminal, and what was printed there."""
    monkeypatch.setattr(streams, "on_terminal", lambda: True)
    return capsys


@pytest.fixture
def folder(tmp_path):
    """Two pictures of the same name and one of another."""
    path = tmp_path / "in"
    path.mkdir()
    Image.fromarray(photos.photo(20, 24)).save(path / "a.png")
    Image.fromarray(photos.photo(30, 24)).save(path / "a.jpg")
    Image.fromarray(photos.photo(16, 16)).save(path / "b.bmp")
    return path


# ------------------------------------------------------------------ what was done


def test_many_files_end_with_a_line_of_totals(folder, capsys):
    (folder / "broken.png").write_bytes(b"broken")
    assert here("compress", folder, "-o", folder.parent / "out") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("aec: 4 files: 3 done, 1 failed; ") and " -> " in last and last.endswith(" s")
    assert (
        here("compress", folder / "b.bmp", folder / "b.bmp", folder / "a.png", "-o", folder.parent / "out/", "-f") == 0
    )
    assert "aec: 2 files: 2 done; " in capsys.readouterr().err
    broken = (folder / "broken.png", folder / "a.png", folder / "b.bmp")
    assert here("compress", *broken, "-o", folder.parent / "new", "-j", 1, "--no-keep-going") == 1
    assert "aec: 3 files: 1 failed, 2 not begun, " in capsys.readouterr().err
    assert here("compress", folder / "b.bmp", folder, "-o", folder.parent / "out", "--skip-existing") == 1
    assert "aec: 4 files: 3 skipped, 1 failed, " in capsys.readouterr().err


def test_verify_says_how_many_files_are_whole(folder, capsys):
    here("compress", folder, "-o", folder.parent / "out", "--quiet")
    assert here("verify", folder.parent / "out") == 0
    out = capsys.readouterr()
    assert out.err.startswith("aec: 3 files: 3 whole; ") and out.out == ""


def test_quiet_is_quiet(folder, terminal):
    assert here("compress", folder, "-o", folder.parent / "out", "--quiet") == 0
    assert here("verify", folder.parent / "out", "--quiet") == 0
    assert here("decompress", folder.parent / "out" / "b.aec", "--quiet") == 0
    assert terminal.readouterr() == ("", "")


def test_one_file_is_a_line_on_a_terminal_and_nothing_elsewhere(folder, terminal, monkeypatch):
    assert here("compress", folder / "b.bmp", "-f") == 0
    assert "b.bmp: 16x16, 822 -> " in terminal.readouterr().err.splitlines()[-1]
    assert here("verify", folder / "b.aec") == 0
    assert terminal.readouterr().err.endswith("b.aec: whole: checksums of its tile are right\n")
    assert here("decompress", folder / "b.aec", "-f") == 0
    assert "-> 16x16 -> " in terminal.readouterr().err
    monkeypatch.setattr(streams, "on_terminal", lambda: False)
    assert here("compress", folder / "b.bmp", "-f") == 0
    assert terminal.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (62015, "62.0 kB"),
        (34_500_000, "34.5 MB"),
        (2e15, "2000.0 TB"),
    ],
)
def test_sizes_are_told_in_the_unit_that_suits_them(n_bytes, text):
    assert runner.size_text(int(n_bytes)) == text


def test_a_long_job_without_steps_shows_a_sign_of_life_within_half_a_second(terminal):
    args = parser.make_parser().parse_args(["info", "x.aec"])
    seen = []

    def work(job, progress):
        for _ in range(200):
            time.sleep(0.01)
            seen.append(terminal.readouterr().err)
            if seen[-1]:
                break
        return runner.Row()

    runner.run(args, [Job("x.aec", None)], work)
    assert "x.aec:   0%" in seen[-1]
    assert runner._TICK <= 0.5  # that it was so soon is for the clock of a quiet machine
    left = terminal.readouterr().err.rpartition("\r")[2]
    assert not left.strip()  # it was wiped


def test_refusals_name_both_ways_out(folder, capsys):
    here("compress", folder / "b.bmp")
    assert here("compress", folder / "b.bmp") == 7
    assert capsys.readouterr().err.endswith(
        "b.aec exists already: -f overwrites it, --skip-existing leaves it as it is\n"
    )


# ------------------------------------------------------------------ names


def test_pictures_of_one_name_keep_their_suffix_and_come_back_apart(folder, capsys):
    out = folder.parent / "out"
    assert here("compress", folder, "-o", out) == 0
    assert files(out) == {"a.png.aec", "a.jpg.aec", "b.aec"}
    assert "2 pictures keep their suffix, such as " in capsys.readouterr().err
    assert here("decompress", out, "-o", folder.parent / "back") == 0
    assert files(folder.parent / "back") == {"a.png.png", "a.jpg.png", "b.png"}
    assert Image.open(folder.parent / "back" / "a.png.png").size == (24, 20)


@pytest.mark.parametrize(
    ("inputs", "made"),
    [
        (("p/x.png", "q/x.png"), {"x.aec"}),  # the suffix would not tell them apart
        (("a.jpg", "./a.jpg"), {"a.aec"}),  # one file
        (("a.jpg", "a.png", "a.jpg.png"), {"a.jpg.aec", "a.png.aec", "a.jpg.png.aec"}),
        (("a.jpg", "p/x.png"), {"a.aec", "x.aec"}),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_only_pictures_that_it_tells_apart_keep_their_suffix(tmp_path, monkeypatch, inputs, made, absolute, capsys):
    for name in inputs:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photos.photo(16, 16)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    named = [str(tmp_path / inputs[0]) if absolute else inputs[0], *inputs[1:]]
    here("compress", *named, "-o", "out/")
    assert files(tmp_path / "out") == made
    assert ("keep their suffix" in capsys.readouterr().err) == any(name.count(".") > 1 for name in made)


def test_names_without_a_suffix_and_names_that_were_given_are_nothing_to_tell_of(folder, capsys):
    (folder / "b.bmp").rename(folder / "photo")
    assert here("compress", folder / "photo") == 0 and (folder / "photo.aec").exists()
    assert here("compress", folder / "a.png", "-o", folder / "a.png.aec") == 0
    assert capsys.readouterr().err == ""


def test_all_keep_their_suffix_if_asked(folder):
    assert here("compress", folder / "b.bmp", "--keep-suffix") == 0
    assert (folder / "b.bmp.aec").exists() and not (folder / "b.aec").exists()
    assert here("compress", folder, "--keep-suffix", "--output-dir-mirror", folder.parent / "m", "--skip-existing") == 0
    assert {path.rpartition("/")[2] for path in files(folder.parent / "m")} == {"a.png.aec", "a.jpg.aec", "b.bmp.aec"}


@pytest.mark.parametrize("name", ["out.avif", "out.PNG", "out.jxl"])
def test_compress_does_not_write_an_aec_file_under_the_name_of_another_kind(folder, name, capsys):
    assert here("compress", folder / "b.bmp", "-o", folder / name) == 2
    assert "compress makes .aec files" in capsys.readouterr().err and not (folder / name).exists()


def test_a_folder_takes_every_kind_that_a_single_file_may_have(folder):
    Image.fromarray(photos.photo(16, 16)).save(folder / "icon.ico")
    assert here("compress", folder, "-o", folder.parent / "out") == 0
    assert "icon.aec" in files(folder.parent / "out")


def test_a_new_file_without_a_suffix_is_made_only_where_the_kind_is_said(folder, capsys):
    assert here("compress", folder / "b.bmp", "-f", "-o", folder / "plain") == 2
    assert "there is no such folder" in capsys.readouterr().err and "plain" not in files(folder)
    assert here("compress", folder / "b.bmp", "-o", folder / "plain", "--format", "aec") == 0
    assert codec.inspect(folder / "plain").width == 16
    assert here("compress", folder / "b.bmp", "-o", folder / "b.jpg", "--format", "aec") == 2
    assert "compress makes .aec files" in capsys.readouterr().err and "b.jpg" not in files(folder)


# ------------------------------------------------------------------ what decompress writes


def test_decompress_writes_the_kind_and_quality_that_are_asked_for(folder, capsys):
    out, web = folder.parent / "out", folder.parent / "web"
    here("compress", folder, "-o", out)
    assert here("decompress", out, "-o", web, "--format", "jpg", "--out-quality", 30) == 0
    assert files(web) == {"a.png.jpg", "a.jpg.jpg", "b.jpg"} and Image.open(web / "b.jpg").format == "JPEG"
    good = folder.parent / "good.jpg"
    assert here("decompress", out / "b.aec", "-o", good) == 0
    assert (web / "b.jpg").stat().st_size < good.stat().st_size
    assert here("decompress", out / "b.aec", "-o", folder.parent / "c.png", "--out-quality", 30) == 7
    assert "PNG has no quality" in capsys.readouterr().err
    assert here("decompress", out / "b.aec", "-o", folder.parent / "c.png", "--format", "jpg") == 2
    assert here("decompress", out / "b.aec", "-o", folder.parent / "plain", "--format", "jpeg") == 0
    assert Image.open(folder.parent / "plain").format == "JPEG"
    assert here("decompress", out / "b.aec", folder / "absent.aec", "-o", web, "--format", "webp") == 1
    assert "b.webp" in files(web)


def test_the_kind_that_is_asked_for_goes_to_standard_output(folder, capfdbinary):
    here("compress", folder / "b.bmp", "--quiet")
    assert here("decompress", folder / "b.aec", "-o", "-", "--format", "jpg") == 0
    assert capfdbinary.readouterr().out.startswith(b"\xff\xd8")


def test_what_was_kept_exactly_becomes_lossy_webp_or_avif_only_if_a_quality_is_named(tmp_path):
    image = photos.photo(40, 48)
    path = tmp_path / "x.aec"
    path.write_bytes(codec.encode(image, lossless=True))
    assert here("decompress", path, "-o", tmp_path / "x.webp") == 0
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "x.webp")), image)
    assert here("decompress", path, "-o", tmp_path / "x.avif") == 7
    assert here("decompress", path, "-o", tmp_path / "x.avif", "--out-quality", 60) == 0
    assert here("decompress", path, "-o", tmp_path / "y.webp", "--out-quality", 60) == 0
    assert not np.array_equal(np.array(Image.open(tmp_path / "y.webp").convert("RGB")), image)


def test_decompress_fits_into_a_size(folder):
    assert here("compress", folder / "a.jpg", "-o", folder / "a.aec") == 0
    assert here("decompress", folder / "a.aec", "-o", folder / "small.png", "--fit", "12x100") == 0
    assert Image.open(folder / "small.png").size == (12, 15)
    assert here("decompress", folder / "a.aec", "-o", folder / "s.png", "--fit", "12x100", "--scale", "1/2") == 2


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("1", 1),
        ("1/1", 1),
        ("1/2", 0.5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("50%", 0.5),
        ("12.5%", 1 / 8),
        ("100%", 1),
        ("0.25", 0.25),
    ],
)
def test_scales_are_taken_as_people_write_them(text, scale):
    assert arguments.scale(text) == scale


@pytest.mark.parametrize("text", ["", "0", "1/3", "2", "0.3", "1/0", "-1/2", "50", "1/2%", "half", "."])
def test_other_scales_are_refused_with_what_is_allowed(text, capsys):
    assert here("decompress", "x.aec", f"--scale={text}") == 2
    assert "1/2, 1/4 and 1/8" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0x5", "5", "5x", "5x5x5", "-5x5", "1.5x2"])
def test_other_sizes_to_fit_into_are_refused(text, capsys):
    assert here("decompress", "x.aec", f"--fit={text}") == 2
    assert "640x480" in capsys.readouterr().err


# ------------------------------------------------------------------ what a newcomer types


def test_a_folder_without_r_says_what_it_did_not_look_into(folder, capsys):
    (folder / "below").mkdir()
    Image.fromarray(photos.photo(16, 16)).save(folder / "below" / "c.png")
    assert here("compress", folder, "-o", folder.parent / "out") == 0
    assert "left out of the folders: 1 folder (-r takes it too); a file that is named itself" in capsys.readouterr().err
    assert here("verify", folder.parent) == 3
    assert "folder (-r takes it too)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compress", "b.bmp", "out.aec"], "out.aec: no such file; to name an output, write -o out.aec"),
        (["decompress", "b.aec", "out.png"], "out.png: no such file; to name an output, write -o out.png"),
        (["compress", "b.aec"], "b.aec is an .aec file already"),
        (["decompress", "a.png"], "a.png is not an .aec file"),
        (["compress", "a.png", "-o", "a.png"], "would be written onto itself: name another output with -o"),
    ],
)
def test_an_output_without_its_o_and_the_like_are_told_as_what_they_are(folder, monkeypatch, arguments, words, capsys):
    monkeypatch.chdir(folder)
    assert here("compress", "b.bmp") == 0
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    assert here(*arguments) == 2
    assert words in capsys.readouterr().err
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_info_names_the_metadata_inside_a_stored_file(tmp_path, name, capsys):
    exif = Image.Exif()
    exif[0x010F] = "a camera that tells where it was"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    options = {} if name.endswith("png") else {"quality": 5}
    image.save(tmp_path / name, exif=exif, icc_profile=profile, **options)
    path, source = tmp_path / "x.aec", (tmp_path / name).read_bytes()
    path.write_bytes(stored.file(of_file(source), source, codec.Metadata()))
    assert here("info", "--json", path) == 0
    blocks = codec.read_metadata(path).blocks()
    assert set(blocks) == {"exif", "icc"}
    found = json.loads(capsys.readouterr().out)["metadata"]
    assert found["icc"] == len(blocks["icc"]) and len(blocks["exif"]) <= found["exif"] <= len(blocks["exif"]) + 6
    assert here("info", path) == 0
    assert f"exif {found['exif']} bytes" in capsys.readouterr().out

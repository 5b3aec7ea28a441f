"""`aec` over many files: what is meant, where it goes, what becomes of each, in any number of threads."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import photos
import pytest
from PIL import Image
from shell import AEC, files, here

import codec
from codec import conversion

KEYS = ["in", "out", "bytes_in", "bytes_out", "width", "height", "bpp", "quality", "seconds", "status", "error"]
BROKEN = {"broken.png", "cut.jpg"}


def test_several_inputs_go_into_a_folder(tmp_path, album):
    out = tmp_path / "out"
    assert here("compress", album / "a.png", album / "b.jpg", "-o", out) == 0
    assert files(out) == {"a.aec", "b.aec"}


def test_a_folder_means_the_pictures_in_it_and_with_r_all_below(tmp_path, album):
    assert here("compress", album, "-o", tmp_path / "flat") == 0
    assert files(tmp_path / "flat") == {"a.aec", "b.aec"}
    assert here("compress", album, "-r", "-o", f"{tmp_path}/tree/") == 0
    assert files(tmp_path / "tree") == {"a.aec", "b.aec", "below/c.aec"}
    assert here("decompress", tmp_path / "tree", "-r", "-o", f"{tmp_path}/back/") == 0
    assert files(tmp_path / "back") == {"a.png", "b.png", "below/c.png"}
    assert Image.open(tmp_path / "back" / "below" / "c.png").size == (24, 18)


def test_a_folder_goes_into_a_folder_even_with_one_picture(tmp_path, picture):
    assert here("compress", tmp_path, "-o", tmp_path / "small") == 0
    assert files(tmp_path) == {"photo.png", "small/photo.aec"}


def test_a_folder_without_pictures_is_unreadable_input(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert here("compress", tmp_path / "empty") == 3
    assert "no file ending in" in capsys.readouterr().err


def test_one_bad_file_among_several_does_not_stop_the_others(tmp_path, album, capsys):
    (album / "aa.png").write_bytes(b"broken")
    assert here("compress", album, tmp_path / "absent.png", "-o", f"{tmp_path}/out/", "-j", 1) == 1
    assert files(tmp_path / "out") == {"a.aec", "b.aec"}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and "aa.png: not a picture" in lines[1] and "absent.png" in lines[2]
    assert lines[3].startswith("aec: 4 files: 2 done, 2 failed; ")
    assert all(line.startswith("aec: ") for line in lines)


def rows(text: str) -> dict[str, dict]:
    """What --json printed, by the name of the input."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(list(row) == KEYS for row in found)
    return {Path(row["in"]).name: row for row in found}


@pytest.fixture
def mixed(tmp_path):
    """A folder as they are: pictures of several kinds and modes, odd names, and files that are none."""
    folder = tmp_path / "mixed folder"
    (folder / "below [2]").mkdir(parents=True)
    names = ("a.png", "B.JPG", "näme with späce.webp", "below [2]/c*?.png", "-dash.bmp", "x" * 240 + ".png")
    for i, name in enumerate(names):
        Image.fromarray(photos.photo(17 + i, 24 + i, seed=i)).save(folder / name)
    Image.fromarray(photos.photo(20, 20)[..., 0].copy()).save(folder / "gray.tif")
    (folder / "broken.png").write_bytes(b"broken")
    (folder / "cut.jpg").write_bytes((folder / "B.JPG").read_bytes()[:300])
    (folder / "notes.txt").write_text("no picture")
    (folder / "folder.png").mkdir()
    return folder


GOOD = {"a.aec", "B.aec", "näme with späce.aec", "below [2]/c*?.aec", "-dash.aec", "x" * 240 + ".aec", "gray.aec"}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


@pytest.fixture
def one_torch_thread(threads):
    """For each file, whatever -j is: with more, torch may choose other kernels, which round in other places."""
    threads(1)


def test_a_mixed_folder_costs_a_row_for_each_bad_file_and_parallel_runs_write_the_same_bytes(
    tmp_path, mixed, capsys, one_torch_thread
):
    made = {}
    for jobs in (1, 2, 5, "all"):
        out = tmp_path / f"out{jobs}"
        assert here("compress", "-r", mixed, "-o", out, "-j", jobs, "--json") == 1
        stdout, stderr = capsys.readouterr()
        found = rows(stdout)
        assert len(found) == 9 and {n for n, row in found.items() if row["status"] == "failed"} == BROKEN
        assert {row["status"] for row in found.values()} == {"done", "failed"}
        left_out, *lines, totals = stderr.splitlines()
        assert totals.startswith("aec: 9 files: 7 done, 2 failed; ")
        assert left_out == "aec: left out of the folders: 1 .txt; a file that is named itself is tried"
        assert sorted(line.split(": ")[1].rpartition("/")[2] for line in lines) == sorted(BROKEN)
        made[jobs] = contents(out)
        assert set(made[jobs]) == GOOD
    assert made[1] == made[2] == made[5] == made["all"]
    serial, parallel = tmp_path / "back1", tmp_path / "back3"
    assert here("decompress", "-r", tmp_path / "out1", "-o", serial, "-j", 1) == 0
    assert here("decompress", "-r", tmp_path / "out1", "-o", parallel, "-j", 3) == 0
    assert contents(serial) == contents(parallel) and len(contents(serial)) == len(GOOD)


def test_a_row_of_json_says_what_was_made(tmp_path, picture, capsys):
    packed, back = tmp_path / "photo.aec", tmp_path / "back.png"
    assert here("compress", picture, "-q", 60, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    size = packed.stat().st_size
    expected = {
        "in": str(picture),
        "out": str(packed),
        "bytes_in": picture.stat().st_size,
        "bytes_out": size,
        "width": 56,
        "height": 40,
        "bpp": round(8 * size / (56 * 40), 4),
        "quality": 60,
        "status": "done",
        "error": None,
    }
    assert row.pop("seconds") > 0 and row == expected
    assert here("decompress", packed, "-o", back, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    expected |= {"in": str(packed), "out": str(back), "bytes_in": size, "bytes_out": back.stat().st_size}
    assert row.pop("seconds") > 0 and row == expected
    assert here("compress", tmp_path / "absent.png", "--json") == 3
    row = json.loads(capsys.readouterr().out)
    assert row["status"] == "failed" and "No such file" in row["error"] and row["bytes_in"] is None


def test_skip_existing_does_what_is_left_and_touches_nothing_else(tmp_path, mixed, capsys):
    out = tmp_path / "out"
    assert here("compress", mixed, "-o", out) == 1
    for name in ("a.aec", "gray.aec"):
        (out / name).unlink()
    (out / "B.aec").write_bytes(b"precious")
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    capsys.readouterr()
    assert here("compress", "-r", mixed, "-o", out, "--skip-existing", "--json", "-j", 2) == 1
    found = rows(capsys.readouterr().out)
    done = {name for name, row in found.items() if row["status"] == "done"}
    skipped = {name for name, row in found.items() if row["status"] == "skipped"}
    assert done == {"a.png", "gray.tif", "c*?.png"} and len(skipped) == 4
    assert all("exists already" in found[name]["error"] for name in skipped)
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert (out / "B.aec").read_bytes() == b"precious" and files(out) == GOOD
    (mixed / "broken.png").unlink(), (mixed / "cut.jpg").unlink()
    assert here("compress", "-r", mixed, "-o", out, "--skip-existing", "-v") == 0
    assert capsys.readouterr().err.count("exists already") == 7


def test_without_keep_going_the_first_failure_is_the_last_file(tmp_path, album, capsys):
    (album / "aa.png").write_bytes(b"broken")
    assert here("compress", album, "-o", f"{tmp_path}/out/", "--no-keep-going", "-j", 1, "--quiet") == 1
    assert files(tmp_path / "out") == {"a.aec"} and capsys.readouterr().err.count("\n") == 1
    for name in ("a.png", "b.jpg"):  # now the first is the bad one
        (album / name).rename(album / f"z{name}")
    assert here("compress", album, "-o", f"{tmp_path}/two/", "--no-keep-going", "-j", 2, "--json") == 1
    found = rows(capsys.readouterr().out)
    done = {name for name, row in found.items() if row["status"] == "done"}
    assert found["aa.png"]["status"] == "failed"
    assert {f"{Path(name).stem}.aec" for name in done} == (files(tmp_path / "two") if done else set())


def test_a_mirror_repeats_the_paths_of_the_inputs(tmp_path, album, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert here("compress", "-r", "./album", "--output-dir-mirror", "m") == 0
    assert files(tmp_path / "m") == {"album/a.aec", "album/b.aec", "album/below/c.aec"}
    assert here("compress", album / "a.png", "album/below/c.png", "--output-dir-mirror", "n") == 0
    rooted = str((album / "a.aec").relative_to(album.anchor))
    assert files(tmp_path / "n") == {rooted, "album/below/c.aec"}
    monkeypatch.chdir(album / "below")
    assert here("compress", "../a.png", "--output-dir-mirror", "m") == 2
    assert "'..'" in capsys.readouterr().err and files(album / "below") == {"c.png"}


def test_a_dry_run_says_what_would_be_and_writes_nothing(tmp_path, mixed, capsys):
    before = files(tmp_path)
    assert here("compress", "-r", mixed, "-o", tmp_path / "out", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9 and f"{mixed}/below [2]/c*?.png -> {tmp_path}/out/below [2]/c*?.aec" in lines
    (mixed / "a.aec").write_bytes(b"there")
    assert here("compress", mixed, mixed / "absent.png", "--dry-run", "--json") == 1
    found = rows(capsys.readouterr().out)
    failed = {name: row["error"] for name, row in found.items() if row["status"] == "failed"}
    assert set(failed) == {"a.png", "absent.png"} and "exists already" in failed["a.png"]
    assert {row["status"] for row in found.values()} == {"planned", "failed"}
    assert here("compress", mixed, "--dry-run", "--skip-existing", "--json") == 0
    assert rows(capsys.readouterr().out)["a.png"]["status"] == "skipped"
    assert files(tmp_path) == before | {"mixed folder/a.aec"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_times_of_the_inputs_are_preserved_on_demand(tmp_path, album, jobs):
    times = {name: 1_000_000_000_000_000_000 + i * 1_000_000_007 for i, name in enumerate(sorted(files(album)))}
    for name, ns in times.items():
        os.utime(album / name, ns=(ns, ns))
    assert here("compress", "-r", album, "-o", tmp_path / "out", "--preserve-mtime", "-j", jobs) == 0
    stamps = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in files(tmp_path / "out")}
    assert stamps == {f"{name[:-4]}.aec": ns for name, ns in times.items() if not name.endswith(".txt")}
    assert here("compress", "-r", album, "-o", tmp_path / "now", "-j", jobs) == 0
    assert all((tmp_path / "now" / name).stat().st_mtime_ns > 1.5e18 for name in files(tmp_path / "now"))


def test_patterns_are_expanded_where_the_shell_did_not(tmp_path, mixed, monkeypatch, capsys):
    monkeypatch.chdir(mixed)
    assert here("compress", "[aB].*", "-o", "../out", "--quiet") == 0
    assert files(tmp_path / "out") == {"a.aec", "B.aec"}
    assert here("compress", "**/*.png", "-o", "../deep", "--quiet") == 1
    assert {line.split(": ")[1] for line in capsys.readouterr().err.splitlines()} == {"broken.png", "folder.png"}
    assert files(tmp_path / "deep") == {"a.aec", "c*?.aec", "x" * 240 + ".aec"}
    assert (
        here("compress", "below [2]/c*?.png", "below*", "-o", "../named", "--quiet") == 0
    )  # a name that exists is no pattern
    assert files(tmp_path / "named") == {"c*?.aec"}  # once, though both stand for it
    assert here("compress", "nothing*.png", "a.png", "-o", "../some", "--quiet") == 1
    assert capsys.readouterr().err == "aec: nothing*.png: no file matches this pattern\n"
    assert files(tmp_path / "some") == {"a.aec"}
    assert here("compress", "nothing*.png") == 3


def test_a_list_of_files_is_taken_literally(tmp_path, mixed, monkeypatch, capsys):
    monkeypatch.chdir(mixed)
    names = "\n".join(["a.png", "", "below [2]", "-dash.bmp"]).encode() + b"\n"
    (tmp_path / "list").write_bytes(names)
    assert here("compress", "--filelist", tmp_path / "list", "B.JPG", "-o", "../out", "--quiet") == 0
    assert files(tmp_path / "out") == {"a.aec", "c*?.aec", "-dash.aec", "B.aec"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(names + b"*.webp\n")))
    assert here("compress", "--filelist", "-", "-o", "../piped") == 1
    err = capsys.readouterr().err
    assert err.startswith("aec: *.webp: ") and err.count("\n") == 2
    assert files(tmp_path / "piped") == {"a.aec", "c*?.aec", "-dash.aec"}
    (tmp_path / "list").write_bytes(b"a.png\0below [2]\0-dash.bmp\0")  # as `find -print0` writes it
    assert here("compress", "--filelist", tmp_path / "list", "-o", "../found") == 0
    assert files(tmp_path / "found") == {"a.aec", "c*?.aec", "-dash.aec"}


def test_an_empty_list_is_nothing_to_do(tmp_path, capsys):
    (tmp_path / "list").write_text("\n")
    assert here("compress", "--filelist", tmp_path / "list", "--progress") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_names_that_are_no_text_are_told_and_compressed(tmp_path, album, capsys):
    name = os.fsdecode(b"\xff\xfe.png")
    (album / "a.png").rename(album / name)
    assert here("compress", album, "-o", tmp_path / "out", "--dry-run") == 0
    assert "\\udcff\\udcfe.png -> " in capsys.readouterr().out
    assert here("compress", album, "-o", tmp_path / "out", "--json", "-v") == 0
    assert name in rows(capsys.readouterr().out) and os.fsdecode(b"\xff\xfe.aec") in files(tmp_path / "out")


def test_a_bar_counts_files_and_lines_do_not_tear_it(tmp_path, album, capsys):
    (album / "aa.png").write_bytes(b"broken")
    assert here("compress", "-r", album, "-o", tmp_path / "out", "--progress", "-j", 2) == 1
    err = capsys.readouterr().err
    assert "4/4" in err and "file" in err and "\naec: " in err.replace("\r", "\n")


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_gives_up_what_is_under_way_and_says_what_was_done(tmp_path, mixed, jobs, monkeypatch, capsys):
    """With what has been read when Ctrl-C comes nothing is done any more."""
    seen = []

    def open_picture(data):
        seen.append(data)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # the main thread hears of it
        return original(data)

    original = conversion.open_picture
    monkeypatch.setattr(conversion, "open_picture", open_picture)
    handler = signal.getsignal(signal.SIGINT)
    assert here("compress", "-r", mixed, "-o", tmp_path / "out", "-j", jobs, "--json") == 130
    stdout, stderr = capsys.readouterr()
    done = [row for row in rows(stdout).values() if row["status"] == "done"]
    assert stderr.splitlines()[-1] == f"aec: interrupted: {len(done)} of 9 files done"
    assert {Path(row["out"]).name for row in done} == {Path(n).name for n in files(tmp_path / "out")}
    assert 3 <= len(seen) <= 4 and len(done) <= 3
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_run_that_is_interrupted_or_killed_goes_on_where_it_was(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for i in range(30):
        Image.fromarray(photos.photo(96, 96, seed=i)).save(source / f"{i:02}.png")
    arguments = ["compress", source, "-o", out, "--skip-existing"]
    for stop, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        before = len(list(out.glob("*.aec")))
        run = subprocess.Popen([*AEC, *arguments, "-j", "2", "-e", "3"], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.aec"))) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        run.send_signal(stop)
        stderr = run.communicate(timeout=60)[1]
        assert run.returncode == code
        made = list(out.glob("*.aec"))
        assert before + 3 <= len(made) < 30 and all(codec.inspect(p.read_bytes()).width == 96 for p in made)
        if stop == signal.SIGINT:
            assert stderr == f"aec: interrupted: {len(made)} of 30 files done\n" and files(out) == {
                p.name for p in made
            }
    assert here(*arguments) == 0
    assert {p.stem for p in out.glob("*.aec")} == {f"{i:02}" for i in range(30)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png", "-o", "-", "--json"], "standard output"),
        (["a.png", "-o", "-", "--skip-existing"], "standard output"),
        (["-", "-o", "x.aec", "--preserve-mtime"], "no time"),
        (["-", "--output-dir-mirror", "m"], "standard input"),
        (["a.png", "-f", "--skip-existing"], "not allowed with"),
        (["a.png", "-o", "x", "--output-dir-mirror", "m"], "not allowed with"),
        (["-", "--filelist", "-"], "both"),
        ([], "nothing to do"),
        (["a.png", "-j", "0"], "at least 1"),
        (["a.png", "-j", "some"], "must be a whole number, at least 1, or all"),
    ],
)
def test_options_that_would_be_ignored_are_usage_errors(arguments, words, album, monkeypatch, capsys):
    monkeypatch.chdir(album)
    before = files(album)
    assert here("compress", *arguments) == 2
    err = capsys.readouterr().err
    assert "usage: aec compress" in err and words in err and files(album) == before


def test_two_inputs_that_meet_in_one_output_cost_one_row(tmp_path, album, capsys):
    (tmp_path / "other").mkdir()
    Image.fromarray(photos.photo(16, 16)).save(tmp_path / "other" / "a.png")
    inputs = (tmp_path / "other" / "a.png", album / "a.png")
    assert here("compress", "-e1", *inputs, "-o", tmp_path / "out", "--quiet") == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "album/a.png: " in err and "other/a.png becomes " in err
    assert codec.inspect(tmp_path / "out" / "a.aec").width == 16

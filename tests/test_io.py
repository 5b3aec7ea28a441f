"""Files are written whole or not at all, never over another unasked, and with the permissions of what they replace."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shell import files, here

from codec import io
from codec.io import OutputError, search, write_bytes

# How a file gets its name: from none, from one that ends in .part, or where there are no hard links.
WAYS = ["nameless", "named", "no links"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "nameless" and not hasattr(os, "O_TMPFILE"):
        pytest.skip("files have names from the beginning here")
    if request.param != "nameless":
        monkeypatch.setattr(io, "_open_nameless", lambda *_: None)
    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)
    return request.param


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_of_many_that_write_one_file_at_once_one_succeeds_and_its_bytes_stay(tmp_path, way):
    for round in range(20):
        target, start, done = tmp_path / f"{round}.aec", threading.Barrier(4), []

        def write(data: bytes, target=target, start=start, done=done):
            start.wait()
            try:
                write_bytes(target, data, force=False)
                done.append(data)
            except OutputError as e:
                assert str(e) == f"{target} exists already: -f overwrites it"

        threads = [threading.Thread(target=write, args=[bytes([i]) * 1000]) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert done == [target.read_bytes()]
    assert len(files(tmp_path)) == 20


def test_a_file_that_comes_while_another_is_made_is_kept(tmp_path, way, monkeypatch):
    def late(descriptor):
        (tmp_path / "x").write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", late)
    with pytest.raises(OutputError, match="exists already: -f overwrites it"):
        write_bytes(tmp_path / "x", b"ours", force=False)
    assert (tmp_path / "x").read_bytes() == b"theirs" and files(tmp_path) == {"x"}
    write_bytes(tmp_path / "x", b"ours", force=True)
    assert (tmp_path / "x").read_bytes() == b"ours" and files(tmp_path) == {"x"}


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files have names from the beginning here")
@pytest.mark.parametrize("force", [False, True])
def test_a_process_that_is_killed_while_it_writes_leaves_nothing(tmp_path, force):
    script = (
        "import os, sys, time, pathlib\nfrom codec.io import write_bytes\n"
        "os.fsync = lambda _: (print('written', flush=True), time.sleep(60))\n"
        "write_bytes(pathlib.Path(sys.argv[1]), b'x' * 100_000, bool(int(sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "x"), str(int(force))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


@given(st.integers(0, 0o7777), st.sampled_from([0, 0o022, 0o027, 0o077]))
def test_a_new_file_has_the_given_permissions_less_those_of_the_umask(tmp_path_factory, given_mode, mask):
    path = tmp_path_factory.mktemp("new") / "x"
    before = os.umask(mask)
    try:
        write_bytes(path, b"", False, mode=io.permissions(os.stat_result((stat.S_IFREG | given_mode, *[0] * 9))))
    finally:
        os.umask(before)
    assert mode(path) == given_mode & 0o777 & ~mask


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o664, 0o604, 0o400])
def test_a_file_that_is_overwritten_keeps_its_permissions_and_owner(tmp_path, way, kept):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    owner = (12345, 54321) if os.geteuid() == 0 else (os.geteuid(), path.stat().st_gid)
    os.chown(path, *owner)
    path.chmod(kept)
    write_bytes(path, b"new", True, times=(10**9, 2 * 10**9))
    status = path.stat()
    assert path.read_bytes() == b"new" and (status.st_uid, status.st_gid) == owner
    assert (mode(path), status.st_atime_ns, status.st_mtime_ns) == (kept, 10**9, 2 * 10**9)
    write_bytes(path, b"newer", True)
    assert path.stat().st_mtime_ns > 10**18 and files(tmp_path) == {"x"}


def test_whoever_cannot_keep_owner_and_group_gives_nobody_a_right(tmp_path, way, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "no")

    path = tmp_path / "x"
    path.write_bytes(b"old")
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, 54321)
    path.chmod(0o4664)
    monkeypatch.setattr(os, "chown", refuse)
    write_bytes(path, b"new", True)
    assert (mode(path), path.read_bytes()) == (0o604, b"new")


@pytest.mark.parametrize("to", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_not_followed_unless_forced(tmp_path, to):
    link = tmp_path / "link"
    link.symlink_to(to)
    with pytest.raises(OutputError, match=f"link is a link to {to}, where nothing is: -f writes there"):
        write_bytes(link, b"x", False)
    assert files(tmp_path) == set() and link.is_symlink()
    if to == "link":
        with pytest.raises(OutputError, match="Too many levels of symbolic links"):
            write_bytes(link, b"x", True)
    else:
        write_bytes(link, b"x", True)
        assert (tmp_path / to).read_bytes() == b"x"
    assert link.is_symlink()


# ------------------------------------------------------------------ the same of the command


@pytest.fixture
def private(tmp_path):
    """A folder for one's own eyes, below another, with a picture in it that could be read by all."""
    folder = tmp_path / "in" / "private"
    folder.mkdir(parents=True)
    Image.fromarray(photos.photo(16, 16)).save(folder / "p.png")
    (folder / "p.png").chmod(0o644)
    folder.chmod(0o700)
    return folder


def test_outputs_have_the_permissions_of_their_inputs(tmp_path, private):
    os.chmod(private / "p.png", 0o4600)
    assert here("compress", "--lossless", private / "p.png") == 0
    assert mode(private / "p.aec") == 0o600
    assert here("decompress", private / "p.aec", "-o", tmp_path / "p.png") == 0
    assert here("view", private / "p.aec", "-o", tmp_path / "p.html") == 0
    assert mode(tmp_path / "p.png") == mode(tmp_path / "p.html") == 0o600


def test_a_page_that_compares_may_be_read_by_those_who_may_read_all_that_is_on_it(tmp_path, private):
    os.chmod(private / "p.png", 0o604)
    Image.open(private / "p.png").save(private / "p.jpg")
    os.chmod(private / "p.jpg", 0o640)
    assert here("compare", private / "p.png", private / "p.jpg", "-o", tmp_path / "p.html") == 0
    assert mode(tmp_path / "p.html") == 0o600


@pytest.mark.parametrize("where", [["-o", "out/"], ["--output-dir-mirror", "out"]])
def test_folders_that_are_made_have_the_permissions_of_those_they_stand_for(tmp_path, private, where, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert here("compress", "--lossless", "-r", "in", *where) == 0
    (made,) = Path("out").rglob("private")
    assert mode(made) == 0o700 and files(made) == {"p.aec"}
    made.joinpath("p.aec").unlink()
    made.chmod(0o755)  # what is there is left as it is
    assert here("compress", "--lossless", "-r", "in", *where) == 0
    assert mode(made) == 0o755


def test_a_circle_of_links_costs_a_row_and_has_the_exit_code_of_its_side(tmp_path, private, capsys):
    (tmp_path / "in" / "circle.png").symlink_to("circle.png")
    (tmp_path / "in" / "dead.png").symlink_to("nothing")
    (tmp_path / "circle.aec").symlink_to("circle.aec")
    assert here("compress", "--lossless", tmp_path / "in" / "circle.png") == 3
    assert here("compress", "--lossless", private / "p.png", "-o", tmp_path / "circle.aec") == 7
    assert here("compress", "--lossless", "-f", private / "p.png", "-o", tmp_path / "circle.aec") == 7
    capsys.readouterr()
    assert here("compress", "--lossless", "-r", tmp_path / "in", "-o", tmp_path / "out") == 1
    assert files(tmp_path / "out") == {"private/p.aec"}
    *lines, totals = capsys.readouterr().err.splitlines()
    assert totals.startswith("aec: 3 files: 1 done, 2 failed; ")
    first, second = sorted(lines)
    assert "circle.png: Too many levels of symbolic links" in first and "dead.png: No such file" in second


# ------------------------------------------------------------------ what is in folders


@pytest.fixture
def locked(tmp_path, private, monkeypatch):
    """A folder in which one cannot be listed. Root may list all, so that it is the system's answer that is made up."""
    closed = tmp_path / "in" / "closed"
    closed.mkdir()
    Image.fromarray(photos.photo(16, 16)).save(closed / "q.png")
    original = os.scandir

    def scandir(path):
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return closed


def test_a_folder_that_cannot_be_listed_is_a_failure_and_the_others_go_on(tmp_path, locked, capsys):
    assert here("compress", "--lossless", "-r", tmp_path / "in", "-o", tmp_path / "out") == 1
    assert files(tmp_path / "out") == {"private/p.aec"}
    assert capsys.readouterr().err.startswith(f"aec: {locked}: cannot be listed: Permission denied\naec: 2 files: ")
    assert here("verify", "-r", tmp_path) == 1
    assert here("info", locked) == 3


def test_a_folder_that_cannot_be_listed_is_no_data_set(tmp_path, locked):
    from codec.plugins.torch_dataset import AecDataset
    from codec.train.images import load_images

    write_bytes(tmp_path / "in" / "a.aec", b"", False)
    with pytest.raises(PermissionError):
        AecDataset(tmp_path / "in")
    images, left_out = load_images([tmp_path / "in"], 1)
    assert len(images) == 1 and left_out == [f"{locked}: Permission denied"]


def test_what_is_left_out_of_folders_is_said_in_a_line(tmp_path, private, capsys):
    for name in ("a.XCF", "b.xcf", "c.mov", "README"):
        (private / name).write_bytes(b"")
    (private / "again").symlink_to(tmp_path)
    os.mkfifo(private / "pipe.png")
    for arguments in (["-r", private.parent], [private]):
        assert here("compress", "--dry-run", *arguments, "-o", tmp_path / "out") == 0
        line = capsys.readouterr().err
        assert line.startswith("aec: left out of the folders: 2 .xcf, 1 ") and line.count("\n") == 1
        for part in ("1 .mov", "1 without a suffix", "1 link to a folder", "1 .png that is no file"):
            assert part in line
    assert here("compress", "--dry-run", "--quiet", private, "-o", tmp_path / "out") == 0
    assert here("compress", "--lossless", "--quiet", private) == 0
    (private / "again").unlink()
    capsys.readouterr()
    assert here("verify", private) == 0  # .aec files lie beside others
    assert capsys.readouterr().err == ""


def test_a_search_finds_each_file_once(tmp_path, private):
    found = search(tmp_path, {".png"})
    assert found.files == [private / "p.png"] and found.problems == found.left_out == []
    assert search(tmp_path, {".png"}, recursive=False).files == []
    assert [type(e) for e in search(tmp_path / "none", {".png"}).problems] == [FileNotFoundError]


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_file_that_may_hold_another_picture_is_not_taken_for_done(tmp_path, options, capsys):
    Image.fromarray(photos.photo(16, 16)).save(tmp_path / "p.png")
    Image.fromarray(photos.photo(16, 16, seed=1)).save(tmp_path / "p.jpg")
    for done, other in (("p.jpg", "p.png"), ("p.png", "p.jpg")):
        assert here("compress", "--lossless", "-f", tmp_path / done) == 0
        assert here("compress", "--lossless", "--skip-existing", tmp_path / other, *options) == 7
        assert f"p.aec exists already, and {tmp_path / done} becomes that too" in capsys.readouterr().err
    (tmp_path / "p.jpg").unlink()
    assert here("compress", "--lossless", "--skip-existing", tmp_path / "p.png", *options) == 0
    (tmp_path / "p.aec").rename(tmp_path / "q.aec")
    assert here("compress", "--skip-existing", tmp_path / "p.png", "-o", tmp_path / "q.aec", *options) == 0


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_a_list_ends_at_its_end_alone(tmp_path, end, capsys):
    names = ["a\rb.png", "c\x0bd\x0c.png", "e\x1c\x85\u2028.png"]
    for name in names:
        Image.fromarray(photos.photo(16, 16)).save(tmp_path / name)
    (tmp_path / "list").write_bytes(end.join(os.fsencode(tmp_path / name) for name in names) + end)
    assert here("compress", "--lossless", "--filelist", tmp_path / "list", "-o", tmp_path / "out", "-j", 1) == 0
    assert files(tmp_path / "out") == {name.replace(".png", ".aec") for name in names}

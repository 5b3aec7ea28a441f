"""Standard streams that are closed or full, names that a terminal would obey, and a beginning that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import photos
import pytest
from PIL import Image
from shell import AEC, files, here

import codec

CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}


def shell(redirections: str, *arguments, cwd: Path, **environment) -> subprocess.CompletedProcess:
    """The command as a shell starts it."""
    script = f'exec "$@" {redirections}'
    command = ["sh", "-c", script, "sh", *AEC, *map(str, arguments)]
    environment = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)


@pytest.fixture
def folder(tmp_path):
    """With a picture, a.png, and the same as b.aec."""
    Image.fromarray(photos.photo(16, 16)).save(tmp_path / "a.png")
    (tmp_path / "b.aec").write_bytes(codec.encode(photos.photo(16, 16), lossless=True))
    return tmp_path


@pytest.mark.parametrize("redirections", [*CLOSED.values(), " ".join(CLOSED.values())])
def test_who_needs_no_stream_does_not_miss_it(folder, redirections):
    for arguments in (["compress", "--lossless", "a.png"], ["verify", "b.aec"]):
        done = shell(redirections, *arguments, cwd=folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert files(folder) == {"a.png", "a.aec", "b.aec"}
    assert (folder / "a.aec").read_bytes() == (folder / "b.aec").read_bytes()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "b.aec"],
        ["verify", "--json", "b.aec"],
        ["decompress", "b.aec", "-o", "-"],
        ["--version"],
        ["verify", "--help"],
    ],
)
def test_a_result_that_cannot_be_written_is_an_error_of_the_output(folder, arguments, unbuffered):
    reasons = {">&-": "it is closed"}
    if os.path.exists("/dev/full"):
        reasons[">/dev/full"] = "No space left on device"
    for redirection, reason in reasons.items():
        done = shell(redirection, *arguments, cwd=folder, PYTHONUNBUFFERED=unbuffered)
        assert done.returncode == 7 and done.stderr.count("\n") == 1
        assert done.stderr.endswith(f"cannot write standard output: {reason}\n")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_what_cannot_be_complained_of_is_no_other_error_and_not_a_result(folder, redirection):
    cases = (
        (["compress", "--dry-run", "-v", "a.png"], 0, "a.png -> a.aec\n"),
        (["info", "absent.aec"], 3, ""),
        (["compress", "--lossless", "--progress", "-v", "a.png"], 0, ""),
        (["compress", "--nonsense"], 2, ""),
        ([], 2, ""),
    )
    for arguments, code, out in cases:
        done = shell(redirection, *arguments, cwd=folder)
        assert (done.returncode, done.stdout) == (code, out)


def test_a_closed_standard_input_is_an_input_that_cannot_be_read(folder):
    done = shell("<&-", "info", "-", cwd=folder)
    assert done.returncode == 3
    assert done.stderr == "aec: standard input: closed, so that nothing can be read from it\n"
    assert shell("<&-", "compress", "--filelist", "-", cwd=folder).returncode == 3


def test_streams_that_are_none_are_as_closed_ones(folder, monkeypatch):
    """As of a program without a console."""
    for name in CLOSED:
        monkeypatch.setattr(sys, name, None)
    assert here("compress", "--lossless", folder / "a.png") == 0
    assert here("info", folder / "a.aec") == 7
    assert here("info", "-") == here("info", folder / "absent") == 3


WILD = "x\x1b[31m\ny\r\x07\x9b\u202e\u2028z"
TAME = "x\\x1b[31m\\ny\\r\\x07\\x9b\\u202e\\u2028z"


def test_names_are_printed_so_that_a_terminal_does_not_obey_them(folder, capsys):
    wild = folder / f"{WILD}.aec"
    (folder / "b.aec").rename(wild)
    for arguments, code in (
        (["info", wild], 0),
        (["verify", "-v", wild], 0),
        (["decompress", "--dry-run", wild], 0),
        (["info", f"{wild}.not"], 3),
        (["decompress", wild, "-o", folder / f"{WILD}.{WILD}"], 7),
        (["compress", wild], 2),
        (["info", wild, f"--{WILD}"], 2),
        (["verify", "--progress", "-v", wild], 0),
    ):
        assert here(*arguments) == code
        out, err = capsys.readouterr()
        assert TAME in out + err
        assert not set(WILD.replace("\n", "").replace("[31mxyz", "")) & set("\x1b\x07\x9b\u202e\u2028") & set(out + err)
        assert WILD not in out + err
    assert here("info", "--json", wild) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(wild)


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        ("KeyboardInterrupt", 130, "interrupted"),
        ("MemoryError", 3, "there is not enough memory to begin"),
        ("ImportError('libx.so: failed to map segment')", 3, "cannot begin: libx.so: failed to map segment"),
    ],
)
@pytest.mark.parametrize("module", ["PIL", "argparse"])
def test_a_beginning_that_fails_is_a_line(tmp_path, raised, code, words, module):
    (tmp_path / f"{module}.py").write_text(f"raise {raised}")
    begin = "import sys; from aec_command import main; sys.exit(main())"
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", begin], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"aec: {words}\n")


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        ("KeyboardInterrupt", 130, "interrupted"),
        ("MemoryError", 3, "MemoryError"),
        ("ImportError('Much advice.\\n\\nOriginal error: no memory\\n')", 3, "loaded: Original error: no memory\n"),
        ("SystemError('returned NULL')", 3, "loaded: returned NULL"),
    ],
)
def test_what_is_loaded_late_and_fails_is_a_line_too(folder, raised, code, words):
    """numpy, which `compress` loads and `info` does not."""
    (folder / "numpy.py").write_text(f"raise {raised}")
    path = os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
    done = shell("", "compress", "--lossless", "a.png", cwd=folder, PYTHONPATH=path)
    assert done.returncode == code and words in done.stderr and done.stderr.count("\n") == 1
    assert shell("", "info", "b.aec", cwd=folder, PYTHONPATH=path).returncode == 0

"""The command that measures the promises: what it lists, prints and returns. docs/promises.md tells about it."""

import re
import subprocess
import sys
from pathlib import Path

import bench_package
import pytest

command = bench_package.module("promises.__main__")
check = bench_package.module("promises.check")
listed = bench_package.module("promises.listed")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "promises.md"


def run_check(monkeypatch, run, **options):
    """(verdict, figure) of a check with this function, in this process."""

    def worker(number, extent):
        out = Path("verdict")
        command.worker(number, extent, out)
        verdict, _, figure = out.read_text().partition("\n")
        return verdict, figure

    monkeypatch.setattr(command, "CHECKS", [check.Check(1, "a test | of pipes", run, **options)])
    monkeypatch.setattr(command, "run", worker)


def test_every_promise_has_a_check_and_a_place_on_the_page():
    assert {c.promise for c in listed.CHECKS} == set(listed.PROMISES)
    told = re.findall(r"^(\d+)\. \*\*(.+?)\*\*", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert {int(n): " ".join(words.split()).rstrip(".") for n, words in told} == listed.PROMISES


def test_cheap_promises_are_measured_and_kept(tmp_path):
    name = command.__spec__.name.removesuffix(".__main__")
    done = check.python("-m", name, "--list", "--only", "14,2")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == sum(c.promise in (2, 14) for c in listed.CHECKS)
    done = check.python("-m", name, "--only", "6", "-o", tmp_path / "table.md")
    table = (tmp_path / "table.md").read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == table.strip() and "| kept |" in table and " bombs x 4 readers" in table
    assert "1 checks in " in table and "1 kept, 0 not kept, 0 not run here" in table


@pytest.mark.parametrize(
    ("run", "verdict", "code"),
    [
        (lambda extent: check.Measured("all | well", True), "| all \\| well | kept |", 0),
        (lambda extent: check.Measured("3 lost", False), "| 3 lost | **not kept** |", 1),
        (lambda extent: {}["absent"], "KeyError: 'absent' | **not kept** |", 1),
    ],
)
def test_the_exit_code_is_1_if_a_promise_is_not_kept(run, verdict, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_check(monkeypatch, run)
    assert command.main(["--only", "1"]) == code
    assert verdict in capsys.readouterr().out


def test_what_cannot_be_run_is_named_and_nothing_is_claimed(tmp_path, monkeypatch, capsys):
    def absent(extent):
        raise check.NotHere("there is no GPU")

    monkeypatch.chdir(tmp_path)
    run_check(monkeypatch, absent)
    assert command.main(["--only", "1"]) == 0
    out = capsys.readouterr().out
    assert "| a test \\| of pipes |  | not run here: there is no GPU |" in out and "0 kept" in out


def test_a_check_that_crashes_or_hangs_is_a_promise_not_kept(monkeypatch):
    """By a worker that stands in for `python -m bench.promises --worker`."""
    started = subprocess.Popen

    def of(script):
        return lambda words, **options: started([sys.executable, "-c", script], **options)

    monkeypatch.setattr(command, "CHECKS", [check.Check(1, "a test", lambda extent: None, seconds=1)])
    for script, words in (("import os; os.abort()", "exit code -6"), ("import time; time.sleep(60)", "within 1 s")):
        monkeypatch.setattr(command.subprocess, "Popen", of(script))
        verdict, figure = command.run(0, check.Extent())
        assert verdict == command.NOT_KEPT and words in figure


@pytest.mark.parametrize(("only", "words"), [("0", "no promise 0"), ("23", "1..22"), ("four", "must be numbers")])
def test_promises_that_there_are_not_are_usage_errors(only, words, capsys):
    with pytest.raises(SystemExit) as error:
        command.main(["--only", only])
    assert error.value.code == 2 and words in capsys.readouterr().err


def test_a_test_that_is_skipped_is_not_run_here_and_one_that_fails_is_named(tmp_path):
    path = tmp_path / "test_of_three.py"
    path.write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "def test_absent(): pytest.skip('no such tool')\n"
    )
    found = check.run_tests([f"{path}::test_good"])
    assert found == check.Measured("1 tests passed", True)
    found = check.run_tests([str(path)])
    assert not found.kept and "1 tests failed" in found.figure and "test_bad" in found.figure
    with pytest.raises(check.NotHere, match="no such tool"):
        check.run_tests([f"{path}::test_absent"])


def test_python_can_end_while_threads_decode():
    """Its daemon threads are in C++ then, and ask for the GIL too late."""
    found = bench_package.module("promises.processes").at_exit(check.Extent())
    assert found.kept, found.figure

"""The server of docs/serve.py: what it answers, and that its workers live on after the fork with a loaded model."""

import importlib.util
import io
import shlex
import sys
from pathlib import Path

import bench_package
import numpy as np
import photos
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import codec

SOURCES = Path(__file__).resolve().parents[1]
DOCS = SOURCES / "docs"
bench_serve = bench_package.module("serve")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The module, which serves a folder with a picture; beside the folder is a picture that it must not serve."""
    folder = tmp_path_factory.mktemp("served") / "pictures"
    folder.mkdir()
    for path in (folder / "photo.aec", folder.parent / "secret.aec"):
        path.write_bytes(codec.encode(photos.photo(40, 56), 60))
    (folder / "folder.aec").mkdir()
    (folder / "damaged.aec").write_bytes((folder / "photo.aec").read_bytes()[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEC_PICTURES", str(folder))
        spec = importlib.util.spec_from_file_location("serve", DOCS / "serve.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def png_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


PHOTO = png_of(photos.photo(40, 56))


def ask(server, method: str, path: str, body: bytes = b"", query: str = "", **more) -> tuple[str, str, bytes]:
    """(status, content type, answer)."""
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)} | more
    given = []
    answer = b"".join(server.app(environ, lambda status, headers: given.extend((status, dict(headers)))))
    assert given[1]["Content-Length"] == str(len(answer))
    return given[0], given[1]["Content-Type"], answer


def test_a_picture_that_is_sent_comes_back_as_aec(server):
    right = (server.FOLDER / "photo.aec").read_bytes()
    assert ask(server, "POST", "/", PHOTO, "quality=60") == ("200 OK", "image/x-aec", right)
    assert codec.inspect(ask(server, "POST", "/", PHOTO)[2]).quality == 75


def test_files_are_shown_as_png_and_jpeg(server):
    right = codec.decode(server.FOLDER / "photo.aec", output="numpy")
    status, kind, answer = ask(server, "GET", "/photo.png")
    assert (status, kind) == ("200 OK", "image/png") and np.array_equal(Image.open(io.BytesIO(answer)), right)
    status, kind, answer = ask(server, "GET", "/photo.jpg", query="fit=28x999")
    assert (status, kind) == ("200 OK", "image/jpeg") and Image.open(io.BytesIO(answer)).size == (28, 20)
    assert ask(server, "GET", "/photo.aec")[2] == (server.FOLDER / "photo.aec").read_bytes()


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, ("POST", "/", PHOTO[:1000])),
        (400, ("POST", "/", PHOTO, "quality=101")),
        (400, ("POST", "/", b"", "quality=high")),
        (400, ("GET", "/photo.png", b"", "fit=0x5")),
        (404, ("GET", "/nothing.png")),
        (404, ("GET", "/photo.gif")),
        (404, ("GET", f"/{'x' * 300}.png")),
        (500, ("GET", "/folder.aec")),
        (405, ("DELETE", "/photo.png")),
        (415, ("POST", "/", b"no picture")),
        (500, ("GET", "/damaged.png")),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(server, status, request_):
    answer = ask(server, *request_)
    assert int(answer[0].split()[0]) == status and answer[1].startswith("text/plain") and len(answer[2]) > 5


def test_pictures_have_a_length_and_a_limit(server):
    assert ask(server, "POST", "/", png_of(np.zeros((10_000, 5_001), bool)))[0].startswith("413")
    assert ask(server, "POST", "/", CONTENT_LENGTH=str(server.MOST_BYTES + 1))[0].startswith("413")
    assert ask(server, "POST", "/", CONTENT_LENGTH="")[0].startswith("411")


@given(st.lists(st.sampled_from(("/", "..", "secret", "photo", ".aec", ".png", "%2e", "\\", "\0", "pictures", "é"))))
def test_no_path_leads_out_of_the_folder(server, parts):
    path = "/" + "".join(parts)
    allowed = path in ("/photo.aec", "/photo.png")
    assert ask(server, "GET", path)[0].startswith("200" if allowed else "404")


# ------------------------------------------------------------------------------------------------- with real workers


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the load test needs Linux")
def test_forked_workers_answer_rightly_and_wrong_answers_are_counted(tmp_path, monkeypatch):
    pytest.importorskip("gunicorn")
    monkeypatch.setattr(bench_serve, "SOURCES", SOURCES)  # also if the bench is that of an installed wheel
    asked = bench_serve.requests_for(tmp_path, side=48)
    with bench_serve.served(tmp_path, workers=2, threads=2) as (port, server):
        workers = bench_serve.children(server)
        done = bench_serve.load(port, server, asked, count=200, clients=4, warm=20)
        assert len(workers) == 2 and workers == bench_serve.children(server)
        wrong = bench_serve.Request("GET", "/0.png", b"", b"another answer")
        missing = bench_serve.Request("GET", "/none.png", b"", b"")
        failed = bench_serve.load(port, server, [wrong, missing, *asked[:2]], count=8, clients=2, warm=0)
    assert not done.failures and len(done.times) == 200 and min(done.times) > 0
    assert min(done.memory) > 1e6
    assert failed.failures.total() == 4 and len(failed.times) == 8


def test_the_page_shows_the_command_that_the_load_test_runs():
    page = (DOCS / "serve.md").read_text().replace("\\\n", "")
    shown = [line for line in page.splitlines() if line.startswith("gunicorn")]
    assert [shlex.split(line) for line in shown] == [bench_serve.command("$PWD/pictures", 2, 2, "127.0.0.1:8000")]


def test_the_load_test_says_if_there_is_no_server(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_serve, "SOURCES", SOURCES)
    monkeypatch.setattr(bench_serve, "command", lambda *a: ["gunicorn", "--nonsense"])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(RuntimeError, match="gunicorn"), bench_serve.served(tmp_path, 1, 1):
        pass

"""The npm package in a real browser: pixels, the element, the polyfill, models that are fetched once; and the page to
try it."""

import base64
import functools
import http.server
import io
import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image
from web_package import GOLDEN, build, hash_of, rgba

import codec
from codec.coding import model_file, model_search

PAGE = """<!doctype html><meta charset="utf-8"><title>test</title><body>
<script type="module">
import * as aec from "/package/index.js";
const golden = %s;
aec.configure({ workers: 2, model: (id) => (golden[id] ? `/${golden[id]}` : `/package/models/${id}.aecm`) });
window.aec = aec;
window.bytes = async (name) => (await fetch(name)).arrayBuffer();
window.hash = async (data) => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};
window.ready = true;
</script>"""

# Of each file that the address names: width, height and the hash of the pixels, posted to the server.
REPORT = """<script type="module">
const found = {};
try {
  while (!window.ready) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const name of new URLSearchParams(location.search).getAll("file")) {
    const picture = await aec.decode(await bytes(name));
    found[name] = [picture.width, picture.height, await hash(picture.data)];
  }
} catch (error) {
  found.error = `${error.name}: ${error.message}`;
}
await fetch("/found", { method: "POST", body: JSON.stringify(found) });
</script>"""
FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, counts what is asked for, and can send files slowly, in pieces that a test lets through."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".aec": "image/x-aec"}

    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        if path not in self.server.gates:
            return super().do_GET()
        data = (self.server.folder / path[1:]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "image/x-aec")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        at = self.server.gates[path]
        self.wfile.write(data[:at])
        self.wfile.flush()
        self.server.opened.wait(60)
        self.wfile.write(data[at:])

    def do_POST(self):
        self.server.posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server of a folder with the package, pictures and the golden files."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "package").symlink_to(build(tmp_path_factory))
    for path in [*GOLDEN.glob("*.aec"), *GOLDEN.glob("tiny?.safetensors")]:
        (folder / path.name).write_bytes(path.read_bytes())
    picture = photos.photo(233, 301, seed=5)
    (folder / "photo.aec").write_bytes(codec.encode(picture, 60, model="eye", device="cpu", progressive=True))
    (folder / "broken.aec").write_bytes((folder / "photo.aec").read_bytes()[:-9])
    ids = {model_search.id_in(model_search.header_of(p)).hex(): p.name for p in GOLDEN.glob("tiny?.safetensors")}
    (folder / "index.html").write_text(PAGE % ids)
    (folder / "report.html").write_text(PAGE % ids + REPORT)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.folder, server.asked, server.gates, server.opened = folder, [], {}, threading.Event()
    server.posted = queue.SimpleQueue()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()


@pytest.fixture
def page(browser, site):
    context = browser.new_context(viewport={"width": 800, "height": 600})
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{site.server_port}/index.html")
    page.wait_for_function("window.ready")
    site.asked.clear()
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(autouse=True)
def golden_models(monkeypatch):
    monkeypatch.setenv("AEC_MODELS", str(GOLDEN))


def in_python(site, name: str, **options) -> np.ndarray:
    return codec.decode((site.folder / name).read_bytes(), device="cpu", output="numpy", **options)


def add(page, html: str) -> None:
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", html)


def pixels_of(page, image: str) -> np.ndarray:
    """What an <img> shows, read through a canvas: `image` is an expression that finds it."""
    url = page.evaluate(
        f"""async () => {{
          const image = {image};
          await image.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          canvas.getContext("2d").drawImage(image, 0, 0);
          return canvas.toDataURL("image/png");
        }}"""
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"))


def whole_files(site) -> list[str]:
    return sorted(path.name for path in site.folder.glob("*.aec") if path.name != "broken.aec")


def test_files_have_the_same_pixels_in_firefox(site, tmp_path):
    """Without a driver: the page posts what it has found."""
    if FIREFOX is None:
        pytest.skip("no Firefox on this machine (Debian: apt-get install firefox-esr)")
    names = [name for name in whole_files(site) if "stored-jpeg" not in name]  # Firefox has a JPEG decoder of its own
    url = f"http://127.0.0.1:{site.server_port}/report.html?{'&'.join(f'file={name}' for name in names)}"
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(tmp_path), url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as firefox:
        try:
            found = site.posted.get(timeout=300)
        finally:
            firefox.terminate()
    pictures = {name: in_python(site, name, depth=8) for name in names}
    assert found == {name: [v.shape[1], v.shape[0], hash_of(v)] for name, v in pictures.items()}


def test_files_have_the_same_pixels(page, site):
    call = """async (name) => {
      const picture = await aec.decode(await bytes(name));
      return [picture.width, picture.height, await hash(picture.data)];
    }"""
    for name in whole_files(site):
        samples = in_python(site, name, depth=8)
        assert page.evaluate(call, name) == [samples.shape[1], samples.shape[0], hash_of(samples)], name


def test_a_model_is_fetched_once_and_kept(page, site):
    call = "async () => (await aec.decode(await bytes('photo.aec'))).width"
    assert page.evaluate(call) == 301
    assert page.evaluate(call) == 301
    page.reload()
    page.wait_for_function("window.ready")
    assert page.evaluate(call) == 301
    eye = model_file.load(model_search.find("eye")).id.hex()
    assert [path for path in site.asked if path.endswith(".aecm")] == [f"/package/models/{eye}.aecm"]


def test_decoding_stops_when_it_is_aborted(page):
    name = page.evaluate(
        """async () => {
          const stop = new AbortController();
          const decoding = aec.decode(await bytes("photo.aec"), { signal: stop.signal });
          stop.abort();
          return decoding.then(() => "done", (error) => error.name);
        }"""
    )
    assert name == "AbortError"
    assert page.evaluate("async () => (await aec.decode(await bytes('photo.aec'))).height") == 233


def test_the_element_shows_the_picture_and_says_so(page, site):
    page.evaluate("import('/package/element.js')")
    add(page, '<aec-image id="a" src="photo.aec" alt="a test" width="150"></aec-image>')
    page.wait_for_function("document.querySelector('#a').complete")
    image = "document.querySelector('#a').shadowRoot.querySelector('img')"
    assert np.array_equal(pixels_of(page, image), rgba(in_python(site, "photo.aec")))
    assert page.get_by_role("img", name="a test").bounding_box()["width"] == 150
    assert page.evaluate("[a.naturalWidth, a.naturalHeight]") == [301, 233]


def test_an_element_out_of_sight_waits(page, site):
    page.evaluate("import('/package/element.js')")
    add(page, '<div style="height: 5000px"></div><aec-image id="b" src="photo.aec" alt="far"></aec-image>')
    page.wait_for_timeout(200)
    assert "/photo.aec" not in site.asked
    page.evaluate("b.scrollIntoView()")
    page.wait_for_function("b.complete && b.naturalWidth")


def test_a_broken_picture_is_an_error_and_its_alternative_text(page):
    page.evaluate("import('/package/element.js')")
    page.evaluate(
        """() => {
          const image = Object.assign(document.createElement("aec-image"), { id: "c" });
          image.setAttribute("alt", "cannot be shown");
          image.addEventListener("error", (event) => (window.found = [event.detail.code, event.detail.message]));
          image.setAttribute("src", "broken.aec");
          document.body.append(image);
        }"""
    )
    page.wait_for_function("window.found")
    assert page.evaluate("window.found[0]") == "truncated"
    assert page.evaluate("c.shadowRoot.querySelector('img').getAttribute('src')") is None
    text = page.get_by_role("img", name="cannot be shown")
    assert text.count() == 1 and text.bounding_box()["width"] > 50


def test_a_coarse_picture_is_shown_before_the_file_is_whole(page, site):
    data = (site.folder / "photo.aec").read_bytes()
    site.gates["/photo.aec"] = len(data) - 50
    try:
        page.evaluate("import('/package/element.js')")
        page.evaluate("addEventListener('partial', () => (window.partial = (window.partial ?? 0) + 1), true)")
        add(page, '<aec-image id="d" src="photo.aec" alt="it arrives"></aec-image>')
        page.wait_for_function("window.partial === 1")
        image = "d.shadowRoot.querySelector('img')"
        coarse = codec.decode(data[:-50], device="cpu", output="numpy", allow_partial=True)
        assert np.array_equal(pixels_of(page, image), rgba(coarse))
        assert page.evaluate("d.complete") is False
        site.opened.set()
        page.wait_for_function("d.complete")
        assert np.array_equal(pixels_of(page, image), rgba(in_python(site, "photo.aec")))
    finally:
        site.opened.set()
        site.gates.clear()


def test_plain_img_elements_work_with_the_polyfill(page, site):
    add(page, '<img id="before" src="v2-tiny2-33x70.aec">')
    page.wait_for_function("before.complete")
    page.evaluate("window.errors = 0; addEventListener('error', () => errors++)")
    page.evaluate("import('/package/polyfill.js')")
    add(page, '<picture><source srcset="photo.aec"><img id="after" src="nothing.png" onerror="errors++"></picture>')
    add(page, '<img id="bad" src="broken.aec" onerror="window.bad_failed = true">')
    page.wait_for_function("before.naturalWidth && after.naturalWidth && window.bad_failed")
    assert np.array_equal(pixels_of(page, "before"), rgba(in_python(site, "v2-tiny2-33x70.aec")))
    assert np.array_equal(pixels_of(page, "after"), rgba(in_python(site, "photo.aec")))
    assert page.evaluate("errors") == 0


@pytest.fixture
def trial(page, site):
    """The page to try aec, which may complain of nothing."""
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"http://127.0.0.1:{site.server_port}/package/index.html")
    yield page
    assert complaints == []


def test_the_page_encodes_and_compares(trial, tmp_path):
    picture = photos.photo(120, 170, seed=8)
    Image.fromarray(picture).save(tmp_path / "my photo.png")
    trial.set_input_files("#file", tmp_path / "my photo.png")
    trial.wait_for_selector("#result:not([hidden])")
    with trial.expect_download() as download:
        trial.get_by_role("link", name="Download the aec file").click()
    assert download.value.suggested_filename == "my photo.aec"
    assert Path(download.value.path()).read_bytes() == codec.encode(picture, 50, model="eye", device="cpu")
    rows = trial.locator("#rows tr").all_inner_texts()
    assert [row.split(",")[0].split("\t")[0] for row in rows] == ["original", "aec", "jpeg", "webp"]
    trial.get_by_label("divider between the two pictures").focus()
    trial.keyboard.press("Home")
    said = trial.locator(".stage").get_attribute("aria-valuetext")
    assert said.startswith("aec, quality 50 on the left, up to 0 %; jpeg")
    trial.get_by_role("slider", name="Quality").fill("20")
    trial.wait_for_function("rows.innerText.includes('aec, quality 20')")
    trial.set_viewport_size({"width": 390, "height": 844})
    assert trial.evaluate("document.documentElement.scrollWidth") == 390


def test_the_page_shows_an_aec_file_and_says_what_it_cannot_read(trial, site, tmp_path):
    trial.set_input_files("#file", site.folder / "photo.aec")
    trial.wait_for_selector("#result:not([hidden])")
    assert "301x233, quality 60" in trial.inner_text("#status")
    (tmp_path / "letter.txt").write_text("not a picture")
    trial.set_input_files("#file", tmp_path / "letter.txt")
    trial.wait_for_function("document.querySelector('#status.failed')?.textContent.includes('letter.txt')")

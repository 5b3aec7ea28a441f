"""Devices as parameters, and a browser. With FAIL_WITHOUT_CUDA=1 a missing GPU is a failure, not a skip.

Tests marked `kernels` run CUDA kernels: on a GPU; or, in the process that test_cuda_emulation.py starts, on the CPU,
with the extension that AEC_EMULATION names in the place of the installed one.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMULATION = os.environ.get("AEC_EMULATION")
if EMULATION:  # before codec is imported: a folder of sources that were not built in place refuses to be
    spec = importlib.util.spec_from_file_location("codec._C", EMULATION)
    sys.modules["codec._C"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["codec._C"])

from codec.coding.threads import cores  # noqa: E402  (it imports no torch)

# Of several test processes each takes its share of the cores: torch's threads spin, and starve those of others.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // int(workers))))

import hypothesis  # noqa: E402
import photos  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

hypothesis.settings.register_profile("aec", deadline=None)  # a timing never fails a test
hypothesis.settings.load_profile("aec")

import codec  # noqa: E402
from codec.coding import model_search  # noqa: E402
from codec.coding.model_config import Config  # noqa: E402
from codec.nets import torch_codec  # noqa: E402
from codec.nets.model import Model  # noqa: E402
from codec.train import export  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def outside_the_tree(tmp_path_factory):
    """Make subprocesses import the package that this process tests.

    Started in the tree, `python -m` would take its `codec/` for an installed one. Beside an installation, which has one
    model, the others are made to be found as if their packages were installed.
    """
    before = Path.cwd()
    path = [str(Path(codec.__file__).parents[1])]
    if not (model_search.MODELS / model_search.EXTRA).exists():
        site = tmp_path_factory.mktemp("site")
        (site / model_search.NAMESPACE).symlink_to(ROOT / "codec" / "models" / model_search.EXTRA)
        path.append(str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    sys.path += path[1:]
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def c_build(tmp_path_factory):
    """The folder of the C library, built by CMake, once for all test processes; -O1, which compiles faster.

    With AEC_C_BUILD it is built there, and only what has changed is compiled anew.
    """
    import capi

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    if kept := os.environ.get("AEC_C_BUILD"):
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "libaecodec-installed"
    with capi.locked(folder / "libaecodec.lock"):
        flags = ("-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DAEC_EXAMPLE=ON", f"-DCMAKE_INSTALL_PREFIX={prefix}")
        return capi.build(folder / "libaecodec", *flags)


@pytest.fixture(scope="session")
def c_library(c_build):
    import capi

    return capi.Library(c_build / "libaecodec.so")


@pytest.fixture
def threads():
    """set(n): torch's number of threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shipped():
    return torch_codec.load(model_search.find(None), torch.device("cpu"))


# Bounds of quality are of these two: of what ships they would change whenever a better model takes its place. Models
# that were published stay as they are for ever (docs/releasing.md).


@pytest.fixture(scope="session")
def frozen_eye():
    """The model `eye-1`, which is tuned for the eye."""
    return torch_codec.load(model_search.find_id(bytes.fromhex("563817ea")), torch.device("cpu"))


@pytest.fixture(scope="session")
def frozen_psnr():
    """The first model `psnr`, which is trained for squared error, and refined by it."""
    return torch_codec.load(model_search.find_id(bytes.fromhex("f53a405e")), torch.device("cpu"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A model of another id: untrained, but whole."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    config = Config(latents=8, hyper=4, wide8=8, blocks8=1, wide16=8, blocks16=1, context=8, steps=2)
    model_id = export.save(path, Model(config))
    return path, model_id


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photos.photo(40, 56)).save(path)
    return path


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "packed.aec"
    path.write_bytes(codec.encode(photos.photo(40, 56), 60))
    return path


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    (folder / "below").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "below/c.png")):
        Image.fromarray(photos.photo(16 + i, 24, seed=i)).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def _cuda_ready() -> bool:
    from codec.coding import rans_cuda

    return torch.cuda.is_available() and rans_cuda.serves(torch.device("cuda", torch.cuda.current_device()))


def all_devices() -> list:
    """For `@pytest.mark.parametrize("device", all_devices())`."""
    return ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernels") and EMULATION:
        return
    if any(map(item.get_closest_marker, ("needs_cuda", "kernels"))) and not _cuda_ready():
        if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
            pytest.fail("FAIL_WITHOUT_CUDA=1, but there is no CUDA build or no device")
        pytest.skip("no CUDA build or no device")


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Watched:
    """Opens pages and remembers what they complain of and ask for."""

    def __init__(self, browser):
        self.browser, self.complaints, self.requests, self.files = browser, [], [], []

    def open(self, path, **options):
        """A page, once its viewer shows a picture."""
        page = self.browser.new_page(**{"viewport": {"width": 1280, "height": 900}, "device_scale_factor": 1} | options)
        page.set_default_timeout(20_000)
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("dialog", lambda d: self.complaints.append(f"dialog: {d.message}"))
        page.on("request", lambda r: self.requests.append(r.url[:200]))
        self.files.append(path.as_uri())
        page.goto(path.as_uri())
        page.wait_for_selector(".zoom:has-text('%')")
        return page

    def check(self):
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(("data:", "blob:", *self.files))] == []


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as p:
        # Containers have no user namespaces for the sandbox; the colour profile would otherwise be the screen's.
        arguments = ["--headless=new", "--no-sandbox", "--force-color-profile=srgb"]
        browser = p.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def watch(browser):
    """watch() -> what opens pages, and tells afterwards whether they were content."""
    return lambda: Watched(browser)


@pytest.fixture
def open_page(watch):
    """open_page(path, **options of the window): closed after the test, which fails if they were not content."""
    watched, opened = watch(), []

    def open_one(path, **options):
        opened.append(watched.open(path, **options))
        return opened[-1]

    yield open_one
    for page in opened:
        page.close()
    watched.check()

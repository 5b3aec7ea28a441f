"""Every command and every Python snippet of README and docs/ does what the page says.

The pages' sections run in the pages' order, each page in a folder of its own with a few small pictures. What takes
minutes or needs a network is only parsed: PARSED names those commands. A section whose packages are not installed is
skipped. .ci/run and readers run the two commands of README that install.
"""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import bench_package
import photos
import pytest
from PIL import Image

import codec
from codec.cli import parser
from codec.coding import model_file, model_search

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *(ROOT / f"{n}.md" for n in ("CONTRIBUTING", "SECURITY"))]
NOTES = ("bench/training.md", "bench/ablations.md", "bench/gpu.md", "bench/coder.md", "tests/fuzz/README.md")
NOT_IN_ARCHIVES = [ROOT / "bench/results", ROOT / ".ci"]
# Commands that are only parsed: they take minutes, need a network, or change the machine. Of `aec`, and others.
PARSED_AEC = {"train", "bench", "doctor"}
# tests/test_serve.py runs the server and its requests; tests/test_aec_dec.py builds the C library, and runs its
# programs.
PARSED = {".", "cd", "curl", "gunicorn", "node", "pip", "python", "python3", "pytest", "ruff"}
PARSED |= {"aec-dec", "apt-get", "c++", "cc", "cmake", "install"}
INSTALLED = {"codec", "PIL", "numpy"}  # what a snippet that runs in this process may import
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A heading of a page, and the blocks of code below it, (language, text)."""

    page: Path
    heading: str
    blocks: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.page.name}: {self.heading}"


def sections_of(page: Path) -> list[Section]:
    """Those that hold code."""
    text = page.read_text()
    code = [m.span() for m in FENCE.finditer(text)]
    headings = [
        (m.start(), m[1].strip())
        for m in re.finditer(r"^#+ (.*)$", text, re.MULTILINE)
        if not any(start <= m.start() < end for start, end in code)
    ]
    ends = [start for start, _ in headings[1:]] + [len(text)]
    found = [
        Section(page, heading, tuple(m.groups() for m in FENCE.finditer(text[start:end])))
        for (start, heading), end in zip(headings, ends, strict=True)
    ]
    return [section for section in found if section.blocks]


SECTIONS = [section for page in PAGES for section in sections_of(page)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """folders(page) -> (its folder, its names), made when first asked for."""
    made = {}

    def of(page: Path) -> tuple[Path, dict]:
        if page not in made:
            folder = tmp_path_factory.mktemp(page.stem)
            photo = Image.open(photos.ASTRONAUT).crop((0, 0, 448, 304))
            photo.save(folder / "photo.png")
            exif = Image.Exif()
            exif[0x010F] = "a camera"
            photo.resize((112, 76)).save(folder / "holiday.jpg", exif=exif)
            logo = photo.resize((56, 38)).convert("RGBA")
            logo.putalpha(128)
            logo.save(folder / "logo.png")
            for i, name in enumerate(("holiday/1.png", "holiday/2.png", "photos/cats/1.png", "photos/dogs/2.png")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                photo.resize((112, 76 + 4 * i)).save(folder / name)
            (folder / "digits").mkdir()
            for i in range(60):
                place = 7 * i % 430, 11 * i % 290
                photo.crop((*place, place[0] + 14, place[1] + 14)).convert("L").save(folder / f"digits/{i}.png")
            made[page] = folder, {}
        return made[page]

    return of


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The path of a reader's environment, which has `aec`; a browser that opens, and no network to ask."""
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where `aec view` leaves its page
    monkeypatch.setitem(sys.modules, "codec.bench.compare", bench_package.module("compare"))
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "aec").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m codec.cli "$@"\n')
    (scripts / "aec").chmod(0o755)
    path = os.pathsep.join((str(scripts), str(Path(sys.executable).parent), os.environ["PATH"]))
    monkeypatch.setenv("PATH", path)
    for name in ("HF_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    return path


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_what_a_page_shows_works(section, folders, commands, monkeypatch, capfd):
    folder, names = folders(section.page)
    monkeypatch.chdir(folder)
    for language, text in section.blocks:
        if language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                if shlex.split(line, comments=True):
                    run_command(line, commands)
        elif language == "python":
            run_python(text, names)
        else:
            # tests/test_web.py runs the JavaScript, tests/test_web_browser.py has the elements, and
            # tests/test_aec_dec.py runs the example in C.
            allowed = ("text", "js", "html", "c")
            assert language in allowed, f"{section}: a block is sh, python, js, html, c or text"


def run_command(line: str, path: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "aec" and not {"|", ">", "&&"} & set(words):
        run_aec(words[1:])
    elif words[0] == "python" and words[1:2] == ["-m"] and words[2].startswith("bench"):
        assert importlib.util.find_spec(bench_package.bench.__name__ + words[2].removeprefix("bench"))
    elif words[0] == "torchrun":
        run_aec(["train", *words[words.index("codec.train") + 1 :]])
    elif words[0] in PARSED:
        for part in re.split(r"&&|\|", line):
            if (words := shlex.split(part, comments=True)) and words[0].endswith("aec"):
                parsed(words[1:])
    else:
        for program in (shlex.split(part)[0] for part in line.split("|")):
            if shutil.which(program, path=path) is None:
                pytest.skip(f"{program} is not installed")
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def run_aec(words: list[str]) -> None:
    draws = words[0] == "compare" and importlib.util.find_spec("plotly") is None
    if words[0] in PARSED_AEC and "--arch" not in words or draws:  # a classic autoencoder is trained in a second
        parsed(words)
    else:
        assert parser.main(words) == 0, f"aec {shlex.join(words)}"


def parsed(words: list[str]) -> None:
    if words[0] == "bench":
        bench_package.module("arguments").parser("aec bench").parse_args(words[1:])
        return
    arguments, unknown = parser.make_parser().parse_known_args(words)
    assert not unknown and callable(arguments.run)
    if words[0] == "train":
        assert arguments.init is None or model_search.find(arguments.init)
        shutil.copy(model_search.find(None), arguments.output)  # stands for the model that it would make


def run_python(text: str, names: dict) -> None:
    """Here; or, if it imports more than a plain installation has, as a program of its own."""
    if name := re.match(r"# ([\w.]+\.py)\n", text):  # a file that the page asks for
        Path(name[1]).write_text(text)
        return
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
    for package in sorted(imported):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if imported <= INSTALLED:
        exec(compile(text, "snippet", "exec"), names)
        return
    Path("snippet.py").write_text(text)
    done = subprocess.run([sys.executable, "snippet.py"], capture_output=True, text=True, timeout=300)
    if done.returncode:  # perhaps because a package is installed that does not fit to the others
        tried = subprocess.run(
            [sys.executable, "-c", f"import {', '.join(sorted(imported - INSTALLED))}"], capture_output=True, text=True
        )
        if tried.returncode:
            pytest.skip(f"cannot be imported here: {tried.stderr.strip().rpartition(chr(10))[2]}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_of_readme_hold_what_it_says(folders):
    folder, names = folders(ROOT / "README.md")
    if not names:
        pytest.skip("README's snippet was not run")
    assert (folder / "photo.aec").exists() and names["picture"].size == (448, 304)
    assert names["array"].shape == (304, 448, 3)


# ------------------------------------------------------------------ what the pages say of each other and of the project


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / n for n in ("CHANGELOG.md", *NOTES))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if any(found.is_relative_to(folder) and not folder.exists() for folder in NOT_IN_ARCHIVES):
            continue
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


def test_the_test_command_is_where_ci_reads_it():
    shown = re.findall(r"<!-- test command -->\n```sh\n(.*)\n```", (ROOT / "README.md").read_text())
    assert len(shown) == 1 and "pip install" in shown[0] and shown[0].count("pytest") == 1


def test_every_page_is_reached_from_readme():
    linked = set(re.findall(r"\]\(([\w/.-]+)", (ROOT / "README.md").read_text()))
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} | {"CHANGELOG.md", "LICENSE"} <= linked


def test_versions_agree():
    """Of the package, and of the Pythons it is for, wherever they are named."""
    assert f"\nversion: {codec.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{codec.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    pythons = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    assert f'requires-python = ">={pythons[0]}"' in project
    for page in ("README.md", "CONTRIBUTING.md"):
        assert f"Python {pythons[0]} to {pythons[-1]}" in (ROOT / page).read_text()


def test_models_are_named_by_the_ids_they_have():
    for page in ("docs/use.md", "CHANGELOG.md"):
        for name in ("eye", "psnr"):
            assert model_file.load(model_search.find(name)).id.hex() in (ROOT / page).read_text(), page

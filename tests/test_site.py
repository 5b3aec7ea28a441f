"""The pages as a site: it has all of them, and builds without a warning."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "docs/site/mkdocs.yml"


def test_every_page_has_its_place_in_the_site():
    shown = re.findall(r"^ +- .*: (\S+\.md)$", CONFIGURATION.read_text(), re.MULTILINE)
    assert len(shown) == len(set(shown))
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")}
    assert pages <= set(shown), "a page is not in `nav` of docs/site/mkdocs.yml"
    for path in shown:
        assert (ROOT / path).exists() or (CONFIGURATION.parent / "pages" / path).exists(), path


def test_the_site_builds_without_a_warning_and_asks_for_nothing_elsewhere(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings", "ruff"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (the extra `docs`)")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(CONFIGURATION), "-d", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "docs/use.html", "codec/container/FORMAT.html"} <= set(pages)
    assert "max_pixels" in pages["python.html"] and "CorruptError" in pages["python.html"]
    remote = r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//"
    ours = {name: text for name, text in pages.items() if not name.startswith("bench/results/")}
    assert [name for name, text in ours.items() if re.search(remote, text)] == []

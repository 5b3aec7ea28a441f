"""What README shows works as shown. (Its two shell commands are run by .ci/run and by whoever reads it.)"""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from codec.cli import parser
from codec.coding import model_search

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(monkeypatch, tmp_path):
    shutil.copy(ROOT / "tests/pictures/astronaut.png", tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1], names)
    assert names["picture"].size == (512, 512) == (names["header"].width, names["header"].height)
    assert names["array"].shape == (512, 512, 3)


@pytest.mark.parametrize("line", re.findall(r"^aec ((?!bench).*?) *(?:#.*)?$", README, re.MULTILINE))
def test_every_command_line_shown_is_one_the_parser_takes(line):
    arguments, unknown = parser.make_parser().parse_known_args(shlex.split(line))
    assert not unknown and callable(arguments.run)
    if getattr(arguments, "init", None):
        assert model_search.find(arguments.init)

"""`aec compare` as a command: what it reads, what it refuses, what it leaves behind. The page itself: test_page.py."""

import importlib
import json

import numpy as np
import photos
import pytest
from PIL import Image

import codec
from codec import cli

try:
    import bench  # the tree
except ImportError:
    from codec import bench  # the wheel

# What the command runs is the installed one; in a checkout both are the same file.
comparison = importlib.import_module("codec.bench.compare")
PICTURE = photos.photo(40, 56)


def compare(*arguments):
    try:
        return cli.main(["compare", *map(str, arguments)])
    except SystemExit as error:
        return error.code


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    Image.fromarray(PICTURE).save(tmp_path / "photo.jpg", quality=50)
    return tmp_path


def versions_in(path):
    text = path.read_text().split('id="pictures">')[1].split("</script>")[0]
    return json.loads(text)[0]["versions"]

"""Files of every format version so far must decode for ever: to the same latents, and to pixels within one level."""

import hashlib
import json
import re
from pathlib import Path

import coded
import numpy as np
import pytest
import torch
from PIL import Image

import codec
from codec import format, weights

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.aec"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_file_decodes_to_its_latents_and_pixels(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    model = path.with_name(expected["model"])
    data = path.read_bytes()
    latents = coded.latents(weights.load(model, torch.device("cpu")), data)
    assert hashlib.sha256(b"".join(t.numpy().tobytes() for t in latents)).hexdigest() == expected["latents_sha256"]
    with Image.open(path.with_suffix(".png")) as image:
        pixels = np.asarray(image).astype(int)
    decoded = codec.decode(data, "cpu", model, output="numpy")
    assert decoded.shape == pixels.shape
    assert np.abs(decoded - pixels).max() <= 1  # the synthesis is floating point: FORMAT §8


def test_every_format_version_has_golden_files():
    versions = {int(re.match(r"v(\d+)-", p.name)[1]) for p in GOLDEN}
    assert versions == set(range(1, format.VERSION + 1))


def test_hex_dump_in_the_specification_is_the_golden_1x1_file():
    text = (Path(codec.__file__).parent / "FORMAT.md").read_text()
    dump = re.search(r"## 9\..*?```\n(.*?)```", text, re.DOTALL)[1]
    found = bytes.fromhex("".join(line.split("|")[0] for line in dump.splitlines()))
    assert found == (Path(__file__).parent / "golden" / "v1-tiny2-1x1.aec").read_bytes()

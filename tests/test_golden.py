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
from codec.container import format
from codec.container.metadata import Metadata
from codec.nets import torch_codec
from codec.picture.pixels import to_numpy, to_pixels

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.aec"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_file_decodes_to_its_latents_and_pixels(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    model = path.with_name(expected["model"])
    data = path.read_bytes()
    header = codec.inspect(data)
    if not header.stored:
        latents = coded.latents(torch_codec.load(model, torch.device("cpu")), data)
        assert hashlib.sha256(b"".join(t.numpy().tobytes() for t in latents)).hexdigest() == expected["latents_sha256"]
    blocks = {k: bytes.fromhex(v) for k, v in expected.get("metadata", {}).items()}
    assert codec.read_metadata(data) == Metadata(**blocks)
    with Image.open(path.with_suffix(".png")) as image:
        pixels = to_numpy(to_pixels(image))
    decoded = codec.decode(data, "cpu", model, output="numpy")
    assert decoded.shape == pixels.shape and decoded.dtype == pixels.dtype
    difference = np.abs(decoded.astype(int) - pixels).max(axis=(0, 1))
    # One level of 8 bits, for the synthesis is floating point: FORMAT §8. JPEG decoders have as much freedom.
    assert difference.max() <= (257 if header.depth == 16 else 1)
    if header.alpha:
        assert difference[-1] == 0
    if header.stored and "jpeg" not in path.name:
        assert difference.max() == 0


def test_every_format_version_has_golden_files():
    versions = {int(re.match(r"v(\d+)-", p.name)[1]) for p in GOLDEN}
    assert versions == set(range(1, format.VERSION + 1))


@pytest.mark.parametrize(("number", "name"), [(0, "v1-tiny2-1x1.aec"), (1, "v1-told2-alpha-1x1.aec")])
def test_hex_dumps_in_the_specification_are_golden_files(number, name):
    text = (Path(codec.__file__).parent / "container" / "FORMAT.md").read_text()
    dump = re.findall(r"```\n(.*?)```", text[text.index("## 9.") :], re.DOTALL)[number]
    found = bytes.fromhex("".join(line.split("|")[0] for line in dump.splitlines()))
    assert found == (Path(__file__).parent / "golden" / name).read_bytes()

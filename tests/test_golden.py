"""Files of the format's version must decode for ever: to the same latents and to the same pixels."""

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
from codec.nets import torch_codec
from codec.picture import code_points

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.aec"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_file_decodes_to_its_latents_and_pixels(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    model = path.with_name(expected["model"])
    data = path.read_bytes()
    if codec.inspect(data).by_network:
        latents = coded.latents(torch_codec.load(model, torch.device("cpu")), data)
        assert coded.sha256(*latents) == expected["latents_sha256"]
    blocks = {k: bytes.fromhex(v) for k, v in expected["metadata"].items()}
    # Without the profile that is made of code points: it is computed with floats, which machines may round differently.
    assert code_points.blocks(codec.read_metadata(data), codec.inspect(data).gray) == blocks
    decoded = codec.decode(data, "cpu", model, output="numpy")
    if "samples" in expected:
        found = {"shape": list(decoded.shape), "type": str(decoded.dtype), "sha256": coded.sha256(decoded)}
        assert found == expected["samples"]
    else:  # JPEG decoders may differ by a level
        with Image.open(path.with_suffix(".png")) as image:
            pixels = np.asarray(image)
        assert decoded.shape == pixels.shape and decoded.dtype == pixels.dtype
        assert np.abs(decoded.astype(int) - pixels).max() <= 1


def test_every_format_version_that_is_read_has_golden_files():
    assert {int(re.match(r"v(\d+)-", p.name)[1]) for p in GOLDEN} == {format.VERSION}


def test_a_file_of_version_1_is_refused_by_name():
    data = bytearray(GOLDEN[0].read_bytes())
    data[4] = 1
    with pytest.raises(codec.UnsupportedVersionError, match="version 1: this decoder knows 2"):
        codec.inspect(bytes(data))


@pytest.mark.parametrize(("number", "name"), [(0, "v2-tiny2-1x1.aec"), (1, "v2-tiny2-alpha-1x1.aec")])
def test_hex_dumps_in_the_specification_are_golden_files(number, name):
    text = (Path(codec.__file__).parent / "container" / "FORMAT.md").read_text()
    dump = re.findall(r"```\n(.*?)```", text[text.index("## 10.") :], re.DOTALL)[number]
    found = bytes.fromhex("".join(line.split("|")[0] for line in dump.splitlines()))
    assert found == (Path(__file__).parent / "golden" / name).read_bytes()

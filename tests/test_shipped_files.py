"""Files of every model that was ever shipped decode for ever, and no golden file is ever changed."""

import hashlib
import json
from pathlib import Path

import coded
import numpy as np
import pytest

import codec

GOLDEN = Path(__file__).parent / "golden"
SHIPPED = sorted((GOLDEN / "shipped").glob("*.aec"))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_file_of_a_shipped_model_is_decoded_by_the_model_that_its_id_names(path, scale):
    facts, data = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
    assert codec.inspect(data).model_id.hex() == facts["model"]
    assert coded.sha256(codec.decode(data, "cpu", output="numpy", scale=1 / scale)) == facts[f"sha256 at 1/{scale}"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_region_of_it_is_the_same(path):
    data = path.read_bytes()
    whole, part = (codec.decode(data, "cpu", output="numpy", region=r) for r in (None, (50, 17, 101, 83)))
    assert np.array_equal(part, whole[17:100, 50:151])


def test_golden_files_are_as_they_were_when_the_format_was_frozen():
    """A file in the list never changes and never goes. New ones are added to the list: `sha256sum` writes its lines."""
    lines = (GOLDEN / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    kinds = {".aec", ".json", ".png", ".safetensors"}
    there = {str(p.relative_to(GOLDEN)): p for p in GOLDEN.rglob("*") if p.suffix in kinds}
    assert there.keys() == listed.keys()
    changed = [name for name, p in there.items() if hashlib.sha256(p.read_bytes()).hexdigest() != listed[name]]
    assert not changed
